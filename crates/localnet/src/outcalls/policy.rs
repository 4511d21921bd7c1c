//! Where outcalls may go, and to which addresses a URL leads.
//!
//! Names are resolved once, every address is judged, and a connection goes to one of those addresses: a name that leads
//! elsewhere the next time leads nowhere.

use std::{fmt, net::IpAddr, str::FromStr};

use axum::http::{Uri, uri::Scheme};
use thiserror::Error;

use super::failure::Failure;

/// The environment variable that names a policy.
pub const POLICY_VARIABLE: &str = "ASSAY_LOCALNET_OUTCALLS";

/// Where the HTTP requests of canisters may go while a network is live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutcallPolicy {
    /// Anywhere.
    Any,
    /// To this machine only: every address of the target must be a loopback address.
    #[default]
    Loopback,
    /// Nowhere. Nothing is sent or refused: requests wait for an answer from outside, or until their time is up.
    None,
}

/// A policy that there is not.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no policy for outcalls ({POLICY_VARIABLE}); there are any, loopback and none")]
pub struct PolicyError {
    /// What was given.
    pub text: String,
}

impl FromStr for OutcallPolicy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        match text {
            "any" => Ok(Self::Any),
            "loopback" => Ok(Self::Loopback),
            "none" => Ok(Self::None),
            _ => Err(PolicyError {
                text: text.chars().take(40).collect(),
            }),
        }
    }
}

impl fmt::Display for OutcallPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Loopback => "loopback",
            Self::None => "none",
        })
    }
}

impl OutcallPolicy {
    /// The policy that the environment names, else the usual one.
    ///
    /// # Errors
    /// Where it names one that there is not.
    pub fn from_environment() -> Result<Self, PolicyError> {
        match std::env::var_os(POLICY_VARIABLE) {
            Some(text) if !text.is_empty() => text.to_string_lossy().parse(),
            _ => Ok(Self::default()),
        }
    }

    /// Whether a connection to this address may be made.
    pub(super) fn permits(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            // An IPv4 address in the clothes of IPv6 reaches what the IPv4 address does.
            Self::Loopback => address.to_canonical().is_loopback(),
            Self::None => false,
        }
    }

    /// Refuses a target that has an address where nothing may go.
    pub(super) fn check(self, host: &str, addresses: &[IpAddr]) -> Result<(), Failure> {
        match addresses.iter().find(|address| !self.permits(**address)) {
            Some(address) => Err(Failure::Refused {
                host: host.to_owned(),
                address: *address,
            }),
            None => Ok(()),
        }
    }
}

/// What a URL says of where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The name or address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    /// What the server is told that it is asked as.
    pub(super) authority: String,
    /// What the server is asked for.
    pub(super) path: String,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, Failure> {
        let uri = url
            .parse::<Uri>()
            .map_err(|error| Failure::Url(format!("Failed to parse URL: {error}")))?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => {
                return Err(Failure::Url(
                    "Url need to specify https scheme, or http on this network".to_owned(),
                ));
            }
        };
        let named = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| Failure::Url("Failed to parse URL: it names no host".to_owned()))?;
        let usual = if tls { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(usual);
        let host = named
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(named);
        Ok(Self {
            host: host.to_owned(),
            port,
            tls,
            authority: if port == usual {
                named.to_owned()
            } else {
                format!("{named}:{port}")
            },
            path: uri
                .path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string),
        })
    }

    /// The addresses that the target has now, all of them permitted.
    pub(super) async fn resolve(&self, policy: OutcallPolicy) -> Result<Vec<IpAddr>, Failure> {
        let addresses = match self.host.parse() {
            Ok(address) => vec![address],
            Err(_) => {
                let failed = |reason: String| Failure::Resolve {
                    host: self.host.clone(),
                    reason,
                };
                let found = tokio::net::lookup_host((self.host.as_str(), self.port))
                    .await
                    .map_err(|error| failed(error.to_string()))?;
                let addresses: Vec<_> = found.map(|address| address.ip()).collect();
                if addresses.is_empty() {
                    return Err(failed("it has no address".to_owned()));
                }
                addresses
            }
        };
        policy.check(&self.host, &addresses)?;
        Ok(addresses)
    }
}
