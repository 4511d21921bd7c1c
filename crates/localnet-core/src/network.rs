//! The network: every canister, every message and the clock, in one value.
//!
//! Single-threaded and deterministic: the same configuration and the same calls in the same order give the same
//! state, to the byte. It knows no sockets, signatures or certificates; who sent a message was settled before.

use std::{collections::BTreeMap, path::PathBuf};

use candid::Principal;

use crate::types::{ErrorCode, Ingress, IngressStatus, Query, Reject, RequestId, Time};

/// What a network is made from.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Source of every random byte that canisters see.
    pub seed: [u8; 32],
    /// The clock at the first round.
    pub start: Time,
    /// Id of the first created canister, as the number in its first eight bytes.
    pub first_canister: u64,
    /// Id of the last canister that may be created.
    pub last_canister: u64,
    /// What canisters see as their subnet.
    pub subnet: Principal,
    /// What canisters see as the root key, DER.
    pub root_key: Vec<u8>,
    /// A folder for compiled modules, private to this user; `None` keeps them in memory only.
    pub module_cache: Option<PathBuf>,
}

/// What one round did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoundOutcome {
    /// Whether there is work that another round can do now.
    pub more: bool,
}

/// Whether a canister takes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It takes messages.
    Running,
    /// It finishes what is open, and takes nothing new.
    Stopping,
    /// It does nothing.
    Stopped,
}

/// A canister as the state tree shows it.
#[derive(Clone, Copy, Debug)]
pub struct CanisterView<'a> {
    /// Its id.
    pub id: Principal,
    /// SHA-256 of the installed module as it was sent.
    pub module_hash: Option<[u8; 32]>,
    /// Who controls it, sorted.
    pub controllers: &'a [Principal],
    /// At most 32 bytes.
    pub certified_data: &'a [u8],
    /// Custom sections named `icp:public …` and `icp:private …`.
    pub metadata: &'a [MetadataSection],
    /// Whether it takes messages.
    pub state: RunState,
    /// When it was created.
    pub created: Time,
    /// When its module was last installed or upgraded.
    pub installed: Option<Time>,
}

/// A custom section that a module shows to the world or to its controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataSection {
    /// The name after `icp:public ` or `icp:private `.
    pub name: String,
    /// Whether everybody may read it.
    pub public: bool,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// An ingress message as the state tree shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// Who sent it.
    pub sender: Principal,
    /// To whom.
    pub canister: Principal,
    /// What became of it.
    pub status: IngressStatus,
}

/// All canisters, their messages and the clock.
#[derive(Debug)]
pub struct Network {
    time: Time,
    requests: BTreeMap<RequestId, RequestRecord>,
}

impl Network {
    /// An empty network.
    pub fn new(config: NetworkConfig) -> Self {
        Self { time: config.start, requests: BTreeMap::new() }
    }

    /// The clock.
    pub fn time(&self) -> Time {
        self.time
    }

    /// Moves the clock; a time in the past is ignored.
    pub fn set_time(&mut self, time: Time) {
        self.time = self.time.max(time);
    }

    /// Whether this message may be submitted: its callee exists, runs, has a module, and accepts it.
    pub fn check_ingress(&mut self, message: &Ingress) -> Result<(), Reject> {
        Err(Reject::of(ErrorCode::CanisterNotFound, format!("Canister {} not found", message.canister)))
    }

    /// Takes a message in, after [`Self::check_ingress`]. A request id that is known already changes nothing.
    pub fn submit(&mut self, message: Ingress) -> Result<(), Reject> {
        self.check_ingress(&message)
    }

    /// What became of a message.
    pub fn status(&self, request: &RequestId) -> Option<&RequestRecord> {
        self.requests.get(request)
    }

    /// Every message that is still remembered, by request id.
    pub fn statuses(&self) -> impl Iterator<Item = (&RequestId, &RequestRecord)> {
        self.requests.iter()
    }

    /// Answers a query from the present state; nothing that it does is kept.
    pub fn query(&mut self, query: &Query, data_certificate: Option<&[u8]>) -> Result<Vec<u8>, Reject> {
        let _ = data_certificate;
        Err(Reject::of(ErrorCode::CanisterNotFound, format!("Canister {} not found", query.canister)))
    }

    /// Executes a bounded number of messages.
    pub fn round(&mut self) -> RoundOutcome {
        self.time = self.time.plus_nanos(1);
        RoundOutcome { more: false }
    }

    /// The earliest time at which a round would have something to do, where no message waits.
    pub fn next_timer(&self) -> Option<Time> {
        None
    }

    /// Every canister, by id.
    pub fn canisters(&self) -> impl Iterator<Item = CanisterView<'_>> {
        std::iter::empty()
    }

    /// One canister.
    pub fn canister(&self, id: &Principal) -> Option<CanisterView<'_>> {
        self.canisters().find(|view| view.id == *id)
    }
}
