//! Pages that come through: what is verified, and with what.

use candid::encode_one;

use crate::harness::{Site, module_with_section, refused};

const BIG_BYTES: usize = 5 << 20;

fn big() -> Vec<u8> {
    (0..BIG_BYTES).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn a_certified_page_comes_with_its_certified_headers_only() {
    let site = Site::pages();
    let page = site.get("/");
    assert_eq!(
        (page.status, page.text().as_str()),
        (200, "<h1>certified</h1>")
    );
    assert_eq!(page.header("content-type"), Some("text/html"));
    assert_eq!(
        page.header("set-cookie"),
        Some("ic_env=\"ic_root_key=308182&PUBLIC_CANISTER_ID%3Apages=x\"; SameSite=Lax"),
        "the cookie with the environment passes"
    );
    assert_eq!(page.header("x-uncertified"), None);
    assert_eq!(page.header("content-length"), Some("18"));
    assert_eq!(page.header("access-control-allow-origin"), Some("*"));
    let id = site.id.to_text();
    assert_eq!(page.header("x-ic-canister-id"), Some(id.as_str()));

    let raw = site.get_raw("/");
    assert_eq!(raw.body, page.body);
    assert_eq!(raw.header("x-uncertified"), Some("anything"));
}

#[test]
fn pages_are_found_by_address_as_it_is_written() {
    let site = Site::pages();
    let host = site.host();
    assert_eq!(site.get("/a%20b/%C3%BC").text(), "named in full");
    assert_eq!(site.get("/?a=1&b").text(), "<h1>certified</h1>");
    for host in [
        host.to_uppercase(),
        format!("shop--{host}"),
        format!("{}.localhost", site.id),
    ] {
        let page = site.ask("GET", &host, "/", &[], b"");
        assert_eq!(page.text(), "<h1>certified</h1>", "{host}");
    }
    let absolute =
        format!("GET http://{host}/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert_eq!(
        site.say(absolute.as_bytes(), b"").text(),
        "<h1>certified</h1>"
    );

    let address = site.address();
    let named = format!("/?canisterId={}", site.id);
    let page = site.ask("GET", &address, &named, &[], b"");
    assert_eq!(page.text(), "<h1>certified</h1>");
    let referer = format!("referer: http://{address}{named}");
    let page = site.ask("GET", &address, "/a%20b/%C3%BC", &[&referer], b"");
    assert_eq!(page.text(), "named in full");
}

#[test]
fn a_page_that_is_certified_to_be_missing_is_not_found() {
    let site = Site::pages();
    for path in ["/nothing", "/nothing/at/all", "/a%20b/", "/%2e%2e/etc"] {
        refused(&site.get(path), 404, "nothing here");
    }
}

#[test]
fn redirects_are_passed_on_when_they_are_certified() {
    let site = Site::pages();
    let page = site.get("/moved");
    assert_eq!((page.status, page.header("location")), (308, Some("/")));
}

#[test]
fn a_canister_may_certify_that_it_certifies_nothing() {
    let site = Site::pages();
    let page = site.get("/skipped");
    assert_eq!(
        (page.status, page.text().as_str()),
        (200, "take it or leave it")
    );
    assert_eq!(page.header("x-kept"), Some("yes"));
    assert_eq!(page.header("x-uncertified"), Some("anything"));
}

#[test]
fn a_file_of_several_messages_comes_whole() {
    let site = Site::pages();
    for path in ["/big", "/ranges"] {
        let page = site.get(path);
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        assert!(page.body == big(), "{path}: other bytes");
        assert_eq!(page.header("content-range"), None);
        assert_eq!(
            page.header("content-length"),
            Some(BIG_BYTES.to_string().as_str())
        );
        assert!(site.get_raw(path).body == page.body, "{path} raw");
    }
}

#[test]
fn a_range_that_is_asked_for_comes_alone() {
    let site = Site::pages();
    let range = "range: bytes=3000000-";
    let page = site.ask("GET", &site.host(), "/ranges", &[range], b"");
    assert_eq!(page.status, 206, "{}", page.text());
    assert_eq!(
        page.header("content-range"),
        Some("bytes 3000000-4499999/5242880")
    );
    assert!(page.body == big()[3_000_000..4_500_000]);
}

#[test]
fn head_gets_the_headers_without_the_page() {
    let site = Site::pages();
    let page = site.ask("HEAD", &site.raw_host(), "/big", &[], b"");
    assert_eq!((page.status, page.body.len()), (200, 0));
    assert_eq!(
        page.header("content-length"),
        Some(BIG_BYTES.to_string().as_str())
    );
    let page = site.ask("HEAD", &site.host(), "/skipped", &[], b"");
    assert_eq!((page.status, page.body.len()), (200, 0));
    assert_eq!(page.header("content-length"), Some("19"));
}

#[test]
fn a_query_that_asks_for_an_update_becomes_one() {
    let site = Site::pages();
    for count in 1..=2 {
        let page = site.ask("POST", &site.host(), "/upgrade?x=y", &[], b"12345");
        assert_eq!(page.status, 201, "{}", page.text());
        assert_eq!(
            page.text(),
            format!("update {count}: POST /upgrade?x=y, 5 bytes, version None")
        );
        assert_eq!(page.header("x-updates"), Some(count.to_string().as_str()));
    }
    refused(&site.get("/upgrade/trap"), 502, "no update today");
}

#[test]
fn a_canister_sees_the_request_as_it_was_made() {
    let site = Site::pages();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"] {
        let headers = [
            "x-a: 1",
            "X-B:  two ",
            "accept-encoding: gzip",
            "x-request-id: 7",
            "cookie: k=v",
        ];
        let page = site.ask(
            method,
            &site.raw_host(),
            "/echo?a=%20&b=+#",
            &headers,
            b"body",
        );
        let text = page.text();
        let url = "/echo?a=%20&b=+";
        assert!(text.starts_with(&format!("{method} {url}\n")), "{text}");
        for line in [
            &format!("host: {}", site.raw_host()),
            "x-a: 1",
            "x-b: two",
            "accept-encoding: gzip, identity",
            "cookie: k=v",
            "4 bytes, version Some(2)",
        ] {
            assert!(text.lines().any(|seen| seen == line), "{line} in {text}");
        }
        assert!(!text.contains("x-request-id"), "{text}");
        assert_eq!(
            page.header("content-length"),
            Some(text.len().to_string().as_str()),
            "a canister does not set the length"
        );
    }
}

#[test]
fn statuses_are_passed_on() {
    let site = Site::pages();
    for status in [200, 204, 302, 304, 404, 418, 500, 599] {
        assert_eq!(site.get_raw(&format!("/status/{status}")).status, status);
    }
    for status in [0, 100, 101, 199, 600, 999] {
        let page = site.get_raw(&format!("/status/{status}"));
        refused(&page, 502, &format!("has the status {status};"));
    }
}

#[test]
fn pages_of_version_1_are_verified_as_such() {
    let site = Site::pages();
    let page = site.get("/legacy");
    assert_eq!(
        (page.status, page.text().as_str()),
        (200, "as in old times")
    );
    assert_eq!(page.header("x-uncertified"), Some("anything"));
    assert_eq!(page.header("cache-control"), None);
    refused(&site.get("/legacy/tampered"), 503, "not verified");
    refused(&site.get("/legacy/moved"), 503, "not verified");
}

#[test]
fn version_1_is_refused_from_a_canister_that_knows_version_2() {
    let name = "icp:public supported_certificate_versions";
    let module = module_with_section("pages", name, b"1,2");
    let site = Site::start(module, encode_one(()).unwrap());
    assert_eq!(site.get("/").status, 200);
    refused(
        &site.get("/legacy"),
        503,
        "`supported_certificate_versions` says 1,2",
    );

    let module = module_with_section("pages", name, b"1");
    let site = Site::start(module, encode_one(()).unwrap());
    assert_eq!(site.get("/legacy").status, 200);
}
