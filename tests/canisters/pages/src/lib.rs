//! Pages for tests of the HTTP gateway: certified ones, and ones that differ from what was certified or break a rule.

mod certified;
mod forms;
mod odd;

use std::cell::{Cell, RefCell};

use ic_cdk::{init, post_upgrade, query, update};

use crate::{
    certified::Site,
    forms::{HttpRequest, HttpResponse, Part, Token},
};

thread_local! {
    static SITE: RefCell<Option<Site>> = const { RefCell::new(None) };
    static UPDATES: Cell<u64> = const { Cell::new(0) };
}

#[init]
fn init() {
    let site = Site::build();
    ic_cdk::api::certified_data_set(site.certified_data());
    SITE.set(Some(site));
}

#[post_upgrade]
fn post_upgrade() {
    init();
}

#[query]
fn http_request(request: HttpRequest) -> HttpResponse {
    if let Some(odd) = odd::answer(&request) {
        return odd;
    }
    SITE.with_borrow(|site| {
        site.as_ref()
            .expect("BUG: the site is built at installation")
            .answer(&request)
    })
}

#[update]
fn http_request_update(request: HttpRequest) -> HttpResponse {
    if request.path() == "/upgrade/trap" {
        ic_cdk::api::trap("no update today");
    }
    UPDATES.set(UPDATES.get() + 1);
    let body = format!(
        "update {}: {} {}, {} bytes, version {:?}",
        UPDATES.get(),
        request.method,
        request.url,
        request.body.len(),
        request.certificate_version
    );
    HttpResponse::of(201, &[("x-updates", &UPDATES.get().to_string())], body)
}

/// Further parts of a body.
#[query]
fn more(token: Token) -> Part {
    odd::more(&token)
}
