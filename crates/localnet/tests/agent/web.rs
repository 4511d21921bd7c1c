//! Canisters as web sites, where it matters how the network was started. (All other cases are whole-system tests.)

use std::time::Duration;

use assay_localnet::{Localnet, LocalnetConfig};
use candid::{CandidType, encode_one};

use crate::{agent, canister::install_module, interface::text, user};

#[derive(CandidType)]
struct Response {
    status_code: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    upgrade: Option<bool>,
}

/// A canister that asks for an update to answer anything, and answers one update only.
fn site() -> Vec<u8> {
    let response = |status_code, body: &str, upgrade| {
        let response = Response {
            status_code,
            headers: Vec::new(),
            body: body.into(),
            upgrade,
        };
        let bytes = encode_one(response).unwrap();
        let text: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        (bytes.len(), text)
    };
    let (asks, question) = response(200, "", Some(true));
    let (answers, answer) = response(201, "by an update", None);
    let text = format!(
        r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (import "ic0" "trap" (func $trap (param i32 i32)))
            (memory 1)
            (global $answered (mut i32) (i32.const 0))
            (data (i32.const 0) "no update today")
            (data (i32.const 1024) "{question}")
            (data (i32.const 2048) "{answer}")
            (func (export "canister_query http_request")
                (call $append (i32.const 1024) (i32.const {asks}))
                (call $reply))
            (func (export "canister_update http_request_update")
                (if (global.get $answered) (then (call $trap (i32.const 0) (i32.const 15))))
                (global.set $answered (i32.const 1))
                (call $append (i32.const 2048) (i32.const {answers}))
                (call $reply)))"#
    );
    wat::parse_str(text).unwrap()
}

#[tokio::test]
async fn an_update_that_is_not_answered_at_once_is_waited_for() {
    let config = LocalnetConfig {
        call_wait: Duration::ZERO,
        ..LocalnetConfig::default()
    };
    let network = Localnet::start(config).unwrap();
    let agent = agent(&network, user(1));
    let canister = install_module(&network, &agent, site()).await;
    let path = format!("/?canisterId={canister}");
    assert_eq!(
        text(&network, "POST", &path, b""),
        (201, "by an update".to_owned())
    );
    let (status, reason) = text(&network, "POST", &path, b"");
    assert_eq!(status, 502, "{reason}");
    assert!(reason.contains("no update today"), "{reason}");
}
