//! Calls whose bytes are no arguments: each is refused before it has cost much, and changes nothing.

use assay_jobs_core::testing::stranger;
use assay_protocol::{
    Hash32, LeaseId,
    lease::{Claim, Opening},
};
use candid::{CandidType, Principal, encode_one};
use pocket_ic::ErrorCode;
use serde_bytes::ByteBuf;

use crate::chain::Chain;

/// Cycles that refusing a call may cost beside what its bytes cost anyway.
const COST_MAX: u128 = 500_000_000;
/// Cycles for a call to come in, and for each byte of it, at the prices of a subnet with 13 nodes.
const CALL_CYCLES: u128 = 1_200_000;
const BYTE_CYCLES: u128 = 2_000;

const VECTOR: u8 = 0x6d;
const RECORD: u8 = 0x6c;
const OPTION: u8 = 0x6e;
const VARIANT: u8 = 0x6b;
const NULL: u8 = 0x7f;
const NAT: u8 = 0x7d;
const INT: u8 = 0x7c;
const FLOAT64: u8 = 0x72;
const TEXT: u8 = 0x71;
const EMPTY: u8 = 0x6f;

/// LEB128.
fn number(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

/// Arguments of these types, with a table of types and bytes of values.
fn message(table: &[Vec<u8>], arguments: &[u8], values: &[u8]) -> Vec<u8> {
    let mut out = b"DIDL".to_vec();
    out.extend(number(table.len() as u64));
    out.extend(table.concat());
    out.extend(number(arguments.len() as u64));
    out.extend(arguments);
    out.extend(values);
    out
}

/// A record with these fields, by hash and type.
fn record(fields: &[(u32, u8)]) -> Vec<u8> {
    let mut out = vec![RECORD];
    out.extend(number(fields.len() as u64));
    for (hash, kind) in fields {
        out.extend(number((*hash).into()));
        out.push(*kind);
    }
    out
}

/// What no method takes, by what is wrong with it.
fn garbage() -> Vec<(&'static str, Vec<u8>)> {
    let long = |count: usize| number(count as u64);
    let mut nested: Vec<Vec<u8>> = (0..9_999)
        .map(|i| {
            let mut entry = vec![RECORD, 1, 0];
            entry.extend(number(i + 1));
            entry
        })
        .collect();
    nested.push(vec![RECORD, 0]);
    let mut wide_number = vec![0xff; 1_000_000];
    wide_number.push(0);
    let mut blob = long(1_000_000);
    blob.extend(vec![7; 1_000_000]);
    vec![
        ("nothing", Vec::new()),
        ("a header alone", b"DIDL".to_vec()),
        ("another header", b"DIDX\x00\x00".to_vec()),
        ("noise", (0..255).rev().collect()),
        ("zeros", vec![0; 1_900_000]),
        ("a text", message(&[], &[TEXT], b"\x05hello")),
        (
            "a vector of four billion nothings",
            message(&[vec![VECTOR, NULL]], &[0], b"\xff\xff\xff\xff\x0f"),
        ),
        (
            "ten thousand types",
            message(&vec![vec![OPTION, TEXT]; 10_000], &[0], b"\x00"),
        ),
        (
            "ten thousand and one types",
            message(&vec![vec![OPTION, TEXT]; 10_001], &[0], b"\x00"),
        ),
        (
            "a field of four billion nothings that nobody knows",
            message(
                &[record(&[(1, 1)]), vec![VECTOR, NULL]],
                &[0],
                b"\xff\xff\xff\xff\x0f",
            ),
        ),
        ("records ten thousand deep", message(&nested, &[0], b"")),
        (
            "a field of a million bytes that nobody knows",
            message(&[record(&[(1, 1)]), vec![VECTOR, 0x7b]], &[0], &blob),
        ),
        (
            "a field that has no value",
            message(&[record(&[(1, EMPTY)])], &[0], b""),
        ),
        (
            "a vector of what has no value",
            message(&[vec![VECTOR, EMPTY]], &[0], b"\xff\xff\xff\xff\x0f"),
        ),
        (
            "a number of a million bytes",
            message(&[], &[NAT], &wide_number),
        ),
        ("minus one", message(&[], &[INT], b"\x7f")),
        ("a float", message(&[], &[FLOAT64], &1.5_f64.to_le_bytes())),
        (
            "a variant's tag that is not there",
            message(&[vec![VARIANT, 1, 0, NULL]], &[0], b"\x05"),
        ),
        (
            "the same field twice",
            message(&[record(&[(5, TEXT), (5, TEXT)])], &[0], b"\x00\x00"),
        ),
        (
            "fields out of order",
            message(&[record(&[(9, TEXT), (5, TEXT)])], &[0], b"\x00\x00"),
        ),
        (
            "text in overlong UTF-8",
            message(&[], &[TEXT], b"\x02\xc0\xaf"),
        ),
        (
            "a type that refers to nothing",
            message(&[vec![OPTION, 9]], &[0], b"\x00"),
        ),
        (
            "a type that contains itself for ever",
            message(&[record(&[(0, 0)])], &[0], b""),
        ),
    ]
}

#[test]
fn bytes_that_are_no_arguments_are_refused_cheaply_and_change_nothing() {
    let mut chain = Chain::new(1, 0);
    let methods: [(Principal, &str); 6] = [
        (chain.jobs, "submit"),
        (chain.jobs, "reveal"),
        (chain.jobs, "stake"),
        (chain.jobs, "withdraw"),
        (chain.registry, "register_model"),
        (chain.registry, "register_provider"),
    ];
    let events = chain.stats().events;
    for (what, bytes) in garbage() {
        for (canister, method) in methods {
            let before = chain.cycles(canister);
            let told = chain.update_raw(stranger(), canister, method, bytes.clone());
            let reject = told.expect_err(what);
            assert!(
                matches!(
                    reject.error_code,
                    ErrorCode::CanisterCalledTrap | ErrorCode::CanisterTrapped
                ),
                "{method} with {what}: {reject:?}"
            );
            let cost = before - chain.cycles(canister);
            let due = CALL_CYCLES + BYTE_CYCLES * bytes.len() as u128;
            assert!(
                cost < due + COST_MAX,
                "{method} with {what} cost {cost}, of which {due} are for its bytes"
            );
        }
    }
    assert_eq!(chain.stats().events, events);
    chain.check_money().unwrap();
}

const PRINCIPAL: u8 = 0x68;

/// A commitment and a reveal whose hashes may have any length.
#[derive(CandidType)]
struct AnyCommit {
    lease: LeaseId,
    commitment: ByteBuf,
    claim: Option<Claim>,
}

#[derive(CandidType)]
struct AnyReveal {
    lease: LeaseId,
    nonce: ByteBuf,
    opening: Opening,
}

#[test]
fn values_that_their_types_do_not_have_are_refused_and_their_neighbours_are_read() {
    let mut chain = Chain::new(1, 0);
    let (jobs, registry) = (chain.jobs, chain.registry);
    let blob = |bytes: usize| ByteBuf::from(vec![1; bytes]);
    let model = |bytes: usize| encode_one(blob(bytes)).unwrap();
    let commit = |bytes: usize| {
        encode_one(AnyCommit {
            lease: LeaseId(1),
            commitment: blob(bytes),
            claim: None,
        })
        .unwrap()
    };
    let reveal = |bytes: usize| {
        let root = Hash32([1; 32]);
        encode_one(AnyReveal {
            lease: LeaseId(1),
            nonce: blob(bytes),
            opening: Opening::Agrees { root },
        })
        .unwrap()
    };
    let principal = |bytes: u8| {
        let value = [vec![1, bytes], vec![7; bytes.into()]].concat();
        message(&[], &[PRINCIPAL], &value)
    };
    let text = |value: &[u8]| message(&[], &[TEXT], value);
    // Just below 2^128, and exactly that.
    let most = [vec![0xff; 18], vec![3]].concat();
    let past = [vec![0x80; 18], vec![4]].concat();
    let nothings = |count: &[u8]| {
        let value = [b"\x01", count].concat();
        message(&[vec![VECTOR, NULL]], &[NAT, 0], &value)
    };
    let events = chain.stats().events;
    let short = "a hash has 32 bytes, this has 31";
    let long = "a hash has 32 bytes, this has 33";
    for (canister, method, bytes, problem) in [
        (
            registry,
            "drain_worker",
            principal(30),
            "Principal is longer than 29 bytes",
        ),
        (registry, "deprecate_model", model(31), short),
        (registry, "deprecate_model", model(33), long),
        (jobs, "commit", commit(31), short),
        (jobs, "commit", commit(33), long),
        (jobs, "reveal", reveal(31), short),
        (jobs, "reveal", reveal(33), long),
        (
            jobs,
            "pause",
            text(b"\x02\xc0\xaf"),
            "invalid utf-8 sequence",
        ),
        (
            jobs,
            "pause",
            text(b"\x03\xed\xa0\x80"),
            "invalid utf-8 sequence",
        ),
        (jobs, "pause", text(b"\x01\xc3"), "incomplete utf-8"),
        (jobs, "stake", message(&[], &[NAT], &past), "nat overflow"),
        (
            jobs,
            "stake",
            nothings(b"\xff\xff\xff\xff\x0f"),
            "Skipping cost exceeds the limit",
        ),
    ] {
        let told = chain.update_raw(stranger(), canister, method, bytes);
        let reject = told.expect_err(problem);
        assert!(
            reject.reject_message.contains(problem),
            "{method}: {reject:?}"
        );
    }
    for (canister, method, bytes) in [
        (registry, "drain_worker", principal(29)),
        (registry, "deprecate_model", model(32)),
        (jobs, "commit", commit(32)),
        (jobs, "reveal", reveal(32)),
        (jobs, "pause", text(b"\x02\xc3\xa9")),
        (jobs, "stake", message(&[], &[NAT], &most)),
        (jobs, "stake", nothings(b"\x02")),
    ] {
        let told = chain.update_raw(stranger(), canister, method, bytes);
        told.unwrap_or_else(|reject| panic!("{method}: {reject:?}"));
    }
    assert_eq!(chain.stats().events, events);
}
