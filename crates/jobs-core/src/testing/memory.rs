//! The core in memory, as a [`Market`]: its own clock and randomness, and every check after every step.

use assay_protocol::{
    Cycles, Hash32, Hasher, JobId, LeaseId, Moment, Timestamp,
    job::{
        JobError, JobView, Quote, Stats, StreamArgs, StreamChunk, SubmitArgs, SubmitError,
        Submitted,
    },
    lease::{
        Beat, Claim, CommitArgs, Offer, Order, ProgressArgs, RevealArgs, WorkHint, WorkerError,
    },
    limits,
    money::{GiveArgs, Holdings, MoneyError},
    receipt::Receipt,
    registry::Record,
    request::JobRequest,
    store::Log,
};
use candid::Principal;

use super::{
    Auditor, Fixture, Market, canister, check_invariants, ledger, logged_difference,
    replay::{append, swap_beside},
};
use crate::{
    config::{JobsConfig, Rules},
    market::Jobs,
    store::{Memory, Store},
};

/// The core in memory.
#[derive(Debug)]
pub struct MemoryMarket {
    /// The market.
    pub jobs: Jobs<Memory>,
    now: Timestamp,
    draws: u64,
    auditor: Auditor,
    /// What the log alone gives, as far as it was read.
    replica: Store<Memory>,
}

impl MemoryMarket {
    /// A market without audits and stake that knows the fixture's records; `seed` decides its randomness.
    pub fn new(fixture: &Fixture, fee_bps: u16, seed: u64) -> Self {
        Self::with_rules(fixture, fee_bps, Rules::LAX, seed)
    }

    /// The same under these rules.
    pub fn with_rules(fixture: &Fixture, fee_bps: u16, rules: Rules, seed: u64) -> Self {
        let now = Timestamp(1_700_000_000_000_000_000);
        let config = JobsConfig {
            canister: canister(),
            fee_bps,
            rules,
            ledger: Some(ledger()),
        };
        let jobs = Jobs::open(Store::default(), now, config)
            .expect("the configuration is within its bounds");
        let mut market = Self {
            jobs,
            now,
            draws: seed << 32,
            auditor: Auditor::default(),
            replica: Store::default(),
        };
        let random = market.random();
        market.jobs.seed(random);
        market
            .jobs
            .sync(now, &fixture.records, fixture.records.len() as u64);
        market
    }

    /// Opens the same store again, as an upgrade does.
    pub fn reopen(&mut self) {
        let empty = Jobs::reopen(Store::default());
        let store = std::mem::replace(&mut self.jobs, empty).into_store();
        self.jobs = Jobs::reopen(store);
    }

    /// Lets time pass with nobody sweeping.
    pub fn stand_still(&mut self, nanoseconds: u64) {
        self.now.0 += nanoseconds;
    }

    /// What the auditor has read.
    pub fn auditor(&self) -> &Auditor {
        &self.auditor
    }

    /// Whether the log alone gives the same state again.
    pub fn check_replay(&mut self) -> Result<(), String> {
        let store = self.jobs.store();
        let read = self.replica.log.len() as usize;
        for entry in &store.log.entries()[read..] {
            append(&mut self.replica, entry);
        }
        match logged_difference(store, &self.replica) {
            None => Ok(()),
            Some(table) => Err(format!("the replayed {table} differs")),
        }
    }

    /// Goes on with logged tables that come from the log alone, beside the payloads and hints there were.
    pub fn rebuild(&mut self) -> Result<(), String> {
        self.check_replay()?;
        let jobs = std::mem::replace(&mut self.jobs, Jobs::reopen(Store::default()));
        let (mut before, mut logged) = (jobs.into_store(), std::mem::take(&mut self.replica));
        swap_beside(&mut before, &mut logged);
        self.jobs = Jobs::reopen(logged);
        // They are equal, so either can follow the log from here.
        self.replica = before;
        Ok(())
    }

    /// Reads what is new in the log; objects to what may not be.
    pub fn audit(&mut self) -> Result<(), String> {
        self.auditor.read(&self.jobs.store().log)
    }

    /// The caller at this moment.
    pub fn at(&self, caller: Principal) -> Moment {
        Moment {
            caller,
            now: self.now,
        }
    }

    /// One matching, with fresh randomness.
    pub fn match_jobs(&mut self) -> usize {
        let (random, horizon) = (self.random(), self.jobs.horizon());
        self.jobs.match_jobs(self.now, random, horizon)
    }

    fn random(&mut self) -> [u8; 32] {
        self.draws += 1;
        let Hash32(bytes) = Hasher::new("testing-random").u64(self.draws).finish();
        bytes
    }
}

impl Market for MemoryMarket {
    fn now(&mut self) -> Timestamp {
        self.now
    }

    fn pass(&mut self, seconds: u64) {
        let mut rest = seconds;
        while rest > 0 {
            let part = rest.min(limits::SWEEP_SECONDS);
            self.now = self.now.plus_seconds(part);
            self.tick();
            rest -= part;
        }
    }

    fn stall(&mut self, seconds: u64) -> bool {
        self.stand_still(seconds * 1_000_000_000);
        true
    }

    fn tick(&mut self) {
        while self.jobs.sweep(self.now, 3).more {}
        if self.jobs.needs_match() {
            self.match_jobs();
        }
    }

    fn sync(&mut self, record: &Record) -> bool {
        let next = self.jobs.cursor() + 1;
        self.jobs.sync(self.now, std::slice::from_ref(record), next);
        true
    }

    fn deposit(&mut self, beneficiary: Principal, amount: Cycles) {
        let at = self.at(super::funder());
        self.jobs
            .deposit(&at, beneficiary, amount)
            .expect("a deposit for somebody");
    }

    fn quote(&mut self, request: &JobRequest) -> Result<Quote, SubmitError> {
        self.jobs.quote(self.now, request)
    }

    fn submit(
        &mut self,
        caller: Principal,
        args: &SubmitArgs,
        attached: Cycles,
    ) -> Result<(Submitted, Cycles), SubmitError> {
        self.jobs.submit(&self.at(caller), args, attached)
    }

    fn cancel(&mut self, caller: Principal, job: JobId) -> Result<(), JobError> {
        self.jobs.cancel(&self.at(caller), job)
    }

    fn ready(&mut self, caller: Principal, slots: u16) -> Result<(), WorkerError> {
        self.jobs.ready(&self.at(caller), slots)
    }

    fn set_offers(&mut self, caller: Principal, offers: &[Offer]) -> Result<(), WorkerError> {
        self.jobs.set_offers(&self.at(caller), offers)
    }

    fn work(&mut self, caller: Principal) -> Result<WorkHint, WorkerError> {
        self.jobs.work(caller, self.now)
    }

    fn claim(&mut self, caller: Principal, known: &[LeaseId]) -> Result<Vec<Order>, WorkerError> {
        self.jobs.claim(&self.at(caller), known)
    }

    fn heartbeat(
        &mut self,
        caller: Principal,
        leases: &[LeaseId],
    ) -> Result<Vec<(LeaseId, Beat)>, WorkerError> {
        self.jobs.heartbeat(&self.at(caller), leases)
    }

    fn progress(&mut self, caller: Principal, args: &ProgressArgs) -> Result<Beat, WorkerError> {
        self.jobs.progress(&self.at(caller), args)
    }

    fn transcript(&mut self, caller: Principal, lease: LeaseId) -> Result<Claim, WorkerError> {
        self.jobs.transcript(&self.at(caller), lease)
    }

    fn commit(&mut self, caller: Principal, args: &CommitArgs) -> Result<(), WorkerError> {
        self.jobs.commit(&self.at(caller), args)
    }

    fn reveal(&mut self, caller: Principal, args: &RevealArgs) -> Result<(), WorkerError> {
        self.jobs.reveal(&self.at(caller), args)
    }

    fn abandon(
        &mut self,
        caller: Principal,
        lease: LeaseId,
        reason: &str,
    ) -> Result<(), WorkerError> {
        self.jobs.abandon(&self.at(caller), lease, reason)
    }

    fn decline(
        &mut self,
        caller: Principal,
        lease: LeaseId,
        reason: &str,
    ) -> Result<(), WorkerError> {
        self.jobs.decline(&self.at(caller), lease, reason)
    }

    fn job(&mut self, caller: Principal, job: JobId) -> Result<JobView, JobError> {
        self.jobs.job(caller, job)
    }

    fn stream(&mut self, caller: Principal, args: &StreamArgs) -> Result<StreamChunk, JobError> {
        self.jobs.stream(caller, args)
    }

    fn receipt(&mut self, job: JobId) -> Result<Receipt, JobError> {
        self.jobs.receipt(job)
    }

    fn stats(&mut self) -> Stats {
        self.jobs.stats()
    }

    fn balance(&mut self, account: Principal) -> Cycles {
        self.jobs.balance(account)
    }

    fn holdings(&mut self, account: Principal) -> Holdings {
        self.jobs.holdings(account, self.now)
    }

    fn stake(&mut self, caller: Principal, amount: Cycles) -> Result<Holdings, MoneyError> {
        self.jobs.stake(&self.at(caller), amount)
    }

    fn unstake(&mut self, caller: Principal, amount: Cycles) -> Result<Holdings, MoneyError> {
        self.jobs.unstake(&self.at(caller), amount)
    }

    fn release_stake(&mut self, caller: Principal) -> Result<Holdings, MoneyError> {
        self.jobs.release_stake(&self.at(caller))
    }

    fn give(&mut self, caller: Principal, args: &GiveArgs) -> Result<Holdings, MoneyError> {
        self.jobs.give(&self.at(caller), args)
    }

    fn fund_treasury(&mut self, caller: Principal, amount: Cycles) -> Result<Cycles, MoneyError> {
        self.jobs.fund_treasury(&self.at(caller), amount)
    }

    fn fund_sponsor(&mut self, caller: Principal, amount: Cycles) -> Result<Cycles, MoneyError> {
        self.jobs.fund_sponsor(&self.at(caller), amount)
    }

    fn check(&mut self) -> Result<(), String> {
        self.audit()?;
        check_invariants(&self.jobs)
    }
}
