//! What does not come through, and what the person who asked is told.

use candid::Principal;

use crate::harness::{Site, refused};

/// Bytes that a canister takes in one message.
const ARG_BYTES_MAX: usize = 2 << 20;

#[test]
fn answers_that_differ_from_what_is_certified_are_refused() {
    let site = Site::pages();
    for path in ["/tampered/body", "/tampered/header", "/tampered/status"] {
        let page = site.get(path);
        refused(&page, 503, "the canister's answer is not verified: ");
        assert!(!page.text().contains("a lie"), "{}", page.text());
        assert_eq!(page.header("x-uncertified"), None);
    }
    assert_eq!(site.get_raw("/tampered/body").text(), "a lie");
}

#[test]
fn an_answer_without_certificate_is_refused_with_the_way_out() {
    let site = Site::pages();
    let page = site.get("/uncertified");
    refused(&page, 503, "it has no IC-Certificate header");
    assert!(page.text().contains(&format!("{}.raw.localhost", site.id)));
    assert_eq!(
        page.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let accept = "accept: text/html,application/xhtml+xml";
    let page = site.ask("GET", &site.host(), "/uncertified", &[accept], b"");
    refused(&page, 503, "<h1>503 Service Unavailable</h1>");
    let raw = site.get_raw("/uncertified");
    assert_eq!((raw.status, raw.text().as_str()), (200, "as it came"));
}

#[test]
fn certificates_that_are_made_to_harm_are_refused() {
    let site = Site::pages();
    refused(
        &site.get("/certificate/deep"),
        503,
        "nested more than 256 deep",
    );
    refused(
        &site.get("/certificate/inflated"),
        503,
        "more entries than it has bytes",
    );
    refused(&site.get("/certificate/junk"), 503, "not verified");
    refused(
        &site.get("/expression/deep"),
        503,
        "expression is nested more than 16 deep",
    );
    assert_eq!(site.get("/").status, 200, "and the network lives on");
}

#[test]
fn hostile_headers_of_canisters_are_refused() {
    let site = Site::pages();
    let split = site.get_raw("/split");
    refused(&split, 502, "the header `x-split`");
    assert_eq!(split.header("set-cookie"), None);
    refused(&site.get_raw("/headers/many"), 502, "more than 200 headers");
    refused(&site.get_raw("/headers/long"), 502, "131072 bytes of them");
}

#[test]
fn bodies_that_do_not_end_or_lead_elsewhere_are_refused() {
    let site = Site::pages();
    refused(&site.get_raw("/endless"), 502, "in more than 1000 parts");
    refused(
        &site.get_raw("/stream/foreign"),
        502,
        "a method of another canister",
    );
    refused(
        &site.get_raw("/stream/trap"),
        502,
        "no more of /stream/trap",
    );
    refused(
        &site.get_raw("/ranges/gap"),
        502,
        "does not continue the one before",
    );
}

#[test]
fn canisters_that_cannot_answer_are_named_with_the_reason() {
    let site = Site::pages();
    let page = site.get("/trap");
    refused(&page, 502, "no page today");
    assert!(page.text().contains(&site.id.to_text()), "{}", page.text());

    site.network.stop_canister(site.id, None).unwrap();
    refused(&site.get("/"), 503, "is stopped");
    refused(&site.get("/"), 503, "Start the canister");
    site.network.start_canister(site.id, None).unwrap();
    assert_eq!(site.get("/").status, 200);
    site.network.uninstall_canister(site.id, None).unwrap();
    refused(
        &site.get("/"),
        502,
        "Install a module in the canister first.",
    );
}

#[test]
fn canisters_that_are_not_there_are_not_found() {
    let site = Site::pages();
    let mut next = site.id.as_slice().to_vec();
    next[7] += 1;
    let absent = Principal::from_slice(&next);
    for id in [absent, Principal::from_slice(&[0xff; 10])] {
        let host = format!("{id}.localhost:{}", site.port());
        let page = site.ask("GET", &host, "/", &[], b"");
        refused(&page, 404, "Check the canister id");
        assert!(page.text().contains(&id.to_text()), "{}", page.text());
    }
}

#[test]
fn foreign_and_malformed_hosts_get_no_canister() {
    let site = Site::pages();
    for host in ["example.com", "localhost.example.com:80"] {
        let page = site.ask("GET", host, &format!("/?canisterId={}", site.id), &[], b"");
        refused(&page, 400, "no canister is served at");
        assert!(page.text().contains("http://<canister-id>.localhost"));
    }
    let page = site.ask("GET", "nonsense.localhost", "/", &[], b"");
    refused(
        &page,
        400,
        "`nonsense` in the host `nonsense.localhost` is no canister id",
    );
    refused(
        &site.ask("GET", "a b", "/", &[], b""),
        400,
        "not a host name",
    );
    let page = site.ask("GET", "localhost", "/?canisterId=nonsense", &[], b"");
    refused(&page, 400, "`nonsense` in the parameter canisterId");
}

#[test]
fn a_request_may_be_as_long_as_a_message() {
    let site = Site::pages();
    let send = |bytes: usize| {
        let body = vec![b'x'; bytes];
        site.ask("PUT", &site.raw_host(), "/echo", &[], &body)
    };
    // What the message holds beside the body: headers, names and types.
    let tried: Vec<usize> = (0..2_000).collect();
    let beside = tried.partition_point(|beside| send(ARG_BYTES_MAX - beside).status == 413);
    let fits = ARG_BYTES_MAX - beside;
    let page = send(fits);
    assert!(
        page.text().contains(&format!("{fits} bytes, version")),
        "{}",
        page.text()
    );
    refused(
        &send(fits + 1),
        413,
        "which is what a canister takes in one message",
    );
    refused(&send(ARG_BYTES_MAX), 413, "more than 2097152 bytes");
    refused(&send(ARG_BYTES_MAX + 1), 413, "more than 2097152 bytes");
}

#[test]
fn addresses_and_headers_are_limited() {
    let site = Site::pages();
    let raw = site.raw_host();
    let long = |bytes: usize| format!("/echo?{}", "x".repeat(bytes - 6));
    assert_eq!(site.get_raw(&long(8 << 10)).status, 200);
    refused(
        &site.get_raw(&long((8 << 10) + 1)),
        414,
        "more than 8192 bytes",
    );
    refused(&site.get(&"/a".repeat(256)), 404, "nothing here");
    refused(&site.get(&"/a".repeat(257)), 414, "256 path segments");
    refused(
        &site.get(&format!("/a{}", "%2F".repeat(256))),
        414,
        "256 path segments",
    );

    let header = |bytes: usize| format!("x-long: {}", "y".repeat(bytes));
    assert_eq!(
        site.ask("GET", &raw, "/echo", &[&header(60 << 10)], b"")
            .status,
        200
    );
    let page = site.ask("GET", &raw, "/echo", &[&header(64 << 10)], b"");
    refused(&page, 431, "more than 65536 bytes");
    let page = site.ask("GET", &raw, "/echo", &["x-odd: \u{fc}"], b"");
    refused(&page, 400, "the header `x-odd` is not plain text");
    refused(
        &site.ask("TRACE", &raw, "/echo", &[], b""),
        405,
        "TRACE cannot be used",
    );
}
