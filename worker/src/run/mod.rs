//! The daemon's loop: looks for work, claims it, keeps it alive, and sees every lease to its end.
//!
//! It refuses to know what a lease computes. Queries only tell it when to ask; what it acts on comes from updates.

mod check;
mod generate;
mod lease;
mod settle;
mod together;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use assay_protocol::{
    Hash32, LeaseId,
    lease::{Beat, LeaseHint, LeaseState, Offer, Order, WorkHint, WorkerError},
    limits::{HEARTBEAT_LEASES_MAX, HEARTBEAT_SECONDS, SLOTS_MAX},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{debug, error, info, warn};

use self::together::Together;
use crate::{
    backoff::Backoff,
    cheat::Cheat,
    client::{Jobs, Outcome},
    journal::{Journal, Record},
    model::{LocalModel, VectorModel},
};

pub(crate) use lease::Ticket;

/// Leases that have ended and are still remembered, so that a late hint about one is not taken for a new one.
const ENDED_REMEMBERED: usize = 1_024;
/// How long tasks may take to end once they were told to.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A model that this worker offers.
#[derive(Clone, Debug)]
pub struct Offered {
    /// The model in memory.
    pub model: LocalModel,
    /// Its version and prices.
    pub offer: Offer,
    engine: Engine,
}

/// What runs a model's orders.
#[derive(Clone, Debug)]
pub(crate) enum Engine {
    /// Texts, in company.
    Texts(Arc<Together>),
    /// Vectors, each by itself.
    Vectors(Arc<VectorModel>),
}

impl Offered {
    /// A model with its prices, which runs its answers on so many threads.
    pub fn new(model: LocalModel, offer: Offer, threads: usize) -> Self {
        let engine = match &model {
            LocalModel::Text(model) => {
                Engine::Texts(Arc::new(Together::new(model.clone(), threads)))
            }
            LocalModel::Vector(model) => Engine::Vectors(model.clone()),
        };
        Self {
            model,
            offer,
            engine,
        }
    }
}

/// What the daemon works with.
#[derive(Debug)]
pub struct Worker {
    /// The canister that it serves, under its own identity.
    pub jobs: Jobs,
    /// What it offers.
    pub models: Vec<Offered>,
    /// What survives a crash.
    pub journal: Journal,
    /// Jobs to run at once.
    pub slots: u16,
    /// Threads of one run.
    pub threads: usize,
    /// Pause between two looks for work.
    pub poll: Duration,
    /// How long running leases may finish once it is told to stop.
    pub grace: Duration,
    /// A deliberate misbehaviour.
    pub cheat: Option<Cheat>,
}

/// What one life of the daemon did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Leases that were seen through to their reveal.
    pub revealed: u64,
    /// Leases given back, lost or ended by others.
    pub other: u64,
}

/// What all tasks of the daemon share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) worker: Worker,
    tickets: Mutex<Tickets>,
    hints: watch::Sender<Hints>,
    /// Makes the loop look again at once.
    pub(crate) wake: Notify,
}

#[derive(Debug, Default)]
struct Tickets {
    live: BTreeMap<LeaseId, Arc<Ticket>>,
    ended: VecDeque<LeaseId>,
}

/// The latest hint, and how many came before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hints {
    pub(crate) number: u64,
    pub(crate) leases: BTreeMap<LeaseId, LeaseHint>,
}

impl Tickets {
    fn knows(&self, lease: LeaseId) -> bool {
        self.live.contains_key(&lease) || self.ended.contains(&lease)
    }

    fn forget(&mut self, lease: LeaseId) {
        self.live.remove(&lease);
        self.ended.push_back(lease);
        if self.ended.len() > ENDED_REMEMBERED {
            self.ended.pop_front();
        }
    }
}

impl Shared {
    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hints(&self) -> watch::Receiver<Hints> {
        self.hints.subscribe()
    }

    /// The offered model with this root.
    pub(crate) fn model(&self, order: &Order) -> Option<&Offered> {
        self.worker.models.iter().find(|offered| {
            offered.offer.model == order.model && offered.model.root() == order.model_root
        })
    }
}

/// Serves until told to stop and done, or until the state folder fails.
pub async fn serve(
    worker: Worker,
    mut stop: watch::Receiver<bool>,
) -> Result<Summary, crate::journal::JournalError> {
    let records = worker.journal.records()?;
    let shared = Arc::new(Shared {
        worker,
        tickets: Mutex::default(),
        hints: watch::Sender::new(Hints::default()),
        wake: Notify::new(),
    });
    let mut tasks = JoinSet::new();
    resume(&shared, records, &mut tasks);
    let heart = tokio::spawn(heartbeats(shared.clone()));

    let mut summary = Summary::default();
    let mut backoff = Backoff::network();
    let mut deadline: Option<Instant> = None;
    loop {
        let draining = *stop.borrow();
        if draining && deadline.is_none() {
            info!(
                leases = shared.tickets().live.len(),
                grace_seconds = shared.worker.grace.as_secs(),
                "stopping: no new work is taken"
            );
            deadline = Some(Instant::now() + shared.worker.grace);
            // Failing that, the announcement lapses by itself.
            if let Err(error) = shared.worker.jobs.ready(0).await {
                debug!(%error, "could not withdraw the announced slots");
            }
        }
        let pause = match look(&shared, draining, &mut tasks).await {
            Ok(()) => {
                if backoff.failures() > 0 {
                    info!("the network answers again");
                }
                backoff.reset();
                shared.worker.poll
            }
            Err(error) => {
                let pause = backoff.pause();
                if backoff.failures() == 1 || backoff.failures().is_multiple_of(20) {
                    warn!(%error, failures = backoff.failures(), "cannot look for work, trying again");
                }
                pause
            }
        };
        collect(&mut tasks, &mut summary);
        if draining && tasks.is_empty() {
            break;
        }
        let over = deadline.unwrap_or_else(|| Instant::now() + pause * 2);
        tokio::select! {
            () = sleep(pause) => {}
            () = shared.wake.notified() => {}
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => count(ended, &mut summary),
            changed = stop.changed(), if !draining => if changed.is_err() { break },
            () = sleep_until(over), if deadline.is_some() => {
                give_back(&shared, &mut tasks, &mut summary).await;
                break;
            }
        }
    }
    heart.abort();
    info!(
        revealed = summary.revealed,
        other = summary.other,
        "stopped"
    );
    Ok(summary)
}

/// Takes up the leases whose commitments were on disk.
fn resume(shared: &Arc<Shared>, records: Vec<Record>, tasks: &mut JoinSet<lease::End>) {
    for record in records {
        let lease = record.reveal.lease;
        if record.canister != shared.worker.jobs.id
            || record.worker != shared.worker.jobs.network().me()
        {
            warn!(%lease, canister = %record.canister, "a record of another canister or identity lies in the state folder; it is left alone");
            continue;
        }
        info!(job = %record.job, %lease, role = ?record.role, "taking up a lease from before the restart");
        let ticket = admit(shared, lease);
        let shared = shared.clone();
        tasks.spawn(async move { lease::resume(&shared, &ticket, record).await });
    }
}

fn admit(shared: &Shared, lease: LeaseId) -> Arc<Ticket> {
    let ticket = Arc::new(Ticket::new(lease));
    shared.tickets().live.insert(lease, ticket.clone());
    ticket
}

/// One look: what do the leases need, is there new work, are free slots announced?
async fn look(
    shared: &Arc<Shared>,
    draining: bool,
    tasks: &mut JoinSet<lease::End>,
) -> Result<(), Outcome<WorkerError>> {
    let WorkHint {
        unclaimed,
        announce,
        leases,
    } = shared.worker.jobs.work().await?;
    let running: Vec<LeaseId> = leases
        .iter()
        .filter(|hint| hint.state == LeaseState::Leased)
        .map(|hint| hint.lease)
        .collect();
    let (known, dropped, free, live) = {
        let tickets = shared.tickets();
        let busy = tickets
            .live
            .values()
            .filter(|ticket| ticket.is_computing())
            .count();
        let known: Vec<LeaseId> = running
            .iter()
            .copied()
            .filter(|lease| tickets.knows(*lease))
            .collect();
        let dropped: Vec<LeaseId> = known
            .iter()
            .copied()
            .filter(|lease| !tickets.live.contains_key(lease))
            .collect();
        (
            known,
            dropped,
            usize::from(shared.worker.slots).saturating_sub(busy),
            tickets.live.len(),
        )
    };
    shared.hints.send_modify(|hints| {
        hints.number += 1;
        hints.leases = leases.into_iter().map(|hint| (hint.lease, hint)).collect();
    });

    for lease in dropped {
        // Giving it back did not get through.
        lease::give_back(shared, lease, "this worker has ended its run").await;
    }
    // Others were claimed by an earlier life, or the answer to their claim was lost: claiming gives them again.
    if unclaimed > 0 || known.len() < running.len() {
        for order in shared.worker.jobs.claim(&known).await? {
            accept(shared, order, draining, tasks);
        }
    } else if announce && free > 0 && !draining {
        // The canister counts leases held at once, committed ones included; those hold no slot here.
        let slots = u16::try_from(free + live)
            .unwrap_or(SLOTS_MAX)
            .min(SLOTS_MAX);
        shared.worker.jobs.ready(slots).await?;
    }
    Ok(())
}

fn accept(shared: &Arc<Shared>, order: Order, draining: bool, tasks: &mut JoinSet<lease::End>) {
    if shared.tickets().knows(order.lease) {
        return;
    }
    let ticket = admit(shared, order.lease);
    if draining {
        ticket.end("the worker is stopping");
    }
    let shared = shared.clone();
    tasks.spawn(async move { lease::run(&shared, &ticket, order).await });
}

fn collect(tasks: &mut JoinSet<lease::End>, summary: &mut Summary) {
    while let Some(ended) = tasks.try_join_next() {
        count(ended, summary);
    }
}

fn count(ended: Result<lease::End, tokio::task::JoinError>, summary: &mut Summary) {
    match ended {
        Ok(lease::End::Revealed) => summary.revealed += 1,
        Ok(lease::End::Other) => summary.other += 1,
        Err(error) => {
            error!(%error, "BUG: the task of a lease panicked");
            summary.other += 1;
        }
    }
}

/// Forgets a lease that has ended.
pub(crate) fn dismiss(shared: &Shared, lease: LeaseId) {
    shared.tickets().forget(lease);
    shared.wake.notify_one();
}

/// The grace period is over: leases without a commitment are given back, those with one are revealed after a restart.
async fn give_back(shared: &Shared, tasks: &mut JoinSet<lease::End>, summary: &mut Summary) {
    let live: Vec<Arc<Ticket>> = shared.tickets().live.values().cloned().collect();
    for ticket in live {
        if ticket.is_computing() {
            ticket.end("the worker is stopping");
        } else {
            warn!(lease = %ticket.lease, "committed and not yet revealed; start the worker again to be paid");
        }
    }
    let until = Instant::now() + LAST_WORDS;
    while shared
        .tickets()
        .live
        .values()
        .any(|ticket| ticket.is_computing())
    {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(ended) => count(ended, summary),
                None => break,
            },
            () = sleep_until(until) => break,
        }
    }
}

/// Keeps claimed leases alive; the answer says which have ended.
async fn heartbeats(shared: Arc<Shared>) {
    let period = Duration::from_secs(HEARTBEAT_SECONDS);
    let mut backoff = Backoff::new(Duration::from_millis(500), period / 2);
    let mut pause = period;
    loop {
        sleep(pause).await;
        let live: Vec<LeaseId> = shared
            .tickets()
            .live
            .values()
            .filter(|ticket| ticket.wants_heartbeats())
            .map(|ticket| ticket.lease)
            .collect();
        pause = period;
        for leases in live.chunks(HEARTBEAT_LEASES_MAX) {
            // One that hangs must not keep the next from coming before leases run out.
            match timeout(period, shared.worker.jobs.heartbeat(leases)).await {
                Ok(Ok(beats)) => {
                    backoff.reset();
                    for (lease, beat) in beats {
                        if let Beat::Stop(reason) = beat
                            && let Some(ticket) = shared.tickets().live.get(&lease)
                        {
                            ticket.end(&format!("the canister says stop: {reason:?}"));
                        }
                    }
                }
                Ok(Err(error)) => {
                    warn!(%error, "a heartbeat did not get through");
                    pause = backoff.pause();
                }
                Err(_) => {
                    warn!("a heartbeat hangs, sending the next");
                    pause = backoff.pause();
                }
            }
        }
    }
}

/// 32 bytes that hide a root.
pub(crate) fn nonce() -> Result<Hash32, crate::identity::IdentityError> {
    crate::identity::random_bytes().map(Hash32)
}
