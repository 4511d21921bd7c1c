//! Networks of several subnets, their ids, and instances beside each other.

use candid::Principal;
use pocket_ic::{
    PocketIc,
    common::rest::{CanisterCyclesCostSchedule, SubnetKind, SubnetSpec},
};

use crate::harness::{network, networks, probe, probe_on, read};

#[test]
fn an_application_subnet_gives_the_ids_that_are_known_from_elsewhere() {
    let network = network();
    let topology = network.topology();
    assert_eq!(topology.subnet_configs.len(), 1);
    let first = network.create_canister();
    assert_eq!(first.to_text(), "lxzze-o7777-77777-aaaaa-cai");
    assert_eq!(
        network.create_canister().to_text(),
        "lqy7q-dh777-77777-aaaaq-cai"
    );
    assert_eq!(
        network.get_subnet(first),
        Some(topology.get_app_subnets()[0])
    );
    assert_eq!(network.root_key(), None, "nobody asked for an NNS subnet");
}

#[test]
fn every_kind_of_subnet_has_its_ranges_and_takes_canisters() {
    let network = networks()
        .with_nns_subnet()
        .with_sns_subnet()
        .with_ii_subnet()
        .with_fiduciary_subnet()
        .with_bitcoin_subnet()
        .with_system_subnet()
        .with_application_subnet()
        .with_application_subnet()
        .with_verified_application_subnet()
        .with_benchmarking_application_subnet()
        .build();
    let topology = network.topology();
    assert_eq!(topology.subnet_configs.len(), 10);
    assert_eq!(topology.get_app_subnets().len(), 3);
    assert_eq!(topology.get_benchmarking_app_subnets().len(), 1);
    assert_eq!(topology.get_verified_app_subnets().len(), 1);
    assert_eq!(topology.get_system_subnets().len(), 1);
    for (id, text) in [
        (topology.get_nns(), "rwlgt-iiaaa-aaaaa-aaaaa-cai"),
        (topology.get_ii(), "rdmx6-jaaaa-aaaaa-aaadq-cai"),
    ] {
        let known = Principal::from_text(text).unwrap();
        assert_eq!(topology.get_subnet(known), id, "{text}");
    }
    let key = network.root_key().expect("there is an NNS subnet");
    assert_eq!(key.len(), 133);

    let default = Principal::from_slice(&topology.default_effective_canister_id.canister_id);
    assert_eq!(
        topology.get_subnet(default),
        Some(topology.get_app_subnets_in_order()[0])
    );
    for (subnet, config) in &topology.subnet_configs {
        let canister = network.create_canister_on_subnet(None, None, *subnet);
        assert_eq!(
            network.get_subnet(canister),
            Some(*subnet),
            "{:?}",
            config.subnet_kind
        );
        assert!(network.canister_exists(canister));
    }
}

/// Application subnets by the ids that they hand out, from the top down.
trait InOrder {
    fn get_app_subnets_in_order(&self) -> Vec<Principal>;
}

impl InOrder for pocket_ic::common::rest::Topology {
    fn get_app_subnets_in_order(&self) -> Vec<Principal> {
        let mut subnets: Vec<_> = self
            .subnet_configs
            .iter()
            .filter(|(_, config)| config.subnet_kind == SubnetKind::Application)
            .collect();
        subnets.sort_by_key(|(_, config)| {
            std::cmp::Reverse(config.canister_ranges[0].start.canister_id.clone())
        });
        subnets.into_iter().map(|(id, _)| *id).collect()
    }
}

#[test]
fn canisters_can_have_ids_of_the_public_network() {
    let network = networks()
        .with_nns_subnet()
        .with_application_subnet()
        .build();
    let ledger = Principal::from_text("ryjl3-tyaaa-aaaaa-aaaba-cai").unwrap();
    assert_eq!(network.get_subnet(ledger), None);
    assert_eq!(
        network.create_canister_with_id(None, None, ledger),
        Ok(ledger)
    );
    assert_eq!(network.get_subnet(ledger), network.topology().get_nns());
    let again = network.create_canister_with_id(None, None, ledger);
    assert!(again.unwrap_err().contains("CanisterIdAlreadyExists"));
}

#[test]
fn calls_go_from_subnet_to_subnet() {
    let network = networks()
        .with_nns_subnet()
        .with_application_subnet()
        .build();
    let topology = network.topology();
    let near = probe_on(&network, topology.get_app_subnets()[0]);
    let far = probe_on(&network, topology.get_nns().unwrap());
    let sum: Result<u64, String> =
        crate::harness::update(&network, near, "add_there", (far, 5u64)).unwrap();
    assert_eq!(sum, Ok(5));
    assert_eq!(read(&network, far), 5);
    assert_eq!(read(&network, near), 0);
}

#[test]
fn instances_know_nothing_of_each_other() {
    let (one, two) = (network(), network());
    assert_ne!(one.instance_id(), two.instance_id());
    let canister = probe(&one);
    assert!(one.canister_exists(canister));
    assert!(!two.canister_exists(canister));
    one.advance_time(std::time::Duration::from_secs(100));
    assert!(one.get_time() > two.get_time());

    let number = one.instance_id();
    drop(one);
    let states = PocketIc::list_instances();
    assert_eq!(states[number], "Deleted");
    assert_eq!(states[two.instance_id()], "Available");
}

#[test]
fn a_second_handle_reaches_the_same_instance() {
    let network = network();
    let canister = probe(&network);
    let same =
        PocketIc::new_from_existing_instance(network.get_server_url(), network.instance_id(), None);
    assert_eq!(read(&same, canister), 0);
    drop(same);
    assert_eq!(
        read(&network, canister),
        0,
        "the second handle did not own the instance"
    );
}

#[test]
fn rented_subnets_have_administrators() {
    let admin = crate::harness::user(1);
    let spec = SubnetSpec::default()
        .with_cost_schedule(CanisterCyclesCostSchedule::Free)
        .with_subnet_admins(vec![admin]);
    let config = pocket_ic::common::rest::ExtendedSubnetConfigSet {
        application: vec![spec],
        ..Default::default()
    };
    let network = pocket_ic::PocketIcBuilder::new_with_config(config).build();
    let topology = network.topology();
    let subnet = topology.subnet_configs.values().next().unwrap();
    assert_eq!(subnet.cost_schedule, CanisterCyclesCostSchedule::Free);
    assert_eq!(subnet.subnet_admins, Some(vec![admin.into()]));
}
