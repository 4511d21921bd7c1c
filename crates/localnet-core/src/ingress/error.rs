//! Why envelopes are refused, for the sender to read.

use candid::Principal;
use thiserror::Error;

use super::{
    cbor::CborError,
    envelope::BODY_BYTES_MAX,
    keys::{KeyError, SignatureError},
};
use crate::types::RequestId;

/// Why an envelope is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EnvelopeError {
    /// More bytes than any request may have.
    #[error("the request has {length} bytes, more than {BODY_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        length: usize,
    },
    /// Not the CBOR that requests are written in.
    #[error("the request is not valid: {0}")]
    Cbor(#[from] CborError),
    /// A field that must be there.
    #[error("the field `{field}` is missing")]
    Missing {
        /// Which.
        field: &'static str,
    },
    /// A field of another type.
    #[error("the field `{field}` is not {expected}")]
    WrongType {
        /// Which.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Another kind of request than this endpoint takes.
    #[error("this endpoint takes requests of type `{expected}`, and this one is of type `{found}`")]
    WrongKind {
        /// What the endpoint takes.
        expected: &'static str,
        /// What came, cut off.
        found: String,
    },
    /// Something longer than it may be.
    #[error("the field `{field}` has {length} {unit}, more than {max}")]
    TooLong {
        /// Which field.
        field: &'static str,
        /// How much there is.
        length: usize,
        /// Of what.
        unit: &'static str,
        /// How much there may be.
        max: usize,
    },
    /// An expiry in the past or too far ahead. Clients read the first words and set their clocks.
    #[error(
        "Invalid request expiry: ingress_expiry is {expiry} but must lie between {now} and {max} (nanoseconds since \
         1970); check the clock of the sending machine"
    )]
    Expiry {
        /// What the request says.
        expiry: u128,
        /// The network's time.
        now: u64,
        /// The latest allowed expiry.
        max: u64,
    },
    /// An anonymous request with a key, a signature or delegations.
    #[error("an anonymous request must not carry `{field}`")]
    AnonymousWith {
        /// Which.
        field: &'static str,
    },
    /// The key is not the sender's.
    #[error("the sender is {sender}, but the public key belongs to {owner}")]
    WrongSender {
        /// Who the request says sent it.
        sender: Principal,
        /// Whose key it carries.
        owner: Principal,
    },
    /// The sender's key cannot be used.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// The request's signature does not hold.
    #[error("invalid signature of request {id}: {error}")]
    Signature {
        /// The id that was to be signed.
        id: RequestId,
        /// What is wrong.
        error: SignatureError,
    },
    /// A delegation's signature does not hold.
    #[error("delegation {index} is not signed by the key before it: {error}")]
    DelegationSignature {
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        error: SignatureError,
    },
    /// A delegation is over.
    #[error("delegation {index} expired at {expiration}, and it is {now} (nanoseconds since 1970)")]
    DelegationExpired {
        /// Which, from 0.
        index: usize,
        /// Until when it held.
        expiration: u128,
        /// The network's time.
        now: u64,
    },
    /// A key delegates to itself, straight or in a circle.
    #[error("delegation {index} names a public key that appears earlier in the chain")]
    DelegationCycle {
        /// Which, from 0.
        index: usize,
    },
    /// The delegations do not cover this canister.
    #[error("canister {canister} is not among the targets of the delegations")]
    NotATarget {
        /// The callee.
        canister: Principal,
    },
    /// A delegation for queries carries a call.
    #[error("delegation {index} permits queries only, not calls")]
    QueriesOnly {
        /// Which, from 0.
        index: usize,
    },
    /// Only canisters say more about the users that they sign for.
    #[error("the field `sender_info` goes with the key of a canister only")]
    SenderInfo,
    /// Another canister than the one that signs for the sender.
    #[error("`sender_info` is signed by {found}, but the sender's key is of canister {expected}")]
    SenderInfoSigner {
        /// The canister of the key.
        expected: Principal,
        /// What the field says.
        found: Principal,
    },
    /// A signature that does not hold.
    #[error("the signature of `sender_info` does not hold: {error}")]
    SenderInfoSignature {
        /// What is wrong.
        error: SignatureError,
    },
}
