//! Forms, times, lengths, keys and signatures.

use super::*;

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
    assert_eq!(request_id(&envelope.encode_bytes()), Ok(opened.id));
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
    assert!(request_id(&[0x80]).is_err());
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
