//! `engine bench`: how fast this machine is, as a table.

use std::time::Instant;

use assay_engine::{
    forward::{Kernels, Options},
    measure,
};

use crate::{Failure, args::Bench, exit, show::out};

pub(super) fn run(args: &Bench) -> Result<u8, Failure> {
    let local = super::open(args.model.as_deref())?;
    let model = local.model();
    let (prompt, output) = (args.prompt as usize, args.output as usize);
    let all = super::threads(None);
    let mut counts = args
        .threads
        .map_or(vec![1, all], |one| vec![usize::from(one)]);
    counts.dedup();
    out(format_args!(
        "prompt of {prompt} tokens, then {output}; tokens per second"
    ));
    out(format_args!(
        "{:10} {:>7} {:>9} {:>8} {:>8} {:>14} {:>9}",
        "kernels", "threads", "prefill", "decode", "check", "check/generate", "hashing"
    ));
    let start = Instant::now();
    let mut clock = || start.elapsed().as_secs_f64();
    // The plain reference is for reading, not for running.
    let fast = Kernels::available();
    for kernels in fast.into_iter().filter(|k| *k != Kernels::Reference) {
        for threads in &counts {
            let options = Options {
                threads: *threads,
                kernels,
                ..Options::default()
            };
            let speed = measure::speed(model, prompt, output, &options, &mut clock)?;
            let check = measure::check(model, args.output, &options, &mut clock)?;
            let hashing = measure::hashing_seconds(model, 100, &mut clock);
            out(format_args!(
                "{:10} {threads:>7} {:>9.1} {:>8.1} {:>8.1} {:>14.3} {:>7.2} %",
                format!("{kernels:?}"),
                speed.prefill,
                speed.decode,
                check.output as f64 / check.check_seconds,
                check.check_seconds / check.generate_seconds,
                100.0 * hashing * speed.decode,
            ));
        }
    }
    Ok(exit::OK)
}
