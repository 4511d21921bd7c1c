//! Requests that are malformed, forged, late, early or too long.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::TcpStream,
    time::{Duration, SystemTime},
};

use assay_tests::http::{self, Answer};
use candid::Principal;
use ic_agent::Agent;
use pocket_ic::PocketIc;
use serde_cbor::Value;

use crate::harness::{address, anybody, post, probe, read};

/// Bytes of a request to the Internet Computer's own interface.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Bytes of an argument.
const ARG_BYTES_MAX: usize = 2 << 20;

#[track_caller]
fn refused(answer: &Answer, status: u16, says: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let text = answer.text().to_lowercase();
    assert!(!text.is_empty() && text.contains(says), "{text}");
}

/// Where a canister's calls, queries and reads go.
fn endpoints(canister: Principal) -> Vec<String> {
    let versions = [
        ("call", ["v2", "v3", "v4"].as_slice()),
        ("query", &["v2", "v3"]),
        ("read_state", &["v2", "v3"]),
    ];
    versions
        .into_iter()
        .flat_map(|(kind, versions)| {
            versions
                .iter()
                .map(move |version| format!("api/{version}/canister/{canister}/{kind}"))
        })
        .collect()
}

/// Somebody who signs calls and queries to a canister, by the instance's clock.
struct Signed {
    agent: Agent,
    canister: Principal,
    now: SystemTime,
}

impl Signed {
    fn new(network: &PocketIc, canister: Principal) -> Self {
        Self {
            agent: assay_tests::agent(network.get_server_url().as_str(), Vec::new(), 1),
            canister,
            now: network.get_time().try_into().unwrap(),
        }
    }

    fn call(&self, expiry: SystemTime) -> Vec<u8> {
        let call = self.agent.update(&self.canister, "add").expire_at(expiry);
        call.with_arg(candid::encode_one(1u64).unwrap())
            .sign()
            .unwrap()
            .signed_update
    }

    fn query(&self, expiry: SystemTime) -> Vec<u8> {
        let query = self.agent.query(&self.canister, "read").expire_at(expiry);
        query
            .with_arg(candid::encode_args(()).unwrap())
            .sign()
            .unwrap()
            .signed_query
    }

    /// Both, with where they go.
    fn requests(&self, expiry: SystemTime) -> [(String, Vec<u8>); 2] {
        let canister = self.canister;
        [
            (
                format!("api/v2/canister/{canister}/call"),
                self.call(expiry),
            ),
            (
                format!("api/v3/canister/{canister}/query"),
                self.query(expiry),
            ),
        ]
    }
}

/// The envelope after something has been done to it.
fn spoilt(signed: &[u8], spoil: impl FnOnce(&mut BTreeMap<Value, Value>)) -> Vec<u8> {
    let Value::Map(mut envelope) = serde_cbor::from_slice(signed).unwrap() else {
        panic!("no map")
    };
    spoil(&mut envelope);
    serde_cbor::to_vec(&Value::Map(envelope)).unwrap()
}

fn key(name: &str) -> Value {
    Value::Text(name.to_owned())
}

pub(super) fn malformed_cbor_is_refused_with_a_reason(network: &PocketIc) {
    let id = probe(network);
    let signed = Signed::new(network, id);
    let whole = signed.call(signed.now + Duration::from_secs(60));
    let mut malformed: Vec<Vec<u8>> = [
        b"".as_slice(),
        b"\xff",
        b"not cbor",
        b"\xd9\xd9\xf7",
        b"\xf6",
        b"\x80",
        b"\xa0",
        b"\xa1\x67content\x01",
        b"\xa1\x67content\xa0",
        b"\xa2\x67content\xa0\x67content\xa0",
        b"\xa1\x01\x02",
        // Lengths that nobody has the bytes for.
        b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x67content\xba\xff\xff\xff\xff",
        // Without end.
        b"\x9f",
        b"\xbf\x67content",
    ]
    .map(<[u8]>::to_vec)
    .to_vec();
    malformed.push([vec![0x81; 1 << 20], vec![0]].concat());
    malformed.push([[0xd9, 0xd9, 0xf7].repeat(100_000), vec![0xa0]].concat());
    malformed.extend(
        (1..whole.len())
            .step_by(7)
            .map(|length| whole[..length].to_vec()),
    );
    malformed.push([whole.as_slice(), b"\0"].concat());
    for body in &malformed {
        for endpoint in endpoints(id) {
            refused(&post(network, &endpoint, body), 400, "");
        }
    }
    assert_eq!(read(network, id), 0, "none of it was a call");
}

pub(super) fn wrong_signatures_are_refused(network: &PocketIc) {
    let id = probe(network);
    let signed = Signed::new(network, id);
    let other = assay_tests::agent(network.get_server_url().as_str(), Vec::new(), 2);
    let stranger = other.get_principal().unwrap();
    let expiry = signed.now + Duration::from_secs(60);
    for (endpoint, request) in signed.requests(expiry) {
        let forged = |spoil: fn(&mut BTreeMap<Value, Value>)| spoilt(&request, spoil);
        let content = |change: &dyn Fn(&mut BTreeMap<Value, Value>)| {
            spoilt(&request, |envelope| {
                match envelope.get_mut(&key("content")) {
                    Some(Value::Map(content)) => change(content),
                    other => panic!("no content: {other:?}"),
                }
            })
        };
        let bad = [
            forged(|envelope| match envelope.get_mut(&key("sender_sig")) {
                Some(Value::Bytes(signature)) => signature[7] ^= 1,
                other => panic!("no signature: {other:?}"),
            }),
            forged(|envelope| {
                envelope.insert(key("sender_sig"), Value::Bytes(vec![0; 64]));
            }),
            forged(|envelope| {
                envelope.insert(key("sender_sig"), Value::Bytes(Vec::new()));
            }),
            forged(|envelope| {
                envelope.insert(key("sender_sig"), Value::Bytes(vec![7; 100_000]));
            }),
            forged(|envelope| {
                envelope.remove(&key("sender_sig"));
            }),
            forged(|envelope| {
                envelope.remove(&key("sender_pubkey"));
            }),
            forged(|envelope| {
                envelope.insert(key("sender_pubkey"), Value::Bytes(vec![0x30; 44]));
            }),
            // Somebody else's name, an argument that was not signed, and a signature of nobody's.
            content(&|content| {
                let sender = Value::Bytes(stranger.as_slice().to_vec());
                content.insert(key("sender"), sender);
            }),
            content(&|content| {
                content.insert(key("arg"), Value::Bytes(b"other".to_vec()));
            }),
            content(&|content| {
                content.insert(key("sender"), Value::Bytes(vec![4]));
            }),
        ];
        for body in bad {
            refused(&post(network, &endpoint, &body), 400, "");
        }
    }
    assert_eq!(read(network, id), 0, "none of it was a call");
    // What they were made of is good.
    let (endpoint, request) = &signed.requests(expiry)[0];
    assert_eq!(post(network, endpoint, request).status, 202);
    network.tick();
    assert_eq!(read(network, id), 1);
    // Sent once more it is the same call.
    assert_eq!(post(network, endpoint, request).status, 202);
    network.tick();
    assert_eq!(read(network, id), 1);
}

pub(super) fn expired_and_early_requests_are_refused(network: &PocketIc) {
    let id = probe(network);
    let signed = Signed::new(network, id);
    let second = Duration::from_secs(1);
    for expiry in [
        signed.now - second,
        signed.now - 86_400 * second,
        SystemTime::UNIX_EPOCH,
        signed.now + 600 * second,
        signed.now + 86_400 * second,
    ] {
        for (endpoint, request) in signed.requests(expiry) {
            // Clients set their clocks when they read this.
            refused(
                &post(network, &endpoint, &request),
                400,
                "invalid request expiry: ",
            );
        }
    }
    // A call that is taken in but comes too late to be started is not executed.
    let (endpoint, request) = &signed.requests(signed.now + 60 * second)[0];
    assert_eq!(post(network, endpoint, request).status, 202);
    network.advance_time(120 * second);
    network.tick();
    network.tick();
    assert_eq!(read(network, id), 0);
}

pub(super) fn oversized_bodies_are_refused(network: &PocketIc) {
    let id = probe(network);
    for endpoint in endpoints(id) {
        let body = vec![0; BODY_BYTES_MAX + 1];
        refused(&post(network, &endpoint, &body), 413, "");
    }
    let long = network.submit_call(id, anybody(), "add", vec![0; ARG_BYTES_MAX + 1]);
    assert!(!long.unwrap_err().certified);
    let path = format!("/{}", "a".repeat(60_000));
    let answer = http::ask(&address(network), "GET", "localhost", &path, &[], b"");
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    let many: Vec<String> = (0..1_000).map(|number| format!("x-{number}: y")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let answer = http::ask(&address(network), "GET", "localhost", "/", &many, b"");
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    assert_eq!(read(network, id), 0);
}

pub(super) fn json_that_makes_no_sense_is_refused(network: &PocketIc) {
    let deep = "[".repeat(1 << 20);
    let long = format!("{{\"canister_id\":\"{}\"}}", "A".repeat(1 << 20));
    let many = format!("{{\"nanos_since_epoch\":{}}}", "9".repeat(1 << 20));
    let bodies = [
        "",
        "{",
        "nothing",
        "[1,2",
        "\u{0}",
        "{\"canister_id\":7}",
        "{\"canister_id\":\"not base64\"}",
        "{\"nanos_since_epoch\":-1}",
        "{\"nanos_since_epoch\":0}",
        "{\"amount\":1e400}",
        &deep,
        &long,
        &many,
    ];
    for path in [
        "read/get_cycles",
        "read/get_subnet",
        "read/query",
        "read/ingress_status",
        "read/get_stable_memory",
        "update/set_time",
        "update/add_cycles",
        "update/set_stable_memory",
        "update/submit_ingress_message",
        "update/await_ingress_message",
        "update/mock_canister_http",
    ] {
        for body in bodies {
            let answer = post(network, path, body.as_bytes());
            refused(&answer, 400, "message");
            assert!(answer.body.len() < 10_000, "an answer is not a copy");
        }
    }
}

pub(super) fn connections_that_break_off_are_forgotten(network: &PocketIc) {
    let path = format!("/instances/{}/read/query", network.instance_id());
    let promised =
        format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000000\r\n\r\n");
    let beginnings = [
        b"".as_slice(),
        b"POST",
        b"GET / HTTP/1.1\r\nhost: local",
        promised.as_bytes(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    ];
    for beginning in beginnings {
        let mut open = Vec::new();
        for _ in 0..50 {
            let mut stream = TcpStream::connect(address(network)).unwrap();
            stream.write_all(beginning).unwrap();
            // It may have been closed already.
            let _ = stream.write_all(&[b'x'; 10_000]);
            open.push(stream);
        }
        network.tick();
    }
}
