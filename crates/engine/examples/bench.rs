//! One measurement of the engine as one line of JSON, for programs: `assay engine bench` is for people.
//!
//! `bench MODEL.assay THREADS PROMPT OUTPUT [KERNELS]` measures prefill and decode; with `check` for PROMPT, a generation and its check;
//! with `together=N`, decode of N sequences at once.
//! `-` for the model takes a random one with the shape of SmolLM2-135M.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::{error::Error, io::Write as _, time::Instant};

use assay_engine::{
    forward::{Kernels, Options},
    measure,
    model::Model,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, threads, prompt, output, kernels @ ..] = &arguments[..] else {
        return Err("usage: bench MODEL.assay THREADS PROMPT OUTPUT [KERNELS]".into());
    };
    let start = Instant::now();
    let model = match model.as_str() {
        "-" => measure::stand_in(30),
        path => Model::open(path)?,
    };
    let load = start.elapsed().as_secs_f64();
    let kernels = match kernels.first() {
        None => Kernels::Auto,
        Some(name) => Kernels::available()
            .into_iter()
            .find(|kernels| format!("{kernels:?}").eq_ignore_ascii_case(name))
            .ok_or_else(|| format!("this machine has no kernels {name}"))?,
    };
    let options = Options {
        threads: threads.parse()?,
        kernels,
        ..Options::default()
    };
    let mut clock = || start.elapsed().as_secs_f64();
    let line = if prompt == "check" {
        let check = measure::check(&model, output.parse()?, &options, &mut clock)?;
        serde_json::json!({
            "output": check.output,
            "generate_s": check.generate_seconds,
            "check_s": check.check_seconds,
            "hashing_s": measure::hashing_seconds(&model, 200, &mut clock),
        })
    } else if let Some(sequences) = prompt.strip_prefix("together=") {
        let (sequences, output) = (sequences.parse()?, output.parse()?);
        let decode = measure::together(&model, sequences, output, &options, &mut clock)?;
        serde_json::json!({ "decode": decode })
    } else {
        // The first token pages the weights in; it counts as cold.
        measure::speed(&model, 1, 1, &options, &mut clock)?;
        let first = clock();
        let speed = measure::speed(
            &model,
            prompt.parse()?,
            output.parse()?,
            &options,
            &mut clock,
        )?;
        serde_json::json!({
            "load_s": load,
            "cold_first_token_s": first,
            "prefill": speed.prefill,
            "first_token_s": speed.first_token_seconds,
            "decode": speed.decode,
        })
    };
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
