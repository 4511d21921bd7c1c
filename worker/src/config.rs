//! The daemon's settings: flags beat environment beats file, and an unknown key is an error.
//!
//! Invariant: a [`Config`] that exists is within its limits; nothing is checked twice later.

use std::{
    fmt, fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use assay_protocol::{Cycles, limits};
use candid::Principal;
use serde::Deserialize;

use crate::{
    backend::{Tensix, TensixFile},
    cheat::Cheat,
    log, openai,
};

/// The annotated example, as it is shipped.
pub const EXAMPLE: &str = include_str!("../packaging/worker.example.toml");

/// Bytes of a configuration file.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Fewest milliseconds between two looks for work.
pub const POLL_MILLISECONDS_MIN: u64 = 50;
/// Most milliseconds between two looks for work.
pub const POLL_MILLISECONDS_MAX: u64 = 60_000;
/// Longest grace period, seconds.
pub const GRACE_SECONDS_MAX: u64 = 3_600;
/// Most threads.
pub const THREADS_MAX: usize = assay_engine::forward::THREADS_MAX;

/// All settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Holds nonces and results of open leases.
    pub state_dir: PathBuf,
    /// Jobs to run at once.
    pub slots: u16,
    /// Threads of one run.
    pub threads: usize,
    /// Pause between two looks for work.
    pub poll: Duration,
    /// How long running leases may finish after SIGTERM.
    pub grace: Duration,
    /// Where the network answers.
    pub url: String,
    /// Which root key to trust.
    pub root_key: RootKey,
    /// The registry canister.
    pub registry: Principal,
    /// The jobs canisters, each once; absent are those that the registry lists.
    pub jobs: Option<Vec<Principal>>,
    /// The daemon's key.
    pub pem: PathBuf,
    /// Models to offer; at least one.
    pub models: Vec<ModelConfig>,
    /// Chips that make the products of models from files.
    pub tensix: Option<Tensix>,
    /// How log lines look.
    pub log_format: log::Format,
    /// Which log lines appear.
    pub log_level: String,
    /// A deliberate misbehaviour, for demonstrations only.
    pub cheat: Option<Cheat>,
}

/// Which root key to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootKey {
    /// The one of the Internet Computer's mainnet, built in.
    Mainnet,
    /// This one, DER.
    Given(Vec<u8>),
    /// Whatever the network says; only for networks on this machine.
    Fetch,
}

/// One model to offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelConfig {
    /// The name the registry must have for it, if it matters.
    pub name: Option<String>,
    /// What runs it.
    pub source: Source,
    /// Cycles per 1,000 tokens read.
    pub ask_input: Cycles,
    /// Cycles per 1,000 tokens generated.
    pub ask_output: Cycles,
}

/// What runs a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The engine of this worker, from a converted model file.
    File(PathBuf),
    /// A server.
    Server(openai::Settings),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(settings) => write!(f, "{} at {}", settings.model, settings.url),
        }
    }
}

/// What flags and environment set; each beats the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Overrides {
    /// Where the network answers
    #[arg(long, env = "ASSAY_WORKER_URL", value_name = "URL", global = true)]
    pub url: Option<String>,
    /// Folder of nonces and results of open leases
    #[arg(
        long,
        env = "ASSAY_WORKER_STATE_DIR",
        value_name = "DIR",
        global = true
    )]
    pub state_dir: Option<PathBuf>,
    /// The daemon's key
    #[arg(long, env = "ASSAY_WORKER_IDENTITY", value_name = "PEM", global = true)]
    pub identity: Option<PathBuf>,
    /// Jobs to run at once
    #[arg(long, env = "ASSAY_WORKER_SLOTS", value_name = "N", global = true)]
    pub slots: Option<u16>,
    /// Threads of one run; 0 means one per processor core
    #[arg(long, env = "ASSAY_WORKER_THREADS", value_name = "N", global = true)]
    pub threads: Option<usize>,
    /// Seconds in which running leases may finish after SIGTERM
    #[arg(
        long,
        env = "ASSAY_WORKER_GRACE_SECONDS",
        value_name = "N",
        global = true
    )]
    pub grace_seconds: Option<u64>,
    /// How log lines look
    #[arg(
        long,
        env = "ASSAY_WORKER_LOG_FORMAT",
        value_name = "FORMAT",
        global = true
    )]
    pub log_format: Option<log::Format>,
    /// Which log lines appear: error, warn, info, debug, trace, or a filter
    #[arg(long, env = "ASSAY_WORKER_LOG", value_name = "LEVEL", global = true)]
    pub log_level: Option<String>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {error}; write one after the example: assay-worker config example")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Not a file.
    #[error("{path}: not a file")]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// Too long to be a configuration.
    #[error("{path}: {bytes} bytes, a configuration has at most {FILE_BYTES_MAX}")]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("{path}: {error}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with line and column.
        error: Box<toml::de::Error>,
    },
    /// A value is out of range or malformed.
    #[error("{key}: {problem}")]
    Invalid {
        /// Which key.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A canister id or the root key is malformed, or asked from a network that is not this machine's own.
    #[error("{key}: {problem}")]
    Untrusted {
        /// Which key.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    state_dir: PathBuf,
    #[serde(default = "one")]
    slots: u16,
    #[serde(default)]
    threads: usize,
    #[serde(default = "poll_default")]
    poll_milliseconds: u64,
    #[serde(default = "grace_default")]
    grace_seconds: u64,
    network: Network,
    canisters: Canisters,
    identity: IdentityFile,
    models: Vec<ModelFile>,
    #[serde(default)]
    backend: Backend,
    #[serde(default)]
    log: Log,
    // For demonstrations of how a lie is caught; absent from the example on purpose.
    #[serde(default)]
    cheat: Option<CheatFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    url: String,
    root_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Canisters {
    registry: String,
    jobs: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentityFile {
    pem: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelFile {
    name: Option<String>,
    file: Option<PathBuf>,
    openai: Option<ServerFile>,
    ask_input: u64,
    ask_output: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerFile {
    url: String,
    model: String,
    topology: String,
    image_digest: Option<String>,
    context_max: Option<u32>,
    api_key_file: Option<PathBuf>,
    jwt_secret_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Backend {
    tensix: Option<TensixFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Log {
    #[serde(default)]
    format: log::Format,
    level: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheatFile {
    mode: Cheat,
}

fn one() -> u16 {
    1
}

fn poll_default() -> u64 {
    500
}

fn grace_default() -> u64 {
    60
}

/// Reads a configuration file and lays the overrides over it.
pub fn load(path: &Path, overrides: &Overrides) -> Result<Config, ConfigError> {
    let io = |error| ConfigError::Io {
        path: path.to_owned(),
        error,
    };
    let metadata = fs::metadata(path).map_err(io)?;
    if !metadata.is_file() {
        return Err(ConfigError::NotAFile {
            path: path.to_owned(),
        });
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(ConfigError::TooLong {
            path: path.to_owned(),
            bytes: metadata.len(),
        });
    }
    let text = fs::read_to_string(path).map_err(io)?;
    parse(&text, path, overrides)
}

/// Reads a configuration from its text; `path` is for messages.
pub fn parse(text: &str, path: &Path, overrides: &Overrides) -> Result<Config, ConfigError> {
    let file: File = toml::from_str(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        error: Box::new(error),
    })?;
    // Destructured so that a new flag cannot be forgotten.
    let Overrides {
        url,
        state_dir,
        identity,
        slots,
        threads,
        grace_seconds,
        log_format,
        log_level,
    } = overrides.clone();

    let slots = slots.unwrap_or(file.slots);
    within("slots", u64::from(slots), 1, u64::from(limits::SLOTS_MAX))?;
    let threads = threads.unwrap_or(file.threads);
    within("threads", threads as u64, 0, THREADS_MAX as u64)?;
    within(
        "poll_milliseconds",
        file.poll_milliseconds,
        POLL_MILLISECONDS_MIN,
        POLL_MILLISECONDS_MAX,
    )?;
    let grace_seconds = grace_seconds.unwrap_or(file.grace_seconds);
    within("grace_seconds", grace_seconds, 0, GRACE_SECONDS_MAX)?;
    within(
        "models",
        file.models.len() as u64,
        1,
        limits::OFFERS_PER_WORKER_MAX as u64,
    )?;

    let url = url.unwrap_or(file.network.url);
    let models = file
        .models
        .into_iter()
        .enumerate()
        .map(
            |(
                i,
                ModelFile {
                    name,
                    file,
                    openai,
                    ask_input,
                    ask_output,
                },
            )| {
                let source = source(&format!("models[{i}]"), file, openai)?;
                within(
                    &format!("models[{i}].ask_input"),
                    ask_input,
                    0,
                    limits::ASK_CYCLES_MAX as u64,
                )?;
                within(
                    &format!("models[{i}].ask_output"),
                    ask_output,
                    0,
                    limits::ASK_CYCLES_MAX as u64,
                )?;
                Ok(ModelConfig {
                    name,
                    source,
                    ask_input: Cycles(ask_input.into()),
                    ask_output: Cycles(ask_output.into()),
                })
            },
        )
        .collect::<Result<_, ConfigError>>()?;

    let tensix = file
        .backend
        .tensix
        .map(TensixFile::settings)
        .transpose()
        .map_err(|(key, problem)| ConfigError::Invalid {
            key: format!("backend.tensix.{key}"),
            problem,
        })?;

    Ok(Config {
        tensix,
        state_dir: state_dir.unwrap_or(file.state_dir),
        slots,
        threads: if threads == 0 {
            std::thread::available_parallelism().map_or(1, usize::from)
        } else {
            threads
        },
        poll: Duration::from_millis(file.poll_milliseconds),
        grace: Duration::from_secs(grace_seconds),
        root_key: root_key(file.network.root_key.as_deref(), &url)?,
        url,
        registry: canister("canisters.registry", &file.canisters.registry)?,
        jobs: file.canisters.jobs.as_deref().map(shards).transpose()?,
        pem: identity.unwrap_or(file.identity.pem),
        models,
        log_format: log_format.unwrap_or(file.log.format),
        log_level: log_level
            .or(file.log.level)
            .unwrap_or_else(|| "info".to_owned()),
        cheat: file.cheat.map(|cheat| cheat.mode),
    })
}

/// What runs a model: either of the two.
fn source(
    key: &str,
    file: Option<PathBuf>,
    server: Option<ServerFile>,
) -> Result<Source, ConfigError> {
    let invalid = |part: &str, problem: String| ConfigError::Invalid {
        key: format!("{key}{part}"),
        problem,
    };
    let ServerFile {
        url,
        model,
        topology,
        image_digest,
        context_max,
        api_key_file,
        jwt_secret_file,
    } = match (file, server) {
        (Some(file), None) => return Ok(Source::File(file)),
        (None, Some(server)) => server,
        _ => {
            let problem = "wants either file, a converted model, or openai, a server";
            return Err(invalid("", problem.to_owned()));
        }
    };
    let digest = image_digest.as_ref();
    let hex = digest.and_then(|digest| digest.strip_prefix("sha256:"));
    let is_digest = hex.is_some_and(|hex| hex.len() == 64 && hex::decode(hex).is_ok());
    if digest.is_some() && !is_digest {
        let problem = "is not sha256: and 64 hexadecimal digits; docker image inspect tells it";
        return Err(invalid(".openai.image_digest", problem.to_owned()));
    }
    if let Some(context) = context_max {
        let most = u64::from(limits::CONTEXT_TOKENS_MAX);
        within(
            &format!("{key}.openai.context_max"),
            context.into(),
            1,
            most,
        )?;
    }
    let bearer = match (api_key_file, jwt_secret_file) {
        (None, None) => None,
        (Some(path), None) => Some(openai::KeySource::Key(path)),
        (None, Some(path)) => Some(openai::KeySource::JwtSecret(path)),
        (Some(_), Some(_)) => {
            let problem = "takes one of api_key_file and jwt_secret_file";
            return Err(invalid(".openai", problem.to_owned()));
        }
    };
    Ok(Source::Server(openai::Settings {
        url,
        model,
        topology: openai::Topology::new(&topology)
            .map_err(|problem| invalid(".openai.topology", problem))?,
        image_digest,
        context_max,
        key: bearer,
    }))
}

/// The jobs canisters that the file names.
fn shards(names: &[String]) -> Result<Vec<Principal>, ConfigError> {
    const KEY: &str = "canisters.jobs";
    within(KEY, names.len() as u64, 1, limits::SHARDS_MAX as u64)?;
    let mut shards = Vec::with_capacity(names.len());
    for name in names {
        let shard = canister(KEY, name)?;
        if shards.contains(&shard) {
            return Err(ConfigError::Invalid {
                key: KEY.to_owned(),
                problem: format!("{shard} is named twice"),
            });
        }
        shards.push(shard);
    }
    Ok(shards)
}

fn within(key: &str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Invalid {
        key: key.to_owned(),
        problem: format!("{value} is not between {least} and {most}"),
    })
}

fn canister(key: &str, text: &str) -> Result<Principal, ConfigError> {
    let untrusted = |problem| ConfigError::Untrusted {
        key: key.to_owned(),
        problem,
    };
    let id = Principal::from_text(text)
        .map_err(|error| untrusted(format!("{text:?} is not a canister id: {error}")))?;
    if id == Principal::management_canister() || id == Principal::anonymous() {
        return Err(untrusted(format!(
            "{text} is no canister of a market; put your market's id here"
        )));
    }
    Ok(id)
}

fn root_key(text: Option<&str>, url: &str) -> Result<RootKey, ConfigError> {
    let untrusted = |problem| ConfigError::Untrusted {
        key: "network.root_key".to_owned(),
        problem,
    };
    let host = host(url).ok_or_else(|| ConfigError::Invalid {
        key: "network.url".to_owned(),
        problem: format!("{url:?} is not an http or https address such as http://127.0.0.1:4943"),
    })?;
    match text {
        None if is_local(&host) => Err(untrusted(format!(
            "{url} is not mainnet, so its root key must be named; give it in hexadecimal, or \"fetch\" to take what this machine's own network says"
        ))),
        None => Ok(RootKey::Mainnet),
        Some("fetch") if is_local(&host) => Ok(RootKey::Fetch),
        Some("fetch") => Err(untrusted(format!(
            "\"fetch\" would trust whatever {url} says; it is allowed only for this machine's own network. Leave root_key out for mainnet"
        ))),
        Some(text) => hex::decode(text)
            .map(RootKey::Given)
            .map_err(|_| untrusted("is neither hexadecimal nor \"fetch\"".to_owned())),
    }
}

/// The root key to trust at this address: what this machine's own network says, else the one of the mainnet.
pub fn root_key_of(url: &str) -> RootKey {
    match host(url) {
        Some(host) if is_local(&host) => RootKey::Fetch,
        _ => RootKey::Mainnet,
    }
}

/// The host of an http(s) address, without port and brackets.
fn host(url: &str) -> Option<String> {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    // What stands before an @ is a user name, and only misleads.
    if authority.contains('@') {
        return None;
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?.0,
        None => authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host),
    };
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

/// Whether this host is this machine: an address that never leaves it, or a name reserved for it.
fn is_local(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
