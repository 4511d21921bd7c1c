//! How the work of one job grows with the number of jobs that there have been.

use std::{collections::BTreeMap, env, fs};

use assay_jobs_core::{
    Rules,
    testing::{Fixture, MODELS},
};
use assay_protocol::{
    Cycles, JobId,
    job::{SubmitArgs, SubmitError, Submitted},
    lease::WorkerError,
    limits::SLOTS_MAX,
    request::{Assurance, ModelRef},
};

use super::{dearest, finish, natively, offers, plot::plot, query_costs, receipt, say};
use crate::{
    authority::submit,
    chain::{Chain, admin},
};

/// The most jobs that a market has had before, if not [`JOBS`].
const JOBS_VARIABLE: &str = "ASSAY_GROWTH_JOBS";
const JOBS: usize = 2_000;
/// Where the plot goes, if anywhere.
const PLOT_VARIABLE: &str = "ASSAY_GROWTH_PLOT";
/// The smallest market has had at least so many; each after it ten times as many as the one before.
const FEWEST: usize = 200;
/// Providers, with a worker each.
const WORKERS: u8 = 4;
/// What ten times as many jobs may add to a cost at the fewest, in percent: a cost with bounded additions is at most
/// logarithmic.
const PERCENT_MAX: u64 = 50;

/// Kinds of work, and the instructions of each, in a market that has had so many jobs.
#[derive(Clone, Debug)]
pub(crate) struct Costs {
    pub(crate) jobs: usize,
    pub(crate) work: BTreeMap<String, u64>,
}

/// Runs one checked job in a market that has settled so many.
fn costs(jobs: usize) -> Costs {
    let fixture = Fixture::new(WORKERS, 1, SLOTS_MAX);
    let mut chain = Chain::with_rules(1, 250, Rules::LAX);
    let mut asked = SubmitArgs {
        price_cap: Cycles(1_000_000),
        ..submit(ModelRef::Name(MODELS[0].to_owned()), 1)
    };
    asked.request.assurance = Assurance::Single;
    natively(&mut chain, |native| {
        native.sync(&fixture);
        native.offer(&fixture.workers, &offers(&fixture));
        native.settle(jobs, &asked, &fixture.workers);
        native.ready(&fixture.workers, 0);
    });
    while receipt(&mut chain, JobId(jobs as u64)).is_none() {
        chain.network().tick();
    }

    asked.request.assurance = Assurance::Checked { checkers: 1 };
    asked.idempotency_key = b"measured".to_vec();
    chain.fund(admin(), asked.price_cap.0).unwrap();
    let canister = chain.jobs;
    let submitted: Result<Submitted, SubmitError> =
        chain.update(admin(), canister, "submit", (&asked,));
    let job = submitted.unwrap().job;
    assert_eq!(job, JobId(jobs as u64 + 1));
    for &operator in &fixture.workers {
        let ready: Result<(), WorkerError> = chain.update(operator, canister, "ready", (1u16,));
        ready.unwrap();
    }
    chain.rest();
    finish(&mut chain, job, &fixture.workers);
    assert_eq!(chain.stats().verified, 1);

    let mut work = dearest(&mut chain);
    // It reads receipts again after the upgrade; its own work is that of other messages.
    work.remove("sweep");
    work.extend(query_costs(&mut chain, admin(), job, &asked.request));
    Costs { jobs, work }
}

#[test]
fn ten_times_as_many_jobs_add_little_to_what_one_costs() {
    let most = env::var(JOBS_VARIABLE).map_or(JOBS, |jobs| jobs.parse().expect("a number of jobs"));
    let sizes = std::iter::successors(Some(most), |jobs| Some(jobs / 10));
    let mut sizes: Vec<usize> = sizes.take_while(|jobs| *jobs >= FEWEST).collect();
    sizes.reverse();
    let all: Vec<Costs> = sizes.into_iter().map(costs).collect();
    let first = &all[0];
    for Costs { jobs, work } in &all {
        for (name, cost) in work {
            say(format_args!("{jobs} jobs: {name} {cost}"));
        }
    }
    if let Some(file) = env::var_os(PLOT_VARIABLE) {
        fs::write(file, plot(&all)).unwrap();
    }
    for Costs { jobs, work } in &all {
        let tens = u64::from((jobs / first.jobs).ilog10());
        for (name, cost) in work {
            let most = first.work[name] * (100 + PERCENT_MAX * tens) / 100;
            assert!(
                *cost <= most,
                "{name} of {jobs} jobs: {cost}, at most {most}"
            );
        }
    }
}
