//! The worker's side: offers, announcements, claims, heartbeats and commitments.

use assay_protocol::{
    Hash32, LeaseId, ModelId, Moment, Timestamp,
    job::Reason,
    lease::{Beat, Claim, CommitArgs, LeaseState, Offer, Order, Role, WorkerError},
    limits,
    registry::WorkerStatus,
    store::Table,
};
use candid::Principal;

use crate::{
    apply::set_pulse,
    event::Event,
    market::Jobs,
    record::{Job, Lease, Live, WorkerEntry},
    requests::claim_hash,
    store::Backend,
};

impl<B: Backend> Jobs<B> {
    /// Announces that the caller is ready to hold up to `slots` leases at once in all, committed
    /// ones included, for [`limits::READY_SECONDS`]; zero takes the announcement back.
    pub fn ready(&mut self, at: &Moment, slots: u16) -> Result<(), WorkerError> {
        self.active_worker(at.caller)?;
        if slots > limits::SLOTS_MAX {
            return Err(invalid(
                "slots",
                format!("{slots} slots, at most {} are allowed", limits::SLOTS_MAX),
            ));
        }
        self.touch(at.now);
        let mut presence = self.store.presence.get(&at.caller).unwrap_or_default();
        presence.seen = at.now;
        presence.slots = slots;
        presence.ready_until = at.now.plus_seconds(limits::READY_SECONDS);
        self.store.presence.insert(at.caller, presence);
        if slots > 0 {
            self.wake_matching();
        }
        Ok(())
    }

    /// Sets all of the caller's prices, replacing those before. Leases already granted keep theirs.
    pub fn set_offers(&mut self, at: &Moment, offers: &[Offer]) -> Result<(), WorkerError> {
        let worker = self.active_worker(at.caller)?;
        if offers.len() > limits::OFFERS_PER_WORKER_MAX {
            return Err(invalid(
                "offers",
                format!(
                    "{} offers, at most {} are allowed",
                    offers.len(),
                    limits::OFFERS_PER_WORKER_MAX
                ),
            ));
        }
        let mut crowded_out = Vec::new();
        for (i, offer) in offers.iter().enumerate() {
            if offer.ask_input.0 > limits::ASK_CYCLES_MAX
                || offer.ask_output.0 > limits::ASK_CYCLES_MAX
            {
                return Err(invalid(
                    "offers",
                    format!(
                        "offer {i} asks more than {} cycles per 1,000 tokens",
                        limits::ASK_CYCLES_MAX
                    ),
                ));
            }
            if offers[..i].iter().any(|other| other.model == offer.model) {
                return Err(invalid(
                    "offers",
                    format!("offer {i} names model {} a second time", offer.model),
                ));
            }
            if !self.store.models.contains(&offer.model) {
                return Err(WorkerError::UnknownModel(offer.model));
            }
            let new = worker.offers.iter().all(|old| old.model != offer.model);
            if new && self.is_full(offer.model) {
                let sleeper = self.sleeper(offer.model, at.now);
                let sleeper = sleeper.ok_or(WorkerError::TooManyOffers {
                    model: offer.model,
                    max: limits::OFFERS_PER_MODEL_MAX as u32,
                })?;
                crowded_out.push((offer.model, sleeper));
            }
        }
        self.touch(at.now);
        self.see(at.caller, at.now);
        for (model, sleeper) in crowded_out {
            self.withdraw_offer(at.now, model, sleeper);
        }
        if worker.offers != offers {
            self.record(
                at.now,
                Event::OffersSet {
                    worker: at.caller,
                    offers: offers.to_vec(),
                },
            );
        }
        Ok(())
    }

    /// Whether a model has as many offers as it may.
    fn is_full(&self, model: ModelId) -> bool {
        self.asks(model)
            .nth(limits::OFFERS_PER_MODEL_MAX - 1)
            .is_some()
    }

    /// A worker that offers a model and has not been heard of for long.
    fn sleeper(&self, model: ModelId, now: Timestamp) -> Option<Principal> {
        self.asks(model)
            .map(|(operator, _)| operator)
            .find(|operator| !self.is_awake(*operator, now) && !self.is_around(*operator, now))
    }

    /// Takes a worker's offer for a model away.
    fn withdraw_offer(&mut self, now: Timestamp, model: ModelId, worker: Principal) {
        let mut offers = self
            .store
            .workers
            .get(&worker)
            .expect("BUG: an offer's worker is known")
            .offers;
        offers.retain(|offer| offer.model != model);
        self.record(now, Event::OffersSet { worker, offers });
    }

    /// Hands over the caller's leases that have no commitment yet, oldest first, except those that it
    /// names as `known`: new ones, and those whose orders it has lost. What does not fit into one
    /// answer comes with the next call. Only claiming for the first time extends a lease.
    pub fn claim(&mut self, at: &Moment, known: &[LeaseId]) -> Result<Vec<Order>, WorkerError> {
        self.known_worker(at.caller)?;
        if known.len() > limits::HEARTBEAT_LEASES_MAX {
            return Err(invalid(
                "known",
                format!(
                    "{} leases, at most {} are allowed",
                    known.len(),
                    limits::HEARTBEAT_LEASES_MAX
                ),
            ));
        }
        let live = self.touch(at.now);
        self.see(at.caller, at.now);
        let mut orders = Vec::new();
        let mut bytes = 0;
        for id in self.leases_of(at.caller) {
            let lease = self.end_overdue(at.now, live, id);
            if lease.state != LeaseState::Leased || known.contains(&id) {
                continue;
            }
            let asked = self.asked(lease.job).request;
            let size = asked.text_bytes();
            if !orders.is_empty() && bytes + size > limits::CLAIM_BYTES_MAX {
                break;
            }
            bytes += size;
            let run_deadline = match lease.run_deadline {
                Some(run_deadline) => run_deadline,
                None => self.take_up(at.now, live, &lease),
            };
            let job = self.stored_job(lease.job);
            let model = self
                .store
                .models
                .get(&job.model)
                .expect("BUG: a job's model is known");
            let until = self.store.pulses.get(&id).map_or(live, |pulse| pulse.until);
            orders.push(Order {
                lease: id,
                job: job.id,
                round: lease.round,
                role: lease.role,
                model: job.model,
                model_root: model.model_root,
                task: asked.task,
                parameters: asked.parameters,
                input_tokens_max: job.input_tokens_max,
                seed: job
                    .seed
                    .expect("BUG: a seed is drawn before the first lease"),
                deadline: self.real(until),
                run_deadline: self.real(run_deadline),
                streamed: self.store.streams.get(&id).unwrap_or_default().tokens,
            });
        }
        Ok(orders)
    }

    /// Notes that a lease was claimed, and gives the time by which it must be committed.
    fn take_up(&mut self, now: Timestamp, live: Live, lease: &Lease) -> Live {
        // A checker cannot end before the generator has, whose lease may still have to be claimed.
        let waits = lease.role == Role::Checker && self.final_claim(lease).is_none();
        let seconds = if waits {
            limits::CLAIM_SECONDS + 2 * limits::RUN_SECONDS_MAX
        } else {
            limits::RUN_SECONDS_MAX
        };
        let run_deadline = live.plus_seconds(seconds);
        self.record(
            now,
            Event::Claimed {
                lease: lease.id,
                run_deadline,
            },
        );
        run_deadline
    }

    /// Keeps leases alive; one answer per lease, in the order asked.
    pub fn heartbeat(
        &mut self,
        at: &Moment,
        leases: &[LeaseId],
    ) -> Result<Vec<(LeaseId, Beat)>, WorkerError> {
        self.known_worker(at.caller)?;
        if leases.len() > limits::HEARTBEAT_LEASES_MAX {
            return Err(invalid(
                "leases",
                format!(
                    "{} leases, at most {} are allowed",
                    leases.len(),
                    limits::HEARTBEAT_LEASES_MAX
                ),
            ));
        }
        let live = self.touch(at.now);
        self.see(at.caller, at.now);
        let beat = |jobs: &mut Self, id: LeaseId| match jobs.own_lease(at, id) {
            Ok(_) => {
                let lease = jobs.end_overdue(at.now, live, id);
                jobs.beat(&lease, live)
            }
            Err(error) => Beat::Stop(Reason::Other(error.to_string())),
        };
        Ok(leases.iter().map(|&id| (id, beat(self, id))).collect())
    }

    /// Takes a commitment. A repeated call with the same content is answered as the first was.
    pub fn commit(&mut self, at: &Moment, args: &CommitArgs) -> Result<(), WorkerError> {
        let lease = self.own_lease(at, args.lease)?;
        let job = self.stored_job(lease.job);
        if args.commitment == Hash32::default() {
            return Err(invalid(
                "commitment",
                "32 zero bytes are no commitment".into(),
            ));
        }
        match (&args.claim, lease.role) {
            (None, Role::Generator) => {
                return Err(invalid(
                    "claim",
                    "a generator commits with its final tokens".into(),
                ));
            }
            (Some(_), Role::Checker | Role::Replica) => {
                return Err(invalid(
                    "claim",
                    "only a generator commits with its tokens".into(),
                ));
            }
            (Some(claim), Role::Generator) if !self.claim_fits(&job, claim) => {
                let tokens = claim.output.len();
                return Err(invalid(
                    "claim",
                    format!(
                        "{tokens} tokens of at most {} cannot end with {:?}",
                        job.max_tokens, claim.finish
                    ),
                ));
            }
            _ => {}
        }
        if matches!(lease.state, LeaseState::Committed | LeaseState::Revealed)
            && lease.commitment == Some(args.commitment)
            && self.store.claims.get(&args.lease) == args.claim
        {
            return Ok(());
        }
        let live = self.touch(at.now);
        self.see(at.caller, at.now);
        let lease = if lease.state == LeaseState::Leased {
            self.end_overdue(at.now, live, args.lease)
        } else {
            lease
        };
        if lease.state == LeaseState::Lost && !self.stored_job(lease.job).state.is_terminal() {
            self.mark_late(at.now, &lease);
        }
        if lease.state != LeaseState::Leased {
            return Err(self.after_end(&lease));
        }
        if lease.run_deadline.is_none() {
            return Err(WorkerError::WrongState {
                lease: lease.id,
                state: lease.state,
            });
        }
        if lease.role == Role::Checker && self.final_claim(&lease).is_none() {
            return Err(WorkerError::TranscriptNotFinal(lease.id));
        }
        let mut hash = None;
        if let Some(claim) = &args.claim {
            let salt = self.asked(lease.job).salt;
            hash = Some(claim_hash(&salt, claim));
            self.store.claims.insert(lease.id, claim.clone());
        }
        let checkers_until =
            (lease.role == Role::Generator).then(|| live.plus_seconds(limits::RUN_SECONDS_MAX));
        let grace = job.deadline.plus_seconds(limits::CHECK_GRACE_SECONDS);
        self.record(
            at.now,
            Event::Committed {
                lease: lease.id,
                commitment: args.commitment,
                claim_hash: hash,
                checkers_until,
                expiry: job.expiry.max(grace),
            },
        );
        if lease.role == Role::Generator {
            self.decide_audit(at.now, &lease);
        }
        self.advance(at.now, lease.job, None);
        Ok(())
    }

    /// Whether so many tokens can end as claimed. What an ended job was asked may be gone; then any claim comes too late.
    fn claim_fits(&self, job: &Job, claim: &Claim) -> bool {
        let asked = self.store.requests.get(&job.id);
        asked.is_none_or(|asked| {
            let parameters = &asked.request.parameters;
            claim.finish.fits(claim.output.len(), parameters)
        })
    }

    /// Gives a lease back. Not punished; another worker is asked.
    pub fn abandon(
        &mut self,
        at: &Moment,
        lease: LeaseId,
        reason: &str,
    ) -> Result<(), WorkerError> {
        self.give_back(at, lease, reason, Reason::Abandoned)
    }

    /// Gives a lease back because the model cannot do what is asked. Not punished; when enough providers say so, the
    /// job ends.
    pub fn decline(
        &mut self,
        at: &Moment,
        lease: LeaseId,
        reason: &str,
    ) -> Result<(), WorkerError> {
        self.give_back(at, lease, reason, Reason::Declined)
    }

    fn give_back(
        &mut self,
        at: &Moment,
        lease: LeaseId,
        reason: &str,
        kind: fn(String) -> Reason,
    ) -> Result<(), WorkerError> {
        self.own_lease(at, lease)?;
        if reason.len() > limits::REASON_BYTES_MAX {
            return Err(invalid(
                "reason",
                format!(
                    "{} bytes, at most {} are allowed",
                    reason.len(),
                    limits::REASON_BYTES_MAX
                ),
            ));
        }
        let live = self.touch(at.now);
        self.see(at.caller, at.now);
        let lease = self.end_overdue(at.now, live, lease);
        if lease.state != LeaseState::Leased {
            return Err(self.after_end(&lease));
        }
        self.end_lease(at.now, &lease, LeaseState::Abandoned, kind(reason.into()));
        Ok(())
    }

    /// Extends a claimed lease and says until when; says why if it has ended.
    pub(crate) fn beat(&mut self, lease: &Lease, live: Live) -> Beat {
        if !lease.state.is_live() {
            return Beat::Stop(lease.reason.clone().unwrap_or(Reason::NoLongerNeeded));
        }
        if let (LeaseState::Leased, Some(run)) = (lease.state, lease.run_deadline) {
            set_pulse(
                &mut self.store,
                lease.id,
                live.plus_seconds(limits::LEASE_SECONDS).min(run),
            );
        }
        let until = self
            .store
            .pulses
            .get(&lease.id)
            .map_or(live, |pulse| pulse.until);
        Beat::Continue(self.real(until))
    }

    pub(crate) fn known_worker(&self, operator: Principal) -> Result<WorkerEntry, WorkerError> {
        self.store
            .workers
            .get(&operator)
            .ok_or(WorkerError::UnknownWorker(operator))
    }

    /// Notes that a worker has called.
    pub(crate) fn see(&mut self, operator: Principal, now: Timestamp) {
        let mut presence = self.store.presence.get(&operator).unwrap_or_default();
        presence.seen = now;
        self.store.presence.insert(operator, presence);
    }

    /// The live leases of a worker, oldest first; never more than it has slots.
    pub(crate) fn leases_of(&self, operator: Principal) -> Vec<LeaseId> {
        self.store
            .held
            .keys((operator, LeaseId(0))..)
            .take_while(|(holder, _)| *holder == operator)
            .map(|(_, lease)| lease)
            .collect()
    }

    fn active_worker(&self, operator: Principal) -> Result<WorkerEntry, WorkerError> {
        let worker = self.known_worker(operator)?;
        if worker.status != WorkerStatus::Active {
            return Err(WorkerError::NotActive(operator));
        }
        Ok(worker)
    }

    /// A lost lease whose worker commits after all was only late.
    fn mark_late(&mut self, now: Timestamp, lease: &Lease) {
        let deadline = lease.ended_deadline.unwrap_or(now);
        let reason = lease.reason.clone().unwrap_or(Reason::HeartbeatLost);
        self.record(
            now,
            Event::LeaseEnded {
                lease: lease.id,
                state: LeaseState::Late,
                reason,
                deadline,
            },
        );
    }
}

pub(crate) fn invalid(field: &str, problem: String) -> WorkerError {
    WorkerError::Invalid {
        field: field.into(),
        problem,
    }
}
