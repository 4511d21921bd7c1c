//! `bench market` and `bench growth`: what verified answers cost, and how that grows with the market.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::market_tests::MarketTests;
use crate::wasm::Beside;
use crate::workspace::{Profile, Workspace};
use crate::{model, process, tests_run, wasm};

/// The daemon: package and program.
const WORKER: &str = "assay-worker";
/// The test that fills markets, and its variables.
const GROWTH: &str = "load::growth";
const JOBS_VARIABLE: &str = "ASSAY_GROWTH_JOBS";
const PLOT_VARIABLE: &str = "ASSAY_GROWTH_PLOT";

/// Runs the benchmark `market` of the tests, with workers as people run them; its table goes to stdout.
pub(crate) fn run(
    workspace: &Workspace,
    may_install: bool,
    rounds: u16,
    threads: u16,
) -> anyhow::Result<ExitCode> {
    let (wasm_dir, places) = wasm::build_beside(workspace, may_install, Beside::Product, || {
        let places = model::fetch(workspace, None)?;
        tests_run::build(workspace)?;
        Ok(places)
    })?;
    let model = model::convert(workspace, Profile::Dev, &places)?;
    // What is measured is the workers; the network beside them is that of the tests.
    let mut worker = workspace.release("build", &[WORKER]);
    process::run(worker.args(["--bin", WORKER]))?;
    let mut cargo = workspace.cargo();
    cargo
        .args(["bench", "--locked", "--workspace", "--profile", "dev"])
        .args(["--bench", "market", "--"])
        .args(["--rounds", &rounds.to_string()])
        .args(["--threads", &threads.to_string()])
        .env(tests_run::WASM_VARIABLE, wasm_dir)
        .env("ASSAY_MODEL", model)
        .env(
            "ASSAY_WORKER_BIN",
            workspace.program(Profile::Release, WORKER),
        );
    process::run(&mut cargo)?;
    Ok(ExitCode::SUCCESS)
}

/// Measures one job in markets that have settled `jobs` jobs, a tenth of that, and so on.
pub(crate) fn growth(
    workspace: &Workspace,
    may_install: bool,
    jobs: NonZeroU64,
    plot: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let mut variables = vec![(JOBS_VARIABLE, OsString::from(jobs.to_string()))];
    if let Some(plot) = plot {
        let plot = std::path::absolute(plot).context("cannot tell where the plot goes")?;
        variables.push((PLOT_VARIABLE, plot.into_os_string()));
    }
    let mut cargo = MarketTests::build(workspace, may_install)?.cargo(GROWTH);
    cargo.envs(variables).args(["--", "--nocapture"]);
    tests_run::summed(&mut cargo)
}
