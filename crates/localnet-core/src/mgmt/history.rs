//! Writing down who changed a canister.

use candid::Principal;
use ic_management_canister_types::{
    ChangeDetails, ChangeOrigin, ControllersChangeRecord, CreationRecord, FromCanisterRecord,
    FromUserRecord,
};

use super::Call;
use crate::{
    canister::{Canister, Settings},
    ingress::{Value, hash_of_map},
    network::Network,
    types::{ErrorCode, Reject, Time},
};

/// Who makes a change. A canister may say at which version it does; it cannot name one that it has not reached.
pub(super) fn origin(
    network: &Network,
    call: &Call,
    sender_version: Option<u64>,
) -> Result<ChangeOrigin, Reject> {
    if call.is_from_user() {
        return Ok(ChangeOrigin::FromUser(FromUserRecord {
            user_id: call.caller,
        }));
    }
    let version = network
        .canisters
        .get(&call.caller)
        .map(|canister| canister.version);
    if let (Some(claimed), Some(version)) = (sender_version, version)
        && claimed > version
    {
        return Err(Reject::of(
            ErrorCode::CanisterContractViolation,
            format!(
                "Management canister call payload includes sender canister version {claimed} that does not match the \
                 actual sender canister version {version}."
            ),
        ));
    }
    Ok(ChangeOrigin::FromCanister(FromCanisterRecord {
        canister_id: call.caller,
        canister_version: sender_version,
    }))
}

/// A canister has come into being, by settings that may have named variables.
pub(super) fn created(canister: &mut Canister, origin: ChangeOrigin, now: Time, variables: bool) {
    let details = ChangeDetails::Creation(CreationRecord {
        controllers: canister.settings.controllers.clone(),
        environment_variables_hash: variables.then(|| variables_hash(&canister.settings).to_vec()),
    });
    record(canister, origin, now, details);
}

/// Controllers were set.
pub(super) fn controllers_set(
    canister: &mut Canister,
    origin: ChangeOrigin,
    now: Time,
    controllers: Vec<Principal>,
) {
    let details = ChangeDetails::ControllersChange(ControllersChangeRecord { controllers });
    record(canister, origin, now, details);
}

/// Anything else, after it was done.
pub(super) fn record(
    canister: &mut Canister,
    origin: ChangeOrigin,
    now: Time,
    details: ChangeDetails,
) {
    canister
        .changes
        .record(now, canister.version, origin, details);
}

/// The representation-independent hash of the environment variables.
fn variables_hash(settings: &Settings) -> [u8; 32] {
    let pairs: Vec<_> = settings
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), Value::Text(value)))
        .collect();
    hash_of_map(&pairs)
}
