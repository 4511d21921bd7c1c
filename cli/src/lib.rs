//! The `assay` command: a local network in one process, questions to the market, receipts checked without trust.
//!
//! It refuses to know the rules of the market: canisters decide, workers compute, and what it shows as proven is what
//! the network's certificates prove.

mod args;
mod ask;
mod commands;
pub mod exit;
mod failure;
mod home;
mod ledger;
pub mod local;
pub mod page;
pub mod receipt;
mod show;
mod wanted;

use std::{ffi::OsString, process::ExitCode};

use assay_worker::cli::code_of;
use clap::Parser as _;

pub use failure::Failure;
pub use home::{UpFile, UpPage};

/// Parses the arguments, the program's name first, and does what they say.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match args::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(code_of(&error));
        }
    };
    let level = if cli.verbose {
        "info,assay_localnet=debug"
    } else {
        "warn"
    };
    let _ = assay_worker::log::start(assay_worker::log::Format::Text, level);
    match commands::dispatch(cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            show::failure(&failure);
            ExitCode::from(failure.code())
        }
    }
}
