//! What stays after a message and what does not.

use assay_localnet_core::types::ErrorCode;

use crate::harness::{Net, n, plain};

/// A counter in the heap, in a global and in stable memory.
const COUNTERS: &str = r#"
    (global $count (mut i32) (i32.const 0))
    (func (export "canister_init") (drop (call $stable64_grow (i64.const 1))))
    (func $add
      (global.set $count (i32.add (global.get $count) (i32.const 1)))
      (i32.store (i32.const 200) (i32.add (i32.load (i32.const 200)) (i32.const 1)))
      (call $stable64_read (i64.const 300) (i64.const 5000) (i64.const 4))
      (i32.store (i32.const 300) (i32.add (i32.load (i32.const 300)) (i32.const 1)))
      (call $stable64_write (i64.const 5000) (i64.const 300) (i64.const 4))
      (i32.store (i32.const 300) (i32.const 0)))
    (func $sum (result i32)
      (call $stable64_read (i64.const 300) (i64.const 5000) (i64.const 4))
      (i32.add (i32.mul (global.get $count) (i32.const 10000))
        (i32.add (i32.mul (i32.load (i32.const 200)) (i32.const 100)) (i32.load (i32.const 300)))))
    (func (export "canister_update add") (call $add) (call $reply32 (call $sum)))
    (func (export "canister_update add_and_trap")
      (call $add)
      (call $certified_data_set (i32.const 0) (i32.const 3))
      (drop (call $global_timer_set (i64.const 1)))
      unreachable)
    (func (export "canister_update grow_and_trap")
      (drop (memory.grow (i32.const 5)))
      (i32.store (i32.const 200000) (i32.const 1))
      unreachable)
    (func (export "canister_update certify")
      (call $certified_data_set (i32.const 0) (i32.const 3)) (call $msg_reply))
    (func (export "canister_query add_query") (call $add) (call $reply32 (call $sum)))
    (func (export "canister_query get") (call $reply32 (call $sum)))
    (func (export "canister_query pages") (call $reply32 (memory.size)))
"#;

#[test]
fn a_trap_rolls_back_heap_stable_memory_and_globals() {
    let mut net = Net::new();
    let id = net.canister(COUNTERS);
    assert_eq!(net.call(id, "add", ""), Ok(n(10_101)));
    let reject = net.call(id, "add_and_trap", "").unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterTrapped));
    assert_eq!(
        plain(&reject),
        format!("Error from Canister {id}: Canister trapped: unreachable")
    );
    assert_eq!(net.query(id, "get", ""), Ok(n(10_101)));
    assert!(net.network.canister(&id).unwrap().certified_data.is_empty());
    assert_eq!(net.network.next_timer(), None);
    assert_eq!(net.call(id, "add", ""), Ok(n(20_202)));
}

#[test]
fn memory_grown_before_a_trap_is_gone() {
    let mut net = Net::new();
    let id = net.canister(COUNTERS);
    net.call(id, "add", "").unwrap();
    assert!(net.call(id, "grow_and_trap", "").is_err());
    assert_eq!(net.query(id, "pages", ""), Ok(n(1)));
    assert_eq!(net.call(id, "add", ""), Ok(n(20_202)));
}

#[test]
fn a_query_changes_nothing() {
    let mut net = Net::new();
    let id = net.canister(COUNTERS);
    assert_eq!(net.query(id, "add_query", ""), Ok(n(10_101)));
    assert_eq!(net.query(id, "add_query", ""), Ok(n(10_101)));
    assert_eq!(
        net.call(id, "add_query", ""),
        Ok(n(10_101)),
        "nor when it is called as an update"
    );
    assert_eq!(net.query(id, "get", ""), Ok(n(0)));
}

#[test]
fn an_upgrade_keeps_stable_memory_and_drops_the_heap() {
    let mut net = Net::new();
    let id = net.canister(COUNTERS);
    net.call(id, "add", "").unwrap();
    net.call(id, "certify", "").unwrap();
    net.upgrade(id, COUNTERS).unwrap();
    assert_eq!(
        net.query(id, "get", ""),
        Ok(n(1)),
        "only the stable count is left"
    );
    assert_eq!(net.call(id, "add", ""), Ok(n(10_102)));
    assert_eq!(net.network.canister(&id).unwrap().certified_data.len(), 3);
}

#[test]
fn a_failing_upgrade_leaves_everything_as_it_was() {
    let mut net = Net::new();
    let id = net.canister(COUNTERS);
    net.call(id, "add", "").unwrap();
    let hash = net.network.canister(&id).unwrap().module_hash;
    let after = format!(
        "{COUNTERS} (func (export \"canister_post_upgrade\")
          (call $stable64_write (i64.const 5000) (i64.const 0) (i64.const 4)) unreachable)"
    );
    assert_eq!(
        net.upgrade(id, &after).unwrap_err().error,
        Some(ErrorCode::CanisterTrapped)
    );
    assert_eq!(net.query(id, "get", ""), Ok(n(10_101)));
    assert_eq!(net.network.canister(&id).unwrap().module_hash, hash);

    let before =
        format!("{COUNTERS} (func (export \"canister_pre_upgrade\") (call $add) unreachable)");
    net.upgrade(id, &before).unwrap();
    assert!(
        net.upgrade(id, COUNTERS).is_err(),
        "the installed code's pre_upgrade traps"
    );
    assert_eq!(net.query(id, "get", ""), Ok(n(1)));
    let skip = ic_management_canister_types::CanisterInstallMode::Upgrade(Some(
        ic_management_canister_types::UpgradeFlags {
            skip_pre_upgrade: Some(true),
            wasm_memory_persistence: None,
        },
    ));
    net.install_code(id, skip, crate::harness::wasm(COUNTERS), b"")
        .unwrap();
    assert_eq!(net.query(id, "get", ""), Ok(n(1)));
}

#[test]
fn start_runs_once_and_every_mutable_global_is_kept() {
    let mut net = Net::new();
    let id = net.canister(
        r#"
        (global $a (mut i64) (i64.const 5))
        (global $fixed i32 (i32.const 3))
        (global $b (mut f64) (f64.const 0.5))
        (data (i32.const 500) "\07")
        (start $begin)
        (func $begin
          (global.set $a (i64.add (global.get $a) (i64.const 1)))
          (i32.store8 (i32.const 500) (i32.add (i32.load8_u (i32.const 500)) (i32.const 1))))
        (func (export "canister_update step")
          (global.set $a (i64.add (global.get $a) (i64.const 10)))
          (global.set $b (f64.mul (global.get $b) (f64.const 2)))
          (call $msg_reply))
        (func (export "canister_query get")
          (call $reply32 (i32.add (i32.mul (i32.wrap_i64 (global.get $a)) (i32.const 1000))
            (i32.add (i32.mul (i32.trunc_f64_s (global.get $b)) (i32.const 100)) (i32.load8_u (i32.const 500))))))
        "#,
    );
    assert_eq!(net.query(id, "get", ""), Ok(n(6_008)));
    net.call(id, "step", "").unwrap();
    net.call(id, "step", "").unwrap();
    assert_eq!(net.query(id, "get", ""), Ok(n(26_208)));
}

#[test]
fn dropped_segments_are_there_again_with_every_message() {
    let mut net = Net::new();
    let id = net.canister(
        r#"
        (data $d "\07\00\00\00")
        (elem $e func $init)
        (func $init (memory.init $d (i32.const 600) (i32.const 0) (i32.const 4)))
        (func (export "canister_update drop")
          (call $init)
          (data.drop $d)
          (elem.drop $e)
          (call $reply32 (i32.load (i32.const 600))))
        (func (export "canister_update drop_first") (data.drop $d) (call $init) (call $msg_reply))
        "#,
    );
    assert_eq!(net.call(id, "drop", ""), Ok(n(7)));
    assert_eq!(net.call(id, "drop", ""), Ok(n(7)));
    let reject = net.call(id, "drop_first", "").unwrap_err();
    assert!(
        plain(&reject).ends_with("Canister trapped: heap out of bounds"),
        "{}",
        reject.message
    );
}

#[test]
fn two_networks_with_the_same_seed_and_messages_are_equal() {
    let run = |seed: u8| {
        let mut net = Net::with(assay_localnet_core::network::NetworkConfig {
            seed: [seed; 32],
            ..crate::harness::config()
        });
        let id = net.canister(COUNTERS);
        let random = net.canister(crate::calls::RANDOM);
        for _ in 0..5 {
            net.call(id, "add", "").unwrap();
            let _ = net.call(id, "add_and_trap", "");
            net.call(random, "draw", "").unwrap();
        }
        net.network.digest()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
