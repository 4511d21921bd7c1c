//! What each of several subnets shows and proves.

use super::*;
use crate::{
    network::SubnetMetrics,
    topology::{SubnetKind, SubnetPlan},
};

#[test]
fn a_canister_without_a_module_shows_its_controllers_and_when_it_was_made() {
    let mut certification = certification();
    let subnet = certification.topology.default_subnet().id;
    let id = certification.topology.default_effective_canister();
    let mut view = CanisterView {
        id,
        subnet,
        module_hash: None,
        controllers: &[],
        certified_data: b"",
        metadata: &[],
        state: RunState::Running,
        created: Time(300),
        installed: None,
    };
    let below = |certification: &Certification| {
        let tree = certification.tree(&subnet).unwrap();
        match tree.lookup(&[b"canister".as_slice(), id.as_slice()]) {
            Some(Content::Tree(below)) => below
                .entries()
                .into_iter()
                .map(|(label, _)| label.escape_ascii().to_string())
                .collect::<Vec<_>>()
                .join(" "),
            other => panic!("{other:?}"),
        }
    };
    certification.put_canister(&subnet, &view);
    assert_eq!(
        below(&certification),
        "canister_creation_timestamp controllers"
    );
    view.certified_data = b"of a system canister";
    certification.put_canister(&subnet, &view);
    assert_eq!(
        below(&certification),
        "canister_creation_timestamp certified_data controllers"
    );
    view.certified_data = b"";
    view.module_hash = Some([1; 32]);
    view.installed = Some(Time(400));
    certification.put_canister(&subnet, &view);
    assert_eq!(
        below(&certification),
        "canister_creation_timestamp certified_data controllers last_install_timestamp module_hash"
    );
    let tree = certification.tree(&subnet).unwrap();
    for (label, value) in [
        (b"canister_creation_timestamp".as_slice(), [0xac, 0x02]),
        (b"last_install_timestamp", [0x90, 0x03]),
    ] {
        let found = tree.lookup(&[b"canister".as_slice(), id.as_slice(), label]);
        assert!(matches!(found, Some(Content::Leaf(leaf)) if **leaf == value));
    }
}

/// A network with a subnet of each kind.
fn all_kinds() -> Certification {
    let plan = [
        SubnetKind::Application,
        SubnetKind::Nns,
        SubnetKind::Ii,
        SubnetKind::Sns,
        SubnetKind::Fiduciary,
        SubnetKind::Bitcoin,
        SubnetKind::System,
        SubnetKind::VerifiedApplication,
        SubnetKind::CloudEngine,
    ]
    .map(SubnetPlan::of);
    let topology = Topology::plan(&[3; 32], &plan).unwrap();
    Certification::new(Arc::new(topology), Time(1_700_000_000_000_000_000))
}

#[test]
fn every_subnet_proves_all_its_ids_by_the_root_key() {
    let mut certification = all_kinds();
    let topology = certification.topology.clone();
    for subnet in &topology.subnets()[1..] {
        let shard = subnet.ranges[0].first_id();
        let paths = [
            [
                b"subnet".as_slice(),
                subnet.id.as_slice(),
                b"canister_ranges",
            ],
            [b"canister_ranges", subnet.id.as_slice(), shard.as_slice()],
        ];
        for (form, path) in [RangeForm::Flat, RangeForm::Sharded].into_iter().zip(paths) {
            let bytes = certification.certificate(&subnet.id, &Wanted::nothing(), form);
            let delegation = verify_delegated(&parse(&bytes), topology.root_key(), &subnet.id);
            let LookupResult::Found(ranges) = delegation.lookup_path(path) else {
                panic!("{:?} has no ranges", subnet.kind)
            };
            let ranges: Vec<(Principal, Principal)> = serde_cbor::from_slice(ranges).unwrap();
            let expected: Vec<_> = subnet
                .ranges
                .iter()
                .map(|range| (range.first_id(), range.last_id()))
                .collect();
            assert_eq!(ranges, expected);
            let kind = [b"subnet".as_slice(), subnet.id.as_slice(), b"type"];
            assert_eq!(
                delegation.lookup_path(kind),
                LookupResult::Found(subnet.kind.as_text().as_bytes())
            );
        }
    }
}

#[test]
fn metrics_are_what_clients_decode() {
    let mut certification = all_kinds();
    let subnet = certification.topology.default_subnet().id;
    let metrics = SubnetMetrics {
        canisters: 3,
        state_bytes: 1 << 40,
        spent: (5 << 64) + 7,
        transactions: 1_000_000,
    };
    certification
        .subnet(&subnet)
        .state
        .put_metrics(&subnet, metrics);
    let path = [b"subnet".as_slice(), subnet.as_slice(), b"metrics"];
    let wanted = Wanted::paths([path]);
    let bytes = certification.certificate(&subnet, &wanted, RangeForm::Sharded);
    let certificate = parse(&bytes);
    let LookupResult::Found(bytes) = certificate.tree.lookup_path(path) else {
        panic!("no metrics")
    };
    let decoded: ic_transport_types::SubnetMetrics = serde_cbor::from_slice(bytes).unwrap();
    assert_eq!(decoded.num_canisters, 3);
    assert_eq!(decoded.canister_state_bytes, 1 << 40);
    assert_eq!(decoded.consumed_cycles_total, (5 << 64) + 7);
    assert_eq!(decoded.update_transactions_total, 1_000_000);

    let root = certification.topology.root().id;
    let bytes = certification.certificate(&root, &wanted, RangeForm::Sharded);
    assert_eq!(
        parse(&bytes).tree.lookup_path(path),
        LookupResult::Absent,
        "only its own subnet shows them"
    );
}

#[test]
fn every_path_that_may_be_asked_for_is_shown_or_proved_absent() {
    let mut certification = all_kinds();
    let topology = certification.topology.clone();
    let own = topology.default_subnet();
    let (id, node) = (topology.default_effective_canister(), own.nodes[0].id);
    let (stranger, root) = (Principal::self_authenticating([9]), topology.root().id);
    let (own_id, other) = (own.id.as_slice(), own.ranges[0].last_id());
    certification.put_canister(
        &own.id,
        &CanisterView {
            id,
            subnet: own.id,
            module_hash: None,
            controllers: &[],
            certified_data: b"",
            metadata: &[],
            state: RunState::Running,
            created: Time(1),
            installed: None,
        },
    );
    let present: &[&[&[u8]]] = &[
        &[b"time"],
        &[b"subnet", own_id, b"public_key"],
        &[b"subnet", own_id, b"type"],
        &[b"subnet", own_id, b"metrics"],
        &[b"subnet", own_id, b"node", node.as_slice(), b"public_key"],
        &[b"subnet", root.as_slice(), b"canister_ranges"],
        &[b"subnet", root.as_slice(), b"public_key"],
        &[b"canister", id.as_slice(), b"controllers"],
        &[b"canister", id.as_slice(), b"canister_creation_timestamp"],
    ];
    let absent: &[&[&[u8]]] = &[
        &[b"subnet", stranger.as_slice(), b"public_key"],
        &[b"subnet", root.as_slice(), b"metrics"],
        &[
            b"subnet",
            root.as_slice(),
            b"node",
            node.as_slice(),
            b"public_key",
        ],
        &[
            b"subnet",
            own_id,
            b"node",
            stranger.as_slice(),
            b"public_key",
        ],
        &[b"canister_ranges", stranger.as_slice(), id.as_slice()],
        &[b"request_status", &[7; 32], b"status"],
        &[b"canister", id.as_slice(), b"module_hash"],
        &[b"canister", id.as_slice(), b"last_install_timestamp"],
        &[b"canister", id.as_slice(), b"certified_data"],
        &[b"canister", id.as_slice(), b"metadata", b"candid:service"],
        &[b"canister", other.as_slice(), b"module_hash"],
        &[
            b"canister",
            other.as_slice(),
            b"metadata",
            b"candid:service",
        ],
        &[b"api_boundary_nodes", node.as_slice(), b"domain"],
    ];
    for (paths, there) in [(present, true), (absent, false)] {
        for path in paths {
            let wanted = Wanted::paths([path.iter().copied()]);
            let bytes = certification.certificate(&own.id, &wanted, RangeForm::Sharded);
            let certificate = parse(&bytes);
            verify_delegated(&certificate, topology.root_key(), &own.id);
            let found = certificate.tree.lookup_path(path.iter().copied());
            let name = path.iter().map(|label| label.escape_ascii().to_string());
            let name: Vec<_> = name.collect();
            assert_eq!(matches!(found, LookupResult::Found(_)), there, "{name:?}");
            assert!(there || found == LookupResult::Absent, "{name:?}");
        }
    }
}
