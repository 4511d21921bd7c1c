//! The arguments of a launcher, by version 1 of `icp`'s interface.
//!
//! Arguments that a newer version has and this one does not are skipped, as the interface asks for; of the versions that
//! are known, every argument is.

use std::{ffi::OsString, net::IpAddr, path::PathBuf, time::Duration};

use assay_localnet_core::topology::SubnetKind;
use thiserror::Error;

/// Says which version of the interface `icp` speaks.
pub(super) const VERSION_FLAG: &str = "--interface-version";
/// The newest version that is known here.
const KNOWN: (u64, u64, u64) = (1, 1, 0);
/// The address that `icp` means where it names none.
const BIND_DEFAULT: &str = "127.0.0.1";

/// What `icp` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// The address to listen on.
    pub bind: IpAddr,
    /// The port; 0 takes any that is free.
    pub gateway_port: u16,
    /// Where the status file goes.
    pub status_dir: PathBuf,
    /// Where the network is kept; in memory only without.
    pub state_dir: Option<PathBuf>,
    /// The subnets.
    pub subnets: Vec<SubnetKind>,
    /// Domains below which canisters are web sites, beside localhost.
    pub domains: Vec<String>,
    /// The shortest time between two rounds.
    pub round_interval: Option<Duration>,
    /// Whether to say more.
    pub verbose: bool,
}

/// Why the arguments do not make sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArgsError {
    /// No version of the interface.
    #[error("{VERSION_FLAG} is missing; this mode is for `icp network start`")]
    NoVersion,
    /// A version that cannot be spoken.
    #[error(
        "{VERSION_FLAG} {found} is not known here, only 1.x.y is; use another release of this launcher"
    )]
    Version {
        /// The version.
        found: String,
    },
    /// No such argument.
    #[error("unknown argument {name}; the launcher interface 1.1.0 has none of this name")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// An argument without its value.
    #[error("{name} needs a value")]
    NoValue {
        /// Its name.
        name: String,
    },
    /// A value that is no value.
    #[error("{name} {value:?}: {reason}")]
    Value {
        /// The argument's name.
        name: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nowhere to write the status.
    #[error("--status-dir is missing; icp waits for a file there")]
    NoStatusDir,
    /// Something that this network does not have.
    #[error("{name}: this network has no {what}; take it out of the network in icp.yaml")]
    Absent {
        /// The argument's name.
        name: String,
        /// What it does not have.
        what: &'static str,
    },
}

impl Args {
    /// Reads arguments; the version may come from elsewhere.
    pub(super) fn parse(args: &[OsString], version: Option<String>) -> Result<Self, ArgsError> {
        let args: Vec<String> = args
            .iter()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect();
        let pairs = Pairs::of(&args);
        let version = pairs
            .iter()
            .find(|pair| pair.name == VERSION_FLAG)
            .map(|pair| pair.value.clone())
            .unwrap_or(version)
            .ok_or(ArgsError::NoVersion)?;
        let newer = read_version(&version)? > KNOWN;
        let mut bind = None;
        let mut gateway_port = 0;
        let mut status_dir = None;
        let mut subnets = Vec::new();
        let mut domains = Vec::new();
        let mut state_dir = None;
        let mut round_interval = None;
        let mut verbose = false;
        for pair in pairs {
            match pair.name.as_str() {
                VERSION_FLAG => {
                    pair.text()?;
                }
                "--state-dir" => state_dir = Some(PathBuf::from(pair.text()?)),
                "--domain" => domains.push(pair.text()?),
                "--bind" => bind = Some(pair.text()?),
                "--gateway-port" => gateway_port = pair.parsed("is no port")?,
                "--status-dir" => status_dir = Some(PathBuf::from(pair.text()?)),
                "--artificial-delay-ms" => {
                    let millis = pair.parsed("is no number of milliseconds")?;
                    round_interval = Some(Duration::from_millis(millis));
                }
                "--subnet" => subnets.push(pair.subnet()?),
                "--verbose" => verbose = true,
                "--ii" => return Err(pair.absent("Internet Identity")),
                "--nns" => return Err(pair.absent("governance canisters")),
                "--bitcoind-addr" => return Err(pair.absent("Bitcoin integration")),
                "--dogecoind-addr" => return Err(pair.absent("Dogecoin integration")),
                _ if newer => {}
                _ => return Err(ArgsError::Unknown { name: pair.name }),
            }
        }
        let bind = bind.unwrap_or_else(|| BIND_DEFAULT.to_owned());
        Ok(Self {
            bind: match bind.as_str() {
                "localhost" => BIND_DEFAULT,
                other => other,
            }
            .parse()
            .map_err(|_| ArgsError::Value {
                name: "--bind".to_owned(),
                value: bind.clone(),
                reason: "is no address".to_owned(),
            })?,
            gateway_port,
            status_dir: status_dir.ok_or(ArgsError::NoStatusDir)?,
            state_dir,
            subnets,
            domains,
            round_interval,
            verbose,
        })
    }
}

/// An argument and what follows it, which is its value unless it takes none.
#[derive(Clone, Debug)]
struct Pair {
    name: String,
    value: Option<String>,
}

struct Pairs;

impl Pairs {
    /// Takes arguments apart, in both ways of writing a value.
    fn of(args: &[String]) -> Vec<Pair> {
        let mut pairs: Vec<Pair> = Vec::new();
        for arg in args {
            match (arg.strip_prefix("--"), pairs.last_mut()) {
                (None, Some(last)) if last.value.is_none() => last.value = Some(arg.clone()),
                _ => pairs.push(match arg.split_once('=') {
                    Some((name, value)) => Pair {
                        name: name.to_owned(),
                        value: Some(value.to_owned()),
                    },
                    None => Pair {
                        name: arg.clone(),
                        value: None,
                    },
                }),
            }
        }
        pairs
    }
}

impl Pair {
    fn text(self) -> Result<String, ArgsError> {
        self.value.ok_or(ArgsError::NoValue { name: self.name })
    }

    fn parsed<T: std::str::FromStr>(self, reason: &str) -> Result<T, ArgsError> {
        let name = self.name.clone();
        let value = self.text()?;
        value.parse().map_err(|_| ArgsError::Value {
            name,
            value: value.clone(),
            reason: reason.to_owned(),
        })
    }

    fn subnet(self) -> Result<SubnetKind, ArgsError> {
        let name = self.name.clone();
        let value = self.text()?;
        match value.as_str() {
            "application" => Ok(SubnetKind::Application),
            "system" => Ok(SubnetKind::System),
            "verified-application" => Ok(SubnetKind::VerifiedApplication),
            "bitcoin" => Ok(SubnetKind::Bitcoin),
            "fiduciary" => Ok(SubnetKind::Fiduciary),
            "nns" => Ok(SubnetKind::Nns),
            "sns" => Ok(SubnetKind::Sns),
            _ => Err(ArgsError::Value {
                name,
                value,
                reason: "is no kind of subnet; there are application, system, verified-application, bitcoin, \
                         fiduciary, nns and sns"
                    .to_owned(),
            }),
        }
    }

    fn absent(self, what: &'static str) -> ArgsError {
        ArgsError::Absent {
            name: self.name,
            what,
        }
    }
}

/// A version that this launcher can speak: 1, a minor and a patch version.
fn read_version(version: &str) -> Result<(u64, u64, u64), ArgsError> {
    let wrong = || ArgsError::Version {
        found: version.to_owned(),
    };
    let mut parts = version.splitn(3, '.').map(|part| {
        let digits = part.split(['-', '+']).next().unwrap_or(part);
        digits.parse::<u64>().map_err(|_| wrong())
    });
    let mut next = || parts.next().ok_or_else(wrong)?;
    match (next()?, next()?, next()?) {
        version @ (1, _, _) => Ok(version),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn parse(line: &str) -> Result<Args, ArgsError> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        Args::parse(&args, None)
    }

    #[test]
    fn what_icp_passes_is_read() {
        let args = parse(
            "--interface-version 1.1.0 --state-dir /s --bind 127.0.0.1 --gateway-port 8000 --status-dir /t --verbose \
             --artificial-delay-ms=20 --subnet=application --subnet=verified-application --domain=localhost",
        );
        assert_eq!(
            args,
            Ok(Args {
                bind: IpAddr::from([127, 0, 0, 1]),
                gateway_port: 8000,
                status_dir: PathBuf::from("/t"),
                state_dir: Some(PathBuf::from("/s")),
                subnets: vec![SubnetKind::Application, SubnetKind::VerifiedApplication],
                domains: vec!["localhost".to_owned()],
                round_interval: Some(Duration::from_millis(20)),
                verbose: true,
            })
        );
    }

    #[test]
    fn the_port_and_the_address_may_be_left_out() {
        let args = parse("--interface-version 1.0.0 --status-dir /t").unwrap();
        assert_eq!((args.gateway_port, args.bind), (0, [127, 0, 0, 1].into()));
        let args = parse("--interface-version=1.0.0 --status-dir=/t --bind=localhost").unwrap();
        assert_eq!(args.bind, IpAddr::from([127, 0, 0, 1]));
    }

    #[test]
    fn the_version_may_come_from_the_environment() {
        let args = [OsString::from("--status-dir=/t")];
        assert_eq!(Args::parse(&args, None), Err(ArgsError::NoVersion));
        assert!(Args::parse(&args, Some("1.1.0".to_owned())).is_ok());
    }

    #[test]
    fn a_newer_version_may_have_unknown_arguments() {
        let line = "--status-dir /t --new --newer=1 --newest 2";
        assert!(parse(&format!("--interface-version 1.2.0 {line}")).is_ok());
        assert!(parse(&format!("--interface-version 1.1.1 {line}")).is_ok());
        assert_eq!(
            parse(&format!("--interface-version 1.1.0 {line}")),
            Err(ArgsError::Unknown {
                name: "--new".to_owned()
            })
        );
    }

    fn check(line: &str, error: Expect) {
        error.assert_eq(&parse(line).unwrap_err().to_string());
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused_with_the_next_step() {
        check(
            "--status-dir /t",
            expect!["--interface-version is missing; this mode is for `icp network start`"],
        );
        check(
            "--interface-version 2.0.0 --status-dir /t",
            expect![
                "--interface-version 2.0.0 is not known here, only 1.x.y is; use another release of this launcher"
            ],
        );
        check(
            "--interface-version 1.1.0",
            expect!["--status-dir is missing; icp waits for a file there"],
        );
        check(
            "--interface-version 1.1.0 --status-dir /t --gateway-port 70000",
            expect![[r#"--gateway-port "70000": is no port"#]],
        );
        check(
            "--interface-version 1.1.0 --status-dir /t --bind nowhere",
            expect![[r#"--bind "nowhere": is no address"#]],
        );
        check(
            "--interface-version 1.1.0 --status-dir",
            expect!["--status-dir needs a value"],
        );
        check(
            "--interface-version 1.1.0 --status-dir /t --ii",
            expect![
                "--ii: this network has no Internet Identity; take it out of the network in icp.yaml"
            ],
        );
        check(
            "--interface-version 1.1.0 --status-dir /t --subnet=moon",
            expect![[
                r#"--subnet "moon": is no kind of subnet; there are application, system, verified-application, bitcoin, fiduciary, nns and sns"#
            ]],
        );
    }
}
