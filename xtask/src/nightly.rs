//! `nightly`: the market's random tests with far more seeds than every push can run.
//!
//! First whole markets in the simulator, then random commands to the core, then random commands to the built canisters, and
//! a full queue with ten thousand leases.
//! `--share N` divides the number of seeds, for shorter nights; `--part` names what is run, and `--resume` goes on with the
//! simulator where a file ends.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Args, ValueEnum};

use crate::workspace::{Profile, Workspace};
use crate::{launch, process, tests_run};

/// Markets in the simulator, and steps of each.
const MARKETS: (u64, u64) = (100_000, 10_000);
/// The packages of the simulator and of the server of networks.
const PROGRAMS: &[&str] = &["assay-cli", "assay-localnet"];
/// The parts that are tests: package, names of the tests, and the variable that makes them long.
const TESTS: [(Part, &str, &str, Long); 3] = [
    (
        Part::Core,
        "assay-jobs-core",
        "random_markets",
        Long::Seeds(2_560),
    ),
    (
        Part::Canisters,
        "assay-tests",
        "random::seed",
        Long::Seeds(1_000),
    ),
    (
        Part::Load,
        "assay-tests",
        "load::a_long_queue",
        Long::Full("ASSAY_LOAD_FULL"),
    ),
];
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
    // Always together, so that both share one set of dependencies; the core's tests need neither.
    if [Part::Simulator, Part::Canisters, Part::Load]
        .into_iter()
        .any(wanted)
    {
        launch::build_packages(workspace, Profile::Release, PROGRAMS)?;
    }
    let mut ended = ExitCode::SUCCESS;
    if wanted(Part::Simulator)
        && let Err(error) = process::run(&mut simulate(workspace, args))
    {
        eprintln!("error: {error:#}");
        ended = ExitCode::FAILURE;
    }
    // The market's tests spend half of their time in the server.
    let server = tests_run::server(workspace, Profile::Release);
    for (_, package, tests, long) in TESTS.into_iter().filter(|(part, ..)| wanted(*part)) {
        let long: (&str, OsString) = match long {
            Long::Seeds(seeds) => (SEEDS_VARIABLE, share(seeds, args).to_string().into()),
            Long::Full(variable) => (variable, "1".into()),
        };
        let told = tests_run::run(
            workspace,
            may_install,
            &[package.to_owned()],
            Some(tests),
            &[],
            &[long, (tests_run::SERVER_VARIABLE, server.clone())],
        )?;
        if told != ExitCode::SUCCESS {
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
