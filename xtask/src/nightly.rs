//! `nightly`: the market's random tests with far more seeds than every push can run.
//!
//! First whole markets in the simulator, then random commands to the core, then random commands to the built canisters, and
//! a full queue with ten thousand leases.
//! `--share N` divides the number of seeds, for shorter nights.

use std::ffi::OsString;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::workspace::{Profile, Workspace};
use crate::{launch, process, tests_run};

/// Markets in the simulator, and steps of each.
const MARKETS: (u64, u64) = (100_000, 10_000);
/// The packages of the simulator and of the server of networks.
const PROGRAMS: &[&str] = &["assay-cli", "assay-localnet"];
/// Random commands to the core and to the canisters: package, names of the tests, seeds.
const RANDOM: [(&str, &str, u64); 2] = [
    ("assay-jobs-core", "random_markets", 2_560),
    ("assay-tests", "random::seed", 1_000),
];
/// The test of a full market, and what makes it full.
const LOAD: (&str, &str, &str) = ("assay-tests", "load::a_long_queue", "ASSAY_LOAD_FULL");
/// How many seeds those tests run.
const SEEDS_VARIABLE: &str = "ASSAY_NIGHTLY_SEEDS";

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
}

/// Runs all of them; goes on after a failure, so that one night shows everything.
pub(crate) fn run(
    workspace: &Workspace,
    may_install: bool,
    args: &NightlyArgs,
) -> anyhow::Result<ExitCode> {
    let shared = |seeds: u64| seeds.div_ceil(args.share.get());
    launch::build_packages(workspace, Profile::Release, PROGRAMS)?;
    let (markets, steps) = MARKETS;
    let mut assay = std::process::Command::new(workspace.program(Profile::Release, "assay"));
    assay
        .args(["simulate", "--check-every", "100"])
        .args(["--seeds", &shared(markets).to_string()])
        .args(["--steps", &steps.to_string()])
        .args(["--first", &args.first.to_string()]);
    if let Some(file) = &args.resume {
        assay.arg("--resume").arg(file);
    }
    let mut ended = ExitCode::SUCCESS;
    if let Err(error) = process::run(&mut assay) {
        eprintln!("error: {error:#}");
        ended = ExitCode::FAILURE;
    }
    // The market's tests spend half of their time in the server.
    let server = tests_run::server(workspace, Profile::Release);
    let random = RANDOM.map(|(package, tests, seeds)| {
        let seeds = shared(seeds).to_string().into();
        (package, tests, (SEEDS_VARIABLE, seeds))
    });
    let (package, tests, variable) = LOAD;
    let load = (package, tests, (variable, OsString::from("1")));
    for (package, tests, variable) in random.into_iter().chain([load]) {
        let told = tests_run::run(
            workspace,
            may_install,
            &[package.to_owned()],
            Some(tests),
            &[],
            &[variable, (tests_run::SERVER_VARIABLE, server.clone())],
        )?;
        if told != ExitCode::SUCCESS {
            ended = ExitCode::FAILURE;
        }
    }
    Ok(ended)
}
