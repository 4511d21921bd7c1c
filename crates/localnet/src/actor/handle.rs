//! How the rest of the process asks the network's thread.

use std::{
    fmt,
    sync::{
        Arc, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
};

use assay_localnet_core::{
    cert::RangeForm,
    ingress::{Envelope, PathError, Place},
    topology::Topology,
    types::{Ingress, Query, Reject, RequestId, Time},
};
use candid::Principal;
use thiserror::Error;
use tokio::sync::oneshot;

use super::{Actor, Pace, now};

/// Requests that may wait for the network's thread.
pub(super) const REQUESTS_MAX: usize = 1024;

/// A way to the network's thread.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(super) requests: Arc<SyncSender<Request>>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) clock: Arc<Clock>,
    pub(super) layout: Arc<Layout>,
}

/// The network's subnets as others read them; they come and go.
#[derive(Debug)]
pub(super) struct Layout(RwLock<Arc<Topology>>);

impl Layout {
    pub(super) const fn new(topology: Arc<Topology>) -> Self {
        Self(RwLock::new(topology))
    }

    pub(super) fn set(&self, topology: Arc<Topology>) {
        *self
            .0
            .write()
            .expect("BUG: nothing panics with the subnets") = topology;
    }

    fn read(&self) -> Arc<Topology> {
        let topology = self.0.read().expect("BUG: nothing panics with the subnets");
        Arc::clone(&topology)
    }
}

/// The same for those who work for the network, which ends although they are there.
#[derive(Clone, Debug, Default)]
pub(crate) struct WeakHandle {
    requests: Weak<SyncSender<Request>>,
    stop: Arc<AtomicBool>,
    clock: Arc<Clock>,
    layout: Weak<Layout>,
}

impl WeakHandle {
    /// The handle, if the network is still needed.
    pub(crate) fn upgrade(&self) -> Option<Handle> {
        Some(Handle {
            requests: self.requests.upgrade()?,
            stop: self.stop.clone(),
            clock: self.clock.clone(),
            layout: self.layout.upgrade()?,
        })
    }
}

/// The network's clock as others read it.
#[derive(Debug, Default)]
pub(super) struct Clock {
    nanos: AtomicU64,
    live: AtomicBool,
}

impl Clock {
    pub(super) fn set(&self, pace: Pace) {
        if let Pace::OnRequest(time) = pace {
            self.nanos.store(time.0, Ordering::Release);
        }
        self.live
            .store(matches!(pace, Pace::Live(_)), Ordering::Release);
    }

    pub(super) fn advance(&self, time: Time) {
        self.nanos.fetch_max(time.0, Ordering::AcqRel);
    }

    fn read(&self) -> Time {
        let time = Time(self.nanos.load(Ordering::Acquire));
        if self.live.load(Ordering::Acquire) {
            time.max(now())
        } else {
            time
        }
    }
}

/// Something to be done on the network's thread, between two rounds.
pub(super) struct Job(pub(super) Box<dyn FnOnce(&mut Actor) + Send>);

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

/// Why the thread did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Unavailable {
    /// Too much to do.
    #[error("more than {REQUESTS_MAX} requests wait for the network; try again in a moment")]
    Busy,
    /// It has ended.
    #[error("the network has stopped")]
    Stopped,
}

/// A call that was taken in; the certificate over its outcome comes later, unless too many wait already.
pub(crate) type Accepted = Option<oneshot::Receiver<Vec<u8>>>;

/// What the thread is asked.
#[derive(Debug)]
pub(super) enum Request {
    /// Nothing; ends a sleep.
    Wake,
    Run(Job),
    Submit {
        message: Ingress,
        form: Option<RangeForm>,
        answer: oneshot::Sender<Result<Accepted, Reject>>,
    },
    Query {
        id: RequestId,
        query: Query,
        subnet: Principal,
        form: RangeForm,
        answer: oneshot::Sender<Vec<u8>>,
    },
    ReadState {
        envelope: Envelope,
        place: Place,
        form: RangeForm,
        answer: oneshot::Sender<Result<Vec<u8>, ReadError>>,
    },
}

/// Why the state is not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ReadError {
    /// The paths may not be read.
    #[error("{0}")]
    Path(#[from] PathError),
    /// No subnet is at the place.
    #[error("no subnet of this network hosts {0}")]
    NoSubnet(Principal),
}

impl Handle {
    pub(super) fn downgrade(&self) -> WeakHandle {
        WeakHandle {
            requests: Arc::downgrade(&self.requests),
            stop: self.stop.clone(),
            clock: self.clock.clone(),
            layout: Arc::downgrade(&self.layout),
        }
    }

    /// The subnets that there are now.
    pub(crate) fn topology(&self) -> Arc<Topology> {
        self.layout.read()
    }

    /// The network's present time.
    pub(crate) fn now(&self) -> Time {
        self.clock.read()
    }

    /// Does something on the network's thread, between two rounds.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Actor) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        self.ask(|answer| {
            Request::Run(Job(Box::new(move |actor| {
                let result = job(actor);
                if actor.may_tell() {
                    // Whoever asked may have gone.
                    let _ = answer.send(result);
                }
            })))
        })
        .await
    }

    /// Submits a call; with a form, its sender wants to wait for the certificate.
    pub(crate) async fn submit(
        &self,
        message: Ingress,
        form: Option<RangeForm>,
    ) -> Result<Result<Accepted, Reject>, Unavailable> {
        self.ask(|answer| Request::Submit {
            message,
            form,
            answer,
        })
        .await
    }

    /// Answers a query to a canister of a subnet, signed.
    pub(crate) async fn query(
        &self,
        id: RequestId,
        query: Query,
        subnet: Principal,
        form: RangeForm,
    ) -> Result<Vec<u8>, Unavailable> {
        self.ask(|answer| Request::Query {
            id,
            query,
            subnet,
            form,
            answer,
        })
        .await
    }

    /// A certificate over an envelope's paths.
    pub(crate) async fn read_state(
        &self,
        envelope: Envelope,
        place: Place,
        form: RangeForm,
    ) -> Result<Result<Vec<u8>, ReadError>, Unavailable> {
        self.ask(|answer| Request::ReadState {
            envelope,
            place,
            form,
            answer,
        })
        .await
    }

    /// Ends the thread after what it does now.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        // A full queue keeps it awake as well.
        let _ = self.requests.try_send(Request::Wake);
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Unavailable> {
        let (answer, answered) = oneshot::channel();
        self.requests
            .try_send(request(answer))
            .map_err(|error| match error {
                TrySendError::Full(_) => Unavailable::Busy,
                TrySendError::Disconnected(_) => Unavailable::Stopped,
            })?;
        answered.await.map_err(|_| Unavailable::Stopped)
    }
}
