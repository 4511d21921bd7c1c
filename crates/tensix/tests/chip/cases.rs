//! Runs tests that need what not every machine has: what is missing makes a test "not run", and counted so, never passed.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::panic::catch_unwind;
use std::process::ExitCode;

/// One test, and what it needs.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    name: &'static str,
    /// Environment variables that must be set.
    needs: &'static [&'static str],
    /// Given the first of them.
    run: fn(&OsString),
}

/// Names cases after their functions.
macro_rules! cases {
    ($needs:expr; $($function:ident),+ $(,)?) => {
        &[$(crate::cases::Case::new(
            concat!(module_path!(), "::", stringify!($function)),
            $needs,
            $function,
        )),+]
    };
}
pub(crate) use cases;

impl Case {
    /// A test, and the environment variables that it needs; it is given the first one.
    pub(crate) const fn new(
        name: &'static str,
        needs: &'static [&'static str],
        run: fn(&OsString),
    ) -> Self {
        Self { name, needs, run }
    }

    /// The value of its first variable, or the variable that is missing.
    fn given(&self) -> Result<OsString, &'static str> {
        let value = |name: &'static str| {
            let value = std::env::var_os(name);
            value.filter(|value| !value.is_empty()).ok_or(name)
        };
        let all = self.needs.iter().map(|name| value(name));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        all.into_iter().next().ok_or("what it needs")
    }
}

/// Runs the cases that the arguments ask for.
pub(crate) fn run(all: Vec<Case>) -> io::Result<ExitCode> {
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
        match case.given() {
            Err(missing) => {
                not_run += 1;
                writeln!(out, "not run: {missing} is not set")?;
            }
            Ok(value) if catch_unwind(|| (case.run)(&value)).is_ok() => {
                passed += 1;
                writeln!(out, "ok")?;
            }
            Ok(_) => {
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
