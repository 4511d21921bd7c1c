//! Workers whose products are made on Wormhole chips, beside ones without: the same answers, by comparison and by check.
//!
//! - `tiny`: one tile that wolfpine simulates, and a tiny model, since every cycle is simulated; `cargo xtask test` has it.
//! - `whole`: all tiles of the maker's simulator, and the default model; `cargo xtask conformance tensix`, with `ASSAY_TTSIM`.

#[path = "../../../crates/tensix/tests/chip/cases.rs"]
mod cases;
#[allow(dead_code, reason = "each test binary uses a part")]
#[path = "../worker/harness.rs"]
mod harness;
mod market;
mod tiny;
mod whole;

use std::{io, process::ExitCode};

fn main() -> io::Result<ExitCode> {
    cases::run([tiny::CASES, whole::CASES].concat())
}
