//! Modules with a 64-bit memory, as Motoko's compiler makes them.

use assay_localnet_core::types::ErrorCode;
use ic_management_canister_types as ic;

use crate::harness::{Net, n, plain};

/// Imports and helpers; `$reply` answers with the eight bytes of a number.
const PRELUDE: &str = r#"
    (import "ic0" "msg_arg_data_size" (func $msg_arg_data_size (result i64)))
    (import "ic0" "msg_arg_data_copy" (func $msg_arg_data_copy (param i64 i64 i64)))
    (import "ic0" "msg_reply_data_append" (func $msg_reply_data_append (param i64 i64)))
    (import "ic0" "msg_reply" (func $msg_reply))
    (import "ic0" "canister_self_size" (func $canister_self_size (result i64)))
    (import "ic0" "canister_self_copy" (func $canister_self_copy (param i64 i64 i64)))
    (import "ic0" "call_new" (func $call_new (param i64 i64 i64 i64 i64 i64 i64 i64)))
    (import "ic0" "call_perform" (func $call_perform (result i32)))
    (import "ic0" "call_cycles_add128" (func $call_cycles_add128 (param i64 i64)))
    (import "ic0" "canister_cycle_balance128" (func $canister_cycle_balance128 (param i64)))
    (import "ic0" "performance_counter" (func $performance_counter (param i32) (result i64)))
    (import "ic0" "stable64_size" (func $stable64_size (result i64)))
    (import "ic0" "stable64_grow" (func $stable64_grow (param i64) (result i64)))
    (import "ic0" "stable64_write" (func $stable64_write (param i64 i64 i64)))
    (import "ic0" "stable64_read" (func $stable64_read (param i64 i64 i64)))
    (memory $mem (export "mem") i64 2)
    (func $reply (param i64)
      (i64.store (i64.const 0) (local.get 0))
      (call $msg_reply_data_append (i64.const 0) (i64.const 8))
      (call $msg_reply))"#;

fn wide(body: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {PRELUDE} {body})")).unwrap()
}

fn canister(net: &mut Net, body: &str) -> candid::Principal {
    let id = net.create();
    net.install_code(id, ic::CanisterInstallMode::Install, wide(body), b"")
        .unwrap();
    id
}

fn eight(value: u64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

/// Counts in memory and in a global, beginning with what `(start)` finds.
const COUNTER: &str = r#"
    (@custom "icp:private enhanced-orthogonal-persistence" "")
    (global $count (mut i64) (i64.const 0))
    (data (i64.const 600) "\05")
    (start $start)
    (func $start
      (drop (call $stable64_size))
      (i64.store (i64.const 608) (i64.add (i64.load (i64.const 608)) (i64.const 1))))
    (func (export "canister_update add")
      (global.set $count (i64.add (global.get $count) (i64.const 1)))
      (i64.store (i64.const 131000) (global.get $count))
      (call $reply (global.get $count)))
    (func (export "canister_query get")
      (call $reply (i64.add
        (i64.mul (i64.const 1000) (i64.load (i64.const 608)))
        (i64.add (i64.mul (i64.const 10) (i64.load (i64.const 600))) (i64.load (i64.const 131000))))))"#;

#[test]
fn state_is_kept_between_messages_and_start_runs_once() {
    let mut net = Net::new();
    let id = canister(&mut net, COUNTER);
    assert_eq!(net.query(id, "get", ""), Ok(eight(1_050)));
    for count in 1..4 {
        assert_eq!(net.call(id, "add", ""), Ok(eight(count)));
    }
    assert_eq!(net.query(id, "get", ""), Ok(eight(1_053)));
}

#[test]
fn an_upgrade_keeps_the_heap_or_replaces_it_as_it_is_told() {
    let mut net = Net::new();
    let id = canister(&mut net, COUNTER);
    net.call(id, "add", "").unwrap();
    let mut upgrade = |persistence| {
        let flags = ic::UpgradeFlags {
            skip_pre_upgrade: None,
            wasm_memory_persistence: persistence,
        };
        let mode = ic::CanisterInstallMode::Upgrade(Some(flags));
        net.install_code(id, mode, wide(COUNTER), b"")
            .map(|()| net.query(id, "get", "").unwrap())
    };
    assert_eq!(
        upgrade(Some(ic::WasmMemoryPersistence::Keep)),
        Ok(eight(2_051)),
        "start has run again, over the old heap"
    );
    assert_eq!(
        upgrade(None).unwrap_err().error,
        Some(ErrorCode::CanisterContractViolation)
    );
    assert_eq!(
        upgrade(Some(ic::WasmMemoryPersistence::Replace)),
        Ok(eight(1_050))
    );
}

#[test]
fn a_heap_may_pass_four_gigabytes_and_stops_at_six() {
    let mut net = Net::new();
    let id = canister(
        &mut net,
        r#"
        (func $arg (result i64)
          (call $msg_arg_data_copy (i64.const 8) (i64.const 0) (call $msg_arg_data_size))
          (i64.load (i64.const 8)))
        (func (export "canister_update grow")
          (call $reply (memory.grow (call $arg)))
          (i64.store (i64.sub (i64.mul (memory.size) (i64.const 65536)) (i64.const 8)) (i64.const 77)))
        (func (export "canister_query last")
          (call $reply (i64.load (i64.sub (i64.mul (memory.size) (i64.const 65536)) (i64.const 8)))))"#,
    );
    let settings = ic::CanisterSettings {
        wasm_memory_limit: Some(0u64.into()),
        ..Default::default()
    };
    let arg = ic::UpdateSettingsArgs {
        canister_id: id,
        settings,
        sender_canister_version: None,
    };
    net.manage("update_settings", &arg).unwrap();
    let most = 6 * 16_384u64;
    assert_eq!(net.call(id, "grow", eight(5 * 16_384 - 2)), Ok(eight(2)));
    assert_eq!(net.query(id, "last", ""), Ok(eight(77)));
    assert_eq!(
        net.call(id, "grow", eight(16_385)),
        Ok(eight(u64::MAX)),
        "one page too many"
    );
    assert_eq!(
        net.call(id, "grow", eight(16_384)),
        Ok(eight(most - 16_384))
    );
    assert_eq!(net.query(id, "last", ""), Ok(eight(77)));
    assert_eq!(net.call(id, "grow", eight(1)), Ok(eight(u64::MAX)));
    net.check_cycles();
}

#[test]
fn calls_and_callbacks_carry_wide_pointers() {
    let mut net = Net::new();
    let id = canister(
        &mut net,
        r#"
        (table 2 funcref)
        (elem (i32.const 0) $back $crash)
        (data (i64.const 700) "six")
        (func $back (param $env i64)
          (call $msg_arg_data_copy (i64.const 16) (i64.const 0) (i64.const 8))
          (call $reply (i64.add (local.get $env) (i64.load (i64.const 16)))))
        (func $crash (param i64) unreachable)
        (func (export "canister_update six") (call $reply (i64.const 6)))
        (func (export "canister_update call")
          (call $canister_self_copy (i64.const 800) (i64.const 0) (call $canister_self_size))
          (call $call_new (i64.const 800) (call $canister_self_size) (i64.const 700) (i64.const 3)
            (i64.const 0) (i64.const 0x500000000) (i64.const 1) (i64.const 0))
          (call $call_cycles_add128 (i64.const 0) (i64.const 5))
          (drop (call $call_perform)))
        (func (export "canister_query balance")
          (call $canister_cycle_balance128 (i64.const 900))
          (call $reply (i64.load (i64.const 900))))"#,
    );
    assert_eq!(net.call(id, "call", ""), Ok(eight(0x5_0000_0006)));
    let balance = net.network.balance(&id).unwrap();
    assert_eq!(net.query(id, "balance", ""), Ok(eight(balance as u64)));
    net.check_cycles();
}

#[test]
fn stable_memory_is_reached_from_a_wide_heap() {
    let mut net = Net::new();
    let id = canister(
        &mut net,
        r#"
        (func (export "canister_update go")
          (drop (call $stable64_grow (i64.const 1)))
          (i64.store (i64.const 800) (i64.const 99))
          (call $stable64_write (i64.const 100) (i64.const 800) (i64.const 8))
          (call $stable64_read (i64.const 808) (i64.const 100) (i64.const 8))
          (call $reply (i64.load (i64.const 808))))
        (func (export "canister_update beyond")
          (drop (call $stable64_grow (i64.const 1)))
          (call $stable64_write (i64.const 0) (i64.const -4) (i64.const 8)))"#,
    );
    assert_eq!(net.call(id, "go", ""), Ok(eight(99)));
    let reject = net.call(id, "beyond", "").unwrap_err();
    assert!(
        plain(&reject).ends_with("Canister trapped: heap out of bounds"),
        "{}",
        reject.message
    );
}

#[test]
fn loads_and_stores_cost_two() {
    let mut net = Net::new();
    let cases = [
        ("", 0u64),
        ("(drop (i64.load (i64.const 8)))", 4),
        ("(drop (i32.load8_u (i64.const 8)))", 4),
        ("(i64.store (i64.const 8) (i64.const 1))", 4),
        ("(f64.store (i64.const 8) (f64.const 1))", 4),
        ("(drop (v128.load (i64.const 8)))", 4),
        (
            "(drop (v128.load16_lane 0 (i64.const 8) (v128.const i64x2 0 0)))",
            5,
        ),
        ("(v128.store (i64.const 8) (v128.const i64x2 0 0))", 4),
        ("(drop (i64.add (i64.const 1) (i64.const 2)))", 4),
        ("(drop (memory.grow (i64.const 0)))", 302),
        (
            "(memory.fill (i64.const 8) (i32.const 0) (i64.const 50))",
            153,
        ),
        (
            "(memory.copy (i64.const 8) (i64.const 16) (i64.const 50))",
            153,
        ),
    ];
    let mut body = String::new();
    for (index, (code, _)) in cases.iter().enumerate() {
        body += &format!(
            r#"(func (export "canister_query m{index}")
              (local $before i64)
              (local.set $before (call $performance_counter (i32.const 0)))
              {code}
              (call $reply (i64.sub (call $performance_counter (i32.const 0)) (local.get $before))))"#
        );
    }
    let id = canister(&mut net, &body);
    let mut run = |index: usize| {
        let reply = net.query(id, &format!("m{index}"), "").unwrap();
        u64::from_le_bytes(reply.try_into().unwrap())
    };
    let empty = run(0);
    for (index, (code, expected)) in cases.iter().enumerate() {
        assert_eq!(run(index) - empty, *expected, "{code}");
    }
}

#[test]
fn changed_pages_cost_four_times_as_much_and_instructions_twice() {
    let mut net = Net::new();
    let mut paid = |code: &str| {
        let id = canister(
            &mut net,
            &format!("(func (export \"canister_update go\") {code} (call $msg_reply))"),
        );
        let before = net.network.balance(&id).unwrap();
        net.call(id, "go", "").unwrap();
        before - net.network.balance(&id).unwrap()
    };
    let none = paid("");
    assert_eq!(paid("(drop (i32.const 1))"), none + 2 * 2);
    let store = |page: u32| format!("(i64.store (i64.const {}) (i64.const 1))", page * 4_096);
    assert_eq!(
        paid(&(store(1) + &store(2) + &store(9))),
        none + 2 * 3 * (4 + 4 * 1_000)
    );
    // Stable memory costs the same whatever the heap is.
    let stable = "(drop (call $stable64_grow (i64.const 1)))
        (call $stable64_write (i64.const 0) (i64.const 0) (i64.const 8))";
    assert_eq!(
        paid(stable),
        none + 2 * ((5 + 1 + 100 + 1) + (5 + 3 + 20 + 8) + 1_000)
    );
}

#[test]
fn a_memory_of_any_name_and_of_none_is_kept() {
    let mut net = Net::new();
    for export in [
        "(export \"mem\")",
        "(export \"memory\")",
        "(export \"a\") (export \"b\")",
        "",
    ] {
        let module = format!(
            r#"(module
              (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
              (import "ic0" "msg_reply" (func $reply))
              (memory {export} 1)
              (func (export "canister_update add")
                (i32.store (i32.const 0) (i32.add (i32.const 1) (i32.load (i32.const 0))))
                (call $append (i32.const 0) (i32.const 4))
                (call $reply)))"#
        );
        let id = net.create();
        let module = wat::parse_str(module).unwrap();
        net.install_code(id, ic::CanisterInstallMode::Install, module, b"")
            .unwrap();
        assert_eq!(net.call(id, "add", ""), Ok(n(1)), "{export}");
        assert_eq!(net.call(id, "add", ""), Ok(n(2)), "{export}");
    }
}
