//! Envelopes as the client library makes them, and everything that must not pass.

use std::{collections::BTreeSet, fmt::Debug};

use candid::Principal;
use ciborium::Value as Cbor;
use ic_transport_types::to_request_id;
use proptest::{collection, prelude::*};

use super::*;
use crate::{
    cert::{Path, RangeForm},
    network::{CanisterView, MetadataSection, RunState},
    topology::canister_id,
    types::{RequestId, Time},
};

const NOW: Time = Time(1_700_000_000_000_000_000);

// CBOR.

fn bytes_of(value: &Cbor) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// What requests may consist of, as the reader's value and as the oracle's.
fn value() -> impl Strategy<Value = Cbor> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(Cbor::from),
        collection::vec(any::<u8>(), 0..40).prop_map(Cbor::Bytes),
        ".{0,40}".prop_map(Cbor::Text),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..6).prop_map(Cbor::Array),
            collection::btree_map(".{0,6}", inner, 0..6).prop_map(|map| Cbor::Map(
                map.into_iter()
                    .map(|(key, value)| (Cbor::Text(key), value))
                    .collect()
            )),
        ]
    })
}

fn same(read: &Value<'_>, written: &Cbor) -> bool {
    match (read, written) {
        (Value::Nat(a), Cbor::Integer(b)) => i128::try_from(*a) == Ok(i128::from(*b)),
        (Value::Bytes(a), Cbor::Bytes(b)) => a == b,
        (Value::Text(a), Cbor::Text(b)) => a == b,
        (Value::Array(a), Cbor::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Map(a), Cbor::Map(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|((key, a), (other, b))| other.as_text() == Some(key) && same(a, b))
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn what_another_writer_wrote_is_read_back(written in value()) {
        let bytes = bytes_of(&written);
        prop_assert!(same(&cbor::read(&bytes).unwrap(), &written));
        let tagged = [&[0xd9, 0xd9, 0xf7], &bytes[..]].concat();
        prop_assert_eq!(cbor::read(&tagged).unwrap(), cbor::read(&bytes).unwrap());
        for end in 0..bytes.len() {
            let truncated = matches!(cbor::read(&bytes[..end]), Err(CborError::Truncated { .. }));
            prop_assert!(truncated);
        }
    }

    #[test]
    fn noise_never_panics(noise in collection::vec(any::<u8>(), 0..200)) {
        let _ = cbor::read(&noise);
        let _ = open(&noise, Kind::Call, NOW);
        let _ = PublicKey::from_der(&noise);
    }

    #[test]
    fn hashes_are_those_of_the_client_library(number in any::<u64>(), blob in collection::vec(any::<u8>(), 0..40), text in ".{0,20}") {
        #[derive(serde::Serialize)]
        struct Inner<'a> { text: &'a str, list: Vec<&'a str> }
        #[derive(serde::Serialize)]
        struct Outer<'a> { number: u64, blob: &'a serde_bytes::Bytes, inner: Inner<'a> }
        let outer = Outer {
            number,
            blob: serde_bytes::Bytes::new(&blob),
            inner: Inner { text: &text, list: vec![&text, "x"] },
        };
        let ours = hash_of_map(&[
            ("number", Value::Nat(number.into())),
            ("inner", Value::Map(vec![
                ("text", Value::Text(&text)),
                ("list", Value::Array(vec![Value::Text(&text), Value::Text("x")])),
            ])),
            ("blob", Value::Bytes(&blob)),
        ]);
        prop_assert_eq!(&ours[..], &to_request_id(&outer).unwrap()[..]);
    }
}

#[test]
fn what_no_request_contains_is_refused() {
    let unsupported =
        |bytes: &[u8]| matches!(cbor::read(bytes), Err(CborError::Unsupported { at: 0, .. }));
    assert!(unsupported(&[0x20]), "a negative number");
    assert!(unsupported(&[0xf6]), "null");
    assert!(unsupported(&[0xfb, 0, 0, 0, 0, 0, 0, 0, 0]), "a float");
    assert!(unsupported(&[0x5f, 0x41, 0, 0xff]), "a string in pieces");
    assert!(unsupported(&[0xc1, 0x00]), "a tag");
    assert!(
        matches!(
            cbor::read(&[0xa1, 0x00, 0x00]),
            Err(CborError::Unsupported { at: 1, .. })
        ),
        "a number as key"
    );
    assert_eq!(
        cbor::read(&[0x00, 0x00]),
        Err(CborError::Trailing { at: 1, extra: 1 })
    );
    assert_eq!(cbor::read(&[0x1c]), Err(CborError::Malformed { at: 0 }));
    assert_eq!(cbor::read(&[0xff]), Err(CborError::Malformed { at: 0 }));
    assert_eq!(cbor::read(&[0x61, 0xff]), Err(CborError::NotUtf8 { at: 0 }));
    assert_eq!(
        cbor::read(&[0xa2, 0x61, b'k', 0x00, 0x61, b'k', 0x01]),
        Err(CborError::DuplicateKey { key: "k".into() })
    );
    assert_eq!(
        cbor::read(&[0x9f, 0x01, 0xff]),
        Ok(Value::Array(vec![Value::Nat(1)]))
    );
    assert_eq!(
        cbor::read(&[0xbf, 0x61, b'k', 0x01, 0xff]),
        Ok(Value::Map(vec![("k", Value::Nat(1))]))
    );
    assert_eq!(cbor::read(&[0xc2, 0x43, 0, 1, 0]), Ok(Value::Nat(256)));
    assert_eq!(
        cbor::read(&[&[0xc2, 0x51][..], &[1; 17]].concat()),
        Err(CborError::TooBig { at: 1 })
    );
}

#[test]
fn nesting_and_number_of_values_are_limited() {
    let nested = |levels| [vec![0x81; levels], vec![0x00]].concat();
    assert!(cbor::read(&nested(cbor::DEPTH_MAX)).is_ok());
    assert_eq!(
        cbor::read(&nested(cbor::DEPTH_MAX + 1)),
        Err(CborError::TooDeep)
    );
    let many = |items: usize| {
        let head = [&[0x9a][..], &u32::try_from(items).unwrap().to_be_bytes()].concat();
        [head, vec![0x00; items]].concat()
    };
    assert!(cbor::read(&many(cbor::ITEMS_MAX - 1)).is_ok());
    assert_eq!(cbor::read(&many(cbor::ITEMS_MAX)), Err(CborError::TooMany));
    // An announced length without content costs nothing.
    assert!(matches!(
        cbor::read(&[0x9b, 0xff, 0, 0, 0, 0, 0, 0, 0]),
        Err(CborError::Truncated { .. })
    ));
    assert!(matches!(
        cbor::read(&[0x5b, 0xff, 0, 0, 0, 0, 0, 0, 0]),
        Err(CborError::Truncated { .. })
    ));
}

#[test]
fn request_ids_are_those_of_the_specification() {
    let id = hash_of_map(&[
        ("request_type", Value::Text("call")),
        ("sender", Value::Bytes(&[4])),
        ("ingress_expiry", Value::Nat(1_685_570_400_000_000_000)),
        ("canister_id", Value::Bytes(&[0, 0, 0, 0, 0, 0, 4, 0xd2])),
        ("method_name", Value::Text("hello")),
        ("arg", Value::Bytes(b"DIDL\x00\xFD*")),
    ]);
    assert_eq!(
        hex::encode(id),
        "1d1091364d6bb8a6c16b203ee75467d59ead468f523eb058880ae8ec80e2b101"
    );
}

// Envelopes.

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

#[test]
fn every_scheme_authenticates_its_sender() {
    let users = [
        User::Anonymous,
        User::new(1),
        User::Secp256k1(ic_secp256k1::PrivateKey::generate_from_seed(&[1])),
        User::P256(ic_secp256r1::PrivateKey::generate_insecure_key_for_testing(
            1,
        )),
    ];
    for user in &users {
        let envelope = open_call(&call(user), user).unwrap();
        assert_eq!(envelope.sender, user.principal());
        assert_eq!(envelope.id.0, hash(&call(user)));
        assert_eq!(
            (envelope.expiry, envelope.targets),
            (NOW.plus_nanos(60), None)
        );
        let expected = Call {
            canister: canister_id(7),
            method: "hello".into(),
            arg: b"DIDL".to_vec(),
        };
        assert_eq!(envelope.content, Content::Call(expected));
    }
    for user in &users[1..] {
        let mut wrong = signed(&call(user), user, user, Vec::new());
        let mut other = call(user);
        set(&mut other, "method_name", "bye".into());
        set(&mut wrong, "content", map(&other));
        refused(open_as(&wrong, Kind::Call), |error| {
            matches!(
                error,
                EnvelopeError::Signature {
                    error: SignatureError::Invalid,
                    ..
                }
            )
        });
        set(&mut wrong, "sender_sig", blob([0; 63]));
        refused(open_as(&wrong, Kind::Call), |error| {
            matches!(
                error,
                EnvelopeError::Signature {
                    error: SignatureError::Length { length: 63 },
                    ..
                }
            )
        });
    }
}

#[test]
fn envelopes_of_the_client_library_open() {
    let sender = Principal::anonymous();
    let content = ic_transport_types::EnvelopeContent::ReadState {
        ingress_expiry: NOW.0,
        sender,
        paths: vec![vec!["time".into()], vec!["subnet".into(), "x".into()]],
    };
    let id = to_request_id(&content).unwrap();
    let envelope = ic_transport_types::Envelope {
        content: std::borrow::Cow::Owned(content),
        sender_pubkey: None,
        sender_sig: None,
        sender_delegation: None,
    };
    let opened = open(&envelope.encode_bytes(), Kind::ReadState, NOW).unwrap();
    assert_eq!(opened.id.0[..], id[..]);
    let paths: Vec<Path> = vec![
        vec![b"time".to_vec()],
        vec![b"subnet".to_vec(), b"x".to_vec()],
    ];
    assert_eq!(opened.content, Content::ReadState(paths));
}

#[test]
fn unknown_fields_are_signed_too() {
    let user = User::new(1);
    let mut content = call(&user);
    set(
        &mut content,
        "something_new",
        Cbor::Array(vec![1.into(), "x".into()]),
    );
    assert_eq!(open_call(&content, &user).unwrap().id.0, hash(&content));
}

#[test]
fn bad_forms_are_refused_with_the_reason() {
    let user = User::new(1);
    for field in [
        "request_type",
        "sender",
        "ingress_expiry",
        "canister_id",
        "method_name",
        "arg",
    ] {
        let mut content = call(&user);
        content.retain(|(name, _)| *name != field);
        assert_eq!(
            open_call(&content, &user),
            Err(EnvelopeError::Missing { field })
        );
        set(&mut content, field, Cbor::Array(Vec::new()));
        refused(open_call(&content, &user), |error| {
            matches!(error, EnvelopeError::WrongType { .. })
        });
    }
    for field in ["content", "sender_pubkey", "sender_sig"] {
        let mut envelope = signed(&call(&user), &user, &user, Vec::new());
        envelope.retain(|(name, _)| *name != field);
        assert_eq!(
            open_as(&envelope, Kind::Call),
            Err(EnvelopeError::Missing { field })
        );
    }
    refused(open(&[0x80], Kind::Call, NOW), |error| {
        matches!(
            error,
            EnvelopeError::WrongType {
                field: "envelope",
                ..
            }
        )
    });
    refused(open(b"", Kind::Call, NOW), |error| {
        matches!(error, EnvelopeError::Cbor(CborError::Truncated { at: 0 }))
    });
    let whole = bytes_of(&map(&signed(&call(&user), &user, &user, Vec::new())));
    refused(open(&whole[..whole.len() - 1], Kind::Call, NOW), |error| {
        matches!(error, EnvelopeError::Cbor(CborError::Truncated { .. }))
    });
    let mut twice = signed(&call(&user), &user, &user, Vec::new());
    twice.push(("sender_sig", blob([0; 64])));
    refused(
        open_as(&twice, Kind::Call),
        |error| matches!(error, EnvelopeError::Cbor(CborError::DuplicateKey { key }) if key == "sender_sig"),
    );
    let mut inside = call(&user);
    inside.push(("arg", blob(b"other")));
    let envelope = vec![("content", map(&inside))];
    refused(
        open_as(&envelope, Kind::Call),
        |error| matches!(error, EnvelopeError::Cbor(CborError::DuplicateKey { key }) if key == "arg"),
    );
    refused(
        open_as(&signed(&call(&user), &user, &user, Vec::new()), Kind::Query),
        |error| matches!(error, EnvelopeError::WrongKind { expected: "query", found } if found == "call"),
    );
    let mut content = call(&user);
    set(&mut content, "sender_info", Cbor::Map(Vec::new()));
    assert_eq!(open_call(&content, &user), Err(EnvelopeError::SenderInfo));
    set(&mut content, "sender", blob([0; 30]));
    refused(open_call(&content, &user), |error| {
        matches!(
            error,
            EnvelopeError::WrongType {
                field: "sender",
                ..
            }
        )
    });
}

#[test]
fn expiry_must_lie_between_now_and_the_limit() {
    let user = User::new(1);
    let at = |expiry: Cbor| {
        let mut content = call(&user);
        set(&mut content, "ingress_expiry", expiry);
        open_call(&content, &user)
    };
    assert!(at(NOW.0.into()).is_ok());
    assert!(at((NOW.0 + EXPIRY_NANOS_MAX).into()).is_ok());
    for expiry in [NOW.0 - 1, NOW.0 + EXPIRY_NANOS_MAX + 1, 0, u64::MAX] {
        let error = at(expiry.into()).unwrap_err();
        assert!(matches!(error, EnvelopeError::Expiry { .. }));
        assert!(
            error.to_string().starts_with("Invalid request expiry: "),
            "{error}"
        );
    }
    let huge = Cbor::Tag(2, Box::new(blob([1; 9])));
    refused(at(huge), |error| {
        matches!(error, EnvelopeError::Expiry { .. })
    });
}

#[test]
fn lengths_are_limited() {
    let user = User::new(1);
    let with = |field, value| {
        let mut content = call(&user);
        set(&mut content, field, value);
        open_call(&content, &user)
    };
    let too_long = |error: &EnvelopeError| matches!(error, EnvelopeError::TooLong { .. });
    assert!(with("nonce", blob([0; NONCE_BYTES_MAX])).is_ok());
    refused(with("nonce", blob([0; NONCE_BYTES_MAX + 1])), too_long);
    assert!(with("method_name", "m".repeat(METHOD_BYTES_MAX).into()).is_ok());
    refused(
        with("method_name", "m".repeat(METHOD_BYTES_MAX + 1).into()),
        too_long,
    );
    assert!(with("arg", blob(vec![0; ARG_BYTES_MAX])).is_ok());
    refused(with("arg", blob(vec![0; ARG_BYTES_MAX + 1])), too_long);

    let read = |paths: Vec<Cbor>| {
        let mut content = call(&user);
        content.retain(|(name, _)| !["canister_id", "method_name", "arg"].contains(name));
        set(&mut content, "request_type", "read_state".into());
        set(&mut content, "paths", Cbor::Array(paths));
        open_as(&signed(&content, &user, &user, Vec::new()), Kind::ReadState)
    };
    let time = Cbor::Array(vec![blob(b"time")]);
    assert!(read(vec![time.clone(); PATHS_MAX]).is_ok());
    refused(read(vec![time; PATHS_MAX + 1]), too_long);
    assert!(read(vec![Cbor::Array(vec![blob(b"x"); LABELS_MAX])]).is_ok());
    refused(
        read(vec![Cbor::Array(vec![blob(b"x"); LABELS_MAX + 1])]),
        too_long,
    );

    refused(
        open(&vec![0; BODY_BYTES_MAX + 1], Kind::Call, NOW),
        |error| {
            *error
                == EnvelopeError::TooLarge {
                    length: BODY_BYTES_MAX + 1,
                }
        },
    );
    refused(open(&vec![0; BODY_BYTES_MAX], Kind::Call, NOW), |error| {
        matches!(error, EnvelopeError::Cbor(CborError::Trailing { .. }))
    });
}

#[test]
fn the_sender_must_own_the_key() {
    let (user, thief) = (User::new(1), User::new(2));
    let (sender, owner) = (user.principal(), thief.principal());
    let stolen = signed(&call(&user), &thief, &thief, Vec::new());
    assert_eq!(
        open_as(&stolen, Kind::Call),
        Err(EnvelopeError::WrongSender { sender, owner })
    );
    let forged = signed(&call(&user), &user, &thief, Vec::new());
    refused(open_as(&forged, Kind::Call), |error| {
        matches!(
            error,
            EnvelopeError::Signature {
                error: SignatureError::Invalid,
                ..
            }
        )
    });
    for field in ["sender_pubkey", "sender_sig", "sender_delegation"] {
        let mut envelope = signed(
            &call(&User::Anonymous),
            &User::Anonymous,
            &User::Anonymous,
            Vec::new(),
        );
        envelope.push((field, Cbor::Array(Vec::new())));
        assert_eq!(
            open_as(&envelope, Kind::Call),
            Err(EnvelopeError::AnonymousWith { field })
        );
    }
}

#[test]
fn keys_of_other_schemes_are_named() {
    // SEQUENCE { SEQUENCE { OBJECT ID }, BIT STRING { 0, 1 } }
    let key = |oid: &[u8]| {
        let len = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        let id = [&[0x06, len(oid)], oid].concat();
        let info = [&[0x30, len(&id)], &id[..], &[0x03, 0x02, 0x00, 0x01]].concat();
        [&[0x30, len(&info)], &info[..]].concat()
    };
    let error = |der: &[u8]| PublicKey::from_der(der).unwrap_err();
    assert_eq!(
        error(&key(&[0x2b, 6, 1, 4, 1, 0x83, 0xb8, 0x43, 1, 1])),
        KeyError::WebAuthn
    );
    assert_eq!(
        error(&key(&[0x2b, 6, 1, 4, 1, 0x83, 0xb8, 0x43, 1, 2])),
        KeyError::CanisterSignature
    );
    assert_eq!(
        error(&key(&[0x2a, 0x03])),
        KeyError::UnknownAlgorithm { oid: "2a03".into() }
    );
    assert_eq!(
        error(&key(&[0x2b, 0x65, 0x70])),
        KeyError::InvalidPoint { scheme: "Ed25519" }
    );
    assert_eq!(error(b"key"), KeyError::NotDer);
    assert_eq!(error(b""), KeyError::NotDer);
    let whole = User::new(1).der();
    assert_eq!(error(&whole[..whole.len() - 1]), KeyError::NotDer);
    assert_eq!(error(&[&whole[..], &[0]].concat()), KeyError::NotDer);

    let envelope = |der: Vec<u8>| {
        let mut content = call(&User::new(1));
        set(
            &mut content,
            "sender",
            blob(Principal::self_authenticating(&der)),
        );
        let envelope = vec![
            ("content", map(&content)),
            ("sender_pubkey", blob(der)),
            ("sender_sig", blob([0; 64])),
        ];
        open_as(&envelope, Kind::Call)
    };
    let canister_signature = key(&[0x2b, 6, 1, 4, 1, 0x83, 0xb8, 0x43, 1, 2]);
    assert_eq!(
        envelope(canister_signature),
        Err(EnvelopeError::Key(KeyError::CanisterSignature))
    );
}

// Delegations.

#[test]
fn delegations_pass_authority_on() {
    let (owner, middle, last) = (
        User::new(1),
        User::P256(ic_secp256r1::PrivateKey::generate_insecure_key_for_testing(
            2,
        )),
        User::new(3),
    );
    let chain = vec![
        delegation(&owner, &middle, Vec::new()),
        delegation(&middle, &last, Vec::new()),
    ];
    let envelope = open_as(
        &signed(&call(&owner), &owner, &last, chain.clone()),
        Kind::Call,
    )
    .unwrap();
    assert_eq!(envelope.sender, owner.principal());

    refused(
        open_as(
            &signed(&call(&owner), &owner, &owner, chain.clone()),
            Kind::Call,
        ),
        |error| {
            matches!(
                error,
                EnvelopeError::Signature {
                    error: SignatureError::Invalid,
                    ..
                }
            )
        },
    );
    let reversed = chain.into_iter().rev().collect();
    refused(
        open_as(&signed(&call(&owner), &owner, &last, reversed), Kind::Call),
        |error| matches!(error, EnvelopeError::DelegationSignature { index: 0, .. }),
    );
    let forged = vec![delegation(&last, &last, Vec::new())];
    refused(
        open_as(&signed(&call(&owner), &owner, &last, forged), Kind::Call),
        |error| {
            matches!(
                error,
                EnvelopeError::DelegationSignature {
                    index: 0,
                    error: SignatureError::Invalid
                }
            )
        },
    );
}

#[test]
fn delegations_expire() {
    let (owner, other) = (User::new(1), User::new(2));
    let with = |expiration: u64| {
        let chain = vec![delegation(
            &owner,
            &other,
            vec![("expiration", expiration.into())],
        )];
        open_as(&signed(&call(&owner), &owner, &other, chain), Kind::Call)
    };
    assert!(with(NOW.0).is_ok());
    refused(with(NOW.0 - 1), |error| {
        matches!(error, EnvelopeError::DelegationExpired { index: 0, .. })
    });
}

#[test]
fn delegation_circles_are_refused() {
    let (owner, other) = (User::new(1), User::new(2));
    let to_itself = vec![delegation(&owner, &owner, Vec::new())];
    assert_eq!(
        open_as(
            &signed(&call(&owner), &owner, &owner, to_itself),
            Kind::Call
        ),
        Err(EnvelopeError::DelegationCycle { index: 0 })
    );
    let back = vec![
        delegation(&owner, &other, Vec::new()),
        delegation(&other, &owner, Vec::new()),
    ];
    assert_eq!(
        open_as(&signed(&call(&owner), &owner, &owner, back), Kind::Call),
        Err(EnvelopeError::DelegationCycle { index: 1 })
    );
}

#[test]
fn the_number_of_delegations_is_limited() {
    let owner = User::new(0);
    let with = |count: u8| {
        let users: Vec<_> = (0..=count).map(User::new).collect();
        let chain = users
            .windows(2)
            .map(|pair| delegation(&pair[0], &pair[1], Vec::new()))
            .collect();
        open_as(
            &signed(&call(&owner), &owner, &users[usize::from(count)], chain),
            Kind::Call,
        )
    };
    assert!(with(20).is_ok());
    refused(with(21), |error| {
        matches!(
            error,
            EnvelopeError::TooLong {
                field: "sender_delegation",
                length: 21,
                ..
            }
        )
    });
}

#[test]
fn targets_limit_where_a_delegation_holds() {
    let (owner, middle, last) = (User::new(1), User::new(2), User::new(3));
    let targets = |ids: &[u64]| {
        vec![(
            "targets",
            Cbor::Array(ids.iter().map(|id| blob(canister_id(*id))).collect()),
        )]
    };
    let with = |first: &[u64], second: &[u64]| {
        let chain = vec![
            delegation(&owner, &middle, targets(first)),
            delegation(&middle, &last, targets(second)),
        ];
        open_as(&signed(&call(&owner), &owner, &last, chain), Kind::Call)
    };
    assert_eq!(
        with(&[6, 7], &[7, 8]).unwrap().targets,
        Some(BTreeSet::from([canister_id(7)]))
    );
    for (first, second) in [(&[6][..], &[7][..]), (&[7], &[6]), (&[], &[7])] {
        assert_eq!(
            with(first, second),
            Err(EnvelopeError::NotATarget {
                canister: canister_id(7)
            })
        );
    }
    let many: Vec<u64> = (1..=TARGETS_MAX as u64).collect();
    assert!(with(&many, &[7]).is_ok());
    let more: Vec<u64> = (0..=TARGETS_MAX as u64).collect();
    refused(with(&more, &[7]), |error| {
        matches!(
            error,
            EnvelopeError::TooLong {
                field: "targets",
                ..
            }
        )
    });
}

#[test]
fn delegations_for_queries_carry_no_calls() {
    let (owner, other) = (User::new(1), User::new(2));
    let with = |permissions: &str, kind: Kind| {
        let mut content = call(&owner);
        set(&mut content, "request_type", kind.as_text().into());
        let chain = vec![delegation(
            &owner,
            &other,
            vec![("permissions", permissions.into())],
        )];
        open_as(&signed(&content, &owner, &other, chain), kind)
    };
    assert!(with("queries", Kind::Query).is_ok());
    assert!(with("all", Kind::Call).is_ok());
    assert_eq!(
        with("queries", Kind::Call),
        Err(EnvelopeError::QueriesOnly { index: 0 })
    );
    refused(with("some", Kind::Query), |error| {
        matches!(
            error,
            EnvelopeError::WrongType {
                field: "permissions",
                ..
            }
        )
    });
}

// Effective canister ids.

#[test]
fn calls_go_where_their_canister_lives() {
    #[derive(candid::CandidType)]
    struct Named {
        canister_id: Principal,
        wasm_module: Vec<u8>,
    }
    #[derive(candid::CandidType)]
    struct Target {
        target_canister: Principal,
    }
    let (here, there) = (canister_id(1), canister_id(2));
    let management = |method: &str, arg: Vec<u8>| Call {
        canister: Principal::management_canister(),
        method: method.to_owned(),
        arg,
    };
    let named = candid::encode_one(Named {
        canister_id: here,
        wasm_module: vec![7; 1_900_000],
    })
    .unwrap();
    let target = candid::encode_one(Target {
        target_canister: here,
    })
    .unwrap();
    let mismatch = |named| {
        Err(EffectiveError::Mismatch {
            named,
            effective: there,
        })
    };

    let direct = Call {
        canister: here,
        method: "m".into(),
        arg: Vec::new(),
    };
    for kind in [Kind::Call, Kind::Query] {
        assert_eq!(check_effective(&direct, kind, &here), Ok(()));
        assert_eq!(check_effective(&direct, kind, &there), mismatch(here));
    }
    let install = management("install_code", named.clone());
    assert_eq!(check_effective(&install, Kind::Call, &here), Ok(()));
    assert_eq!(
        check_effective(&install, Kind::Call, &there),
        mismatch(here)
    );
    let chunked = management("install_chunked_code", target);
    assert_eq!(check_effective(&chunked, Kind::Call, &here), Ok(()));
    assert_eq!(
        check_effective(&chunked, Kind::Call, &there),
        mismatch(here)
    );
    let create = management(
        "provisional_create_canister_with_cycles",
        b"anything".to_vec(),
    );
    assert_eq!(check_effective(&create, Kind::Call, &there), Ok(()));
    for (method, arg, kind) in [
        ("raw_rand", b"DIDL\0\0".to_vec(), Kind::Call),
        ("canister_status", b"not candid".to_vec(), Kind::Call),
        ("install_chunked_code", named, Kind::Call),
        (
            "provisional_create_canister_with_cycles",
            b"DIDL\0\0".to_vec(),
            Kind::Query,
        ),
    ] {
        let refused = check_effective(&management(method, arg), kind, &here);
        assert_eq!(
            refused,
            Err(EffectiveError::NoCanister {
                method: method.into()
            })
        );
    }
}

// Paths.

struct World {
    sent: Sent,
    controllers: Vec<Principal>,
    metadata: Vec<MetadataSection>,
}

impl Facts for World {
    fn request(&self, id: &RequestId) -> Option<Sent> {
        (id.0 == [1; 32]).then_some(self.sent)
    }

    fn canister(&self, id: &Principal) -> Option<CanisterView<'_>> {
        (*id == self.sent.effective).then_some(CanisterView {
            id: *id,
            module_hash: None,
            controllers: &self.controllers,
            certified_data: b"",
            metadata: &self.metadata,
            state: RunState::Running,
            created: NOW,
            installed: None,
        })
    }
}

#[test]
fn paths_are_read_by_those_who_may() {
    let (alice, bob) = (User::new(1).principal(), User::new(2).principal());
    let (here, there) = (canister_id(1), canister_id(2));
    let (root, subnet) = (Principal::from_slice(&[8]), Principal::from_slice(&[9]));
    let section = |name: &str, public| MetadataSection {
        name: name.into(),
        public,
        content: Vec::new(),
    };
    let world = World {
        sent: Sent {
            sender: alice,
            canister: here,
            effective: here,
        },
        controllers: vec![alice],
        metadata: vec![section("open", true), section("closed", false)],
    };
    let ask = |sender: Principal, targets: Option<Principal>, place, form, paths: &[&[&[u8]]]| {
        let paths = paths
            .iter()
            .map(|path| path.iter().map(|label| label.to_vec()).collect())
            .collect();
        let envelope = Envelope {
            id: RequestId([0; 32]),
            sender,
            expiry: NOW,
            targets: targets.map(|target| BTreeSet::from([target])),
            content: Content::ReadState(paths),
        };
        authorise(&envelope, place, form, &root, &world)
    };
    let (at_here, at_there, at_subnet) = (
        Place::Canister(here),
        Place::Canister(there),
        Place::Subnet(subnet),
    );
    let new = RangeForm::Sharded;
    let mine: &[&[u8]] = &[b"request_status", &[1; 32]];
    let module: &[&[u8]] = &[b"canister", here.as_slice(), b"module_hash"];
    let closed: &[&[u8]] = &[b"canister", here.as_slice(), b"metadata", b"closed"];
    let open: &[&[u8]] = &[b"canister", here.as_slice(), b"metadata", b"open"];
    let absent: &[&[u8]] = &[b"canister", here.as_slice(), b"metadata", b"absent"];
    let node: &[&[u8]] = &[b"subnet", subnet.as_slice(), b"node", b"n", b"public_key"];
    let metrics: &[&[u8]] = &[b"subnet", subnet.as_slice(), b"metrics"];
    let flat: &[&[u8]] = &[b"subnet", subnet.as_slice(), b"canister_ranges"];
    let flat_root: &[&[u8]] = &[b"subnet", root.as_slice(), b"canister_ranges"];
    let ranges: &[&[u8]] = &[b"canister_ranges", subnet.as_slice()];
    let other_ranges: &[&[u8]] = &[b"canister_ranges", root.as_slice()];

    // Everybody, everywhere.
    for place in [at_here, at_there, at_subnet] {
        let public: &[&[&[u8]]] = &[
            &[b"time"],
            &[b"subnet"],
            node,
            flat_root,
            &[b"request_status", &[2; 32], b"reply"],
        ];
        assert_eq!(ask(bob, None, place, new, public), Ok(()));
    }
    // One's own messages, where they went.
    assert_eq!(
        ask(
            alice,
            None,
            at_here,
            new,
            &[mine, &[b"request_status", &[1; 32], b"status"]]
        ),
        Ok(())
    );
    let not_yours = Err(PathError::NotYours {
        id: RequestId([1; 32]),
    });
    assert_eq!(ask(bob, None, at_here, new, &[mine]), not_yours);
    assert_eq!(ask(alice, None, at_there, new, &[mine]), not_yours);
    assert_eq!(ask(alice, None, at_subnet, new, &[mine]), not_yours);
    assert_eq!(ask(alice, Some(here), at_here, new, &[mine]), Ok(()));
    assert_eq!(
        ask(alice, Some(there), at_here, new, &[mine]),
        Err(PathError::NotATarget { canister: here })
    );
    let two = ask(
        alice,
        None,
        at_here,
        new,
        &[mine, &[b"request_status", &[2; 32]]],
    );
    assert_eq!(two, Err(PathError::SeveralRequests));
    // A canister's facts, at the canister.
    assert_eq!(
        ask(bob, None, at_here, new, &[module, open, absent]),
        Ok(())
    );
    assert_eq!(
        ask(bob, None, at_there, new, &[module]),
        Err(PathError::OtherCanister { effective: there })
    );
    assert_eq!(
        ask(bob, None, at_subnet, new, &[module]),
        Err(PathError::OtherCanister { effective: subnet })
    );
    assert_eq!(ask(alice, None, at_here, new, &[closed]), Ok(()));
    assert_eq!(
        ask(bob, None, at_here, new, &[closed]),
        Err(PathError::Private {
            name: "closed".into()
        })
    );
    // Ranges and metrics, by endpoint.
    assert_eq!(ask(bob, None, at_here, RangeForm::Flat, &[flat]), Ok(()));
    assert_eq!(ask(bob, None, at_subnet, new, &[ranges, metrics]), Ok(()));
    assert_eq!(
        ask(bob, None, at_subnet, new, &[ranges, other_ranges]),
        Err(PathError::SeveralSubnets)
    );
    // What nobody gets.
    let data: &[&[u8]] = &[b"canister", here.as_slice(), b"certified_data"];
    let whole: &[&[u8]] = &[b"canister", here.as_slice()];
    let not_utf8: &[&[u8]] = &[b"canister", here.as_slice(), b"metadata", b"\xff"];
    let short_id: &[&[u8]] = &[b"request_status", &[1; 31]];
    for path in [
        data,
        whole,
        not_utf8,
        short_id,
        flat,
        ranges,
        metrics,
        &[],
        &[b"nonsense"],
        &[b"time", b"x"],
    ] {
        let refused = ask(alice, None, at_here, new, &[path]);
        assert!(
            matches!(refused, Err(PathError::Invalid { .. })),
            "{path:?}: {refused:?}"
        );
    }
}
