//! Listening, and knowing when nobody needs the server any more.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use tokio::net::TcpListener;

use super::{
    instances,
    router::{self, Shared},
};
use crate::{DRAIN, OutcallPolicy, StartError, listen_error};

/// How to start a server.
#[derive(Clone, Debug)]
pub struct PicConfig {
    /// The address to listen on.
    pub bind: IpAddr,
    /// The TCP port; 0 takes any that is free.
    pub port: u16,
    /// It ends when nobody has asked for anything for so long.
    pub ttl: Duration,
    /// It ends after so long in any case.
    pub hard_ttl: Option<Duration>,
    /// A folder for compiled modules, private to this user; `None` keeps them in memory only.
    pub module_cache: Option<PathBuf>,
    /// Where the HTTP requests of canisters may go while their network is live.
    pub outcalls: OutcallPolicy,
}

/// A server that listens.
#[derive(Debug)]
pub struct PicServer {
    listener: TcpListener,
    address: SocketAddr,
    activity: Arc<Activity>,
    shared: Shared,
    config: PicConfig,
}

impl PicServer {
    /// Listens; requests wait until [`Self::run`] answers them.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub async fn bind(config: PicConfig) -> Result<Self, StartError> {
        let PicConfig { bind, port, .. } = config;
        let failed = |source| listen_error(bind, port, source);
        let listener = TcpListener::bind((bind, port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let activity = Arc::new(Activity::default());
        Ok(Self {
            listener,
            address,
            shared: Shared::new(
                activity.clone(),
                config.module_cache.clone(),
                config.outcalls,
            ),
            activity,
            config,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until nobody has needed it for a while or `stop` is there, and ends every instance.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self {
            listener,
            address: _,
            activity,
            shared,
            config,
        } = self;
        let router = watched(router::router(shared.clone()), activity.clone());
        tokio::select! {
            result = axum::serve(listener, router) => {
                if let Err(error) = result {
                    tracing::error!(%error, "the server ended");
                }
            }
            () = stop => {}
            () = activity.idle(config.ttl) => tracing::info!("nobody has asked for anything; ending"),
            () = after(config.hard_ttl) => tracing::info!("the longest time to run is over; ending"),
        }
        let ending: Vec<_> = shared
            .instances
            .drain()
            .into_iter()
            .map(|instance| tokio::spawn(instances::end(instance)))
            .collect();
        let all = async {
            for instance in ending {
                // A thread that panicked has said so on its own.
                let _ = instance.await;
            }
        };
        // What an instance computes may take long, and nobody will read it.
        let _ = tokio::time::timeout(DRAIN, all).await;
    }
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Whether anybody needs the server.
#[derive(Debug)]
pub(super) struct Activity {
    pending: AtomicUsize,
    last: Mutex<Instant>,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            pending: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
struct Pending(Arc<Activity>);

impl Drop for Pending {
    fn drop(&mut self) {
        *self
            .0
            .last
            .lock()
            .expect("BUG: nothing panics with the clock") = Instant::now();
        self.0.pending.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Activity {
    fn begin(self: &Arc<Self>) -> Pending {
        self.pending.fetch_add(1, Ordering::AcqRel);
        Pending(self.clone())
    }

    /// How long nobody has asked for anything.
    fn idle_for(&self) -> Duration {
        if self.pending.load(Ordering::Acquire) > 0 {
            return Duration::ZERO;
        }
        self.last
            .lock()
            .expect("BUG: nothing panics with the clock")
            .elapsed()
    }

    /// Returns when nobody has asked for anything for so long.
    async fn idle(&self, ttl: Duration) {
        loop {
            let left = ttl.saturating_sub(self.idle_for());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

/// The router, whose requests count as activity.
pub(super) fn watched(router: Router, activity: Arc<Activity>) -> Router {
    router.layer(middleware::from_fn_with_state(activity, watch))
}

async fn watch(State(activity): State<Arc<Activity>>, request: Request, next: Next) -> Response {
    let _pending = activity.begin();
    next.run(request).await
}
