//! `bench metering`: what the engine's work costs in a canister, in instructions as the Internet Computer weighs them.
//!
//! canbench runs `tests/canisters/metering` on `assay-localnet`: a token computed, and a tile
//! of each operator checked. Once without vectors, once with them.

use std::process::ExitCode;

use anyhow::Context;

use super::canbench::{self, grouped};
use crate::workspace::{METERING, Workspace};
use crate::{process, wasm};

pub(crate) fn run(workspace: &Workspace, may_install: bool) -> anyhow::Result<ExitCode> {
    let tool = canbench::install(workspace, may_install)?;
    let measure = |features: &[&str]| -> anyhow::Result<Vec<(String, u64)>> {
        let module = wasm::build_measured(workspace, may_install, &METERING, features)?;
        let text = canbench::measure(workspace, &tool, &module)?;
        let results = canbench::read(&text).into_iter();
        Ok(results
            .map(|(name, count)| (name.to_owned(), count))
            .collect())
    };
    let plain = measure(&[])?;
    let vectors = measure(&["simd128"])?;
    process::out(&format!(
        "{:<36}{:>20}{:>20}{:>8}",
        "instructions", "without vectors", "with vectors", "ratio"
    ))?;
    for (name, without) in &plain {
        let with = vectors.iter().find(|(other, _)| other == name);
        let (_, with) = with.with_context(|| format!("canbench has no result for {name}"))?;
        process::out(&format!(
            "{:<36}{:>20}{:>20}{:>8.3}",
            name.replace('_', " "),
            grouped(*without),
            grouped(*with),
            *with as f64 / *without as f64
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
