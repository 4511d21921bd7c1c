//! What the jobs canister says about its own cost.

use std::collections::BTreeMap;

use crate::upgrade;

/// What no message of the market may pass.
const INSTRUCTIONS_MAX: u64 = 2_000_000_000;
/// What a job from submit to settlement needs.
const METHODS: [&str; 10] = [
    "commit",
    "claim",
    "deposit",
    "match",
    "ready",
    "reveal",
    "set_offers",
    "submit",
    "sweep",
    "transcript",
];

/// The samples of one metric by their method.
fn samples<'a>(metrics: &'a str, name: &str) -> BTreeMap<&'a str, u64> {
    let head = format!("{name}{{method=\"");
    let mut found = BTreeMap::new();
    for line in metrics.lines() {
        let Some((method, value)) = line
            .strip_prefix(&head)
            .and_then(|rest| rest.split_once("\"} "))
        else {
            continue;
        };
        let twice = found.insert(method, value.parse().expect("a number"));
        assert_eq!(twice, None, "{line}");
    }
    found
}

#[test]
fn every_method_of_a_job_shows_its_calls_and_instructions() {
    let mut market = upgrade::run(upgrade::STEPS);
    // Until a sweep has come.
    market.chain.pass(3);
    let jobs = market.chain.jobs;
    let metrics = market.chain.page(jobs, "/metrics");
    for (name, kind) in [
        ("jobs_method_calls_total", "counter"),
        ("jobs_method_last_instructions", "gauge"),
        ("jobs_method_highest_instructions", "gauge"),
    ] {
        let typed = format!("# TYPE {name} {kind}\n");
        assert_eq!(metrics.matches(&typed).count(), 1, "{metrics}");
    }
    let calls = samples(&metrics, "jobs_method_calls_total");
    let last = samples(&metrics, "jobs_method_last_instructions");
    let highest = samples(&metrics, "jobs_method_highest_instructions");
    for method in METHODS {
        assert!(calls[method] > 0, "{metrics}");
    }
    assert_eq!((calls["submit"], calls["commit"]), (1, 2), "{metrics}");
    assert!(calls.keys().eq(last.keys()) && calls.keys().eq(highest.keys()));
    for (method, highest) in &highest {
        assert!(
            (1..=*highest).contains(&last[method]) && *highest < INSTRUCTIONS_MAX,
            "{method}: {} of {highest}",
            last[method]
        );
    }

    let logs = market.chain.page(jobs, "/logs");
    assert!(!logs.contains("Why is the sky blue?"), "{logs}");

    // They count from the last upgrade.
    market.chain.upgrade_all();
    let metrics = market.chain.page(jobs, "/metrics");
    let calls = samples(&metrics, "jobs_method_calls_total");
    assert_eq!(calls.get("submit"), None, "{metrics}");
}
