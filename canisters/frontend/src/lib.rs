//! The frontend canister: serves the files of the web app, each answer certified, so that a gateway can prove it.
//!
//! Controllers stage files and publish them all at once. The files lie in stable memory, so an upgrade loses none. It refuses to
//! know what the files are; how they are served is in one of them, [`assay_protocol::frontend::RULES_FILE`].
//!
//! It also keeps conversations for people who want that, sealed by the page; the key never comes here.

mod chats;
mod memory;
mod site;
mod staging;

use std::cell::RefCell;

use assay_protocol::{
    Timestamp,
    chats::{ChatsError, KeepChatArgs, KeptChat, SealedChat},
    frontend::{FrontendError, PieceArgs, Published},
};
use ic_asset_certification::{AssetCertificationError, AssetRouter};
use ic_cdk::{api::msg_caller, init, post_upgrade, query, update};
use ic_http_certification::{HttpRequest, HttpResponse, StatusCode};
use serde_bytes::ByteBuf;

use crate::{
    memory::{with_chats, with_files},
    site::Environment,
};

/// Names of environment variables that the page may see begin so.
const PUBLIC: &str = "PUBLIC_";

/// What must be left above the freezing threshold while conversations are taken in: about half a year of the page, and of what is kept.
const RESERVE: u128 = 500_000_000_000;
/// Half a year of a byte, at 127,000 cycles for a gibibyte and second.
const RESERVE_PER_BYTE: u128 = 1_900;

thread_local! {
    /// What is served, with its certificates.
    static ROUTER: RefCell<AssetRouter<'static>> = RefCell::default();
}

#[init]
fn init() {}

#[post_upgrade]
fn post_upgrade() {
    if let Err(error) = certify() {
        ic_cdk::trap(format!("what was published cannot be served: {error}"));
    }
}

#[update]
fn stage(args: PieceArgs) -> Result<u64, FrontendError> {
    controller()?;
    with_files(|files| staging::stage(files, &args))
}

#[update]
fn discard() -> Result<(), FrontendError> {
    controller()?;
    with_files(staging::discard);
    Ok(())
}

#[update]
fn publish() -> Result<Published, FrontendError> {
    controller()?;
    let site = with_files(|files| {
        let next = files.generation + 1;
        site::build(staging::staged(files), next, &environment())
    })?;
    with_files(staging::promote);
    let published = site.published;
    serve(site);
    Ok(published)
}

#[query]
fn published() -> Published {
    with_files(|files| staging::published(files))
}

#[update]
fn keep_chat(args: KeepChatArgs) -> Result<KeptChat, ChatsError> {
    let (now, cycles) = (
        Timestamp(ic_cdk::api::time()),
        ic_cdk::api::canister_liquid_cycle_balance(),
    );
    with_chats(|chats| match cycles < reserve(chats.bytes) {
        true => Err(ChatsError::LowOnCycles),
        false => chats::keep(chats, msg_caller(), &args, now),
    })
}

#[query]
fn kept_chats() -> Vec<KeptChat> {
    with_chats(|chats| chats::kept(chats, msg_caller()))
}

#[query]
fn kept_chat(chat: ByteBuf) -> Option<SealedChat> {
    with_chats(|chats| chats::read(chats, msg_caller(), &chat))
}

#[update]
fn drop_chat(chat: ByteBuf) -> Result<(), ChatsError> {
    with_chats(|chats| chats::drop_one(chats, msg_caller(), &chat))
}

#[update]
fn drop_chats() -> Result<u32, ChatsError> {
    with_chats(|chats| chats::drop_all(chats, msg_caller()))
}

#[query]
fn get_api_doc() -> String {
    include_str!("api.md").to_owned()
}

#[query]
fn http_request(request: HttpRequest) -> HttpResponse<'static> {
    let Some(certificate) = ic_cdk::api::data_certificate() else {
        return plain(StatusCode::BAD_REQUEST, "ask for pages with a query");
    };
    ROUTER.with_borrow(|router| {
        router
            .serve_asset(&certificate, &request)
            .unwrap_or_else(|error| match error {
                AssetCertificationError::NoAssetMatchingRequestUrl { .. } => {
                    plain(StatusCode::SERVICE_UNAVAILABLE, "nothing is published yet")
                }
                error => plain(StatusCode::BAD_REQUEST, &error.to_string()),
            })
    })
}

/// What must be left while so many bytes are kept.
fn reserve(bytes: u64) -> u128 {
    RESERVE + RESERVE_PER_BYTE * u128::from(bytes)
}

/// Serves again what is published, with new certificates.
fn certify() -> Result<(), FrontendError> {
    let (files, generation) = with_files(|files| (staging::served(files), files.generation));
    if !files.is_empty() {
        serve(site::build(files, generation, &environment())?);
    }
    Ok(())
}

fn serve(site: site::Site) {
    ROUTER.with_borrow_mut(|router| {
        *router = site.router;
        ic_cdk::api::certified_data_set(router.root_hash());
    });
}

/// What pages learn of where they are.
fn environment() -> Environment {
    let variables = (0..ic_cdk::api::env_var_count())
        .map(ic_cdk::api::env_var_name)
        .filter(|name| name.starts_with(PUBLIC))
        .map(|name| {
            let value = ic_cdk::api::env_var_value(&name);
            (name, value)
        })
        .collect();
    Environment {
        root_key: ic_cdk::api::root_key(),
        variables,
    }
}

fn controller() -> Result<(), FrontendError> {
    let caller = msg_caller();
    if ic_cdk::api::is_controller(&caller) {
        Ok(())
    } else {
        Err(FrontendError::NotAController { caller })
    }
}

fn plain(status: StatusCode, text: &str) -> HttpResponse<'static> {
    HttpResponse::builder()
        .with_status_code(status)
        .with_headers(vec![(
            "Content-Type".to_owned(),
            "text/plain; charset=utf-8".to_owned(),
        )])
        .with_body(text.as_bytes().to_vec())
        .build()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candid_parser::utils::{CandidSource, service_equal};

    use super::*;

    candid::export_service!();

    #[test]
    fn the_exported_interface_is_the_written_one() {
        let code = __export_service();
        let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../candid/frontend.did");
        if let Err(error) = service_equal(CandidSource::Text(&code), CandidSource::File(&written)) {
            panic!("candid/frontend.did differs from the code: {error}\nthe code exports:\n{code}");
        }
    }
}
