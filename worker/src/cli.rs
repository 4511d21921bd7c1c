//! The command line of the daemon.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use candid::Principal;
use clap::{Args, Parser, Subcommand};
use tokio::sync::watch;

use crate::{
    bench,
    config::{self, Config, ConfigError, Overrides},
    doctor, exit, identity, log, registration, run, setup,
};

/// The worker daemon of Assay: takes leases, runs the engine, commits and reveals.
#[derive(Debug, Parser)]
#[command(name = "assay-worker", version, after_help = exit::HELP, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What the daemon can be told to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until told to stop. SIGTERM or Ctrl-C finishes or gives back what runs; a second one ends at once
    Run {
        #[command(flatten)]
        settings: Settings,
        /// Also stop when standard input closes, so that this worker never outlives the program that started it
        #[arg(long)]
        until_stdin_closes: bool,
    },
    /// Check everything that serving needs: one line per check, and the next command for each failure
    Doctor {
        #[command(flatten)]
        settings: Settings,
        /// Print one JSON object instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Measure how fast this machine reads and writes with each model, on the processor and on the configured chips
    Bench {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        amounts: bench::Amounts,
        /// Print one JSON array instead of a table
        #[arg(long)]
        json: bool,
        /// Tell the registry, so that people see it and waiting times are estimated by it
        #[arg(long)]
        report: bool,
    },
    /// Print what the registry wants to be told of each model in the configuration: the argument of `register_model`, in Candid
    Models {
        #[command(flatten)]
        settings: Settings,
        /// Their license, as an SPDX expression
        #[arg(long, value_name = "SPDX", default_value = "Apache-2.0")]
        license: String,
    },
    /// The configuration file
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The daemon's key
    #[command(subcommand)]
    Identity(IdentityCommand),
}

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether the configuration is right, or what is wrong and where
    Check(Settings),
    /// Print an annotated example
    Example,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// Make a new key that only you may read, and print its principal
    New {
        /// Where to write it
        #[arg(long, value_name = "PEM")]
        out: PathBuf,
    },
    /// Print the principal of a key
    Show {
        /// The key
        #[arg(long, value_name = "PEM")]
        pem: PathBuf,
    },
}

/// Where the settings come from.
#[derive(Debug, Args)]
pub struct Settings {
    /// Configuration file
    #[arg(
        long,
        short,
        env = "ASSAY_WORKER_CONFIG",
        value_name = "FILE",
        default_value = "/etc/assay-worker/worker.toml"
    )]
    config: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
}

impl Settings {
    fn load(&self) -> Result<Config, ConfigError> {
        config::load(&self.config, &self.overrides)
    }
}

/// Parses the arguments, the program's name first, and does what they say.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::from(main_code(args))
}

/// As [`main`], with the exit code as a number.
pub fn main_code(args: impl IntoIterator<Item = OsString>) -> u8 {
    match Cli::try_parse_from(args) {
        Ok(cli) => dispatch(cli.command),
        Err(error) => {
            let _ = error.print();
            code_of(&error)
        }
    }
}

/// The exit code of what the parser answers: help and version are answers, not errors.
pub fn code_of(error: &clap::Error) -> u8 {
    if error.use_stderr() {
        exit::USAGE
    } else {
        exit::OK
    }
}

/// Does what one command says; gives the exit code.
pub fn dispatch(command: Command) -> u8 {
    match command {
        Command::Run {
            settings,
            until_stdin_closes,
        } => match settings.load() {
            Ok(config) => serve(&config, until_stdin_closes),
            Err(error) => refuse(&error, config_code(&error)),
        },
        Command::Doctor { settings, json } => {
            block_on(doctor::run(&settings.config, settings.load(), json))
        }
        Command::Bench {
            settings,
            amounts,
            json,
            report,
        } => match settings.load() {
            Ok(config) => block_on(bench::run(&config, amounts, json, report)),
            Err(error) => refuse(&error, config_code(&error)),
        },
        Command::Models { settings, license } => match settings.load() {
            Ok(config) => block_on(models(&config, &license)),
            Err(error) => refuse(&error, config_code(&error)),
        },
        Command::Config(ConfigCommand::Check(settings)) => match settings.load() {
            Ok(config) => {
                let jobs = config.jobs.as_ref().map_or_else(
                    || "those that the registry lists".to_owned(),
                    |jobs| {
                        let names: Vec<String> = jobs.iter().map(Principal::to_text).collect();
                        names.join(" ")
                    },
                );
                say(&format!(
                    "ok: {}, {} models, jobs canisters: {jobs}",
                    settings.config.display(),
                    config.models.len(),
                ));
                exit::OK
            }
            Err(error) => refuse(&error, config_code(&error)),
        },
        Command::Config(ConfigCommand::Example) => {
            say(config::EXAMPLE.trim_end());
            exit::OK
        }
        Command::Identity(IdentityCommand::New { out }) => show(identity::create(&out)),
        Command::Identity(IdentityCommand::Show { pem }) => show(identity::load(&pem)),
    }
}

async fn models(config: &Config, license: &str) -> u8 {
    for settings in &config.models {
        match registration::of(settings, license).await {
            Ok(manifest) => say(&registration::candid(&manifest)),
            Err(error) => return refuse(&error, error.code()),
        }
    }
    exit::OK
}

fn show(key: Result<identity::Key, identity::IdentityError>) -> u8 {
    match key {
        Ok(key) => {
            say(&key.principal.to_text());
            exit::OK
        }
        Err(error) => refuse(&error, exit::CREDENTIALS),
    }
}

fn serve(config: &Config, until_stdin_closes: bool) -> u8 {
    if let Err(error) = log::start(config.log_format, &config.log_level) {
        return refuse(&error, exit::USAGE);
    }
    if let Some(cheat) = config.cheat {
        cheat.shout(
            "this worker misbehaves on purpose, for a demonstration; never run it so for real",
        );
    }
    block_on(async {
        let (sender, stop) = watch::channel(false);
        if until_stdin_closes {
            stop_with_stdin(sender.clone());
        }
        tokio::spawn(signals(sender));
        let mut stopped = stop.clone();
        let worker = tokio::select! {
            worker = setup::worker(config) => worker,
            _ = stopped.wait_for(|stop| *stop) => return exit::OK,
        };
        match worker {
            Ok(worker) => match run::serve(worker, stop).await {
                Ok(_) => exit::OK,
                Err(error) => refuse(&error, error.code()),
            },
            Err(error) => refuse(&error, error.code()),
        }
    })
}

/// The first signal asks to stop, the second does not ask.
async fn signals(stop: watch::Sender<bool>) {
    for count in 0.. {
        signal().await;
        if count > 0 {
            tracing::warn!("a second signal: ending at once");
            std::process::exit(exit::KILLED.into());
        }
        stop.send_replace(true);
    }
}

/// Asks to stop when standard input ends. On a thread of its own, because reading it cannot be cancelled.
fn stop_with_stdin(stop: watch::Sender<bool>) {
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        stop.send_replace(true);
    });
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be received; stop this worker with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

fn block_on(work: impl Future<Output = u8>) -> u8 {
    match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            // A computation that nobody waits for any more must not hold up the end.
            runtime.shutdown_background();
            code
        }
        Err(error) => refuse(&error, exit::FAILED),
    }
}

fn config_code(error: &ConfigError) -> u8 {
    match error {
        ConfigError::Untrusted { .. } => exit::CREDENTIALS,
        _ => exit::USAGE,
    }
}

pub(crate) fn refuse(error: &dyn std::error::Error, code: u8) -> u8 {
    use std::io::Write as _;
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "assay-worker: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(stderr, ": {cause}");
        source = cause.source();
    }
    let _ = writeln!(stderr);
    code
}

/// Data, to standard output.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    // A reader that went away (`| head`) is no failure.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use expect_test::expect_file;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_its_help_names_the_exit_codes() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        for code in [
            exit::OK,
            exit::FAILED,
            exit::USAGE,
            exit::CREDENTIALS,
            exit::STATE,
            exit::MODEL,
            exit::DEVICE,
            exit::KILLED,
        ] {
            assert!(help.contains(&format!("\n  {code} ")), "{help}");
        }
    }

    #[test]
    fn flags_that_override_the_file_are_read() {
        let cli = Cli::try_parse_from([
            "assay-worker",
            "run",
            "--config",
            "w.toml",
            "--slots",
            "4",
            "--log-format",
            "json",
        ])
        .unwrap();
        let Command::Run { settings, .. } = cli.command else {
            panic!("not run")
        };
        assert_eq!(settings.config, PathBuf::from("w.toml"));
        assert_eq!(
            (settings.overrides.slots, settings.overrides.log_format),
            (Some(4), Some(log::Format::Json))
        );
    }

    #[test]
    fn help_is_as_published() {
        let mut command = Cli::command();
        let mut text = command.render_long_help().to_string();
        for name in command
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set())
            .map(|sub| sub.get_name().to_owned())
            .collect::<Vec<_>>()
        {
            let sub = command
                .find_subcommand_mut(&name)
                .expect("a command just listed");
            // The environment of whoever runs the tests is not part of the help.
            text.push_str(&format!(
                "\n# {name}\n\n{}",
                sub.clone()
                    .mut_args(|arg| arg.hide_env_values(true))
                    .render_long_help()
            ));
        }
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        expect_file!["../help.txt"].assert_eq(&(lines.join("\n") + "\n"));
    }
}
