//! The network's own interface beside the canisters' pages, and requests from other origins.

use crate::harness::{Site, refused};

#[test]
fn the_interface_answers_on_every_host() {
    let site = Site::pages();
    let key = site.root_key();
    for host in [&site.host(), "localhost", "127.0.0.1", "net.internal:4943"] {
        let status = site.ask("GET", host, "/api/v2/status", &[], b"");
        assert_eq!(status.status, 200, "{host}");
        assert!(
            status.body.windows(key.len()).any(|window| window == key),
            "{host}: no root key"
        );
        assert_eq!(status.header("access-control-allow-origin"), Some("*"));
    }
    for (host, path) in [("localhost", "/"), (&site.host(), "/_/dashboard")] {
        let page = site.ask("GET", host, path, &[], b"");
        refused(&page, 200, "not a replica of the public network");
        refused(&page, 200, "http://&lt;canister-id&gt;.localhost");
    }
    refused(
        &site.get("/api/nothing"),
        404,
        "there is no endpoint GET /api/nothing",
    );
}

#[test]
fn an_agent_reaches_the_network_through_a_canisters_host() {
    let site = Site::pages();
    let url = format!("http://{}", site.host());
    let Ok(agent) = ic_agent::Agent::builder().with_url(url).build() else {
        panic!("no agent")
    };
    // Where names below localhost are not resolved, there is nothing to reach.
    if std::net::ToSocketAddrs::to_socket_addrs(&site.host()).is_ok() {
        assay_tests::block_on(agent.fetch_root_key()).unwrap();
        assert_eq!(agent.read_root_key(), site.root_key());
    }
}

#[test]
fn browsers_may_ask_from_other_origins() {
    let site = Site::pages();
    let asks = [
        "origin: https://a.example",
        "access-control-request-method: POST",
        "access-control-request-headers: content-type",
    ];
    let call = format!("/api/v4/canister/{}/call", site.id);
    for (host, path) in [
        ("localhost", call.as_str()),
        (&site.host(), &call),
        (&site.host(), "/"),
        (&site.host(), "/trap"),
    ] {
        let answer = site.ask("OPTIONS", host, path, &asks, b"");
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let allows =
            |name, value: &str| answer.header(name).is_some_and(|list| list.contains(value));
        assert!(allows("access-control-allow-methods", "POST"), "{answer:?}");
        assert!(
            allows("access-control-allow-headers", "content-type"),
            "{answer:?}"
        );
    }
    let own = site.ask("OPTIONS", &site.raw_host(), "/preflight", &asks, b"");
    assert_eq!(own.status, 204);
    assert_eq!(
        own.header("access-control-allow-origin"),
        Some("https://a.example"),
        "what a canister says stands"
    );
    let refused = site.get("/uncertified");
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
}
