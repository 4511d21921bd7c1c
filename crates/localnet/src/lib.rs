//! The embedded Internet Computer on a socket: the IC HTTP interface over one [`Network`], and its canisters as web sites.
//!
//! [`Localnet::start`] gives a running network in this process. One thread owns the network and executes (see `actor`);
//! another serves HTTP (see `http` and [`gateway`]) and hands it requests. It follows the wall clock, because clients refuse old
//! certificates. It is not a public replica: its keys follow from a seed, and nobody but local tests should trust them.
//!
//! ```no_run
//! let network = assay_localnet::Localnet::start(assay_localnet::LocalnetConfig::default())?;
//! println!("{} with root key {}", network.url(), hex::encode(network.root_key()));
//! network.shutdown();
//! # Ok::<(), assay_localnet::StartError>(())
//! ```
//!
//! [`Network`]: assay_localnet_core::network::Network

mod actor;
#[doc(hidden)]
pub mod fuzzing;
pub mod gateway;
mod http;
pub mod launcher;
mod outcalls;
pub mod pic;
mod state;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use assay_localnet_core::{
    system::{Account, SystemPlan},
    topology::{SubnetKind, SubnetPlan, Topology, TopologyError},
};
use candid::Principal;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::oneshot;

pub use crate::state::StateError;
use crate::{
    actor::{Handle, Pace, Setup},
    gateway::{Domains, Upstream},
    state::Plan,
};

pub use crate::outcalls::{OutcallPolicy, POLICY_VARIABLE, PolicyError};
pub use assay_localnet_core::system::CYCLES_LEDGER;

/// What `/api/v2/status` says is answering.
pub const IMPL_VERSION: &str = concat!("assay-localnet ", env!("CARGO_PKG_VERSION"));

/// The wait of the public network's synchronous calls.
const CALL_WAIT: Duration = Duration::from_secs(10);

/// How long connections may take to end when the network shuts down.
const DRAIN: Duration = Duration::from_secs(2);

/// How to start a network.
#[derive(Clone, Debug)]
pub struct LocalnetConfig {
    /// The TCP port; 0 takes any that is free.
    pub port: u16,
    /// The address to listen on.
    pub bind: IpAddr,
    /// Source of all keys and of every random byte that canisters see. See [`seed_from_text`].
    pub seed: [u8; 32],
    /// The subnets. A hidden root subnet is added where none is asked for.
    pub subnets: Vec<SubnetPlan>,
    /// The system canisters; one whose id no subnet hosts is left out.
    pub system: SystemPlan,
    /// The shortest time between two rounds.
    pub round_interval: Duration,
    /// A folder for compiled modules, private to this user; `None` keeps them in memory only.
    pub module_cache: Option<PathBuf>,
    /// A folder where the network is kept, and found again by the next process; `None` keeps it in memory only.
    pub state_dir: Option<PathBuf>,
    /// How long a synchronous call waits for its outcome before its sender is told to poll.
    pub call_wait: Duration,
    /// The domains below which canisters are web sites, and names for some of them.
    pub domains: Domains,
    /// Where the HTTP requests of canisters may go.
    pub outcalls: OutcallPolicy,
}

impl Default for LocalnetConfig {
    /// Any free port on this machine only, and always the same keys.
    fn default() -> Self {
        Self {
            port: 0,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            seed: seed_from_text(""),
            subnets: vec![SubnetPlan::of(SubnetKind::Application)],
            system: SystemPlan::none(),
            round_interval: Duration::ZERO,
            module_cache: None,
            state_dir: None,
            call_wait: CALL_WAIT,
            domains: Domains::default(),
            outcalls: OutcallPolicy::default(),
        }
    }
}

impl LocalnetConfig {
    /// A network for canisters, with a [`CYCLES_LEDGER`] on which these hold so many cycles.
    pub fn with_ledger(holders: &[(Principal, u128)]) -> Self {
        let holders = holders.iter();
        Self {
            subnets: [SubnetKind::Ii, SubnetKind::Application]
                .map(SubnetPlan::of)
                .to_vec(),
            system: SystemPlan {
                cycles_ledger: true,
                cycles: holders
                    .map(|&(owner, cycles)| (Account::of(owner), cycles))
                    .collect(),
                ..SystemPlan::none()
            },
            ..Self::default()
        }
    }
}

/// A seed from any text.
pub fn seed_from_text(text: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update("assay-localnet/seed/1")
        .chain_update(text)
        .finalize()
        .into()
}

/// Why a network did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// There is no such network.
    #[error("the subnets cannot be: {0}")]
    Topology(#[from] TopologyError),
    /// Something else listens there.
    #[error(
        "port {port} on {bind} is in use; stop what listens there, or choose another port (0 takes any that is free)"
    )]
    PortInUse {
        /// The port.
        port: u16,
        /// The address.
        bind: IpAddr,
    },
    /// This user may not listen there.
    #[error("this user may not listen on {bind} port {port}; choose a port from 1024 up")]
    PortForbidden {
        /// The port.
        port: u16,
        /// The address.
        bind: IpAddr,
    },
    /// The address is none of this machine's, or listening failed otherwise.
    #[error("cannot listen on {bind} port {port}")]
    Listen {
        /// The port.
        port: u16,
        /// The address.
        bind: IpAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("cannot start the network's threads")]
    Thread(#[source] io::Error),
    /// The state folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

impl From<actor::StartError> for StartError {
    fn from(error: actor::StartError) -> Self {
        match error {
            actor::StartError::Thread(error) => Self::Thread(error),
            actor::StartError::State(error) => Self::State(error),
        }
    }
}

fn listen_error(bind: IpAddr, port: u16, source: io::Error) -> StartError {
    match source.kind() {
        io::ErrorKind::AddrInUse => StartError::PortInUse { port, bind },
        io::ErrorKind::PermissionDenied => StartError::PortForbidden { port, bind },
        _ => StartError::Listen { port, bind, source },
    }
}

/// A running network. Dropping it shuts it down.
#[derive(Debug)]
pub struct Localnet {
    address: SocketAddr,
    network: Handle,
    /// Ends the HTTP server when it is used or dropped.
    stop_http: Option<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Localnet {
    /// Starts a network, and returns when it can be reached.
    ///
    /// # Errors
    /// Where it cannot listen or start its threads.
    pub fn start(config: LocalnetConfig) -> Result<Self, StartError> {
        let LocalnetConfig {
            port,
            bind,
            seed,
            subnets,
            system,
            round_interval,
            module_cache,
            state_dir,
            call_wait,
            domains,
            outcalls,
        } = config;
        let topology = Arc::new(Topology::plan(&seed, &subnets)?);
        let listener = TcpListener::bind((bind, port))
            .and_then(|listener| {
                listener.set_nonblocking(true)?;
                Ok(listener)
            })
            .map_err(|source| listen_error(bind, port, source))?;
        let address =
            listener
                .local_addr()
                .map_err(|source| StartError::Listen { port, bind, source })?;

        let plan = Plan::new(seed, subnets, &system);
        let (network, executing) = actor::start(Setup {
            topology,
            seed,
            system,
            module_cache,
            state: state_dir.map(|folder| (folder, plan)),
            pace: Pace::Live(round_interval),
            outcalls,
        })?;
        let mut localnet = Self {
            address,
            network: network.clone(),
            stop_http: None,
            threads: vec![executing],
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener).map_err(StartError::Thread)?
        };
        let (stop_http, stopped) = oneshot::channel::<()>();
        let serving = thread::Builder::new()
            .name("localnet-http".to_owned())
            .spawn(move || {
                let root_key = network.topology().root_key().to_vec();
                let interface = http::router(network.clone(), call_wait);
                let upstream = Upstream::new(interface, &root_key, Arc::new(move || network.now()));
                let router = gateway::router(upstream, domains);
                runtime.block_on(serve(listener, router, stopped));
            })
            .map_err(StartError::Thread)?;
        localnet.stop_http = Some(stop_http);
        localnet.threads.push(serving);
        tracing::debug!(%address, "network started");
        Ok(localnet)
    }

    /// Where clients reach it, such as `http://127.0.0.1:4943`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address it listens on.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root key, DER: what clients must trust.
    pub fn root_key(&self) -> Vec<u8> {
        self.topology().root_key().to_vec()
    }

    /// The subnet on which canisters are created.
    pub fn application_subnet_id(&self) -> Principal {
        self.topology().default_subnet().id
    }

    /// The effective canister id for calls that create a canister.
    pub fn default_effective_canister(&self) -> Principal {
        self.topology().default_effective_canister()
    }

    /// The subnets that there are now, with their keys and ranges.
    pub fn topology(&self) -> Arc<Topology> {
        self.network.topology()
    }

    /// Stops executing, answers what is waiting, and returns when both threads have ended. A message that is being
    /// executed is finished first.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.network.stop();
        drop(self.stop_http.take());
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on its own.
            let _ = thread.join();
        }
    }
}

impl Drop for Localnet {
    fn drop(&mut self) {
        self.end();
    }
}

/// Serves until the sender is used or dropped; then connections get a moment to end.
async fn serve(
    listener: tokio::net::TcpListener,
    router: axum::Router,
    stopped: oneshot::Receiver<()>,
) {
    let (drain, draining) = oneshot::channel::<()>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        // Dropping the sender stops the server as well.
        let _ = draining.await;
    });
    let deadline = async {
        let _ = stopped.await;
        drop(drain);
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = server => {
            if let Err(error) = result {
                tracing::error!(%error, "the HTTP server ended");
            }
        }
        () = deadline => {}
    }
}
