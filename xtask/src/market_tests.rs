//! The market's long tests, in the release build: they are as busy as the networks that they ask. They need canisters and no model.

use std::path::PathBuf;
use std::process::Command;

use crate::wasm::Beside;
use crate::workspace::{Profile, Workspace};
use crate::{process, tests_run, wasm};

/// The tests, their server, and `assay`: always together, so that all share one set of dependencies.
const PACKAGES: &[&str] = &["assay-tests", "assay-localnet", "assay-cli"];
/// The binary of the tests.
const BINARY: &str = "market";

/// Tests that are built.
pub(crate) struct MarketTests<'a> {
    workspace: &'a Workspace,
    wasm_dir: PathBuf,
}

impl<'a> MarketTests<'a> {
    /// Builds them, their server, `assay`, and the canisters.
    pub(crate) fn build(workspace: &'a Workspace, may_install: bool) -> anyhow::Result<Self> {
        let (wasm_dir, ()) = wasm::build_beside(workspace, may_install, Beside::Tests, || {
            let mut cargo = workspace.release("build", PACKAGES);
            process::run(cargo.args(["--bins", "--test", BINARY]))
        })?;
        Ok(Self {
            workspace,
            wasm_dir,
        })
    }

    /// Cargo that runs those whose name contains `filter`.
    pub(crate) fn cargo(&self, filter: &str) -> Command {
        let server = tests_run::server(self.workspace, Profile::Release);
        let mut cargo = self.workspace.release("test", PACKAGES);
        cargo
            .args(["--no-fail-fast", "--test", BINARY, filter])
            .env(tests_run::WASM_VARIABLE, &self.wasm_dir)
            .env(tests_run::SERVER_VARIABLE, server);
        cargo
    }
}
