//! How a job goes on: opening commitments, comparing roots, ending rounds, settling.
//!
//! `single`: the one result is accepted, and the verdict says that nobody compared it; unless the market audits it
//! ([`crate::audit`]), which goes as `checked { 1 }` does.
//!
//! `checked { n }`: with the generator and n checkers open and agreeing, the answer is verified.
//! Once a checker disagrees, one more checker of another provider is asked at a time, until
//! - at least max(n, 2) checkers agree with the generator, and more than with any other root: verified;
//! - at least two checkers agree on one other root, and more than with the generator: the
//!   generation is rejected and another round begins, even if a further checker is missing;
//! - no further check can be paid or found: inconclusive.
//!
//! `threshold { total, min }`: as soon as no replica is at work any more and min of them agree, the answer is verified; when
//! all are open and fewer agree, it is inconclusive. `equality { total }` is the same with min = total.
//!
//! Who is paid: those whom a verdict finds right, at once when the job ends, in whatever way; the
//! checkers of a rejected round too. Nobody else: work that no verdict could confirm is unpaid,
//! because paying it would pay for guessing.

use std::collections::BTreeMap;

use assay_protocol::{
    Cycles, Hash32, JobId, LeaseId, Timestamp,
    job::{JobState, Reason, Verdict},
    lease::{LeaseState, Opening, Role},
    limits,
    price::basis_points,
    receipt::ReceiptResult,
    request::Assurance,
    result::{ResultBody, Usage},
    store::Table,
};

use crate::{
    audit::{AUDIT_CHECKS_MAX, assurance_now},
    event::{Event, Finding, Payout, Settlement},
    leases::{checkers_asked, is_active, lack},
    market::Jobs,
    pricing::checks_max,
    record::{Audit, Job, Judgement, Lease, Live},
    store::{Backend, Cell},
};

/// What the open checkers of a round say of its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opinion {
    Right,
    /// Wrong, and this is the root that enough checkers agree on.
    Wrong(Hash32),
    Open,
}

impl<B: Backend> Jobs<B> {
    /// Does what can be done for a job after one of its leases took a step. `cause` is the lease
    /// that dropped out, if one did.
    pub(crate) fn advance(&mut self, now: Timestamp, id: JobId, cause: Option<(LeaseId, Reason)>) {
        let job = self.stored_job(id);
        if job.state.is_terminal() {
            return;
        }
        let live = self.now_live(now);
        let round = self.round(&job);
        let lack = lack(&job, &round);
        if lack.total() > 0 {
            if let Some((generator, root)) = self.rejection(&job, &round) {
                return self.reject(now, &job, &self.opened(&round), &generator, root);
            }
            if is_open(&round) && self.majority(&job, &self.opened(&round)).is_some() {
                return self.judge(now, live, &job, &round);
            }
            // Nobody is asked after the deadline.
            if job.deadline < live {
                return self.end_expired(now, &job);
            }
            if job.leases.len() + lack.total() as usize > limits::LEASES_PER_JOB_MAX as usize {
                return self.end_undone(now, &job, Reason::LimitReached("leases".into()));
            }
            if let (JobState::Revealing, Some((lease, reason))) = (job.state, cause) {
                self.record(
                    now,
                    Event::Extended {
                        job: id,
                        checkers: job.checkers,
                        lease: Some(lease),
                        reason,
                    },
                );
            }
            return self.wait_if_others_are_done(now, live, id);
        }
        if round.iter().any(|lease| lease.state == LeaseState::Leased) {
            return;
        }
        if round
            .iter()
            .any(|lease| lease.state == LeaseState::Committed && lease.reveal_deadline.is_none())
        {
            // Even when the job's deadline comes first.
            let deadline = live.plus_seconds(limits::REVEAL_SECONDS);
            return self.record(now, Event::RevealOpened { job: id, deadline });
        }
        if round
            .iter()
            .any(|lease| lease.state == LeaseState::Committed)
        {
            return;
        }
        self.judge(now, live, &job, &round);
    }

    /// The generation that its checkers have rejected already, though one of them is missing, and
    /// the root they agree on.
    fn rejection(&self, job: &Job, round: &[Lease]) -> Option<(Lease, Hash32)> {
        let Assurance::Checked { checkers } = assurance_now(job) else {
            return None;
        };
        let generator = round
            .iter()
            .find(|lease| lease.role == Role::Generator && is_active(lease))
            .filter(|_| is_open(round))?;
        match opinion(
            &self.opened(round),
            self.opened_root(generator.id),
            u32::from(checkers),
        ) {
            Opinion::Wrong(root) => Some((generator.clone(), root)),
            _ => None,
        }
    }

    /// A job whose other workers are done waits only so long for a missing one.
    fn wait_if_others_are_done(&mut self, now: Timestamp, live: Live, id: JobId) {
        let job = self.stored_job(id);
        let round = self.round(&job);
        let working = round.iter().any(|lease| lease.state == LeaseState::Leased);
        let done = round.iter().any(is_active);
        if !working && done && job.wait.is_none() {
            let until = live
                .plus_seconds(limits::EXTENSION_SECONDS)
                .min(job.deadline);
            self.record(now, Event::Waiting { job: id, until });
        }
    }

    /// Compares what a round has opened; every active lease of it has.
    fn judge(&mut self, now: Timestamp, live: Live, job: &Job, round: &[Lease]) {
        let opened = self.opened(round);
        let Some(&(first, root)) = opened.iter().find(|(lease, _)| lease.role != Role::Checker)
        else {
            return;
        };
        match assurance_now(job) {
            Assurance::Checked { checkers } => match opinion(&opened, root, u32::from(checkers)) {
                Opinion::Right => self.accept(now, job, &opened, first, root, Judgement::Right),
                Opinion::Wrong(other) => self.reject(now, job, &opened, first, other),
                Opinion::Open => self.ask_another(now, live, job, &opened, root),
            },
            Assurance::Equality { .. } | Assurance::Threshold { .. } => {
                match self.majority(job, &opened) {
                    Some((first, root)) => {
                        self.accept(now, job, &opened, first, root, Judgement::Right);
                    }
                    None => self.give_up(now, job, &opened, Reason::RootsDiffer),
                }
            }
            // Chance has not decided yet whether it is audited; when it has, this comes again.
            Assurance::Single if job.audit == Audit::Open => {}
            Assurance::Single if self.known_answer(job).is_some_and(|known| known != root) => {
                self.doubt(now, live, job, &opened);
            }
            Assurance::Single | Assurance::Refereed => {
                self.accept(now, job, &opened, first, root, Judgement::Accepted)
            }
        }
    }

    /// The oldest replica of those that agree, if enough do, and their root.
    fn majority<'l>(
        &self,
        job: &Job,
        opened: &[(&'l Lease, Hash32)],
    ) -> Option<(&'l Lease, Hash32)> {
        let (_, min) = job.assurance.replicas()?;
        let votes = |root| opened.iter().filter(|&&(_, other)| other == root).count();
        opened
            .iter()
            .copied()
            .find(|&(_, root)| votes(root) >= usize::from(min))
    }

    /// Settles a `single` job with its one answer.
    pub(crate) fn accept_single(&mut self, now: Timestamp, job: &Job, lease: &Lease) {
        let root = self.opened_root(lease.id);
        self.accept(now, job, &[(lease, root)], lease, root, Judgement::Accepted);
    }

    /// Settles with the answer of `first`; leases with its root are found right.
    fn accept(
        &mut self,
        now: Timestamp,
        job: &Job,
        opened: &[(&Lease, Hash32)],
        first: &Lease,
        root: Hash32,
        judgement: Judgement,
    ) {
        let body = self.opened_body(first.id);
        let usage = body.usage();
        let findings = opened.iter().map(|&(lease, other)| {
            let right = other == root;
            let judgement = if right { judgement } else { Judgement::Wrong };
            Finding {
                lease: lease.id,
                root: other,
                judgement,
                basis: right.then_some(usage),
            }
        });
        self.record(
            now,
            Event::Judged {
                job: job.id,
                findings: findings.collect(),
            },
        );
        let (verdict, reason) = match judgement {
            Judgement::Accepted => (Verdict::Unverified, Reason::NotCompared),
            _ => (Verdict::Verified, Reason::RootsAgree),
        };
        let result = ReceiptResult {
            root,
            answer_sha256: Hash32::sha256(&body.answer),
            trace_root: body.trace_root,
            finish: body.finish,
            usage,
        };
        self.end(
            now,
            job,
            JobState::Settled,
            Some(verdict),
            reason,
            Some((result, first.id)),
        );
    }

    /// Rejects a generation: who agreed on the other root is found right, and the job starts over.
    fn reject(
        &mut self,
        now: Timestamp,
        job: &Job,
        opened: &[(&Lease, Hash32)],
        generator: &Lease,
        other: Hash32,
    ) {
        // The checkers read the generator's tokens; how many input tokens there really were is
        // known once a later round is verified.
        let work = self.opened_body(generator.id).usage();
        let findings = opened.iter().map(|&(lease, root)| {
            let right = lease.role == Role::Checker && root == other;
            let judgement = if right {
                Judgement::Right
            } else {
                Judgement::Wrong
            };
            Finding {
                lease: lease.id,
                root,
                judgement,
                basis: right.then_some(work),
            }
        });
        self.record(
            now,
            Event::Judged {
                job: job.id,
                findings: findings.collect(),
            },
        );
        self.end_round(now, job.id, generator.id, Reason::GenerationRejected);
    }

    /// Asks one more checker, if it can still be paid.
    fn ask_another(
        &mut self,
        now: Timestamp,
        live: Live,
        job: &Job,
        opened: &[(&Lease, Hash32)],
        root: Hash32,
    ) {
        let asked = opened
            .iter()
            .filter(|(lease, _)| lease.role == Role::Checker)
            .count() as u32;
        if job.deadline < live {
            return self.end_expired(now, job);
        }
        if self.earned_checks(job) + asked + 1 > checks_limit(job) {
            return self.give_up(now, job, opened, Reason::LimitReached("checks".into()));
        }
        if job.leases.len() + 1 > limits::LEASES_PER_JOB_MAX as usize {
            return self.give_up(now, job, opened, Reason::LimitReached("leases".into()));
        }
        let dissenter = opened
            .iter()
            .rev()
            .find(|&&(lease, other)| lease.role == Role::Checker && other != root);
        let lease = dissenter.map(|(lease, _)| lease.id);
        self.record(
            now,
            Event::Extended {
                job: job.id,
                checkers: asked + 1,
                lease,
                reason: Reason::CheckerDisagrees,
            },
        );
        self.wait_if_others_are_done(now, live, job.id);
    }

    /// The answer to a canary is not the known one: a checker is asked, as in an audit.
    fn doubt(&mut self, now: Timestamp, live: Live, job: &Job, opened: &[(&Lease, Hash32)]) {
        if !self.can_reserve(job) {
            let reason = Reason::LimitReached("treasury".into());
            return self.give_up(now, job, opened, reason);
        }
        let (id, audit) = (job.id, Audit::Required);
        self.record(now, Event::AuditDecided { job: id, audit });
        self.reserve(now, job);
        if let Some((lease, _)) = opened.first() {
            self.ask_auditor(now, id, lease.id);
        }
        self.wait_if_others_are_done(now, live, id);
    }

    /// Ends a disagreement that nothing more can be found out about. Nobody of this round is paid.
    fn give_up(&mut self, now: Timestamp, job: &Job, opened: &[(&Lease, Hash32)], reason: Reason) {
        let findings = opened.iter().map(|&(lease, root)| Finding {
            lease: lease.id,
            root,
            judgement: Judgement::Undecided,
            basis: None,
        });
        self.record(
            now,
            Event::Judged {
                job: job.id,
                findings: findings.collect(),
            },
        );
        self.end(
            now,
            job,
            JobState::Settled,
            Some(Verdict::Inconclusive),
            reason,
            None,
        );
    }

    /// Ends a round whose generation is lost, silent, malformed or rejected, and queues the job
    /// again while its limits allow.
    pub(crate) fn end_round(&mut self, now: Timestamp, id: JobId, lease: LeaseId, reason: Reason) {
        let job = self.stored_job(id);
        if job.deadline < self.now_live(now) {
            return self.end_expired(now, &job);
        }
        if job.round >= limits::ROUNDS_MAX {
            return self.end(
                now,
                &job,
                JobState::Failed,
                None,
                Reason::LimitReached("rounds".into()),
                None,
            );
        }
        if self.earned_checks(&job) + checks_ahead(&job) > checks_limit(&job) {
            return self.end(
                now,
                &job,
                JobState::Settled,
                Some(Verdict::Inconclusive),
                Reason::LimitReached("checks".into()),
                None,
            );
        }
        self.record(
            now,
            Event::RoundEnded {
                job: id,
                lease: Some(lease),
                reason,
            },
        );
        self.advance(now, id, None);
    }

    /// Ends a job for which no further worker was found, or may be asked.
    pub(crate) fn end_undone(&mut self, now: Timestamp, job: &Job, reason: Reason) {
        if self.accept_unaudited(now, job) {
            return;
        }
        if !matches!(job.state, JobState::Revealing | JobState::Extended) {
            return self.end(now, job, JobState::Failed, None, reason, None);
        }
        let round = self.round(job);
        if is_open(&round) {
            return self.give_up(now, job, &self.opened(&round), reason);
        }
        self.end(
            now,
            job,
            JobState::Settled,
            Some(Verdict::Inconclusive),
            reason,
            None,
        );
    }

    pub(crate) fn end_expired(&mut self, now: Timestamp, job: &Job) {
        if self.accept_unaudited(now, job) {
            return;
        }
        self.end(
            now,
            job,
            JobState::Expired,
            None,
            Reason::DeadlinePassed,
            None,
        );
    }

    pub(crate) fn end_cancelled(&mut self, now: Timestamp, job: &Job) {
        self.end(
            now,
            job,
            JobState::Cancelled,
            None,
            Reason::CancelledByRequester,
            None,
        );
    }

    /// Ends a job and moves all its money, in one event.
    fn end(
        &mut self,
        now: Timestamp,
        job: &Job,
        state: JobState,
        verdict: Option<Verdict>,
        reason: Reason,
        result: Option<(ReceiptResult, LeaseId)>,
    ) {
        let model = self
            .store
            .models
            .get(&job.model)
            .expect("BUG: a job's model is known");
        let payouts = self.payouts(job, result.map(|(result, _)| result.usage));
        // Who checks a `single` answer is paid by the treasury.
        let audited = |payout: &&Payout| {
            let lease = self.store.leases.get(&payout.lease);
            job.assurance == Assurance::Single
                && lease.is_some_and(|lease| lease.role == Role::Checker)
        };
        let subsidy = payouts.iter().filter(audited).map(|payout| payout.amount.0);
        let subsidy = Cycles(subsidy.sum());
        assert!(
            subsidy <= job.reserve,
            "BUG: what audits cost at most was set aside"
        );
        let paid: u128 = payouts.iter().map(|payout| payout.amount.0).sum();
        let paid = Cycles(paid - subsidy.0);
        let share = |bps| basis_points(paid, bps).expect("BUG: payouts stay within the escrow");
        let (fee, royalty) = (share(job.fee_bps), share(job.royalty_bps));
        let spent = Cycles(paid.0 + fee.0 + royalty.0);
        let refund = job
            .held
            .checked_sub(spent)
            .expect("BUG: no choice of workers within the ceilings costs more than the escrow");
        let settlement = Settlement {
            state,
            verdict,
            reason,
            result: result.map(|(result, _)| result),
            answer: result.map(|(_, lease)| lease),
            payouts,
            fee,
            royalty,
            royalty_account: model.owner,
            refund,
            subsidy,
        };
        self.record(
            now,
            Event::Ended {
                job: job.id,
                settlement: Box::new(settlement),
            },
        );
        self.end_canary(now, job);
    }

    /// What every lease that was found right is paid: at its own ask, for the tokens it worked on.
    fn payouts(&self, job: &Job, verified: Option<Usage>) -> Vec<Payout> {
        let leases = job.leases.iter().filter_map(|id| self.store.leases.get(id));
        let owed = leases.filter_map(|lease| {
            let basis = lease.basis?;
            let input_tokens = verified.map_or(basis.input_tokens, |usage| usage.input_tokens);
            let work = Usage {
                input_tokens,
                ..basis
            };
            let amount = match lease.role {
                Role::Generator | Role::Replica => lease.rates.generation(work),
                Role::Checker => lease.rates.check(work),
            };
            Some(Payout {
                lease: lease.id,
                account: self.payout_account(lease.provider),
                amount: amount.expect("BUG: asks and sizes have limits"),
            })
        });
        owed.filter(|payout| payout.amount > Cycles::ZERO).collect()
    }

    fn earned_checks(&self, job: &Job) -> u32 {
        let earned = |id: &&LeaseId| {
            self.store
                .leases
                .get(id)
                .is_some_and(|lease| lease.role == Role::Checker && lease.basis.is_some())
        };
        job.leases.iter().filter(earned).count() as u32
    }

    /// The active leases of a round that is wholly open, and their roots.
    fn opened<'a>(&self, round: &'a [Lease]) -> Vec<(&'a Lease, Hash32)> {
        round
            .iter()
            .filter(|lease| is_active(lease))
            .map(|lease| (lease, self.opened_root(lease.id)))
            .collect()
    }

    pub(crate) fn opened_root(&self, id: LeaseId) -> Hash32 {
        self.store
            .openings
            .get(&id)
            .expect("BUG: a revealed lease has its opening")
            .root
    }

    fn opened_body(&self, id: LeaseId) -> ResultBody {
        match self.store.openings.get(&id).map(|opened| opened.opening) {
            Some(Opening::Result(body)) => body,
            _ => panic!("BUG: lease {id} was accepted without a result"),
        }
    }

    fn now_live(&self, now: Timestamp) -> Live {
        Live(
            now.max(self.store.vitals.get().seen)
                .0
                .saturating_sub(self.meta().stalled),
        )
    }
}

/// Checks that one more round may begin with.
fn checks_ahead(job: &Job) -> u32 {
    match job.assurance {
        Assurance::Single => 1,
        asked => checkers_asked(asked),
    }
}

/// Checks that may be paid for a job, all rounds together.
fn checks_limit(job: &Job) -> u32 {
    match job.assurance {
        Assurance::Single => AUDIT_CHECKS_MAX,
        asked => checks_max(asked),
    }
}

/// Whether all that count in a round have opened their commitments.
fn is_open(round: &[Lease]) -> bool {
    round
        .iter()
        .filter(|lease| is_active(lease))
        .all(|lease| lease.state == LeaseState::Revealed)
}

fn opinion(opened: &[(&Lease, Hash32)], root: Hash32, asked: u32) -> Opinion {
    let mut votes: BTreeMap<Hash32, u32> = BTreeMap::new();
    for (_, root) in opened
        .iter()
        .filter(|(lease, _)| lease.role == Role::Checker)
    {
        *votes.entry(*root).or_default() += 1;
    }
    let agree = votes.remove(&root).unwrap_or(0);
    let Some((&other, &most)) = votes.iter().max_by_key(|(_, votes)| **votes) else {
        return if agree >= asked {
            Opinion::Right
        } else {
            Opinion::Open
        };
    };
    if agree >= asked.max(2) && agree > most {
        Opinion::Right
    } else if most >= 2 && most > agree {
        Opinion::Wrong(other)
    } else {
        Opinion::Open
    }
}
