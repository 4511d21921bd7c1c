//! The engine in a canister: a token computed, and a tile of each operator checked as a referee would.
//!
//! Models are random with the shape of SmolLM2-135M: no work of the engine depends on values. Where a proof is checked the model has one
//! layer instead of thirty, which shortens preparation and, by some hashes, the proofs.

use assay_engine::{
    forward::{Kernels, Options, Session},
    measure,
    model::{Manifest, Model},
    proof::{
        Anchors, Draws, Last, Operator, Own, Place, Proof, Prover, Record, Step, check, fuzzing,
    },
};
use canbench_rs::{BenchResult, bench, bench_fn};

/// Tokens before the one that is measured.
const CONTEXT: u32 = 16;

fn one_token(kernels: Kernels) -> BenchResult {
    let model = measure::stand_in(30);
    let options = Options {
        kernels,
        ..Options::default()
    };
    let tokens = measure::prompt(&model, CONTEXT as usize);
    let mut session = Session::new(&model, tokens.len() + 1, &options).expect("it is in range");
    session.prefill(&tokens).expect("there is room");
    bench_fn(|| {
        session.decode(1).expect("there is room");
    })
}

/// Tokens that one pass takes, for the price of each in a check.
fn prefill(count: usize) -> BenchResult {
    let model = measure::stand_in(30);
    let mut session = Session::new(&model, count, &Options::default()).expect("it is in range");
    let tokens = measure::prompt(&model, count);
    bench_fn(|| {
        session.prefill(&tokens).expect("there is room");
    })
}

fn tile(step: Step) -> BenchResult {
    let (model, manifest): (Model, Manifest) = fuzzing::described(measure::stand_in(1));
    let tokens = measure::prompt(&model, CONTEXT as usize);
    let position = CONTEXT - 1;
    let record = Record::run(&model, &tokens, &Options::default()).expect("it is in range");
    let prover = Prover::new(&model, &manifest).expect("it is described");
    let made = prover.level2(&record, position).expect("it is honest");
    let trace = record.trace();
    let draw = |logits: &[f32], _| {
        let best = logits.iter().zip(0..).max_by(|a, b| a.0.total_cmp(b.0));
        best.map_or(0, |(_, token)| token)
    };
    let anchors = Anchors {
        model_root: model.root(),
        trace_root: trace.root(trace.positions()),
        level2_root: made.root(&trace.token_roots()[position as usize]),
        draws: Some(Draws {
            input: CONTEXT,
            draw: &draw,
            last: Last::Token(0),
        }),
    };
    let place = Place {
        position,
        operator: Operator { layer: 0, step },
        tile: 0,
    };
    let mut own = Own::new(&prover, &record);
    let proof = prover
        .prove(&record, &made, &mut own, place)
        .expect("it is honest");
    let bytes = proof.encode().expect("it is small");
    bench_fn(|| {
        let proof = Proof::decode(&bytes).expect("it was just encoded");
        let _ = check(&proof, &anchors);
    })
}

#[bench(raw)]
fn token() -> BenchResult {
    one_token(Kernels::Auto)
}

#[bench(raw)]
fn token_by_the_reference() -> BenchResult {
    one_token(Kernels::Reference)
}

#[bench(raw)]
fn sixteen_tokens_in_one_pass() -> BenchResult {
    prefill(16)
}

macro_rules! tiles {
    ($($name:ident $step:ident,)*) => {
        $(
            #[bench(raw)]
            fn $name() -> BenchResult {
                tile(Step::$step)
            }
        )*
    };
}

tiles! {
    tile_embed Embed,
    tile_attn_norm AttnNorm,
    tile_q Q,
    tile_query Query,
    tile_rows Rows,
    tile_attend Attend,
    tile_attended Attended,
    tile_gate Gate,
    tile_gated Gated,
    tile_down Down,
    tile_leaf Leaf,
    tile_final_norm FinalNorm,
    tile_logits Logits,
    tile_draw Draw,
}
