//! What must hold of canaries.

use assay_protocol::{Cycles, store::Table};

use crate::{
    record::CanaryEntry,
    store::{Backend, Store},
};

pub(super) fn check<B: Backend>(store: &Store<B>) -> Result<(), String> {
    let (mut count, mut waiting, mut open) = (0, 0, 0);
    for (number, canary) in store.canaries.range(..) {
        count += 1;
        ensure!(number == count, "canaries are not numbered without gaps");
        let CanaryEntry {
            account,
            payer: _,
            job,
            outcome,
        } = canary;
        let waits = job.is_none() && outcome.is_none();
        ensure!(
            store.canary_queue.contains(&number) == waits,
            "canary {number} is queued wrongly"
        );
        ensure!(
            store.decoys.get(&account) == Some(number),
            "canary {number} is not found by its account"
        );
        ensure!(
            store.canary_texts.contains(&number) == outcome.is_none(),
            "canary {number} has its text at the wrong time"
        );
        waiting += u32::from(waits);
        open += u32::from(outcome.is_none());
        if let Some(job) = job {
            let job = store.jobs.get(&job);
            ensure!(
                job.is_some_and(
                    |job| job.requester == account && job.state.is_terminal() == outcome.is_some()
                ),
                "canary {number} and its job differ"
            );
        }
        if outcome.is_some() {
            let left = store.accounts.get(&account).unwrap_or_default().free;
            ensure!(left == Cycles::ZERO, "canary {number} keeps {left}");
        }
    }
    let texts = store.canary_texts.len();
    ensure!(
        texts == u64::from(open),
        "{open} canaries are open, {texts} have a text"
    );
    ensure!(
        store.canary_queue.len() == u64::from(waiting) && store.decoys.len() == count,
        "the queue or the accounts of canaries hold others"
    );
    Ok(())
}
