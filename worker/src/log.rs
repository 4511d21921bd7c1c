//! Where the daemon's log goes: standard error, for people or as JSON lines.

use serde::Deserialize;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging. `level` is a level or a filter such as `info,assay_worker=debug`.
/// A second start in one process changes nothing.
pub fn start(format: Format, level: &str) -> Result<(), BadLevel> {
    let filter = EnvFilter::try_new(level).map_err(|_| BadLevel(level.to_owned()))?;
    let registry = tracing_subscriber::registry().with(filter);
    let started = match format {
        Format::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry
                .with(
                    fmt::layer()
                        .with_writer(std::io::stderr)
                        .with_target(false)
                        .with_ansi(ansi),
                )
                .try_init()
        }
        Format::Json => registry
            .with(fmt::layer().with_writer(std::io::stderr).json())
            .try_init(),
    };
    // Already started: the first choice stays.
    let _ = started;
    Ok(())
}

/// The level cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("log level {0:?} is not one of error, warn, info, debug, trace, nor a filter of them")]
pub struct BadLevel(String);
