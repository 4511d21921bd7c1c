//! The `assay-worker` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    assay_worker::cli::main(std::env::args_os())
}
