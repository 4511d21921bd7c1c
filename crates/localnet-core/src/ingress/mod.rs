//! What users send: envelopes opened and authenticated, paths authorised, routes checked. Pure: bytes in, facts out.
//!
//! After [`open`] a request's sender, expiry and form are settled, and nothing further on looks at signatures again. It
//! executes nothing and knows no sockets.

mod canister;
pub mod cbor;
mod effective;
mod envelope;
mod error;
mod fields;
mod hash;
mod keys;
mod paths;
mod size;
#[cfg(test)]
mod tests;

pub use self::{
    canister::{CanisterKey, CanisterSignatureError},
    cbor::{CborError, Value},
    effective::{EffectiveError, check_effective},
    envelope::{
        ARG_BYTES_MAX, BODY_BYTES_MAX, Call, Content, DELEGATIONS_MAX, EXPIRY_NANOS_MAX, Envelope,
        Kind, LABELS_MAX, METHOD_BYTES_MAX, NONCE_BYTES_MAX, PATHS_MAX, TARGETS_MAX, open,
        request_id,
    },
    error::EnvelopeError,
    hash::hash_of_map,
    keys::{KeyError, PublicKey, SignatureError},
    paths::{Facts, PathError, Place, Sent, authorise},
    size::unsigned_bytes,
};
