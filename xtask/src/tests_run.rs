//! `test`: everything that the tests need, then every test.
//!
//! Plain `cargo test` on every machine: tests of one binary share compiled modules and the loaded model, which a
//! process per test would build again, and documentation tests come along. The last line sums up all binaries.
//!
//! The tests find what was built through the environment:
//! - `ASSAY_WASM_DIR`: the folder of canister modules;
//! - `ASSAY_MODEL`: the converted model file;
//! - `ASSAY_GEMMA`: a checkpoint of Gemma 3 in GGUF, as published;
//! - `ASSAY_ENCODER`: the folder of a sentence encoder, as published;
//! - `ASSAY_WORKER_BIN`, `ASSAY_CLI_BIN`: the worker daemon and `assay`;
//! - `POCKET_IC_BIN`: the server of networks; ours, unless the variable is set already;
//! - `ASSAY_WOLFPINE_PYTHON`: a Python with a simulator of Wormhole chips.
//!
//! Two more are not set here: `ASSAY_TTSIM`, a simulator library that somebody has, and `ASSAY_TENSIX_CARGO`, a toolchain for the
//! chip's own cores. Tests that need them say "not run" without.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};

use crate::wasm::Beside;
use crate::workspace::{Profile, Workspace};
use crate::{model, node, process, python, wasm};

/// Programs and test binaries in one build: asked for one after the other, or for some packages only, cargo would select
/// features anew and compile much of the workspace again.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<()> {
    process::run(
        workspace
            .cargo()
            .args(["build", "--locked", "--workspace", "--bins", "--tests"]),
    )
}

/// Runs all tests, or those of `packages` whose name contains `filter`; `args` go to the test binaries.
pub(crate) fn run(
    workspace: &Workspace,
    may_install: bool,
    packages: &[String],
    filter: Option<&str>,
    args: &[String],
) -> anyhow::Result<ExitCode> {
    let (wasm_dir, (places, gemma, encoder)) =
        wasm::build_beside(workspace, may_install, Beside::Tests, || {
            let places = model::fetch(workspace, None)?;
            let gemma = model::gemma(workspace)?;
            let encoder = model::fetch_encoder(workspace)?;
            build(workspace)?;
            Ok((places, gemma, encoder))
        })?;
    let model = model::convert(workspace, Profile::Dev, &places)?;

    let clients = workspace.root.join(CLIENTS);
    let icp = node::packages(&clients, may_install);
    if let Err(error) = &icp {
        eprintln!("without icp, its test shows nothing: {error:#}");
    }

    let wolfpine = wolfpine(workspace, may_install);
    if let Err(error) = &wolfpine {
        eprintln!("without wolfpine, no kernel of a Wormhole chip is run: {error:#}");
    }

    let mut cargo = workspace.cargo();
    cargo.args(["test", "--locked", "--no-fail-fast"]);
    if packages.is_empty() {
        cargo.arg("--workspace");
    }
    for package in packages {
        cargo.args(["--package", package]);
    }
    cargo
        .args(filter)
        .arg("--")
        .args(args)
        .env(WASM_VARIABLE, wasm_dir)
        .env("ASSAY_MODEL", model)
        .env("ASSAY_GEMMA", gemma)
        .env("ASSAY_ENCODER", encoder)
        .env(
            "ASSAY_WORKER_BIN",
            workspace.program(Profile::Dev, "assay-worker"),
        )
        .env("ASSAY_CLI_BIN", workspace.program(Profile::Dev, "assay"))
        .env(SERVER_VARIABLE, server(workspace, Profile::Dev))
        .envs(
            wolfpine
                .as_ref()
                .ok()
                .map(|python| (WOLFPINE_VARIABLE, python)),
        );
    let (status, mut total) = counted(&mut cargo)?;

    // A person may work without Node or Python; the machine that decides may not.
    let mut lacking = false;
    if std::env::var_os("CI").is_some() {
        for (what, missing) in [("icp", icp.is_err()), ("wolfpine", wolfpine.is_err())] {
            if missing {
                process::out(&format!(
                    "{what} could not be installed, so its tests showed nothing"
                ))?;
                total.failed += 1;
                lacking = true;
            }
        }
    }
    process::out(&total.summary())?;
    Ok(process::exit_code(status.success() && !lacking))
}

/// Runs `cargo test`, shows its lines, and counts.
fn counted(cargo: &mut Command) -> anyhow::Result<(ExitStatus, Total)> {
    let mut total = Total::default();
    let status = process::lines(cargo, |line| {
        total.read(line);
        process::out(line)
    })?;
    if !status.success() && total.failed == 0 {
        process::out("a test binary could not be built or ended before its tests did")?;
        total.failed = 1;
    }
    Ok((status, total))
}

/// Runs `cargo test` as `cargo` has it, and ends with the sum over its binaries.
pub(crate) fn summed(cargo: &mut Command) -> anyhow::Result<ExitCode> {
    let (status, total) = counted(cargo)?;
    process::out(&total.summary())?;
    Ok(process::exit_code(status.success()))
}

/// Where the `icp` command that tests use is installed.
pub(crate) const CLIENTS: &str = "tests/clients/icp";
/// What a simulator of Wormhole chips needs of Python.
const WOLFPINE: &str = "crates/tensix/wolfpine";
/// Through which tests find that Python.
pub(crate) const WOLFPINE_VARIABLE: &str = "ASSAY_WOLFPINE_PYTHON";

/// A Python with a simulator of Wormhole chips.
pub(crate) fn wolfpine(workspace: &Workspace, may_install: bool) -> anyhow::Result<PathBuf> {
    let folder = workspace.root.join(WOLFPINE);
    python::environment(workspace, &folder, "wolfpine", may_install)
}

/// Through which tests find canister modules.
pub(crate) const WASM_VARIABLE: &str = "ASSAY_WASM_DIR";
/// Through which the clients of PocketIC find their server.
pub(crate) const SERVER_VARIABLE: &str = "POCKET_IC_BIN";

/// The server that tests of networks run on: ours of this profile, unless somebody names another.
pub(crate) fn server(workspace: &Workspace, profile: Profile) -> OsString {
    std::env::var_os(SERVER_VARIABLE)
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| workspace.program(profile, "assay-localnet").into())
}

/// The sum over all test binaries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    passed: u64,
    failed: u64,
    /// What some machine lacks, as our own harness says.
    not_run: u64,
}

impl Total {
    /// Adds the numbers of a line like `test result: ok. 5 passed; 0 failed; 0 ignored; ...`.
    fn read(&mut self, line: &str) {
        let Some((_, result)) = line.split_once("test result: ") else {
            return;
        };
        let count = |what: &str| -> u64 {
            result
                .split([';', '.'])
                .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
                .unwrap_or(0)
        };
        self.passed += count("passed");
        self.failed += count("failed");
        self.not_run += count("not run");
    }

    fn summary(&self) -> String {
        let summary = format!("{} passed, {} failed", self.passed, self.failed);
        match self.not_run {
            0 => summary,
            not_run => format!("not run {not_run}\n{summary}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_summed() {
        let mut total = Total::default();
        for line in [
            "running 6 tests",
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out; finished in 0.61s",
            "test names_that_say_passed ... ok",
            "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 4.00s",
            "test result: ok. 1 passed; 0 failed; 2 not run",
        ] {
            total.read(line);
        }
        assert_eq!(
            total,
            Total {
                passed: 18,
                failed: 3,
                not_run: 2
            }
        );
        assert_eq!(total.summary(), "not run 2\n18 passed, 3 failed");
    }
}
