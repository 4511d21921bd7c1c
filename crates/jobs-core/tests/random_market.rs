//! Random markets of honest and lying people: every invariant after every step, money against a
//! second opinion, and at the end the log gives the same state again.

use std::{collections::BTreeMap, ops::Range};

use assay_jobs_core::{
    Rules,
    testing::{Fixture, MemoryMarket, Plan, World},
};
use assay_protocol::Cycles;

const STEPS: usize = 500;

/// Runs one market per seed; gives how often things happened.
fn run(seeds: Range<u64>) -> BTreeMap<&'static str, u32> {
    let mut counts: BTreeMap<&'static str, u32> = BTreeMap::new();
    for seed in seeds {
        let plan = match seed % 5 {
            0 => Plan {
                providers: 3,
                ..Plan::default()
            },
            1 => Plan {
                workers_each: 2,
                slots: 1,
                ..Plan::default()
            },
            2 => Plan {
                fee_bps: 0,
                requesters: 1,
                rules: Rules {
                    trusted_after: 2,
                    ..Rules::default()
                },
                treasury: 20_000,
                ..Plan::default()
            },
            3 => Plan {
                rules: Rules {
                    trusted_after: 3,
                    audit_ppm_min: 300_000,
                    stake_factor: 1,
                    reveal_bond: Cycles(101),
                    ..Rules::LAX
                },
                stake: 8_000,
                treasury: 1_000_000,
                ..Plan::default()
            },
            _ => Plan {
                rules: Rules {
                    sponsor_caller_daily: Cycles(30_000),
                    sponsor_daily: Cycles(70_000),
                    ..Rules::LAX
                },
                sponsor: 200_000,
                ..Plan::default()
            },
        };
        let fixture = Fixture::new(plan.providers, plan.workers_each, plan.slots);
        let mut market = MemoryMarket::with_rules(&fixture, plan.fee_bps, plan.rules, seed);
        let mut world = World::new(plan, seed, &mut market, fixture);
        for _ in 0..STEPS {
            if let Err(what) = world.step(&mut market) {
                panic!("seed {seed}: {what}");
            }
        }
        if let Err(what) = world
            .finish(&mut market)
            .and_then(|()| market.check_replay())
        {
            panic!("seed {seed}: {what}");
        }
        for (&name, count) in market.auditor().counts() {
            *counts.entry(name).or_default() += count;
        }
        *counts.entry("lies").or_default() += world.lies() as u32;
        for name in ["submit sponsored", "submit too poor"] {
            *counts.entry(name).or_default() += world.times(name) as u32;
        }
    }
    counts
}

/// That the random markets reach what they are meant to test.
fn assert_reached(counts: &BTreeMap<&'static str, u32>) {
    let names = [
        "verified",
        "unverified",
        "inconclusive",
        "cancelled",
        "expired",
        "failed",
        "rejected",
        "extended",
        "silent",
        "lost",
        "late",
        "malformed",
        "waiting",
        "stalled",
        "audit left to chance",
        "audit spared",
        "audit drawn",
        "audit required",
        "bond lost",
        "submit sponsored",
        "submit too poor",
        "lies",
    ];
    for name in names {
        assert!(
            counts.get(name).is_some_and(|&count| count >= 3),
            "{name} happened too rarely: {counts:?}"
        );
    }
}

/// Seeds: 256, or as many as `cargo xtask nightly` asks for.
fn seeds() -> u64 {
    let asked = std::env::var("ASSAY_NIGHTLY_SEEDS").ok();
    asked.map_or(256, |seeds| seeds.parse().expect("a number of seeds"))
}

#[test]
fn invariants_hold_in_random_markets_1() {
    assert_reached(&run(0..seeds() / 2));
}

#[test]
fn invariants_hold_in_random_markets_2() {
    assert_reached(&run(seeds() / 2..seeds()));
}
