//! Functions that may not be called from everywhere, and bad arguments to those that may.

use assay_localnet_core::types::ErrorCode;

use crate::harness::{Net, plain, wasm};

fn violation(method: &str, code: &str) -> String {
    let mut net = Net::new();
    let id = net.canister(&format!("(func (export \"canister_{method} go\") {code})"));
    let result = if method == "update" {
        net.call(id, "go", "")
    } else {
        net.query(id, "go", "")
    };
    let reject = result.unwrap_err();
    assert_eq!(
        reject.error,
        Some(ErrorCode::CanisterContractViolation),
        "{}",
        reject.message
    );
    let begin = format!("Error from Canister {id}: Canister violated contract: ");
    plain(&reject).strip_prefix(&begin).unwrap().to_owned()
}

#[test]
fn a_call_from_the_wrong_place_traps_and_says_so() {
    assert_eq!(
        violation(
            "query",
            "(call $certified_data_set (i32.const 0) (i32.const 1))"
        ),
        "\"ic0_certified_data_set\" cannot be executed in non replicated query mode"
    );
    assert_eq!(
        violation("query", "(drop (call $call_perform))"),
        "\"ic0_call_perform\" cannot be executed in non replicated query mode"
    );
    assert_eq!(
        violation("update", "(drop (call $data_certificate_size))"),
        "\"ic0_data_certificate_size\" cannot be executed in update mode"
    );
    assert_eq!(
        violation("update", "(call $accept_message)"),
        "\"ic0_accept_message\" cannot be executed in update mode"
    );
    assert_eq!(
        violation(
            "composite_query",
            "(call $call_cycles_add128 (i64.const 0) (i64.const 1))"
        ),
        "\"ic0_call_cycles_add128\" cannot be executed in composite query mode"
    );
}

#[test]
fn start_may_not_ask_for_the_time() {
    let mut net = Net::new();
    let id = net.create();
    let module = wasm("(start $s) (func $s (drop (call $time)))");
    let install = ic_management_canister_types::CanisterInstallMode::Install;
    let reject = net.install_code(id, install, module, b"").unwrap_err();
    assert!(
        plain(&reject).ends_with("\"ic0_time\" cannot be executed in start mode"),
        "{}",
        reject.message
    );
    assert_eq!(net.network.canister(&id).unwrap().module_hash, None);
}

#[test]
fn a_second_answer_traps() {
    assert_eq!(
        violation("update", "(call $msg_reply) (call $msg_reply)"),
        "ic0.msg_reply: the call is already replied"
    );
    assert_eq!(
        violation(
            "query",
            "(call $msg_reply) (call $msg_reject (i32.const 0) (i32.const 0))"
        ),
        "ic0.msg_reject: the call is already replied"
    );
}

#[test]
fn ranges_outside_of_memory_or_argument_trap() {
    assert_eq!(
        violation(
            "query",
            "(call $msg_reply_data_append (i32.const 65530) (i32.const 7))"
        ),
        "msg.reply: src=65530 + length=7 exceeds the slice size=65536"
    );
    assert_eq!(
        violation(
            "query",
            "(call $msg_arg_data_copy (i32.const 0) (i32.const 0) (i32.const 1))"
        ),
        "ic0.msg_arg_data_copy payload: src=0 + length=1 exceeds the slice size=0"
    );
    assert_eq!(
        violation(
            "query",
            "(call $msg_arg_data_copy (i32.const -1) (i32.const 0) (i32.const -1))"
        ),
        "ic0.msg_arg_data_copy heap: src=4294967295 + length=4294967295 exceeds the slice size=65536"
    );
}

#[test]
fn a_call_must_be_begun_before_it_is_made() {
    assert_eq!(
        violation("update", "(drop (call $call_perform))"),
        "ic0.call_perform called when no call is under construction."
    );
}

#[test]
fn certified_data_has_at_most_32_bytes() {
    let mut net = Net::new();
    let id = net.canister(
        r#"(func (export "canister_update go")
          (call $certified_data_set (i32.const 0) (i32.const 32)) (call $msg_reply))"#,
    );
    net.call(id, "go", "").unwrap();
    assert_eq!(net.network.canister(&id).unwrap().certified_data.len(), 32);
    let text = violation(
        "update",
        "(call $certified_data_set (i32.const 0) (i32.const 33))",
    );
    assert!(
        text.ends_with("no larger than 32 bytes. Found 33 bytes."),
        "{text}"
    );
}

#[test]
fn only_a_query_has_the_certificate_that_came_with_it() {
    let mut net = Net::new();
    let id = net.canister(
        r#"(func (export "canister_query go")
          (if (call $data_certificate_present)
            (then
              (call $data_certificate_copy (i32.const 1000) (i32.const 0) (call $data_certificate_size))
              (call $msg_reply_data_append (i32.const 1000) (call $data_certificate_size))))
          (call $msg_reply))"#,
    );
    assert_eq!(net.call(id, "go", ""), Ok(vec![]));
    assert_eq!(net.query(id, "go", ""), Ok(vec![]));
    let query = assay_localnet_core::types::Query {
        sender: crate::harness::user(),
        canister: id,
        method: "go".into(),
        arg: vec![],
        info: None,
    };
    assert_eq!(
        net.network.query(&query, Some(b"certificate")),
        Ok(b"certificate".to_vec())
    );
}

#[test]
fn only_code_that_asks_for_a_certificate_is_given_one() {
    let mut net = Net::new();
    let asks = net.canister(
        "(func (export \"canister_query go\") (call $reply32 (call $data_certificate_present)))",
    );
    let other = net.canister("(func (export \"canister_query go\") (call $msg_reply))");
    let empty = net.create();
    let sees = [asks, other, empty].map(|id| net.network.sees_certificate(&id));
    assert_eq!(sees, [true, false, false]);
    net.upgrade(
        other,
        "(func (export \"canister_query go\") (drop (call $data_certificate_size)))",
    )
    .unwrap();
    assert!(net.network.sees_certificate(&other));
}
