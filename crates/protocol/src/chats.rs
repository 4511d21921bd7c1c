//! Conversations that people keep in the frontend canister, sealed by the page before they leave it.
//!
//! The canister has no key: it sees names, sizes, times and whose they are, and nothing of what was said.

use candid::CandidType;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Bytes of a conversation's name.
pub const CHAT_NAME_BYTES: usize = 16;
/// Largest sealed conversation.
pub const SEALED_BYTES_MAX: usize = 1_000_000;
/// Most conversations of one account.
pub const CHATS_PER_OWNER_MAX: u32 = 1_000;
/// Bytes of all conversations of one account.
pub const OWNER_BYTES_MAX: u64 = 20_000_000;
/// What a conversation counts at least towards all bytes, for its places in the tables.
pub const COUNTED_BYTES_MIN: u64 = 1_000;
/// Bytes of all conversations of all accounts.
pub const ALL_BYTES_MAX: u64 = 10_000_000_000;
/// For how long one is kept that is not kept anew: 400 days.
pub const KEPT_SECONDS: u64 = 400 * 24 * 3_600;

/// A sealed conversation.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct KeepChatArgs {
    /// Its name among the caller's, [`CHAT_NAME_BYTES`] long.
    #[serde(with = "serde_bytes")]
    pub chat: Vec<u8>,
    /// What nobody can read without the key.
    #[serde(with = "serde_bytes")]
    pub sealed: Vec<u8>,
}

/// A kept conversation, from outside.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct KeptChat {
    /// Its name.
    #[serde(with = "serde_bytes")]
    pub chat: Vec<u8>,
    /// Bytes of it, sealed.
    pub bytes: u32,
    /// When it was kept last.
    pub kept_at: Timestamp,
}

/// A kept conversation, as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct SealedChat {
    /// What nobody can read without the key.
    #[serde(with = "serde_bytes")]
    pub sealed: Vec<u8>,
    /// When exactly these bytes were kept.
    pub kept_at: Timestamp,
}

/// Why a conversation was not kept, or not forgotten. It is as it was.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize, thiserror::Error)]
pub enum ChatsError {
    /// The anonymous principal keeps nothing.
    #[error(
        "everybody could drop what the anonymous principal keeps; sign the call with an identity"
    )]
    Anonymous,
    /// A name or a conversation is not as it must be.
    #[error("{problem}")]
    Invalid {
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// A limit is reached.
    #[error(
        "{what} reached the limit of {max}; drop some that are kept, or keep this one on the device only"
    )]
    Full {
        /// Of what.
        what: String,
        /// The limit.
        max: u64,
    },
    /// The canister must spare its cycles for the page.
    #[error("the canister is low on cycles and keeps nothing new; keep this one on the device")]
    LowOnCycles,
    /// Something newer than this client.
    #[error("{0}")]
    Other(String),
}
