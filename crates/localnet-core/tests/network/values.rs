//! What the functions of the System API say.

use std::sync::Arc;

use assay_localnet_core::types::{ErrorCode, Ingress, Query, RequestId, SenderInfo};
use ic_management_canister_types as ic;

use crate::harness::{Net, START, n, plain, user};

/// A canister with some query methods, each of this code.
fn queries(methods: &[(&str, &str)]) -> (Net, candid::Principal) {
    let mut net = Net::new();
    let body: String = methods
        .iter()
        .map(|(name, code)| format!("(func (export \"canister_query {name}\") {code})"))
        .collect();
    let id = net.canister(&format!(
        r#"(data (i32.const 3000) "NAMEMISSkey_1\ff") {body}"#
    ));
    (net, id)
}

/// Replies with the bytes that `…_copy` gives, as many as `…_size` says.
fn whole(name: &str) -> String {
    format!(
        "(call ${name}_copy (i32.const 1000) (i32.const 0) (call ${name}_size))
         (call $msg_reply_data_append (i32.const 1000) (call ${name}_size)) (call $msg_reply)"
    )
}

/// Replies with 16 bytes that were written to address 1000.
const AMOUNT: &str =
    "(call $msg_reply_data_append (i32.const 1000) (i32.const 16)) (call $msg_reply)";

#[test]
fn a_canister_knows_itself_and_its_subnet() {
    let (mut net, id) = queries(&[
        ("itself", &whole("canister_self")),
        ("subnet", &whole("subnet_self")),
        ("caller", &whole("msg_caller")),
        ("data", &whole("msg_caller_info_data")),
        ("signer", &whole("msg_caller_info_signer")),
        (
            "replicated",
            "(call $reply32 (call $in_replicated_execution))",
        ),
        ("status", "(call $reply32 (call $canister_status))"),
        (
            "version",
            "(call $reply32 (i32.wrap_i64 (call $canister_version)))",
        ),
        (
            "controller",
            "(call $msg_caller_copy (i32.const 1000) (i32.const 0) (call $msg_caller_size))
          (call $reply32 (call $is_controller (i32.const 1000) (call $msg_caller_size)))",
        ),
        (
            "nobody",
            "(call $reply32 (call $is_controller (i32.const 1000) (i32.const 3)))",
        ),
        (
            "no_principal",
            "(call $reply32 (call $is_controller (i32.const 1000) (i32.const 30)))",
        ),
    ]);
    assert_eq!(net.query(id, "itself", ""), Ok(id.as_slice().to_vec()));
    let subnet = net.query(id, "subnet", "").unwrap();
    assert_eq!(subnet.len(), 29);
    assert_eq!(net.query(id, "caller", ""), Ok(user().as_slice().to_vec()));
    assert_eq!(net.query(id, "data", ""), Ok(vec![]));
    assert_eq!(net.query(id, "signer", ""), Ok(vec![]));
    assert_eq!(net.query(id, "replicated", ""), Ok(n(0)));
    assert_eq!(net.call(id, "replicated", ""), Ok(n(1)));
    assert_eq!(net.query(id, "status", ""), Ok(n(1)));
    assert_eq!(net.query(id, "version", ""), Ok(n(1)));
    assert_eq!(net.query(id, "controller", ""), Ok(n(1)));
    assert_eq!(net.query(id, "nobody", ""), Ok(n(0)));
    let reject = net.query(id, "no_principal", "").unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterContractViolation));
    assert!(
        plain(&reject).ends_with("Canister provided invalid principal id"),
        "{}",
        reject.message
    );
}

#[test]
fn the_root_key_is_shown_in_replicated_execution_only() {
    let (mut net, id) = queries(&[("key", &whole("root_key"))]);
    assert!(!net.call(id, "key", "").unwrap().is_empty());
    assert!(
        plain(&net.query(id, "key", "").unwrap_err())
            .ends_with("\"ic0_root_key_size\" cannot be executed in non replicated query mode")
    );
}

#[test]
fn environment_variables_are_found_by_place_and_by_name() {
    let (mut net, id) = queries(&[
        ("count", "(call $reply32 (call $env_var_count))"),
        ("name", "(call $env_var_name_copy (i32.const 0) (i32.const 1000) (i32.const 0) (call $env_var_name_size (i32.const 0)))
          (call $msg_reply_data_append (i32.const 1000) (call $env_var_name_size (i32.const 0))) (call $msg_reply)"),
        ("exists", "(call $reply32 (i32.add
          (i32.mul (i32.const 10) (call $env_var_name_exists (i32.const 3000) (i32.const 4)))
          (call $env_var_name_exists (i32.const 3004) (i32.const 4))))"),
        ("beyond", "(call $reply32 (call $env_var_name_size (i32.const 1)))"),
        ("missing", "(call $reply32 (call $env_var_value_size (i32.const 3004) (i32.const 4)))"),
        ("long", "(call $reply32 (call $env_var_name_exists (i32.const 3000) (i32.const 129)))"),
        ("text", "(call $reply32 (call $env_var_name_exists (i32.const 3013) (i32.const 1)))"),
    ]);
    let settings = ic::CanisterSettings {
        environment_variables: Some(vec![ic::EnvironmentVariable {
            name: "NAME".into(),
            value: "value".into(),
        }]),
        ..Default::default()
    };
    let arg = ic::UpdateSettingsArgs {
        canister_id: id,
        settings,
        sender_canister_version: None,
    };
    net.manage("update_settings", &arg).unwrap();
    assert_eq!(net.query(id, "count", ""), Ok(n(1)));
    assert_eq!(net.query(id, "name", ""), Ok(b"NAME".to_vec()));
    assert_eq!(net.query(id, "exists", ""), Ok(n(10)));
    for (method, text) in [
        (
            "beyond",
            "Environment variable index 1 is out of bounds. The number of environment variables is 1.",
        ),
        ("missing", "Environment variable MISS not found."),
        (
            "long",
            "Canister violated contract: ic0.env_var_name_exists: Variable name is too large.",
        ),
        (
            "text",
            "Canister violated contract: ic0.env_var_name_exists: Variable name is not a valid UTF-8 string.",
        ),
    ] {
        let reject = net.query(id, method, "").unwrap_err();
        assert_eq!(reject.error, Some(ErrorCode::CanisterContractViolation));
        assert!(plain(&reject).ends_with(text), "{}", reject.message);
    }
}

#[test]
fn prices_are_those_of_the_subnet() {
    let amount = |code: &str| format!("{code} {AMOUNT}");
    let (mut net, id) = queries(&[
        ("create", &amount("(call $cost_create_canister (i32.const 1000))")),
        ("call", &amount("(call $cost_call (i64.const 4) (i64.const 6) (i32.const 1000))")),
        ("outcall", &amount("(call $cost_http_request (i64.const 10) (i64.const 100) (i32.const 1000))")),
        ("key", &amount("(if (call $cost_sign_with_ecdsa (i32.const 3008) (i32.const 5) (i32.const 0) (i32.const 1000))
          (then unreachable))")),
        ("curve", "(call $reply32 (call $cost_sign_with_schnorr (i32.const 3008) (i32.const 5) (i32.const 2) (i32.const 0)))"),
        ("unknown", "(call $reply32 (call $cost_vetkd_derive_key (i32.const 3000) (i32.const 4) (i32.const 0) (i32.const 0)))"),
        ("outside", "(call $cost_create_canister (i32.const 65530))"),
    ]);
    let mut ask = |method: &str| {
        let reply = net.query(id, method, "").unwrap();
        u128::from_le_bytes(reply.try_into().unwrap())
    };
    assert_eq!(ask("create"), 500_000_000_000);
    let callback = 5_000_000 + 40_000_000_000 + 1_000 * (2 << 20);
    assert_eq!(ask("call"), 260_000 + 10 * 1_000 + callback);
    assert_eq!(
        ask("outcall"),
        (3_000_000 + 60_000 * 13 + 400 * 10 + 800 * 100) * 13
    );
    assert_eq!(ask("key"), 26_153_846_153);
    assert_eq!(net.query(id, "curve", ""), Ok(n(1)), "no such algorithm");
    assert_eq!(net.query(id, "unknown", ""), Ok(n(2)), "no such key");
    assert!(plain(&net.query(id, "outside", "").unwrap_err()).ends_with(
        "ic0_cost_create_canister failed because dst + size is out of bounds.\
             Found dst = 65530 and size = 16 while must be <= 65536"
    ));
}

#[test]
fn amounts_above_64_bits_need_the_newer_functions() {
    let mut net = Net::new();
    let rich = net.create_with(1 << 70);
    let module = crate::harness::wasm(&format!(
        r#"(func (export "canister_query old") (drop (call $canister_cycle_balance)) (call $msg_reply))
           (func (export "canister_query new") (call $canister_cycle_balance128 (i32.const 1000)) {AMOUNT})
           (func (export "canister_query liquid") (call $canister_liquid_cycle_balance128 (i32.const 1000)) {AMOUNT})"#
    ));
    net.install_code(rich, ic::CanisterInstallMode::Install, module, b"")
        .unwrap();
    let balance = net.network.balance(&rich).unwrap();
    assert_eq!(
        net.query(rich, "new", ""),
        Ok(balance.to_le_bytes().to_vec())
    );
    let liquid = net.query(rich, "liquid", "").unwrap();
    assert!(u128::from_le_bytes(liquid.try_into().unwrap()) < balance);
    let reject = net.query(rich, "old", "").unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterTrapped));
    assert!(
        plain(&reject).ends_with("Canister trapped: cycles amount exceeds 64-bit representation"),
        "{}",
        reject.message
    );
}

#[test]
fn a_stable_memory_beyond_32_bits_needs_the_newer_functions() {
    let (mut net, id) = queries(&[
        (
            "size",
            "(drop (call $stable64_grow (i64.const 65537))) (drop (call $stable_size))",
        ),
        (
            "grow",
            "(drop (call $stable_grow (i32.const 65536)))
          (call $reply32 (call $stable_grow (i32.const 1)))",
        ),
        (
            "read",
            "(drop (call $stable64_grow (i64.const 65537)))
          (call $stable_read (i32.const 0) (i32.const 0) (i32.const 1))",
        ),
        (
            "nothing",
            "(drop (call $stable64_grow (i64.const 65537)))
          (call $stable_read (i32.const 0) (i32.const 0) (i32.const 0)) (call $msg_reply)",
        ),
    ]);
    assert_eq!(net.query(id, "grow", ""), Ok(n(u32::MAX)));
    assert_eq!(net.query(id, "nothing", ""), Ok(vec![]));
    for method in ["size", "read"] {
        let reject = net.query(id, method, "").unwrap_err();
        assert_eq!(reject.error, Some(ErrorCode::CanisterTrapped));
        assert!(
            plain(&reject).ends_with(
                "Canister trapped: 32 bit stable memory api used on a memory larger than 4GB"
            ),
            "{}",
            reject.message
        );
    }
}

#[test]
fn a_transform_is_a_query_that_the_network_itself_makes() {
    let (mut net, id) = queries(&[
        (
            "twice",
            "(call $reply32 (i32.mul (call $arg32) (i32.const 2)))",
        ),
        ("caller", &whole("msg_caller")),
        (
            "certificate",
            "(call $reply32 (call $data_certificate_present))",
        ),
        ("deadline", "(drop (call $msg_deadline)) (call $msg_reply)"),
    ]);
    assert_eq!(net.network.transform(id, "twice", n(21)), Ok(n(42)));
    assert_eq!(net.network.transform(id, "caller", vec![]), Ok(vec![]));
    assert_eq!(net.network.transform(id, "certificate", vec![]), Ok(n(0)));
    assert!(net.network.transform(id, "deadline", vec![]).is_err());
    assert_eq!(
        net.network
            .transform(id, "missing", vec![])
            .unwrap_err()
            .error,
        Some(ErrorCode::CanisterMethodNotFound)
    );
}

#[test]
fn canisters_read_what_another_one_says_about_a_user() {
    // Both parts, one after the other, and the same from a callback.
    let tell = |at: u32| {
        format!(
            "(call $msg_caller_info_data_copy (i32.const {at}) (i32.const 0) (call $msg_caller_info_data_size))
             (call $msg_reply_data_append (i32.const {at}) (call $msg_caller_info_data_size))
             (call $msg_caller_info_signer_copy (i32.const {at}) (i32.const 0) (call $msg_caller_info_signer_size))
             (call $msg_reply_data_append (i32.const {at}) (call $msg_caller_info_signer_size))"
        )
    };
    let mut net = Net::new();
    let id = net.canister(&format!(
        r#"(table 1 funcref) (elem (i32.const 0) $back) (data (i32.const 600) "ask")
        (func (export "canister_inspect_message")
          (if (call $msg_caller_info_data_size) (then (call $accept_message))))
        (func (export "canister_query ask") {} (call $msg_reply))
        (func (export "canister_update now") {} (call $msg_reply))
        (func (export "canister_update later")
          (call $canister_self_copy (i32.const 700) (i32.const 0) (call $canister_self_size))
          (call $call_new (i32.const 700) (call $canister_self_size) (i32.const 600) (i32.const 3)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
          (drop (call $call_perform)))
        (func $back (param i32)
          {}
          (call $msg_arg_data_copy (i32.const 2000) (i32.const 0) (call $msg_arg_data_size))
          (call $msg_reply_data_append (i32.const 2000) (call $msg_arg_data_size))
          (call $msg_reply))"#,
        tell(2_000),
        tell(2_000),
        tell(2_000)
    ));
    let info = Arc::new(SenderInfo {
        data: b"a friend of ".to_vec(),
        signer: id,
    });
    let said = [b"a friend of ", id.as_slice()].concat();
    let query = |info| Query {
        sender: user(),
        canister: id,
        method: "ask".into(),
        arg: vec![],
        info,
    };
    assert_eq!(net.network.query(&query(None), None), Ok(vec![]));
    let found = net.network.query(&query(Some(Arc::clone(&info))), None);
    assert_eq!(found, Ok(said.clone()));

    let call = |number: u8, method: &str, info| Ingress {
        id: RequestId([number; 32]),
        sender: user(),
        canister: id,
        effective_canister: id,
        method: method.into(),
        arg: vec![],
        info,
        expiry: START.plus_nanos(100_000_000_000),
        bytes: 0,
    };
    assert!(
        net.network.submit(call(1, "now", None)).is_err(),
        "not accepted"
    );
    // The callback adds what its call said: nothing, as a canister made it.
    for (number, method) in [(2, "now"), (3, "later")] {
        let call = call(number, method, Some(Arc::clone(&info)));
        net.network.submit(call).unwrap();
        let answer = net.wait(&RequestId([number; 32]));
        assert_eq!(answer, Ok(said.clone()), "{method}");
    }
}
