//! Applying events: the only code that changes logged tables.
//!
//! It never refuses and never chooses: whatever had to be decided stands in the event. Applying a
//! log to an empty store gives the same logged tables again. Hints are kept in step as far as the
//! event says.

mod canaries;
mod sponsor;
mod transfers;

use assay_protocol::{
    Cycles, JobId, LeaseId, ModelId, Timestamp,
    job::{JobState, Reason, Transition, Verdict},
    lease::{LeaseState, Role},
    limits,
    registry::WorkerStatus,
    store::Table,
};
use candid::Principal;

use crate::{
    event::{Entry, Event, Finding, Settlement, Terms},
    leases::{checkers_asked, lack},
    market::round,
    receipt::receipt_of,
    record::{
        Account, Ask, Audit, Due, Ended, Job, Judgement, KeyHolder, Lease, Live, Meta, Pulse,
        Trust, Unbonding, WorkerEntry,
    },
    store::{Backend, Cell, Store},
};

/// Applies an entry that the log has taken.
pub(crate) fn apply<B: Backend>(store: &mut Store<B>, entry: &Entry) {
    let mut meta = store.meta.get();
    meta.head = entry.hash();
    let at = entry.at;
    let live = Live(at.0.saturating_sub(meta.stalled));
    let mut step = Step {
        store,
        meta,
        index: entry.index,
        at,
        live,
    };
    step.apply(&entry.event);
    let Step { store, meta, .. } = step;
    store.meta.set(meta);
}

struct Step<'a, B: Backend> {
    store: &'a mut Store<B>,
    meta: Meta,
    index: u64,
    at: Timestamp,
    live: Live,
}

impl<B: Backend> Step<'_, B> {
    fn apply(&mut self, event: &Event) {
        match event {
            Event::Configured(config) => self.meta.config = Some(config.clone()),
            Event::Stalled { nanoseconds } => self.meta.stalled += nanoseconds,
            Event::ModelSynced(model) => {
                self.store.names.insert(model.name.clone(), model.id);
                self.store.models.insert(model.id, model.clone());
            }
            Event::ProviderSynced { provider, payout } => {
                self.store.payouts.insert(*provider, *payout);
            }
            Event::WorkerSynced {
                operator,
                provider,
                slots,
                status,
                tokens_per_second_milli,
            } => {
                let (offers, held) = self
                    .store
                    .workers
                    .get(operator)
                    .map_or_else(Default::default, |worker| (worker.offers, worker.live));
                self.set_worker(WorkerEntry {
                    operator: *operator,
                    provider: *provider,
                    slots: *slots,
                    status: *status,
                    tokens_per_second_milli: *tokens_per_second_milli,
                    offers,
                    live: held,
                });
            }
            Event::CursorMoved { next } => self.meta.cursor = *next,
            Event::OffersSet { worker, offers } => {
                let mut worker = self.worker(*worker);
                for offer in std::mem::replace(&mut worker.offers, offers.clone()) {
                    self.store.asks.remove(&(offer.model, worker.operator));
                }
                self.set_worker(worker);
            }
            Event::Deposited { account, amount } => {
                self.meta.deposited.0 += amount.0;
                self.credit(*account, *amount);
            }
            Event::Submitted { job, terms } => self.submitted(*job, terms),
            Event::SeedDrawn { job, seed } => {
                let mut job = self.job(*job);
                job.seed = Some(*seed);
                self.store.jobs.insert(job.id, job);
            }
            Event::Granted {
                lease,
                job,
                role,
                worker,
                provider,
                rates,
                claim_deadline,
                stake,
                bond,
            } => {
                let job = self.job(*job);
                self.granted(
                    Lease {
                        id: *lease,
                        job: job.id,
                        round: job.round,
                        role: *role,
                        worker: *worker,
                        provider: *provider,
                        rates: *rates,
                        state: LeaseState::Leased,
                        granted_at: self.at,
                        claim_deadline: *claim_deadline,
                        run_deadline: None,
                        commitment: None,
                        reveal_deadline: None,
                        root: None,
                        judgement: None,
                        basis: None,
                        paid: Cycles::ZERO,
                        stake: *stake,
                        bond: *bond,
                        forfeited: Cycles::ZERO,
                        bonus: Cycles::ZERO,
                        reason: None,
                        ended_deadline: None,
                    },
                    job,
                );
            }
            Event::Claimed {
                lease,
                run_deadline,
            } => {
                let mut lease = self.lease(*lease);
                lease.run_deadline = Some(*run_deadline);
                self.set_pulse(
                    lease.id,
                    self.live
                        .plus_seconds(limits::LEASE_SECONDS)
                        .min(*run_deadline),
                );
                self.store.leases.insert(lease.id, lease);
            }
            Event::Committed {
                lease,
                commitment,
                claim_hash: _,
                checkers_until,
                expiry,
            } => {
                let mut lease = self.lease(*lease);
                lease.state = LeaseState::Committed;
                lease.commitment = Some(*commitment);
                let mut job = self.job(lease.job);
                self.store.leases.insert(lease.id, lease);
                self.set_expiry(&mut job, *expiry);
                for mut other in round(self.store, &job) {
                    if other.state == LeaseState::Committed && other.reveal_deadline.is_none() {
                        self.set_pulse(other.id, job.expiry);
                    } else if let Some(until) = checkers_until
                        && other.role == Role::Checker
                        && other.state == LeaseState::Leased
                        && other.run_deadline.is_some()
                    {
                        other.run_deadline = Some(*until);
                        self.store.leases.insert(other.id, other);
                    }
                }
                self.store.jobs.insert(job.id, job);
            }
            Event::RevealOpened { job, deadline } => {
                let mut job = self.job(*job);
                let expiry = job.expiry.max(*deadline);
                self.set_expiry(&mut job, expiry);
                for mut lease in round(self.store, &job) {
                    if lease.state == LeaseState::Committed && lease.reveal_deadline.is_none() {
                        lease.reveal_deadline = Some(*deadline);
                        self.set_pulse(lease.id, *deadline);
                        self.store.leases.insert(lease.id, lease);
                    }
                }
                if job.state == JobState::Running {
                    self.turn(
                        &mut job,
                        JobState::Revealing,
                        None,
                        None,
                        Reason::AllCommitted,
                    );
                }
                self.store.jobs.insert(job.id, job);
            }
            Event::Revealed { lease } => {
                let mut lease = self.lease(*lease);
                lease.state = LeaseState::Revealed;
                lease.ended_deadline = lease.reveal_deadline.map(|deadline| self.real(deadline));
                self.drop_live(&lease);
                self.store.leases.insert(lease.id, lease);
            }
            Event::LeaseEnded {
                lease,
                state,
                reason,
                deadline,
            } => {
                let mut lease = self.lease(*lease);
                let before = lease.state;
                if before.is_live() {
                    self.drop_live(&lease);
                }
                self.count_end(&lease, *state);
                lease.state = *state;
                lease.reason = Some(reason.clone());
                lease.ended_deadline = Some(*deadline);
                let job = lease.job;
                self.store.leases.insert(lease.id, lease);
                self.refresh(&self.job(job));
            }
            Event::FoundMalformed {
                lease,
                root,
                problem,
            } => {
                let mut lease = self.lease(*lease);
                lease.root = Some(*root);
                lease.judgement = Some(Judgement::Wrong);
                lease.reason = Some(Reason::Malformed(problem.clone()));
                self.judge_trust(&lease, Judgement::Wrong);
                let job = lease.job;
                self.store.leases.insert(lease.id, lease);
                self.refresh(&self.job(job));
            }
            Event::Extended {
                job,
                checkers,
                lease,
                reason,
            } => {
                let mut job = self.job(*job);
                job.checkers = *checkers;
                self.turn(&mut job, JobState::Extended, None, *lease, reason.clone());
                self.refresh(&job);
                self.store.jobs.insert(job.id, job);
            }
            Event::Waiting { job, until } => {
                let mut job = self.job(*job);
                self.set_wait(&mut job, Some(*until));
                self.store.jobs.insert(job.id, job);
            }
            Event::Judged { job: _, findings } => {
                for finding in findings {
                    self.found(finding);
                }
            }
            Event::RoundEnded { job, lease, reason } => {
                let mut job = self.job(*job);
                self.release(&job, &Reason::NoLongerNeeded);
                job.round += 1;
                job.checkers = checkers_asked(job.assurance);
                job.audit = Audit::Open;
                self.store.audits.remove(&job.id);
                self.set_wait(&mut job, None);
                let deadline = job.deadline;
                self.set_expiry(&mut job, deadline);
                self.turn(&mut job, JobState::Queued, None, *lease, reason.clone());
                self.refresh(&job);
                self.store.jobs.insert(job.id, job);
            }
            Event::Ended { job, settlement } => {
                let job = self.job(*job);
                self.ended(job, settlement);
            }
            Event::KeyForgotten { job } => {
                let job = self.job(*job);
                self.store.keys.remove(&(job.requester, job.key));
                if let Some(ended) = job.ended {
                    self.store.due.remove(&(key_due(ended), Due::Key(job.id)));
                }
            }
            Event::SponsorFunded { account, amount } => {
                self.debit(*account, *amount);
                self.meta.sponsor.0 += amount.0;
            }
            Event::Given {
                account,
                to,
                amount,
            } => {
                self.debit(*account, *amount);
                self.credit(*to, *amount);
            }
            Event::CanaryAdded { .. } | Event::CanaryReturned { .. } => self.canary(event),
            Event::TreasuryFunded { account, amount } => {
                self.debit(*account, *amount);
                self.meta.treasury.0 += amount.0;
            }
            Event::Reserved { job, amount } => {
                let mut job = self.job(*job);
                job.reserve.0 += amount.0;
                self.meta.treasury.0 -= amount.0;
                self.meta.reserved.0 += amount.0;
                self.store.jobs.insert(job.id, job);
            }
            Event::AuditDecided { job, audit } => {
                let mut job = self.job(*job);
                job.audit = *audit;
                match audit {
                    Audit::Open => self.store.audits.insert(job.id, self.index),
                    _ => self.store.audits.remove(&job.id),
                };
                self.store.jobs.insert(job.id, job);
            }
            Event::Staked { account, amount } => {
                self.debit(*account, *amount);
                self.change(*account, |account| account.stake.0 += amount.0);
                self.meta.staked.0 += amount.0;
            }
            Event::Unstaking {
                account,
                amount,
                until,
            } => self.change(*account, |account| {
                account.stake.0 -= amount.0;
                let before = account.unbonding.map_or(0, |before| before.amount.0);
                account.unbonding = Some(Unbonding {
                    amount: Cycles(before + amount.0),
                    until: *until,
                });
            }),
            Event::Unstaked { account, amount } => {
                self.change(*account, |account| account.unbonding = None);
                self.meta.staked.0 -= amount.0;
                self.credit(*account, *amount);
            }
            Event::PauseSet { reason } => self.meta.paused = reason.clone(),
            Event::Pruned { job } => {
                let mut job = self.job(*job);
                job.pruned = true;
                if let Some(ended) = job.ended {
                    let due = (payload_due(ended), Due::Payload(job.id));
                    self.store.due.remove(&due);
                }
                self.store.jobs.insert(job.id, job);
            }
            Event::BondLost { lease, to } => {
                let mut lease = self.lease(*lease);
                let bond = std::mem::take(&mut lease.bond);
                lease.stake.0 -= bond.0;
                lease.forfeited = bond;
                self.change(lease.provider, |account| {
                    account.stake.0 -= bond.0;
                    account.locked.0 -= bond.0;
                });
                self.meta.staked.0 -= bond.0;
                self.store.leases.insert(lease.id, lease);
                let mut left = bond.0;
                for payout in to {
                    let mut checker = self.lease(payout.lease);
                    checker.bonus.0 += payout.amount.0;
                    self.store.leases.insert(checker.id, checker);
                    self.credit(payout.account, payout.amount);
                    left -= payout.amount.0;
                }
                self.meta.treasury.0 += left;
            }
            Event::LedgerFeeTold { .. }
            | Event::TransferBegun { .. }
            | Event::TransferTried { .. }
            | Event::TransferDone { .. }
            | Event::TransferFailed { .. }
            | Event::TransferQuarantined { .. }
            | Event::TransferResolved { .. } => self.transfer(event),
        }
    }

    fn submitted(&mut self, id: JobId, terms: &Terms) {
        let Terms {
            requester,
            key,
            model,
            request_hash,
            assurance,
            max_tokens,
            input_tokens_max,
            seed,
            ceilings,
            fee_bps,
            royalty_bps,
            from_balance,
            from_call,
            from_sponsor,
            deadline_seconds,
            deadline,
        } = terms;
        let escrow = Cycles(from_balance.0 + from_call.0 + from_sponsor.0);
        self.sponsor(*requester, *from_sponsor);
        let mut account = self.account(*requester);
        account.free.0 -= from_balance.0;
        account.open_jobs += 1;
        self.store.accounts.insert(*requester, account);
        self.meta.free.0 -= from_balance.0;
        self.meta.deposited.0 += from_call.0;
        self.meta.held.0 += escrow.0;
        self.meta.last_job = id.0;
        self.canary_asked(*requester, id);
        *self.meta.counts.of(JobState::Queued, None) += 1;
        let job = Job {
            id,
            requester: *requester,
            key: key.clone(),
            model: *model,
            request_hash: *request_hash,
            assurance: *assurance,
            max_tokens: *max_tokens,
            input_tokens_max: *input_tokens_max,
            seed: *seed,
            ceilings: *ceilings,
            fee_bps: *fee_bps,
            royalty_bps: *royalty_bps,
            escrow,
            sponsored: *from_sponsor,
            held: escrow,
            state: JobState::Queued,
            verdict: None,
            round: 1,
            checkers: checkers_asked(*assurance),
            audit: Audit::Open,
            reserve: Cycles::ZERO,
            subsidy: Cycles::ZERO,
            leases: Vec::new(),
            submitted_at: self.at,
            deadline_seconds: *deadline_seconds,
            deadline: *deadline,
            expiry: *deadline,
            wait: None,
            ended: None,
            pruned: false,
            paid: Cycles::ZERO,
            fee: Cycles::ZERO,
            royalty: Cycles::ZERO,
            refund: Cycles::ZERO,
            result: None,
            answer: None,
            history: vec![Transition {
                at: self.at,
                state: JobState::Queued,
                lease: None,
                reason: Reason::Submitted,
            }],
        };
        self.store
            .keys
            .insert((*requester, key.clone()), KeyHolder { job: id });
        self.store
            .by_requester
            .insert((*requester, u64::MAX - id.0), ());
        self.store.due.insert((*deadline, Due::Job(id)), ());
        self.refresh(&job);
        self.store.jobs.insert(id, job);
    }

    fn granted(&mut self, lease: Lease, mut job: Job) {
        self.meta.last_lease = lease.id.0;
        job.leases.push(lease.id);
        self.set_wait(&mut job, None);
        let mut worker = self.worker(lease.worker);
        worker.live += 1;
        self.store.workers.insert(worker.operator, worker);
        self.lock(lease.provider, lease.stake);
        self.store.held.insert((lease.worker, lease.id), ());
        self.store.pulses.insert(
            lease.id,
            Pulse {
                until: lease.claim_deadline,
                due: lease.claim_deadline,
            },
        );
        self.store
            .due
            .insert((lease.claim_deadline, Due::Lease(lease.id)), ());
        if job.state == JobState::Queued {
            self.turn(
                &mut job,
                JobState::Running,
                None,
                Some(lease.id),
                Reason::Matched,
            );
        }
        self.store.leases.insert(lease.id, lease);
        self.refresh(&job);
        self.store.jobs.insert(job.id, job);
    }

    fn found(&mut self, finding: &Finding) {
        let Finding {
            lease,
            root,
            judgement,
            basis,
        } = *finding;
        let mut lease = self.lease(lease);
        lease.root = Some(root);
        lease.judgement = Some(judgement);
        lease.basis = basis;
        lease.reason = Some(match (judgement, lease.role) {
            (Judgement::Right, _) => Reason::RootsAgree,
            (Judgement::Wrong, Role::Generator) => Reason::GenerationRejected,
            (Judgement::Wrong | Judgement::Undecided, _) => Reason::RootsDiffer,
            (Judgement::Accepted, _) => Reason::NotCompared,
        });
        self.judge_trust(&lease, judgement);
        self.store.leases.insert(lease.id, lease);
    }

    fn ended(&mut self, mut job: Job, settlement: &Settlement) {
        let Settlement {
            state,
            verdict,
            reason,
            result,
            answer,
            payouts,
            fee,
            royalty,
            royalty_account,
            refund,
            subsidy,
        } = settlement;
        self.release(
            &job,
            match state {
                JobState::Cancelled => &Reason::CancelledByRequester,
                JobState::Expired => &Reason::DeadlinePassed,
                _ => &Reason::NoLongerNeeded,
            },
        );
        let mut paid = Cycles::ZERO;
        for payout in payouts {
            let mut lease = self.lease(payout.lease);
            lease.paid = payout.amount;
            self.store.leases.insert(lease.id, lease);
            let mut account = self.account(payout.account);
            account.earned.0 += payout.amount.0;
            account.paid_leases += 1;
            self.store.accounts.insert(payout.account, account);
            self.credit(payout.account, payout.amount);
            paid.0 += payout.amount.0;
        }
        self.credit(*royalty_account, *royalty);
        let returned = Cycles(refund.0.min(job.sponsored.0));
        self.unsponsor(&job, returned);
        self.credit(job.requester, Cycles(refund.0 - returned.0));
        self.meta.treasury.0 += fee.0 + (job.reserve.0 - subsidy.0);
        self.meta.reserved.0 -= job.reserve.0;
        let spent = paid.0 - subsidy.0 + royalty.0 + refund.0 + fee.0;
        assert_eq!(spent, job.held.0, "BUG: what a job held is split exactly");
        self.meta.held.0 -= spent;

        let mut account = self.account(job.requester);
        account.open_jobs -= 1;
        self.store.accounts.insert(job.requester, account);

        self.set_wait(&mut job, None);
        self.store.due.remove(&(job.expiry, Due::Job(job.id)));
        let ended = Ended {
            at: self.at,
            stalled: self.meta.stalled,
        };
        self.store
            .due
            .insert((key_due(ended), Due::Key(job.id)), ());
        self.store
            .due
            .insert((payload_due(ended), Due::Payload(job.id)), ());
        job.ended = Some(ended);
        self.store.audits.remove(&job.id);
        job.held = Cycles::ZERO;
        job.reserve = Cycles::ZERO;
        job.subsidy = *subsidy;
        job.paid = paid;
        job.fee = *fee;
        job.royalty = *royalty;
        job.refund = *refund;
        job.result = *result;
        job.answer = *answer;
        self.turn(&mut job, *state, *verdict, *answer, reason.clone());
        self.refresh(&job);
        let receipt = receipt_of(self.store, &self.meta, &job);
        self.store.receipts.insert(job.id, receipt.hash());
        self.store.jobs.insert(job.id, job);
    }

    /// Ends all live leases of a job's round without fault, and leaves undecided what was opened
    /// and not judged.
    fn release(&mut self, job: &Job, reason: &Reason) {
        for mut lease in round(self.store, job) {
            if lease.state.is_live() {
                self.drop_live(&lease);
                let deadline = lease
                    .reveal_deadline
                    .or(lease.run_deadline)
                    .unwrap_or(lease.claim_deadline);
                lease.ended_deadline = Some(self.real(deadline.min(job.expiry)));
                lease.state = LeaseState::Released;
            } else if lease.state == LeaseState::Revealed && lease.judgement.is_none() {
                lease.judgement = Some(Judgement::Undecided);
            } else {
                continue;
            }
            lease.reason = Some(reason.clone());
            self.store.leases.insert(lease.id, lease);
        }
    }

    /// Moves a job to a state and writes it into its history.
    fn turn(
        &mut self,
        job: &mut Job,
        state: JobState,
        verdict: Option<Verdict>,
        lease: Option<LeaseId>,
        reason: Reason,
    ) {
        *self.meta.counts.of(job.state, job.verdict) -= 1;
        job.state = state;
        job.verdict = verdict;
        *self.meta.counts.of(state, verdict) += 1;
        job.history.push(Transition {
            at: self.at,
            state,
            lease,
            reason,
        });
    }

    /// Keeps the queue in step with what a job lacks.
    fn refresh(&mut self, job: &Job) {
        let lack = lack(job, &round(self.store, job));
        set_wanted(self.store, job.model, job.id, lack.total() > 0);
    }

    /// Moves the time at which a job ends in any case.
    fn set_expiry(&mut self, job: &mut Job, expiry: Live) {
        let before = std::mem::replace(&mut job.expiry, expiry);
        self.store.due.remove(&(before, Due::Job(job.id)));
        self.store.due.insert((expiry, Due::Job(job.id)), ());
    }

    fn set_wait(&mut self, job: &mut Job, wait: Option<Live>) {
        if let Some(before) = std::mem::replace(&mut job.wait, wait) {
            self.store.due.remove(&(before, Due::Wait(job.id)));
        }
        if let Some(until) = wait {
            self.store.due.insert((until, Due::Wait(job.id)), ());
        }
    }

    fn set_pulse(&mut self, id: LeaseId, until: Live) {
        set_pulse(self.store, id, until);
    }

    /// Takes a lease that has ended out of what is live.
    fn drop_live(&mut self, lease: &Lease) {
        self.store.held.remove(&(lease.worker, lease.id));
        if let Some(pulse) = self.store.pulses.remove(&lease.id) {
            self.store.due.remove(&(pulse.due, Due::Lease(lease.id)));
        }
        let mut worker = self.worker(lease.worker);
        worker.live -= 1;
        self.store.workers.insert(worker.operator, worker);
        if lease.stake > Cycles::ZERO {
            self.change(lease.provider, |account| account.locked.0 -= lease.stake.0);
        }
    }

    /// Puts stake behind a lease.
    fn lock(&mut self, owner: Principal, stake: Cycles) {
        if stake > Cycles::ZERO {
            self.change(owner, |account| account.locked.0 += stake.0);
        }
    }

    fn set_worker(&mut self, worker: WorkerEntry) {
        for offer in &worker.offers {
            let key: (ModelId, Principal) = (offer.model, worker.operator);
            if worker.status == WorkerStatus::Active {
                self.store.asks.insert(
                    key,
                    Ask {
                        provider: worker.provider,
                        rates: offer.into(),
                    },
                );
            } else {
                self.store.asks.remove(&key);
            }
        }
        self.store.workers.insert(worker.operator, worker);
    }

    fn credit(&mut self, owner: Principal, amount: Cycles) {
        if amount > Cycles::ZERO {
            self.change(owner, |account| account.free.0 += amount.0);
            self.meta.free.0 += amount.0;
        }
    }

    fn debit(&mut self, owner: Principal, amount: Cycles) {
        self.change(owner, |account| account.free.0 -= amount.0);
        self.meta.free.0 -= amount.0;
    }

    fn change(&mut self, owner: Principal, change: impl FnOnce(&mut Account)) {
        let mut account = self.account(owner);
        change(&mut account);
        self.store.accounts.insert(owner, account);
    }

    /// Counts how a lease ended for or against its worker.
    fn count_end(&mut self, lease: &Lease, state: LeaseState) {
        self.trust(lease, |trust| match state {
            LeaseState::Lost => trust.lost += 1,
            LeaseState::Silent => trust.silent += 1,
            LeaseState::Abandoned => trust.abandoned += 1,
            // The worker was there after all: a late commitment takes the loss back.
            LeaseState::Late if lease.state == LeaseState::Lost => trust.lost -= 1,
            _ => {}
        });
    }

    fn judge_trust(&mut self, lease: &Lease, judgement: Judgement) {
        self.trust(lease, |trust| match judgement {
            Judgement::Right => trust.valid += 1,
            Judgement::Wrong => {
                trust.valid = 0;
                trust.mismatches_lost += 1;
            }
            Judgement::Accepted | Judgement::Undecided => {}
        });
    }

    fn trust(&mut self, lease: &Lease, change: impl FnOnce(&mut Trust)) {
        let job = self.job(lease.job);
        let class = self
            .store
            .models
            .get(&job.model)
            .expect("BUG: a job's model is known")
            .class;
        let key = (lease.worker, class);
        let before = self.store.trust.get(&key).unwrap_or_default();
        let mut trust = before;
        change(&mut trust);
        if trust != before {
            self.store.trust.insert(key, trust);
        }
    }

    fn real(&self, live: Live) -> Timestamp {
        Timestamp(live.0.saturating_add(self.meta.stalled))
    }

    fn account(&self, owner: Principal) -> Account {
        self.store.accounts.get(&owner).unwrap_or_default()
    }

    fn job(&self, id: JobId) -> Job {
        self.store
            .jobs
            .get(&id)
            .expect("BUG: an event names a job that exists")
    }

    fn lease(&self, id: LeaseId) -> Lease {
        self.store
            .leases
            .get(&id)
            .expect("BUG: an event names a lease that exists")
    }

    fn worker(&self, operator: Principal) -> WorkerEntry {
        self.store
            .workers
            .get(&operator)
            .expect("BUG: an event names a worker that exists")
    }
}

/// Puts a job into its model's queue, or takes it out.
pub(crate) fn set_wanted<B: Backend>(
    store: &mut Store<B>,
    model: ModelId,
    job: JobId,
    wanted: bool,
) {
    let place = (model, job);
    let before = match wanted {
        true => store.wanted.insert(place, ()),
        false => store.wanted.remove(&place),
    };
    if before.is_some() == wanted {
        return;
    }
    let queued = store.demand.get(&model).unwrap_or(0);
    match if wanted { queued + 1 } else { queued - 1 } {
        0 => store.demand.remove(&model),
        queued => store.demand.insert(model, queued),
    };
}

/// Moves the deadline in force of a live lease. The entry of due things stays where it is unless
/// the deadline comes before it; the sweep moves it on when it gets there.
pub(crate) fn set_pulse<B: Backend>(store: &mut Store<B>, id: LeaseId, until: Live) {
    let mut pulse = store
        .pulses
        .get(&id)
        .expect("BUG: a live lease has a pulse");
    pulse.until = until;
    if until < pulse.due {
        store.due.remove(&(pulse.due, Due::Lease(id)));
        store.due.insert((until, Due::Lease(id)), ());
        pulse.due = until;
    }
    store.pulses.insert(id, pulse);
}

/// When a requester's key may be forgotten.
pub(crate) fn key_due(ended: Ended) -> Live {
    since_end(ended, limits::KEY_SECONDS)
}

/// When what was asked and answered is no longer kept.
pub(crate) fn payload_due(ended: Ended) -> Live {
    since_end(ended, limits::PAYLOAD_SECONDS)
}

fn since_end(ended: Ended, seconds: u64) -> Live {
    Live(ended.at.0.saturating_sub(ended.stalled)).plus_seconds(seconds)
}
