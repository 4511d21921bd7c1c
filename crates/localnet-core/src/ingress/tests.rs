//! Envelopes as the client library makes them, and everything that must not pass.

use std::{collections::BTreeSet, fmt::Debug, sync::LazyLock};

use candid::Principal;
use ciborium::Value as Cbor;
use ic_transport_types::to_request_id;
use proptest::{collection, prelude::*};

use super::*;
use crate::{
    cert::{Path, RangeForm},
    network::{CanisterView, MetadataSection, RunState},
    topology::{Topology, canister_id},
    types::{RequestId, Time},
};

mod canister;
mod delegations;
mod envelopes;
mod reading;
mod routes;

const NOW: Time = Time(1_700_000_000_000_000_000);

/// The network that envelopes are opened on.
static TOPOLOGY: LazyLock<Topology> = LazyLock::new(|| Topology::new(&[5; 32]));

fn open(bytes: &[u8], kind: Kind, now: Time) -> Result<Envelope, EnvelopeError> {
    super::open(bytes, kind, now, &TOPOLOGY)
}

fn bytes_of(value: &Cbor) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// A user with a key of some scheme.
enum User {
    Anonymous,
    Ed25519(ic_ed25519::PrivateKey),
    Secp256k1(ic_secp256k1::PrivateKey),
    P256(ic_secp256r1::PrivateKey),
}

impl User {
    fn new(seed: u8) -> Self {
        Self::Ed25519(ic_ed25519::PrivateKey::generate_from_seed(&[seed]))
    }

    fn der(&self) -> Vec<u8> {
        match self {
            Self::Anonymous => Vec::new(),
            Self::Ed25519(key) => key.public_key().serialize_rfc8410_der(),
            Self::Secp256k1(key) => key.public_key().serialize_der(),
            Self::P256(key) => key.public_key().serialize_der(),
        }
    }

    fn principal(&self) -> Principal {
        match self {
            Self::Anonymous => Principal::anonymous(),
            _ => Principal::self_authenticating(self.der()),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Anonymous => Vec::new(),
            Self::Ed25519(key) => key.sign_message(message).to_vec(),
            Self::Secp256k1(key) => key.sign_message_with_ecdsa(message).to_vec(),
            Self::P256(key) => key.sign_message(message).to_vec(),
        }
    }
}

type Pairs = Vec<(&'static str, Cbor)>;

fn map(pairs: &Pairs) -> Cbor {
    Cbor::Map(
        pairs
            .iter()
            .map(|(key, value)| (Cbor::from(*key), value.clone()))
            .collect(),
    )
}

fn hash(pairs: &Pairs) -> [u8; 32] {
    let bytes = bytes_of(&map(pairs));
    let Value::Map(pairs) = cbor::read(&bytes).unwrap() else {
        unreachable!()
    };
    hash_of_map(&pairs)
}

fn blob(bytes: impl AsRef<[u8]>) -> Cbor {
    Cbor::Bytes(bytes.as_ref().to_vec())
}

fn call(user: &User) -> Pairs {
    vec![
        ("request_type", "call".into()),
        ("sender", blob(user.principal())),
        ("ingress_expiry", Cbor::from(NOW.0 + 60)),
        ("canister_id", blob(canister_id(7))),
        ("method_name", "hello".into()),
        ("arg", blob(b"DIDL")),
        ("nonce", blob([1, 2, 3])),
    ]
}

fn set(pairs: &mut Pairs, field: &'static str, value: Cbor) {
    pairs.retain(|(name, _)| *name != field);
    pairs.push((field, value));
}

fn delegation(from: &User, to: &User, more: Pairs) -> Cbor {
    let mut content = vec![
        ("pubkey", blob(to.der())),
        ("expiration", Cbor::from(NOW.0 + 1000)),
    ];
    for (field, value) in more {
        set(&mut content, field, value);
    }
    let signature = from.sign(
        &[
            b"\x1Aic-request-auth-delegation".as_slice(),
            &hash(&content),
        ]
        .concat(),
    );
    map(&vec![
        ("delegation", map(&content)),
        ("signature", blob(signature)),
    ])
}

/// An envelope signed by one user for another.
fn signed(content: &Pairs, owner: &User, signer: &User, delegations: Vec<Cbor>) -> Pairs {
    let mut envelope = vec![("content", map(content))];
    if !matches!(owner, User::Anonymous) {
        let message = [b"\x0Aic-request".as_slice(), &hash(content)].concat();
        envelope.push(("sender_pubkey", blob(owner.der())));
        envelope.push(("sender_sig", blob(signer.sign(&message))));
        if !delegations.is_empty() {
            envelope.push(("sender_delegation", Cbor::Array(delegations)));
        }
    }
    envelope
}

fn open_as(envelope: &Pairs, kind: Kind) -> Result<Envelope, EnvelopeError> {
    open(&bytes_of(&map(envelope)), kind, NOW)
}

fn open_call(content: &Pairs, user: &User) -> Result<Envelope, EnvelopeError> {
    open_as(&signed(content, user, user, Vec::new()), Kind::Call)
}

#[track_caller]
fn refused<T: Debug>(result: Result<T, EnvelopeError>, like: fn(&EnvelopeError) -> bool) {
    match result {
        Err(error) if like(&error) => assert!(!error.to_string().ends_with('.'), "{error}"),
        other => panic!("not refused as expected: {other:?}"),
    }
}
