//! How fast this machine runs its models: reading a text and writing one, on the processor and on the chips beside it, in one run.
//!
//! Both must leave the same trace, or no speed is told.

use std::{sync::Arc, time::Instant};

use assay_engine::{
    forward::{Session, SessionError},
    offload::Offload,
};
use assay_protocol::{
    Hash32,
    registry::{self, RegistryError, SpeedArgs},
};
use serde::Serialize;

use crate::{
    backend,
    cli::{refuse, say},
    client::{CallError, Network, Outcome, Registry},
    config::{Config, ModelConfig},
    doctor, exit, identity,
    model::{Job, LocalModel, Opened, TextModel},
    setup::{self, SetupError},
};

/// Most tokens of a measurement.
pub const TOKENS_MAX: u32 = 4_096;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub struct Amounts {
    /// Tokens of the text that is read
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(TOKENS_MAX)))]
    pub read: u32,
    /// Tokens that are written
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(TOKENS_MAX)))]
    pub write: u32,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// The file, or the server.
    pub model: String,
    /// Its root.
    pub root: Hash32,
    /// What made the products.
    pub on: String,
    /// Tokens a second, several at once; none where it cannot be told apart.
    pub reads: Option<f64>,
    /// Tokens a second, one after the other; none of an encoder.
    pub writes: Option<f64>,
    /// Power that the cards drew at the end, if there are any.
    pub watts: Option<u32>,
}

/// Why there is no speed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The model, or the chips.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The model's context is too short.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A run.
    #[error(transparent)]
    Run(#[from] crate::model::RunFault),
    /// The chips did not do all of it.
    #[error("{chips} failed on the way: {why}")]
    Lost {
        /// Which.
        chips: String,
        /// Why.
        why: String,
    },
    /// The registry does not take it.
    #[error("the registry does not take the speed of {model}: {error}")]
    Registry {
        /// The model.
        model: String,
        /// Why.
        error: RegistryError,
    },
    /// The registry is not there.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The bytes differ, which must never be.
    #[error(
        "{model}: {chips} and the processor left different traces; do not serve with them, and report it"
    )]
    Differs {
        /// The model.
        model: String,
        /// Which.
        chips: String,
    },
}

impl BenchError {
    fn code(&self) -> u8 {
        match self {
            Self::Setup(error) => error.code(),
            Self::Lost { .. } | Self::Differs { .. } => exit::DEVICE,
            Self::Session(_) | Self::Run(_) | Self::Registry { .. } | Self::Call(_) => exit::FAILED,
        }
    }
}

/// Measures every model and prints a table, or one JSON array, and tells the registry if that is wanted; gives the exit code.
pub async fn run(config: &Config, amounts: Amounts, json: bool, to_registry: bool) -> u8 {
    let speeds = match measure(config, amounts).await {
        Ok(speeds) => speeds,
        Err(error) => return refuse(&error, error.code()),
    };
    say(&match json {
        true => serde_json::json!(speeds).to_string(),
        false => table(&speeds),
    });
    if to_registry && let Err(error) = report(config, &speeds).await {
        return refuse(&error, error.code());
    }
    exit::OK
}

/// Tells the registry how fast this worker is: of each model the last line, which is that of the chips where there are any.
async fn report(config: &Config, speeds: &[Speed]) -> Result<(), BenchError> {
    let key = identity::load(&config.pem).map_err(SetupError::from)?;
    let network = Network::connect(&config.url, Some(&key), &config.root_key).await?;
    let registry = Registry::new(&network, config.registry);
    for (settings, speed) in config.models.iter().filter_map(|settings| {
        let model = settings.source.to_string();
        let last = speeds.iter().rfind(|speed| speed.model == model)?;
        Some((settings, last))
    }) {
        let name = settings.name.as_deref();
        let found = registry.find_model(&speed.root, name).await?;
        let model = found.ok_or_else(|| setup::not_registered(settings, speed.root))?;
        let milli = |rate: f64| (rate * 1e3).max(1.0) as u64;
        let args = SpeedArgs {
            model: model.id,
            speed: registry::Speed {
                reads_milli: speed.reads.map(milli),
                writes_milli: speed.writes.map(milli),
                watts: speed.watts,
            },
        };
        match registry.report_speed(&args).await {
            Ok(_) => {}
            Err(Outcome::Refused(error)) => {
                let model = speed.model.clone();
                return Err(BenchError::Registry { model, error });
            }
            Err(Outcome::Call(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Measures every model of the configuration.
pub async fn measure(config: &Config, amounts: Amounts) -> Result<Vec<Speed>, BenchError> {
    let device = setup::device(config)?;
    let mut speeds = Vec::new();
    for settings in &config.models {
        speeds.extend(of_model(config, settings, device.as_ref(), amounts).await?);
    }
    Ok(speeds)
}

async fn of_model(
    config: &Config,
    settings: &ModelConfig,
    device: Option<&Arc<Offload>>,
    amounts: Amounts,
) -> Result<Vec<Speed>, BenchError> {
    let line = |root, on: String, (reads, writes)| Speed {
        model: settings.source.to_string(),
        root,
        on,
        reads,
        writes,
        watts: None,
    };
    let processor = format!("processor, {} thread(s)", config.threads);
    let (host, root) = match setup::open_now(&settings.source, None).await? {
        Opened::Server(model) => {
            let writes = doctor::speed_of_server(&model).await?;
            let on = "server".to_owned();
            return Ok(vec![line(model.root(), on, (None, Some(writes)))]);
        }
        Opened::Local(model) => {
            let root = model.root();
            (model, root)
        }
    };
    let (speed, left) = on(&host, config.threads, amounts)?;
    let mut speeds = vec![line(root, processor, speed)];
    if let (Some(device), Some(tensix)) = (device, &config.tensix) {
        let chips = tensix.chips.to_string();
        let Opened::Local(placed) = setup::open_now(&settings.source, Some(device)).await? else {
            unreachable!("BUG: a file does not become a server")
        };
        let (speed, same) = on(&placed, config.threads, amounts)?;
        if let Some(why) = device.failure() {
            let why = why.to_string();
            return Err(BenchError::Lost { chips, why });
        }
        if same != left {
            let model = settings.source.to_string();
            return Err(BenchError::Differs { model, chips });
        }
        speeds.push(Speed {
            watts: backend::watts(tensix),
            ..line(root, chips, speed)
        });
    }
    Ok(speeds)
}

type Rates = (Option<f64>, Option<f64>);

/// Reads and writes; says what trace was left as well.
fn on(
    model: &LocalModel,
    threads: usize,
    amounts: Amounts,
) -> Result<(Rates, [u8; 32]), BenchError> {
    match model {
        LocalModel::Text(model) => text(model, threads, amounts),
        LocalModel::Vector(model) => {
            let (reads, left) = doctor::speed_of_vectors(model, threads, amounts.read)?;
            Ok(((Some(reads), None), left))
        }
    }
}

fn text(
    model: &TextModel,
    threads: usize,
    Amounts { read, write }: Amounts,
) -> Result<(Rates, [u8; 32]), BenchError> {
    let model = model.model();
    let (read, write) = (read as usize, write as usize);
    // Any tokens do: their number decides how long it takes, not which they are.
    let token = |i: usize| (i * 7_919 % model.shape.vocab) as u32;
    let tokens: Vec<u32> = (0..read).map(token).collect();
    let mut session = Session::new(model, read + write, &Job::options_for(threads))?;
    let began = Instant::now();
    session.prefill(&tokens)?;
    let reads = rate(read, began);
    let began = Instant::now();
    for i in 0..write {
        session.decode(token(i))?;
    }
    let rates = (Some(reads), Some(rate(write, began)));
    Ok((rates, session.trace().root(read + write)))
}

fn rate(tokens: usize, since: Instant) -> f64 {
    tokens as f64 / since.elapsed().as_secs_f64().max(1e-9)
}

/// The speeds as people read them.
fn table(speeds: &[Speed]) -> String {
    let width = speeds.iter().map(|speed| speed.on.chars().count()).max();
    let width = width.unwrap_or(0);
    let mut lines = Vec::new();
    let mut last = "";
    for speed in speeds {
        let rate = |what: &str, rate: Option<f64>| {
            rate.map(|rate| format!("  {what} {rate:>8.1} tokens/s"))
                .unwrap_or_default()
        };
        // A model's second line is of chips whose trace was compared with the processor's.
        let same = match last == speed.model {
            true => "  the same bytes",
            false => {
                lines.push(speed.model.clone());
                ""
            }
        };
        lines.push(format!(
            "  {:<width$}{}{}{same}",
            speed.on,
            rate("reads", speed.reads),
            rate("writes", speed.writes),
        ));
        last = &speed.model;
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_told_model_by_model() {
        let speed = |model: &str, on: &str, reads, writes| Speed {
            model: model.to_owned(),
            root: Hash32::default(),
            on: on.to_owned(),
            reads,
            writes,
            watts: None,
        };
        let told = table(&[
            speed(
                "a.assay",
                "processor, 2 thread(s)",
                Some(812.25),
                Some(41.0),
            ),
            speed(
                "a.assay",
                "Wormhole, 1 card(s) [0]",
                Some(9_000.0),
                Some(300.0),
            ),
            speed("b.assay", "processor, 2 thread(s)", Some(1_000.0), None),
            speed("big at http://127.0.0.1:8000", "server", None, Some(55.5)),
        ]);
        expect_test::expect![[r#"
            a.assay
              processor, 2 thread(s)   reads    812.2 tokens/s  writes     41.0 tokens/s
              Wormhole, 1 card(s) [0]  reads   9000.0 tokens/s  writes    300.0 tokens/s  the same bytes
            b.assay
              processor, 2 thread(s)   reads   1000.0 tokens/s
            big at http://127.0.0.1:8000
              server                   writes     55.5 tokens/s"#]]
        .assert_eq(&told);
    }
}
