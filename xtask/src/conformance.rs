//! `conformance`: clients that we did not write, against what we serve. One line per case names the client and what it
//! did; the last line counts.
//!
//! The embedded network's clients run against `assay-localnet`, or against the server in `POCKET_IC_BIN`: with that
//! variable at DFINITY's PocketIC the same cases show what that one does.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;

use crate::tests_run::{self, CLIENTS, SERVER_VARIABLE, server};
use crate::workspace::Workspace;
use crate::{node, process, wasm};

/// What is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Subject {
    /// The embedded network and its server.
    Localnet,
}

/// The cases of one client.
struct Suite {
    /// The client and its version.
    client: &'static str,
    runner: Runner,
}

/// What runs a client's cases.
enum Runner {
    /// The test binary with this name, of the package `assay-tests`.
    Cargo(&'static str),
    /// Node's test runner, in the folder of a package of its own.
    Node(&'static str),
}

/// What the cases install.
const CANISTERS: [&str; 1] = ["probe"];

const LOCALNET: &[Suite] = &[
    Suite {
        client: "pocket-ic 16.1",
        runner: Runner::Cargo("localnet"),
    },
    Suite {
        client: "icp 1.5",
        runner: Runner::Cargo("icp"),
    },
    Suite {
        client: "Node.js",
        runner: Runner::Node("tests/clients/node"),
    },
];

/// Runs all cases; fails where one does.
pub(crate) fn run(
    workspace: &Workspace,
    may_install: bool,
    subject: Subject,
) -> anyhow::Result<ExitCode> {
    let suites = match subject {
        Subject::Localnet => LOCALNET,
    };
    let canisters = CANISTERS.map(str::to_owned);
    let wasm_dir = wasm::build(workspace, may_install, &canisters)?;
    tests_run::build(workspace)?;
    node::packages(&workspace.root.join(CLIENTS), may_install)?;
    let mut count = Count::default();
    for suite in suites {
        run_suite(workspace, may_install, suite, &wasm_dir, &mut count)?;
    }
    process::out(&format!("{} passed, {} failed", count.passed, count.failed))?;
    Ok(if count.failed == 0 && count.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run_suite(
    workspace: &Workspace,
    may_install: bool,
    suite: &Suite,
    wasm_dir: &Path,
    count: &mut Count,
) -> anyhow::Result<()> {
    let mut command = match suite.runner {
        Runner::Cargo(target) => cargo_test(workspace, target),
        Runner::Node(folder) => {
            let folder = workspace.root.join(folder);
            node::packages(&folder, may_install)?;
            let mut node = Command::new("node");
            node.current_dir(folder)
                .args(["--test", "--test-reporter=tap", "suite.mjs"]);
            node
        }
    };
    command
        .env("ASSAY_WASM_DIR", wasm_dir)
        .env(SERVER_VARIABLE, server(workspace))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start the cases of {}", suite.client))?;
    let stdout = child.stdout.take().context("BUG: a runner has no stdout")?;
    let failed_before = count.failed;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.context("cannot read what a runner prints")?;
        let line = String::from_utf8_lossy(&line);
        match Case::read(&line) {
            Some(case) => {
                count.add(&case);
                process::out(&case.line(suite.client))?;
            }
            // What failed tests say about themselves.
            None if count.failed > failed_before => eprintln!("{line}"),
            None => {}
        }
    }
    let status = child.wait().context("cannot wait for `cargo test`")?;
    if !status.success() && count.failed == failed_before {
        process::out(&format!(
            "fail  {}  the suite could not be run",
            suite.client
        ))?;
        count.failed += 1;
    }
    Ok(())
}

fn cargo_test(workspace: &Workspace, target: &str) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--locked", "--workspace", "--test", target]);
    cargo
}

#[derive(Debug, Default)]
struct Count {
    passed: u64,
    failed: u64,
}

impl Count {
    fn add(&mut self, case: &Case) {
        match case.passed {
            true => self.passed += 1,
            false => self.failed += 1,
        }
    }
}

/// What became of one case.
#[derive(Debug, PartialEq, Eq)]
struct Case {
    passed: bool,
    /// What the client did, in words.
    what: String,
}

impl Case {
    /// Reads a line of a test binary, or of Node's runner.
    fn read(line: &str) -> Option<Self> {
        Self::read_cargo(line).or_else(|| Self::read_tap(line))
    }

    /// Reads a line like `not ok 3 - a client does something`.
    fn read_tap(line: &str) -> Option<Self> {
        let (passed, rest) = match line.strip_prefix("not ok ") {
            Some(rest) => (false, rest),
            None => (true, line.strip_prefix("ok ")?),
        };
        let (number, what) = rest.split_once(" - ")?;
        number.parse::<u32>().ok()?;
        Some(Self {
            passed,
            what: what.to_owned(),
        })
    }

    /// Reads a line like `test cycles::work_costs_cycles ... ok`.
    fn read_cargo(line: &str) -> Option<Self> {
        let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
        let passed = match result.trim() {
            "ok" => true,
            "FAILED" => false,
            _ => return None,
        };
        let what = match name.split_once("::") {
            Some((group, name)) => format!("{group}: {}", name.replace('_', " ")),
            None => name.replace('_', " "),
        };
        Some(Self { passed, what })
    }

    fn line(&self, client: &str) -> String {
        let word = if self.passed { "ok  " } else { "fail" };
        format!("{word}  {client}  {}", self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_told_in_words() {
        let case = Case::read("test cycles::work_costs_cycles ... ok").unwrap();
        assert_eq!(
            case.line("pocket-ic 16.1"),
            "ok    pocket-ic 16.1  cycles: work costs cycles"
        );
        let case = Case::read("test live::timers_run ... FAILED").unwrap();
        assert_eq!(case.line("client"), "fail  client  live: timers run");
        let case = Case::read("ok 2 - @dfinity/pic calls a canister").unwrap();
        assert_eq!(
            case.line("Node.js"),
            "ok    Node.js  @dfinity/pic calls a canister"
        );
        assert!(!Case::read("not ok 3 - a - b").unwrap().passed);
        for line in ["    ok 1 - part of a case", "ok then", "# tests 7"] {
            assert_eq!(Case::read(line), None);
        }
        for line in ["running 3 tests", "test result: ok. 5 passed; 0 failed", ""] {
            assert_eq!(Case::read(line), None);
        }
    }
}
