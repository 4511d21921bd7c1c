//! A jobs canister's memory, lived in natively: what would take a network hours is done by the same code over the same
//! bytes, and then a canister goes on with them. A package of its own, so that it alone is optimised in debug builds.

use std::fmt;

use assay_jobs::memory::{Stable, store_in};
use assay_jobs_core::{
    Jobs,
    testing::{Fixture, body_root, honest_body, honest_opening},
};
use assay_protocol::{
    Cycles, Hash32, Hasher, LeaseId, Moment, Timestamp,
    job::SubmitArgs,
    lease::{Claim, CommitArgs, Offer, Opening, Order, RevealArgs, Role, commitment},
    limits::{OPEN_JOBS_PER_REQUESTER_MAX, SLOTS_MAX, SWEEP_SECONDS},
};
use candid::Principal;
use ic_stable_structures::DefaultMemoryImpl;

/// Due things that one sweep ends.
const SWEEP_BUDGET: usize = 1_000;

/// A jobs canister's memory. Everybody in it is honest, and every refusal is a panic.
pub struct Native<'a> {
    memory: DefaultMemoryImpl,
    jobs: Jobs<Stable>,
    canister: Principal,
    now: Timestamp,
    draws: u64,
    requesters: u64,
    /// Called every few jobs.
    awake: &'a dyn Fn(),
}

impl fmt::Debug for Native<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Native")
            .field("jobs", &self.jobs)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl<'a> Native<'a> {
    /// Goes on with the memory of a canister at this time; `awake` is called now and then while it works.
    pub fn new(bytes: Vec<u8>, canister: Principal, now: Timestamp, awake: &'a dyn Fn()) -> Self {
        let memory = DefaultMemoryImpl::default();
        *memory.borrow_mut() = bytes;
        Self {
            jobs: Jobs::reopen(store_in(memory.clone())),
            memory,
            canister,
            now,
            draws: 0,
            requesters: 0,
            awake,
        }
    }

    /// The memory, and the time by now.
    pub fn end(self) -> (Vec<u8>, Timestamp) {
        let Self {
            memory, jobs, now, ..
        } = self;
        drop(jobs);
        (memory.take(), now)
    }

    /// Lets in everybody whom a registry would tell of.
    pub fn sync(&mut self, fixture: &Fixture) {
        let cursor = self.jobs.cursor();
        self.jobs.sync(self.now, &fixture.records, cursor);
    }

    /// These workers set these prices.
    pub fn offer(&mut self, workers: &[Principal], offers: &[Offer]) {
        for &operator in workers {
            let told = self.jobs.set_offers(&self.at(operator), offers);
            told.expect("offers are taken");
        }
    }

    /// These workers are ready to hold so many leases each.
    pub fn ready(&mut self, workers: &[Principal], slots: u16) {
        for &operator in workers {
            let told = self.jobs.ready(&self.at(operator), slots);
            told.expect("an announcement is taken");
        }
    }

    /// So many jobs are submitted, by as many new requesters as it takes.
    pub fn submit(&mut self, jobs: usize, args: &SubmitArgs) {
        let mut args = args.clone();
        // As much as it takes: the canister must be able to pay all of it out.
        let funds = Cycles(args.price_cap.0 * OPEN_JOBS_PER_REQUESTER_MAX as u128);
        for i in 0..jobs {
            if i % OPEN_JOBS_PER_REQUESTER_MAX == 0 {
                (self.awake)();
                self.requesters += 1;
                let at = self.at(requester(self.requesters));
                let told = self.jobs.deposit(&at, at.caller, funds);
                told.expect("a deposit is taken");
            }
            args.idempotency_key = (i as u64).to_le_bytes().to_vec();
            let at = self.at(requester(self.requesters));
            let told = self.jobs.submit(&at, &args, Cycles::ZERO);
            told.expect("a job is taken");
        }
    }

    /// Jobs find workers until no more do.
    pub fn match_all(&mut self) {
        while self.jobs.needs_match() {
            (self.awake)();
            self.draws += 1;
            let Hash32(random) = Hasher::new("native-random").u64(self.draws).finish();
            let horizon = self.jobs.horizon();
            if self.jobs.match_jobs(self.now, random, horizon) == 0 {
                break;
            }
        }
    }

    /// These workers claim what they hold.
    pub fn claim(&mut self, workers: &[Principal]) -> Vec<(Principal, Order)> {
        let mut orders = Vec::new();
        for &operator in workers {
            let claimed = self.jobs.claim(&self.at(operator), &[]);
            let claimed = claimed.expect("a claim is answered");
            orders.extend(claimed.into_iter().map(|order| (operator, order)));
        }
        orders
    }

    /// So many jobs are asked, answered and settled by these workers, while time passes.
    pub fn settle(&mut self, jobs: usize, args: &SubmitArgs, workers: &[Principal]) {
        let mut left = jobs;
        while left > 0 {
            let batch = left.min(workers.len() * usize::from(SLOTS_MAX));
            self.submit(batch, args);
            self.ready(workers, SLOTS_MAX);
            self.match_all();
            let reveals: Vec<(Principal, RevealArgs)> = self
                .claim(workers)
                .iter()
                .map(|(operator, order)| (*operator, self.commit(*operator, order)))
                .collect();
            for (operator, reveal) in reveals {
                let told = self.jobs.reveal(&self.at(operator), &reveal);
                told.expect("a reveal is taken");
            }
            left -= batch;
            self.now = self.now.plus_seconds(SWEEP_SECONDS);
            while self.jobs.sweep(self.now, SWEEP_BUDGET).more {}
        }
    }

    fn commit(&mut self, operator: Principal, order: &Order) -> RevealArgs {
        let at = self.at(operator);
        let transcript = |lease| {
            let told = self.jobs.transcript(&at, lease);
            told.expect("the generator has committed")
        };
        let (args, reveal) = honest_work(self.canister, operator, order, transcript);
        let told = self.jobs.commit(&at, &args);
        told.expect("a commitment is taken");
        reveal
    }

    fn at(&self, caller: Principal) -> Moment {
        Moment {
            caller,
            now: self.now,
        }
    }
}

/// Does what an order says.
///
/// # Panics
/// Where what is to be checked is wrong.
pub fn honest_work(
    canister: Principal,
    operator: Principal,
    order: &Order,
    transcript: impl FnOnce(LeaseId) -> Claim,
) -> (CommitArgs, RevealArgs) {
    let body = honest_body(order);
    let (root, opening, claim) = match order.role {
        Role::Checker => match honest_opening(order, &transcript(order.lease)) {
            Opening::Agrees { root } => (root, Opening::Agrees { root }, None),
            other => panic!("an honest checker finds {other:?}"),
        },
        role => {
            let claim = (role == Role::Generator).then(|| Claim {
                output: body.output_tokens.clone(),
                finish: body.finish,
            });
            (body_root(order, &body), Opening::Result(body), claim)
        }
    };
    let lease = order.lease;
    let nonce = Hasher::new("native-nonce").u64(lease.0).finish();
    let commitment = commitment(&canister, lease, &operator, &nonce, &root);
    let commit = CommitArgs {
        lease,
        commitment,
        claim,
    };
    let reveal = RevealArgs {
        lease,
        nonce,
        opening,
    };
    (commit, reveal)
}

/// Somebody who asks, from 1.
pub fn requester(i: u64) -> Principal {
    Principal::self_authenticating(i.to_le_bytes())
}
