//! What takes a simulator, a toolchain or an interpreter that not every machine has.
//!
//! - `wolfpine`: `ASSAY_WOLFPINE_PYTHON` names an interpreter with its packages; `cargo xtask test` sets it.
//! - `ttsim`: `ASSAY_TTSIM` names the library, which somebody has.
//! - `card`: `ASSAY_WORMHOLE` is the number of a card, as in `/dev/tenstorrent/0`. Nobody else may use it.
//! - `programs`: `ASSAY_TENSIX_CARGO` names a cargo for the chip's own cores.
//!
//! Where that is missing a test is "not run", and counted so: never passed.

mod card;
mod products;
mod programs;
mod ttsim;
mod wolfpine;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::panic::catch_unwind;
use std::process::ExitCode;

/// One test, and what it needs.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    name: &'static str,
    /// An environment variable that must be set.
    needs: &'static str,
    run: fn(&OsString),
}

/// Names cases after their functions.
macro_rules! cases {
    ($needs:expr; $($function:ident),+ $(,)?) => {
        &[$(crate::Case {
            name: concat!(module_path!(), "::", stringify!($function)),
            needs: $needs,
            run: $function,
        }),+]
    };
}
pub(crate) use cases;

fn main() -> io::Result<ExitCode> {
    // As the usual harness has them; what makes no difference here is let by.
    let (mut filters, mut skipped, mut flags) = (Vec::new(), Vec::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--skip" => skipped.extend(arguments.next()),
            "--test-threads" | "--format" | "--color" | "--logfile" => drop(arguments.next()),
            flag if flag.starts_with('-') => flags.push(argument),
            _ => filters.push(argument),
        }
    }
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    let named = |case: &Case, by: &String| match has("--exact") {
        true => case.name == by,
        false => case.name.contains(by.as_str()),
    };
    let wanted = |case: &Case| {
        (filters.is_empty() || filters.iter().any(|filter| named(case, filter)))
            && !skipped.iter().any(|skip| named(case, skip))
    };
    let all = [programs::CASES, wolfpine::CASES, ttsim::CASES, card::CASES].concat();
    let cases: Vec<Case> = all.into_iter().filter(wanted).collect();
    let mut out = io::stdout();
    if has("--list") {
        for case in cases {
            writeln!(out, "{}: test", case.name)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "running {} tests", cases.len())?;
    let (mut passed, mut failed, mut not_run) = (0, 0, 0);
    for case in cases {
        write!(out, "test {} ... ", case.name)?;
        out.flush()?;
        match std::env::var_os(case.needs).filter(|value| !value.is_empty()) {
            None => {
                not_run += 1;
                writeln!(out, "not run: {} is not set", case.needs)?;
            }
            Some(value) if catch_unwind(|| (case.run)(&value)).is_ok() => {
                passed += 1;
                writeln!(out, "ok")?;
            }
            Some(_) => {
                failed += 1;
                writeln!(out, "FAILED")?;
            }
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    writeln!(
        out,
        "test result: {word}. {passed} passed; {failed} failed; {not_run} not run"
    )?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(101)
    })
}
