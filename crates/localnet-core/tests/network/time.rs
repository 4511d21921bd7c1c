//! The clock, timers and heartbeats.

use crate::harness::{Net, START, n};

/// Sets a timer for the given time from now, in seconds, and counts how often it fires.
const TIMER: &str = r#"
    (func (export "canister_update set")
      (drop (call $global_timer_set (i64.add (call $time)
        (i64.mul (i64.extend_i32_u (call $arg32)) (i64.const 1000000000)))))
      (call $msg_reply))
    (func (export "canister_update clear") (drop (call $global_timer_set (i64.const 0))) (call $msg_reply))
    (func (export "canister_global_timer")
      (i32.store (i32.const 700) (i32.add (i32.load (i32.const 700)) (i32.const 1))))
    (func (export "canister_query fired") (call $reply32 (i32.load (i32.const 700))))
"#;

#[test]
fn a_timer_fires_once_when_its_time_has_come() {
    let mut net = Net::new();
    let id = net.canister(TIMER);
    net.call(id, "set", n(10)).unwrap();
    let due = net.network.next_timer().unwrap();
    net.advance(9);
    net.rounds(3);
    assert_eq!(net.query(id, "fired", ""), Ok(n(0)));
    net.network.set_time(due);
    net.rounds(3);
    assert_eq!(net.query(id, "fired", ""), Ok(n(1)));
    assert_eq!(net.network.next_timer(), None);
}

#[test]
fn a_cleared_timer_does_not_fire_and_an_upgrade_clears_it() {
    let mut net = Net::new();
    let id = net.canister(TIMER);
    net.call(id, "set", n(10)).unwrap();
    net.call(id, "clear", "").unwrap();
    assert_eq!(net.network.next_timer(), None);
    net.call(id, "set", n(10)).unwrap();
    net.upgrade(id, TIMER).unwrap();
    assert_eq!(net.network.next_timer(), None);
    net.advance(100);
    net.rounds(2);
    assert_eq!(net.query(id, "fired", ""), Ok(n(0)));
}

#[test]
fn a_heartbeat_comes_every_round() {
    let mut net = Net::new();
    let id = net.canister(
        r#"
        (func (export "canister_heartbeat")
          (i32.store (i32.const 700) (i32.add (i32.load (i32.const 700)) (i32.const 1))))
        (func (export "canister_query beats") (call $reply32 (i32.load (i32.const 700))))
        "#,
    );
    let before = net.query(id, "beats", "").unwrap();
    assert_eq!(before, n(0));
    net.rounds(3);
    assert_eq!(net.query(id, "beats", ""), Ok(n(3)));
    assert_eq!(
        net.network.next_timer(),
        Some(net.network.time()),
        "there is always something to do"
    );
}

#[test]
fn time_never_goes_back_and_rises_with_every_round() {
    let mut net = Net::new();
    let id = net.canister(
        r#"(func (export "canister_query now")
          (i64.store (i32.const 700) (call $time))
          (call $msg_reply_data_append (i32.const 700) (i32.const 8))
          (call $msg_reply))"#,
    );
    let mut now = || u64::from_le_bytes(net.query(id, "now", "").unwrap().try_into().unwrap());
    let before = now();
    assert!(before > START.0);
    net.network.round();
    assert_eq!(net.network.time().0, before + 1);
    net.network.set_time(START);
    assert_eq!(net.network.time().0, before + 1);
    net.advance(5);
    assert_eq!(
        net.query(id, "now", ""),
        Ok((before + 1 + 5_000_000_000).to_le_bytes().to_vec())
    );
}
