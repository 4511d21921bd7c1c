//! Which canister a request is for.
//!
//! A canister's own host name decides: `<id>.<domain>`, or `<id>.raw.<domain>` for unverified answers. On a domain itself
//! and on plain addresses, `?canisterId=<id>` names it, or the page from which the request comes did. Every other host
//! name is refused, so that a stranger's domain that resolves to this machine reaches no canister.

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

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ryjl3-tyaaa-aaaaa-aaaba-cai";

    fn canister(raw: bool) -> Result<Place, HostError> {
        Ok(Place::Canister {
            id: Principal::from_text(ID).unwrap(),
            raw,
        })
    }

    fn resolve(host: &str) -> Result<Place, HostError> {
        Domains::new(["localhost", "Test.Example."])
            .unwrap()
            .resolve(host, None, None)
    }

    #[test]
    fn a_host_name_names_a_canister() {
        for host in [
            "ryjl3-tyaaa-aaaaa-aaaba-cai.localhost",
            "RYJL3-tyaaa-aaaaa-aaaba-cai.LocalHost.:4943",
            "ryjl3-tyaaa-aaaaa-aaaba-cai.test.example:80",
            "shop--ryjl3-tyaaa-aaaaa-aaaba-cai.localhost",
            "my--shop--ryjl3-tyaaa-aaaaa-aaaba-cai.localhost:4943",
        ] {
            assert_eq!(resolve(host), canister(false), "{host}");
        }
        let raw = "ryjl3-tyaaa-aaaaa-aaaba-cai.raw.localhost:4943";
        assert_eq!(resolve(raw), canister(true));
    }

    #[test]
    fn a_domain_itself_and_plain_addresses_are_the_network() {
        for host in [
            "localhost",
            "localhost:4943",
            "test.example",
            "127.0.0.1:1",
            "10.1.2.3",
            "[::1]:4943",
        ] {
            assert_eq!(resolve(host), Ok(Place::Network), "{host}");
        }
    }

    #[test]
    fn on_the_network_a_parameter_or_the_page_names_a_canister() {
        let domains = Domains::default();
        let query = format!("a=1&canisterId={ID}&b");
        assert_eq!(
            domains.resolve("127.0.0.1:4943", Some(&query), None),
            canister(false)
        );
        let page = format!("http://127.0.0.1:4943/index.html?canisterId={ID}#top");
        assert_eq!(
            domains.resolve("127.0.0.1:4943", Some("v=2"), Some(&page)),
            canister(false)
        );
        assert_eq!(
            domains.resolve("localhost:4943", None, Some(&page)),
            Ok(Place::Network),
            "a page of another server decides nothing"
        );
        assert_eq!(
            domains.resolve("localhost", Some("canisterId=nonsense"), None),
            Err(HostError::Parameter("nonsense".to_owned()))
        );
        assert!(matches!(
            domains.resolve("example.com", Some(&query), None),
            Err(HostError::Foreign { .. })
        ));
    }

    #[test]
    fn other_hosts_are_refused() {
        for host in [
            "example.com",
            "localhost.example.com",
            "xlocalhost",
            "ryjl3-tyaaa-aaaaa-aaaba-cai.foo.localhost",
            "ryjl3-tyaaa-aaaaa-aaaba-cai.raw.raw.localhost",
            "a.ryjl3-tyaaa-aaaaa-aaaba-cai.localhost",
        ] {
            assert!(
                matches!(resolve(host), Err(HostError::Foreign { .. })),
                "{host}: {:?}",
                resolve(host)
            );
        }
        for host in [
            "raw.localhost",
            "foo.localhost",
            "ryjl3-tyaaa-aaaaa-aaaba-caj.localhost",
        ] {
            assert!(
                matches!(resolve(host), Err(HostError::NoCanisterId { .. })),
                "{host}"
            );
        }
        let long = format!("{}.localhost", "a".repeat(HOST_BYTES_MAX));
        for host in [
            "",
            ":80",
            "a b.localhost",
            "localhost:port",
            "localhost:99999",
            "[::1",
            "[::1]x",
            "a..localhost",
            "user@localhost",
            "<b>.localhost",
            &long,
        ] {
            assert!(
                matches!(resolve(host), Err(HostError::Malformed(_))),
                "{host}: {:?}",
                resolve(host)
            );
        }
    }

    #[test]
    fn names_stand_for_canisters_until_they_are_replaced() {
        let domains = Domains::default();
        let id = Principal::from_text(ID).unwrap();
        let clone = domains.clone();
        domains
            .set_aliases([("frontend.local.localhost", id)])
            .unwrap();
        assert_eq!(
            clone.resolve("frontend.local.localhost:8000", None, None),
            canister(false)
        );
        domains.set_aliases::<&str>([]).unwrap();
        assert!(
            clone
                .resolve("frontend.local.localhost", None, None)
                .is_err()
        );
        assert_eq!(
            domains.set_aliases([("http://x", id)]),
            Err(DomainError::Malformed("http://x".to_owned()))
        );
    }

    #[test]
    fn addresses_among_the_domains_are_served_anyway() {
        let domains = Domains::new(["127.0.0.1", "localhost", "[::1]"]).unwrap();
        assert_eq!(domains.names(), ["localhost"]);
        let none = Domains::new(["127.0.0.1"]).unwrap();
        assert_eq!(none.resolve("10.0.0.1", None, None), Ok(Place::Network));
    }

    #[test]
    fn domains_and_names_are_limited() {
        let names = |count: usize| (0..count).map(|at| format!("d{at}.test"));
        assert!(Domains::new(names(DOMAINS_MAX)).is_ok());
        assert_eq!(
            Domains::new(names(DOMAINS_MAX + 1)).err(),
            Some(DomainError::TooManyDomains)
        );
        for name in ["", "http://localhost", "localhost:80", "a/b"] {
            assert!(Domains::new([name]).is_err(), "{name}");
        }
        let id = Principal::anonymous();
        let domains = Domains::default();
        let pairs = |count| names(count).map(|name| (name, id));
        assert!(domains.set_aliases(pairs(ALIASES_MAX)).is_ok());
        assert_eq!(
            domains.set_aliases(pairs(ALIASES_MAX + 1)),
            Err(DomainError::TooManyAliases)
        );
    }
}
