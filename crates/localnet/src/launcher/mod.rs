//! The network as `icp network start` wants it: what `ICP_CLI_NETWORK_LAUNCHER_PATH` may point to.
//!
//! `icp` says by arguments (see `args`) which subnets and addresses there are to be, waits for one line in a status
//! file, and ends the network with an interrupt. The network has an NNS and an II subnet besides those asked for, and all
//! system canisters; the anonymous principal owns enough ICP and cycles for `icp` to hand out.
//!
//! State is kept in memory only, and `icp` begins with an empty state folder, so nothing is lost by that.

mod args;
mod names;

use std::{
    ffi::OsString,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use assay_localnet_core::{
    system::SystemPlan,
    topology::{SubnetKind, SubnetPlan},
};
use serde::Serialize;
use thiserror::Error;

use crate::{
    Localnet, LocalnetConfig, OutcallPolicy, PolicyError, StartError,
    gateway::{DomainError, Domains},
};

use self::names::Names;

pub use self::args::{Args, ArgsError};

/// The file in the status folder.
const STATUS_FILE: &str = "status.json";
/// The form of the status.
const STATUS_VERSION: &str = "1";
/// The variable by which containers are told the version of the interface.
const VERSION_VARIABLE: &str = "ICP_CLI_NETWORK_LAUNCHER_INTERFACE_VERSION";

/// Why there is no network for `icp`.
#[derive(Debug, Error)]
pub enum LauncherError {
    /// The arguments do not make sense.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// A domain that is none.
    #[error("--domain: {0}")]
    Domain(#[from] DomainError),
    /// The environment names no policy for outcalls that there is.
    #[error(transparent)]
    Outcalls(#[from] PolicyError),
    /// The network did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// `icp` cannot be told.
    #[error("cannot write {path}; is the status folder there?")]
    Status {
        /// The status file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// What `icp` reads when the network is ready.
#[derive(Debug, Serialize)]
struct Status {
    v: &'static str,
    gateway_port: u16,
    root_key: String,
    default_effective_canister_id: String,
    supported_features: Vec<&'static str>,
}

/// A network that `icp` has started.
#[derive(Debug)]
pub struct Launched {
    network: Localnet,
    status: PathBuf,
    _names: Names,
}

/// Whether these arguments, without the program's name, are those of a launcher.
pub fn is_asked_for(args: &[OsString]) -> bool {
    std::env::var_os(VERSION_VARIABLE).is_some()
        || args.iter().any(|arg| {
            let arg = arg.to_string_lossy();
            arg == args::VERSION_FLAG || arg.starts_with(&format!("{}=", args::VERSION_FLAG))
        })
}

impl Args {
    /// Reads the arguments, without the program's name, and the environment.
    ///
    /// # Errors
    /// Where one is missing, unknown, or asks for what this network does not have.
    pub fn read(args: &[OsString]) -> Result<Self, ArgsError> {
        Self::parse(args, std::env::var(VERSION_VARIABLE).ok())
    }
}

impl Launched {
    /// Starts a network and tells `icp`.
    ///
    /// # Errors
    /// Where the network does not start, or the status cannot be written.
    pub fn start(args: Args) -> Result<Self, LauncherError> {
        let Args {
            bind,
            gateway_port,
            status_dir,
            state_dir,
            subnets,
            domains,
            round_interval,
            verbose: _,
        } = args;
        let domains = Domains::new(std::iter::once("localhost".to_owned()).chain(domains))?;
        let network = Localnet::start(LocalnetConfig {
            port: gateway_port,
            bind,
            subnets: with_system(subnets),
            system: SystemPlan::seeded(),
            round_interval: round_interval.unwrap_or(Duration::ZERO),
            domains: domains.clone(),
            state_dir,
            outcalls: OutcallPolicy::from_environment()?,
            ..LocalnetConfig::default()
        })?;
        let names = Names::watch(&status_dir, domains).map_err(StartError::Thread)?;
        let status = status_dir.join(STATUS_FILE);
        tell(&network, &status).map_err(|source| LauncherError::Status {
            path: status.clone(),
            source,
        })?;
        Ok(Self {
            network,
            status,
            _names: names,
        })
    }

    /// The running network.
    pub const fn network(&self) -> &Localnet {
        &self.network
    }

    /// Ends the network.
    pub fn shutdown(self) {
        let Self {
            network,
            status,
            _names,
        } = self;
        // `icp` may have removed the folder already.
        let _ = fs::remove_file(status);
        network.shutdown();
    }
}

/// The subnets that the system canisters need, and those that are asked for; an application subnet where none is.
fn with_system(asked: Vec<SubnetKind>) -> Vec<SubnetPlan> {
    let mut kinds = vec![SubnetKind::Nns, SubnetKind::Ii];
    if asked.is_empty() {
        kinds.push(SubnetKind::Application);
    }
    kinds.extend(
        asked
            .into_iter()
            .filter(|kind| !matches!(kind, SubnetKind::Nns | SubnetKind::Ii)),
    );
    kinds.into_iter().map(SubnetPlan::of).collect()
}

/// One line; `icp` waits for its end.
fn tell(network: &Localnet, path: &Path) -> io::Result<()> {
    let status = Status {
        v: STATUS_VERSION,
        gateway_port: network.address().port(),
        root_key: hex::encode(network.root_key()),
        default_effective_canister_id: network.default_effective_canister().to_text(),
        supported_features: vec!["custom-domains"],
    };
    let mut line = serde_json::to_string(&status)?;
    line.push('\n');
    let mut file = fs::File::create(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_subnets_are_always_there_and_only_once() {
        let kinds = |asked: &[SubnetKind]| -> Vec<SubnetKind> {
            with_system(asked.to_vec())
                .into_iter()
                .map(|plan| plan.kind)
                .collect()
        };
        use SubnetKind::{Application, Fiduciary, Ii, Nns};
        assert_eq!(kinds(&[]), [Nns, Ii, Application]);
        assert_eq!(kinds(&[Nns, Fiduciary]), [Nns, Ii, Fiduciary]);
        assert_eq!(
            kinds(&[Application, Application]),
            [Nns, Ii, Application, Application]
        );
    }
}
