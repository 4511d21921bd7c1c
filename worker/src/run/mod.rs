//! The daemon's loops, one for each jobs canister: each looks for work, claims it, keeps it alive, and sees every lease to
//! its end. What they share is this machine: its models, its state folder and its slots.
//!
//! It refuses to know what a lease computes. Queries only tell it when to ask; what it acts on comes from updates.

mod check;
mod floor;
mod generate;
mod lease;
mod prices;
mod settle;
mod together;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use assay_engine::offload::Offload;
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

use self::{floor::Floor, prices::Prices, together::Together};
use crate::{
    backoff::Backoff,
    cheat::Cheat,
    client::{Jobs, Outcome},
    exit,
    journal::{Journal, JournalError, Record},
    model::{LocalModel, Opened, VectorModel},
    openai::ServerModel,
    setup::{self, SetupError},
};

pub(crate) use lease::Ticket;

/// Leases that have ended and are still remembered, so that a late hint about one is not taken for a new one.
const ENDED_REMEMBERED: usize = 1_024;
/// Pause between two looks whether the chips still answer.
const DEVICE_LOOK: Duration = Duration::from_secs(5);
/// How long tasks may take to end once they were told to.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A model that this worker offers.
#[derive(Clone, Debug)]
pub struct Offered {
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
    /// Texts, on a server.
    Server(Arc<ServerModel>),
}

impl Offered {
    /// A model with its prices, which runs its answers on so many threads.
    pub fn new(model: LocalModel, offer: Offer, threads: usize) -> Self {
        let engine = match model {
            LocalModel::Text(model) => Engine::Texts(Arc::new(Together::new(model, threads))),
            LocalModel::Vector(model) => Engine::Vectors(model),
        };
        Self { offer, engine }
    }

    /// A server's model with its prices.
    pub fn served(model: Arc<ServerModel>, offer: Offer) -> Self {
        Self {
            offer,
            engine: Engine::Server(model),
        }
    }

    /// What runs it.
    pub(crate) fn model(&self) -> Opened {
        match &self.engine {
            Engine::Texts(together) => Opened::Local(LocalModel::Text(together.model().clone())),
            Engine::Vectors(model) => Opened::Local(LocalModel::Vector(model.clone())),
            Engine::Server(model) => Opened::Server(model.clone()),
        }
    }
}

/// What the daemon works with.
#[derive(Debug)]
pub struct Worker {
    /// The canisters that it serves, each under its own identity.
    pub shards: Vec<Jobs>,
    /// What it offers.
    pub models: Vec<Offered>,
    /// Chips that make the products of its models.
    pub device: Option<Arc<Offload>>,
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

/// Why the daemon ends other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The state folder.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// No jobs canister can be served; why the last one cannot.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

impl ServeError {
    /// The exit code that belongs to it.
    pub fn code(&self) -> u8 {
        match self {
            Self::Journal(_) => exit::STATE,
            Self::Setup(error) => error.code(),
        }
    }
}

/// What all tasks for one jobs canister share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) worker: Arc<Worker>,
    /// The canister.
    pub(crate) jobs: Jobs,
    /// Its place among the others.
    shard: usize,
    floor: Arc<Floor>,
    hints: watch::Sender<Hints>,
    /// Leases that the canister was last told would be held at once.
    announced: AtomicU16,
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
    fn new(worker: &Arc<Worker>, floor: &Arc<Floor>, shard: usize) -> Self {
        Self {
            worker: worker.clone(),
            jobs: worker.shards[shard].clone(),
            shard,
            floor: floor.clone(),
            hints: watch::Sender::new(Hints::default()),
            // What a life before this one announced may still count.
            announced: AtomicU16::new(u16::MAX),
        }
    }

    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.floor.tickets(self.shard)
    }

    /// Makes the loop look again at once.
    pub(crate) fn wake(&self) -> &Notify {
        self.floor.wake(self.shard)
    }

    pub(crate) fn hints(&self) -> watch::Receiver<Hints> {
        self.hints.subscribe()
    }

    /// The offered model with this root.
    pub(crate) fn model(&self, order: &Order) -> Option<&Offered> {
        self.worker.models.iter().find(|offered| {
            offered.offer.model == order.model && offered.model().root() == order.model_root
        })
    }
}

/// Serves until told to stop and done, or until the state folder fails or no canister can be served.
pub async fn serve(worker: Worker, stop: watch::Receiver<bool>) -> Result<Summary, ServeError> {
    let mut records = worker.journal.records()?;
    let floor = Arc::new(Floor::new(worker.shards.len()));
    let worker = Arc::new(worker);
    let watching = worker.device.clone().map(tell_of_failure).map(tokio::spawn);
    let mut shards = JoinSet::new();
    for (shard, jobs) in worker.shards.iter().enumerate() {
        let own = |record: &mut Record| {
            record.canister == jobs.id && record.worker == jobs.network().me()
        };
        let own = records.extract_if(.., own).collect();
        let shared = Arc::new(Shared::new(&worker, &floor, shard));
        shards.spawn(serve_shard(shared, own, stop.clone()));
    }
    for record in records {
        warn!(lease = %record.reveal.lease, canister = %record.canister, "a record of another canister or identity lies in the state folder; it is left alone");
    }
    let mut summary = Summary::default();
    let (mut served, mut refused) = (false, None);
    while let Some(ended) = shards.join_next().await {
        match ended {
            Ok(Ok(Summary { revealed, other })) => {
                served = true;
                summary.revealed += revealed;
                summary.other += other;
            }
            Ok(Err(error)) => {
                if worker.shards.len() > 1 {
                    error!(%error, "a jobs canister cannot be served");
                }
                refused = Some(error);
            }
            Err(error) => error!(%error, "BUG: the loop of a jobs canister panicked"),
        }
    }
    if let Some(watching) = watching {
        watching.abort();
    }
    info!(
        revealed = summary.revealed,
        other = summary.other,
        "stopped"
    );
    match refused {
        Some(error) if !served => Err(error.into()),
        _ => Ok(summary),
    }
}

/// Says once why chips are not used any more: the answers stay right, but come slower.
async fn tell_of_failure(device: Arc<Offload>) {
    loop {
        if let Some(error) = device.failure() {
            return error!(%error, "the chips are not used any more; the processor goes on, slower: mend them and start this worker again");
        }
        sleep(DEVICE_LOOK).await;
    }
}

/// Serves one canister until told to stop and done.
async fn serve_shard(
    shared: Arc<Shared>,
    records: Vec<Record>,
    mut stop: watch::Receiver<bool>,
) -> Result<Summary, SetupError> {
    let mut tasks = JoinSet::new();
    resume(&shared, records, &mut tasks);
    let heart = tokio::spawn(heartbeats(shared.clone()));
    let mut prices = Prices::new(&shared.worker.models);
    let announced = tokio::select! {
        announced = setup::announce(&shared.jobs, &prices.offers) => announced,
        _ = stop.wait_for(|stop| *stop) => Ok(()),
    };
    if let Err(error) = announced {
        heart.abort();
        return Err(error);
    }
    info!(jobs = %shared.jobs.id, "serving a jobs canister");

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
            if let Err(error) = shared.jobs.ready(0).await {
                debug!(%error, "could not withdraw the announced slots");
            }
        }
        let pause = match look(&shared, draining, &mut prices, &mut tasks).await {
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
            () = shared.wake().notified() => {}
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => count(ended, &mut summary),
            changed = stop.changed(), if !draining => if changed.is_err() { break },
            () = sleep_until(over), if deadline.is_some() => {
                give_back(&shared, &mut tasks, &mut summary).await;
                break;
            }
        }
    }
    heart.abort();
    Ok(summary)
}

/// Takes up the leases whose commitments were on disk.
fn resume(shared: &Arc<Shared>, records: Vec<Record>, tasks: &mut JoinSet<lease::End>) {
    for record in records {
        let lease = record.reveal.lease;
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

/// One look: what do the leases need, is there new work, are free slots announced, do the right prices stand?
async fn look(
    shared: &Arc<Shared>,
    draining: bool,
    prices: &mut Prices,
    tasks: &mut JoinSet<lease::End>,
) -> Result<(), Outcome<WorkerError>> {
    let WorkHint {
        unclaimed,
        announce,
        offers,
        leases,
    } = shared.jobs.work().await?;
    let running: Vec<LeaseId> = leases
        .iter()
        .filter(|hint| hint.state == LeaseState::Leased)
        .map(|hint| hint.lease)
        .collect();
    let (known, dropped, live) = {
        let tickets = shared.tickets();
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
        (known, dropped, tickets.live.len())
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
        for order in shared.jobs.claim(&known).await? {
            accept(shared, order, draining, tasks);
        }
    } else if !draining && let Some(slots) = to_announce(shared, announce, live) {
        shared.jobs.ready(slots).await?;
        shared.announced.store(slots, Ordering::Relaxed);
    }
    if let Some(standing) = offers.filter(|_| !draining) {
        prices.keep(&shared.jobs, standing).await?;
    }
    Ok(())
}

/// How many leases to announce now, if any word is due. The canister counts leases held at once, committed ones
/// included; those hold no slot here.
fn to_announce(shared: &Shared, lapsing: bool, live: usize) -> Option<u16> {
    let count = |leases: usize| u16::try_from(leases).unwrap_or(SLOTS_MAX).min(SLOTS_MAX);
    let free = usize::from(shared.worker.slots).saturating_sub(shared.floor.busy());
    let (held, room) = (count(live), count(free + live));
    let announced = shared.announced.load(Ordering::Relaxed);
    let alone = shared.worker.shards.len() == 1;
    if free > 0 && (lapsing || (!alone && announced < room)) {
        Some(room)
    } else if free == 0 && !alone && announced > held {
        // Leases of other canisters took the slots that this one still counts on.
        Some(held)
    } else {
        None
    }
}

fn accept(shared: &Arc<Shared>, order: Order, draining: bool, tasks: &mut JoinSet<lease::End>) {
    if shared.tickets().knows(order.lease) {
        return;
    }
    let ticket = admit(shared, order.lease);
    shared.floor.wake_others(shared.shard);
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
    shared.wake().notify_one();
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
            match timeout(period, shared.jobs.heartbeat(leases)).await {
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
