//! The management canister: every method, by users and by canisters.

mod access;
mod admins;
mod code;
mod history;
mod logs;
mod outcalls;
mod queries;
mod runner;
mod settings;
mod snapshot_data;
mod snapshots;
mod storm;
mod subnets;

use assay_localnet_core::types::{ErrorCode, Reject};
use candid::{CandidType, Principal, encode_one};
use ic_management_canister_types as ic;
use serde::de::DeserializeOwned;

use crate::harness::{Net, wasm};

pub(super) const MANAGEMENT: Principal = Principal::management_canister();

/// `forward(cycles: 16 bytes, length of the name: 4 bytes, name, argument)` calls the management canister and answers
/// `1 ‖ reply` or `2 ‖ code ‖ message`. Its queries `transform`, `mend` and `crash` are for answers of outcalls.
pub(super) const FORWARDER: &str = r#"
    (memory $m 80)
    (table 2 funcref)
    (elem (i32.const 0) $reply $reject)
    (global $count (mut i64) (i64.const 7))
    (func $reply (param i32)
      (i32.store8 (i32.const 500) (i32.const 1))
      (call $msg_reply_data_append (i32.const 500) (i32.const 1))
      (call $msg_reply_data_append (i32.const 1000) (call $arg))
      (call $msg_reply))
    (func $reject (param i32)
      (i32.store8 (i32.const 500) (i32.const 2))
      (i32.store8 (i32.const 501) (call $msg_reject_code))
      (call $msg_reply_data_append (i32.const 500) (i32.const 2))
      (call $msg_reject_msg_copy (i32.const 1000) (i32.const 0) (call $msg_reject_msg_size))
      (call $msg_reply_data_append (i32.const 1000) (call $msg_reject_msg_size))
      (call $msg_reply))
    (func (export "canister_update forward")
      (local $len i32) (local $name i32)
      (local.set $len (call $arg))
      (local.set $name (i32.load (i32.const 1016)))
      (call $call_new (i32.const 0) (i32.const 0) (i32.const 1020) (local.get $name)
        (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0))
      (call $call_data_append (i32.add (i32.const 1020) (local.get $name))
        (i32.sub (local.get $len) (i32.add (i32.const 20) (local.get $name))))
      (call $call_cycles_add128 (i64.load (i32.const 1008)) (i64.load (i32.const 1000)))
      (if (call $call_perform) (then unreachable)))
    (func (export "canister_update bump")
      (global.set $count (i64.add (global.get $count) (i64.const 1)))
      (i64.store (i32.const 65536) (global.get $count))
      (if (i64.eqz (call $stable64_size)) (then (drop (call $stable64_grow (i64.const 1)))))
      (call $stable64_write (i64.const 100) (i64.const 65536) (i64.const 8))
      (call $certified_data_set (i32.const 65536) (i32.const 8))
      (call $msg_reply))
    (func (export "canister_query counts")
      (i64.store (i32.const 700) (global.get $count))
      (call $msg_reply_data_append (i32.const 700) (i32.const 8))
      (call $msg_reply_data_append (i32.const 65536) (i32.const 8))
      (call $stable64_read (i64.const 700) (i64.const 100) (i64.const 8))
      (call $msg_reply_data_append (i32.const 700) (i32.const 8))
      (call $msg_reply))
    (func (export "canister_update print")
      (call $debug_print (i32.const 1000) (call $arg)) (call $msg_reply))
    (func (export "canister_update print_and_trap")
      (call $debug_print (i32.const 1000) (call $arg))
      (call $trap (i32.const 1000) (call $arg)))
    (func (export "canister_query print_and_trap_in_a_query")
      (call $trap (i32.const 1000) (call $arg)))
    (func (export "canister_query transform")
      (call $msg_reply_data_append (i32.const 1000) (call $arg))
      (call $msg_caller_copy (i32.const 700) (i32.const 0) (call $msg_caller_size))
      (if (call $msg_caller_size) (then unreachable))
      (call $msg_reply))
    (func (export "canister_query mend")
      (call $msg_reply_data_append (i32.const 600) (i32.const 4)) (call $msg_reply))
    (data (i32.const 600) "same")
    (func (export "canister_query crash") unreachable)
"#;

/// A call by a canister to the management canister: what came back, or code and message of the reject.
pub(super) fn forward<T: CandidType>(
    net: &mut Net,
    by: Principal,
    method: &str,
    arg: &T,
    cycles: u128,
) -> Result<Vec<u8>, (u8, String)> {
    let request = forwarded(method, &encode_one(arg).unwrap(), cycles);
    let answer = net.call(by, "forward", request).unwrap();
    split(&answer)
}

pub(super) fn forwarded(method: &str, arg: &[u8], cycles: u128) -> Vec<u8> {
    [
        &cycles.to_le_bytes()[..],
        &(method.len() as u32).to_le_bytes(),
        method.as_bytes(),
        arg,
    ]
    .concat()
}

pub(super) fn split(answer: &[u8]) -> Result<Vec<u8>, (u8, String)> {
    match answer {
        [1, reply @ ..] => Ok(reply.to_vec()),
        [2, code, message @ ..] => Err((*code, String::from_utf8_lossy(message).into_owned())),
        _ => panic!("not an answer: {answer:?}"),
    }
}

pub(super) fn forwarder(net: &mut Net) -> Principal {
    net.canister(FORWARDER)
}

pub(super) fn forwarder_module() -> Vec<u8> {
    wasm(FORWARDER)
}

pub(super) fn record(canister_id: Principal) -> ic::CanisterIdRecord {
    ic::CanisterIdRecord { canister_id }
}

pub(super) fn decoded<T: CandidType + DeserializeOwned>(bytes: &[u8]) -> T {
    candid::decode_one(bytes).unwrap()
}

/// Changes settings as the user.
pub(super) fn set(
    net: &mut Net,
    canister_id: Principal,
    settings: ic::CanisterSettings,
) -> Result<(), Reject> {
    let arg = ic::UpdateSettingsArgs {
        canister_id,
        settings,
        sender_canister_version: None,
    };
    net.manage("update_settings", &arg).map(|_| ())
}

pub(super) fn code_of<T>(result: Result<T, Reject>) -> Option<ErrorCode> {
    result.err().and_then(|reject| reject.error)
}
