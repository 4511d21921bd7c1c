//! The canisters as a [`Market`]: what the core's random world does to the core in memory, it does to them.

use assay_jobs_core::{
    Rules,
    testing::{Fixture, Market, model_owner, payout, provider, requester, stranger},
};
use assay_protocol::{
    Cycles, JobId, LeaseId, Timestamp,
    job::{
        JobError, JobView, Quote, Stats, StreamArgs, StreamChunk, SubmitArgs, SubmitError,
        Submitted,
    },
    lease::{
        Beat, Claim, CommitArgs, Offer, Order, ProgressArgs, RevealArgs, WorkHint, WorkerError,
    },
    money::{GiveArgs, Holdings, MoneyError},
    receipt::{CertifiedReceipt, Receipt},
    registry::{Record, RegistryError, Worker, WorkerStatus},
    request::JobRequest,
};
use candid::{CandidType, Principal, utils::ArgumentEncoder};
use serde::de::DeserializeOwned;

use crate::chain::{Chain, admin};

/// Accounts that a world deals with.
const REQUESTERS: u8 = 8;
const PROVIDERS: u8 = 16;

/// The market's canisters, with people whose records are in the registry.
pub(crate) struct CanisterMarket {
    pub(crate) chain: Chain,
}

impl CanisterMarket {
    /// A market that knows the fixture's records; the fixture's models get the ids that the registry gives them.
    pub(crate) fn new(fixture: &mut Fixture, fee_bps: u16, seed: u64) -> Self {
        Self::with_rules(fixture, fee_bps, Rules::LAX, seed)
    }

    /// The same under these rules.
    pub(crate) fn with_rules(fixture: &mut Fixture, fee_bps: u16, rules: Rules, seed: u64) -> Self {
        let mut chain = Chain::with_rules(seed, fee_bps, rules);
        chain.register(fixture);
        Self { chain }
    }

    /// Upgrades every canister, and checks that nobody can tell.
    pub(crate) fn upgrade(&mut self) {
        self.chain.rest();
        let before = self.look();
        self.chain.upgrade_all();
        assert_eq!(self.look(), before, "an upgrade changes nothing");
    }

    /// All that the public and the requesters can see of jobs and money.
    pub(crate) fn look(&mut self) -> (Vec<JobView>, Vec<CertifiedReceipt>, Vec<Cycles>) {
        let jobs = self.chain.jobs;
        let stats = self.chain.stats();
        let submitted = stats.queued
            + stats.running
            + stats.revealing
            + stats.extended
            + stats.unverified
            + stats.verified
            + stats.inconclusive
            + stats.cancelled
            + stats.expired
            + stats.failed;
        let mut views = Vec::new();
        let mut receipts = Vec::new();
        for job in (1..=submitted).map(JobId) {
            let public: Result<JobView, JobError> = self.chain.query(admin(), jobs, "job", (job,));
            let requester = public.unwrap().requester;
            let view: Result<JobView, JobError> = self.chain.query(requester, jobs, "job", (job,));
            views.push(view.unwrap());
            let receipt: Result<CertifiedReceipt, JobError> =
                self.chain.query(requester, jobs, "receipt", (job,));
            if let Ok(certified) = receipt {
                self.chain.check_witness(job, &certified).unwrap();
                // The certificate shows the time, the witness in which order receipts came into the tree.
                receipts.push(CertifiedReceipt {
                    certificate: Vec::new(),
                    witness: Vec::new(),
                    ..certified
                });
            }
        }
        let balances = self
            .accounts()
            .into_iter()
            .map(|account| self.balance(account))
            .collect();
        (views, receipts, balances)
    }

    pub(crate) fn accounts(&self) -> Vec<Principal> {
        let requesters = (0..REQUESTERS).map(requester);
        let payouts = (0..PROVIDERS).map(payout);
        let owners = (0..PROVIDERS).map(provider);
        let others = [model_owner(), stranger()];
        requesters
            .chain(payouts)
            .chain(owners)
            .chain(others)
            .collect()
    }

    pub(crate) fn update<R: CandidType + DeserializeOwned>(
        &mut self,
        caller: Principal,
        method: &str,
        args: impl ArgumentEncoder,
    ) -> R {
        self.chain.update(caller, self.chain.jobs, method, args)
    }

    pub(crate) fn query<R: CandidType + DeserializeOwned>(
        &mut self,
        caller: Principal,
        method: &str,
        args: impl ArgumentEncoder,
    ) -> R {
        self.chain.query(caller, self.chain.jobs, method, args)
    }
}

impl Market for CanisterMarket {
    fn now(&mut self) -> Timestamp {
        Timestamp(self.chain.time())
    }

    fn pass(&mut self, seconds: u64) {
        self.chain.pass(seconds);
    }

    fn stall(&mut self, seconds: u64) -> bool {
        self.chain.skip(seconds);
        true
    }

    fn tick(&mut self) {
        self.chain.rest();
    }

    fn sync(&mut self, record: &Record) -> bool {
        // The registry lets a worker drain, and never lets it come back.
        let Record::Worker(Worker {
            operator,
            provider,
            status: WorkerStatus::Draining,
            ..
        }) = record
        else {
            return false;
        };
        let registry = self.chain.registry;
        let told: Result<Worker, RegistryError> =
            self.chain
                .update(*provider, registry, "drain_worker", (*operator,));
        told.unwrap();
        // The timer may be reading; then the change comes with what it does next.
        while self.chain.sync().is_err() {
            self.chain.rest();
        }
        true
    }

    fn canister(&mut self) -> Principal {
        self.chain.jobs
    }

    fn deposit(&mut self, beneficiary: Principal, amount: Cycles) {
        let before = self.balance(beneficiary);
        let after = self.chain.fund(beneficiary, amount.0).unwrap();
        assert_eq!(after.0, before.0 + amount.0);
    }

    fn quote(&mut self, request: &JobRequest) -> Result<Quote, SubmitError> {
        self.query(admin(), "quote", (request,))
    }

    /// People's calls carry no cycles, so a plan with attached ones is not for this market.
    fn submit(
        &mut self,
        caller: Principal,
        args: &SubmitArgs,
        attached: Cycles,
    ) -> Result<(Submitted, Cycles), SubmitError> {
        assert_eq!(attached, Cycles::ZERO);
        let submitted: Result<Submitted, SubmitError> = self.update(caller, "submit", (args,));
        submitted.map(|submitted| (submitted, Cycles::ZERO))
    }

    fn cancel(&mut self, caller: Principal, job: JobId) -> Result<(), JobError> {
        self.update(caller, "cancel", (job,))
    }

    fn ready(&mut self, caller: Principal, slots: u16) -> Result<(), WorkerError> {
        self.update(caller, "ready", (slots,))
    }

    fn set_offers(&mut self, caller: Principal, offers: &[Offer]) -> Result<(), WorkerError> {
        self.update(caller, "set_offers", (offers,))
    }

    fn work(&mut self, caller: Principal) -> Result<WorkHint, WorkerError> {
        self.query(caller, "work", ())
    }

    fn claim(&mut self, caller: Principal, known: &[LeaseId]) -> Result<Vec<Order>, WorkerError> {
        self.update(caller, "claim", (known,))
    }

    fn heartbeat(
        &mut self,
        caller: Principal,
        leases: &[LeaseId],
    ) -> Result<Vec<(LeaseId, Beat)>, WorkerError> {
        self.update(caller, "heartbeat", (leases,))
    }

    fn progress(&mut self, caller: Principal, args: &ProgressArgs) -> Result<Beat, WorkerError> {
        self.update(caller, "progress", (args,))
    }

    fn transcript(&mut self, caller: Principal, lease: LeaseId) -> Result<Claim, WorkerError> {
        self.update(caller, "transcript", (lease,))
    }

    fn commit(&mut self, caller: Principal, args: &CommitArgs) -> Result<(), WorkerError> {
        self.update(caller, "commit", (args,))
    }

    fn reveal(&mut self, caller: Principal, args: &RevealArgs) -> Result<(), WorkerError> {
        self.update(caller, "reveal", (args,))
    }

    fn abandon(
        &mut self,
        caller: Principal,
        lease: LeaseId,
        reason: &str,
    ) -> Result<(), WorkerError> {
        self.update(caller, "abandon", (lease, reason))
    }

    fn decline(
        &mut self,
        caller: Principal,
        lease: LeaseId,
        reason: &str,
    ) -> Result<(), WorkerError> {
        self.update(caller, "decline", (lease, reason))
    }

    fn job(&mut self, caller: Principal, job: JobId) -> Result<JobView, JobError> {
        self.query(caller, "job", (job,))
    }

    fn stream(&mut self, caller: Principal, args: &StreamArgs) -> Result<StreamChunk, JobError> {
        self.query(caller, "stream", (args,))
    }

    /// Every receipt that is asked for is checked against the certified data.
    fn receipt(&mut self, job: JobId) -> Result<Receipt, JobError> {
        let certified: Result<CertifiedReceipt, JobError> = self.query(admin(), "receipt", (job,));
        let certified = certified?;
        assert_eq!(
            certified.request, None,
            "only the requester gets the request"
        );
        self.chain.check_witness(job, &certified).unwrap();
        Ok(certified.receipt)
    }

    fn stats(&mut self) -> Stats {
        self.chain.stats()
    }

    fn balance(&mut self, account: Principal) -> Cycles {
        self.query(admin(), "balance", (Some(account),))
    }

    fn holdings(&mut self, account: Principal) -> Holdings {
        self.query(admin(), "holdings", (Some(account),))
    }

    fn stake(&mut self, caller: Principal, amount: Cycles) -> Result<Holdings, MoneyError> {
        self.update(caller, "stake", (amount,))
    }

    fn unstake(&mut self, caller: Principal, amount: Cycles) -> Result<Holdings, MoneyError> {
        self.update(caller, "unstake", (amount,))
    }

    fn release_stake(&mut self, caller: Principal) -> Result<Holdings, MoneyError> {
        self.update(caller, "release_stake", ())
    }

    fn give(&mut self, caller: Principal, args: &GiveArgs) -> Result<Holdings, MoneyError> {
        self.update(caller, "give", (args,))
    }

    fn fund_treasury(&mut self, caller: Principal, amount: Cycles) -> Result<Cycles, MoneyError> {
        self.update(caller, "fund_treasury", (amount,))
    }

    fn fund_sponsor(&mut self, caller: Principal, amount: Cycles) -> Result<Cycles, MoneyError> {
        self.update(caller, "fund_sponsor", (amount,))
    }

    fn check(&mut self) -> Result<(), String> {
        self.chain.check_money()?;
        let owed = self.chain.stats().deposited.0;
        let there = self.chain.cycles(self.chain.jobs);
        if there < owed {
            return Err(format!("the canister holds {there} cycles and owes {owed}"));
        }
        Ok(())
    }
}
