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

use crate::market_tests::MarketTests;
use crate::workspace::{Profile, Workspace};
use crate::{process, tests_run};

/// Markets in the simulator, and steps of each.
const MARKETS: (u64, u64) = (100_000, 10_000);
/// The package of the simulator.
const SIMULATOR: &str = "assay-cli";
/// The core's tests: package, binary, and what their names contain.
const CORE: (&str, &str, &str) = ("assay-jobs-core", "random_market", "random_markets");
/// Their seeds.
const CORE_SEEDS: u64 = 2_560;
/// The canisters' tests, and their seeds.
const CANISTERS: (&str, u64) = ("random::seed", 1_000);
/// What the tests of a full queue and of a crowded registry have in their names, and what makes them whole.
const LOAD: (&str, &str) = ("overtax", "ASSAY_LOAD_FULL");
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
    /// A full queue, ten thousand leases that end together, and a crowded registry.
    Load,
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
    let networks = wanted(Part::Canisters) || wanted(Part::Load);
    let market = networks
        .then(|| MarketTests::build(workspace, may_install))
        .transpose()?;
    if wanted(Part::Simulator) && !networks {
        process::run(workspace.release("build", &[SIMULATOR]).arg("--bins"))?;
    }

    let mut ended = ExitCode::SUCCESS;
    if wanted(Part::Simulator)
        && let Err(error) = process::run(&mut simulate(workspace, args))
    {
        eprintln!("error: {error:#}");
        ended = ExitCode::FAILURE;
    }
    let mut tests = Vec::new();
    if wanted(Part::Core) {
        let (package, binary, filter) = CORE;
        let mut cargo = workspace.release("test", &[package]);
        cargo
            .args(["--no-fail-fast", "--test", binary, filter])
            .env(SEEDS_VARIABLE, share(CORE_SEEDS, args).to_string());
        tests.push(cargo);
    }
    if let Some(market) = &market {
        if wanted(Part::Canisters) {
            let (filter, seeds) = CANISTERS;
            let mut cargo = market.cargo(filter);
            cargo.env(SEEDS_VARIABLE, share(seeds, args).to_string());
            tests.push(cargo);
        }
        if wanted(Part::Load) {
            let (filter, whole) = LOAD;
            let mut cargo = market.cargo(filter);
            // What was the dearest of each kind is what one looks at.
            cargo.env(whole, "1").args(["--", "--nocapture"]);
            tests.push(cargo);
        }
    }
    for mut cargo in tests {
        if tests_run::summed(&mut cargo)? != ExitCode::SUCCESS {
            ended = ExitCode::FAILURE;
        }
    }
    Ok(ended)
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
