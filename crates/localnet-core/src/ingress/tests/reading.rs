//! CBOR, read and hashed.

use super::*;

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
