//! What everybody may know of a canister: its history, controllers, module hash and public metadata.

use ic_management_canister_types::{
    CanisterInfoArgs, CanisterInfoResult, CanisterMetadataArgs, CanisterMetadataResult,
};

use super::{Call, Outcome, absent::shown, decode, existing, not_a_controller, reply};
use crate::{
    network::Network,
    types::{ErrorCode, Reject},
};

pub(super) fn info(network: &mut Network, arg: &[u8]) -> Result<Vec<u8>, Reject> {
    let CanisterInfoArgs {
        canister_id,
        num_requested_changes,
    } = decode(arg)?;
    let canister = existing(network, &canister_id)?;
    Ok(reply(&CanisterInfoResult {
        total_num_changes: canister.changes.total(),
        recent_changes: canister.changes.last(num_requested_changes.unwrap_or(0)),
        module_hash: canister.code.as_ref().map(|code| code.module.hash.to_vec()),
        controllers: canister.settings.controllers.clone(),
    }))
}

pub(super) fn metadata(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let CanisterMetadataArgs { canister_id, name } = call.decode()?;
    let canister = existing(network, &canister_id)?;
    let missing = |what: String| Reject::of(ErrorCode::CanisterRejectedMessage, what);
    let code = canister.code.as_ref().ok_or_else(|| {
        missing(format!(
            "The canister {canister_id} has no Wasm module and hence no metadata is available."
        ))
    })?;
    let sections = &code.module.info.metadata;
    let section = sections
        .iter()
        .find(|section| section.name == name)
        .ok_or_else(|| {
            missing(format!(
                "The canister {canister_id} has no metadata section with the name {}.",
                shown(&name)
            ))
        })?;
    if !section.public && !canister.is_controlled_by(&call.caller) {
        return Err(not_a_controller(canister, &call.caller));
    }
    Ok(Outcome::Reply(reply(&CanisterMetadataResult {
        value: section.content.clone(),
    })))
}
