//! Canisters that call each other.

use candid::{Principal, encode_one};
use serde_bytes::ByteBuf;

use crate::harness::{
    anybody, network, networks, probe, probe_on, query, read, refused, tell, update,
};

#[test]
fn one_canister_calls_another() {
    let network = network();
    let (one, two) = (probe(&network), probe(&network));
    let added: Result<u64, String> = update(&network, one, "add_there", (two, 4u64)).unwrap();
    assert_eq!(added, Ok(4));
    let added: Result<u64, String> = update(&network, one, "add_there_soon", (two, 4u64)).unwrap();
    assert_eq!(added, Ok(8));
    assert_eq!((read(&network, one), read(&network, two)), (0, 8));
}

#[test]
fn a_canister_calls_itself() {
    let network = network();
    let one = probe(&network);
    let added: Result<u64, String> = update(&network, one, "add_there", (one, 4u64)).unwrap();
    assert_eq!(added, Ok(4));
    assert_eq!(read(&network, one), 4);
}

#[test]
fn a_call_to_nobody_is_rejected() {
    let network = network();
    let one = probe(&network);
    let nobody = Principal::from_text("lucqv-h7777-77777-aaaaa-cai");
    let stopped = probe(&network);
    network.stop_canister(stopped, None).unwrap();
    let refused: Result<u64, String> = update(&network, one, "add_there", (stopped, 1u64)).unwrap();
    assert!(refused.unwrap_err().contains("stopped"));
    if let Ok(nobody) = nobody {
        let refused: Result<u64, String> =
            update(&network, one, "add_there", (nobody, 1u64)).unwrap();
        assert!(refused.is_err());
    }
}

#[test]
fn what_was_done_before_a_call_stays_when_the_callback_traps() {
    let network = network();
    let (one, two) = (probe(&network), probe(&network));
    refused(
        tell(&network, one, "trap_after_call", (two,)),
        pocket_ic::RejectCode::CanisterError,
        pocket_ic::ErrorCode::CanisterCalledTrap,
        "after the call",
    );
    assert_eq!(read(&network, one), 1);
}

#[test]
fn a_composite_query_asks_others() {
    let network = network();
    let probes = [probe(&network), probe(&network), probe(&network)];
    for (number, id) in (1u64..).zip(probes) {
        tell(&network, id, "add", (number,)).unwrap();
    }
    let others = vec![probes[1], probes[2]];
    assert_eq!(
        query::<u64>(&network, probes[0], "sum", (others.clone(),)),
        Ok(6)
    );
    refused(
        update::<u64>(&network, probes[0], "sum", (others,)),
        pocket_ic::RejectCode::CanisterError,
        pocket_ic::ErrorCode::CompositeQueryCalledInReplicatedMode,
        "",
    );
}

#[test]
fn random_bytes_differ_each_time() {
    let network = network();
    let one = probe(&network);
    let bytes = |network| update::<ByteBuf>(network, one, "random", ()).unwrap();
    let (first, second) = (bytes(&network), bytes(&network));
    assert_eq!((first.len(), second.len()), (32, 32));
    assert_ne!(first, second);
}

#[test]
fn a_thousand_queued_calls_are_all_answered() {
    let network = network();
    let one = probe(&network);
    let arg = encode_one(1u64).unwrap();
    let calls: Vec<_> = (0..1000)
        .map(|_| {
            network
                .submit_call(one, anybody(), "add", arg.clone())
                .unwrap()
        })
        .collect();
    for call in calls {
        assert!(network.await_call(call).is_ok());
    }
    assert_eq!(read(&network, one), 1000);
}

#[test]
fn calls_between_subnets_carry_cycles_and_return_what_is_not_taken() {
    let network = networks()
        .with_application_subnet()
        .with_application_subnet()
        .build();
    let subnets = network.topology().get_app_subnets();
    let (one, two) = (
        probe_on(&network, subnets[0]),
        probe_on(&network, subnets[1]),
    );
    let before = network.cycle_balance(two);
    let sent = 1_000_000_000_000u128;
    let taken: Result<u128, String> =
        update(&network, one, "send_cycles", (two, "accept_cycles", sent)).unwrap();
    assert_eq!(taken, Ok(sent));
    let gained = network.cycle_balance(two) - before;
    assert!(gained > sent * 9 / 10 && gained <= sent, "{gained}");
}
