//! A server of networks, for the clients of PocketIC.
//!
//! A client that starts it names a port file. Several tests of one process do so at once with the same file: the first
//! server makes it, and the others leave at once. When the server listens, it writes its port there, and it takes the
//! file away when it ends.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, Write},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use assay_localnet::{
    OutcallPolicy,
    pic::{PicConfig, PicServer},
};
use clap::Parser;

use crate::{Ending, start_log};

/// The version of the PocketIC server whose interface this is, unless [`VERSION_VARIABLE`] names another.
const POCKET_IC_VERSION: &str = "16.1.0";

/// For clients of other versions, which insist on their own.
const VERSION_VARIABLE: &str = "ASSAY_POCKET_IC_VERSION";

/// A server of local Internet Computer networks that speaks as PocketIC servers do.
///
/// It is started by the clients of PocketIC, which find it through POCKET_IC_BIN. It ends when nobody has asked for
/// anything for a while. Clients of other versions than 16.1 check the version that --version prints: set
/// ASSAY_POCKET_IC_VERSION to theirs.
///
/// Canisters of live networks may send HTTP requests to this machine; ASSAY_LOCALNET_OUTCALLS=any lets them send to any
/// other, and none to nobody.
#[derive(Debug, Parser)]
#[command(name = "pocket-ic", disable_version_flag = true)]
struct Args {
    /// File to write the port to; if it is there already, another server has been started and this one leaves
    #[arg(long)]
    port_file: Option<PathBuf>,
    /// TCP port to listen on; 0 takes any that is free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    ip_addr: IpAddr,
    /// Seconds without any request after which the server ends
    #[arg(long, default_value_t = 60)]
    ttl: u64,
    /// Seconds after which the server ends in any case
    #[arg(long)]
    hard_ttl: Option<u64>,
    /// What to log on standard error, as RUST_LOG has it
    #[arg(long, default_value = "warn")]
    log_levels: String,
    /// Folder for compiled modules, which must be this user's own; by default one in this user's cache
    #[arg(long)]
    module_cache: Option<PathBuf>,
}

/// The line that clients check.
pub(crate) fn version() -> String {
    let claimed = std::env::var(VERSION_VARIABLE)
        .ok()
        .filter(|version| !version.is_empty())
        .unwrap_or_else(|| POCKET_IC_VERSION.to_owned());
    format!(
        "pocket-ic-server {claimed}+localnet.{}",
        env!("CARGO_PKG_VERSION")
    )
}

pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<()> {
    let Args {
        port_file,
        port,
        ip_addr,
        ttl,
        hard_ttl,
        log_levels,
        module_cache,
    } = Args::parse_from(arguments);
    let outcalls = OutcallPolicy::from_environment()?;
    let file = match port_file {
        Some(path) => match PortFile::create(path)? {
            Some(file) => Some(file),
            None => return Ok(()),
        },
        None => None,
    };
    start_log(&log_levels);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the server's threads")?;
    runtime.block_on(async {
        let mut ending = Ending::new().context("cannot wait for signals")?;
        let server = PicServer::bind(PicConfig {
            bind: ip_addr,
            port,
            ttl: Duration::from_secs(ttl),
            hard_ttl: hard_ttl.map(Duration::from_secs),
            module_cache: module_cache.or_else(usual_cache),
            outcalls,
        })
        .await?;
        let port = server.address().port();
        // Whoever started it may not listen.
        let _ = writeln!(
            io::stdout(),
            "{} is listening on port {port}",
            env!("CARGO_PKG_NAME")
        );
        if let Some(file) = &file {
            file.write(port)?;
        }
        server
            .run(async {
                ending.wait().await;
            })
            .await;
        anyhow::Ok(())
    })?;
    // Instances that still compute do not hold the program up.
    runtime.shutdown_background();
    Ok(())
}

/// Where this user's programs keep what can be made again.
fn usual_cache() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("ASSAY_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("assay")))
        .or_else(|| set("HOME").map(|folder| folder.join(".cache/assay")))
        .map(|folder| folder.join("modules"))
}

/// The file that tells a client the port; it goes when the server does.
#[derive(Debug)]
struct PortFile {
    path: PathBuf,
}

impl PortFile {
    /// Makes the file; `None` where it is there already.
    fn create(path: PathBuf) -> anyhow::Result<Option<Self>> {
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(_) => Ok(Some(Self { path })),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error).with_context(|| cannot_write(&path)),
        }
    }

    /// The line's end tells the client that it is whole.
    fn write(&self, port: u16) -> anyhow::Result<()> {
        fs::write(&self.path, format!("{port}\n")).with_context(|| cannot_write(&self.path))
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write the port file {}", path.display())
}

impl Drop for PortFile {
    fn drop(&mut self) {
        // Somebody may have taken it away already.
        let _ = fs::remove_file(&self.path);
    }
}
