//! The tier of every push: all faults, all kinds of people. Larger tiers run by `assay simulate`.

use assay_simulator::{Campaign, Failure, Fault, Kind, Outcome, Report};

const CAMPAIGN: Campaign = Campaign {
    first: 0,
    seeds: 1_000,
    steps: 5_000,
    check_every: 100,
    threads: 2,
};

fn run(campaign: &Campaign) -> Report {
    campaign
        .run(|_| {})
        .unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn a_thousand_markets_keep_their_promises() {
    let report = run(&CAMPAIGN);
    assert_eq!(report.seeds, CAMPAIGN.seeds);
    assert!(report.steps >= CAMPAIGN.seeds * CAMPAIGN.steps);
    assert_eq!(report.probes, 5 * CAMPAIGN.seeds, "every question in peace");
    assert_reached(&report);
}

/// That the seeds reach what they are meant to test.
fn assert_reached(report: &Report) {
    for fault in Fault::ALL {
        let count = report.faults[fault.name()];
        assert!(count > 0, "{} never happened: {report}", fault.name());
    }
    for kind in Kind::ADVERSARIES {
        let worked = report.workers.get(&kind);
        let leases = worked.map_or(0, |worked| worked.leases);
        assert!(leases > 0, "no {} ever worked: {report}", kind.name());
    }
    for event in [
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
        "abandoned",
        "waiting",
        "stalled",
        "audit drawn",
        "audit required",
        "audit spared",
        "bond lost",
        "canary right",
        "canary caught",
        "canary refuted",
        "canary unanswered",
        "deposit begun",
        "withdrawal begun",
        "transfer done",
        "transfer failed",
        "transfer quarantined",
        "transfer resolved",
    ] {
        assert!(
            report.events.get(event).is_some_and(|&count| count > 0),
            "{event} never happened: {report}"
        );
    }
    assert!(report.sponsored > 0, "nothing was sponsored: {report}");
    let stallers = &report.workers[&Kind::Staller];
    assert!(stallers.forfeited > 0, "no silence cost a bond: {report}");
    for idle in [Kind::Copier, Kind::Griefer, Kind::Squatter] {
        assert_eq!(report.workers[&idle].earned, 0, "{}: {report}", idle.name());
    }
}

#[test]
fn every_step_of_some_markets_keeps_all_invariants() {
    run(&Campaign {
        first: 1_000,
        seeds: 4,
        steps: 600,
        check_every: 1,
        ..CAMPAIGN
    });
}

fn json(report: &Report) -> String {
    let report = report.clone();
    let captures = Vec::new();
    Outcome { report, captures }.to_json()
}

#[test]
fn the_same_seeds_give_the_same_bytes_on_any_number_of_threads() {
    let few = Campaign {
        first: 7,
        seeds: 6,
        steps: 300,
        ..CAMPAIGN
    };
    let report = run(&Campaign { threads: 1, ..few });
    // Checks change nothing either.
    let again = run(&Campaign {
        threads: 3,
        check_every: 50,
        ..few
    });
    assert_eq!(json(&report), json(&again));
    assert_eq!(report.to_string(), again.to_string());
    let other = run(&Campaign { first: 8, ..few });
    assert_ne!(json(&report), json(&other));
}

#[test]
fn a_failure_names_the_seed_the_step_and_the_command() {
    let failure = Failure {
        seed: 12,
        step: 345,
        steps: 1_000,
        what: "lease 6 was paid twice".into(),
        plan: "workers: honest 1+1".into(),
    };
    expect_test::expect![[r#"
        seed 12, step 345: lease 6 was paid twice
          with workers: honest 1+1
          again: assay simulate --first 12 --seeds 1 --steps 1000"#]]
    .assert_eq(&failure.to_string());
}
