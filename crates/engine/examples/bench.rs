//! Tokens per second: `bench [MODEL.assay or -] [prompt tokens] [output tokens] [kernels] [threads]`.
//!
//! Without a model file, a random one with the shape of SmolLM2-135M. Prints decode, prefill and check for every kind of kernels (the plain reference
//! left out) and for one and two threads; the check confirms the transcript that decode made, so its root is compared as well.
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::{error::Error, io::Write as _, ops::ControlFlow, time::Instant};

use assay_engine::{
    forward::{Kernels, Options, Session},
    model::{Model, Rope, Shape},
    run::{self, Checked, Request},
    sampler::Sampling,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = match arguments.next().filter(|path| path != "-") {
        Some(path) => Model::open(path)?,
        None => {
            let shape = Shape {
                layers: 30,
                dim: 576,
                heads: 9,
                kv_heads: 3,
                head_dim: 64,
                ff: 1536,
                vocab: 49_152,
                context_max: 2_048,
                norm_eps_bits: 0x3727_c5ac,
            };
            Model::random(shape, Rope::Interleaved, true, 1)
        }
    };
    let prompt_len: usize = arguments.next().map_or(Ok(512), |n| n.parse())?;
    let output_len: u32 = arguments.next().map_or(Ok(128), |n| n.parse())?;
    let prompt: Vec<u32> = (0..prompt_len as u32)
        .map(|i| 500 + i * 7 % 1_000)
        .collect();

    let (only_kernels, only_threads) = (arguments.next(), arguments.next());
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{prompt_len} prompt tokens, {output_len} output tokens, tokens per second"
    )?;
    writeln!(
        out,
        "{:10} {:>7} {:>8} {:>8} {:>8} {:>13}",
        "kernels", "threads", "prefill", "decode", "check", "check sampled"
    )?;
    for kernels in Kernels::available().into_iter().skip(1) {
        if only_kernels
            .as_ref()
            .is_some_and(|only| *only != format!("{kernels:?}"))
        {
            continue;
        }
        for threads in [1, 2] {
            if only_threads
                .as_ref()
                .is_some_and(|only| *only != threads.to_string())
            {
                continue;
            }
            let options = Options {
                threads,
                kernels,
                ..Options::default()
            };
            let begin = Instant::now();
            Session::new(&model, prompt_len, &options)?.prefill(&prompt)?;
            let prefill = prompt_len as f64 / begin.elapsed().as_secs_f64();

            let (mut decode, mut check) = (0.0, Vec::new());
            for sampling in [
                Sampling::GREEDY,
                Sampling {
                    temperature_milli: 700,
                    top_p_ppm: 950_000,
                    top_k: 0,
                    seed: 1,
                },
            ] {
                let request = Request {
                    input: &prompt[..16.min(prompt_len)],
                    max_tokens: output_len,
                    sampling,
                };
                let mut first = None;
                let transcript = run::generate(&model, &request, &options, &mut |_, _| {
                    first.get_or_insert_with(Instant::now);
                    ControlFlow::Continue(())
                })?;
                let seconds = first.unwrap_or_else(Instant::now).elapsed().as_secs_f64();
                decode = f64::max(
                    decode,
                    transcript.output.len().saturating_sub(1) as f64 / seconds,
                );
                let begin = Instant::now();
                let checked = run::check(
                    &model,
                    &request,
                    &transcript.output,
                    transcript.finish,
                    &options,
                )?;
                check.push(
                    (request.input.len() + transcript.output.len()) as f64
                        / begin.elapsed().as_secs_f64(),
                );
                assert_eq!(
                    checked,
                    Checked::Match(transcript),
                    "BUG: a true transcript was not confirmed"
                );
            }
            writeln!(
                out,
                "{:10} {threads:>7} {prefill:>8.1} {decode:>8.1} {:>8.1} {:>13.1}",
                format!("{kernels:?}"),
                check[0],
                check[1]
            )?;
        }
    }
    Ok(())
}
