//! The network as the official client sees it, with every check of that client on: certificates, delegations and node
//! signatures are verified by code that knows nothing of how they were made.

mod canister;
mod identities;
mod interface;
mod network;
mod web;

use assay_localnet::{Localnet, LocalnetConfig};
use ic_agent::{Agent, AgentError, Identity, identity::BasicIdentity};

/// A network of its own for each test.
fn start() -> Localnet {
    Localnet::start(LocalnetConfig::default()).expect("any free port")
}

fn user(seed: u8) -> BasicIdentity {
    BasicIdentity::from_raw_key(&[seed; 32])
}

/// An agent that trusts the network's root key and verifies everything.
fn agent(network: &Localnet, identity: impl Identity + 'static) -> Agent {
    let agent = Agent::builder()
        .with_url(network.url())
        .with_identity(identity)
        .build()
        .unwrap();
    agent.set_root_key(network.root_key());
    agent
}

/// The status and text of an HTTP refusal.
#[track_caller]
fn http_error<T>(result: Result<T, AgentError>) -> (u16, String) {
    match result {
        Err(AgentError::HttpError(error)) => {
            (error.status, String::from_utf8(error.content).unwrap())
        }
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("no error"),
    }
}
