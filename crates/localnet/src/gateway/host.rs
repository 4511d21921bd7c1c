//! Which canister a request is for.
//!
//! A canister's own host name decides: `<id>.<domain>`, or `<id>.raw.<domain>` for unverified answers. On a domain itself
//! and on plain addresses, `?canisterId=<id>` names it, or the page from which the request comes did. Every other host
//! name is refused, so that a stranger's domain that resolves to this machine reaches no canister.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, RwLock},
};

use candid::Principal;
use thiserror::Error;

use super::limits::{ALIASES_MAX, DOMAINS_MAX};

/// Bytes of a host name.
const HOST_BYTES_MAX: usize = 253;

/// The domains that a gateway serves, and names that stand for one canister. Clones share the names.
#[derive(Clone, Debug)]
pub struct Domains {
    domains: Vec<String>,
    aliases: Arc<RwLock<BTreeMap<String, Principal>>>,
}

impl Default for Domains {
    /// `localhost`.
    fn default() -> Self {
        Self {
            domains: vec!["localhost".to_owned()],
            aliases: Arc::default(),
        }
    }
}

/// Why domains or names are not served.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DomainError {
    /// Not a host name.
    #[error(
        "`{0}` is no domain; write a host name such as `localhost`, without scheme, port and path"
    )]
    Malformed(String),
    /// Too many domains.
    #[error("more than {DOMAINS_MAX} domains")]
    TooManyDomains,
    /// Too many names.
    #[error("more than {ALIASES_MAX} names for canisters")]
    TooManyAliases,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A canister; raw answers are passed on unverified.
    Canister { id: Principal, raw: bool },
    /// The network itself.
    Network,
}

/// Why a request is for nothing here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum HostError {
    #[error("the request's host `{0}` is not a host name with an optional port")]
    Malformed(String),
    #[error("no canister is served at `{host}`")]
    Foreign { host: String, served: Vec<String> },
    #[error("`{label}` in the host `{host}` is no canister id")]
    NoCanisterId { host: String, label: String },
    #[error("`{0}` in the parameter canisterId is no canister id")]
    Parameter(String),
}

impl Domains {
    /// These domains, such as `localhost`. Addresses among them are left out, since every address is served.
    ///
    /// # Errors
    /// Where one is no host name, or there are too many.
    pub fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Result<Self, DomainError> {
        let mut domains = Vec::new();
        for (at, name) in names.into_iter().enumerate() {
            let name = name.as_ref();
            if at >= DOMAINS_MAX {
                return Err(DomainError::TooManyDomains);
            }
            if !is_address(name) {
                let domain =
                    host_name(name).ok_or_else(|| DomainError::Malformed(name.to_owned()))?;
                domains.push(domain);
            }
        }
        Ok(Self {
            domains,
            aliases: Arc::default(),
        })
    }

    /// Replaces the host names that stand for one canister each, verified. Takes effect at once, in all clones.
    ///
    /// # Errors
    /// Where one is no host name, or there are too many; then nothing changes.
    pub fn set_aliases<N: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = (N, Principal)>,
    ) -> Result<(), DomainError> {
        let mut aliases = BTreeMap::new();
        for (name, canister) in names {
            let name = host_name(name.as_ref())
                .ok_or_else(|| DomainError::Malformed(name.as_ref().to_owned()))?;
            aliases.insert(name, canister);
            if aliases.len() > ALIASES_MAX {
                return Err(DomainError::TooManyAliases);
            }
        }
        *self
            .aliases
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = aliases;
        Ok(())
    }

    /// Whether a host name stands for a canister.
    pub fn is_alias(&self, host: &str) -> bool {
        self.alias(host).is_some()
    }

    fn alias(&self, host: &str) -> Option<Principal> {
        self.aliases
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(host)
            .copied()
    }

    /// The domains.
    pub fn names(&self) -> &[String] {
        &self.domains
    }

    /// What a request is for: by its host, the query in its address, and the page from which it comes.
    pub(super) fn resolve(
        &self,
        host: &str,
        query: Option<&str>,
        referer: Option<&str>,
    ) -> Result<Place, HostError> {
        let name = without_port(host)
            .and_then(|name| {
                if is_address(name) {
                    Some(name.to_owned())
                } else {
                    host_name(name)
                }
            })
            .ok_or_else(|| HostError::Malformed(printable(host)))?;
        if is_address(&name) || self.domains.contains(&name) {
            return by_parameter(host, query, referer);
        }
        if let Some(id) = self.alias(&name) {
            return Ok(Place::Canister { id, raw: false });
        }
        let below = self
            .domains
            .iter()
            .filter_map(|domain| name.strip_suffix(domain)?.strip_suffix('.'))
            .min_by_key(|below| below.len());
        let foreign = || HostError::Foreign {
            host: name.clone(),
            served: self.domains.clone(),
        };
        let below = below.ok_or_else(foreign)?;
        let (label, raw) = match below.split_once('.') {
            None => (below, false),
            Some((label, "raw")) => (label, true),
            Some(_) => return Err(foreign()),
        };
        // Words before a double hyphen are for people.
        let label = label.rsplit("--").next().unwrap_or(label);
        match Principal::from_text(label) {
            Ok(id) => Ok(Place::Canister { id, raw }),
            Err(_) => Err(HostError::NoCanisterId {
                host: name.clone(),
                label: label.to_owned(),
            }),
        }
    }
}

fn by_parameter(
    host: &str,
    query: Option<&str>,
    referer: Option<&str>,
) -> Result<Place, HostError> {
    // Only a page of this very server speaks for what it loads.
    let from = referer.and_then(|referer| {
        let (authority, rest) = referer.split_once("://")?.1.split_once('/')?;
        let query = rest.split('#').next()?.split_once('?')?.1;
        (authority == host).then_some(query)
    });
    let named = query
        .and_then(parameter)
        .or_else(|| from.and_then(parameter));
    match named {
        None => Ok(Place::Network),
        Some(text) => Principal::from_text(text)
            .map(|id| Place::Canister { id, raw: false })
            .map_err(|_| HostError::Parameter(printable(text))),
    }
}

fn parameter(query: &str) -> Option<&str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(name, value)| (name == "canisterId").then_some(value))
}

fn without_port(host: &str) -> Option<&str> {
    let (name, port) = match host.rfind(']') {
        Some(end) => (&host[..=end], host[end + 1..].strip_prefix(':')),
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    match port {
        Some(port) if port.parse::<u16>().is_err() => None,
        Some(_) => Some(name),
        None => (name.len() == host.len()).then_some(name),
    }
}

fn is_address(name: &str) -> bool {
    match name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
    {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => name.parse::<Ipv4Addr>().is_ok(),
    }
}

/// A host name in lower case and without the dot of the root.
fn host_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let fits = !name.is_empty()
        && name.len() <= HOST_BYTES_MAX
        && name.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        });
    (fits && name.parse::<IpAddr>().is_err()).then_some(name)
}

/// The beginning of what came, for a message.
fn printable(text: &str) -> String {
    text.chars().take(80).collect()
}
