//! `assay-localnet`: a local network, or a server of networks that speaks as PocketIC servers do.
//!
//! Clients of PocketIC start the program that they are given with `--port-file`; that, or being called `pocket-ic`,
//! chooses the server. `icp network start` is told by its `--interface-version`. Anything else is the plain network.

mod plain;
mod pocket_ic;

use std::{
    ffi::OsStr,
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use assay_localnet::launcher;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let (program, rest) = match arguments.split_first() {
        Some((program, rest)) => (program.as_os_str(), rest),
        None => (OsStr::new("assay-localnet"), [].as_slice()),
    };
    let result = if rest == [OsStr::new("--version")] {
        print_version()
    } else if is_pocket_ic(program) || rest.iter().any(|argument| is_port_file(argument)) {
        pocket_ic::run(&arguments)
    } else if launcher::is_asked_for(rest) {
        plain::launch(rest)
    } else {
        plain::run(&arguments)
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Clients check it before they start the server, by whatever name.
fn print_version() -> anyhow::Result<()> {
    writeln!(io::stdout(), "{}", pocket_ic::version())?;
    Ok(())
}

fn is_pocket_ic(program: &OsStr) -> bool {
    Path::new(program)
        .file_name()
        .and_then(OsStr::to_str)
        .is_some_and(|name| name.starts_with("pocket-ic"))
}

fn is_port_file(argument: &OsStr) -> bool {
    argument
        .to_str()
        .is_some_and(|text| text == "--port-file" || text.starts_with("--port-file="))
}

/// Talk on standard error; `levels` where RUST_LOG says nothing.
fn start_log(levels: &str) {
    let filter = EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(levels))
        .unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// The signals that end the program.
struct Ending {
    interrupt: Signal,
    terminate: Signal,
}

impl Ending {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for one; gives the exit code of those who do not end properly.
    async fn wait(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}
