//! One local network on one port, or the one that `icp network start` asks for, until it is interrupted.

use std::{
    ffi::OsString,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use anyhow::Context;
use assay_localnet::{
    Localnet, LocalnetConfig, OutcallPolicy, POLICY_VARIABLE,
    launcher::{self, Launched},
    seed_from_text,
};
use clap::Parser;

use crate::{Ending, start_log};

/// A local Internet Computer network for development and tests.
///
/// Prints its address and root key on standard output when it can be reached, and runs until it is interrupted. State is
/// kept in memory only, unless --state-dir names a folder for it. Set RUST_LOG=debug for a line per request.
///
/// With ICP_CLI_NETWORK_LAUNCHER_PATH pointing to this program, `icp network start` starts it as its network; with
/// --interface-version it takes the arguments of that.
///
/// With POCKET_IC_BIN pointing to this program, the clients of PocketIC start it as their server; with --port-file it
/// takes the arguments of that.
#[derive(Debug, Parser)]
#[command(name = "assay-localnet", version)]
struct Args {
    /// TCP port to listen on; 0 takes any that is free
    #[arg(long, default_value_t = 4943)]
    port: u16,
    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// Any text; the network's keys and all random bytes in it follow from this
    #[arg(long, default_value = "")]
    seed: String,
    /// Folder for compiled modules, which must be this user's own
    #[arg(long)]
    module_cache: Option<PathBuf>,
    /// Folder that keeps the network; started with it again, the network goes on where it ended
    #[arg(long)]
    state_dir: Option<PathBuf>,
    /// Where the HTTP requests of canisters may go: any, loopback (this machine) or none; any where nothing is said
    #[arg(
        long,
        value_name = "WHERE",
        env = POLICY_VARIABLE,
        default_value_t,
        num_args = 0..=1,
        default_missing_value = "any"
    )]
    allow_outcalls: OutcallPolicy,
}

pub(crate) fn launch(arguments: &[OsString]) -> anyhow::Result<()> {
    let args = launcher::Args::read(arguments)?;
    start_log(if args.verbose { "info" } else { "warn" });
    until_ended(
        || Ok(Launched::start(args)?),
        |launched| writeln!(io::stdout(), "url  {}", launched.network().url()),
        Launched::shutdown,
    )
}

pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<()> {
    let Args {
        port,
        bind,
        seed,
        module_cache,
        state_dir,
        allow_outcalls,
    } = Args::parse_from(arguments);
    start_log("warn");
    until_ended(
        || {
            Ok(Localnet::start(LocalnetConfig {
                port,
                bind,
                seed: seed_from_text(&seed),
                module_cache,
                state_dir,
                outcalls: allow_outcalls,
                ..LocalnetConfig::default()
            })?)
        },
        announce,
        Localnet::shutdown,
    )
}

/// Starts something, and ends it on an interrupt.
fn until_ended<T: Send + 'static>(
    start: impl FnOnce() -> anyhow::Result<T>,
    announce: impl FnOnce(&T) -> io::Result<()>,
    shutdown: impl FnOnce(T) + Send + 'static,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot wait for signals")?;
    runtime.block_on(async {
        let mut ending = Ending::new().context("cannot wait for signals")?;
        let network = start()?;
        announce(&network).context("cannot write to standard output")?;
        ending.wait().await;
        // A long message may be running; a second signal does not wait for it.
        let ended = tokio::task::spawn_blocking(move || shutdown(network));
        tokio::select! {
            _ = ended => Ok(()),
            code = ending.wait() => std::process::exit(code),
        }
    })
}

fn announce(network: &Localnet) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "url       {}", network.url())?;
    writeln!(out, "root key  {}", hex::encode(network.root_key()))?;
    writeln!(out, "subnet    {}", network.application_subnet_id())?;
    writeln!(out, "create    {}", network.default_effective_canister())?;
    out.flush()
}
