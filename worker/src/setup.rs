//! From settings to a worker that is ready to serve.
//!
//! What lies on this machine must be right at once; what lies on the network may take its time: a network that is
//! down, a registry that does not know this worker yet, is waited for, with the state in the log.

use std::{sync::Arc, time::Duration};

use assay_engine::offload::{Offload, Placed};
use assay_protocol::{
    Hash32,
    lease::{Offer, WorkerError},
    limits,
};
use candid::Principal;
use tracing::{info, warn};

use crate::{
    backend::{self, BackendError},
    backoff::Backoff,
    client::{CallError, Jobs, Network, Outcome, Registry},
    config::{Config, ModelConfig, Source},
    doctor, exit,
    identity::{self, IdentityError, Key},
    journal::{Journal, JournalError},
    model::{LocalModel, ModelFault, Opened},
    openai::{ServerError, ServerModel},
    run::{Offered, Worker},
};

/// How often a lasting difficulty is mentioned again.
const MENTION_EVERY: u32 = 10;
/// Longest pause while waiting for the network or the registry.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the worker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The state folder.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A model file.
    #[error(transparent)]
    Model(#[from] ModelFault),
    /// A server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The chips of `[backend]`.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A model is sound, but the registry has no such version.
    #[error(
        "{what}: the registry has no model{named} with root {root}; register what `assay-worker models` prints, or use what is registered"
    )]
    NotRegistered {
        /// The file, or the server.
        what: String,
        /// ` named x`, if the configuration names one.
        named: String,
        /// Its root.
        root: Hash32,
    },
    /// The network refuses, and waiting will not help.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Nothing to serve.
    #[error(
        "the registry {registry} lists no jobs canister; name some in canisters.jobs, or ask whoever runs the market"
    )]
    NoShards {
        /// The registry.
        registry: Principal,
    },
    /// The jobs canister refuses the offers.
    #[error("jobs canister {jobs} does not take this worker's offers: {error}")]
    Offers {
        /// Which.
        jobs: Principal,
        /// Why.
        error: WorkerError,
    },
    /// The known-answer tests failed.
    #[error("this machine does not compute what it should ({0}); it must not take work")]
    KnownAnswers(String),
}

impl SetupError {
    /// The exit code that belongs to it.
    pub fn code(&self) -> u8 {
        match self {
            Self::Identity(_) => exit::CREDENTIALS,
            Self::Journal(_) => exit::STATE,
            Self::Backend(_) | Self::Model(ModelFault::Device { .. }) => exit::DEVICE,
            Self::Model(_) | Self::Server(_) | Self::NotRegistered { .. } => exit::MODEL,
            Self::Call(_) | Self::NoShards { .. } | Self::Offers { .. } | Self::KnownAnswers(_) => {
                exit::FAILED
            }
        }
    }
}

/// Opens everything on this machine and everything on the network that the worker needs.
pub async fn worker(config: &Config) -> Result<Worker, SetupError> {
    let key = identity::load(&config.pem)?;
    let journal = Journal::open(&config.state_dir)?;
    known_answers()?;
    let device = device(config)?;
    let mut models = Vec::with_capacity(config.models.len());
    for settings in &config.models {
        models.push(open(&settings.source, device.as_ref()).await?);
    }
    info!(worker = %key.principal, url = %config.url, models = models.len(), "starting");

    let network = connect(config, &key).await?;
    let registry = Registry::new(&network, config.registry);
    let shards = shards(config, &registry).await?;
    let mut offered = Vec::with_capacity(models.len());
    for (settings, model) in config.models.iter().zip(models) {
        offered.push(offer(&registry, settings, model, config.threads).await?);
    }
    let shards = shards.into_iter().map(|jobs| Jobs::new(&network, jobs));

    Ok(Worker {
        shards: shards.collect(),
        models: offered,
        device,
        journal,
        slots: config.slots,
        threads: config.threads,
        poll: config.poll,
        grace: config.grace,
        cheat: config.cheat,
    })
}

/// Runs the engine's known-answer tests.
pub fn known_answers() -> Result<(), SetupError> {
    assay_engine::kat::run(assay_engine::forward::Kernels::Auto)
        .map_err(|error| SetupError::KnownAnswers(error.to_string()))
}

/// Opens the chips that the settings name.
pub fn device(config: &Config) -> Result<Option<Arc<Offload>>, SetupError> {
    let Some(tensix) = &config.tensix else {
        return Ok(None);
    };
    let device = backend::open(tensix)?;
    info!(chips = %tensix.chips, "chips are open");
    Ok(Some(device))
}

/// Opens a model as it is now, a file on chips where there are any.
pub async fn open_now(
    source: &Source,
    device: Option<&Arc<Offload>>,
) -> Result<Opened, SetupError> {
    Ok(match source {
        Source::File(path) => Opened::Local(LocalModel::open_on(path, device)?),
        Source::Server(settings) => Opened::Server(ServerModel::open(settings).await?),
    })
}

/// Opens a model. A file must be right at once; a server that does not answer yet is waited for.
async fn open(source: &Source, device: Option<&Arc<Offload>>) -> Result<Opened, SetupError> {
    let mut backoff = Backoff::new(Duration::from_millis(250), PATIENCE);
    loop {
        match open_now(source, device).await {
            Ok(model) => {
                if let Opened::Local(model) = &model
                    && let Some(placed) = model.placed()
                {
                    let Placed {
                        matrices,
                        weights,
                        left,
                    } = placed;
                    info!(%source, matrices, weights, left, "placed on chips");
                }
                info!(%source, root = %model.root(), "model is sound");
                return Ok(model);
            }
            Err(SetupError::Server(error)) if error.is_passing() => {
                if backoff.failures().is_multiple_of(MENTION_EVERY) {
                    warn!(%error, "waiting for the server");
                }
                tokio::time::sleep(backoff.pause()).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn connect(config: &Config, key: &Key) -> Result<Network, CallError> {
    let mut backoff = Backoff::new(Duration::from_millis(250), PATIENCE);
    loop {
        let connected = async {
            let network = Network::connect(&config.url, Some(key), &config.root_key).await?;
            network.ping().await?;
            warn_of_skew(config, &network).await?;
            Ok(network)
        };
        match connected.await {
            Ok(network) => return Ok(network),
            Err(error) => wait(&mut backoff, error, "waiting for the network").await?,
        }
    }
}

/// Says early what would later make calls fail in ways that are hard to read.
async fn warn_of_skew(config: &Config, network: &Network) -> Result<(), CallError> {
    let skew = network.skew(config.registry).await?;
    if skew > doctor::SKEW_MAX {
        warn!(
            seconds = skew.as_secs(),
            "this machine's clock and the network's differ; calls will fail: set the clock (timedatectl set-ntp true)"
        );
    }
    Ok(())
}

/// The jobs canisters to serve: those that are named, or those that the registry lists now.
async fn shards(config: &Config, registry: &Registry) -> Result<Vec<Principal>, SetupError> {
    if let Some(jobs) = &config.jobs {
        return Ok(jobs.clone());
    }
    let mut backoff = Backoff::new(Duration::from_millis(250), PATIENCE);
    loop {
        match registry.shards().await {
            Ok(shards) if shards.is_empty() => {
                return Err(SetupError::NoShards {
                    registry: registry.id,
                });
            }
            Ok(shards) => return Ok(shards),
            Err(error) => wait(&mut backoff, error, "waiting for the registry").await?,
        }
    }
}

async fn offer(
    registry: &Registry,
    settings: &ModelConfig,
    model: Opened,
    threads: usize,
) -> Result<Offered, SetupError> {
    let mut backoff = Backoff::new(Duration::from_millis(250), PATIENCE);
    loop {
        match registry
            .find_model(&model.root(), settings.name.as_deref())
            .await
        {
            Ok(Some(found)) => {
                info!(name = %found.manifest.name, version = %found.id, "offering a model");
                let offer = Offer {
                    model: found.id,
                    ask_input: settings.ask_input,
                    ask_output: settings.ask_output,
                };
                return Ok(match model {
                    Opened::Local(model) => Offered::new(model, offer, threads),
                    Opened::Server(model) => Offered::served(model, offer),
                });
            }
            Ok(None) => {
                return Err(not_registered(settings, model.root()));
            }
            Err(error) => wait(&mut backoff, error, "waiting for the registry").await?,
        }
    }
}

/// That the registry does not know a model.
pub(crate) fn not_registered(settings: &ModelConfig, root: Hash32) -> SetupError {
    let named = settings.name.as_ref();
    SetupError::NotRegistered {
        what: settings.source.to_string(),
        named: named
            .map(|name| format!(" named {name}"))
            .unwrap_or_default(),
        root,
    }
}

/// Names the prices. A shard hears of a new worker or model from the registry, which may take a while.
pub(crate) async fn announce(jobs: &Jobs, offers: &[Offer]) -> Result<(), SetupError> {
    let mut backoff = Backoff::new(
        Duration::from_millis(250),
        Duration::from_secs(limits::HEARTBEAT_SECONDS),
    );
    loop {
        match jobs.set_offers(offers).await {
            Ok(()) => return Ok(()),
            Err(Outcome::Refused(
                error @ (WorkerError::UnknownWorker(_)
                | WorkerError::UnknownModel(_)
                | WorkerError::TooManyOffers { .. }
                | WorkerError::NotActive(_)),
            )) => {
                if backoff.failures() % MENTION_EVERY == 2 {
                    let worker = jobs.network().me();
                    warn!(%worker, jobs = %jobs.id, %error, "waiting for the jobs canister to take this worker's offers");
                }
                tokio::time::sleep(backoff.pause()).await;
            }
            Err(Outcome::Refused(error)) => {
                return Err(SetupError::Offers {
                    jobs: jobs.id,
                    error,
                });
            }
            Err(Outcome::Call(error)) => {
                wait(&mut backoff, error, "waiting for the jobs canister").await?
            }
        }
    }
}

/// Sleeps over a difficulty that may pass; gives back one that will not.
async fn wait(backoff: &mut Backoff, error: CallError, what: &str) -> Result<(), CallError> {
    if !error.is_passing() {
        return Err(error);
    }
    if backoff.failures().is_multiple_of(MENTION_EVERY) {
        warn!(%error, "{what}");
    }
    tokio::time::sleep(backoff.pause()).await;
    Ok(())
}
