//! Hosts, certificates and canisters' answers.

use candid::Principal;

use super::{
    host::{Domains, Place},
    verify,
    wire::{self, Header, HttpResponse},
};

/// The host name that stands for a canister here.
const ALIAS: &str = "friendly.example";

/// Reads what comes to the gateway from a browser or a canister. The first line is `host`, and then host, query and referer
/// follow, one a line; or `headers`, and a header follows on each line; or `reply`, and then a canister's reply. Whether it
/// was understood; `None` where the first line is something else.
///
/// # Panics
/// Where a host leads to a canister that it does not name.
pub fn gateway(bytes: &[u8]) -> Option<bool> {
    let at = bytes.iter().position(|byte| *byte == b'\n')?;
    let (what, rest) = (&bytes[..at], &bytes[at + 1..]);
    match what {
        b"host" => host(std::str::from_utf8(rest).ok()?),
        b"headers" => {
            let headers: Vec<Header> = std::str::from_utf8(rest)
                .ok()?
                .lines()
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            Some(verify::measure(&headers).is_ok())
        }
        b"reply" => Some(wire::read::<HttpResponse>(rest).is_ok()),
        _ => None,
    }
}

fn host(text: &str) -> Option<bool> {
    let domains = Domains::new(["localhost", "example.org"]).ok()?;
    let canister = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 7, 1, 1]);
    domains.set_aliases([(ALIAS, canister)]).ok()?;
    let mut lines = text.lines();
    let (host, query, referer) = (lines.next()?, lines.next(), lines.next());
    match domains.resolve(host, query, referer) {
        Ok(Place::Canister { id, .. }) => {
            let named = text.to_ascii_lowercase();
            let aliased = id == canister && named.contains(ALIAS);
            assert!(
                aliased || named.contains(&id.to_text()),
                "BUG: {id} is not named in {text:?}"
            );
            Some(true)
        }
        Ok(Place::Network) => Some(true),
        Err(_) => Some(false),
    }
}
