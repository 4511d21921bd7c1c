//! The thread that owns the network: it executes rounds, answers requests and makes certificates, one thing at a time.
//!
//! Requests come through a bounded channel and are answered through one-shot channels, so nobody waits on a lock. A live
//! network's clock follows the wall clock, and rounds run while there is work or a timer is due; otherwise the thread
//! sleeps. On any other network only requests move the clock and run rounds, so the same requests give the same state.
//!
//! Invariant: whatever a certificate or a query shows is the state between two rounds.

mod handle;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use assay_localnet_core::{
    cert::{Certification, RangeForm, Wanted, sign_answer},
    ingress::{Content, Envelope, Facts, Place, Sent, authorise},
    network::{CanisterView, Input, Network, NetworkConfig, access::OutcallAnswer},
    system::SystemPlan,
    topology::Topology,
    types::{Ingress, IngressStatus, Query, Reject, RequestId, Time},
};
use candid::Principal;
use thiserror::Error;
use tokio::sync::oneshot;

pub(crate) use self::handle::{Accepted, Handle, ReadError, Unavailable, WeakHandle};
use self::handle::{Clock, Layout, REQUESTS_MAX, Request};
use crate::{
    outcalls::{OutcallPolicy, Outcaller},
    state::{Plan, StateError, StateFolder},
};

/// Calls whose senders wait for the outcome; more are told to poll.
const WAITING_MAX: usize = 4096;

/// Requests that are answered between two rounds while there is work.
const BATCH_MAX: usize = 64;

/// The shortest time between rounds that no message asks for: heartbeats, and timers that are due again at once. (The
/// public network takes a second or so per round.)
const TASK_INTERVAL: Duration = Duration::from_millis(20);

/// The network's thread needs two MiB of stack; this leaves room for deep canister code in unoptimised builds.
const STACK_BYTES: usize = 8 << 20;

/// The longest sleep, so that a wall clock that jumps does not stop timers for long.
const SLEEP_MAX: Duration = Duration::from_millis(200);

/// The wall clock.
pub(crate) fn now() -> Time {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Time(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}

/// What a network is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) topology: Arc<Topology>,
    pub(crate) seed: [u8; 32],
    pub(crate) system: SystemPlan,
    pub(crate) module_cache: Option<PathBuf>,
    /// Where the network is kept, and what it is made from; in memory only without.
    pub(crate) state: Option<(PathBuf, Plan)>,
    pub(crate) pace: Pace,
    pub(crate) outcalls: OutcallPolicy,
}

/// Why the thread did not start.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    #[error("cannot start the network's thread")]
    Thread(#[from] io::Error),
    #[error(transparent)]
    State(#[from] StateError),
}

/// What moves a network's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// The wall clock, and rounds run by themselves, but not more often than this.
    Live(Duration),
    /// Requests only; it stands at this time in the beginning.
    OnRequest(Time),
}

/// Starts the thread; returns when it can be asked.
pub(crate) fn start(setup: Setup) -> Result<(Handle, JoinHandle<()>), StartError> {
    let (sender, receiver) = sync_channel(REQUESTS_MAX);
    let stop = Arc::new(AtomicBool::new(false));
    let clock = Arc::new(Clock::default());
    let layout = Arc::new(Layout::new(setup.topology.clone()));
    let handle = Handle {
        requests: Arc::new(sender),
        stop: stop.clone(),
        clock: clock.clone(),
        layout: layout.clone(),
    };
    let outcaller = Outcaller::new(setup.outcalls, handle.downgrade());
    let (ready, opened) = sync_channel(1);
    let thread = thread::Builder::new()
        .name("localnet-execution".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || match Actor::new(setup, clock, layout, outcaller) {
            Ok(actor) => {
                // Whoever started it waits for this.
                let _ = ready.send(Ok(()));
                actor.run(&receiver, &stop);
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        })?;
    match opened.recv() {
        Ok(Ok(())) => Ok((handle, thread)),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(io::Error::other("BUG: the network's thread ended at once").into()),
    }
}

/// The certificate for one who waits, in the form that they asked for.
type Waiting = (RangeForm, oneshot::Sender<Vec<u8>>);

/// The network and everything around it that its thread owns.
pub(crate) struct Actor {
    topology: Arc<Topology>,
    network: Network,
    certification: Certification,
    waiting: HashMap<RequestId, Vec<Waiting>>,
    waiting_count: usize,
    /// Whether the network may have changed since the certified state was taken over.
    dirty: bool,
    /// Whether messages may wait for a round.
    more: bool,
    /// Where rounds run by themselves: the shortest time between two of them.
    live: Option<Duration>,
    clock: Arc<Clock>,
    layout: Arc<Layout>,
    last_round: Instant,
    outcaller: Outcaller,
    /// Where the network is kept.
    folder: Option<StateFolder>,
    /// Whether it could not be kept; nobody is told of anything from then on.
    failed: bool,
}

impl Actor {
    fn new(
        setup: Setup,
        clock: Arc<Clock>,
        layout: Arc<Layout>,
        outcaller: Outcaller,
    ) -> Result<Self, StateError> {
        let Setup {
            topology,
            seed,
            system,
            module_cache,
            state,
            pace,
            outcalls: _,
        } = setup;
        let (start, live) = match pace {
            Pace::Live(interval) => (now(), Some(interval)),
            Pace::OnRequest(start) => (start, None),
        };
        let config = NetworkConfig {
            seed,
            start,
            topology: topology.clone(),
            system,
            module_cache,
        };
        let (folder, network) = match state {
            Some((folder, plan)) => {
                let (folder, network) = StateFolder::open(&folder, &plan, config)?;
                (Some(folder), network)
            }
            None => (None, Network::new(config)),
        };
        clock.set(match live {
            Some(_) => pace,
            None => Pace::OnRequest(network.time()),
        });
        // A network that was kept may have other subnets than it was made from.
        layout.set(network.topology().clone());
        Ok(Self {
            certification: Certification::new(network.topology().clone(), network.time()),
            topology: network.topology().clone(),
            network,
            waiting: HashMap::new(),
            waiting_count: 0,
            // A network that was kept has something to show, and maybe something to do.
            dirty: folder.is_some(),
            more: folder.is_some(),
            live,
            clock,
            layout,
            last_round: Instant::now(),
            outcaller,
            folder,
            failed: false,
        })
    }

    fn run(mut self, requests: &Receiver<Request>, stop: &AtomicBool) {
        while !stop.load(Ordering::Acquire) && !self.failed {
            let mut next = match requests.recv_timeout(self.sleep()) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            self.follow_clock();
            for _ in 0..BATCH_MAX {
                let Some(request) = next else { break };
                self.answer(request);
                next = requests.try_recv().ok();
            }
            if let Some(request) = next {
                self.answer(request);
            }
            if self.until_round().is_some_and(|wait| wait.is_zero()) {
                self.round();
            }
        }
        self.leave();
    }

    /// Leaves the state folder as the next process should find it.
    fn leave(&mut self) {
        if let Some(folder) = self.folder.take()
            && !self.failed
            && let Err(error) = folder.close(&mut self.network)
        {
            tell_lost(&error);
        }
    }

    /// One round, after which those who waited for what it did are answered.
    pub(crate) fn round(&mut self) {
        let more = self.change(
            |network| Ok::<_, Infallible>(network.round().more),
            |network| Input::Round(network.seal()),
        );
        self.more = match more {
            Ok(more) => more,
            Err(never) => match never {},
        };
        self.last_round = Instant::now();
        self.clock.advance(self.network.time());
        self.follow_topology();
        self.checkpoint();
        self.answer_waiting();
        if self.is_live() {
            self.outcaller.take(&self.network);
        }
    }

    /// Changes the network from outside: what it was given is in the state folder before anybody hears of it, unless it
    /// refused it.
    pub(crate) fn change<T, E>(
        &mut self,
        change: impl FnOnce(&mut Network) -> Result<T, E>,
        input: impl FnOnce(&Network) -> Input,
    ) -> Result<T, E> {
        let before = self.network.time();
        let begun = Instant::now();
        let result = change(&mut self.network)?;
        self.dirty = true;
        self.more = true;
        if let Some(folder) = self.folder.as_mut().filter(|_| !self.failed) {
            let input = input(&self.network);
            let kept = folder.record(&mut self.network, before, &input, begun.elapsed());
            self.note_kept(kept);
        }
        Ok(result)
    }

    /// Takes a checkpoint, if it is time.
    fn checkpoint(&mut self) {
        if let Some(folder) = self.folder.as_mut()
            && !self.failed
            && folder.is_due()
        {
            let kept = folder.checkpoint(&mut self.network);
            self.note_kept(kept);
        }
    }

    fn note_kept(&mut self, kept: Result<(), StateError>) {
        if let Err(error) = kept {
            self.failed = true;
            tell_lost(&error);
        }
    }

    /// Whether others may be told what the network has become: not where that could not be kept.
    pub(crate) fn may_tell(&self) -> bool {
        !self.failed
    }

    /// How often the network has been put down and taken up again.
    pub(crate) fn taken_up(&self) -> u64 {
        self.folder.as_ref().map_or(0, StateFolder::number)
    }

    /// A live network takes the wall clock's time over.
    fn follow_clock(&mut self) {
        if self.live.is_some() {
            // A journal has the time with what happens then.
            self.network.set_time(now());
            self.clock.advance(self.network.time());
        }
    }

    fn sleep(&self) -> Duration {
        self.until_round()
            .map_or(SLEEP_MAX, |wait| wait.min(SLEEP_MAX))
    }

    /// How long until a live network runs a round, if it has anything to do.
    fn until_round(&self) -> Option<Duration> {
        let interval = self.live?;
        let wait = if self.more {
            Duration::ZERO
        } else {
            self.until_task()?
        };
        Some(wait.max(interval.saturating_sub(self.last_round.elapsed())))
    }

    /// The network, to be looked at.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Moves the clock; a time in the past is ignored.
    pub(crate) fn set_time(&mut self, time: Time) {
        let moved = self.change(
            |network| {
                network.set_time(time);
                Ok::<_, Infallible>(())
            },
            |network| Input::Clock(network.time()),
        );
        match moved {
            Ok(()) => self.clock.advance(self.network.time()),
            Err(never) => match never {},
        }
    }

    /// Whether rounds run by themselves.
    pub(crate) fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// Lets rounds run by themselves and the clock follow the wall clock, or stops both.
    pub(crate) fn set_live(&mut self, live: Option<Duration>) {
        self.live = live;
        self.clock.set(match live {
            Some(interval) => Pace::Live(interval),
            None => Pace::OnRequest(self.network.time()),
        });
        // Something may have waited for a round, or for its time.
        self.more = true;
        self.follow_clock();
    }

    /// Tells everybody of subnets that have come or gone; certificates are made anew.
    pub(crate) fn follow_topology(&mut self) {
        if Arc::ptr_eq(&self.topology, self.network.topology()) {
            return;
        }
        self.topology = self.network.topology().clone();
        self.layout.set(self.topology.clone());
        self.certification = Certification::new(self.topology.clone(), self.network.time());
        self.dirty = true;
    }

    /// Whether an outcall is being made for real.
    pub(crate) fn makes_outcall(&self, id: u64) -> bool {
        self.outcaller.makes(id)
    }

    /// What the world answers to an outcall that was made for real.
    pub(crate) fn end_outcall(&mut self, id: u64, answer: OutcallAnswer) {
        self.outcaller.ended(id);
        let input = Input::Outcall {
            id,
            answer: answer.clone(),
        };
        let answered = self.change(|network| network.answer_outcall(id, answer), |_| input);
        if let Err(error) = answered {
            // Its time may have been moved on meanwhile.
            tracing::debug!(id, %error, "nobody waits for the answer to an outcall");
        }
    }

    /// Brings certificates up to the present, their time included.
    pub(crate) fn certify_now(&mut self) {
        self.refresh();
        self.certification.set_time(self.network.time());
    }

    /// How long until time alone makes work.
    fn until_task(&self) -> Option<Duration> {
        let due = self.network.next_timer()?;
        let present = self.network.time().max(now());
        let until_due = Duration::from_nanos(due.0.saturating_sub(present.0));
        Some(until_due.max(TASK_INTERVAL.saturating_sub(self.last_round.elapsed())))
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Wake => {}
            Request::Run(job) => (job.0)(self),
            Request::Submit {
                message,
                form,
                answer,
            } => {
                let id = message.id;
                let outcome = self.submit(message);
                let work = outcome.is_ok();
                let accepted = outcome.map(|()| form.and_then(|form| self.wait(id, form)));
                if self.may_tell() {
                    // Whoever asked may have gone; the message runs all the same.
                    let _ = answer.send(accepted);
                }
                if work && self.is_answered(&id) {
                    // It repeats a call that is answered already.
                    self.send_certificates(&id);
                }
            }
            Request::Query {
                id,
                query,
                subnet,
                form,
                answer,
            } => {
                let _ = answer.send(self.query(&id, &query, &subnet, form));
            }
            Request::ReadState {
                envelope,
                place,
                form,
                answer,
            } => {
                let _ = answer.send(self.read_state(&envelope, place, form));
            }
        }
    }

    /// Takes a call in.
    pub(crate) fn submit(&mut self, message: Ingress) -> Result<(), Reject> {
        if self.network.status(&message.id).is_some() {
            return Ok(());
        }
        let input = Input::Message(message.clone());
        self.change(|network| network.submit(message), |_| input)
    }

    fn wait(&mut self, id: RequestId, form: RangeForm) -> Accepted {
        if self.waiting_count >= WAITING_MAX {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.waiting.entry(id).or_default().push((form, sender));
        self.waiting_count += 1;
        Some(receiver)
    }

    /// Sends certificates to those whose calls are done, and forgets those who no longer wait.
    fn answer_waiting(&mut self) {
        if !self.may_tell() {
            return;
        }
        for waiting in self.waiting.values_mut() {
            waiting.retain(|(_, sender)| !sender.is_closed());
        }
        self.waiting_count = self.waiting.values().map(Vec::len).sum();
        let done: Vec<RequestId> = self
            .waiting
            .iter()
            .filter(|(id, waiting)| waiting.is_empty() || self.is_answered(id))
            .map(|(id, _)| *id)
            .collect();
        for id in &done {
            self.send_certificates(id);
        }
    }

    /// Whether a message has its answer, or is no longer known.
    fn is_answered(&self, id: &RequestId) -> bool {
        !matches!(
            self.network.status(id).map(|record| &record.status),
            Some(IngressStatus::Received | IngressStatus::Processing)
        )
    }

    /// Sends certificates to those who wait for an answered message.
    fn send_certificates(&mut self, id: &RequestId) {
        let waiting = self.waiting.remove(id).unwrap_or_default();
        self.waiting_count -= waiting.len();
        for (form, sender) in waiting {
            self.refresh();
            let subnet = match self.network.status(id) {
                Some(record) => self.present(&record.subnet),
                None => self.topology.default_subnet().id,
            };
            let _ = sender.send(self.certification.request_certificate(&subnet, id, form));
        }
    }

    fn query(
        &mut self,
        id: &RequestId,
        query: &Query,
        subnet: &Principal,
        form: RangeForm,
    ) -> Vec<u8> {
        let answer = self.answer_query(query, subnet, form);
        let node = self
            .topology
            .subnet(&self.present(subnet))
            .and_then(|subnet| subnet.nodes.first());
        let node = node.expect("BUG: a query was routed to a subnet without nodes");
        sign_answer(node, id, self.network.time(), &answer)
    }

    /// Answers a query to a canister of a subnet, unsigned.
    pub(crate) fn answer_query(
        &mut self,
        query: &Query,
        subnet: &Principal,
        form: RangeForm,
    ) -> Result<Vec<u8>, Reject> {
        if !self.network.sees_certificate(&query.canister) {
            return self.network.query(query, None);
        }
        self.refresh();
        let subnet = self.present(subnet);
        let certificate = self
            .certification
            .data_certificate(&subnet, &query.canister, form);
        self.network.query(query, Some(&certificate))
    }

    /// A subnet that was there when a request came in, or another where it has gone since.
    fn present(&self, subnet: &Principal) -> Principal {
        match self.topology.subnet(subnet) {
            Some(subnet) => subnet.id,
            None => self.topology.default_subnet().id,
        }
    }

    fn read_state(
        &mut self,
        envelope: &Envelope,
        place: Place,
        form: RangeForm,
    ) -> Result<Vec<u8>, ReadError> {
        let subnet = match place {
            Place::Canister(id) => {
                self.topology
                    .subnet_of(&id)
                    .ok_or(ReadError::NoSubnet(id))?
                    .id
            }
            Place::Subnet(id) => self.topology.subnet(&id).ok_or(ReadError::NoSubnet(id))?.id,
        };
        let known = Known {
            network: &self.network,
            subnet,
        };
        authorise(envelope, place, form, &self.topology.root().id, &known)?;
        let Content::ReadState(paths) = &envelope.content else {
            return Ok(Vec::new());
        };
        let wanted = Wanted::paths(paths);
        self.refresh();
        Ok(self.certification.certificate(&subnet, &wanted, form))
    }

    /// Brings the certified state up to the present.
    fn refresh(&mut self) {
        let time = self.network.time();
        if self.dirty {
            self.certification.refresh(&self.network);
            self.dirty = false;
        } else {
            self.certification.advance(time);
        }
        // Where only requests move the clock, a certificate must not depend on who looked before.
        if self.live.is_none() && self.certification.time() < time {
            self.certification.set_time(time);
        }
    }
}

fn tell_lost(error: &StateError) {
    let source = std::error::Error::source(error).map(ToString::to_string);
    let reason = source.unwrap_or_default();
    tracing::error!(%error, reason, "the network stops, because what happens cannot be kept any more");
}

/// What paths may name, at one subnet.
struct Known<'a> {
    network: &'a Network,
    subnet: Principal,
}

impl Facts for Known<'_> {
    fn request(&self, id: &RequestId) -> Option<Sent> {
        let record = self.network.status(id)?;
        (record.subnet == self.subnet).then_some(Sent {
            sender: record.sender,
            canister: record.canister,
            effective: record.effective,
        })
    }

    fn canister(&self, id: &Principal) -> Option<CanisterView<'_>> {
        self.network
            .canister(id)
            .filter(|canister| canister.subnet == self.subnet)
    }
}
