//! A web app as its authors ship one, and the product's own canisters, as a browser sees them.

use assay_tests::packed;
use candid::encode_one;

use crate::harness::{Site, refused};

fn app() -> Site {
    Site::start(packed("assets"), encode_one(()).unwrap())
}

#[test]
fn an_app_loads_and_learns_its_environment() {
    let site = app();
    let page = site.get("/");
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains("<title>app</title>"));
    assert_eq!(page.header("content-type"), Some("text/html"));
    assert_eq!(page.header("cache-control"), Some("public, no-cache"));
    let key = hex::encode(site.root_key());
    let cookie = format!(
        "ic_env=\"ic_root_key={key}&PUBLIC_CANISTER_ID%3Aapp={}\"; SameSite=Lax",
        site.id
    );
    assert_eq!(page.header("set-cookie"), Some(cookie.as_str()));
    assert_eq!(site.get("/index.html").body, page.body);
    assert_eq!(site.get("/some/route/of/the/app").body, page.body);
    let moved = site.get("/old");
    assert_eq!((moved.status, moved.header("location")), (301, Some("/")));
}

#[test]
fn the_app_is_packed_for_those_who_can_unpack() {
    let site = app();
    let page = site.ask(
        "GET",
        &site.host(),
        "/app.js",
        &["accept-encoding: gzip, br"],
        b"",
    );
    assert_eq!(page.header("content-encoding"), Some("gzip"));
    assert_eq!(page.text(), "console.log('packed')");
    let page = site.get("/app.js");
    assert_eq!(page.text(), "console.log('plain')");
    assert_eq!(page.header("content-type"), Some("text/javascript"));
}

#[test]
fn a_film_comes_whole_or_from_where_it_is_asked() {
    const FILM_BYTES: usize = 5_000_001;
    let film: Vec<u8> = (0..FILM_BYTES).map(|at| (at * 31 % 251) as u8).collect();
    let site = app();
    let page = site.get("/film.bin");
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.body == film, "other bytes");
    let page = site.ask(
        "GET",
        &site.host(),
        "/film.bin",
        &["range: bytes=4000000-"],
        b"",
    );
    assert_eq!(page.status, 206, "{}", page.text());
    assert_eq!(
        page.header("content-range"),
        Some("bytes 4000000-5000000/5000001")
    );
    assert!(page.body == film[4_000_000..], "other bytes");
}

#[test]
fn the_products_pages_and_metrics_can_be_read() {
    for (name, title, metric) in [
        ("registry", "Assay registry", "registry_"),
        ("jobs", "Assay jobs", "jobs_"),
    ] {
        let site = Site::start(packed(name), encode_one(None::<()>).unwrap());
        let page = site.get_raw("/");
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(page.text().starts_with(title), "{}", page.text());
        let metrics = site.get_raw("/metrics");
        assert_eq!(metrics.status, 200);
        assert!(metrics.text().contains(metric), "{}", metrics.text());
        refused(&site.get_raw("/nothing"), 404, "nothing here");
        refused(
            &site.get("/metrics"),
            503,
            "it has no IC-Certificate header",
        );
        let posted = site.ask("POST", &site.raw_host(), "/", &[], b"");
        assert_eq!(
            (posted.status, posted.header("allow")),
            (405, Some("GET, HEAD"))
        );
    }
}
