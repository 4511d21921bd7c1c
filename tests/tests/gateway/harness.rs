//! A live network with a canister of pages and a gateway, and requests to them.

use assay_tests::{
    http::{self, Answer},
    module, networks, packed,
};
use candid::{Principal, encode_one};
use pocket_ic::PocketIc;

/// A canister on a live network with a gateway.
pub(crate) struct Site {
    pub(crate) network: PocketIc,
    pub(crate) id: Principal,
    port: u16,
}

/// The module of a canister with one more section.
pub(crate) fn module_with_section(name: &str, section: &str, content: &[u8]) -> Vec<u8> {
    let mut module = module(name);
    let mut custom = vec![u8::try_from(section.len()).unwrap()];
    custom.extend(section.as_bytes());
    custom.extend(content);
    let length = u8::try_from(custom.len()).unwrap();
    assert!(length < 128, "one byte holds the length");
    module.extend([0, length]);
    module.extend(custom);
    module
}

impl Site {
    /// A running canister of this module.
    pub(crate) fn start(module: Vec<u8>, arg: Vec<u8>) -> Self {
        let mut network = networks()
            .with_nns_subnet()
            .with_application_subnet()
            .build();
        let port = network
            .make_live(None)
            .port()
            .expect("a gateway has a port");
        let id = network.create_canister();
        network.install_canister(id, module, arg, None);
        Self { network, id, port }
    }

    /// The canister of pages.
    pub(crate) fn pages() -> Self {
        Self::start(packed("pages"), encode_one(()).unwrap())
    }

    /// What clients must trust.
    pub(crate) fn root_key(&self) -> Vec<u8> {
        self.network.root_key().expect("there is an NNS subnet")
    }

    /// Where the gateway listens.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The canister's host.
    pub(crate) fn host(&self) -> String {
        format!("{}.localhost:{}", self.id, self.port)
    }

    /// The host at which nothing is verified.
    pub(crate) fn raw_host(&self) -> String {
        format!("{}.raw.localhost:{}", self.id, self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// GET at the canister's host.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", &self.host(), path, &[], b"")
    }

    /// GET at the host where nothing is verified.
    pub(crate) fn get_raw(&self, path: &str) -> Answer {
        self.ask("GET", &self.raw_host(), path, &[], b"")
    }

    /// One request on a connection of its own.
    pub(crate) fn ask(
        &self,
        method: &str,
        host: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Answer {
        http::ask(&self.address(), method, host, path, headers, body)
    }

    /// Says these bytes, and reads the answer to the end.
    pub(crate) fn say(&self, head: &[u8], body: &[u8]) -> Answer {
        http::say(&self.address(), head, body)
    }
}

/// Checks a refusal: its status, and what it says.
#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16, says: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(says), "{}", answer.text());
}
