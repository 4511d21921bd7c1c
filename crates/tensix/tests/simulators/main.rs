//! Whole products on simulated chips, against sums in 64 bits.
//!
//! `wolfpine` runs where `ASSAY_WOLFPINE_PYTHON` names an interpreter with its packages, `ttsim` where `ASSAY_TTSIM` names the
//! library. Without them these tests say "not run" on stderr and show nothing.

mod products;
mod ttsim;
mod wolfpine;

use std::ffi::OsString;
use std::io::Write as _;

/// What a variable names, or a word about what is thus not shown.
fn named(variable: &str) -> Option<OsString> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty());
    if value.is_none() {
        let test = std::thread::current().name().unwrap_or("test").to_owned();
        // Past the capture of test output; nothing can be done where stderr is gone.
        let _ = writeln!(std::io::stderr(), "not run: {test}: {variable} is not set");
    }
    value
}
