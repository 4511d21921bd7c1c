//! What takes a simulator, a toolchain or an interpreter that not every machine has.
//!
//! - `wolfpine`: `ASSAY_WOLFPINE_PYTHON` names an interpreter with its packages; `cargo xtask test` sets it.
//! - `ttsim`: `ASSAY_TTSIM` names the library, which somebody has.
//! - `card`: `ASSAY_WORMHOLE` is the number of a card, as in `/dev/tenstorrent/0`. Nobody else may use it.
//! - `programs`: `ASSAY_TENSIX_CARGO` names a cargo for the chip's own cores.
//!
//! Where that is missing a test is "not run", and counted so: never passed.

mod card;
mod cases;
mod faults;
mod products;
mod programs;
mod ttsim;
mod wolfpine;

use std::io;
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    cases::run([programs::CASES, wolfpine::CASES, ttsim::CASES, card::CASES].concat())
}
