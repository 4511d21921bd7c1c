//! Runs every variant of this machine and prints a line for each: `engine-conformance`.
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
        [] => conformance::tell_variants(&mut tell),
        [path, tokens] => match (Model::open(path), tokens.parse()) {
            (Ok(model), Ok(tokens)) => conformance::tell_model(&model, tokens, &mut tell),
            (Err(error), _) => tell(&format!("fail  {error}")),
            (_, Err(error)) => tell(&format!("fail  {tokens:?}: {error}")),
        },
        _ => tell("fail  usage: engine-conformance [MODEL.assay TOKENS]"),
    }
    ExitCode::from(u8::from(failed))
}
