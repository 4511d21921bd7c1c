//! Audits: the market has answers to `single` jobs checked at its own cost.
//!
//! A worker with fewer confirmed results than [`Rules::trusted_after`](crate::config::Rules::trusted_after) never answers unchecked. Of a
//! trusted one's answers, chance picks some, by randomness that did not exist when the answer was committed. What the
//! checks may cost is set aside in the treasury beforehand; a requester pays for one generation in any case.

use std::collections::BTreeSet;

use assay_protocol::{
    Cycles, JobId, LeaseId, Timestamp,
    job::{Reason, SubmitError},
    lease::{LeaseState, Role},
    limits,
    price::Rates,
    request::Assurance,
    result::Usage,
    store::Table,
};
use candid::Principal;

use crate::{
    config::Rules,
    event::Event,
    leases::is_active,
    market::{Horizon, Jobs},
    matching::Draws,
    pricing::{Price, size_max, within},
    record::{Ask, Audit, Job, Lease, ModelEntry, Trust},
    store::Backend,
};

/// Checks that the treasury pays for one job at most, all rounds together.
pub(crate) const AUDIT_CHECKS_MAX: u32 = 1 + limits::EXTRA_CHECKS_MAX;

/// How sure this round's answer must be: an audited `single` is checked once.
pub(crate) fn assurance_now(job: &Job) -> Assurance {
    match job.assurance {
        Assurance::Single if job.audit.is_checked() => Assurance::Checked { checkers: 1 },
        asked => asked,
    }
}

/// What all checks of one audited job may cost.
fn checks(rates: Rates, size: Usage) -> Cycles {
    let check = rates.check(size);
    let check = check.expect("BUG: asks and sizes have limits");
    Cycles(check.0 * u128::from(AUDIT_CHECKS_MAX))
}

impl<B: Backend> Jobs<B> {
    /// What is known of a worker in the class of a model.
    pub(crate) fn trust_in(&self, worker: Principal, model: &ModelEntry) -> Trust {
        let known = self.store.trust.get(&(worker, model.class));
        known.unwrap_or_default()
    }

    /// Whether an answer of this model to a `single` job can come to be checked.
    pub(crate) fn may_audit(&self, model: &ModelEntry) -> bool {
        let Rules {
            trusted_after,
            audit_ppm_min,
            ..
        } = self.config().rules;
        model.verifiable && (trusted_after > 0 || audit_ppm_min > 0)
    }

    /// Whether so many confirmed results are enough for an unchecked answer.
    pub(crate) fn is_trusted(&self, valid: u64) -> bool {
        valid >= u64::from(self.config().rules.trusted_after)
    }

    /// Whether a `single` job of this size could be begun now: by a trusted worker, or by another with a check that the
    /// treasury pays.
    pub(crate) fn check_single(
        &self,
        offers: &[(Principal, Ask)],
        model: &ModelEntry,
        asked: Assurance,
        price: &Price,
        size: Usage,
    ) -> Result<(), SubmitError> {
        let wanted = self.config().rules.trusted_after;
        if asked != Assurance::Single || !model.verifiable || wanted == 0 {
            return Ok(());
        }
        let trusted = offers
            .iter()
            .any(|(worker, _)| self.is_trusted(self.trust_in(*worker, model).valid));
        if trusted
            || (price.providers >= 2 && checks(price.reference, size) <= self.meta().treasury)
        {
            return Ok(());
        }
        Err(SubmitError::NoTrustedWorker { valid: wanted })
    }

    /// What the treasury must set aside before a job's first check.
    pub(crate) fn audit_cost(&self, job: &Job) -> Cycles {
        checks(job.ceilings, size_max(job))
    }

    /// Whether the checks of a job are, or can be, set aside.
    pub(crate) fn can_reserve(&self, job: &Job) -> bool {
        job.reserve > Cycles::ZERO || self.audit_cost(job) <= self.meta().treasury
    }

    /// Sets aside what a job's checks may cost, once.
    pub(crate) fn reserve(&mut self, now: Timestamp, job: &Job) {
        let amount = self.audit_cost(job);
        if job.reserve == Cycles::ZERO && amount > Cycles::ZERO {
            self.record(
                now,
                Event::Reserved {
                    job: job.id,
                    amount,
                },
            );
        }
    }

    /// A generator of a `single` job has committed: decides on its audit, or leaves that to chance. An answer that must
    /// be checked, and whose check nobody can pay, does not count: the job is queued again.
    pub(crate) fn decide_audit(&mut self, now: Timestamp, lease: &Lease) {
        let job = self.stored_job(lease.job);
        if job.assurance != Assurance::Single {
            return;
        }
        let model = self.store.models.get(&job.model);
        let model = model.expect("BUG: a job's model is known");
        let valid = self.trust_in(lease.worker, &model).valid;
        let audit = if !model.verifiable {
            Audit::Spared
        } else if !self.is_trusted(valid) {
            Audit::Required
        } else if self.config().rules.audit_ppm(valid) == 0 {
            Audit::Spared
        } else {
            Audit::Open
        };
        // A worker may have lost its trust since it got the lease; then nothing is set aside yet.
        if audit.is_checked() && !self.can_reserve(&job) {
            return self.end_round(
                now,
                job.id,
                lease.id,
                Reason::LimitReached("treasury".into()),
            );
        }
        self.record(now, Event::AuditDecided { job: job.id, audit });
        if audit.is_checked() {
            self.reserve(now, &job);
            self.ask_auditor(now, job.id, lease.id);
        }
    }

    /// Draws which trusted answers are audited: of those that were committed before the randomness was asked for.
    pub(crate) fn draw_audits(&mut self, now: Timestamp, horizon: &Horizon, draws: &mut Draws) {
        let due: Vec<JobId> = self
            .store
            .audits
            .range(..)
            .filter(|&(_, committed)| committed < horizon.events)
            .map(|(job, _)| job)
            .take(limits::AUDITS_PER_MATCH_MAX)
            .collect();
        for id in due {
            let job = self.stored_job(id);
            let generator = self
                .round(&job)
                .into_iter()
                .find(|lease| lease.role == Role::Generator);
            let generator = generator.expect("BUG: an answer was committed");
            let model = self.store.models.get(&job.model);
            let model = model.expect("BUG: a job's model is known");
            let valid = self.trust_in(generator.worker, &model).valid;
            let ppm = self.config().rules.audit_ppm(valid);
            // Drawn whether or not it can be paid: who knows the treasury must not know the draw.
            let hit = draws.next() % 1_000_000 < u128::from(ppm);
            let audit = match hit && self.can_reserve(&job) {
                true => Audit::Drawn,
                false => Audit::Spared,
            };
            self.record(now, Event::AuditDecided { job: id, audit });
            if audit.is_checked() {
                self.reserve(now, &job);
                self.ask_auditor(now, id, generator.id);
            }
            self.advance(now, id, None);
        }
    }

    /// A random audit that is not drawn, or finds no checker, in time ends nothing: the answer is accepted as it would
    /// have been without. Says whether it was.
    pub(crate) fn accept_unaudited(&mut self, now: Timestamp, job: &Job) -> bool {
        let by_chance = matches!(job.audit, Audit::Open | Audit::Drawn);
        if job.assurance != Assurance::Single || !by_chance {
            return false;
        }
        let round = self.round(job);
        // What was malformed is no answer, and compares nothing.
        let opened = |role| {
            round.iter().find(|lease| {
                lease.role == role && lease.state == LeaseState::Revealed && is_active(lease)
            })
        };
        let compared = opened(Role::Checker).is_some();
        let Some(generator) = opened(Role::Generator).filter(|_| !compared) else {
            return false;
        };
        let known = self.known_answer(job);
        if known.is_some_and(|known| known != self.opened_root(generator.id)) {
            return false;
        }
        self.accept_single(now, job, generator);
        true
    }

    pub(crate) fn ask_auditor(&mut self, now: Timestamp, job: JobId, lease: LeaseId) {
        self.record(
            now,
            Event::Extended {
                job,
                checkers: 1,
                lease: Some(lease),
                reason: Reason::Audited,
            },
        );
    }

    /// Whether a generator may take a `single` job though it is not trusted: its check can be paid, and somebody of
    /// another provider is around for it.
    pub(crate) fn could_check(
        &self,
        job: &Job,
        around: &[(Principal, Rates)],
        out: &BTreeSet<Principal>,
    ) -> bool {
        let able = |&&(provider, rates): &&(Principal, Rates)| {
            within(rates, job.ceilings) && !out.contains(&provider)
        };
        let mut providers = around.iter().filter(able).map(|(provider, _)| provider);
        let first = providers.next();
        providers.any(|other| Some(other) != first) && self.can_reserve(job)
    }
}
