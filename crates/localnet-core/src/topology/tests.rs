use ic_verify_bls_signature::verify_bls_signature;

use super::*;
use crate::limits;

#[test]
fn the_first_canister_has_the_id_that_local_networks_begin_with() {
    let topology = Topology::new(&[7; 32]);
    assert_eq!(
        topology.default_effective_canister().to_text(),
        "lxzze-o7777-77777-aaaaa-cai"
    );
    assert_eq!(
        topology
            .subnet_of(&topology.default_effective_canister())
            .unwrap()
            .id,
        topology.default_subnet().id
    );
}

#[test]
fn ranges_end_where_they_say() {
    let topology = Topology::new(&[7; 32]);
    let range = topology.default_subnet().ranges[0];
    assert!(topology.default_subnet().hosts(&range.last_id()));
    assert!(topology.subnet_of(&canister_id(range.first - 1)).is_none());
    assert!(topology.subnet_of(&canister_id(range.last + 1)).is_none());
    assert_eq!(
        topology.subnet_of(&canister_id(0xF_FFFF)).unwrap().kind,
        SubnetKind::Nns
    );
    assert!(topology.subnet_of(&canister_id(0x10_0000)).is_none());
    assert!(
        topology
            .subnet_of(&Principal::management_canister())
            .is_none()
    );
}

#[test]
fn subnet_ids_and_node_ids_authenticate_their_keys() {
    let topology = Topology::new(&[7; 32]);
    assert_eq!(
        topology.root().id,
        Principal::self_authenticating(topology.root_key())
    );
    assert_eq!(topology.root_key().len(), 133);
    for subnet in topology.subnets() {
        assert_eq!(topology.subnet(&subnet.id).unwrap().id, subnet.id);
        assert!(
            subnet
                .nodes
                .iter()
                .all(|node| node.id == Principal::self_authenticating(node.key.public_der()))
        );
    }
}

#[test]
fn keys_follow_from_the_seed_and_sign() {
    let (one, same, other) = (
        Topology::new(&[1; 32]),
        Topology::new(&[1; 32]),
        Topology::new(&[2; 32]),
    );
    assert_eq!(one.root_key(), same.root_key());
    assert_ne!(one.root_key(), other.root_key());
    assert_ne!(one.root_key(), one.default_subnet().key.public_der());

    let signature = one.root().key.sign(b"state");
    let public = &one.root_key()[37..];
    assert_eq!(verify_bls_signature(&signature, b"state", public), Ok(()));
    assert!(verify_bls_signature(&signature, b"other", public).is_err());

    let node = &one.default_subnet().nodes[0];
    let public = ic_ed25519::PublicKey::deserialize_rfc8410_der(node.key.public_der()).unwrap();
    assert!(
        public
            .verify_signature(b"answer", &node.key.sign(b"answer"))
            .is_ok()
    );
}

fn id(text: &str) -> Principal {
    Principal::from_text(text).unwrap()
}

#[test]
fn a_subnet_is_made_for_an_id_of_the_public_network() {
    use SubnetKind::{Application, Ii, Nns, System};
    let before = plan(&[System]).unwrap();
    let ledger = id("um5iw-rqaaa-aaaaq-qaaba-cai");
    let after = before.changed(TopologyChange::Host(ledger)).unwrap();
    assert_eq!(kinds(&after), [Nns, System, Ii]);
    assert_eq!(after.subnet_of(&ledger).unwrap().kind, Ii);
    let anybody = canister_id(0x123_4567);
    let after = after.changed(TopologyChange::Host(anybody)).unwrap();
    assert_eq!(kinds(&after), [Nns, System, Ii, Application]);
    let subnet = after.subnet_of(&anybody).unwrap();
    assert_eq!(
        subnet.ranges[0],
        CanisterRange {
            first: 0x120_0000,
            last: 0x12F_FFFF
        }
    );
    assert_eq!(subnet.ranges[1], subnet.allocation);
    assert!(
        !before
            .subnets()
            .iter()
            .any(|other| other.hosts(&subnet.allocation.first_id()))
    );
    assert_eq!(
        after.default_subnet().kind,
        System,
        "a new subnet changes nothing for others"
    );
    assert_eq!(
        after.changes(),
        [TopologyChange::Host(ledger), TopologyChange::Host(anybody)]
    );
    assert_eq!(
        after.changed(TopologyChange::Host(anybody)).unwrap_err(),
        TopologyError::Hosted { id: anybody }
    );
    for other in [
        canister_id(1 << 32),
        canister_id(u64::MAX),
        Principal::anonymous(),
        Principal::management_canister(),
    ] {
        assert_eq!(
            after.changed(TopologyChange::Host(other)).unwrap_err(),
            TopologyError::NotPublic { id: other }
        );
    }
}

#[test]
fn the_same_changes_give_the_same_subnets() {
    let changes = [
        TopologyChange::Host(canister_id(0x100_0000)),
        TopologyChange::Host(canister_id(0x110_0000)),
    ];
    let make = || {
        changes
            .iter()
            .fold(Topology::new(&[7; 32]), |topology, change| {
                topology.changed(*change).unwrap()
            })
    };
    let ids = |topology: &Topology| -> Vec<_> {
        topology.subnets().iter().map(|subnet| subnet.id).collect()
    };
    assert_eq!(ids(&make()), ids(&make()));
    assert_eq!(ids(&make()).len(), 4);
}

#[test]
fn a_subnet_that_comes_after_one_that_went_is_another() {
    use SubnetKind::{Application, Nns};
    let public = canister_id(0x100_0000);
    let with = plan(&[Application])
        .unwrap()
        .changed(TopologyChange::Host(public))
        .unwrap();
    let first = with.subnet_of(&public).unwrap().clone();
    let without = with.changed(TopologyChange::Delete(first.id)).unwrap();
    assert_eq!(kinds(&without), [Nns, Application]);
    assert!(without.subnet_of(&public).is_none());
    assert!(without.subnet_of(&first.allocation.first_id()).is_none());
    let again = without.changed(TopologyChange::Host(public)).unwrap();
    let second = again.subnet_of(&public).unwrap();
    assert_ne!(second.id, first.id);
    assert_ne!(second.allocation, first.allocation);
}

#[test]
fn named_subnets_and_the_last_one_stay() {
    use SubnetKind::{Application, Fiduciary, Nns, System, VerifiedApplication};
    let topology = plan(&[Nns, Fiduciary, Application, System]).unwrap();
    let delete = |topology: &Topology, at: usize| {
        let id = topology.subnets()[at].id;
        topology.changed(TopologyChange::Delete(id))
    };
    for (at, kind) in [(0, Nns), (1, Fiduciary)] {
        let id = topology.subnets()[at].id;
        assert_eq!(
            delete(&topology, at).unwrap_err(),
            TopologyError::Named { id, kind }
        );
    }
    let left = delete(&topology, 2).unwrap();
    assert_eq!(kinds(&left), [Nns, Fiduciary, System]);
    assert_eq!(
        left.default_subnet().kind,
        System,
        "another takes its place"
    );

    let two = plan(&[Application, VerifiedApplication]).unwrap();
    let hidden = two.root().id;
    assert_eq!(
        delete(&two, 0).unwrap_err(),
        TopologyError::Unknown { id: hidden }
    );
    let one = delete(&two, 2).unwrap();
    assert_eq!(one.default_subnet().kind, Application);
    let last = one.subnets()[1].id;
    assert_eq!(
        delete(&one, 1).unwrap_err(),
        TopologyError::Last { id: last }
    );
}

#[test]
fn subnets_come_and_go_a_limited_number_of_times() {
    use SubnetKind::Application;
    let full = plan(&[Application; limits::SUBNETS_MAX]).unwrap();
    let found = limits::SUBNETS_MAX + 1;
    assert_eq!(
        full.changed(TopologyChange::Host(canister_id(0x100_0000)))
            .unwrap_err(),
        TopologyError::TooMany { found }
    );
    let delete = TopologyChange::Delete(full.subnets()[1].id);
    let mut worn = full.clone();
    worn.changes = vec![delete; limits::TOPOLOGY_CHANGES_MAX - 1];
    let worn = worn.changed(delete).unwrap();
    let again = TopologyChange::Delete(worn.subnets()[1].id);
    assert_eq!(worn.changed(again).unwrap_err(), TopologyError::Changes);
}

fn kinds(topology: &Topology) -> Vec<SubnetKind> {
    topology
        .subnets()
        .iter()
        .map(|subnet| subnet.kind)
        .collect()
}

fn plan(kinds: &[SubnetKind]) -> Result<Topology, TopologyError> {
    let plan: Vec<_> = kinds.iter().copied().map(SubnetPlan::of).collect();
    Topology::plan(&[7; 32], &plan)
}

#[test]
fn ranges_are_handed_out_from_the_top_in_the_order_of_the_plan() {
    use SubnetKind::{Application, Ii, Nns, System};
    let topology = plan(&[Application, Nns, Ii, System]).unwrap();
    assert_eq!(
        kinds(&topology),
        [Nns, Application, Ii, System],
        "the root comes first"
    );
    let first: Vec<u64> = topology
        .subnets()
        .iter()
        .map(|subnet| subnet.allocation.first)
        .collect();
    assert_eq!(
        first,
        [
            0xFFFF_FFFF_FFD0_0000,
            0xFFFF_FFFF_FFE0_0000,
            0xFFFF_FFFF_FFC0_0000,
            0xFFFF_FFFF_FFB0_0000
        ]
    );
    assert!(topology.subnets().iter().all(|subnet| !subnet.hidden));
    assert!(topology.subnets().iter().all(|subnet| {
        subnet.ranges.contains(&subnet.allocation)
            && subnet.ranges.is_sorted_by_key(|range| range.first)
    }));
}

#[test]
fn named_subnets_have_the_ids_that_they_have_on_the_public_network() {
    use SubnetKind::{Bitcoin, Fiduciary, Ii, Nns, Sns};
    let topology = plan(&[Nns, Sns, Ii, Fiduciary, Bitcoin]).unwrap();
    for (text, kind) in [
        ("rwlgt-iiaaa-aaaaa-aaaaa-cai", Nns),
        ("ryjl3-tyaaa-aaaaa-aaaba-cai", Nns),
        ("rkp4c-7iaaa-aaaaa-aaaca-cai", Nns),
        ("n5n4y-3aaaa-aaaaa-p777q-cai", Nns),
        ("rdmx6-jaaaa-aaaaa-aaadq-cai", Ii),
        ("um5iw-rqaaa-aaaaq-qaaba-cai", Ii),
        ("ijz7v-ziaaa-aaaaq-7777q-cai", Ii),
        ("ybpmr-kqaaa-aaaaq-aaaaa-cai", Sns),
        ("ekjw2-zyaaa-aaaaq-p777q-cai", Sns),
        ("mf7xa-laaaa-aaaar-qaaaa-cai", Fiduciary),
        ("qoznl-yiaaa-aaaar-7777q-cai", Fiduciary),
        ("g3wsl-eqaaa-aaaan-aaaaa-cai", Bitcoin),
        ("2qqia-xyaaa-aaaan-p777q-cai", Bitcoin),
    ] {
        let id = Principal::from_text(text).unwrap();
        assert_eq!(topology.subnet_of(&id).unwrap().kind, kind, "{text}");
    }
    let sizes: Vec<_> = topology
        .subnets()
        .iter()
        .map(|subnet| (subnet.nodes.len(), subnet.kind.as_text()))
        .collect();
    assert_eq!(
        sizes,
        [
            (40, "system"),
            (34, "application"),
            (34, "system"),
            (34, "application"),
            (13, "system")
        ]
    );
}

#[test]
fn a_root_subnet_that_nobody_asked_for_is_hidden_and_has_the_same_key() {
    let hidden = plan(&[SubnetKind::System]).unwrap();
    assert_eq!(kinds(&hidden), [SubnetKind::Nns, SubnetKind::System]);
    assert!(hidden.root().hidden);
    let asked = plan(&[SubnetKind::System, SubnetKind::Nns]).unwrap();
    assert!(!asked.root().hidden);
    assert_eq!(hidden.root_key(), asked.root_key());
}

#[test]
fn calls_that_name_no_canister_go_to_the_most_usual_subnet() {
    use SubnetKind::{Application, CloudEngine, Nns, Sns, System, VerifiedApplication};
    for (asked, default) in [
        (&[Nns, VerifiedApplication, Application][..], Application),
        (&[System, VerifiedApplication], VerifiedApplication),
        (&[Nns, Sns, System], System),
        (&[Nns, Sns], Nns),
        (&[Sns, CloudEngine], Sns),
    ] {
        let topology = plan(asked).unwrap();
        assert_eq!(topology.default_subnet().kind, default);
        let id = topology.default_effective_canister();
        assert_eq!(topology.subnet_of(&id).unwrap().kind, default);
    }
}

#[test]
fn impossible_plans_say_what_is_wrong() {
    use SubnetKind::{Application, Ii};
    assert_eq!(plan(&[]).unwrap_err(), TopologyError::Empty);
    assert_eq!(
        plan(&[Ii, Application, Ii]).unwrap_err(),
        TopologyError::Twice { kind: Ii }
    );
    let most = plan(&[Application; limits::SUBNETS_MAX]).unwrap();
    let mut ids: Vec<_> = most.subnets().iter().map(|subnet| subnet.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), limits::SUBNETS_MAX + 1, "and a hidden root");
    let found = limits::SUBNETS_MAX + 1;
    assert_eq!(
        plan(&[Application; limits::SUBNETS_MAX + 1]).unwrap_err(),
        TopologyError::TooMany { found }
    );
    let with_admins = |found: usize| {
        let admins = vec![Principal::anonymous(); found];
        let plan = SubnetPlan {
            admins,
            ..SubnetPlan::of(Application)
        };
        Topology::plan(&[7; 32], &[plan]).map(|_| ())
    };
    let most = limits::SUBNET_ADMINS_MAX;
    assert_eq!(with_admins(most), Ok(()));
    let found = most + 1;
    assert_eq!(with_admins(found), Err(TopologyError::Admins { found }));
}
