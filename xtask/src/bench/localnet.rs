//! `bench localnet`: builds the server and what measures it, and runs that.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::workspace::Workspace;
use crate::{process, wasm};

/// The canister whose installation is measured, one of usual size.
const MODULE: &str = "probe";

/// Runs the benchmark `speed` of the package `assay-localnet`; its table goes to stdout.
pub(crate) fn run(
    workspace: &Workspace,
    may_install: bool,
    json: Option<&Path>,
    runs: u16,
) -> anyhow::Result<ExitCode> {
    let json = json
        .map(|file| std::path::absolute(file).context("cannot tell where the JSON goes"))
        .transpose()?;
    let wasm_dir = wasm::build(workspace, may_install, &[MODULE.to_owned()])?;
    let mut cargo = workspace.cargo();
    // Cargo builds the server for a benchmark of its package, and tells the benchmark where it is.
    cargo
        .args(["bench", "--locked", "--package", "assay-localnet"])
        .args(["--bench", "speed", "--", "--runs", &runs.to_string()])
        .arg("--module")
        .arg(wasm_dir.join(format!("{MODULE}.wasm")));
    if let Some(file) = json {
        cargo.arg("--json").arg(file);
    }
    process::run(&mut cargo)?;
    Ok(ExitCode::SUCCESS)
}
