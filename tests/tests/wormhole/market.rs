//! A market of two workers, of which one has a chip.

use std::{collections::BTreeSet, path::PathBuf};

use assay_cli::local::ProviderPlan;
use assay_protocol::{
    job::JobView,
    request::{Assurance, JobRequest, Parameters, Sampling, Task},
};
use assay_worker::backend::TensixFile;

use crate::harness::{Market, assert_settled};

/// The market, and the name of the provider whose worker has the chip.
pub(crate) async fn start(model: PathBuf, chip: TensixFile) -> (Market, String) {
    let mut plans = ProviderPlan::honest(2);
    plans[0].tensix = Some(chip);
    let name = plans[0].name.clone();
    (Market::of(model, &plans).await, name)
}

/// Who was paid for a job.
fn paid(market: &Market, view: &JobView) -> BTreeSet<String> {
    let paid = view.leases.iter().filter(|lease| lease.paid.0 > 0);
    paid.map(|lease| market.name_of(lease)).collect()
}

/// Asks for two equal answers and for a checked one; both are verified, by both workers, and are the same. Nobody but the two is
/// there, so the chip's worker is one side of each comparison.
pub(crate) async fn ask_both_ways(market: &Market, task: Task, max_tokens: u32) {
    let both = [
        Assurance::Equality { total: 2 },
        Assurance::Checked { checkers: 1 },
    ];
    let mut answers = BTreeSet::new();
    for assurance in both {
        let parameters = Parameters::new(max_tokens, Sampling::GREEDY);
        let request = JobRequest {
            assurance,
            ..market.request(task.clone(), parameters)
        };
        let job = market.submit(3, request).await;
        let view = market.until_ended(job).await;
        assert_settled(&view);
        assert_eq!(paid(market, &view).len(), 2, "{view:#?}");
        answers.insert(view.answer.unwrap().text);
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
}
