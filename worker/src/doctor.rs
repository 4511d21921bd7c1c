//! One line per thing that serving needs, and the next command for each that is missing.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use assay_engine::offload::Offload;
use assay_protocol::{
    lease::Idle,
    request::{Parameters, Sampling, Task},
};
use serde::Serialize;

use crate::{
    backend,
    cli::say,
    client::{Jobs, Network, Registry},
    config::{Config, ConfigError, ModelConfig},
    exit, identity,
    journal::Journal,
    model::{Job, LocalModel, Opened, VectorModel},
    openai::ServerModel,
    setup::{self, SetupError},
};

/// A clock further off than this makes calls fail.
pub const SKEW_MAX: Duration = Duration::from_secs(60);
/// Tokens generated to estimate the speed.
const SPEED_TOKENS: u32 = 24;

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Whether it passed.
    pub ok: bool,
    /// What was looked at.
    pub what: String,
    /// What was found, and for a failure what to do next.
    pub found: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ok, what, found } = self;
        write!(
            f,
            "{}  {what:<12}  {found}",
            if *ok { "ok  " } else { "fail" }
        )
    }
}

#[derive(Debug, Default)]
struct Report {
    checks: Vec<Check>,
    code: u8,
}

impl Report {
    fn ok(&mut self, what: &str, found: impl Into<String>) {
        self.checks.push(Check {
            ok: true,
            what: what.to_owned(),
            found: found.into(),
        });
    }

    /// The first failure decides the exit code.
    fn fail(&mut self, what: &str, found: impl Into<String>, code: u8) {
        if self.code == exit::OK {
            self.code = code;
        }
        self.checks.push(Check {
            ok: false,
            what: what.to_owned(),
            found: found.into(),
        });
    }
}

/// Runs all checks and prints them; gives the exit code.
pub async fn run(path: &Path, config: Result<Config, ConfigError>, json: bool) -> u8 {
    let mut report = Report::default();
    match config {
        Ok(config) => {
            report.ok(
                "config",
                format!("{}, {} models", path.display(), config.models.len()),
            );
            if let Some(cheat) = config.cheat {
                report.fail(
                    "cheat",
                    format!("{cheat:?} is on; take [cheat] out of {}", path.display()),
                    exit::USAGE,
                );
            }
            examine(&config, &mut report).await;
        }
        Err(error) => {
            let code = if matches!(error, ConfigError::Untrusted { .. }) {
                exit::CREDENTIALS
            } else {
                exit::USAGE
            };
            report.fail("config", error.to_string(), code);
        }
    }
    if json {
        let value = serde_json::json!({ "ok": report.code == exit::OK, "checks": report.checks });
        say(&format!("{value:#}"));
    } else {
        for check in &report.checks {
            say(&check.to_string());
        }
    }
    report.code
}

async fn examine(config: &Config, report: &mut Report) {
    let key = match identity::load(&config.pem) {
        Ok(key) => {
            report.ok(
                "identity",
                format!("{}, worker {}", config.pem.display(), key.principal),
            );
            Some(key)
        }
        Err(error) => {
            report.fail("identity", error.to_string(), exit::CREDENTIALS);
            None
        }
    };
    // A running worker has its state folder for itself, and its cards.
    let mut locked = false;
    match Journal::open(&config.state_dir).and_then(|journal| journal.records()) {
        Ok(records) => report.ok(
            "state",
            format!(
                "{}, {} open leases",
                config.state_dir.display(),
                records.len()
            ),
        ),
        // A running worker is the usual reason, and a good sign.
        Err(error @ crate::journal::JournalError::Locked { .. }) => {
            locked = true;
            report.ok("state", error.to_string());
        }
        Err(error) => report.fail("state", error.to_string(), exit::STATE),
    }
    match setup::known_answers() {
        Ok(()) => report.ok("engine", "known-answer tests pass"),
        Err(error) => report.fail("engine", error.to_string(), exit::FAILED),
    }

    let device = examine_chips(config, locked, report);
    let network = examine_network(config, key.as_ref(), report).await;
    if let (Some(network), Some(key)) = (&network, &key) {
        examine_worker(config, network, key, report).await;
    }
    let registry = network
        .as_ref()
        .map(|network| Registry::new(network, config.registry));
    for settings in &config.models {
        examine_model(
            settings,
            config.threads,
            device.as_ref(),
            registry.as_ref(),
            report,
        )
        .await;
    }
}

/// The cards of this machine, and the chips that the settings name.
fn examine_chips(config: &Config, locked: bool, report: &mut Report) -> Option<Arc<Offload>> {
    for card in backend::cards() {
        report.ok("card", card);
    }
    let chips = config.tensix.as_ref()?.chips.to_string();
    match setup::device(config) {
        Ok(device) => {
            report.ok("chips", chips);
            device
        }
        Err(SetupError::Backend(error)) if locked && error.is_busy() => {
            report.ok("chips", format!("{chips}: {error}"));
            None
        }
        Err(error) => {
            report.fail("chips", format!("{chips}: {error}"), error.code());
            None
        }
    }
}

async fn examine_network(
    config: &Config,
    key: Option<&identity::Key>,
    report: &mut Report,
) -> Option<Network> {
    let started = Instant::now();
    let network = match Network::connect(&config.url, key, &config.root_key).await {
        Ok(network) => network,
        Err(error) => {
            report.fail("network", error.to_string(), exit::FAILED);
            return None;
        }
    };
    if let Err(error) = network.ping().await {
        report.fail("network", error.to_string(), exit::FAILED);
        return None;
    }
    let latency = started.elapsed().as_millis();
    match network.skew(config.registry).await {
        Ok(skew) => {
            let found = format!(
                "{}, status in {latency} ms, clock skew {:.1} s",
                config.url,
                skew.as_secs_f64()
            );
            if skew <= SKEW_MAX {
                report.ok("network", found);
            } else {
                report.fail("network", format!("{found}; calls will fail: set this machine's clock (timedatectl set-ntp true)"), exit::FAILED);
            }
        }
        Err(error) => {
            report.fail(
                "network",
                format!("{error}; is canisters.registry a canister of this network?"),
                exit::CREDENTIALS,
            );
            return None;
        }
    }
    Some(network)
}

async fn examine_worker(
    config: &Config,
    network: &Network,
    key: &identity::Key,
    report: &mut Report,
) {
    let shards = match &config.jobs {
        Some(jobs) => jobs.clone(),
        None => match Registry::new(network, config.registry).shards().await {
            Ok(shards) => shards,
            Err(error) => return report.fail("shards", error.to_string(), exit::FAILED),
        },
    };
    match shards.len() {
        0 => report.fail(
            "shards",
            format!(
                "the registry {} lists no jobs canister; name some in canisters.jobs",
                config.registry
            ),
            exit::FAILED,
        ),
        1 => {}
        count => report.ok("shards", format!("{count} jobs canisters")),
    }
    for jobs in shards {
        examine_shard(config, &Jobs::new(network, jobs), key, report).await;
    }
}

async fn examine_shard(config: &Config, jobs: &Jobs, key: &identity::Key, report: &mut Report) {
    let id = jobs.id;
    match jobs.explain(key.principal).await {
        Ok(Idle::UnknownWorker) => report.fail(
            "worker",
            format!(
                "{} is not registered at {}, or {id} follows another registry; the provider adds it with add_worker",
                key.principal, config.registry
            ),
            exit::FAILED,
        ),
        Ok(Idle::NotActive) => report.fail(
            "worker",
            format!("it drains or is retired at {id}; the provider adds another"),
            exit::FAILED,
        ),
        Ok(idle) => report.ok("worker", format!("registered; at {id}: {}", explain(&idle))),
        Err(error) => report.fail("worker", error.to_string(), exit::FAILED),
    }
}

/// Why a worker has no work, in words.
pub fn explain(idle: &Idle) -> String {
    match idle {
        Idle::UnknownWorker => "not known to the jobs canister".to_owned(),
        Idle::NotActive => "drains or is retired".to_owned(),
        Idle::NoOffer => "has no offer yet; the daemon sets it when it runs".to_owned(),
        Idle::NotReady => "announces no free slot; is the daemon running?".to_owned(),
        Idle::NoDemand => "nothing is queued for its models".to_owned(),
        Idle::SameProvider => "its provider already works on every queued job".to_owned(),
        Idle::TooDear => "its ask is above what the queued jobs may pay".to_owned(),
        Idle::Untrusted { valid, wanted } => format!(
            "the queued jobs want {wanted} confirmed results, it has {valid}; checked jobs bring them"
        ),
        Idle::StakeShort { needed, free } => format!(
            "one more lease needs {needed} cycles of stake, {free} are free; its provider stakes more"
        ),
        Idle::Busy { leases } => format!("busy with {leases} leases"),
        Idle::Eligible => "would be given work now".to_owned(),
        Idle::Other(text) => text.clone(),
    }
}

async fn examine_model(
    settings: &ModelConfig,
    threads: usize,
    device: Option<&Arc<Offload>>,
    registry: Option<&Registry>,
    report: &mut Report,
) {
    let model = match setup::open_now(&settings.source, device).await {
        Ok(model) => model,
        Err(error) => return report.fail("model", error.to_string(), error.code()),
    };
    let speed = match &model {
        Opened::Local(model) => speed(model, threads),
        Opened::Server(model) => speed_of_server(model).await,
    };
    let speed = speed.map_or_else(
        |error| error.to_string(),
        |speed| format!("about {speed:.0} tokens/s"),
    );
    let speed = match device.and_then(|device| device.failure()) {
        Some(error) => return report.fail("chips", error.to_string(), exit::DEVICE),
        None => placed(&model) + &speed,
    };
    let what = match &model {
        Opened::Local(_) => settings.source.to_string(),
        Opened::Server(model) => format!("{}, {}", settings.source, model.deployment().to_json()),
    };
    match registry {
        None => report.ok("model", format!("{what}, sound, {speed}; not compared with the registry")),
        Some(registry) => match registry.find_model(&model.root(), settings.name.as_deref()).await {
            Ok(Some(found)) => report.ok("model", format!("{}, root as registered, {speed}", found.manifest.name)),
            Ok(None) => report.fail(
                "model",
                format!("{what}: root {} is not registered{}; register what `assay-worker models` prints, or use what is registered", model.root(), match &settings.name {
                    Some(name) => format!(" as {name}"),
                    None => String::new(),
                }),
                exit::MODEL,
            ),
            Err(error) => report.fail("model", error.to_string(), exit::FAILED),
        },
    }
}

/// How much of a model lies on chips, in words that go before its speed.
fn placed(model: &Opened) -> String {
    let Opened::Local(model) = model else {
        return String::new();
    };
    model.placed().map_or_else(String::new, |placed| {
        let all = placed.matrices + placed.left;
        format!("{} of {all} matrices on chips, ", placed.matrices)
    })
}

/// What a speed is measured with.
fn sample(task: Task, threads: usize) -> Job {
    Job {
        task,
        parameters: Parameters::new(SPEED_TOKENS, Sampling::GREEDY),
        input_tokens_max: None,
        seed: 0,
        threads,
    }
}

/// A server's generated tokens per second, its prompt included.
pub(crate) async fn speed_of_server(model: &ServerModel) -> Result<f64, crate::model::RunFault> {
    let job = sample(Task::question("Count slowly from one to one hundred."), 1);
    let began = Instant::now();
    let body = model.generate(&job, &mut |_| {}).await?;
    Ok(body.output_tokens.len() as f64 / began.elapsed().as_secs_f64().max(1e-6))
}

/// Generated tokens per second, the first one left out; for an encoder, tokens read.
fn speed(model: &LocalModel, threads: usize) -> Result<f64, crate::model::RunFault> {
    let job = |task| sample(task, threads);
    let per_second =
        |tokens: usize, since: Instant| tokens as f64 / since.elapsed().as_secs_f64().max(1e-6);
    match model {
        LocalModel::Text(model) => {
            let mut first = None;
            let mut count = 0_usize;
            let job = job(Task::question("Count slowly from one to one hundred."));
            model.generate(&job, &mut |_| {
                first.get_or_insert_with(Instant::now);
                count += 1;
                std::ops::ControlFlow::Continue(())
            })?;
            Ok(first.map_or(0.0, |first| per_second(count.saturating_sub(1), first)))
        }
        LocalModel::Vector(model) => Ok(speed_of_vectors(model, threads, SPEED_TOKENS)?.0),
    }
}

/// Tokens an encoder reads a second, of a text of about so many words, and the trace that it leaves.
pub(crate) fn speed_of_vectors(
    model: &VectorModel,
    threads: usize,
    words: u32,
) -> Result<(f64, [u8; 32]), crate::model::RunFault> {
    // A word of the language is a token, and every encoder puts two around a text.
    let room = model.manifest().shape.context_max.saturating_sub(2);
    let text = vec!["one"; room.min(words as usize)].join(" ");
    let job = sample(Task::Embedding { text }, threads);
    let began = Instant::now();
    let body = model.embed(&job)?;
    let speed = body.input_tokens.len() as f64 / began.elapsed().as_secs_f64().max(1e-6);
    Ok((speed, body.trace_root.0))
}
