//! The safetensors reader: what it accepts, and the exact refusal of everything else.
//!
//! The cases follow the classes of bugs that loaders of model files had: counts that multiply, shapes that are not checked, sizes whose sum
//! wraps, lying sizes, types taken for others, names that stand twice.

use std::collections::BTreeMap;

use assay_engine::import::safetensors::{
    DIMENSIONS_MAX, HEADER_BYTES_MAX, METADATA_ENTRIES_MAX, Safetensors, TENSOR_NAME_BYTES_MAX,
    TENSORS_MAX,
};

use super::folder::{Piece, file_of, safetensors};

fn refused(file: &[u8], message: &str) {
    let error = Safetensors::parse(file).expect_err("spoiled file was accepted");
    assert_eq!(error.to_string(), message);
}

/// One tensor called t with this entry, and 16 bytes of data.
fn entry(entry: &str) -> Vec<u8> {
    file_of(&format!("{{\"t\":{entry}}}"), &[0; 16])
}

fn shaped(dtype: &str, shape: &str, begin: u64, end: u64) -> Vec<u8> {
    entry(&format!(
        "{{\"dtype\":\"{dtype}\",\"shape\":[{shape}],\"data_offsets\":[{begin},{end}]}}"
    ))
}

fn two() -> BTreeMap<String, Piece> {
    BTreeMap::from([
        ("a".to_owned(), Piece::numbers(&[2, 3], 1)),
        ("b".to_owned(), Piece::numbers(&[4], 2)),
    ])
}

#[test]
fn a_small_file_is_read_back_and_the_public_reader_agrees() {
    let file = safetensors(&two());
    let read = Safetensors::parse(&file).expect("valid");
    let public = ::safetensors::SafeTensors::deserialize(&file).expect("valid");
    for (name, piece) in two() {
        let stored = read.get(&name).expect("there");
        assert_eq!(stored.bytes, piece.data);
        assert_eq!(stored.bytes, public.tensor(&name).expect("there").data());
        let tensor = stored.tensor(&name).expect("floats");
        let shape = [tensor.rows, tensor.columns];
        assert_eq!(shape[2 - piece.shape.len()..], piece.shape);
    }
    assert_eq!(read.tensors().count(), 2);
    // A scalar is one value.
    let scalar = file_of(
        r#"{"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#,
        &[0; 4],
    );
    let read = Safetensors::parse(&scalar).expect("valid");
    let tensor = read.get("s").and_then(|s| s.tensor("s")).expect("there");
    assert_eq!((tensor.rows, tensor.columns, tensor.dimensions), (1, 1, 0));
    // Spaces after the header are padding, and no tensors are none.
    assert!(Safetensors::parse(&file_of("{}      ", &[])).is_ok());
}

#[test]
fn the_header_is_bounded_before_it_is_read() {
    refused(
        b"",
        "header length needs 8 bytes, the file has 0; fetch it again",
    );
    refused(
        &[0; 7],
        "header length needs 8 bytes, the file has 7; fetch it again",
    );
    for len in [HEADER_BYTES_MAX + 1, u64::MAX, 1 << 63] {
        let file = [&len.to_le_bytes()[..], &[b' '; 64]].concat();
        refused(
            &file,
            &format!("header is {len} bytes long, more than the limit of {HEADER_BYTES_MAX}"),
        );
    }
    let file = [&100u64.to_le_bytes()[..], b"{}"].concat();
    refused(
        &file,
        "header needs 108 bytes, the file has 10; fetch it again",
    );
    let mut longest = vec![b' '; HEADER_BYTES_MAX as usize];
    longest[..2].copy_from_slice(b"{}");
    let file = file_of(core::str::from_utf8(&longest).expect("text"), &[]);
    assert!(Safetensors::parse(&file).is_ok());
    for (header, reason) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        (
            "[]",
            "invalid type: sequence, expected tensors by name at line 1 column 0",
        ),
        ("{} {}", "trailing characters at line 1 column 4"),
        ("GGUF", "expected value at line 1 column 1"),
    ] {
        let message = format!("header cannot be read ({reason}); choose a .safetensors file");
        refused(&file_of(header, &[]), &message);
    }
    let deep = format!("{{\"__metadata__\":{}", "{\"a\":".repeat(100_000));
    assert!(Safetensors::parse(&file_of(&deep, &[])).is_err());
    let not_text = [&4u64.to_le_bytes()[..], &[b'{', b'"', 0xff, 0xfe]].concat();
    assert!(Safetensors::parse(&not_text).is_err());
}

#[test]
fn counts_are_accepted_up_to_their_limits() {
    let many = |count: usize| {
        let entry = r#"{"dtype":"U8","shape":[1],"data_offsets":"#;
        let tensors: Vec<String> = (0..count)
            .map(|i| format!("\"t{i}\":{entry}[{i},{}]}}", i + 1))
            .collect();
        file_of(&format!("{{{}}}", tensors.join(",")), &vec![0; count])
    };
    assert!(Safetensors::parse(&many(TENSORS_MAX)).is_ok());
    let error = Safetensors::parse(&many(TENSORS_MAX + 1)).expect_err("too many");
    assert!(
        error.to_string().contains("more than 16384 tensors"),
        "{error}"
    );

    let named = |len: usize| {
        let name = "n".repeat(len);
        file_of(
            &format!(r#"{{"{name}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#),
            &[0],
        )
    };
    assert!(Safetensors::parse(&named(TENSOR_NAME_BYTES_MAX)).is_ok());
    for len in [0, TENSOR_NAME_BYTES_MAX + 1] {
        let error = Safetensors::parse(&named(len))
            .expect_err("a bad name")
            .to_string();
        assert!(
            error.contains(&format!("a tensor name of {len} bytes, expected 1 to 256")),
            "{error}"
        );
    }

    let dimensions = |count: usize| {
        shaped(
            "U8",
            &vec!["1"; count - 1].join(",").replacen("1", "16", 1),
            0,
            16,
        )
    };
    assert!(Safetensors::parse(&dimensions(DIMENSIONS_MAX + 1)).is_ok());
    let error = Safetensors::parse(&dimensions(DIMENSIONS_MAX + 2)).expect_err("too many");
    assert!(
        error
            .to_string()
            .contains("a tensor with more than 8 dimensions"),
        "{error}"
    );

    let texts = |count: usize| {
        let texts: Vec<String> = (0..count).map(|i| format!("\"k{i}\":\"v\"")).collect();
        file_of(
            &format!("{{\"__metadata__\":{{{}}}}}", texts.join(",")),
            &[],
        )
    };
    assert!(Safetensors::parse(&texts(METADATA_ENTRIES_MAX)).is_ok());
    let error = Safetensors::parse(&texts(METADATA_ENTRIES_MAX + 1)).expect_err("too many");
    assert!(
        error
            .to_string()
            .contains("more than 4096 texts in __metadata__"),
        "{error}"
    );
}

#[test]
fn names_and_keys_that_stand_twice_are_refused() {
    let t = r#""t":{"dtype":"U8","shape":[16],"data_offsets":[0,16]}"#;
    let cases = [
        (format!("{{{t},{t}}}"), "tensor \"t\" is there twice"),
        // The same name, written in another way.
        (
            format!("{{{t},{}}}", t.replace("\"t\"", "\"\\u0074\"")),
            "tensor \"t\" is there twice",
        ),
        (
            "{\"__metadata__\":{},\"__metadata__\":{}}".to_owned(),
            "__metadata__ is there twice",
        ),
        (
            r#"{"t":{"dtype":"U8","dtype":"F32","shape":[16],"data_offsets":[0,16]}}"#.to_owned(),
            "duplicate field `dtype`",
        ),
        (
            r#"{"t":{"dtype":"U8","shape":[16],"data_offsets":[0,16],"more":1}}"#.to_owned(),
            "unknown field `more`",
        ),
        (
            r#"{"t":{"dtype":"U8","shape":[16]}}"#.to_owned(),
            "missing field `data_offsets`",
        ),
        (
            "{\"__metadata__\":{\"a\":1}}".to_owned(),
            "invalid type: integer `1`, expected a string",
        ),
    ];
    for (header, reason) in cases {
        let error = Safetensors::parse(&file_of(&header, &[0; 16]))
            .expect_err("refused")
            .to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn sizes_that_multiply_past_any_file_are_refused() {
    let max = u64::MAX;
    let huge = |shape: &str| {
        refused(
            &shaped("F32", shape, 0, 16),
            "tensor \"t\" is larger than any file can be",
        );
    };
    huge(&format!("{max}"));
    huge(&format!("{max},{max}"));
    huge(&format!("{max},{max},{max},{max},{max},{max},{max},{max}"));
    // The product wraps to 16 bytes in 64 bits.
    huge("4611686018427387905,4");
    huge("4294967296,4294967296");
    // The number of values fits, the number of bytes does not.
    huge("4611686018427387904");
    // The number of bytes fits, a position behind them need not.
    refused(
        &shaped("U8", "9223372036854775807", 0, 9_223_372_036_854_775_807),
        "tensor \"t\" ends at byte 9223372036854775807 of the data, which has 16; fetch it again",
    );
    // Two sizes whose sum wraps: the first is outside already.
    let half = i64::MAX as u64;
    let header = format!(
        r#"{{"a":{{"dtype":"U8","shape":[{half}],"data_offsets":[0,{half}]}},"b":{{"dtype":"U8","shape":[{half}],"data_offsets":[{half},{}]}}}}"#,
        2 * half
    );
    refused(
        &file_of(&header, &[0; 16]),
        &format!("tensor \"a\" ends at byte {half} of the data, which has 16; fetch it again"),
    );
    refused(
        &shaped("F32", "0", 0, 0),
        "tensor \"t\" has an empty dimension",
    );
    refused(
        &shaped("F32", "4,0,4", 0, 16),
        "tensor \"t\" has an empty dimension",
    );
    for shape in [
        "-1",
        "4.0",
        "1e1",
        "18446744073709551616",
        "\"4\"",
        "null",
        "[4]",
        "true",
    ] {
        assert!(
            Safetensors::parse(&shaped("F32", shape, 0, 16)).is_err(),
            "{shape}"
        );
    }
}

#[test]
fn types_are_known_and_fit_their_bytes() {
    for (dtype, values) in [
        ("U8", 16),
        ("BOOL", 16),
        ("F16", 8),
        ("BF16", 8),
        ("F32", 4),
        ("I64", 2),
        ("F64", 2),
    ] {
        assert!(
            Safetensors::parse(&shaped(dtype, &values.to_string(), 0, 16)).is_ok(),
            "{dtype}"
        );
        refused(
            &shaped(dtype, &(values / 2).to_string(), 0, 16),
            "tensor \"t\" ends at 16, its shape calls for 8",
        );
    }
    for dtype in ["", "f32", "F4", "F32 ", "Q4_0", "I128"] {
        refused(
            &shaped(dtype, "4", 0, 16),
            &format!("tensor \"t\" has type {dtype:?}, which is not known"),
        );
    }
    for dtype in ["1", "null", "[]"] {
        let text = format!(r#"{{"dtype":{dtype},"shape":[4],"data_offsets":[0,16]}}"#);
        assert!(Safetensors::parse(&entry(&text)).is_err());
    }
    // Integers are never read as floats of the same width.
    let file = shaped("I32", "4", 0, 16);
    let read = Safetensors::parse(&file).expect("valid");
    assert!(read.get("t").expect("there").tensor("t").is_none());
}

#[test]
fn tensors_follow_each_other_exactly() {
    let two = |a: [u64; 2], b: [u64; 2]| {
        let entry = |[begin, end]: [u64; 2]| {
            let len = end.wrapping_sub(begin);
            format!(r#"{{"dtype":"U8","shape":[{len}],"data_offsets":[{begin},{end}]}}"#)
        };
        file_of(
            &format!("{{\"a\":{},\"b\":{}}}", entry(a), entry(b)),
            &[0; 16],
        )
    };
    assert!(Safetensors::parse(&two([0, 6], [6, 16])).is_ok());
    // The order of names is not that of the data.
    assert!(Safetensors::parse(&two([6, 16], [0, 6])).is_ok());
    let follow = "tensors must follow each other";
    refused(
        &two([0, 6], [5, 16]),
        &format!("tensor \"b\" begins at 5, expected 6: {follow}"),
    );
    refused(
        &two([0, 6], [7, 16]),
        &format!("tensor \"b\" begins at 7, expected 6: {follow}"),
    );
    refused(
        &two([1, 6], [6, 16]),
        &format!("tensor \"a\" begins at 1, expected 0: {follow}"),
    );
    refused(
        &two([0, 16], [0, 16]),
        &format!("tensor \"b\" begins at 0, expected 16: {follow}"),
    );
    refused(
        &two([0, 6], [6, 17]),
        "tensor \"b\" ends at byte 17 of the data, which has 16; fetch it again",
    );
    refused(&two([0, 6], [6, 15]), "1 bytes follow the last tensor");
    refused(
        &shaped("U8", "16", 16, 0),
        &format!("tensor \"t\" begins at 16, expected 0: {follow}"),
    );
    refused(
        &shaped("U8", "16", 0, u64::MAX),
        "tensor \"t\" ends at 18446744073709551615, its shape calls for 16",
    );
    for offsets in ["[0]", "[0,16,16]", "[-1,16]", "[0,16.0]", "0", "null"] {
        let text = format!(r#"{{"dtype":"U8","shape":[16],"data_offsets":{offsets}}}"#);
        assert!(Safetensors::parse(&entry(&text)).is_err(), "{offsets}");
    }
}

#[test]
fn a_file_cut_anywhere_or_with_any_header_byte_changed_is_refused_or_read_as_others_do() {
    let file = safetensors(&two());
    for len in 0..file.len() {
        assert!(
            Safetensors::parse(&file[..len]).is_err(),
            "{len} of {}",
            file.len()
        );
    }
    let header = 8 + u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
    let mut accepted = 0;
    for at in 0..header {
        for change in 1..=255u8 {
            let mut spoiled = file.clone();
            spoiled[at] ^= change;
            let Ok(read) = Safetensors::parse(&spoiled) else {
                continue;
            };
            accepted += 1;
            // Whatever is accepted here is accepted by the format's own library, with the same bytes.
            let public = ::safetensors::SafeTensors::deserialize(&spoiled).expect("valid");
            for (name, stored) in read.tensors() {
                assert_eq!(stored.bytes, public.tensor(name).expect("there").data());
            }
        }
    }
    // Letters of names may change; nothing else may.
    assert!(accepted > 100, "{accepted}");
}
