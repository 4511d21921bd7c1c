//! State folders: an instance ends, and another one goes on with what it left.

use candid::Principal;
use pocket_ic::{PocketIc, PocketIcBuilder, PocketIcState};

use crate::harness::{networks, probe, read, update};

fn with(state: PocketIcState) -> PocketIcBuilder {
    networks().with_state(state)
}

fn add(network: &PocketIc, canister: Principal, more: u64) {
    update::<u64>(network, canister, "add", (more,)).unwrap();
}

fn ended(network: PocketIc) -> PocketIcState {
    network
        .drop_and_take_state()
        .expect("the network was made with a state")
}

#[test]
fn an_instance_goes_on_where_another_has_ended() {
    let network = with(PocketIcState::new())
        .with_nns_subnet()
        .with_application_subnet()
        .build();
    let canister = probe(&network);
    add(&network, canister, 77);
    let (time, key) = (network.get_time(), network.root_key());
    let cycles = network.cycle_balance(canister);
    let state = ended(network);

    let network = with(state)
        .with_nns_subnet()
        .with_application_subnet()
        .build();
    assert_eq!(read(&network, canister), 77);
    assert_eq!(network.root_key(), key);
    assert!(network.get_time() >= time);
    assert_eq!(network.cycle_balance(canister), cycles);
    assert_ne!(network.create_canister(), canister, "its id is taken");
    add(&network, canister, 1);

    // Who opens it need not say again what is in it.
    let network = with(ended(network)).build();
    assert_eq!(read(&network, canister), 78);
}

#[test]
fn a_state_that_is_only_read_stays_as_it_is() {
    let network = with(PocketIcState::new()).with_application_subnet().build();
    let canister = probe(&network);
    add(&network, canister, 5);
    let state = ended(network);
    for _ in 0..2 {
        let copy = networks()
            .with_read_only_state(&state)
            .with_application_subnet()
            .build();
        assert_eq!(read(&copy, canister), 5);
        add(&copy, canister, 1);
        assert_eq!(read(&copy, canister), 6);
    }
}

#[test]
fn a_subnet_that_came_later_is_kept_too() {
    let public = Principal::from_text("um5iw-rqaaa-aaaaq-qaaba-cai").unwrap();
    let network = with(PocketIcState::new()).with_application_subnet().build();
    network.create_canister_with_id(None, None, public).unwrap();
    let subnet = network.get_subnet(public);
    assert!(subnet.is_some());

    let network = with(ended(network)).build();
    assert_eq!(network.get_subnet(public), subnet);
    assert_eq!(network.topology().get_subnet(public), subnet);
    assert!(network.canister_status(public, None).is_ok());
}
