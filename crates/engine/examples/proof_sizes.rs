//! Bytes of proofs: `proof_sizes [context tokens]`, of each operator's first tile at the last position.
//!
//! The model is random with the shape of SmolLM2-135M. Prints tiles, bytes and hashes of each proof, and how long its check takes here.
#![allow(clippy::disallowed_methods, reason = "an example reads the clock")]

use std::{error::Error, io::Write as _, time::Instant};

use assay_engine::{
    forward::Options,
    measure,
    proof::{
        Anchors, Draws, Last, Operator, Own, Place, Prover, Record, Step, Verdict, check, fuzzing,
    },
};

fn main() -> Result<(), Box<dyn Error>> {
    let context = std::env::args().nth(1).map_or(Ok(512), |n| n.parse())?;
    let (model, manifest) = fuzzing::described(measure::stand_in(30));
    let tokens = measure::prompt(&model, context as usize);
    let position = context - 1;

    let mut out = std::io::stdout();
    let begun = Instant::now();
    let record = Record::run(&model, &tokens, &Options::default())?;
    writeln!(out, "{context} tokens recorded in {:?}", begun.elapsed())?;
    let begun = Instant::now();
    let prover = Prover::new(&model, &manifest)?;
    writeln!(out, "model hashed in {:?}", begun.elapsed())?;
    let begun = Instant::now();
    let made = prover.level2(&record, position)?;
    writeln!(out, "level 2 made in {:?}", begun.elapsed())?;

    let trace = record.trace();
    let anchors = Anchors {
        model_root: model.root(),
        trace_root: trace.root(trace.positions()),
        level2_root: made.root(&trace.token_roots()[position as usize]),
        draws: Some(Draws {
            input: context,
            draw: &|_, _| 0,
            last: Last::Token(0),
        }),
    };
    let facts = prover.facts();
    let operators = facts.operators();
    let tiles: u32 = operators.iter().map(|o| facts.tiles(o.step)).sum();
    writeln!(
        out,
        "{} operators and {tiles} tiles at a position",
        operators.len()
    )?;
    writeln!(
        out,
        "{:12} {:>6} {:>8} {:>8} {:>10}",
        "step", "tiles", "bytes", "hashes", "check µs"
    )?;
    let last_layer = |operator: &Operator| operator.layer == 29 || !operator.step.in_layer();
    let level_1 = [(29, Step::Leaf), (0, Step::Draw)];
    let level_1 = level_1.map(|(layer, step)| Operator { layer, step });
    for operator in operators.into_iter().filter(last_layer).chain(level_1) {
        let place = Place {
            position,
            operator,
            tile: 0,
        };
        let mut own = Own::new(&prover, &record);
        let proof = prover.prove(&record, &made, &mut own, place)?;
        let begun = Instant::now();
        let verdict = check(&proof, &anchors);
        let micros = begun.elapsed().as_micros();
        assert_eq!(verdict, Ok(Verdict::Consistent), "{place}");
        let tiles = match operator.step.is_level_1() {
            true => 1,
            false => facts.tiles(operator.step),
        };
        writeln!(
            out,
            "{:12} {tiles:>6} {:>8} {:>8} {micros:>10}",
            operator.step.name(),
            proof.bytes(),
            proof.hashes.len()
        )?;
    }
    Ok(())
}
