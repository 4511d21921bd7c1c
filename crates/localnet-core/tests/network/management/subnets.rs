//! What canisters and administrators can know of subnets.

use assay_localnet_core::types::ErrorCode;
use candid::Principal;
use ic_management_canister_types as ic;

use super::{code_of, decoded, forward, forwarder, queries::ask};
use crate::harness::{Net, user};

#[test]
fn canisters_learn_the_version_of_a_subnet() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let subnet_id = net.network.subnet_of(&by).unwrap().id;
    let reply = forward(
        &mut net,
        by,
        "subnet_info",
        &ic::SubnetInfoArgs { subnet_id },
        0,
    )
    .unwrap();
    let info: ic::SubnetInfoResult = decoded(&reply);
    assert!(info.replica_version.starts_with("assay-localnet-"));
    assert_eq!(info.registry_version, 1);
    let nowhere = ic::SubnetInfoArgs {
        subnet_id: Principal::anonymous(),
    };
    let (code, message) = forward(&mut net, by, "subnet_info", &nowhere, 0).unwrap_err();
    assert!(
        code == 4 && message.starts_with("Subnet 2vxsx-fae not found"),
        "{message}"
    );
}

#[test]
fn nodes_make_blocks_in_turn() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let subnet = net.network.subnet_of(&by).unwrap().clone();
    let metrics = |net: &mut Net, start| -> Vec<ic::NodeMetricsHistoryRecord> {
        let arg = ic::NodeMetricsHistoryArgs {
            subnet_id: subnet.id,
            start_at_timestamp_nanos: start,
        };
        decoded(&forward(net, by, "node_metrics_history", &arg, 0).unwrap())
    };
    net.rounds(30);
    net.advance(86_400);
    net.rounds(5);
    let days = metrics(&mut net, 0);
    assert_eq!(days.len(), 2, "one record a day");
    let nodes: Vec<_> = subnet.nodes.iter().map(|node| node.id).collect();
    let mut before = 0;
    for day in &days {
        let named: Vec<_> = day.node_metrics.iter().map(|one| one.node_id).collect();
        assert_eq!(named, nodes);
        let blocks: Vec<_> = day
            .node_metrics
            .iter()
            .map(|one| one.num_blocks_proposed_total)
            .collect();
        assert!(blocks.iter().max().unwrap() - blocks.iter().min().unwrap() <= 1);
        let sum: u64 = blocks.iter().sum();
        assert!(sum > before);
        before = sum;
        assert!(
            day.node_metrics
                .iter()
                .all(|one| one.num_block_failures_total == 0)
        );
    }
    let later = metrics(&mut net, days[1].timestamp_nanos);
    assert_eq!(later.len(), 1);
}

#[test]
fn only_administrators_list_canisters() {
    let mut net = Net::new();
    net.create();
    let query = assay_localnet_core::types::Query {
        sender: user(),
        canister: super::MANAGEMENT,
        method: "list_canisters".into(),
        arg: candid::encode_args(()).unwrap(),
        info: None,
    };
    assert_eq!(
        code_of(net.network.query(&query, None)),
        Some(ErrorCode::InvalidSubnetAdmin)
    );
    let bad = ask(&mut net, user(), "list_canisters", &1u8);
    assert!(bad.is_err());

    let mut plan = assay_localnet_core::topology::SubnetPlan::of(
        assay_localnet_core::topology::SubnetKind::Application,
    );
    plan.admins = vec![user()];
    let topology = assay_localnet_core::topology::Topology::plan(&[7; 32], &[plan]).unwrap();
    let mut config = crate::harness::config();
    config.topology = std::sync::Arc::new(topology);
    let mut net = Net::with(config);
    let ids: Vec<_> = (0..4).map(|_| net.create()).collect();
    net.manage("stop_canister", &super::record(ids[1])).unwrap();
    net.manage("delete_canister", &super::record(ids[1]))
        .unwrap();
    let reply = net.network.query(&query, None).unwrap();
    let range = |start, end| ic::CanisterIdRange { start, end };
    assert_eq!(
        decoded::<ic::ListCanistersResult>(&reply).canisters,
        [range(ids[0], ids[0]), range(ids[2], ids[3])]
    );
}
