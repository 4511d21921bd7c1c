//! The clock, timers and heartbeats: nothing moves unless it is asked to.

use std::time::Duration;

use pocket_ic::Time;

use crate::harness::{anybody, module, network, networks, probe, query, tell};

const SECOND: u64 = 1_000_000_000;

fn nanos(time: Time) -> u64 {
    time.as_nanos_since_unix_epoch()
}

#[test]
fn the_clock_begins_in_2021_and_moves_with_rounds_only() {
    let network = network();
    let start = network.get_time();
    assert!(nanos(start) >= 1_620_328_630 * SECOND, "{start:?}");
    assert!(nanos(start) < 1_620_328_631 * SECOND, "{start:?}");
    assert_eq!(network.get_time(), start);
    network.tick();
    let after = network.get_time();
    assert!(nanos(after) > nanos(start), "a round takes time");
    assert!(nanos(after) < nanos(start) + SECOND);
}

#[test]
fn the_clock_can_be_set_and_canisters_see_it() {
    let network = network();
    let id = probe(&network);
    let time = Time::from_nanos_since_unix_epoch(1_700_000_000 * SECOND);
    network.set_time(time);
    assert_eq!(network.get_time(), time);
    network.set_time(time);
    network.tick();
    let seen: u64 = query(&network, id, "time", ()).unwrap();
    assert!(
        (nanos(time)..nanos(time) + SECOND).contains(&seen),
        "{seen}"
    );

    let later = Time::from_nanos_since_unix_epoch(1_800_000_000 * SECOND);
    network.set_certified_time(later);
    assert!(nanos(network.get_time()) >= nanos(later));
    network.advance_time(Duration::from_secs(5));
    assert!(nanos(network.get_time()) >= nanos(later) + 5 * SECOND);
}

#[test]
fn a_network_begins_when_it_is_told_to() {
    let start = 1_750_000_000 * SECOND;
    let network = networks()
        .with_application_subnet()
        .with_initial_time(Time::from_nanos_since_unix_epoch(start))
        .build();
    assert!((start..start + SECOND).contains(&nanos(network.get_time())));
}

#[test]
fn a_timer_runs_when_its_time_has_come() {
    let network = network();
    let id = probe(&network);
    let runs = || query::<u64>(&network, id, "runs", ()).unwrap();
    let rounds = || {
        for _ in 0..5 {
            network.tick();
        }
    };
    tell(&network, id, "run_later", (10u64,)).unwrap();
    rounds();
    assert_eq!(runs(), 0);
    network.advance_time(Duration::from_secs(9));
    rounds();
    assert_eq!(runs(), 0);
    network.advance_time(Duration::from_secs(1));
    rounds();
    assert_eq!(runs(), 1);
    network.advance_time(Duration::from_secs(100));
    rounds();
    assert_eq!(runs(), 1, "it runs once");

    tell(&network, id, "run_often", (10u64,)).unwrap();
    for expected in 2..5 {
        network.advance_time(Duration::from_secs(10));
        rounds();
        assert_eq!(runs(), expected);
    }
    network
        .upgrade_canister(
            id,
            crate::harness::probe_wasm(),
            crate::harness::keep(),
            None,
        )
        .unwrap();
    network.advance_time(Duration::from_secs(100));
    rounds();
    assert_eq!(runs(), 0, "an upgrade forgets timers");
}

#[test]
fn a_heart_beats_each_round() {
    let network = network();
    let id = network.create_canister();
    let heart = module(
        r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (memory 1)
            (func (export "canister_heartbeat")
                (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1))))
            (func (export "canister_query beats")
                (call $append (i32.const 0) (i32.const 1)) (call $reply)))"#,
    );
    network.install_canister(id, heart, vec![], None);
    let beats = || network.query_call(id, anybody(), "beats", vec![]).unwrap()[0];
    let before = beats();
    for _ in 0..10 {
        network.tick();
    }
    // The first beat may need the round after the one that it is due in.
    let beaten = beats() - before;
    assert!((9..=10).contains(&beaten), "{beaten}");
    network.stop_canister(id, None).unwrap();
    network.start_canister(id, None).unwrap();
    assert!(beats() > before);
}
