//! Changing what the controllers of a canister decide.

use ic_management_canister_types::UpdateSettingsArgs;

use super::{Call, Outcome, done, existing, history};
use crate::{
    canister::SettingsError,
    network::Network,
    types::{ErrorCode, Reject},
};

pub(super) fn update(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let args: UpdateSettingsArgs = call.decode()?;
    let canister_id = args.canister_id;
    let result = change(network, call, args);
    if call.is_from_user() {
        network.charge_settings(&canister_id, &call.arg);
    }
    result
}

fn change(network: &mut Network, call: &Call, args: UpdateSettingsArgs) -> Result<Outcome, Reject> {
    let UpdateSettingsArgs {
        canister_id,
        settings,
        sender_canister_version,
    } = args;
    let origin = history::origin(network, call, sender_canister_version)?;
    let now = network.time;
    let canister = existing(network, &canister_id)?;
    let sets_controllers = settings.controllers.is_some();
    let changed = canister.settings.with(settings).map_err(invalid)?;
    network.change_settings(&canister_id, changed)?;
    let canister = existing(network, &canister_id)?;
    canister.version += 1;
    let log_bytes = canister.settings.log_bytes_max;
    canister.log.set_limit(log_bytes);
    if sets_controllers {
        let controllers = canister.settings.controllers.clone();
        history::controllers_set(canister, origin, now, controllers);
    }
    if canister.watch_memory() {
        network.ready.insert(canister_id);
    }
    done()
}

/// What callers are told whose settings are refused.
pub(super) fn invalid(error: SettingsError) -> Reject {
    let code = match error {
        SettingsError::Number { .. } | SettingsError::LogBytes { .. } => {
            ErrorCode::CanisterContractViolation
        }
        SettingsError::Principals { .. }
        | SettingsError::Variables { .. }
        | SettingsError::VariableName { .. }
        | SettingsError::VariableValue { .. }
        | SettingsError::VariableTwice { .. } => ErrorCode::InvalidManagementPayload,
    };
    Reject::of(code, error.to_string())
}
