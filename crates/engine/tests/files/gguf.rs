//! The GGUF reader: what it accepts, and the exact refusal of everything else.

use assay_engine::import::gguf::{
    ARRAY_ELEMENTS_MAX, Gguf, GgufError, HEADER_BYTES_MAX, KEY_BYTES_MAX, METADATA_ENTRIES_MAX,
    TENSOR_NAME_BYTES_MAX, TENSORS_MAX, TEXT_BYTES_MAX, Value,
};

use super::builder::{ARRAY, BOOL, Builder, F32, TEXT, U8, U32, array, text};

fn one_tensor() -> Builder {
    Builder::default()
        .u32("a", 7)
        .text("b", "text")
        .numbers("t", 4, 2, 1)
}

fn error(builder: &Builder) -> GgufError {
    Gguf::parse(&builder.build()).expect_err("spoiled file was accepted")
}

fn refused(builder: &Builder, message: &str) {
    assert_eq!(error(builder).to_string(), message);
}

fn limit(builder: &Builder, name: &str, over: u64) {
    match error(builder) {
        GgufError::Limit {
            what, found, max, ..
        } => assert_eq!((what, found), (name, over), "limit is {max}"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_small_file_is_read_back() {
    let file = one_tensor()
        .i32s("c", &[-1, 5])
        .texts("d", &["x", "", "yz"])
        .build();
    let gguf = Gguf::parse(&file).expect("valid");
    assert_eq!(gguf.u32("a"), Ok(Some(7)));
    assert_eq!(gguf.text("b"), Ok(Some("text")));
    assert_eq!(gguf.i32s("c"), Ok(Some(vec![-1, 5])));
    assert_eq!(gguf.texts("d"), Ok(Some(vec!["x", "", "yz"])));
    assert_eq!(gguf.u32("absent"), Ok(None));
    let tensor = gguf.tensor("t").expect("there");
    assert_eq!(
        (tensor.rows, tensor.columns, tensor.bytes.len()),
        (2, 4, 32)
    );
}

#[test]
fn version_two_is_read_and_others_are_named() {
    assert!(
        Gguf::parse(
            &Builder {
                version: 2,
                ..one_tensor()
            }
            .build()
        )
        .is_ok()
    );
    for version in [0, 1, 4, u32::MAX, 3u32.swap_bytes()] {
        assert_eq!(
            error(&Builder {
                version,
                ..one_tensor()
            }),
            GgufError::Version { found: version }
        );
    }
}

#[test]
fn another_kind_of_file_is_named() {
    assert_eq!(
        Gguf::parse(b"PK\x03\x04 zip")
            .expect_err("not GGUF")
            .to_string(),
        "not a GGUF file: it begins with [50, 4b, 03, 04]; choose a .gguf file"
    );
    assert_eq!(
        Gguf::parse(b"").expect_err("empty").to_string(),
        "magic at byte 0 needs 4 bytes, the file ends at 0; fetch the file again"
    );
}

#[test]
fn values_of_the_wrong_type_are_refused_by_key() {
    let file = one_tensor().build();
    let gguf = Gguf::parse(&file).expect("valid");
    assert_eq!(
        gguf.text("a").expect_err("number").to_string(),
        "metadata key \"a\" holds u32, expected text"
    );
    assert!(gguf.u32("b").is_err() && gguf.f32("a").is_err() && gguf.bool("a").is_err());
    assert!(gguf.texts("b").is_err() && gguf.i32s("b").is_err());
    // Narrower elements are not read as wider ones.
    let file = one_tensor()
        .entry("c", ARRAY, array(U8, 4, vec![0; 4]))
        .build();
    assert!(Gguf::parse(&file).expect("valid").i32s("c").is_err());
}

#[test]
fn every_scalar_type_is_read() {
    let kinds: [(u32, usize); 11] = [
        (0, 1),
        (1, 1),
        (2, 2),
        (3, 2),
        (4, 4),
        (5, 4),
        (6, 4),
        (7, 1),
        (10, 8),
        (11, 8),
        (12, 8),
    ];
    for (kind, width) in kinds {
        let one = [vec![1], vec![0; width - 1]].concat();
        let file = one_tensor()
            .entry("v", kind, one.clone())
            .entry("w", ARRAY, array(kind, 3, [&one[..], &one, &one].concat()))
            .build();
        assert!(
            Gguf::parse(&file).is_ok_and(|gguf| gguf.get("v").is_some() && gguf.get("w").is_some()),
            "{kind}"
        );
    }
    let file = one_tensor()
        .entry("v", F32, 1.5f32.to_le_bytes().to_vec())
        .build();
    assert_eq!(
        Gguf::parse(&file).expect("valid").get("v"),
        Some(Value::F32(1.5))
    );
}

#[test]
fn unknown_and_nested_values_are_refused() {
    assert!(matches!(
        error(&one_tensor().entry("v", 13, vec![0; 8])),
        GgufError::ValueType { found: 13, .. }
    ));
    assert!(matches!(
        error(&one_tensor().entry("v", ARRAY, array(13, 1, vec![0; 8]))),
        GgufError::ValueType { found: 13, .. }
    ));
    assert!(matches!(
        error(&one_tensor().entry("v", ARRAY, array(ARRAY, 1, vec![0; 64]))),
        GgufError::NestedArray { .. }
    ));
    assert!(matches!(
        error(&one_tensor().entry("v", BOOL, vec![2])),
        GgufError::Bool { found: 2, .. }
    ));
    assert!(matches!(
        error(&one_tensor().entry("v", ARRAY, array(BOOL, 2, vec![1, 9]))),
        GgufError::Bool { found: 9, .. }
    ));
    assert!(matches!(
        error(&one_tensor().entry("v", TEXT, text([0xff]))),
        GgufError::Text { .. }
    ));
    assert!(matches!(
        error(&one_tensor().entry([0xff], U32, vec![0; 4])),
        GgufError::Text { .. }
    ));
    assert!(matches!(
        error(&one_tensor().entry("", U32, vec![0; 4])),
        GgufError::Empty { .. }
    ));
}

#[test]
fn duplicate_keys_and_tensors_are_refused() {
    let mut twice = one_tensor();
    twice.entries.push(twice.entries[0].clone());
    refused(&twice, "metadata key \"a\" is there twice");
    let mut twice = one_tensor();
    twice.tensors.push(twice.tensors[0].clone());
    refused(&twice, "tensor \"t\" is there twice");
}

#[test]
fn counts_are_refused_before_anything_is_read() {
    for count in [METADATA_ENTRIES_MAX + 1, u64::MAX, i64::MAX as u64] {
        limit(
            &Builder {
                entry_count: Some(count),
                ..one_tensor()
            },
            "metadata count",
            count,
        );
    }
    for count in [TENSORS_MAX + 1, u64::MAX, 1 << 60] {
        limit(
            &Builder {
                tensor_count: Some(count),
                ..one_tensor()
            },
            "tensor count",
            count,
        );
    }
    let long = |count: u64| one_tensor().entry("v", TEXT, count.to_le_bytes().to_vec());
    limit(&long(TEXT_BYTES_MAX + 1), "text", TEXT_BYTES_MAX + 1);
    limit(&long(u64::MAX), "text", u64::MAX);
    limit(
        &one_tensor().entry("v", ARRAY, array(4, u64::MAX, vec![])),
        "array length",
        u64::MAX,
    );
    assert!(matches!(
        error(&long(TEXT_BYTES_MAX)),
        GgufError::Truncated { .. }
    ));
}

#[test]
fn counts_are_accepted_up_to_their_limits() {
    let ok = |builder: &Builder| Gguf::parse(&builder.build()).map(|_| ());
    let mut many = one_tensor();
    let entry = many.entries[0].clone();
    many.entries = (0..METADATA_ENTRIES_MAX)
        .map(|i| super::builder::Entry {
            key: format!("key {i}").into_bytes(),
            ..entry.clone()
        })
        .collect();
    assert_eq!(ok(&many), Ok(()));
    many.entries.push(entry);
    limit(&many, "metadata count", METADATA_ENTRIES_MAX + 1);

    let mut many = one_tensor();
    let tensor = many.tensors[0].clone();
    many.tensors = (0..TENSORS_MAX)
        .map(|i| super::builder::TensorSpec {
            name: format!("t{i}").into_bytes(),
            ..tensor.clone()
        })
        .collect();
    assert_eq!(ok(&many), Ok(()));
    many.tensors.push(tensor);
    limit(&many, "tensor count", TENSORS_MAX + 1);

    let key = |len: u64| one_tensor().u32(&"k".repeat(len as usize), 1);
    assert_eq!(ok(&key(KEY_BYTES_MAX)), Ok(()));
    limit(&key(KEY_BYTES_MAX + 1), "metadata key", KEY_BYTES_MAX + 1);

    let name = |len: u64| one_tensor().numbers(&"n".repeat(len as usize), 4, 1, 1);
    assert_eq!(ok(&name(TENSOR_NAME_BYTES_MAX)), Ok(()));
    limit(
        &name(TENSOR_NAME_BYTES_MAX + 1),
        "tensor name",
        TENSOR_NAME_BYTES_MAX + 1,
    );

    let value = |len: u64| one_tensor().text("v", &"v".repeat(len as usize));
    assert_eq!(ok(&value(TEXT_BYTES_MAX)), Ok(()));
    limit(&value(TEXT_BYTES_MAX + 1), "text", TEXT_BYTES_MAX + 1);

    let items =
        |count: u64| one_tensor().entry("v", ARRAY, array(U8, count, vec![0; count as usize]));
    assert_eq!(ok(&items(ARRAY_ELEMENTS_MAX)), Ok(()));
    limit(
        &items(ARRAY_ELEMENTS_MAX + 1),
        "array length",
        ARRAY_ELEMENTS_MAX + 1,
    );
}

#[test]
fn a_header_longer_than_its_limit_is_refused() {
    let texts = |last: usize| {
        let full = text("x".repeat(TEXT_BYTES_MAX as usize - 8));
        let mut builder = Builder::default();
        let pad = HEADER_BYTES_MAX as usize - 63 * full.len() - last;
        builder.entries = (0..64)
            .map(|i| super::builder::Entry {
                key: format!("{i:02}").into_bytes(),
                kind: TEXT,
                value: if i == 63 {
                    text("x".repeat(pad))
                } else {
                    full.clone()
                },
            })
            .collect();
        builder
    };
    // Magic, version, counts, and per entry the key, its length and the type; the last text's length too.
    let around = 24 + 64 * (8 + 2 + 4) + 8;
    assert!(Gguf::parse(&texts(around).build()).is_ok());
    limit(&texts(around - 1), "header length", HEADER_BYTES_MAX + 1);
}

#[test]
fn alignment_is_a_power_of_two_within_bounds() {
    for alignment in [8, 16, 64, 4096u32] {
        let builder = Builder {
            alignment: u64::from(alignment),
            ..one_tensor()
        }
        .u32("general.alignment", alignment);
        assert!(
            Gguf::parse(&builder.numbers("u", 4, 1, 2).build()).is_ok(),
            "{alignment}"
        );
    }
    for alignment in [0, 1, 4, 24, 33, 8192, 1 << 31, u32::MAX] {
        assert_eq!(
            error(&one_tensor().u32("general.alignment", alignment)),
            GgufError::Alignment { found: alignment }
        );
    }
    refused(
        &one_tensor().text("general.alignment", "32"),
        "metadata key \"general.alignment\" holds text, expected u32",
    );
}

#[test]
fn impossible_shapes_are_refused() {
    let shape = |dimensions: &[u64], data_type| {
        one_tensor().tensor("t", dimensions, data_type, vec![0; 64])
    };
    assert!(matches!(
        error(&shape(&[], 0)),
        GgufError::Dimensions { found: 0, .. }
    ));
    assert!(matches!(
        error(&shape(&[1; 5], 0)),
        GgufError::Dimensions { found: 5, .. }
    ));
    assert!(Gguf::parse(&shape(&[4, 1, 2, 2], 0).build()).is_ok());
    assert!(matches!(
        error(&shape(&[0], 0)),
        GgufError::EmptyDimension { .. }
    ));
    assert!(matches!(
        error(&shape(&[4, 0, 4], 0)),
        GgufError::EmptyDimension { .. }
    ));
    for huge in [
        &[u64::MAX][..],
        &[u64::MAX; 2],
        &[u64::MAX; 3],
        &[u64::MAX; 4],
        &[1 << 62, 2],
        &[1 << 32; 2],
        &[1 << 61],
    ] {
        assert!(
            matches!(error(&shape(huge, 0)), GgufError::TensorSize { .. }),
            "{huge:?}"
        );
    }
    // The number of values fits, the number of bytes does not.
    assert!(matches!(
        error(&shape(&[1 << 62], 0)),
        GgufError::TensorSize { .. }
    ));
    assert!(matches!(
        error(&shape(&[48], 8)),
        GgufError::PartialBlock {
            columns: 48,
            block: 32,
            ..
        }
    ));
    assert!(matches!(
        error(&shape(&[128], 12)),
        GgufError::PartialBlock {
            columns: 128,
            block: 256,
            ..
        }
    ));
    for unknown in [4, 5, 9, 10, 16, 31, 39, u32::MAX] {
        assert!(
            matches!(error(&shape(&[16], unknown)), GgufError::TensorType { found, .. } if found == unknown)
        );
    }
    assert!(matches!(
        error(&shape(&[1 << 40], 0)),
        GgufError::TensorOutside { .. }
    ));
}

#[test]
fn tensors_follow_each_other_exactly() {
    let two = one_tensor().numbers("u", 4, 1, 2);
    for offset in [0, 1, 31, 33, 64, u64::MAX, u64::MAX - 31, 1 << 63] {
        let mut builder = two.clone();
        builder.tensors[1].offset = Some(offset);
        assert_eq!(
            error(&builder),
            GgufError::TensorOffset {
                tensor: "u".into(),
                found: offset,
                expected: 32
            }
        );
    }
    let mut file = two.build();
    file.extend([0; 16]);
    // 16 bytes of padding are there already.
    assert_eq!(
        Gguf::parse(&file).expect_err("tail"),
        GgufError::TrailingBytes { found: 32 }
    );
}

#[test]
fn sizes_that_wrap_when_added_or_padded_are_refused() {
    // Two tensors whose sizes fit and whose sum wraps: the first is outside already.
    let mut builder = Builder::default().u32("a", 7);
    for name in ["t", "u"] {
        builder = builder.tensor(name, &[1 << 60], 0, vec![0; 64]);
    }
    assert!(matches!(
        error(&builder),
        GgufError::TensorOutside { end, .. } if end > 1 << 62
    ));
    // Sizes that padding would carry past the largest number.
    for (columns, data_type) in [
        ((u64::MAX - 3) / 4, 0),
        (u64::MAX / 34 * 32, 8),
        (u64::MAX - 255, 12),
    ] {
        assert!(
            matches!(
                error(&one_tensor().tensor("t", &[columns], data_type, vec![0; 64])),
                GgufError::TensorSize { .. } | GgufError::PartialBlock { .. }
            ),
            "{columns}"
        );
    }
    // The number of values of a quantised tensor fits, the number of its bytes does not.
    for (data_type, block) in [(2, 32), (8, 32), (12, 256), (14, 256)] {
        let columns = u64::MAX / block * block;
        assert!(
            matches!(
                error(&one_tensor().tensor("t", &[columns], data_type, vec![0; 64])),
                GgufError::TensorSize { .. }
            ),
            "{data_type}"
        );
    }
}

#[test]
fn a_tensor_cannot_claim_bytes_that_are_not_there() {
    // Twice the values that the file holds: nothing behind the end is ever read.
    let file = Builder::default()
        .tensor("t", &[32], 0, vec![0; 64])
        .build();
    assert_eq!(
        Gguf::parse(&file).expect_err("a lie").to_string(),
        format!(
            "tensor \"t\" ends at byte {}, the file has {}; fetch the file again",
            file.len() + 64,
            file.len()
        )
    );
}
