//! A network's clock, its rounds, and who is where on it.

use std::{collections::BTreeSet, sync::Arc};

use assay_localnet_core::{
    network::{Input, access::AccessError},
    types::Time,
};
use candid::Principal;

use super::{
    answer::{Answer, ApiError, Outcome},
    instances::Instance,
    plan,
    shapes::{Blockmakers, CanisterId, NodeId, PrincipalId, RawTime, SubnetId, TickArgs},
};

pub(super) async fn topology(instance: Arc<Instance>) -> Outcome {
    Ok(Answer::of(&plan::describe(&instance.topology())))
}

pub(super) async fn get_time(instance: Arc<Instance>) -> Outcome {
    let time = instance.network.run(|actor| actor.network().time()).await?;
    Ok(Answer::of(&RawTime {
        nanos_since_epoch: time.0,
    }))
}

pub(super) async fn set_time(instance: Arc<Instance>, time: RawTime) -> Outcome {
    move_clock(instance, time, false).await
}

pub(super) async fn set_certified_time(instance: Arc<Instance>, time: RawTime) -> Outcome {
    move_clock(instance, time, true).await
}

async fn move_clock(instance: Arc<Instance>, time: RawTime, certify: bool) -> Outcome {
    let time = Time(time.nanos_since_epoch);
    instance
        .network
        .run(move |actor| {
            let present = actor.network().time();
            if time < present {
                return Err(ApiError::bad(format!(
                    "the time cannot be set into the past: it is {} and was to become {}",
                    present.0, time.0
                )));
            }
            actor.set_time(time);
            if certify {
                actor.certify_now();
            }
            Ok(Answer::null())
        })
        .await?
}

/// One round. Who makes the block changes nothing that canisters see, so its makers are only checked.
pub(super) async fn tick(instance: Arc<Instance>, args: TickArgs) -> Outcome {
    for blockmakers in args.blockmakers.iter().flatten() {
        check_blockmakers(&instance, blockmakers)?;
    }
    instance.network.run(|actor| actor.round()).await?;
    Ok(Answer::null())
}

fn check_blockmakers(instance: &Instance, blockmakers: &Blockmakers) -> Result<(), ApiError> {
    let Blockmakers {
        subnet: SubnetId { subnet_id },
        blockmaker,
        failed_blockmakers,
    } = blockmakers;
    let topology = instance.topology();
    let subnet = topology
        .subnet(&subnet_id.0)
        .ok_or_else(|| no_subnet(&subnet_id.0))?;
    let nodes: BTreeSet<Principal> = subnet.nodes.iter().map(|node| node.id).collect();
    let stranger = std::iter::once(blockmaker)
        .chain(failed_blockmakers)
        .find(|NodeId { node_id }| !nodes.contains(&node_id.0));
    match stranger {
        Some(NodeId { node_id }) => Err(ApiError::bad(format!(
            "{} is not a node of subnet {}",
            node_id.0, subnet_id.0
        ))),
        None => Ok(()),
    }
}

/// The subnet of a canister; none where the canister does not exist.
pub(super) async fn get_subnet(instance: Arc<Instance>, id: CanisterId) -> Outcome {
    let id = id.canister_id.0;
    let exists = instance
        .network
        .run(move |actor| actor.network().canister(&id).is_some())
        .await?;
    let subnet = exists
        .then(|| instance.topology().subnet_of(&id).map(|subnet| subnet.id))
        .flatten()
        .map(|subnet| SubnetId {
            subnet_id: super::shapes::Id(subnet),
        });
    Ok(Answer::of(&subnet))
}

/// A subnet's public key, DER, as an array of numbers.
pub(super) async fn pub_key(instance: Arc<Instance>, id: SubnetId) -> Outcome {
    let id = id.subnet_id.0;
    let topology = instance.topology();
    let subnet = topology.subnet(&id).ok_or_else(|| no_subnet(&id))?;
    Ok(Answer::of(&subnet.key.public_der()))
}

pub(super) async fn get_controllers(instance: Arc<Instance>, id: CanisterId) -> Outcome {
    let id = id.canister_id.0;
    let controllers: Vec<PrincipalId> = instance
        .network
        .run(move |actor| {
            let controllers = actor.network().controllers(&id)?;
            Ok::<_, AccessError>(controllers.iter().copied().map(PrincipalId).collect())
        })
        .await??;
    Ok(Answer::of(&controllers))
}

/// Deletes a subnet with everything on it.
pub(super) async fn delete_subnet(instance: Arc<Instance>, id: SubnetId) -> Outcome {
    let id = id.subnet_id.0;
    instance
        .network
        .run(move |actor| {
            let deleted = actor.change(
                |network| network.delete_subnet(&id),
                |_| Input::DeleteSubnet(id),
            );
            actor.follow_topology();
            deleted.map_err(|error| ApiError::bad(error.to_string()))
        })
        .await??;
    Ok(Answer::null())
}

pub(super) fn no_subnet(id: &Principal) -> ApiError {
    ApiError::bad(format!("subnet {id} does not exist on this network"))
}
