//! Runs every variant of this machine and prints a line for each: `engine-conformance`. With a number, each variant runs only so many of the
//! tiny models, in turn.
//!
//! `engine-conformance MODEL.assay TOKENS` runs that many tokens of SmolLM2-135M-Instruct with every kind of kernels but the reference, and
//! compares with what is recorded.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use assay_engine::{conformance, model::Model};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut failed = false;
    let mut tell = |line: &str| {
        failed |= line.starts_with("fail");
        // Nobody listens: nothing to do.
        let _ = writeln!(io::stdout(), "{line}");
    };
    match &arguments[..] {
        [] => conformance::tell_variants(None, &mut tell),
        [models] => match models.parse() {
            Ok(models) => conformance::tell_variants(Some(models), &mut tell),
            Err(error) => tell(&format!("fail  {models:?}: {error}")),
        },
        [path, tokens] => match (Model::open(path), tokens.parse()) {
            (Ok(model), Ok(tokens)) => conformance::tell_model(&model, tokens, &mut tell),
            (Err(error), _) => tell(&format!("fail  {error}")),
            (_, Err(error)) => tell(&format!("fail  {tokens:?}: {error}")),
        },
        _ => tell("fail  usage: engine-conformance [MODELS | MODEL.assay TOKENS]"),
    }
    ExitCode::from(u8::from(failed))
}
