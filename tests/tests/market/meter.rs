//! What the jobs canister says about its own cost.

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::PathBuf};

use assay_jobs_core::testing::{requester, worker};
use assay_protocol::{JobId, job::StreamArgs, request::ModelRef};

use crate::{
    authority::request,
    load::{dearest, query_cost, query_costs},
    upgrade,
};

/// What no message of the market may pass.
pub(crate) const INSTRUCTIONS_MAX: u64 = 2_000_000_000;
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
pub(crate) fn samples<'a>(metrics: &'a str, name: &str) -> BTreeMap<&'a str, u64> {
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

/// By how much a cost may differ from the written one before somebody must look at it: in percent.
const TOLERANCE_PERCENT: u64 = 2;

fn written() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/market/instructions.txt"]
        .iter()
        .collect()
}

/// What each message of one checked job takes, and each query about it, in instructions.
fn measured() -> BTreeMap<String, u64> {
    let mut market = upgrade::run(upgrade::STEPS);
    market.chain.pass(3);
    let chain = &mut market.chain;
    let mut costs = dearest(chain);
    costs.retain(|work, _| METHODS.contains(&work.as_str()));
    let (asker, job) = (requester(0), JobId(1));
    let stream = StreamArgs {
        job,
        round: 0,
        cursor: 0,
    };
    let asked = request(ModelRef::Name("tiny".to_owned()));
    costs.extend(query_costs(chain, asker, job, &asked));
    let account = Some(asker);
    for (name, cost) in [
        ("balance", query_cost(chain, asker, "balance", (account,))),
        ("holdings", query_cost(chain, asker, "holdings", (account,))),
        ("stats", query_cost(chain, asker, "stats", ())),
        ("stream", query_cost(chain, asker, "stream", (stream,))),
        ("work", query_cost(chain, worker(0), "work", ())),
    ] {
        costs.insert(format!("{name} (query)"), cost);
    }
    costs
}

#[test]
fn the_instructions_of_the_main_endpoints_are_the_written_ones() {
    let costs = measured();
    let mut text = String::new();
    for (work, instructions) in &costs {
        writeln!(text, "{work} {instructions}").unwrap();
    }
    if env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(written(), &text).unwrap();
    }
    let before = fs::read_to_string(written()).expect("the costs are written down");
    let before: BTreeMap<&str, u64> = before
        .lines()
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(work, instructions)| (work, instructions.parse().expect("a number")))
        .collect();
    let near = |(work, now): (&String, &u64)| {
        before
            .get(work.as_str())
            .is_some_and(|before| now.abs_diff(*before) * 100 <= before * TOLERANCE_PERCENT)
    };
    assert!(
        costs.len() == before.len() && costs.iter().all(near),
        "written:\n{before:#?}\nmeasured:\n{text}UPDATE_EXPECT=1 writes what was measured"
    );
}
