//! A web app served by the official asset router: pages and scripts in several encodings, redirects, a page for all other
//! paths, a film of several messages, and the cookie from which the app learns its environment.

use std::cell::RefCell;

use ic_asset_certification::{
    Asset, AssetConfig, AssetEncoding, AssetFallbackConfig, AssetRedirectKind, AssetRouter,
};
use ic_cdk::{init, post_upgrade, query};
use ic_http_certification::{HttpRequest, HttpResponse, StatusCode};

const INDEX: &[u8] = b"<!doctype html><title>app</title><script src=app.js></script>";
const SCRIPT: &[u8] = b"console.log('plain')";
/// Stands for the packed script; to the gateway an encoding is a header.
const PACKED: &[u8] = b"console.log('packed')";
/// More than two messages.
const FILM_BYTES: usize = 5_000_001;

thread_local! {
    static ROUTER: RefCell<AssetRouter<'static>> = RefCell::default();
}

#[init]
fn init() {
    let film: Vec<u8> = (0..FILM_BYTES).map(|at| (at * 31 % 251) as u8).collect();
    let assets = vec![
        Asset::new("index.html", INDEX),
        Asset::new("app.js", SCRIPT),
        Asset::new("app.js.gz", PACKED),
        Asset::new("film.bin", film),
    ];
    let root_key: String = ic_cdk::api::root_key()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let id = ic_cdk::api::canister_self();
    let environment =
        format!("ic_env=\"ic_root_key={root_key}&PUBLIC_CANISTER_ID%3Aapp={id}\"; SameSite=Lax");
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let configs = vec![
        AssetConfig::File {
            path: "index.html".to_owned(),
            content_type: Some("text/html".to_owned()),
            headers: vec![
                header("cache-control", "public, no-cache"),
                header("set-cookie", &environment),
            ],
            fallback_for: vec![AssetFallbackConfig {
                scope: "/".to_owned(),
                status_code: Some(StatusCode::OK),
            }],
            aliased_by: vec!["/".to_owned()],
            encodings: Vec::new(),
        },
        AssetConfig::File {
            path: "app.js".to_owned(),
            content_type: Some("text/javascript".to_owned()),
            headers: Vec::new(),
            fallback_for: Vec::new(),
            aliased_by: Vec::new(),
            encodings: vec![AssetEncoding::Gzip.default_config()],
        },
        AssetConfig::File {
            path: "film.bin".to_owned(),
            content_type: Some("application/octet-stream".to_owned()),
            headers: Vec::new(),
            fallback_for: Vec::new(),
            aliased_by: Vec::new(),
            encodings: Vec::new(),
        },
        AssetConfig::Redirect {
            from: "/old".to_owned(),
            to: "/".to_owned(),
            kind: AssetRedirectKind::Permanent,
            headers: Vec::new(),
        },
    ];
    ROUTER.with_borrow_mut(|router| {
        router
            .certify_assets(assets, configs)
            .expect("BUG: the app is certifiable");
        ic_cdk::api::certified_data_set(router.root_hash());
    });
}

#[post_upgrade]
fn post_upgrade() {
    init();
}

#[query]
fn http_request(request: HttpRequest) -> HttpResponse<'static> {
    let certificate = ic_cdk::api::data_certificate().expect("BUG: a page is asked for by query");
    ROUTER.with_borrow(|router| {
        router
            .serve_asset(&certificate, &request)
            .expect("BUG: there is a page for every path")
    })
}
