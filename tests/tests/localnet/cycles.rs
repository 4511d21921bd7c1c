//! Cycles: where they come from, and where they go.

use pocket_ic::{CreateCanisterParams, ErrorCode, RejectCode};

use crate::harness::{CYCLES, network, probe, query, refused, tell, update};

#[test]
fn a_canister_begins_with_what_it_is_given() {
    let network = network();
    let id = network.create_canister();
    assert_eq!(network.cycle_balance(id), CYCLES);
    let params = CreateCanisterParams {
        cycles: Some(5_000_000_000_000),
        ..Default::default()
    };
    let poor = network.create_canister_with_params(None, params).unwrap();
    assert_eq!(network.cycle_balance(poor), 5_000_000_000_000);
}

#[test]
fn cycles_can_be_made_for_a_test() {
    let network = network();
    let id = network.create_canister();
    assert_eq!(network.add_cycles(id, 1), CYCLES + 1);
    let much = u128::from(u64::MAX) * 1000;
    assert_eq!(network.add_cycles(id, much), CYCLES + 1 + much);
    assert_eq!(network.cycle_balance(id), CYCLES + 1 + much);
}

#[test]
fn work_costs_cycles() {
    let network = network();
    let id = probe(&network);
    let before = network.cycle_balance(id);
    tell(&network, id, "add", (1u64,)).unwrap();
    let spent = before - network.cycle_balance(id);
    // Ingress 1.2 M, execution 5 M, and a cycle or so for each instruction.
    assert!((6_200_000..20_000_000).contains(&spent), "{spent}");
    let before = network.cycle_balance(id);
    query::<u64>(&network, id, "read", ()).unwrap();
    assert_eq!(network.cycle_balance(id), before, "queries are free");
}

#[test]
fn a_system_subnet_charges_nothing() {
    let network = crate::harness::networks().with_system_subnet().build();
    let id = probe(&network);
    let before = network.cycle_balance(id);
    tell(&network, id, "add", (1u64,)).unwrap();
    assert_eq!(network.cycle_balance(id), before);
}

#[test]
fn cycles_go_along_with_calls() {
    let network = network();
    let (one, two) = (probe(&network), probe(&network));
    let sent = 1_000_000_000_000u128;
    let (one_before, two_before) = (network.cycle_balance(one), network.cycle_balance(two));
    let taken: Result<u128, String> =
        update(&network, one, "send_cycles", (two, "accept_cycles", sent)).unwrap();
    assert_eq!(taken, Ok(sent));
    let lost = one_before - network.cycle_balance(one);
    assert!((sent..sent + 100_000_000).contains(&lost), "{lost}");
    let gained = network.cycle_balance(two) - two_before;
    assert!((sent - 100_000_000..sent).contains(&gained), "{gained}");

    let before = network.cycle_balance(one);
    let offered: Result<u128, String> =
        update(&network, one, "send_cycles", (two, "refuse_cycles", sent)).unwrap();
    assert_eq!(offered, Ok(sent));
    let lost = before - network.cycle_balance(one);
    assert!(lost < 100_000_000, "what is not taken comes back: {lost}");
}

#[test]
fn anybodys_cycles_can_be_deposited() {
    let network = network();
    let (one, two) = (probe(&network), network.create_canister());
    let sent = 1_000_000_000_000u128;
    let done: Result<(), String> = update(&network, one, "deposit", (two, sent)).unwrap();
    assert_eq!(done, Ok(()));
    assert_eq!(network.cycle_balance(two), CYCLES + sent);
}

#[test]
fn who_has_nothing_is_refused() {
    let network = network();
    let params = CreateCanisterParams {
        cycles: Some(0),
        ..Default::default()
    };
    let id = network.create_canister_with_params(None, params).unwrap();
    let failed = network.reinstall_canister(
        id,
        crate::harness::probe_wasm(),
        crate::harness::number(0),
        None,
    );
    refused(
        failed,
        RejectCode::SysTransient,
        ErrorCode::CanisterOutOfCycles,
        "out of cycles",
    );
    network.add_cycles(id, CYCLES);
    network.install_canister(
        id,
        crate::harness::probe_wasm(),
        crate::harness::number(0),
        None,
    );
    assert_eq!(crate::harness::read(&network, id), 0);
}
