//! Everything that must hold between two messages.

macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(format!($($what)+));
        }
    };
}

mod canaries;
mod transfers;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use assay_protocol::{
    Hash32, ModelId,
    job::{JobState, Verdict},
    lease::{LeaseState, Opening, Role, commitment},
    limits,
    registry::WorkerStatus,
    request::Assurance,
    store::{Log, Table},
};
use candid::Principal;

use crate::{
    apply::{key_due, payload_due},
    leases::{Lack, is_active, lack},
    market::Jobs,
    record::{Audit, Counts, Due, Job, Judgement, Lease},
    store::{Backend, Cell, Store},
};

/// Checks all invariants that a snapshot can show; names the one that is broken.
pub fn check_invariants<B: Backend>(jobs: &Jobs<B>) -> Result<(), String> {
    let store = jobs.store();
    let (all, leases) = rows(store)?;
    money(store, &all, &leases)?;
    transfers::check(store)?;
    canaries::check(store)?;
    let listed = Listed::of(store, &all)?;
    counts(store, &all, &leases, &listed)?;
    for job in &all {
        one_job(store, job, &leases, &listed).map_err(|what| format!("job {}: {what}", job.id))?;
    }
    for lease in &leases {
        one_lease(jobs, lease, &all[place(lease.job.0)])
            .map_err(|what| format!("lease {}: {what}", lease.id))?;
    }
    deadlines(store, &all, &leases, &listed)?;
    workers(store, &leases)?;
    if let Some(last) = store
        .log
        .len()
        .checked_sub(1)
        .and_then(|last| store.log.get(last))
    {
        ensure!(last.index + 1 == store.log.len(), "the log is not dense");
        ensure!(
            last.hash() == store.meta.get().head,
            "the head is not the hash of the last entry"
        );
    }
    Ok(())
}

/// Checks the sums of all money and every transfer, which the log alone decides.
pub(super) fn check_money<B: Backend>(store: &Store<B>) -> Result<(), String> {
    let (jobs, leases) = rows(store)?;
    money(store, &jobs, &leases)?;
    transfers::check(store)
}

/// Rows of a table, lent where it can lend them.
type Rows<'a, V> = Vec<Cow<'a, V>>;

/// All jobs and all leases, each at the [`place`] of its number.
fn rows<B: Backend>(store: &Store<B>) -> Result<(Rows<'_, Job>, Rows<'_, Lease>), String> {
    let mut jobs = Vec::with_capacity(store.jobs.len() as usize);
    let mut leases = Vec::with_capacity(store.leases.len() as usize);
    for (id, job) in store.jobs.scan() {
        ensure!(
            *id == job.id && place(id.0) == jobs.len(),
            "jobs are not numbered without gaps"
        );
        jobs.push(job);
    }
    for (id, lease) in store.leases.scan() {
        ensure!(
            *id == lease.id && place(id.0) == leases.len(),
            "leases are not numbered without gaps"
        );
        leases.push(lease);
    }
    Ok((jobs, leases))
}

/// Where a row lies whose number is this; numbers begin with 1.
fn place(number: u64) -> usize {
    usize::try_from(number.wrapping_sub(1)).unwrap_or(usize::MAX)
}

fn money<B: Backend>(
    store: &Store<B>,
    all: &[Cow<'_, Job>],
    leases: &[Cow<'_, Lease>],
) -> Result<(), String> {
    let meta = store.meta.get();
    let (mut free, mut earned, mut staked) = (0, 0, 0);
    for (_, account) in store.accounts.scan() {
        free += account.free.0;
        earned += account.earned.0;
        staked += account.stake.0 + account.unbonding.map_or(0, |unbonding| unbonding.amount.0);
    }
    let held: u128 = all.iter().map(|job| job.held.0).sum();
    let reserved: u128 = all.iter().map(|job| job.reserve.0).sum();
    let paid: u128 = leases.iter().map(|lease| lease.paid.0).sum();
    ensure!(
        free == meta.free.0,
        "balances are {free}, their sum says {}",
        meta.free
    );
    ensure!(
        held == meta.held.0,
        "escrow is {held}, its sum says {}",
        meta.held
    );
    ensure!(
        reserved == meta.reserved.0,
        "{reserved} is reserved for audits, its sum says {}",
        meta.reserved
    );
    ensure!(
        staked == meta.staked.0,
        "stake is {staked}, its sum says {}",
        meta.staked
    );
    let mut locked: BTreeMap<Principal, u128> = BTreeMap::new();
    for lease in leases.iter().filter(|lease| lease.state.is_live()) {
        *locked.entry(lease.provider).or_default() += lease.stake.0;
    }
    for (owner, account) in store.accounts.scan() {
        let locked = locked.remove(&*owner).unwrap_or(0);
        ensure!(
            account.locked.0 == locked && locked <= account.stake.0,
            "{owner} has {} of {} locked, its leases {locked}",
            account.locked,
            account.stake
        );
    }
    ensure!(
        locked.values().all(|&locked| locked == 0),
        "a lease locks stake of nobody"
    );
    ensure!(
        earned == paid,
        "accounts earned {earned}, leases were paid {paid}"
    );
    let there =
        free + held + meta.treasury.0 + reserved + staked + meta.sponsor.0 + meta.withdrawing.0;
    ensure!(
        there + meta.withdrawn.0 == meta.deposited.0,
        "{} came in, {} left, {there} is there",
        meta.deposited,
        meta.withdrawn
    );
    Ok(())
}

/// What other tables say of each job, at its [`place`].
struct Listed {
    /// It is in the queue.
    wanted: Vec<bool>,
    /// It holds its key.
    keyed: Vec<bool>,
}

impl Listed {
    /// Reads each table once, in its order: a search for each job costs more than all other checks.
    fn of<B: Backend>(store: &Store<B>, all: &[Cow<'_, Job>]) -> Result<Self, String> {
        let mut listed = Self {
            wanted: vec![false; all.len()],
            keyed: vec![false; all.len()],
        };
        for (model, id) in store.wanted.keys(..) {
            let place = place(id.0);
            ensure!(
                all.get(place).is_some_and(|job| job.model == model),
                "the queue holds a job that does not exist"
            );
            listed.wanted[place] = true;
        }
        for (key, holder) in store.keys.scan() {
            let (requester, key) = &*key;
            let place = place(holder.job.0);
            if let Some(job) = all.get(place)
                && job.requester == *requester
                && job.key == *key
            {
                listed.keyed[place] = true;
            }
        }
        for (requester, number) in store.by_requester.keys(..) {
            ensure!(
                all.get(place(u64::MAX - number))
                    .is_some_and(|job| job.requester == requester),
                "{requester} has job {} listed, which is another's",
                u64::MAX - number
            );
        }
        // No key is twice in a table: as many as there are jobs are all of them.
        ensure!(
            store.by_requester.len() == all.len() as u64,
            "jobs and jobs by requester differ in number"
        );
        Ok(listed)
    }
}

fn counts<B: Backend>(
    store: &Store<B>,
    all: &[Cow<'_, Job>],
    leases: &[Cow<'_, Lease>],
    listed: &Listed,
) -> Result<(), String> {
    let meta = store.meta.get();
    let mut counts = Counts::default();
    let mut open: BTreeMap<Principal, u32> = BTreeMap::new();
    for job in all {
        *counts.of(job.state, job.verdict) += 1;
        *open.entry(job.requester).or_default() += u32::from(!job.state.is_terminal());
    }
    ensure!(
        counts == meta.counts,
        "jobs by state are {counts:?}, counted {:?}",
        meta.counts
    );
    for (owner, account) in store.accounts.scan() {
        let open = open.get(&*owner).copied().unwrap_or(0);
        ensure!(
            account.open_jobs == open,
            "{owner} has {open} open jobs, counted {}",
            account.open_jobs
        );
        ensure!(
            open as usize <= limits::OPEN_JOBS_PER_REQUESTER_MAX,
            "{owner} has {open} open jobs"
        );
    }
    let ended = all.iter().filter(|job| job.state.is_terminal()).count() as u64;
    ensure!(
        store.receipts.len() == ended,
        "{ended} jobs have ended, {} have a receipt",
        store.receipts.len()
    );
    ensure!(
        (meta.last_job, meta.last_lease) == (all.len() as u64, leases.len() as u64),
        "the last job was {}, the last lease {}, and there are {} and {}",
        meta.last_job,
        meta.last_lease,
        all.len(),
        leases.len()
    );
    let mut demand: BTreeMap<ModelId, u64> = BTreeMap::new();
    for (job, _) in all
        .iter()
        .zip(&listed.wanted)
        .filter(|(_, wanted)| **wanted)
    {
        *demand.entry(job.model).or_default() += 1;
    }
    ensure!(
        store.demand.range(..).eq(demand.clone()),
        "queued by model are {demand:?}, counted otherwise"
    );
    Ok(())
}

fn one_job<B: Backend>(
    store: &Store<B>,
    job: &Job,
    leases: &[Cow<'_, Lease>],
    listed: &Listed,
) -> Result<(), String> {
    let own: Vec<&Lease> = job.leases.iter().map(|id| &*leases[place(id.0)]).collect();
    let round: Vec<&Lease> = own
        .iter()
        .filter(|lease| lease.round == job.round)
        .copied()
        .collect();
    ensure!(
        own.iter().all(|lease| lease.job == job.id),
        "it holds a lease of another job"
    );
    ensure!(
        own.len() <= limits::LEASES_PER_JOB_MAX as usize,
        "{} leases",
        own.len()
    );
    ensure!(
        (1..=limits::ROUNDS_MAX).contains(&job.round),
        "round {}",
        job.round
    );

    let lack = if job.state.is_terminal() {
        Lack::default()
    } else {
        let round: Vec<Lease> = round.iter().map(|&lease| lease.clone()).collect();
        lack(job, &round)
    };
    let wanted = listed.wanted[place(job.id.0)];
    ensure!(
        wanted == (lack.total() > 0),
        "it lacks {lack:?}, and whether it is queued is {wanted}"
    );

    let live = own.iter().filter(|lease| lease.state.is_live());
    let out = job.paid.0 - job.subsidy.0 + job.fee.0 + job.royalty.0 + job.refund.0;
    if job.state.is_terminal() {
        ensure!(job.held.0 == 0, "it has ended and holds {}", job.held);
        ensure!(
            job.reserve.0 == 0,
            "it has ended and {} is reserved",
            job.reserve
        );
        ensure!(
            out == job.escrow.0,
            "{} was held, {out} went out",
            job.escrow
        );
        ensure!(live.count() == 0, "it has ended and has a live lease");
        ensure!(job.ended.is_some(), "it has ended and does not say when");
        let paid: u128 = own.iter().map(|lease| lease.paid.0).sum();
        ensure!(
            paid == job.paid.0,
            "it paid {}, its leases got {paid}",
            job.paid
        );
    } else {
        ensure!(
            job.held == job.escrow && out == 0,
            "it is open and money has gone out"
        );
        ensure!(listed.keyed[place(job.id.0)], "its key is lost");
        ensure!(!job.pruned, "it is open, and its request is thrown away");
        ensure!(
            live.clone().all(|lease| lease.round == job.round),
            "a live lease is of an earlier round"
        );
    }
    let single = job.assurance == Assurance::Single;
    ensure!(
        single || (job.audit == Audit::Open && job.reserve.0 == 0 && job.subsidy.0 == 0),
        "it is audited and not single"
    );
    let answered = |lease: &&Lease| {
        lease.role == Role::Generator
            && is_active(lease)
            && matches!(lease.state, LeaseState::Committed | LeaseState::Revealed)
    };
    let undecided = single
        && !job.state.is_terminal()
        && job.audit == Audit::Open
        && round.iter().any(answered);
    ensure!(
        store.audits.contains(&job.id) == undecided,
        "its audit is undecided: {undecided}, and the draw says otherwise"
    );
    let queued = job.state == JobState::Queued;
    ensure!(
        !queued || round.is_empty(),
        "it is queued and its round has leases"
    );
    ensure!(
        (job.state == JobState::Settled) == job.verdict.is_some(),
        "a verdict and settled are one"
    );
    let answered = matches!(job.verdict, Some(Verdict::Verified | Verdict::Unverified));
    ensure!(
        answered == job.answer.is_some() && answered == job.result.is_some(),
        "an answer and a verdict for it are one"
    );

    let active: Vec<&Lease> = round
        .iter()
        .filter(|lease| is_active(lease))
        .copied()
        .collect();
    let providers: BTreeSet<Principal> = active.iter().map(|lease| lease.provider).collect();
    ensure!(
        providers.len() == active.len(),
        "a provider works twice in one round"
    );
    ensure!(
        active
            .iter()
            .filter(|lease| lease.role == Role::Generator)
            .count()
            <= 1,
        "two generators in one round"
    );
    if job.wait.is_some() {
        ensure!(lack.total() > 0, "it waits and lacks nobody");
        ensure!(
            round.iter().all(|lease| lease.state != LeaseState::Leased),
            "it waits while a worker runs"
        );
    }
    Ok(())
}

fn one_lease<B: Backend>(jobs: &Jobs<B>, lease: &Lease, job: &Job) -> Result<(), String> {
    let store = jobs.store();
    ensure!(job.leases.contains(&lease.id), "its job does not know it");
    ensure!(lease.round <= job.round, "it is of a round to come");
    let committed = matches!(
        lease.state,
        LeaseState::Committed | LeaseState::Revealed | LeaseState::Silent
    );
    ensure!(
        !committed || lease.commitment.is_some(),
        "it is {:?} without a commitment",
        lease.state
    );
    ensure!(
        lease.commitment.is_none() || lease.run_deadline.is_some(),
        "it committed and was never claimed"
    );
    ensure!(
        lease.reveal_deadline.is_none() || lease.commitment.is_some(),
        "it may reveal and has not committed"
    );
    if lease.state == LeaseState::Revealed {
        ensure!(
            lease.reveal_deadline.is_some(),
            "it revealed before it might"
        );
        let opened = store.openings.view(&lease.id);
        ensure!(
            opened.is_some() != job.pruned,
            "its opening is lost, or kept for too long"
        );
        if let Some(opened) = opened.filter(|_| !job.state.is_terminal()) {
            let expected = commitment(
                &jobs.config().canister,
                lease.id,
                &lease.worker,
                &opened.nonce,
                &opened.root,
            );
            ensure!(
                lease.commitment == Some(expected),
                "its opening does not open its commitment"
            );
        }
    }
    // What a round hides shows only with its verdict.
    ensure!(
        lease.root.is_none() || lease.judgement.is_some(),
        "its root shows before the verdict"
    );
    let earned = matches!(
        lease.judgement,
        Some(Judgement::Right | Judgement::Accepted)
    );
    ensure!(
        earned == lease.basis.is_some(),
        "it is {:?} and earns {:?}",
        lease.judgement,
        lease.basis
    );
    ensure!(lease.paid.0 == 0 || earned, "it was paid and did not earn");
    ensure!(
        lease.bond <= lease.stake,
        "it may lose {} of {} staked",
        lease.bond,
        lease.stake
    );
    ensure!(
        lease.forfeited.0 == 0 || lease.state == LeaseState::Silent,
        "it is {:?} and lost its bond",
        lease.state
    );
    ensure!(
        lease.paid.0 == 0 || job.state.is_terminal(),
        "it was paid before its job ended"
    );
    ensure!(
        lease.state.is_live() || lease.ended_deadline.is_some(),
        "it has ended and does not say when it was due"
    );
    let result = || {
        let opened = store.openings.view(&lease.id);
        opened.is_some_and(|opened| matches!(opened.opening, Opening::Result(_)))
    };
    ensure!(
        lease.role != Role::Checker || !result(),
        "a checker opened a result"
    );
    ensure!(lease.root != Some(Hash32::default()), "its root is zero");
    Ok(())
}

/// Every live lease, open job and running wait is due exactly once, and nothing else is.
fn deadlines<B: Backend>(
    store: &Store<B>,
    all: &[Cow<'_, Job>],
    leases: &[Cow<'_, Lease>],
    listed: &Listed,
) -> Result<(), String> {
    let mut expected = Vec::new();
    for job in all {
        match job.ended {
            None => {
                ensure!(
                    job.expiry >= job.deadline
                        && job.expiry
                            <= job
                                .deadline
                                .plus_seconds(limits::CHECK_GRACE_SECONDS + limits::REVEAL_SECONDS),
                    "job {} ends far from its deadline",
                    job.id
                );
                expected.push((job.expiry, Due::Job(job.id)));
            }
            Some(ended) if listed.keyed[place(job.id.0)] => {
                expected.push((key_due(ended), Due::Key(job.id)));
            }
            Some(_) => {}
        }
        expected.extend(job.wait.map(|wait| (wait, Due::Wait(job.id))));
        let kept = job.ended.filter(|_| !job.pruned);
        expected.extend(kept.map(|ended| (payload_due(ended), Due::Payload(job.id))));
    }
    let mut kept = all.iter().filter(|job| !job.pruned).map(|job| job.id);
    for request in store.requests.keys(..) {
        ensure!(
            kept.next() == Some(request),
            "job {request} keeps its request for too long, or one before it has lost its own"
        );
    }
    if let Some(job) = kept.next() {
        return Err(format!("job {job} has lost its request"));
    }
    let mut live = 0;
    for lease in leases.iter().filter(|lease| lease.state.is_live()) {
        live += 1;
        let pulse = store
            .pulses
            .get(&lease.id)
            .ok_or_else(|| format!("lease {} lives without a deadline", lease.id))?;
        ensure!(
            pulse.due <= pulse.until,
            "lease {} is looked at after its deadline",
            lease.id
        );
        let latest = lease
            .reveal_deadline
            .or(lease.run_deadline)
            .unwrap_or(lease.claim_deadline);
        let committed = lease.state == LeaseState::Committed && lease.reveal_deadline.is_none();
        let until = if committed {
            all.get(place(lease.job.0)).map_or(latest, |job| job.expiry)
        } else {
            latest
        };
        ensure!(
            pulse.until <= until && (!committed || pulse.until == until),
            "lease {} lives beyond its last deadline",
            lease.id
        );
        ensure!(
            store.held.contains(&(lease.worker, lease.id)),
            "lease {} is not listed by its worker",
            lease.id
        );
        expected.push((pulse.due, Due::Lease(lease.id)));
    }
    ensure!(
        store.pulses.len() == live && store.held.len() == live,
        "{live} leases live, {} have a deadline",
        store.pulses.len()
    );
    expected.sort_unstable();
    ensure!(
        store.due.keys(..).eq(expected),
        "what is due differs from what has a deadline"
    );
    Ok(())
}

fn workers<B: Backend>(store: &Store<B>, leases: &[Cow<'_, Lease>]) -> Result<(), String> {
    let mut live: BTreeMap<Principal, u32> = BTreeMap::new();
    for lease in leases.iter().filter(|lease| lease.state.is_live()) {
        *live.entry(lease.worker).or_default() += 1;
    }
    let mut asks = 0;
    for (operator, worker) in store.workers.scan() {
        let operator = *operator;
        let live = live.get(&operator).copied().unwrap_or(0);
        ensure!(
            worker.live == live,
            "{operator} holds {live} leases, counted {}",
            worker.live
        );
        for offer in &worker.offers {
            let ask = store.asks.get(&(offer.model, operator));
            let expected = (worker.status == WorkerStatus::Active).then_some(offer.into());
            ensure!(
                ask.map(|ask| ask.rates) == expected,
                "{operator} offers {expected:?}, the index says {ask:?}"
            );
            asks += u64::from(expected.is_some());
        }
    }
    ensure!(
        store.asks.len() == asks,
        "{asks} offers, {} in the index",
        store.asks.len()
    );
    Ok(())
}
