use alloc::{format, string::ToString as _, vec};
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::model::tiny::Mix;

fn compiled(schema: &str) -> Constraint {
    Constraint::json_schema(schema).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

/// Whether a text is admitted whole, and nothing is missing.
fn admits(constraint: &Constraint, text: &str) -> bool {
    let mut state = constraint.start();
    constraint.advance(&mut state, text.as_bytes()) && state.may_end()
}

/// Checks texts that a schema must admit and others that it must not.
fn check(schema: &str, good: &[&str], bad: &[&str]) {
    let constraint = compiled(schema);
    for text in good {
        assert!(admits(&constraint, text), "{schema} must admit {text}");
    }
    for text in bad {
        assert!(!admits(&constraint, text), "{schema} must refuse {text}");
    }
}

fn refusal(schema: &str) -> String {
    Constraint::json_schema(schema)
        .expect_err("refused")
        .to_string()
}

#[test]
fn any_json_is_admitted_and_nothing_else() {
    check(
        "true",
        &[
            "null",
            " true",
            "false",
            "0",
            "-0",
            "-12.50e+3",
            "1E9",
            r#""""#,
            r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00 é漢😀""#,
            "[]",
            "[ ]",
            "[1, [2,\n[ 3 ] ], {}]",
            "{ }",
            r#"{"a":1}"#,
            "{\"a\": {\"b\" : 1}}".replace(" :", ":").as_str(),
            "\n{\n  \"a\": [1, 2],\n  \"b\": \"c\"\n}",
        ],
        &[
            "",
            " ",
            "nul",
            "nulll",
            "True",
            "01",
            "1.",
            ".5",
            "1e",
            "+1",
            "--1",
            "1 ",
            "\"",
            "\"\n\"",
            r#""\x""#,
            r#""\u12g4""#,
            r#""\ud83d""#,
            r#""\ud83dx""#,
            r#""\ude00""#,
            r#""\ud83d\u0041""#,
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{a:1}"#,
            r#"{"a":1 "b":2}"#,
            "{}{}",
        ],
    );
}

#[test]
fn strings_are_well_formed_utf8() {
    let constraint = compiled(r#"{"type":"string"}"#);
    let admits = |bytes: &[u8]| {
        let mut state = constraint.start();
        constraint.advance(&mut state, b"\"")
            && constraint.advance(&mut state, bytes)
            && constraint.advance(&mut state, b"\"")
    };
    for c in [
        '\u{20}', '\u{7f}', '\u{80}', '\u{7ff}', '\u{800}', '\u{fff}', '\u{1000}', '\u{cfff}',
    ]
    .into_iter()
    .chain([
        '\u{d7ff}',
        '\u{e000}',
        '\u{ffff}',
        '\u{10000}',
        '\u{3ffff}',
        '\u{40000}',
    ])
    .chain(['\u{fffff}', '\u{100000}', '\u{10ffff}'])
    {
        assert!(admits(c.to_string().as_bytes()), "{c:?}");
    }
    for bytes in [
        &[0x1f][..],
        &[0x80],
        &[0xc0, 0x80],
        &[0xc1, 0xbf],
        &[0xc2, 0x7f],
        &[0xe0, 0x9f, 0xbf],
        &[0xed, 0xa0, 0x80],
        &[0xf0, 0x8f, 0xbf, 0xbf],
        &[0xf4, 0x90, 0x80, 0x80],
        &[0xf5, 0x80, 0x80, 0x80],
        &[0xe6, 0xbc],
    ] {
        assert!(!admits(bytes), "{bytes:x?}");
    }
}

#[test]
fn members_come_in_order_and_required_ones_must() {
    check(
        r#"{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"boolean"},"c":{"type":"null"}},
            "required":["b"],"additionalProperties":false}"#,
        &[
            r#"{"b":true}"#,
            r#"{"a":1,"b":true}"#,
            r#"{"b": false, "c": null}"#,
            "{ \"a\": -7,\n \"b\":true, \"c\":null }",
        ],
        &[
            "{}",
            r#"{"a":1}"#,
            r#"{"b":true,"a":1}"#,
            r#"{"b":1}"#,
            r#"{"b":true,"b":true}"#,
            r#"{"b":true,"d":1}"#,
            r#"{"b":true,}"#,
            r#"{"c":null}"#,
            r#"{,"b":true}"#,
        ],
    );
}

#[test]
fn additional_members_cannot_take_the_name_of_a_known_one() {
    check(
        r#"{"properties":{"ab":{"type":"integer"},"é":{"type":"integer"},"a\"":{"type":"integer"},"":{"type":"null"}}}"#,
        &[
            "{}",
            r#"{"ab":1}"#,
            r#"{"a":"x","abc":"y","b":[],"e":1,"è":2,"éa":3}"#,
            r#"{"ab":1,"é":2,"a\"":3,"":null,"x":"y"}"#,
        ],
        &[
            r#"{"ab":"x"}"#,
            r#"{"é":"x"}"#,
            r#"{"z":1,"ab":"x"}"#,
            r#"{"\u0061b":"x"}"#,
            r#"{"a\"":"x"}"#,
            r#"{"":1}"#,
        ],
    );
    check(
        r#"{"type":"object","additionalProperties":{"type":"integer"},"required":["n"]}"#,
        &[r#"{"n":1}"#, r#"{"n":1,"m":2}"#],
        &["{}", r#"{"m":2}"#, r#"{"n":"x"}"#, r#"{"n":1,"m":"x"}"#],
    );
}

#[test]
fn lists_keep_their_items_and_their_length() {
    check(
        r#"{"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3}"#,
        &["[1,2]", "[1, 2, 3]"],
        &["[]", "[1]", "[1,2,3,4]", r#"[1,"2"]"#, "[1,2,]"],
    );
    check(
        r#"{"items":{"type":"integer"},"minItems":1}"#,
        &["[1]", "[1,2,3,4,5]"],
        &["[]"],
    );
    check(
        r#"{"prefixItems":[{"type":"null"},{"type":"boolean"}],"items":{"type":"integer"}}"#,
        &["[]", "[null]", "[null,true]", "[null,true,1,2,3]"],
        &["[true]", "[null,1]", "[null,true,null]"],
    );
    check(
        r#"{"prefixItems":[{"type":"null"}],"items":false}"#,
        &["[]", "[null]"],
        &["[null,null]"],
    );
    check(r#"{"type":"array","maxItems":0}"#, &["[]", "[ ]"], &["[1]"]);
    check(r#"{"type":"array"}"#, &["[]", "[1,\"a\"]"], &["{}"]);
}

#[test]
fn strings_are_counted_in_characters() {
    check(
        r#"{"type":"string","minLength":2,"maxLength":3}"#,
        &[r#""ab""#, r#""é漢😀""#, r#""\n\ud83d\ude00""#],
        &[r#""""#, r#""a""#, r#""abcd""#, r#""\ud83d\ude00""#],
    );
    check(
        r#"{"minLength":2}"#,
        &[r#""ab""#, r#""abcdef""#],
        &[r#""a""#],
    );
    check(r#"{"maxLength":0}"#, &[r#""""#], &[r#""a""#]);
}

#[test]
fn choices_constants_and_references() {
    check(
        r#"{"enum":["red","gr\"een",3,-1.50,null,{"a":[1,"b"]}]}"#,
        &[
            r#""red""#,
            r#""gr\"een""#,
            "3",
            "-1.50",
            "null",
            r#"{"a":[1,"b"]}"#,
            r#"{ "a": [ 1, "b" ] }"#,
        ],
        &[r#""blue""#, "3.0", "-1.5", r#"{"a":[1]}"#],
    );
    check(
        r#"{"const":"x","type":"string"}"#,
        &[r#""x""#],
        &["x", r#""y""#],
    );
    check(r#"{"type":"integer","enum":[1,"a"]}"#, &["1"], &[r#""a""#]);
    check(r#"{"type":["string","null"]}"#, &["null", r#""a""#], &["1"]);
    check(
        r#"{"anyOf":[{"type":"integer"},{"type":"number"},{"type":"array","items":{"type":"integer"}}]}"#,
        &["1", "1.5", "[1]"],
        &["\"a\"", "[1.5]"],
    );
    check(
        r##"{"$defs":{"node":{"type":"object","properties":{"value":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},
            "required":["value","next"],"additionalProperties":false}},"$ref":"#/$defs/node"}"##,
        &[r#"{"value":1,"next":{"value":2,"next":null}}"#],
        &[r#"{"value":1}"#, r#"{"value":1,"next":2}"#],
    );
    check(
        r##"{"type":"array","items":{"$ref":"#"},"title":"nothing but lists"}"##,
        &["[]", "[[],[[]]]"],
        &["[1]"],
    );
    check(
        r##"{"allOf":[{"$ref":"#/$defs/a~1b~0c"}],"$defs":{"a/b~c":{"type":"null"}}}"##,
        &["null"],
        &["1"],
    );
}

#[test]
fn integers_keep_their_bounds() {
    let bounds: [(Option<i64>, Option<i64>); 12] = [
        (Some(0), Some(0)),
        (Some(1), Some(10)),
        (Some(7), None),
        (None, Some(7)),
        (Some(-7), None),
        (None, Some(-7)),
        (Some(-123), Some(45)),
        (Some(95), Some(1_203)),
        (Some(-9), Some(-9)),
        (Some(-1_050), Some(-99)),
        (Some(0), None),
        (Some(199), Some(201)),
    ];
    for (low, high) in bounds {
        let mut schema = r#"{"type":"integer""#.to_string();
        for (key, bound) in [("minimum", low), ("maximum", high)] {
            if let Some(bound) = bound {
                schema += &format!(r#","{key}":{bound}"#);
            }
        }
        let constraint = compiled(&(schema + "}"));
        for n in -1_500..=1_500 {
            let inside = low.is_none_or(|low| low <= n) && high.is_none_or(|high| n <= high);
            assert_eq!(
                admits(&constraint, &n.to_string()),
                inside,
                "{n} in {low:?}..={high:?}"
            );
        }
        for text in ["-0", "01", "-", "", "1.0"] {
            assert!(!admits(&constraint, text), "{text:?} in {low:?}..={high:?}");
        }
        let far = "1234567890123456789012345";
        assert_eq!(admits(&constraint, far), high.is_none());
        assert_eq!(admits(&constraint, &format!("-{far}")), low.is_none());
    }
    check(
        r#"{"type":"integer","exclusiveMinimum":1,"exclusiveMaximum":4}"#,
        &["2", "3"],
        &["1", "4"],
    );
    check(
        r#"{"type":"integer"}"#,
        &["0", "-0", "-12"],
        &["1.5", "1e3", "007"],
    );
}

#[test]
fn white_space_ends_at_its_limit() {
    let space = |n| format!("{}{{}}", " ".repeat(n));
    let constraint = Constraint::json_object();
    assert!(admits(&constraint, &space(SPACE_BYTES_MAX)));
    assert!(!admits(&constraint, &space(SPACE_BYTES_MAX + 1)));
}

#[test]
fn nesting_ends_at_its_limit() {
    let lists = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let constraint = compiled("true");
    assert!(admits(&constraint, &lists(NESTING_MAX as usize)));
    assert!(!admits(&constraint, &lists(NESTING_MAX as usize + 1)));
    // At the limit a value that is neither object nor list is still to be had.
    let mut state = constraint.start();
    let open = r#"{"a":"#.repeat(NESTING_MAX as usize);
    assert!(constraint.advance(&mut state, open.as_bytes()));
    assert!(!constraint.advance(&mut state.clone(), b"{"));
    let close = format!("1{}", "}".repeat(NESTING_MAX as usize));
    assert!(constraint.advance(&mut state, close.as_bytes()) && state.must_end());
}

#[test]
fn a_complete_text_admits_nothing_more_unless_it_is_a_number() {
    let ends = |schema: &str, text: &str| {
        let constraint = compiled(schema);
        let mut state = constraint.start();
        assert!(constraint.advance(&mut state, text.as_bytes()));
        (state.may_end(), state.must_end())
    };
    assert_eq!(ends("true", "{}"), (true, true));
    assert_eq!(ends("true", "\"a\""), (true, true));
    assert_eq!(ends("true", "12"), (true, false));
    assert_eq!(ends("true", "12."), (false, false));
    assert_eq!(
        ends(r#"{"type":"integer","maximum":9,"minimum":0}"#, "5"),
        (true, true)
    );
}

#[test]
fn what_is_not_understood_is_refused_by_name_and_place() {
    for (schema, message) in [
        ("{", "JSON is wrong at byte 1"),
        ("[1]", "schema at #: a schema is an object or a truth value"),
        ("false", "schema at #: nothing is valid here"),
        (
            r#"{"a":1,"a":2}"#,
            "JSON has the same name twice in one object at byte 7",
        ),
        (
            r#"{"type":"string","pattern":"a+"}"#,
            "schema at #: \"pattern\" is not supported here",
        ),
        (
            r#"{"properties":{"x":{"oneOf":[]}}}"#,
            "schema at #/properties/x: \"oneOf\" is not supported here",
        ),
        (
            r#"{"type":"text"}"#,
            "schema at #: type \"text\" is not known",
        ),
        (
            r#"{"type":3}"#,
            "schema at #: \"type\" is neither a name nor a list of names",
        ),
        (r#"{"enum":[]}"#, "schema at #: nothing is valid here"),
        (
            r#"{"enum":["a"],"type":"null"}"#,
            "schema at #: nothing is valid here",
        ),
        (
            r#"{"anyOf":[]}"#,
            "schema at #/anyOf: not a list of schemas",
        ),
        (
            r#"{"allOf":[true,true]}"#,
            "schema at #/allOf: more than one schema is not supported here; merge them",
        ),
        (
            r#"{"anyOf":[true],"type":"null"}"#,
            "schema at #: \"type\" is not supported here",
        ),
        (
            r##"{"$ref":"#/a"}"##,
            "schema at #: \"#/a\" is not in this schema",
        ),
        (
            r##"{"$ref":"#a"}"##,
            "schema at #: \"#a\" is not in this schema",
        ),
        (
            r#"{"$ref":"http://x"}"#,
            "schema at #: \"http://x\" is not in this schema",
        ),
        (
            r#"{"minItems":-1}"#,
            "schema at #: \"minItems\" is not a count",
        ),
        (
            r#"{"minItems":2,"maxItems":1}"#,
            "schema at #: a list cannot be that short and that long",
        ),
        (
            r#"{"prefixItems":[true],"items":false,"minItems":2}"#,
            "schema at #: a list cannot be that short and that long",
        ),
        (
            r#"{"minLength":2,"maxLength":1}"#,
            "schema at #: a string cannot be that short and that long",
        ),
        (
            r#"{"type":"integer","minimum":2,"exclusiveMaximum":2}"#,
            "schema at #: no integer is within these bounds",
        ),
        (
            r#"{"type":"number","minimum":2}"#,
            "schema at #: bounds are supported for integers only",
        ),
        (
            r#"{"type":"integer","minimum":2.5}"#,
            "schema at #: \"minimum\" is not an integer up to 2^53",
        ),
        (
            r#"{"required":["a"],"additionalProperties":false}"#,
            "schema at #: \"a\" is required but not allowed",
        ),
        (
            r##"{"$ref":"#"}"##,
            "schema refers to itself without an object or a list between; break the circle",
        ),
        (
            r##"{"anyOf":[{"type":"null"},{"$ref":"#"}]}"##,
            "schema refers to itself without an object or a list between; break the circle",
        ),
    ] {
        assert_eq!(refusal(schema), message, "{schema}");
    }
}

#[test]
fn schemas_are_refused_just_past_their_limits() {
    let spaced = |len: usize| format!("{}true", " ".repeat(len - 4));
    assert!(Constraint::json_schema(&spaced(SCHEMA_BYTES_MAX)).is_ok());
    assert_eq!(
        Constraint::json_schema(&spaced(SCHEMA_BYTES_MAX + 1)).unwrap_err(),
        ConstraintError::Json(JsonError::Length(SCHEMA_BYTES_MAX + 1))
    );

    let deep = |n: usize| format!("{{\"const\":{}{}}}", "[".repeat(n), "]".repeat(n));
    assert!(Constraint::json_schema(&deep(SCHEMA_DEPTH_MAX)).is_ok());
    assert!(matches!(
        Constraint::json_schema(&deep(SCHEMA_DEPTH_MAX + 1)).unwrap_err(),
        ConstraintError::Json(JsonError::Depth(_))
    ));
    // A long way round through references counts as well.
    let chain = |n: usize| {
        let links: Vec<String> = (0..n)
            .map(|i| format!(r##""{i}":{{"items":{{"$ref":"#/$defs/{}"}}}}"##, i + 1))
            .collect();
        format!(
            r##"{{"$defs":{{{},"{n}":true}},"$ref":"#/$defs/0"}}"##,
            links.join(",")
        )
    };
    assert!(Constraint::json_schema(&chain(20)).is_ok());
    assert!(refusal(&chain(1_000)).contains("more than 64 schemas deep; flatten it"));

    let named = |len: usize| format!(r#"{{"properties":{{"{}":true}}}}"#, "n".repeat(len));
    assert!(Constraint::json_schema(&named(NAME_BYTES_MAX)).is_ok());
    assert!(refusal(&named(NAME_BYTES_MAX + 1)).contains("a name is longer than 256 bytes"));

    for schema in [
        r#"{"type":"string","minLength":70000}"#,
        r#"{"type":"array","minItems":9007199254740993}"#,
        r#"{"type":"string","maxLength":1000000000}"#,
    ] {
        assert_eq!(
            Constraint::json_schema(schema).unwrap_err(),
            ConstraintError::TooLarge
        );
    }
}

/// Tokens of one to five bytes that are likely in JSON, the single bytes among them.
fn pieces() -> Pieces {
    let mut mix = Mix::new(3);
    let mut table: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let parts: [&[u8]; 18] = [
        b"{", b"}", b"[", b"]", b"\"", b":", b",", b" ", b"\n", b"a", b"b", b"1", b"0", b"-",
        b"true", b"\\", b"\xc3", b"\xa9",
    ];
    for _ in 0..400 {
        let len = 2 + mix.below(4);
        let piece = (0..len).flat_map(|_| parts[mix.below(18) as usize].to_vec());
        table.push(piece.collect());
    }
    table.push(Vec::new());
    Pieces::new(table).unwrap()
}

#[test]
fn a_mask_is_what_each_token_alone_would_find() {
    let pieces = pieces();
    let vocab = pieces.len();
    let end_tokens = [3, vocab as u32 - 1];
    let mut mix = Mix::new(4);
    for schema in [
        "true",
        r#"{"type":"object"}"#,
        r#"{"properties":{"a":{"type":"integer"},"b":{"items":{"type":"boolean"}}},"required":["b"]}"#,
        r#"{"anyOf":[{"type":"array"},{"type":"string","maxLength":3},{"enum":["a","é"]}]}"#,
    ] {
        let constraint = compiled(schema);
        for _ in 0..20 {
            let mut state = constraint.start();
            for _ in 0..30 {
                let mask = constraint.mask(&state, &pieces, &end_tokens, vocab);
                let alone = |token: u32| match end_tokens.contains(&token) {
                    true => state.may_end(),
                    false => {
                        let piece = pieces.get(token);
                        !piece.is_empty() && constraint.advance(&mut state.clone(), piece)
                    }
                };
                let allowed: Vec<u32> = (0..vocab as u32).filter(|t| alone(*t)).collect();
                let found: Vec<u32> = (0..vocab as u32).filter(|t| mask.allows(*t)).collect();
                assert_eq!(found, allowed, "{schema}");
                let going_on: Vec<u32> = allowed
                    .into_iter()
                    .filter(|t| !end_tokens.contains(t))
                    .collect();
                if going_on.is_empty() {
                    assert!(state.must_end());
                    break;
                }
                let token = going_on[mix.below(going_on.len() as u64) as usize];
                assert!(constraint.advance(&mut state, pieces.get(token)));
            }
        }
    }
}

#[test]
fn work_is_limited_and_its_limit_is_no_error() {
    // Every list may be of either kind at every depth, so positions double.
    let schema = r##"{"$defs":{"a":{"items":{"$ref":"#/$defs/x"}},"b":{"items":{"$ref":"#/$defs/x"}},
        "x":{"anyOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"}]}},"$ref":"#/$defs/x"}"##;
    let constraint = compiled(schema);
    let mut state = constraint.start();
    let mut depth = 0;
    while constraint.advance(&mut state.clone(), b"[") {
        assert!(constraint.advance(&mut state, b"["));
        depth += 1;
    }
    assert!((5..20).contains(&depth), "{depth}");
    assert!(admits(
        &constraint,
        &format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    ));
    assert!(!admits(
        &constraint,
        &format!("{}{}", "[".repeat(depth + 1), "]".repeat(depth + 1))
    ));
}

#[test]
fn tokens_of_many_optional_members_are_found() {
    let members: Vec<String> = (0..150)
        .map(|i| format!(r#""m{i}":{{"type":"integer"}}"#))
        .collect();
    let schema = format!(
        r#"{{"properties":{{{}}},"additionalProperties":false}}"#,
        members.join(",")
    );
    let constraint = compiled(&schema);
    assert!(admits(&constraint, r#"{"m0":1,"m77":2, "m149":3}"#));
    assert!(!admits(&constraint, r#"{"m77":1,"m0":2}"#));
    let mask = constraint.mask(&constraint.start(), &pieces(), &[], 657);
    let names: BTreeSet<&[u8]> = BTreeSet::from([b"{".as_slice(), b"{\"", b"{}", b"{ "]);
    let table = pieces();
    for token in 0..256 {
        let piece = table.get(token);
        assert_eq!(
            mask.allows(token),
            names.contains(piece) || b" \n\r\t".contains(&piece[0]),
            "{piece:?}"
        );
    }
}

/// A value of the kind that models write.
fn json(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_string()),
        Just("true".to_string()),
        any::<i32>().prop_map(|n| n.to_string()),
        (any::<i16>(), 0u32..99).prop_map(|(n, f)| format!("{n}.{f}e-{f}")),
        "[^\\x00-\\x1f]{0,6}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        let member = ("[^\"\\\\\\x00-\\x1f]{0,4}", inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(member, 0..4).prop_map(|members| {
                let named = members.iter().enumerate();
                let text = named.map(|(i, (key, value))| format!("\"{i}{key}\": {value}"));
                format!("{{{}}}", text.collect::<Vec<_>>().join(","))
            }),
        ]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn json_is_admitted_and_what_is_admitted_is_json(text in json(3), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let constraint = compiled("true");
        prop_assert!(admits(&constraint, &text), "{}", text);
        let mut changed = text.into_bytes();
        let at = at.index(changed.len());
        changed[at] = byte;
        let mut state = constraint.start();
        if constraint.advance(&mut state, &changed) && state.may_end() {
            // JSON puts no bound on numbers; that library has one.
            let read = serde_json::from_slice::<serde_json::Value>(&changed);
            let bound = |error: &serde_json::Error| {
                error.to_string().starts_with("number out of range")
            };
            prop_assert!(
                read.as_ref().err().is_none_or(bound),
                "{:?}: {}",
                read,
                String::from_utf8_lossy(&changed)
            );
        }
    }

    #[test]
    fn a_constant_admits_itself(text in json(2)) {
        let constraint = compiled(&format!("{{\"const\":{text}}}").replace("\\u007f", "\u{7f}"));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        if !text.contains('.') {
            let spelled = serde_json::to_string(&value).unwrap();
            // Members may be sorted by that library, so only what has none is compared.
            if !text.contains('{') {
                prop_assert!(admits(&constraint, &spelled), "{} {}", text, spelled);
            }
        }
        let longer = format!("{text} ");
        prop_assert!(!admits(&constraint, &longer));
    }

    #[test]
    fn no_schema_text_is_too_strange_to_be_answered(text in "[\\[\\]{}\",:0-9a-z$#/ \\\\]{0,40}") {
        if let Ok(constraint) = Constraint::json_schema(&text) {
            prop_assert!(!constraint.start().may_end(), "no value is an empty text: {}", text);
        }
    }
}
