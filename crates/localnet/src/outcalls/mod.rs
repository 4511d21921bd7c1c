//! Outcalls made for real: what canisters ask of the world while their network is live.
//!
//! The network's thread hands every request that waits to another thread, once, and goes on; one real request answers
//! all nodes. The answer comes back as a client's made-up answer does, between two rounds, and goes the same way through
//! the network. Nothing here knows what an answer means, how large it may be, or which nodes agree: that is the
//! network's.
//!
//! Invariant: a request that was handed over is answered before its time is up, unless its network has ended.

mod exchange;
mod failure;
mod limits;
mod policy;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, io, sync::Arc, thread, time::Duration};

use assay_localnet_core::{
    network::{
        Network,
        access::{Outcall, OutcallAnswer},
    },
    types::Time,
};
use tokio::{
    sync::{OnceCell, Semaphore, mpsc},
    time::{sleep, timeout},
};

pub use self::policy::{OutcallPolicy, POLICY_VARIABLE, PolicyError};
use self::{
    exchange::{Tls, exchange},
    failure::Failure,
};
use crate::actor::{Unavailable, WeakHandle, now};

/// Makes the outcalls of one network; its thread starts with the first.
#[derive(Debug)]
pub(crate) struct Outcaller {
    policy: OutcallPolicy,
    network: WeakHandle,
    /// Every outcall with a lower number has been looked at.
    next: u64,
    /// Those that are being made.
    open: BTreeSet<u64>,
    /// Not bounded by itself: the network lets so many wait and no more, and none is kept longer than it waits.
    thread: Option<mpsc::UnboundedSender<Outcall>>,
}

impl Outcaller {
    pub(crate) const fn new(policy: OutcallPolicy, network: WeakHandle) -> Self {
        Self {
            policy,
            network,
            next: 0,
            open: BTreeSet::new(),
            thread: None,
        }
    }

    /// Takes the outcalls that have come up, to make them.
    pub(crate) fn take(&mut self, network: &Network) {
        if self.policy == OutcallPolicy::None {
            return;
        }
        let new: Vec<_> = network
            .outcalls()
            .filter(|outcall| outcall.id >= self.next)
            .cloned()
            .collect();
        for outcall in new {
            let id = outcall.id;
            self.next = id + 1;
            // One that has waited on a network that stood still has no time left, and the network ends it.
            if outcall.until <= network.time() {
                continue;
            }
            match self.send(outcall) {
                Ok(()) => {
                    self.open.insert(id);
                }
                // Nobody makes it; it ends when its time is up.
                Err(error) => tracing::error!(%error, id, "no thread for outcalls"),
            }
        }
    }

    /// Whether an outcall is being made.
    pub(crate) fn makes(&self, id: u64) -> bool {
        self.open.contains(&id)
    }

    /// An outcall has its answer.
    pub(crate) fn ended(&mut self, id: u64) {
        self.open.remove(&id);
    }

    fn send(&mut self, outcall: Outcall) -> io::Result<()> {
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => start(self.policy, self.network.clone())?,
        };
        let sent = thread.send(outcall);
        self.thread = Some(thread);
        sent.map_err(|_| io::Error::other("it has ended"))
    }
}

/// Starts a thread that makes outcalls until the sender is dropped.
fn start(policy: OutcallPolicy, network: WeakHandle) -> io::Result<mpsc::UnboundedSender<Outcall>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(limits::OUTCALLS_AT_ONCE_MAX)
        .build()?;
    let (sender, mut outcalls) = mpsc::unbounded_channel::<Outcall>();
    thread::Builder::new()
        .name("localnet-outcalls".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let worker = Arc::new(Worker {
                    policy,
                    network,
                    tls: OnceCell::new(),
                    turns: Semaphore::new(limits::OUTCALLS_AT_ONCE_MAX),
                });
                while let Some(outcall) = outcalls.recv().await {
                    tokio::spawn(worker.clone().serve(outcall));
                }
            });
            // Names that are being looked up hold nobody up.
            runtime.shutdown_background();
        })?;
    Ok(sender)
}

/// What all outcalls of a network share.
#[derive(Debug)]
struct Worker {
    policy: OutcallPolicy,
    network: WeakHandle,
    /// Reading the machine's certificates takes a while, and most local networks need none.
    tls: OnceCell<Tls>,
    turns: Semaphore,
}

impl Worker {
    /// Makes an outcall and tells the network.
    async fn serve(self: Arc<Self>, outcall: Outcall) {
        let id = outcall.id;
        let answer = match self.make(&outcall).await {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::debug!(id, url = outcall.url, %failure, "outcall failed");
                failure.into()
            }
        };
        self.tell(id, answer).await;
    }

    async fn make(&self, outcall: &Outcall) -> Result<OutcallAnswer, Failure> {
        let turn = timeout(time_left(outcall.until, now()), self.turns.acquire());
        let _turn = match turn.await {
            Ok(turn) => turn.expect("BUG: turns are never taken away"),
            Err(_) => return Err(Failure::NoTurn),
        };
        let time = time_left(outcall.until, now()).min(limits::REQUEST_TIME_MAX);
        exchange(outcall, self.policy, &self.tls, time).await
    }

    /// A network that is busy is told a little later; one that has ended needs no answer.
    async fn tell(&self, id: u64, answer: OutcallAnswer) {
        while let Some(network) = self.network.upgrade() {
            let answer = answer.clone();
            let told = network
                .run(move |actor| actor.end_outcall(id, answer))
                .await;
            match told {
                Ok(()) | Err(Unavailable::Stopped) => return,
                Err(Unavailable::Busy) => sleep(limits::BUSY_PAUSE).await,
            }
        }
    }
}

/// How long an outcall may still take, so that its answer comes before nobody waits any more.
fn time_left(until: Time, now: Time) -> Duration {
    Duration::from_nanos(until.0.saturating_sub(now.0)).saturating_sub(limits::ANSWER_MARGIN)
}
