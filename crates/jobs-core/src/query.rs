//! What the market tells: jobs, accounts, hints and numbers. Nothing here changes anything.

use std::collections::BTreeMap;

use assay_protocol::{
    Cycles, JobId, ModelId, Timestamp,
    events::EventPage,
    job::{JobError, JobLine, JobView, JobsArgs, LeaseView, Stats},
    lease::{
        Earnings, Idle, LeaseHint, LeaseState, Offer, Opening, Role, WorkHint, WorkerError,
        offers_hash,
    },
    limits,
    price::Rates,
    receipt::SaltedRequest,
    registry::WorkerStatus,
    request::{Assurance, Task},
    result::{Answer, ResultBody},
    store::{Log, Table},
};
use candid::Principal;
use serde_bytes::ByteBuf;

use crate::{
    apply::payload_due,
    leases::lack,
    market::Jobs,
    pricing::within,
    record::{Job, Lease, WorkerEntry},
    store::Backend,
};

impl<B: Backend> Jobs<B> {
    /// Entries of the log from this index on, as many as a page holds and one at least; for controllers only.
    pub fn events(&self, from: u64) -> EventPage {
        let log = &self.store.log;
        let mut entries = Vec::new();
        let mut bytes = 0;
        for index in from..log.len() {
            let entry = log.get(index).map(|entry| entry.to_bytes());
            let entry = entry.expect("BUG: the log has fewer entries than it says");
            bytes += entry.len();
            let full = entries.len() == limits::EVENTS_PAGE_MAX || bytes > limits::PAGE_BYTES_MAX;
            if full && !entries.is_empty() {
                break;
            }
            entries.push(ByteBuf::from(entry));
        }
        EventPage {
            length: log.len(),
            head: self.meta().head,
            entries,
        }
    }

    /// A job as this caller may see it: the answer only for its requester, roots only after their
    /// round's verdict.
    pub fn job(&self, caller: Principal, id: JobId) -> Result<JobView, JobError> {
        let job = self.store.jobs.get(&id).ok_or(JobError::UnknownJob(id))?;
        let leases = job
            .leases
            .iter()
            .filter_map(|id| self.store.leases.get(id))
            .map(|lease| self.lease_view(lease, job.state.is_terminal()));
        let deadline = Timestamp(
            job.deadline
                .0
                .saturating_add(job.ended.map_or(self.meta().stalled, |ended| ended.stalled)),
        );
        Ok(JobView {
            id,
            requester: job.requester,
            model: job.model,
            assurance: job.assurance,
            state: job.state,
            verdict: job.verdict,
            submitted_at: job.submitted_at,
            deadline,
            ended_at: job.ended.map(|ended| ended.at),
            kept_until: job
                .ended
                .map(|ended| Timestamp(payload_due(ended).0.saturating_add(ended.stalled))),
            escrow: job.escrow,
            sponsored: job.sponsored,
            paid: job.paid,
            fee: Cycles(job.fee.0 + job.royalty.0),
            refund: job.refund,
            subsidy: job.subsidy,
            result_root: job.result.map(|result| result.root),
            usage: job.result.map(|result| result.usage),
            answer: if caller == job.requester {
                self.answer(&job)
            } else {
                None
            },
            leases: leases.collect(),
            history: job.history,
        })
    }

    /// Whether a job has ended; true of one that does not exist.
    pub fn has_ended(&self, id: JobId) -> bool {
        self.store
            .jobs
            .get(&id)
            .is_none_or(|job| job.state.is_terminal())
    }

    /// A page of jobs, newest first. A limit of 0 counts as 1, one above [`limits::PAGE_MAX`] as that.
    pub fn jobs(&self, args: &JobsArgs) -> Vec<JobLine> {
        let JobsArgs {
            requester,
            before,
            limit,
        } = *args;
        let before = before.unwrap_or(JobId(u64::MAX));
        let limit = limit.clamp(1, limits::PAGE_MAX) as usize;
        let ids: Vec<JobId> = match requester {
            None => self.store.jobs.keys(..before).rev().take(limit).collect(),
            Some(requester) => {
                let from = (requester, (u64::MAX - before.0).saturating_add(1));
                let own = self
                    .store
                    .by_requester
                    .keys(from..)
                    .take_while(|(of, _)| *of == requester);
                own.take(limit)
                    .map(|(_, newest_first)| JobId(u64::MAX - newest_first))
                    .collect()
            }
        };
        let line = |id: JobId| {
            let Job {
                requester,
                model,
                state,
                verdict,
                submitted_at,
                ..
            } = self.store.jobs.get(&id)?;
            Some(JobLine {
                id,
                requester,
                model,
                state,
                verdict,
                submitted_at,
            })
        };
        ids.into_iter().filter_map(line).collect()
    }

    /// A request and its salt, for its requester.
    pub fn request_for(&self, caller: Principal, id: JobId) -> Result<SaltedRequest, JobError> {
        let job = self.store.jobs.get(&id).ok_or(JobError::UnknownJob(id))?;
        if job.requester != caller {
            return Err(JobError::NotYours(id));
        }
        self.store
            .requests
            .get(&id)
            .ok_or_else(|| JobError::Other(format!("the request of job {id} is no longer kept")))
    }

    /// A hint about the caller's leases and prices.
    pub fn work(&self, caller: Principal, now: Timestamp) -> Result<WorkHint, WorkerError> {
        let worker = self.known_worker(caller)?;
        let presence = self.store.presence.get(&caller).unwrap_or_default();
        let mut hint = WorkHint {
            unclaimed: 0,
            offers: Some(offers_hash(&worker.offers)),
            announce: presence.slots == 0
                || presence.ready_until < now.plus_seconds(limits::READY_SECONDS / 4),
            leases: Vec::new(),
        };
        for lease in self
            .leases_of(caller)
            .into_iter()
            .filter_map(|id| self.store.leases.get(&id))
        {
            if lease.state == LeaseState::Leased && lease.run_deadline.is_none() {
                hint.unclaimed += 1;
            } else {
                hint.leases.push(LeaseHint {
                    lease: lease.id,
                    state: lease.state,
                    reveal_open: lease.reveal_deadline.is_some(),
                    transcript_final: lease.role == Role::Checker
                        && self.final_claim(&lease).is_some(),
                });
            }
        }
        Ok(hint)
    }

    /// Why a worker has, or has not, work. The first reason found; it looks at the first
    /// [`limits::EXPLAIN_JOBS_MAX`] jobs that want its models.
    pub fn explain(&self, operator: Principal, now: Timestamp) -> Idle {
        let Some(worker) = self.store.workers.get(&operator) else {
            return Idle::UnknownWorker;
        };
        if worker.status != WorkerStatus::Active {
            return Idle::NotActive;
        }
        if worker.offers.is_empty() {
            return Idle::NoOffer;
        }
        let presence = self.store.presence.get(&operator).unwrap_or_default();
        if presence.slots == 0 || presence.ready_until < now {
            return Idle::NotReady;
        }
        if worker.live >= u32::from(worker.slots.min(presence.slots)) {
            return Idle::Busy {
                leases: worker.live,
            };
        }
        let mut idle = Idle::NoDemand;
        let offers: BTreeMap<ModelId, &Offer> = worker
            .offers
            .iter()
            .map(|offer| (offer.model, offer))
            .collect();
        let mut walk = self.walk(offers.keys().copied(), JobId(0), self.next_job());
        for _ in 0..limits::EXPLAIN_JOBS_MAX {
            let Some((id, model)) = walk.next() else {
                break;
            };
            self.walk_on(&mut walk, id, model);
            let (job, offer) = (self.stored_job(id), offers[&model]);
            let closed = self.closed(&job);
            if let Some(why) = self.unfit(&job, &worker, offer, now) {
                idle = why;
            } else if closed.out.contains(&worker.provider)
                || closed.last.contains(&worker.provider)
            {
                if idle == Idle::NoDemand {
                    idle = Idle::SameProvider;
                }
            } else {
                return Idle::Eligible;
            }
        }
        idle
    }

    /// What keeps a worker from a job whatever others do.
    fn unfit(
        &self,
        job: &Job,
        worker: &WorkerEntry,
        offer: &Offer,
        now: Timestamp,
    ) -> Option<Idle> {
        let rates = offer.into();
        if !within(rates, job.ceilings) {
            return Some(Idle::TooDear);
        }
        let role = match lack(job, &self.round(job)).generators {
            0 => Role::Checker,
            _ if job.assurance.replicas().is_some() => Role::Replica,
            _ => Role::Generator,
        };
        let (needed, free) = (
            self.locked_by(job, role, rates).stake,
            self.free_stake(worker.provider),
        );
        if free < needed {
            return Some(Idle::StakeShort { needed, free });
        }
        let model = self.store.models.get(&job.model)?;
        let valid = self.trust_in(worker.operator, &model).valid;
        let unchecked = role == Role::Generator && job.assurance == Assurance::Single;
        if unchecked
            && model.verifiable
            && !self.is_trusted(valid)
            && !self.could_be_checked(job, now)
        {
            let wanted = self.config().rules.trusted_after;
            return Some(Idle::Untrusted { valid, wanted });
        }
        None
    }

    /// [`Jobs::could_check`] among those who are around now.
    fn could_be_checked(&self, job: &Job, now: Timestamp) -> bool {
        let around: Vec<(Principal, Rates)> = self
            .asks(job.model)
            .filter(|(worker, _)| self.is_around(*worker, now))
            .map(|(_, ask)| (ask.provider, ask.rates))
            .collect();
        self.could_check(job, &around, &self.closed(job).out)
    }

    /// An account's balance.
    pub fn balance(&self, account: Principal) -> Cycles {
        self.store
            .accounts
            .get(&account)
            .map_or(Cycles::ZERO, |account| account.free)
    }

    /// What an account has earned.
    pub fn earnings(&self, account: Principal) -> Earnings {
        let account = self.store.accounts.get(&account).unwrap_or_default();
        Earnings {
            paid: account.earned,
            leases: account.paid_leases,
        }
    }

    /// Numbers for everyone.
    pub fn stats(&self) -> Stats {
        let meta = self.meta();
        let counts = meta.counts;
        Stats {
            queued: counts.queued,
            running: counts.running,
            revealing: counts.revealing,
            extended: counts.extended,
            unverified: counts.unverified,
            verified: counts.verified,
            inconclusive: counts.inconclusive,
            cancelled: counts.cancelled,
            expired: counts.expired,
            failed: counts.failed,
            leases: meta.last_lease,
            models: self.store.models.len(),
            providers: self.store.payouts.len(),
            workers: self.store.workers.len(),
            deposited: meta.deposited,
            free: meta.free,
            held: meta.held,
            treasury: meta.treasury,
            reserved: meta.reserved,
            sponsor: meta.sponsor,
            staked: meta.staked,
            withdrawn: meta.withdrawn,
            withdrawing: meta.withdrawing,
            on_ledger: meta.on_ledger,
            transfers: meta.last_transfer,
            open_transfers: self.store.transfers_due.len(),
            quarantined: meta.quarantined,
            events: self.store.log.len(),
        }
    }

    /// Roots stay hidden until the job has ended: a later round has the same right root.
    fn lease_view(&self, lease: Lease, ended: bool) -> LeaseView {
        let until = self
            .store
            .pulses
            .get(&lease.id)
            .map(|pulse| self.real(pulse.until));
        LeaseView {
            id: lease.id,
            round: lease.round,
            role: lease.role,
            worker: lease.worker,
            provider: lease.provider,
            state: lease.state,
            granted_at: lease.granted_at,
            deadline: until.or(lease.ended_deadline).unwrap_or(lease.granted_at),
            reason: lease.reason,
            root: lease.root.filter(|_| ended),
            paid: lease.paid,
            forfeited: lease.forfeited,
            bonus: lease.bonus,
        }
    }

    fn answer(&self, job: &Job) -> Option<Answer> {
        let opened = self.store.openings.get(&job.answer?)?;
        let Opening::Result(body) = opened.opening else {
            return None;
        };
        let ResultBody {
            input_tokens,
            output_tokens,
            answer,
            logprobs,
            finish,
            trace_root,
        } = body;
        let task = self.store.requests.get(&job.id)?.request.task;
        let (text, embedding) = match task {
            Task::Embedding { .. } => (String::new(), Some(ByteBuf::from(answer))),
            _ => (String::from_utf8(answer).ok()?, None),
        };
        Some(Answer {
            text,
            finish,
            input_tokens,
            output_tokens,
            trace_root,
            logprobs,
            embedding,
        })
    }
}
