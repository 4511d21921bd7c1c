//! The management canister asked by queries.

use assay_localnet_core::types::{ErrorCode, Query, Reject};
use candid::{CandidType, Principal, encode_one};
use ic_management_canister_types as ic;

use super::{MANAGEMENT, code_of, decoded, forwarder, record, set};
use crate::harness::{Net, stranger, user, wasm};

pub(super) fn ask<T: CandidType>(
    net: &mut Net,
    sender: Principal,
    method: &str,
    arg: &T,
) -> Result<Vec<u8>, Reject> {
    let query = Query {
        sender,
        canister: MANAGEMENT,
        method: method.into(),
        arg: encode_one(arg).unwrap(),
        info: None,
    };
    net.network.query(&query, None)
}

#[test]
fn the_status_is_also_a_query() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    let by_update = net.status_of(id);
    let reply = ask(&mut net, user(), "canister_status", &record(id)).unwrap();
    let by_query: ic::CanisterStatusResult = decoded(&reply);
    assert!(by_query.cycles <= by_update.cycles);
    assert_eq!(by_query.module_hash, by_update.module_hash);
    assert_eq!(
        code_of(ask(&mut net, stranger(), "canister_status", &record(id))),
        Some(ErrorCode::CanisterStatusAccessDenied)
    );
    let shown = ic::CanisterSettings {
        status_visibility: Some(ic::StatusVisibility::Public),
        ..Default::default()
    };
    set(&mut net, id, shown).unwrap();
    ask(&mut net, stranger(), "canister_status", &record(id)).unwrap();
}

#[test]
fn other_methods_are_no_queries() {
    let mut net = Net::new();
    let id = net.create();
    for method in ["raw_rand", "http_request", "make_coffee"] {
        let reject = ask(&mut net, user(), method, &record(id)).unwrap_err();
        assert_eq!(
            (reject.error, reject.message),
            (
                Some(ErrorCode::CanisterMethodNotFound),
                format!("Query method {method} not found.")
            )
        );
    }
    assert_eq!(
        code_of(ask(&mut net, user(), "canister_status", &7u8)),
        Some(ErrorCode::InvalidManagementPayload)
    );
}

#[test]
fn a_composite_query_may_ask_for_its_own_status() {
    let mut net = Net::new();
    let id = net.canister(
        r#"
        (table 2 funcref)
        (elem (i32.const 0) $reply $reject)
        (data (i32.const 600) "canister_status")
        (func $reply (param i32)
          (call $msg_reply_data_append (i32.const 1000) (call $arg)) (call $msg_reply))
        (func $reject (param i32) unreachable)
        (func (export "canister_composite_query status")
          (call $call_new (i32.const 0) (i32.const 0) (i32.const 600) (i32.const 15)
            (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0))
          (call $call_data_append (i32.const 1000) (call $arg))
          (if (call $call_perform) (then unreachable)))
        "#,
    );
    let reply = net
        .query(id, "status", encode_one(record(id)).unwrap())
        .unwrap();
    let status: ic::CanisterStatusResult = decoded(&reply);
    assert_eq!(status.status, ic::CanisterStatusType::Running);
}

#[test]
fn queries_are_counted_for_the_status() {
    let mut net = Net::new();
    let id = net.canister(
        r#"(func (export "canister_query echo")
          (call $msg_reply_data_append (i32.const 1000) (call $arg)) (call $msg_reply))
        (func (export "canister_query crash") unreachable)"#,
    );
    net.query(id, "echo", "12345").unwrap();
    net.query(id, "echo", "678").unwrap();
    let reject = net.query(id, "crash", "9").unwrap_err();
    let stats = net.status_of(id).query_stats;
    assert_eq!(stats.num_calls_total, 3u8);
    assert_eq!(stats.request_payload_bytes_total, 9u8);
    assert_eq!(
        stats.response_payload_bytes_total,
        8 + reject.message.len() as u64
    );
    assert!(stats.num_instructions_total > 20u8);
    net.install_code(id, ic::CanisterInstallMode::Upgrade(None), wasm(""), b"")
        .unwrap();
    assert_eq!(net.status_of(id).query_stats.num_calls_total, 3u8);
}
