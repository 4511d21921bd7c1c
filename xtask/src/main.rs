//! Project tasks: set-up, Wasm build, model, demo, tests and checks.
//!
//! Two commands carry a fresh clone all the way, with nothing else typed: `cargo xtask demo` and `cargo xtask test`.
//! Each finds what it needs, says in one line what it is about to install, and tells how to do it by hand when it
//! may not. It depends on none of the other crates, so a broken tree can still be checked.
//!
//! Exit codes: 0 done; 1 a check or a step failed; 2 wrong usage; 9 something must be installed or fetched by hand.
//! `demo` and `up` hand on the exit code of `assay`.

mod bench;
mod bindings;
mod checks;
mod conformance;
mod fuzz;
mod launch;
mod market_tests;
mod model;
mod nightly;
mod node;
mod page;
mod process;
mod python;
mod tests_run;
mod tidy;
mod toolchain;
mod tools;
mod wasm;
mod web;
mod workspace;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::workspace::{Profile, Workspace};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Project tasks: set-up, Wasm build, model, demo, tests and checks"
)]
#[command(
    after_help = "Exit codes: 0 done; 1 a check or a step failed; 2 wrong usage; 9 install or fetch something by hand."
)]
struct Cli {
    /// Never install anything on this machine; say how to do it by hand instead.
    #[arg(long, global = true, env = "ASSAY_NO_INSTALL", value_parser = clap::builder::FalseyValueParser::new())]
    no_install: bool,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Set up, then run `assay demo`: a real prompt, real workers, a verified answer.
    Demo(Forwarded),
    /// Set up, then run `assay up`: the local network with canisters and workers, until interrupted.
    Up(Forwarded),
    /// Set up, then build and run every test.
    Test(TestArgs),
    /// Run clients that are not ours against what we serve, one line per case.
    Conformance {
        /// What is tested.
        #[arg(value_enum)]
        subject: conformance::Subject,
        /// Of the engine: every tiny model in every variant in WebAssembly and under emulators as well, which takes several times as long.
        #[arg(long)]
        whole: bool,
    },
    /// Measure something, and print the numbers as a table.
    Bench {
        #[command(subcommand)]
        subject: Bench,
    },
    /// Fuzz what strangers send to the embedded network; no part of the whole check.
    Fuzz(FuzzArgs),
    /// The market's random tests with far more seeds than every push can run; hours of them.
    Nightly(nightly::NightlyArgs),
    /// Checks that run no product code: fmt, tidy, bindings, clippy, docs.
    Lint,
    /// The whole check: test, then lint.
    Ci,
    /// Find or install the Wasm toolchain, and build the canisters into target/wasm.
    Wasm(WasmArgs),
    /// Build the engine for browsers into target/web.
    Web,
    /// Build the web app into frontend/dist; needs Node.js.
    Page,
    /// Fetch the default model, check its SHA-256, and convert it once into the cache.
    Model(ModelArgs),
    /// Regenerate the TypeScript bindings in frontend/src/bindings from candid/.
    Bindings(BindingsArgs),
    /// Check dependency edges, files, and that dfx.json and icp.yaml describe the same canisters.
    Tidy,
}

#[derive(Args)]
struct Forwarded {
    /// Handed on to `assay`; put `--` first to reach its own --help.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

#[derive(Args)]
struct TestArgs {
    /// Run only the tests of these packages.
    #[arg(short, long = "package", value_name = "PACKAGE")]
    packages: Vec<String>,
    /// Run only the tests whose name contains this text.
    filter: Option<String>,
    /// Handed on to the test binaries.
    #[arg(last = true)]
    args: Vec<String>,
}

#[derive(Subcommand)]
enum Bench {
    /// The embedded network: latency, throughput, start, installation, memory. With POCKET_IC_BIN at another server,
    /// that one is measured as well.
    Localnet {
        /// Also write every number, with all its runs, to this file as JSON.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Runs per number; the median counts.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=99))]
        runs: u16,
    },
    /// Instructions of canister code on the embedded network, by canbench, beside published figures.
    Canbench,
    /// What the engine's work costs in a canister, in instructions as the Internet Computer weighs them.
    Metering,
    /// The engine beside llama.cpp, in alternating runs on the default model.
    Engine(bench::engine::Args),
    /// What a checked answer costs beside an unchecked one: compute, latency and cycles, with real workers.
    Market {
        /// Questions; each is asked once in both ways, and the median counts.
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=99))]
        rounds: u16,
        /// Threads of each worker.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
        threads: u16,
    },
    /// What one job costs in markets that have settled so many jobs, a tenth of that, and so on.
    Growth {
        /// The most jobs; 80,000 take five minutes; the network takes no memory above 512 MiB.
        #[arg(long, default_value = "80000")]
        jobs: NonZeroU64,
        /// Also draw the costs into this file as SVG.
        #[arg(long, value_name = "FILE")]
        plot: Option<PathBuf>,
    },
}

#[derive(Args)]
struct FuzzArgs {
    /// What is fuzzed; everything in turn when it is left out.
    #[arg(value_enum)]
    target: Option<fuzz::Target>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Run this one input again instead.
    #[arg(long, value_name = "FILE", requires = "target")]
    replay: Option<PathBuf>,
}

#[derive(Args)]
struct WasmArgs {
    /// Canisters to build; all of the product when none is named.
    canisters: Vec<String>,
}

#[derive(Args)]
struct ModelArgs {
    /// Use this GGUF file instead of downloading; its SHA-256 is checked all the same.
    #[arg(long, value_name = "PATH")]
    gguf: Option<PathBuf>,
}

#[derive(Args)]
struct BindingsArgs {
    /// Change nothing; fail when the committed bindings are stale.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if by_hand(&error) { 9 } else { 1 })
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    let may_install = !cli.no_install;
    match cli.task {
        Task::Demo(forwarded) => launch::assay(&workspace, may_install, "demo", &forwarded.args),
        Task::Up(forwarded) => launch::assay(&workspace, may_install, "up", &forwarded.args),
        Task::Test(args) => tests_run::run(
            &workspace,
            may_install,
            &args.packages,
            args.filter.as_deref(),
            &args.args,
        ),
        Task::Conformance { subject, whole } => {
            conformance::run(&workspace, may_install, subject, whole)
        }
        Task::Bench { subject } => match subject {
            Bench::Localnet { json, runs } => {
                bench::localnet::run(&workspace, may_install, json.as_deref(), runs)
            }
            Bench::Canbench => bench::canbench::run(&workspace, may_install),
            Bench::Metering => bench::metering::run(&workspace, may_install),
            Bench::Engine(args) => bench::engine::run(&workspace, may_install, &args),
            Bench::Market { rounds, threads } => {
                bench::market::run(&workspace, may_install, rounds, threads)
            }
            Bench::Growth { jobs, plot } => {
                bench::market::growth(&workspace, may_install, jobs, plot.as_deref())
            }
        },
        Task::Fuzz(args) => fuzz::run(
            &workspace,
            may_install,
            args.target,
            args.seconds,
            args.replay.as_deref(),
        ),
        Task::Nightly(args) => nightly::run(&workspace, may_install, &args),
        Task::Lint => checks::lint(&workspace, may_install),
        Task::Ci => checks::ci(&workspace, may_install),
        Task::Wasm(args) => {
            wasm::build(&workspace, may_install, &args.canisters)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Web => {
            let folder = web::build(&workspace, may_install)?;
            process::out(&folder.display().to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Page => {
            let folder = page::build(&workspace, may_install)?;
            process::out(&folder.display().to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Model(args) => {
            let places = model::fetch(&workspace, args.gguf.as_deref())?;
            launch::build_programs(&workspace, Profile::Release)?;
            let file = model::convert(&workspace, Profile::Release, &places)?;
            process::out(&file.display().to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Bindings(args) => {
            if args.check {
                bindings::check(&workspace, may_install)?;
            } else {
                bindings::generate(&workspace, may_install)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Task::Tidy => {
            tidy::run(&workspace)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Whether the remedy is something only a person can do: install a tool, fetch a file.
fn by_hand(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<toolchain::ToolchainError>()
            || cause.is::<process::ToolMissing>()
            || matches!(
                cause.downcast_ref(),
                Some(model::ModelError::NotFetched { .. })
            )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(line: &str) -> Vec<String> {
        match Cli::try_parse_from(line.split(' ')).unwrap().task {
            Task::Demo(forwarded) => forwarded.args,
            _ => panic!("not the demo"),
        }
    }

    #[test]
    fn the_demo_hands_on_its_arguments() {
        assert!(forwarded("xtask demo").is_empty());
        assert_eq!(forwarded("xtask demo --cheat"), ["--cheat"]);
        assert_eq!(
            forwarded("xtask demo -- --prompt Why?"),
            ["--prompt", "Why?"]
        );
        assert_eq!(
            forwarded("xtask demo --prompt Why? --seed -1"),
            ["--prompt", "Why?", "--seed", "-1"]
        );
        assert_eq!(forwarded("xtask demo -- --help"), ["--help"]);
    }

    #[test]
    fn tests_can_be_narrowed() {
        let line = "xtask test -p assay-tests upgrade -- --nocapture";
        let Task::Test(args) = Cli::try_parse_from(line.split(' ')).unwrap().task else {
            panic!("not the tests");
        };
        assert_eq!(args.packages, ["assay-tests"]);
        assert_eq!(args.filter.as_deref(), Some("upgrade"));
        assert_eq!(args.args, ["--nocapture"]);
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
