//! Receipts: built from records that no longer change, so the certified hash can always be met.

use assay_protocol::{
    Hash32, JobId,
    job::JobError,
    limits,
    receipt::{HashedReceipt, Receipt, ReceiptLease, ReceiptsArgs},
    store::Table,
};

use crate::{
    market::Jobs,
    record::{Job, Meta},
    store::{Backend, Store},
};

/// The receipt of a job that has ended, or is about to.
pub(crate) fn receipt_of<B: Backend>(store: &Store<B>, meta: &Meta, job: &Job) -> Receipt {
    let model = store
        .models
        .get(&job.model)
        .expect("BUG: a job's model is known");
    let config = meta
        .config
        .as_ref()
        .expect("BUG: a market is configured when it is opened");
    let leases = job.leases.iter().map(|id| {
        let lease = store
            .leases
            .get(id)
            .expect("BUG: every lease of a job exists");
        ReceiptLease {
            lease: lease.id,
            round: lease.round,
            role: lease.role,
            worker: lease.worker,
            provider: lease.provider,
            state: lease.state,
            root: lease.root,
            paid: lease.paid,
            forfeited: lease.forfeited,
            bonus: lease.bonus,
        }
    });
    Receipt {
        canister: config.canister,
        job: job.id,
        request_hash: job.request_hash,
        model: job.model,
        model_root: model.model_root,
        class: model.class,
        seed: job.seed,
        assurance: job.assurance,
        state: job.state,
        verdict: job.verdict,
        result: job.result,
        leases: leases.collect(),
        escrow: job.escrow,
        fee: job.fee,
        royalty: job.royalty,
        refund: job.refund,
        subsidy: job.subsidy,
        submitted_at: job.submitted_at,
        ended_at: job.ended.map_or(job.submitted_at, |ended| ended.at),
    }
}

impl<B: Backend> Jobs<B> {
    /// The receipt of a job that has ended.
    pub fn receipt(&self, id: JobId) -> Result<Receipt, JobError> {
        let job = self.store.jobs.get(&id).ok_or(JobError::UnknownJob(id))?;
        if !job.state.is_terminal() {
            return Err(JobError::NoReceiptYet(id));
        }
        Ok(receipt_of(&self.store, &self.meta(), &job))
    }

    /// A page of receipts in the order of their jobs, and where the next one begins if there may be more.
    pub fn receipts(&self, args: &ReceiptsArgs) -> (Vec<HashedReceipt>, Option<JobId>) {
        let ReceiptsArgs { from, limit } = *args;
        let limit = limit.clamp(1, limits::PAGE_MAX) as usize;
        let meta = self.meta();
        let mut ended = self.store.receipts.range(from.unwrap_or(JobId(0))..);
        let page = ended.by_ref().take(limit).map(|(id, hash)| {
            let job = self
                .store
                .jobs
                .get(&id)
                .expect("BUG: every job with a receipt exists");
            let receipt = receipt_of(&self.store, &meta, &job);
            HashedReceipt { hash, receipt }
        });
        let page = page.collect();
        (page, ended.next().map(|(id, _)| id))
    }

    /// Hashes of receipts from a job on, at most `limit`, in the order of the jobs: for building
    /// the certified tree anew.
    pub fn receipt_hashes(&self, from: JobId, limit: usize) -> Vec<(JobId, Hash32)> {
        self.store.receipts.range(from..).take(limit).collect()
    }

    /// Receipts written since the last call, to be certified.
    pub fn take_receipts(&mut self) -> Vec<(JobId, Hash32)> {
        std::mem::take(&mut self.volatile_receipts)
    }
}
