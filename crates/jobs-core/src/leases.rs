//! Leases: what a round still lacks, and how leases end.

use std::collections::BTreeSet;

use assay_protocol::{
    JobId, LeaseId, Moment, Timestamp,
    job::Reason,
    lease::{LeaseState, Role, WorkerError},
    limits,
    request::Assurance,
    store::Table,
};

use crate::{
    event::Event,
    market::Jobs,
    record::{Job, Judgement, Lease, Live},
    store::Backend,
};

/// Workers that a round lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) generators: u32,
    pub(crate) checkers: u32,
}

impl Lack {
    pub(crate) const fn total(self) -> u32 {
        self.generators + self.checkers
    }
}

/// What a job's present round lacks, given its leases.
pub(crate) fn lack(job: &Job, round: &[Lease]) -> Lack {
    if job.state.is_terminal() {
        return Lack::default();
    }
    let active = |role: Role| {
        round
            .iter()
            .filter(|lease| lease.role == role && is_active(lease))
            .count() as u32
    };
    let generators = match job.assurance.replicas() {
        Some((total, _)) => u32::from(total).saturating_sub(active(Role::Replica)),
        None => 1u32.saturating_sub(active(Role::Generator)),
    };
    Lack {
        generators,
        checkers: job.checkers.saturating_sub(active(Role::Checker)),
    }
}

/// Whether a lease counts in its round: it works, or its work can still be compared.
pub(crate) fn is_active(lease: &Lease) -> bool {
    match lease.state {
        LeaseState::Leased | LeaseState::Committed => true,
        LeaseState::Revealed => !matches!(lease.reason, Some(Reason::Malformed(_))),
        _ => false,
    }
}

/// Whether a provider's earlier lease keeps it out of the job for good.
pub(crate) fn is_barred(lease: &Lease) -> bool {
    lease.state == LeaseState::Silent || lease.judgement == Some(Judgement::Wrong)
}

/// Whether a provider's earlier lease keeps it out while others can be found.
pub(crate) fn is_shunned(lease: &Lease) -> bool {
    matches!(
        lease.state,
        LeaseState::Lost | LeaseState::Late | LeaseState::Abandoned
    )
}

/// Checkers a job asks for at first.
pub(crate) fn checkers_asked(assurance: Assurance) -> u32 {
    match assurance {
        Assurance::Checked { checkers } => u32::from(checkers),
        _ => 0,
    }
}

impl<B: Backend> Jobs<B> {
    /// The caller's lease, whatever its state.
    pub(crate) fn own_lease(&self, at: &Moment, id: LeaseId) -> Result<Lease, WorkerError> {
        let lease = self
            .store
            .leases
            .get(&id)
            .ok_or(WorkerError::UnknownLease(id))?;
        if lease.worker != at.caller {
            return Err(WorkerError::ForeignLease(id));
        }
        Ok(lease)
    }

    /// Ends the lease or its job if their time is over. Any message that touches a lease calls
    /// this first, so deadlines never wait for a timer.
    pub(crate) fn end_overdue(&mut self, now: Timestamp, live: Live, id: LeaseId) -> Lease {
        let lease = self
            .store
            .leases
            .get(&id)
            .expect("BUG: the caller has seen this lease");
        if lease.state.is_live() {
            self.end_overdue_job(now, live, lease.job);
            if let Some(pulse) = self.store.pulses.get(&id)
                && pulse.until < live
            {
                self.expire(now, live, &lease);
            }
        }
        self.store
            .leases
            .get(&id)
            .expect("BUG: leases are never removed")
    }

    /// Ends every lease of the job's round whose time is over, and the job if its own is.
    pub(crate) fn end_overdue_round(&mut self, now: Timestamp, live: Live, id: JobId) {
        for lease in self.round(&self.stored_job(id)) {
            self.end_overdue(now, live, lease.id);
        }
        self.end_overdue_job(now, live, id);
    }

    /// Ends the job if its time is over, and before it those of its leases that ended earlier: how they
    /// ended does not depend on who looks first.
    pub(crate) fn end_overdue_job(&mut self, now: Timestamp, live: Live, id: JobId) {
        loop {
            let job = self.stored_job(id);
            if job.state.is_terminal() || job.expiry >= live {
                return;
            }
            let round = self.round(&job);
            let Some(lease) = round.iter().find(|lease| self.ended_before(&job, lease)) else {
                return self.end_expired(now, &job);
            };
            self.expire(now, live, lease);
        }
    }

    /// Whether the time of a live lease is over no later than its overdue job's. A commitment that may
    /// not be opened yet lives as long as its job.
    fn ended_before(&self, job: &Job, lease: &Lease) -> bool {
        self.store.pulses.get(&lease.id).is_some_and(|pulse| {
            pulse.until < job.expiry || pulse.until == job.expiry && lease.reveal_deadline.is_some()
        })
    }

    /// Ends a live lease whose deadline has passed.
    fn expire(&mut self, now: Timestamp, live: Live, lease: &Lease) {
        let (state, reason) = match (lease.state, lease.run_deadline) {
            (LeaseState::Committed, _) => (LeaseState::Silent, Reason::NotRevealed),
            (_, None) => (LeaseState::Lost, Reason::NotClaimed),
            (_, Some(run)) if run < live => (LeaseState::Lost, Reason::RunTooLong),
            _ => (LeaseState::Lost, Reason::HeartbeatLost),
        };
        if state == LeaseState::Silent {
            self.lose_bond(now, lease);
        }
        self.end_lease(now, lease, state, reason);
    }

    /// Ends a live lease without a result, and does what follows from it.
    pub(crate) fn end_lease(
        &mut self,
        now: Timestamp,
        lease: &Lease,
        state: LeaseState,
        reason: Reason,
    ) {
        let until = self
            .store
            .pulses
            .get(&lease.id)
            .map_or(lease.claim_deadline, |pulse| pulse.until);
        let deadline = self.real(until);
        self.record(
            now,
            Event::LeaseEnded {
                lease: lease.id,
                state,
                reason: reason.clone(),
                deadline,
            },
        );
        self.go_on_without(now, lease, reason);
    }

    /// What follows when a lease has dropped out: a generator takes its round along.
    pub(crate) fn go_on_without(&mut self, now: Timestamp, lease: &Lease, reason: Reason) {
        if matches!(reason, Reason::Declined(_)) {
            let job = self.stored_job(lease.job);
            if self.decliners(&job) >= limits::DECLINES_MAX {
                return self.end_undone(now, &job, reason);
            }
        }
        if lease.role == Role::Generator {
            self.end_round(now, lease.job, lease.id, reason);
        } else {
            self.advance(now, lease.job, Some((lease.id, reason)));
        }
    }

    /// How many providers have found that a job cannot be done.
    fn decliners(&self, job: &Job) -> usize {
        let leases = job.leases.iter().filter_map(|id| self.store.leases.get(id));
        let declined = leases.filter(|lease| matches!(lease.reason, Some(Reason::Declined(_))));
        let providers: BTreeSet<_> = declined.map(|lease| lease.provider).collect();
        providers.len()
    }

    /// The error of a step that came after its lease ended.
    pub(crate) fn after_end(&self, lease: &Lease) -> WorkerError {
        match (lease.state, lease.ended_deadline) {
            (LeaseState::Late | LeaseState::Lost | LeaseState::Silent, Some(deadline)) => {
                WorkerError::TooLate {
                    lease: lease.id,
                    deadline,
                }
            }
            // The job's own deadline released it.
            (LeaseState::Released, Some(deadline))
                if lease.reason == Some(Reason::DeadlinePassed) =>
            {
                WorkerError::TooLate {
                    lease: lease.id,
                    deadline,
                }
            }
            (state, _) => WorkerError::WrongState {
                lease: lease.id,
                state,
            },
        }
    }
}
