//! What can be known of a subnet: its version, the work of its nodes, and what it hosts.

use std::sync::Arc;

use candid::Principal;
use ic_management_canister_types::{
    CanisterIdRange, ListCanistersResult, NodeMetrics, NodeMetricsHistoryArgs,
    NodeMetricsHistoryRecord, SubnetInfoArgs, SubnetInfoResult, SubnetMetricsArgs,
    SubnetMetricsResult,
};

use super::{Call, Outcome, absent, methods::Method, reply};
use crate::{
    canister::CanisterId,
    network::{Network, SubnetMetrics, canister_number},
    sysapi::SubnetFacts,
    topology::Subnet,
    types::{ErrorCode, Query, Reject},
};

/// What runs on every node.
const REPLICA_VERSION: &str = concat!("assay-localnet-", env!("CARGO_PKG_VERSION"));
/// Subnets, nodes and ids never change, so there is one version of what is registered.
const REGISTRY_VERSION: u64 = 1;

pub(super) fn info(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let SubnetInfoArgs { subnet_id } = call.decode()?;
    existing(network, &subnet_id)?;
    Ok(Outcome::Reply(reply(&SubnetInfoResult {
        replica_version: REPLICA_VERSION.into(),
        registry_version: REGISTRY_VERSION,
    })))
}

pub(super) fn node_metrics(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let NodeMetricsHistoryArgs {
        subnet_id,
        start_at_timestamp_nanos: start,
    } = call.decode()?;
    existing(network, &subnet_id)?;
    let nodes = nodes(network, &subnet_id);
    let records: Vec<_> = network
        .days
        .since(start)
        .map(|(time, rounds)| NodeMetricsHistoryRecord {
            timestamp_nanos: time.0,
            node_metrics: shares(&nodes, rounds),
        })
        .collect();
    Ok(Outcome::Reply(reply(&records)))
}

/// Nodes make one block after another in turn, and none fails.
fn shares(nodes: &[Principal], rounds: u64) -> Vec<NodeMetrics> {
    let count = nodes.len().max(1) as u64;
    nodes
        .iter()
        .zip(0..)
        .map(|(node_id, place)| NodeMetrics {
            node_id: *node_id,
            num_blocks_proposed_total: rounds / count + u64::from(place < rounds % count),
            num_block_failures_total: 0,
        })
        .collect()
}

/// What a subnet is to a canister that it hosts.
pub(super) fn home(network: &Network, canister: &CanisterId) -> Result<Arc<SubnetFacts>, Reject> {
    match network.canisters.get(canister) {
        Some(canister) => Ok(Arc::clone(&canister.home)),
        None => Err(crate::exec::not_found(canister)),
    }
}

/// The nodes of a subnet.
pub(super) fn nodes(network: &Network, id: &Principal) -> Vec<Principal> {
    existing(network, id).map_or_else(
        |_| Vec::new(),
        |subnet| subnet.nodes.iter().map(|node| node.id).collect(),
    )
}

/// The canisters of a subnet as ranges without gaps, for its administrators.
pub(super) fn list_canisters(network: &mut Network, query: &Query) -> Result<Vec<u8>, Reject> {
    super::decode_nothing(&query.arg)?;
    let sender = &query.sender;
    // A composite query sees the subnet of its canister, a user the one that it administers.
    let subnets = network.topology.subnets();
    let place = match network.canisters.get(sender) {
        Some(canister) => {
            Some(canister.home.index).filter(|at| subnets[*at].admins.contains(sender))
        }
        None => subnets
            .iter()
            .position(|subnet| subnet.admins.contains(sender)),
    };
    let Some(place) = place else {
        return Err(not_an_admin(Method::ListCanisters, sender));
    };
    let mut ranges: Vec<CanisterIdRange> = Vec::new();
    let here = network
        .canisters
        .values()
        .filter(|canister| canister.home.index == place);
    for id in here.map(|canister| canister.id) {
        let follows = |last: &CanisterIdRange| {
            matches!(
                (canister_number(&last.end), canister_number(&id)),
                (Some(before), Some(now)) if before.checked_add(1) == Some(now)
            )
        };
        match ranges.last_mut().filter(|last| follows(last)) {
            Some(last) => last.end = id,
            None => ranges.push(CanisterIdRange { start: id, end: id }),
        }
    }
    Ok(reply(&ListCanistersResult { canisters: ranges }))
}

/// Only those who administer a subnet can do this on it.
pub(super) fn not_an_admin(method: Method, caller: &Principal) -> Reject {
    Reject::of(
        ErrorCode::InvalidSubnetAdmin,
        format!(
            "Only subnet admins can call ic00 method {}, and {caller} is not one of them",
            method.name()
        ),
    )
}

/// What a subnet says of itself in its state tree, and what it has executed.
pub(super) fn metrics(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let SubnetMetricsArgs { subnet_id } = call.decode()?;
    existing(network, &subnet_id)?;
    let place = network
        .topology
        .subnets()
        .iter()
        .position(|subnet| subnet.id == subnet_id)
        .ok_or_else(|| absent::no_subnet(&subnet_id))?;
    let SubnetMetrics {
        canisters,
        state_bytes,
        spent,
        transactions,
    } = network.metrics()[place];
    let instructions = network.homes[place].instructions;
    Ok(Outcome::Reply(reply(&SubnetMetricsResult {
        block_height: network.round.into(),
        num_canisters: canisters.into(),
        canister_state_bytes: state_bytes.into(),
        consumed_cycles_total: spent.into(),
        update_transactions_total: transactions.into(),
        million_round_instructions_total: instructions.div_ceil(1_000_000).into(),
    })))
}

fn existing<'a>(network: &'a Network, id: &Principal) -> Result<&'a Subnet, Reject> {
    network
        .topology
        .subnet(id)
        .ok_or_else(|| absent::no_subnet(id))
}
