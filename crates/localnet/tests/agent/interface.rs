//! The endpoints themselves: what plain HTTP requests get.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use assay_localnet::Localnet;
use assay_localnet_core::ingress::BODY_BYTES_MAX;
use candid::Principal;
use ic_agent::{Agent, Certificate, TransportCallResponse, hash_tree::LookupResult};

use crate::{agent, canister::install, start, user};

/// One request on a connection of its own; the status and the body.
fn http(network: &Localnet, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(network.address()).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A server that refuses a long body may close before it has read all of it.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a response");
    let status = std::str::from_utf8(&answer[9..12])
        .unwrap()
        .parse()
        .unwrap();
    (status, answer.split_off(end + 4))
}

pub(crate) fn text(network: &Localnet, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    let (status, body) = http(network, method, path, body);
    (status, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn status_names_the_network_and_its_root_key() {
    let network = start();
    let agent = agent(&network, user(1));
    let status = agent.status().await.unwrap();
    assert_eq!(
        status.root_key.as_deref(),
        Some(network.root_key().as_slice())
    );
    assert_eq!(status.replica_health_status.as_deref(), Some("healthy"));
    assert!(status.impl_version.unwrap().starts_with("assay-localnet "));
    let trusting = Agent::builder().with_url(network.url()).build().unwrap();
    trusting.fetch_root_key().await.unwrap();
    assert_eq!(trusting.read_root_key(), network.root_key());

    let (status, page) = text(&network, "GET", "/", b"");
    assert_eq!(status, 200);
    assert!(
        page.contains("not a replica of the public network")
            && page.contains(&network.application_subnet_id().to_text())
    );
}

#[test]
fn bad_requests_get_the_status_and_the_reason() {
    let network = start();
    let here = network.default_effective_canister();
    let call = format!("/api/v4/canister/{here}/call");
    let cases: &[(&str, &str, &[u8], u16, &str)] = &[
        ("POST", &call, b"", 400, "ends at byte 0"),
        ("POST", &call, b"\xa0", 400, "`content` is missing"),
        ("POST", &call, b"not cbor", 400, "not valid"),
        (
            "POST",
            "/api/v4/canister/nonsense/call",
            b"\xa0",
            400,
            "names no principal",
        ),
        ("GET", &call, b"", 405, ""),
        (
            "GET",
            "/api/v9/status",
            b"",
            404,
            "there is no endpoint GET /api/v9/status",
        ),
        (
            "POST",
            "/api/v4/subnet/aaaaa-aa/call",
            b"",
            404,
            "there is no endpoint",
        ),
    ];
    for (method, path, body, status, reason) in cases {
        let (found, text) = text(&network, method, path, body);
        assert_eq!(found, *status, "{method} {path}: {text}");
        assert!(text.contains(reason), "{method} {path}: {text}");
    }
    let (status, reason) = text(&network, "POST", &call, &vec![0; BODY_BYTES_MAX + 1]);
    assert_eq!(status, 413);
    assert!(reason.contains("more than 4194304 bytes"), "{reason}");
    let (status, _) = text(&network, "POST", &call, &vec![0; BODY_BYTES_MAX]);
    assert_eq!(status, 400, "a body at the limit is read");
}

#[tokio::test]
async fn requests_must_be_addressed_to_their_canister() {
    let network = start();
    let agent = agent(&network, user(1));
    let canister = install(&network, &agent).await;
    let other = network.topology().default_subnet().ranges[0].last_id();
    let signed = agent.update(&canister, "inc").sign().unwrap().signed_update;
    let (status, reason) = text(
        &network,
        "POST",
        &format!("/api/v4/canister/{other}/call"),
        &signed,
    );
    assert_eq!(status, 400);
    assert!(
        reason.contains(&format!("send it to /canister/{canister}/")),
        "{reason}"
    );

    let nowhere = Principal::management_canister();
    let create = agent
        .update(&nowhere, "provisional_create_canister_with_cycles")
        .with_arg(b"DIDL\x01\x6c\0\x01\0")
        .sign()
        .unwrap()
        .signed_update;
    let (status, reason) = text(
        &network,
        "POST",
        &format!("/api/v4/canister/{nowhere}/call"),
        &create,
    );
    assert_eq!(status, 400);
    assert!(
        reason.contains(&network.default_effective_canister().to_text()),
        "{reason}"
    );

    let query = agent.query(&canister, "get").sign().unwrap().signed_query;
    let (status, reason) = text(
        &network,
        "POST",
        &format!("/api/v4/canister/{canister}/call"),
        &query,
    );
    assert_eq!(status, 400);
    assert!(reason.contains("takes requests of type `call`"), "{reason}");
}

#[tokio::test]
async fn older_call_endpoints_answer_as_they_always_did() {
    let network = start();
    let agent = agent(&network, user(1));
    let canister = install(&network, &agent).await;

    let signed = agent.update(&canister, "inc").sign().unwrap();
    let (status, body) = http(
        &network,
        "POST",
        &format!("/api/v2/canister/{canister}/call"),
        &signed.signed_update,
    );
    assert_eq!((status, body.as_slice()), (202, b"".as_slice()));
    let (reply, _) = agent.wait(&signed.request_id, canister).await.unwrap();
    assert_eq!(reply, [1, 0, 0, 0]);

    let signed = agent.update(&canister, "inc").sign().unwrap();
    let (status, body) = http(
        &network,
        "POST",
        &format!("/api/v3/canister/{canister}/call"),
        &signed.signed_update,
    );
    assert_eq!(status, 200);
    let TransportCallResponse::Replied { certificate } = serde_cbor::from_slice(&body).unwrap()
    else {
        panic!("no certificate")
    };
    let certificate: Certificate = serde_cbor::from_slice(&certificate).unwrap();
    agent.verify(&certificate, canister).unwrap();
    let path = [
        b"request_status".as_slice(),
        signed.request_id.as_slice(),
        b"reply",
    ];
    assert_eq!(
        certificate.tree.lookup_path(path),
        LookupResult::Found(&[2, 0, 0, 0])
    );

    // Refused before it is executed: without a status where the endpoint has none.
    let absent = network.topology().default_subnet().ranges[0].last_id();
    let signed = agent.update(&absent, "inc").sign().unwrap();
    let (status, body) = http(
        &network,
        "POST",
        &format!("/api/v2/canister/{absent}/call"),
        &signed.signed_update,
    );
    assert_eq!(status, 200);
    let reject: ic_agent::agent::RejectResponse = serde_cbor::from_slice(&body).unwrap();
    assert_eq!(reject.error_code.as_deref(), Some("IC0301"));

    let signed = agent.query(&canister, "get").sign().unwrap();
    let (status, _) = http(
        &network,
        "POST",
        &format!("/api/v2/canister/{canister}/query"),
        &signed.signed_query,
    );
    assert_eq!(status, 200);
}
