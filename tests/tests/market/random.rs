//! Random commands against the shipped Wasm: 20 seeds of 300 steps, with an upgrade of every canister on the way; longer ones at night.
//!
//! The world is the one that the core is tested with. After every third step, which is what a network has time for, it
//! compares receipts and job views with its own books, and all balances every tenth time, so the canisters must do what
//! the core does.

use assay_jobs_core::{
    Rules,
    testing::{Fixture, Plan, World},
};
use assay_protocol::Cycles;

use crate::worker::CanisterMarket;

/// Steps of a push, and of a night.
const STEPS: (usize, usize) = (300, 500);
/// Tests that run side by side.
const TESTS: usize = 20;

/// Seeds and steps of each: a seed for each test, or as many as a night asks for.
fn extent() -> (u64, usize) {
    let asked = std::env::var("ASSAY_NIGHTLY_SEEDS").ok();
    asked.map_or((TESTS as u64, STEPS.0), |seeds| {
        (seeds.parse().expect("a number of seeds"), STEPS.1)
    })
}

fn run(seed: u64, steps: usize) {
    let plan = Plan {
        attach: false,
        funds: 50_000_000,
        look_every: 3,
        all_every: 10,
        ..Plan::default()
    };
    // Every other market audits, and wants stake.
    let plan = match seed % 2 {
        0 => plan,
        _ => Plan {
            rules: Rules {
                trusted_after: 2,
                audit_ppm_min: 300_000,
                stake_factor: 1,
                reveal_bond: Cycles(101),
                ..Rules::LAX
            },
            stake: 8_000,
            treasury: 1_000_000,
            ..plan
        },
    };
    let mut fixture = Fixture::new(plan.providers, plan.workers_each, plan.slots);
    let mut market = CanisterMarket::with_rules(&mut fixture, plan.fee_bps, plan.rules, seed);
    let mut world = World::new(plan, seed, &mut market, fixture);
    for step in 0..steps {
        // Somewhere in the middle, at another place for every seed.
        if step == steps / 4 + (seed as usize * 7) % (steps / 2) {
            market.upgrade();
        }
        if let Err(what) = world.step(&mut market) {
            panic!("seed {seed}: {what}");
        }
    }
    if let Err(what) = world.finish(&mut market) {
        panic!("seed {seed}: {what}");
    }
    let stats = market.chain.stats();
    assert_eq!(
        stats.held.0, 0,
        "seed {seed}: every job has ended, and nothing is held"
    );
}

/// One test for each seed, so that they run side by side and a failure names its seed.
macro_rules! seeds {
    ($($name:ident $seed:literal),* $(,)?) => {
        $(#[test]
        fn $name() {
            // More of them if `cargo xtask nightly` asks for that: every twentieth is this test's.
            let (seeds, steps) = extent();
            for seed in ($seed..seeds).step_by(TESTS) {
                run(seed, steps);
            }
        })*
    };
}

seeds! {
    seed_00 0, seed_01 1, seed_02 2, seed_03 3, seed_04 4, seed_05 5, seed_06 6, seed_07 7, seed_08 8, seed_09 9,
    seed_10 10, seed_11 11, seed_12 12, seed_13 13, seed_14 14, seed_15 15, seed_16 16, seed_17 17, seed_18 18,
    seed_19 19,
}
