//! Thousands of interleavings of money that comes and leaves over a network that loses, delays, repeats and forgets:
//! conservation is exact, nothing is paid twice, every transfer comes to an end, and the log gives the same state again.

use std::{collections::BTreeMap, ops::Range};

use assay_jobs_core::{
    Rules,
    testing::{
        Fixture, Ledger, MemoryMarket, Plan, VaultWorld, World, payout, provider, requester,
    },
};

type Counts = BTreeMap<&'static str, u32>;

fn add(counts: &mut Counts, more: &Counts) {
    for (&name, count) in more {
        *counts.entry(name).or_default() += count;
    }
}

/// Only the vault: many seeds.
fn run(seeds: Range<u64>, steps: usize) -> Counts {
    let mut counts = Counts::new();
    for seed in seeds {
        let people = (0..3).map(requester).collect();
        let mut market = MemoryMarket::new(&Fixture::new(0, 0, 0), 0, seed);
        let (mut world, mut books) = (VaultWorld::new(seed, people), Ledger::default());
        let mut all = || {
            for _ in 0..steps {
                world.step(&mut market, &mut books)?;
            }
            world.finish(&mut market, &mut books)?;
            market.check_replay()
        };
        if let Err(what) = all() {
            panic!("seed {seed}: {what}");
        }
        add(&mut counts, world.counts());
        add(&mut counts, market.auditor().counts());
    }
    counts
}

fn assert_reached(counts: &Counts) {
    let names = [
        "deposit from",
        "withdraw",
        "too poor",
        "ledger short",
        "cycles short",
        "fee unknown",
        "too small",
        "too many",
        "out of cycles",
        "callback traps",
        "timed out",
        "lost",
        "upgrade",
        "repeat",
        "under way",
        "not settled yet",
        "resolve",
        "ledger fee told",
        "deposit begun",
        "withdrawal begun",
        "transfer tried again",
        "transfer done",
        "transfer done late",
        "transfer failed",
        "transfer quarantined",
        "transfer resolved",
    ];
    for name in names {
        assert!(
            counts.get(name).is_some_and(|&count| count >= 3),
            "{name} happened too rarely: {counts:?}"
        );
    }
}

#[test]
fn money_is_never_paid_twice_1() {
    assert_reached(&run(0..1_000, 200));
}

#[test]
fn money_is_never_paid_twice_2() {
    assert_reached(&run(1_000..2_000, 200));
}

#[test]
fn money_moves_in_and_out_while_jobs_are_done() {
    let mut counts = Counts::new();
    for seed in 0..24 {
        let plan = Plan {
            rules: Rules {
                trusted_after: 3,
                ..Rules::default()
            },
            stake: 8_000,
            treasury: 1_000_000,
            funds: 300_000_000,
            ..Plan::default()
        };
        let fixture = Fixture::new(plan.providers, plan.workers_each, plan.slots);
        let mut market = MemoryMarket::with_rules(&fixture, plan.fee_bps, plan.rules, seed);
        let mut jobs = World::new(plan, seed, &mut market, fixture);
        let people = (0..plan.requesters)
            .map(requester)
            .chain((0..plan.providers).flat_map(|i| [provider(i), payout(i)]))
            .collect();
        let mut vault = VaultWorld::new(seed, people);
        let mut all = || {
            for step in 0..400 {
                jobs.step(&mut market)?;
                if step % 2 == 0 {
                    vault.step(&mut market, jobs.books())?;
                }
            }
            vault.finish(&mut market, jobs.books())?;
            jobs.finish(&mut market)?;
            market.check_replay()
        };
        if let Err(what) = all() {
            panic!("seed {seed}: {what}");
        }
        add(&mut counts, vault.counts());
        add(&mut counts, market.auditor().counts());
    }
    for name in ["verified", "transfer done", "withdraw", "transfer failed"] {
        assert!(
            counts.get(name).is_some_and(|&count| count >= 10),
            "{name} happened too rarely: {counts:?}"
        );
    }
}
