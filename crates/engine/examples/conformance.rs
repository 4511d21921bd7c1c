//! Runs every variant of this machine and prints a line for each: `conformance`.
//!
//! `conformance MODEL.assay TOKENS EXPECTED` runs that many tokens of a model with every kind of kernels but the reference, or with
//! one kind where a fourth argument names it, and compares with what is expected; without `EXPECTED` it prints what comes out.

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
};

use assay_engine::{
    conformance::{self, Feed, Variant},
    forward::Kernels,
    model::Model,
};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = io::stdout();
    let mut failed = 0;
    let mut line = |name: &str, outcome: Result<(), String>| match outcome {
        Ok(()) => writeln!(out, "ok    {name}"),
        Err(why) => {
            failed += 1;
            writeln!(out, "fail  {name}: {why}")
        }
    };
    let Some(path) = arguments.first() else {
        let models = conformance::models();
        for variant in Variant::all() {
            line(&variant.name(), conformance::check(&variant, &models))?;
        }
        return Ok(ExitCode::from(u8::from(failed > 0)));
    };
    let model = Model::open(path)?;
    let count: usize = arguments.get(1).map_or(Ok(700), |n| n.parse())?;
    let tokens = conformance::tokens(count, model.shape.vocab);
    let wanted = arguments.get(3);
    for kernels in Kernels::available().into_iter().skip(1) {
        if wanted.is_some_and(|wanted| !format!("{kernels:?}").eq_ignore_ascii_case(wanted)) {
            continue;
        }
        let variant = Variant {
            kernels,
            threads: 2,
            feed: Feed::Mixed,
        };
        let found = variant.run(&model, &tokens)?;
        let outcome = match arguments.get(2) {
            Some(expected) if *expected != found => Err(format!("{found}, expected {expected}")),
            Some(_) => Ok(()),
            None => Err(format!("nothing to compare with: {found}")),
        };
        line(&format!("{kernels:?}, {count} tokens"), outcome)?;
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}
