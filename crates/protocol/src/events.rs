//! Pages of the market's event log, for those who audit it.
//!
//! The log is a chain: each entry holds the hash of the one before. It names accounts, prices and canaries, so only
//! controllers read it; what anybody may see of a job is its receipt.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::Hash32;

/// A page of the log.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct EventPage {
    /// How many entries the whole log has.
    pub length: u64,
    /// Hash of its last entry; zero where there is none.
    pub head: Hash32,
    /// Entries in CBOR, oldest first; none where the page begins at the end of the log or beyond.
    pub entries: Vec<ByteBuf>,
}

/// Why the log was not shown.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize, thiserror::Error)]
pub enum EventsError {
    /// Only controllers read it.
    #[error("{0} does not control this canister; only its controllers read its events")]
    NotAController(Principal),
    /// Something newer than this client.
    #[error("{0}")]
    Other(String),
}
