//! The engine alone: what the market's workers compute, computed here.

mod bench;
mod file;
mod generate;
mod kat;
mod perplexity;
mod trace;

use std::{path::Path, sync::Arc};

use assay_worker::model::{LocalModel, TextModel};

use crate::{Failure, args::Engine};

pub(super) fn run(command: Engine) -> Result<u8, Failure> {
    match command {
        Engine::Generate(args) => generate::run(args),
        Engine::Kat => kat::run(),
        Engine::Bench(args) => bench::run(&args),
        Engine::Perplexity(args) => perplexity::run(&args),
        Engine::Trace(args) => trace::run(&args),
        Engine::Convert { source, out } => file::convert(&source, &out),
        Engine::Inspect { file } => file::inspect(&file),
    }
}

/// Opens the generating model that a command names.
fn open(model: Option<&Path>) -> Result<Arc<TextModel>, Failure> {
    let path = model.ok_or(Failure::NoModel)?;
    Ok(LocalModel::open_text(path)?)
}

/// Threads to use: those asked for, else all cores.
fn threads(asked: Option<u16>) -> usize {
    asked.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        usize::from,
    )
}
