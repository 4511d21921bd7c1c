//! `canister_on_low_wasm_memory`: told once whenever little memory is left.

use ic_management_canister_types as ic;

use crate::harness::{Net, n};

/// Grows, and counts how often it was told.
const WATCHER: &str = r#"
    (func (export "canister_update grow") (call $reply32 (memory.grow (call $arg32))))
    (func (export "canister_query told") (call $reply32 (i32.load (i32.const 700))))
    (func (export "canister_on_low_wasm_memory")
      (i32.store (i32.const 700) (i32.add (i32.const 1) (i32.load (i32.const 700)))))"#;

fn set(net: &mut Net, id: candid::Principal, limit_pages: u64, threshold_pages: u64) {
    let settings = ic::CanisterSettings {
        wasm_memory_limit: Some((limit_pages << 16).into()),
        wasm_memory_threshold: Some((threshold_pages << 16).into()),
        ..Default::default()
    };
    let arg = ic::UpdateSettingsArgs {
        canister_id: id,
        settings,
        sender_canister_version: None,
    };
    net.manage("update_settings", &arg).unwrap();
}

fn told(net: &mut Net, id: candid::Principal) -> Vec<u8> {
    net.settle();
    net.query(id, "told", "").unwrap()
}

#[test]
fn the_hook_runs_once_when_less_than_the_threshold_is_left() {
    let mut net = Net::new();
    let id = net.canister(WATCHER);
    set(&mut net, id, 10, 4);
    net.call(id, "grow", n(5)).unwrap();
    assert_eq!(told(&mut net, id), n(0), "exactly the threshold is left");
    net.call(id, "grow", n(1)).unwrap();
    assert_eq!(told(&mut net, id), n(1));
    net.call(id, "grow", n(1)).unwrap();
    assert_eq!(told(&mut net, id), n(1), "it knows already");
    net.check_cycles();
}

#[test]
fn a_growth_that_fails_tells_nothing() {
    let mut net = Net::new();
    let id = net.canister(&format!(
        r#"{WATCHER}
        (func (export "canister_update grow_and_trap") (drop (memory.grow (call $arg32))) unreachable)"#
    ));
    set(&mut net, id, 10, 4);
    net.call(id, "grow_and_trap", n(9)).unwrap_err();
    net.query(id, "told", "").unwrap();
    assert_eq!(told(&mut net, id), n(0));
}

#[test]
fn enough_memory_after_an_upgrade_makes_the_hook_ready_again() {
    let mut net = Net::new();
    let id = net.canister(WATCHER);
    set(&mut net, id, 10, 4);
    net.call(id, "grow", n(8)).unwrap();
    assert_eq!(told(&mut net, id), n(1));
    net.upgrade(id, WATCHER).unwrap();
    assert_eq!(told(&mut net, id), n(0), "a new heap");
    net.call(id, "grow", n(8)).unwrap();
    assert_eq!(told(&mut net, id), n(1));
}

#[test]
fn new_settings_may_leave_too_little_memory() {
    let mut net = Net::new();
    let id = net.canister(WATCHER);
    net.call(id, "grow", n(8)).unwrap();
    assert_eq!(told(&mut net, id), n(0));
    set(&mut net, id, 10, 4);
    assert_eq!(told(&mut net, id), n(1));
}
