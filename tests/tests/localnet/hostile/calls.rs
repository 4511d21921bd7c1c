//! Code that never ends, wants all memory, or calls without measure.

use candid::Principal;
use pocket_ic::{ErrorCode, PocketIc, RejectCode, common::rest::RawMessageId};

use crate::harness::{anybody, module, refused};

/// Calls that wait for their answer at the same time.
const CALLS: usize = 10_000;
/// Calls from one canister to another that may be open at the same time.
const OPEN_CALLS_MAX: u32 = 500;

/// Operators that cost much and do nothing, so that limits are reached soon.
fn costly() -> String {
    "(drop (table.size $t))".repeat(100)
}

/// A new canister with this module.
fn install(network: &PocketIc, text: &str) -> Principal {
    let id = network.create_canister();
    network.install_canister(id, module(text), Vec::new(), None);
    id
}

fn update(
    network: &PocketIc,
    id: Principal,
    method: &str,
) -> Result<Vec<u8>, pocket_ic::RejectResponse> {
    network.update_call(id, anybody(), method, Vec::new())
}

fn query(
    network: &PocketIc,
    id: Principal,
    method: &str,
) -> Result<Vec<u8>, pocket_ic::RejectResponse> {
    network.query_call(id, anybody(), method, Vec::new())
}

pub(super) fn endless_loops_run_out_of_instructions(network: &PocketIc) {
    let costly = costly();
    let spin = format!("(loop $l {costly} (br $l))");
    let id = install(
        network,
        &format!(
            r#"(module
                (import "ic0" "msg_reply" (func $reply))
                (import "ic0" "msg_method_name_size" (func $name (result i32)))
                (import "ic0" "accept_message" (func $accept))
                (table $t 1 funcref)
                (func (export "canister_update spin") {spin})
                (func (export "canister_query look") {spin})
                (func (export "canister_update fine") (call $reply))
                (func (export "canister_update spins_first") (call $reply))
                (func (export "canister_inspect_message")
                    (if (i32.eq (call $name) (i32.const 11)) (then {spin}))
                    (call $accept)))"#
        ),
    );
    for result in [update(network, id, "spin"), query(network, id, "look")] {
        refused(
            result,
            RejectCode::CanisterError,
            ErrorCode::CanisterInstructionLimitExceeded,
            "exceeded the limit",
        );
    }
    let inspected = network.submit_call(id, anybody(), "spins_first", Vec::new());
    assert!(!inspected.unwrap_err().certified, "it was not taken in");
    let start = module(&format!(
        "(module (table $t 1 funcref) (start $s) (func $s {spin}))"
    ));
    refused(
        network.reinstall_canister(id, start, Vec::new(), None),
        RejectCode::CanisterError,
        ErrorCode::CanisterInstructionLimitExceeded,
        "exceeded the limit",
    );
    assert_eq!(update(network, id, "fine"), Ok(Vec::new()));
}

pub(super) fn memory_bombs_reach_the_limit_and_no_further(network: &PocketIc) {
    let id = install(
        network,
        r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (import "ic0" "stable64_grow" (func $stable (param i64) (result i64)))
            (memory 1)
            ;; Grows by 64 MiB as often as it can, and writes into what it has got.
            (func (export "canister_update grow") (local $pages i32)
                (loop $l
                    (local.set $pages (memory.grow (i32.const 1024)))
                    (if (i32.ne (local.get $pages) (i32.const -1)) (then
                        (i32.store (i32.mul (local.get $pages) (i32.const 65536)) (i32.const 1))
                        (br $l))))
                unreachable)
            (func (export "canister_query stable")
                (if (i64.ne (call $stable (i64.const 8192001)) (i64.const -1)) (then unreachable))
                (if (i64.ne (call $stable (i64.const -1)) (i64.const -1)) (then unreachable))
                (call $reply))
            (func (export "canister_update answer") (local $i i32)
                (drop (memory.grow (i32.const 15)))
                (loop $l
                    (call $append (i32.const 0) (i32.const 1048576))
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br_if $l (i32.lt_u (local.get $i) (i32.const 10000))))
                (call $reply))
            (func (export "canister_query pages")
                (i32.store (i32.const 0) (memory.size))
                (call $append (i32.const 0) (i32.const 4))
                (call $reply)))"#,
    );
    let grown = update(network, id, "grow").unwrap_err();
    assert_eq!(grown.reject_code, RejectCode::CanisterError, "{grown:?}");
    assert_eq!(query(network, id, "stable"), Ok(Vec::new()));
    let long = update(network, id, "answer").unwrap_err();
    assert_eq!(long.reject_code, RejectCode::CanisterError, "{long:?}");
    assert_eq!(
        query(network, id, "pages"),
        Ok(vec![1, 0, 0, 0]),
        "nothing was kept"
    );
    for text in [
        "(module (memory 65537))",
        "(module (table 100000000 funcref))",
        "(module (memory i64 1000000))",
    ] {
        // Some of these are no text of a module either.
        let Ok(wasm) = wat::parse_str(text) else {
            continue;
        };
        let refusal = network.reinstall_canister(id, wasm, Vec::new(), None);
        assert_eq!(
            refusal.unwrap_err().reject_code,
            RejectCode::CanisterError,
            "{text}"
        );
    }
}

pub(super) fn what_fills_its_memory_gives_it_back(network: &PocketIc) {
    // It keeps what it wrote; the network's end must give that back.
    let id = install(
        network,
        r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "stable64_grow" (func $grow (param i64) (result i64)))
            (import "ic0" "stable64_write" (func $write (param i64 i64 i64)))
            (memory 1)
            (func (export "canister_update fill") (local $at i32)
                (drop (memory.grow (i32.const 1024)))
                (memory.fill (i32.const 0) (i32.const 7) (i32.const 67108864))
                (drop (call $grow (i64.const 1024)))
                (call $write (i64.const 0) (i64.const 0) (i64.const 67108864))
                (call $reply)))"#,
    );
    update(network, id, "fill").unwrap();
    assert_eq!(network.get_stable_memory(id).len(), 64 << 20);
}

pub(super) fn recursion_ends_in_a_stack_overflow(network: &PocketIc) {
    let text = r#"(module
        (table 1 funcref)
        (elem (i32.const 0) $indirect)
        (type $t (func (param i64 i64 i64 i64) (result i64)))
        (func $direct (param i32) (result i32)
            (i32.add (i32.const 1) (call $direct (local.get 0))))
        (func $indirect (type $t)
            (i64.add (local.get 0) (call_indirect (type $t)
                (local.get 1) (local.get 2) (local.get 3) (i64.add (local.get 0) (i64.const 1)) (i32.const 0))))
        (func (export "canister_update direct") (drop (call $direct (i32.const 0))))
        (func (export "canister_query indirect")
            (drop (call_indirect (type $t)
                (i64.const 0) (i64.const 1) (i64.const 2) (i64.const 3) (i32.const 0)))))"#;
    let id = install(network, text);
    for result in [
        update(network, id, "direct"),
        query(network, id, "indirect"),
    ] {
        refused(
            result,
            RejectCode::CanisterError,
            ErrorCode::CanisterTrapped,
            "stack overflow",
        );
    }
    let start = module("(module (start $s) (func $s (call $s) (call $s)))");
    refused(
        network.reinstall_canister(id, start, Vec::new(), None),
        RejectCode::CanisterError,
        ErrorCode::CanisterTrapped,
        "stack overflow",
    );
}

pub(super) fn a_storm_of_calls_is_held_back(network: &PocketIc) {
    let id = install(
        network,
        r#"(module
            (import "ic0" "call_new" (func $new (param i32 i32 i32 i32 i32 i32 i32 i32)))
            (import "ic0" "call_perform" (func $perform (result i32)))
            (import "ic0" "canister_self_size" (func $size (result i32)))
            (import "ic0" "canister_self_copy" (func $copy (param i32 i32 i32)))
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (memory 1)
            (table 1 funcref)
            (elem (i32.const 0) $ignore)
            (data (i32.const 100) "quiet")
            (func $ignore (param i32))
            (func (export "canister_update quiet") (call $reply))
            ;; Calls itself ten thousand times, and says how many calls were made.
            (func (export "canister_update storm") (local $i i32) (local $made i32)
                (call $copy (i32.const 0) (i32.const 0) (call $size))
                (loop $l
                    (call $new (i32.const 0) (call $size) (i32.const 100) (i32.const 5)
                        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
                    (if (i32.eqz (call $perform)) (then
                        (local.set $made (i32.add (local.get $made) (i32.const 1)))))
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br_if $l (i32.lt_u (local.get $i) (i32.const 10000))))
                (i32.store (i32.const 200) (local.get $made))
                (call $append (i32.const 200) (i32.const 4))
                (call $reply)))"#,
    );
    let made = update(network, id, "storm").unwrap();
    assert_eq!(made, OPEN_CALLS_MAX.to_le_bytes());
    // They are executed, and then there is room again.
    for _ in 0..5 {
        network.tick();
    }
    assert_eq!(update(network, id, "storm").unwrap(), made);
}

pub(super) fn ten_thousand_calls_wait_and_are_all_answered(network: &PocketIc) {
    let id = install(
        network,
        r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (memory 1)
            (func (export "canister_update count")
                (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
                (call $append (i32.const 0) (i32.const 4))
                (call $reply)))"#,
    );
    let submit = || network.submit_call(id, anybody(), "count", Vec::new());
    let calls: Vec<RawMessageId> = (0..CALLS).map(|_| submit().unwrap()).collect();
    let refusal = submit().unwrap_err();
    assert_eq!(refusal.reject_code, RejectCode::SysTransient, "{refusal:?}");
    let answer = |call: &RawMessageId| network.await_call(call.clone()).unwrap();
    let count = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    for at in [0, CALLS / 2, CALLS - 1] {
        assert_eq!(
            answer(&calls[at]),
            count(at + 1),
            "in the order of submission"
        );
    }
    assert_eq!(update(network, id, "count").unwrap(), count(CALLS + 1));
}
