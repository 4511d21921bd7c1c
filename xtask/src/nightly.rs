//! `nightly`: the market's random tests with far more seeds than every push can run.
//!
//! First whole markets in the simulator, then random commands to the core, then random commands to the built canisters, and
//! a full queue with ten thousand leases.
//! `--share N` divides the number of seeds, for shorter nights; `--part` names what is run, and `--resume` goes on with the
//! simulator where a file ends.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Args, ValueEnum};

use crate::wasm::Beside;
use crate::workspace::{Profile, Workspace};
use crate::{process, tests_run, wasm};

/// Markets in the simulator, and steps of each.
const MARKETS: (u64, u64) = (100_000, 10_000);
/// The parts that are tests, and the variable that makes them long.
const TESTS: [(Part, Tests, Long); 3] = [
    (
        Part::Core,
        Tests {
            packages: &["assay-jobs-core"],
            binary: "random_market",
            filter: "random_markets",
        },
        Long::Seeds(2_560),
    ),
    (
        Part::Canisters,
        Tests {
            packages: NETWORKS,
            binary: MARKET,
            filter: "random::seed",
        },
        Long::Seeds(1_000),
    ),
    (
        Part::Load,
        Tests {
            packages: NETWORKS,
            binary: MARKET,
            filter: "load::a_long_queue",
        },
        Long::Full("ASSAY_LOAD_FULL"),
    ),
];
/// The package of the simulator.
const SIMULATOR: &str = "assay-cli";
/// The packages of the tests that have networks: always together, so that they and the simulator share one set of dependencies.
const NETWORKS: &[&str] = &[SIMULATOR, "assay-localnet", "assay-tests"];
/// The binary of the market's tests.
const MARKET: &str = "market";
/// How many seeds those tests run.
const SEEDS_VARIABLE: &str = "ASSAY_NIGHTLY_SEEDS";

/// What a night is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Whole markets in the simulator.
    Simulator,
    /// Random commands to the core.
    Core,
    /// Random commands to the built canisters.
    Canisters,
    /// A full queue, and ten thousand leases that end together.
    Load,
}

/// Tests of one binary.
#[derive(Clone, Copy, Debug)]
struct Tests {
    /// What is built together; one of them has the binary.
    packages: &'static [&'static str],
    binary: &'static str,
    /// What their names contain.
    filter: &'static str,
}

/// How a test is made long.
#[derive(Clone, Copy, Debug)]
enum Long {
    /// By its seeds, of which shorter nights run a share.
    Seeds(u64),
    /// By this variable, in whole.
    Full(&'static str),
}

#[derive(Args)]
pub(crate) struct NightlyArgs {
    /// Run only one in so many seeds.
    #[arg(long, default_value = "1", value_name = "N")]
    share: NonZeroU64,
    /// The first seed in the simulator, so that every night may have others.
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    first: u64,
    /// Keep in this file what the simulator gave, and go on where it ends, so that a night may have parts.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Run only this part; may be given several times.
    #[arg(long, value_name = "PART")]
    part: Vec<Part>,
}

/// Runs all of them, or those that are named; goes on after a failure, so that one night shows everything.
pub(crate) fn run(
    workspace: &Workspace,
    may_install: bool,
    args: &NightlyArgs,
) -> anyhow::Result<ExitCode> {
    let wanted = |part: Part| args.part.is_empty() || args.part.contains(&part);
    let mut wasm_dir = None;
    if wanted(Part::Canisters) || wanted(Part::Load) {
        let (built, ()) = wasm::build_beside(workspace, may_install, Beside::Tests, || {
            let mut cargo = release(workspace, "build", NETWORKS);
            process::run(cargo.args(["--bins", "--test", MARKET]))
        })?;
        wasm_dir = Some(built);
    } else if wanted(Part::Simulator) {
        process::run(release(workspace, "build", &[SIMULATOR]).arg("--bins"))?;
    }

    let mut ended = ExitCode::SUCCESS;
    if wanted(Part::Simulator)
        && let Err(error) = process::run(&mut simulate(workspace, args))
    {
        eprintln!("error: {error:#}");
        ended = ExitCode::FAILURE;
    }
    for (_, tests, long) in TESTS.into_iter().filter(|(part, ..)| wanted(*part)) {
        let mut cargo = release(workspace, "test", tests.packages);
        cargo
            .args(["--no-fail-fast", "--test", tests.binary, tests.filter])
            .env(
                tests_run::SERVER_VARIABLE,
                tests_run::server(workspace, Profile::Release),
            )
            .envs(wasm_dir.iter().map(|dir| (tests_run::WASM_VARIABLE, dir)));
        match long {
            Long::Seeds(seeds) => cargo.env(SEEDS_VARIABLE, share(seeds, args).to_string()),
            Long::Full(variable) => cargo.env(variable, "1"),
        };
        if !tests_run::summed(&mut cargo)? {
            ended = ExitCode::FAILURE;
        }
    }
    Ok(ended)
}

/// Cargo in the release build: the tests of markets are as busy as the networks that they ask.
fn release(workspace: &Workspace, task: &str, packages: &[&str]) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args([task, "--locked", "--release"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    cargo
}

fn simulate(workspace: &Workspace, args: &NightlyArgs) -> Command {
    let (markets, steps) = MARKETS;
    let mut assay = Command::new(workspace.program(Profile::Release, "assay"));
    assay
        .args(["simulate", "--check-every", "100"])
        .args(["--seeds", &share(markets, args).to_string()])
        .args(["--steps", &steps.to_string()])
        .args(["--first", &args.first.to_string()]);
    if let Some(file) = &args.resume {
        assay.arg("--resume").arg(file);
    }
    assay
}

/// How many of so many seeds are run.
fn share(seeds: u64, args: &NightlyArgs) -> u64 {
    seeds.div_ceil(args.share.get())
}
