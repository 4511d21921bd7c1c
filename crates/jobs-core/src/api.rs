//! The market.

use std::fmt;

use assay_protocol::{
    Cycles, Hash32, JobId, LeaseId, Moment, Timestamp,
    job::{
        DepositError, JobError, JobLine, JobRequest, JobView, JobsArgs, Quote, Stats, StreamArgs,
        StreamChunk, SubmitArgs, SubmitError, Submitted,
    },
    lease::{
        Beat, Claim, CommitArgs, Earnings, Follow, Idle, Offer, Order, ProgressArgs, RevealArgs,
        WorkHint, WorkerError,
    },
    receipt::{Receipt, SaltedRequest},
    registry::Record,
};
use candid::Principal;

use crate::{
    config::{ConfigError, JobsConfig},
    event::Entry,
    store::{Backend, Cell, Store},
};

/// The market over one store.
pub struct Jobs<B: Backend> {
    store: Store<B>,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Things that were due and are done.
    pub handled: usize,
    /// Whether more are due: call again soon.
    pub more: bool,
}

impl<B: Backend> fmt::Debug for Jobs<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("store", &self.store).finish()
    }
}

fn soon<T, E>(error: E) -> Result<T, E> {
    Err(error)
}

impl<B: Backend> Jobs<B> {
    /// Opens a store, empty or not, and configures the market.
    pub fn open(store: Store<B>, now: Timestamp, config: JobsConfig) -> Result<Self, ConfigError> {
        let _ = now;
        config.validate()?;
        Ok(Self { store })
    }

    /// The configuration.
    pub fn config(&self) -> JobsConfig {
        self.store
            .meta
            .get()
            .config
            .expect("BUG: opening configures")
    }

    /// The store, to read.
    pub fn store(&self) -> &Store<B> {
        &self.store
    }

    /// Mixes randomness into the secret behind salts. Needed once before the first submit.
    pub fn seed(&mut self, random: [u8; 32]) {
        let _ = random;
    }

    // Requesters.

    /// What a request would cost at most, now.
    pub fn quote(&self, now: Timestamp, request: &JobRequest) -> Result<Quote, SubmitError> {
        let _ = (now, request);
        soon(SubmitError::QueueFull)
    }

    /// Accepts a job. Its escrow comes from the balance first; the second value is what to accept
    /// from the call, at most `attached`.
    pub fn submit(
        &mut self,
        at: &Moment,
        args: &SubmitArgs,
        attached: Cycles,
    ) -> Result<(Submitted, Cycles), SubmitError> {
        let _ = (at, args, attached);
        soon(SubmitError::QueueFull)
    }

    /// Adds cycles, all of which the caller of this function accepts, to a balance; gives the new balance.
    pub fn deposit(
        &mut self,
        at: &Moment,
        beneficiary: Principal,
        amount: Cycles,
    ) -> Result<Cycles, DepositError> {
        let _ = (at, beneficiary, amount);
        soon(DepositError::NothingAttached)
    }

    /// Ends a job that nobody has committed to.
    pub fn cancel(&mut self, at: &Moment, job: JobId) -> Result<(), JobError> {
        let _ = at;
        soon(JobError::UnknownJob(job))
    }

    // Workers.

    /// Announces that the caller is ready to hold up to `slots` leases at once.
    pub fn ready(&mut self, at: &Moment, slots: u16) -> Result<(), WorkerError> {
        let _ = slots;
        soon(WorkerError::UnknownWorker(at.caller))
    }

    /// Sets all of the caller's prices.
    pub fn set_offers(&mut self, at: &Moment, offers: &[Offer]) -> Result<(), WorkerError> {
        let _ = offers;
        soon(WorkerError::UnknownWorker(at.caller))
    }

    /// Hands over the caller's leases that were granted and not yet claimed.
    pub fn claim(&mut self, at: &Moment) -> Result<Vec<Order>, WorkerError> {
        soon(WorkerError::UnknownWorker(at.caller))
    }

    /// Keeps leases alive; one answer per lease, in the order asked.
    pub fn heartbeat(
        &mut self,
        at: &Moment,
        leases: &[LeaseId],
    ) -> Result<Vec<(LeaseId, Beat)>, WorkerError> {
        let _ = leases;
        soon(WorkerError::UnknownWorker(at.caller))
    }

    /// Takes a generator's provisional tokens; counts as a heartbeat.
    pub fn progress(&mut self, at: &Moment, args: &ProgressArgs) -> Result<Beat, WorkerError> {
        let _ = args;
        soon(WorkerError::UnknownWorker(at.caller))
    }

    /// The final tokens that a checker checks; counts as a heartbeat.
    pub fn transcript(&mut self, at: &Moment, lease: LeaseId) -> Result<Claim, WorkerError> {
        let _ = lease;
        soon(WorkerError::UnknownWorker(at.caller))
    }

    /// Takes a commitment.
    pub fn commit(&mut self, at: &Moment, args: &CommitArgs) -> Result<(), WorkerError> {
        let _ = args;
        soon(WorkerError::UnknownWorker(at.caller))
    }

    /// Opens a commitment.
    pub fn reveal(&mut self, at: &Moment, args: &RevealArgs) -> Result<(), WorkerError> {
        let _ = args;
        soon(WorkerError::UnknownWorker(at.caller))
    }

    /// Gives a lease back.
    pub fn abandon(
        &mut self,
        at: &Moment,
        lease: LeaseId,
        reason: &str,
    ) -> Result<(), WorkerError> {
        let _ = (lease, reason);
        soon(WorkerError::UnknownWorker(at.caller))
    }

    // The canister itself.

    /// Whether matching could find something to do.
    pub fn needs_match(&self) -> bool {
        false
    }

    /// The job that would be submitted next: note it before asking for randomness.
    pub fn next_job(&self) -> JobId {
        JobId(self.store.meta.get().last_job + 1)
    }

    /// Assigns ready workers to jobs submitted before `horizon` ([`Jobs::next_job`] when the
    /// randomness was asked for); gives the number of leases granted.
    pub fn match_jobs(&mut self, now: Timestamp, random: [u8; 32], horizon: JobId) -> usize {
        let _ = (now, random, horizon);
        0
    }

    /// Ends what is overdue, at most `budget` things.
    pub fn sweep(&mut self, now: Timestamp, budget: usize) -> Swept {
        let _ = (now, budget);
        Swept::default()
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<Timestamp> {
        None
    }

    /// Where the next page of registry changes begins.
    pub fn cursor(&self) -> u64 {
        self.store.meta.get().cursor
    }

    /// Takes a page of registry changes; `next` is where the page after it begins.
    pub fn sync(&mut self, now: Timestamp, records: &[Record], next: u64) {
        let _ = (now, records, next);
    }

    /// Receipts that were written since the last call, to be certified.
    pub fn take_receipts(&mut self) -> Vec<(JobId, Hash32)> {
        Vec::new()
    }

    // Queries.

    /// A job as this caller may see it.
    pub fn job(&self, caller: Principal, job: JobId) -> Result<JobView, JobError> {
        let _ = caller;
        soon(JobError::UnknownJob(job))
    }

    /// A page of jobs, newest first.
    pub fn jobs(&self, args: &JobsArgs) -> Result<Vec<JobLine>, JobError> {
        let _ = args;
        Ok(Vec::new())
    }

    /// Provisional text of a job, for its requester.
    pub fn stream(&self, caller: Principal, args: &StreamArgs) -> Result<StreamChunk, JobError> {
        let _ = caller;
        soon(JobError::UnknownJob(args.job))
    }

    /// Provisional tokens of a generation, for its checkers.
    pub fn follow(
        &self,
        caller: Principal,
        lease: LeaseId,
        from: u32,
    ) -> Result<Follow, WorkerError> {
        let _ = (caller, from);
        soon(WorkerError::UnknownLease(lease))
    }

    /// A hint about the caller's leases.
    pub fn work(&self, caller: Principal, now: Timestamp) -> Result<WorkHint, WorkerError> {
        let _ = now;
        soon(WorkerError::UnknownWorker(caller))
    }

    /// Why a worker has, or has not, work.
    pub fn explain(&self, operator: Principal, now: Timestamp) -> Idle {
        let _ = (operator, now);
        Idle::UnknownWorker
    }

    /// An account's balance.
    pub fn balance(&self, account: Principal) -> Cycles {
        let _ = account;
        Cycles::ZERO
    }

    /// What an account has earned.
    pub fn earnings(&self, account: Principal) -> Earnings {
        let _ = account;
        Earnings::default()
    }

    /// The receipt of a job that has ended.
    pub fn receipt(&self, job: JobId) -> Result<Receipt, JobError> {
        soon(JobError::UnknownJob(job))
    }

    /// Hashes of receipts from a job on, at most `limit`: for rebuilding the certified tree.
    pub fn receipt_hashes(&self, from: JobId, limit: usize) -> Vec<(JobId, Hash32)> {
        let _ = (from, limit);
        Vec::new()
    }

    /// A request and its salt, for its requester.
    pub fn request_for(&self, caller: Principal, job: JobId) -> Result<SaltedRequest, JobError> {
        let _ = caller;
        soon(JobError::UnknownJob(job))
    }

    /// Numbers for everyone.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }

    /// How many events the log holds.
    pub fn log_len(&self) -> u64 {
        0
    }

    /// One event.
    pub fn log_entry(&self, index: u64) -> Option<Entry> {
        let _ = index;
        None
    }
}
