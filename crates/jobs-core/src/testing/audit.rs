//! A reader of the log that trusts nothing: it follows every job and lease by the events alone
//! and objects to a step that may not follow what came before.

macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(format!($($what)+));
        }
    };
}

mod transfers;

use std::collections::{BTreeMap, BTreeSet};

use assay_protocol::{
    Cycles, Hash32, JobId, LeaseId, Timestamp,
    canary::CanaryOutcome,
    job::{JobState, Reason, Verdict},
    lease::{LeaseState, Role},
    request::Assurance,
    store::Log,
};
use candid::Principal;

use crate::{
    event::{Entry, Event, Settlement, Terms},
    record::{Audit, Judgement},
};

/// Reads a log as it grows.
#[derive(Clone, Debug, Default)]
pub struct Auditor {
    next: u64,
    head: Hash32,
    at: Timestamp,
    slots: BTreeMap<Principal, u16>,
    jobs: BTreeMap<JobId, AuditedJob>,
    leases: BTreeMap<LeaseId, AuditedLease>,
    /// Leases of each job, in the order in which they were granted.
    granted: BTreeMap<JobId, Vec<LeaseId>>,
    live: BTreeMap<Principal, u32>,
    counts: BTreeMap<&'static str, u32>,
    transfers: transfers::Transfers,
    /// Canaries that have not ended, and what each was given.
    canaries: BTreeMap<u64, u128>,
    canaries_added: u64,
}

#[derive(Clone, Debug)]
struct AuditedJob {
    terms: Terms,
    round: u32,
    state: JobState,
    seed: Option<u64>,
    barred: BTreeSet<Principal>,
    audit: Audit,
    reserve: u128,
}

#[derive(Clone, Debug)]
struct AuditedLease {
    job: JobId,
    round: u32,
    role: Role,
    worker: Principal,
    provider: Principal,
    state: LeaseState,
    claimed: bool,
    may_reveal: bool,
    malformed: bool,
    judgement: Option<Judgement>,
}

impl Auditor {
    /// Reads what is new; objects to what may not be.
    pub fn read(&mut self, log: &impl Log<Entry>) -> Result<(), String> {
        while let Some(entry) = log.get(self.next) {
            self.read_entry(&entry)?;
        }
        ensure!(
            self.next == log.len(),
            "the log has {} entries, {} could be read",
            log.len(),
            self.next
        );
        Ok(())
    }

    /// Reads the next entry; objects to what may not be.
    pub fn read_entry(&mut self, entry: &Entry) -> Result<(), String> {
        self.entry(entry)
            .map_err(|what| format!("event {}: {what}: {:?}", entry.index, entry.event))
    }

    /// [`Entry::hash`] of the last entry; zero before the first.
    pub fn head(&self) -> Hash32 {
        self.head
    }

    /// Entries read.
    pub fn entries(&self) -> u64 {
        self.next
    }

    /// When the last of them happened.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// How often things happened, ends of jobs among them: to see that a test reached what it is about.
    pub fn counts(&self) -> &BTreeMap<&'static str, u32> {
        &self.counts
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), String> {
        ensure!(
            entry.index == self.next,
            "index {}, expected {}",
            entry.index,
            self.next
        );
        ensure!(entry.previous == self.head, "the chain is broken");
        ensure!(entry.at >= self.at, "time goes back");
        self.next += 1;
        self.head = entry.hash();
        self.at = entry.at;
        self.event(&entry.event)
    }

    fn event(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::WorkerSynced {
                operator, slots, ..
            } => {
                self.slots.insert(*operator, *slots);
            }
            Event::Submitted { job, terms } => {
                ensure!(
                    job.0 == self.jobs.len() as u64 + 1,
                    "job numbers have a gap"
                );
                let terms = Terms::clone(terms);
                let seed = terms.seed;
                self.jobs.insert(
                    *job,
                    AuditedJob {
                        terms,
                        round: 1,
                        state: JobState::Queued,
                        seed,
                        barred: BTreeSet::new(),
                        audit: Audit::Open,
                        reserve: 0,
                    },
                );
            }
            Event::SeedDrawn { job, seed } => {
                let job = self.open_job(*job)?;
                ensure!(job.seed.is_none(), "a second seed");
                job.seed = Some(*seed);
            }
            Event::Granted {
                lease,
                job,
                role,
                worker,
                provider,
                rates,
                claim_deadline: _,
                stake,
                bond,
            } => {
                ensure!(bond <= stake, "a bond beyond the stake");
                ensure!(
                    lease.0 == self.leases.len() as u64 + 1,
                    "lease numbers have a gap"
                );
                let id = *job;
                let job = self.open_job(id)?.clone();
                ensure!(job.seed.is_some(), "a lease before the seed");
                ensure!(
                    rates.input <= job.terms.ceilings.input
                        && rates.output <= job.terms.ceilings.output,
                    "too dear"
                );
                ensure!(!job.barred.contains(provider), "a barred provider");
                let active = self.active(id, job.round);
                ensure!(
                    active.iter().all(|lease| lease.provider != *provider),
                    "a provider twice in a round"
                );
                let generators = active
                    .iter()
                    .filter(|lease| lease.role == Role::Generator)
                    .count();
                match (job.terms.assurance, role) {
                    (Assurance::Equality { .. } | Assurance::Threshold { .. }, Role::Replica) => {}
                    (Assurance::Single | Assurance::Checked { .. }, Role::Generator) => {
                        ensure!(generators == 0, "a second generator")
                    }
                    (Assurance::Checked { .. }, Role::Checker) => {
                        ensure!(generators == 1, "a checker without a generator")
                    }
                    (Assurance::Single, Role::Checker) => ensure!(
                        generators == 1 && job.audit.is_checked(),
                        "a checker without a generator or an audit"
                    ),
                    _ => return Err("a role that the assurance does not have".into()),
                }
                let live = self.live.entry(*worker).or_default();
                *live += 1;
                let slots = self.slots.get(worker).copied().unwrap_or(0);
                ensure!(*live <= u32::from(slots), "{live} leases on {slots} slots");
                self.move_to(id, JobState::Running)?;
                self.granted.entry(id).or_default().push(*lease);
                self.leases.insert(
                    *lease,
                    AuditedLease {
                        job: id,
                        round: job.round,
                        role: *role,
                        worker: *worker,
                        provider: *provider,
                        state: LeaseState::Leased,
                        claimed: false,
                        may_reveal: false,
                        malformed: false,
                        judgement: None,
                    },
                );
            }
            Event::Claimed { lease, .. } => {
                let lease = self.lease(*lease, LeaseState::Leased)?;
                ensure!(!lease.claimed, "claimed twice");
                lease.claimed = true;
            }
            Event::Committed {
                lease, claim_hash, ..
            } => {
                let id = *lease;
                let lease = self.lease(id, LeaseState::Leased)?;
                ensure!(lease.claimed, "a commitment before the claim");
                ensure!(
                    claim_hash.is_some() == (lease.role == Role::Generator),
                    "generators claim, others do not"
                );
                lease.state = LeaseState::Committed;
                let lease = lease.clone();
                if lease.role == Role::Checker {
                    let generator = self
                        .active(lease.job, lease.round)
                        .into_iter()
                        .find(|other| other.role == Role::Generator);
                    ensure!(
                        generator.is_some_and(|generator| generator.state != LeaseState::Leased),
                        "a checker committed before its generator"
                    );
                }
            }
            Event::RevealOpened { job, .. } => {
                let job = *job;
                let audited = self.open_job(job)?.clone();
                let active = self.active(job, audited.round);
                ensure!(
                    active.iter().all(|lease| lease.state != LeaseState::Leased),
                    "reveals open while commitments are"
                );
                let needed = match audited.terms.assurance {
                    Assurance::Checked { checkers } => 1 + usize::from(checkers),
                    assurance => assurance
                        .replicas()
                        .map_or(1, |(total, _)| usize::from(total)),
                };
                ensure!(
                    active.len() >= needed,
                    "reveals open with {} of {needed} workers",
                    active.len()
                );
                for lease in self
                    .leases
                    .values_mut()
                    .filter(|lease| lease.job == job && lease.state == LeaseState::Committed)
                {
                    lease.may_reveal = true;
                }
                if audited.state == JobState::Running {
                    self.move_to(job, JobState::Revealing)?;
                }
            }
            Event::Revealed { lease } => {
                let lease = self.lease(*lease, LeaseState::Committed)?;
                ensure!(lease.may_reveal, "a reveal before they were open");
                lease.state = LeaseState::Revealed;
                let worker = lease.worker;
                self.free(worker)?;
            }
            Event::LeaseEnded { lease, state, .. } => {
                let id = *lease;
                let found = self.leases.get_mut(&id).ok_or("no such lease")?;
                let fits = match state {
                    LeaseState::Lost | LeaseState::Abandoned => found.state == LeaseState::Leased,
                    LeaseState::Late => found.state == LeaseState::Lost,
                    LeaseState::Silent => found.state == LeaseState::Committed && found.may_reveal,
                    _ => false,
                };
                ensure!(fits, "from {:?} to {state:?}", found.state);
                let was_live = found.state.is_live();
                found.state = *state;
                let (worker, provider, job) = (found.worker, found.provider, found.job);
                if was_live {
                    self.free(worker)?;
                }
                let job = self.open_job(job)?;
                if *state == LeaseState::Silent {
                    job.barred.insert(provider);
                }
                self.count(match state {
                    LeaseState::Lost => "lost",
                    LeaseState::Late => "late",
                    LeaseState::Silent => "silent",
                    _ => "abandoned",
                });
            }
            Event::FoundMalformed { lease, .. } => {
                let lease = self.lease(*lease, LeaseState::Revealed)?;
                lease.malformed = true;
                lease.judgement = Some(Judgement::Wrong);
                let (job, provider) = (lease.job, lease.provider);
                self.open_job(job)?.barred.insert(provider);
                self.count("malformed");
            }
            Event::Extended { job, .. } => {
                self.count("extended");
                self.move_to(*job, JobState::Extended)?;
            }
            Event::Judged { job, findings } => {
                let audited = self.open_job(*job)?.clone();
                let mut active = self.active(*job, audited.round);
                if audited.terms.assurance == Assurance::Single && audited.audit != Audit::Required
                {
                    // An audit that found no checker in time holds nothing up.
                    active.retain(|lease| {
                        lease.role == Role::Generator || lease.state == LeaseState::Revealed
                    });
                }
                ensure!(
                    active
                        .iter()
                        .all(|lease| lease.state == LeaseState::Revealed),
                    "a verdict before all has been revealed"
                );
                ensure!(
                    active.len() == findings.len(),
                    "a verdict on {} of {} results in round {} of {:?}",
                    findings.len(),
                    active.len(),
                    audited.round,
                    self.of_job(*job).collect::<Vec<_>>()
                );
                for finding in findings {
                    let lease = self.lease(finding.lease, LeaseState::Revealed)?;
                    ensure!(lease.judgement.is_none(), "judged twice");
                    lease.judgement = Some(finding.judgement);
                    let provider = lease.provider;
                    if finding.judgement == Judgement::Wrong {
                        self.open_job(*job)?.barred.insert(provider);
                    }
                }
            }
            Event::RoundEnded { job, reason, .. } => {
                if *reason == Reason::GenerationRejected {
                    self.count("rejected");
                }
                self.release(*job)?;
                let job = self.open_job(*job)?;
                job.round += 1;
                job.state = JobState::Queued;
                job.audit = Audit::Open;
            }
            Event::Ended { job, settlement } => {
                self.settled(*job, settlement)?;
                self.release(*job)?;
                self.move_to(*job, settlement.state)?;
            }
            Event::Waiting { job, .. } => {
                self.open_job(*job)?;
                self.count("waiting");
            }
            Event::Reserved { job, amount } => {
                let job = self.open_job(*job)?;
                ensure!(job.reserve == 0, "reserved twice");
                job.reserve = amount.0;
            }
            Event::AuditDecided { job, audit } => {
                let id = *job;
                let job = self.open_job(id)?;
                // A canary's answer that went unaudited may be doubted.
                let doubted = (job.audit, *audit) == (Audit::Spared, Audit::Required);
                ensure!(
                    job.audit == Audit::Open || doubted,
                    "decided twice on an audit"
                );
                ensure!(
                    job.terms.assurance == Assurance::Single,
                    "an audit of what is compared anyway"
                );
                job.audit = *audit;
                let round = job.round;
                ensure!(
                    self.active(id, round)
                        .iter()
                        .any(|lease| lease.role == Role::Generator
                            && lease.state != LeaseState::Leased),
                    "an audit before the answer"
                );
                self.count(match audit {
                    Audit::Open => "audit left to chance",
                    Audit::Spared => "audit spared",
                    Audit::Drawn => "audit drawn",
                    Audit::Required => "audit required",
                });
            }
            Event::BondLost { lease, to } => {
                let lost = self.lease(*lease, LeaseState::Committed)?.clone();
                ensure!(lost.may_reveal, "a bond lost before it could be saved");
                for payout in to {
                    let checker = self.leases.get(&payout.lease).ok_or("no such lease")?;
                    ensure!(
                        checker.role == Role::Checker
                            && (checker.job, checker.round) == (lost.job, lost.round)
                            && lost.role == Role::Generator,
                        "a bond for somebody else"
                    );
                }
                self.count("bond lost");
            }
            Event::CanaryAdded { number, amount, .. } => {
                self.canaries_added += 1;
                ensure!(*number == self.canaries_added, "canary numbers have a gap");
                self.canaries.insert(*number, amount.0);
            }
            Event::CanaryReturned {
                number,
                amount,
                outcome,
            } => {
                let given = self.canaries.remove(number).ok_or("it ended twice")?;
                ensure!(amount.0 <= given, "more came back than was given");
                self.count(match outcome {
                    CanaryOutcome::Right => "canary right",
                    CanaryOutcome::Caught => "canary caught",
                    CanaryOutcome::Refuted => "canary refuted",
                    CanaryOutcome::Unanswered => "canary unanswered",
                    CanaryOutcome::TakenBack => "canary taken back",
                });
            }
            Event::Stalled { .. } => self.count("stalled"),
            event => {
                if let Some(name) = self.transfers.read(self.at, event)? {
                    self.count(name);
                }
            }
        }
        Ok(())
    }

    fn settled(&mut self, id: JobId, settlement: &Settlement) -> Result<(), String> {
        let Settlement {
            state,
            verdict,
            payouts,
            fee,
            royalty,
            refund,
            subsidy,
            ..
        } = settlement;
        let job = self.open_job(id)?;
        let (single, reserve) = (job.terms.assurance == Assurance::Single, job.reserve);
        let Terms {
            from_balance,
            from_call,
            from_sponsor,
            ..
        } = &job.terms;
        let escrow = from_balance.0 + from_call.0 + from_sponsor.0;
        let paid: u128 = payouts.iter().map(|payout| payout.amount.0).sum();
        ensure!(
            paid + fee.0 + royalty.0 + refund.0 == escrow + subsidy.0,
            "the split is not the whole"
        );
        ensure!(state.is_terminal(), "it ended as {state:?}");
        let (mut seen, mut checks) = (BTreeSet::new(), 0);
        for payout in payouts {
            ensure!(
                seen.insert(payout.lease),
                "lease {} is paid twice",
                payout.lease
            );
            ensure!(payout.amount > Cycles::ZERO, "a payment of nothing");
            let lease = self.lease(payout.lease, LeaseState::Revealed)?;
            ensure!(lease.job == id, "it pays for another job");
            if single && lease.role == Role::Checker {
                checks += payout.amount.0;
            }
            ensure!(
                matches!(
                    lease.judgement,
                    Some(Judgement::Right | Judgement::Accepted)
                ),
                "it pays {:?}",
                lease.judgement
            );
        }
        ensure!(
            subsidy.0 == checks && checks <= reserve,
            "the treasury pays {subsidy} for checks of {checks}, {reserve} was reserved"
        );
        let name = match (state, verdict) {
            (_, Some(Verdict::Verified)) => "verified",
            (_, Some(Verdict::Unverified)) => "unverified",
            (_, Some(Verdict::Inconclusive)) => "inconclusive",
            (JobState::Cancelled, _) => "cancelled",
            (JobState::Expired, _) => "expired",
            _ => "failed",
        };
        self.count(name);
        Ok(())
    }

    fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    /// Ends the live leases of a job.
    fn release(&mut self, job: JobId) -> Result<(), String> {
        let mut freed = Vec::new();
        for id in self.granted.get(&job).into_iter().flatten() {
            if let Some(lease) = self.leases.get_mut(id)
                && lease.state.is_live()
            {
                lease.state = LeaseState::Released;
                freed.push(lease.worker);
            }
        }
        freed.into_iter().try_for_each(|worker| self.free(worker))
    }

    fn free(&mut self, worker: Principal) -> Result<(), String> {
        let live = self.live.entry(worker).or_default();
        *live = live
            .checked_sub(1)
            .ok_or("a worker with less than no leases")?;
        Ok(())
    }

    /// States only go forward within a round, and an end is final.
    fn move_to(&mut self, id: JobId, state: JobState) -> Result<(), String> {
        let job = self.open_job(id)?;
        if job.state < state {
            job.state = state;
        } else {
            let stays = matches!(state, JobState::Running | JobState::Extended);
            ensure!(
                stays,
                "job {id} goes back from {:?} to {state:?}",
                job.state
            );
        }
        Ok(())
    }

    fn active(&self, job: JobId, round: u32) -> Vec<&AuditedLease> {
        let active = |lease: &&AuditedLease| {
            lease.round == round
                && !lease.malformed
                && matches!(
                    lease.state,
                    LeaseState::Leased | LeaseState::Committed | LeaseState::Revealed
                )
        };
        self.of_job(job).filter(active).collect()
    }

    /// Leases of a job, in the order in which they were granted.
    fn of_job(&self, job: JobId) -> impl Iterator<Item = &AuditedLease> {
        let granted = self.granted.get(&job).into_iter().flatten();
        granted.filter_map(|id| self.leases.get(id))
    }

    fn open_job(&mut self, id: JobId) -> Result<&mut AuditedJob, String> {
        let job = self.jobs.get_mut(&id).ok_or("no such job")?;
        ensure!(!job.state.is_terminal(), "job {id} has ended");
        Ok(job)
    }

    fn lease(&mut self, id: LeaseId, state: LeaseState) -> Result<&mut AuditedLease, String> {
        let lease = self.leases.get_mut(&id).ok_or("no such lease")?;
        ensure!(
            lease.state == state,
            "lease {id} is {:?}, not {state:?}",
            lease.state
        );
        Ok(lease)
    }
}
