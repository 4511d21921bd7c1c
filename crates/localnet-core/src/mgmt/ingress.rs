//! What users may ask of the management canister.

use candid::Principal;

use super::{
    absent,
    methods::{Access, Method},
    permitted, subnet,
};
use crate::{
    network::Network,
    types::{ErrorCode, Ingress, Reject},
};

/// Whether a user may call a method with this argument.
pub(crate) fn check_ingress(network: &Network, ingress: &Ingress) -> Result<(), Reject> {
    let method = Method::parse(&ingress.method).ok_or_else(|| {
        let reject = absent::reject(&ingress.method, &ingress.arg);
        match reject.error {
            Some(ErrorCode::CanisterMethodNotFound) => reject,
            // Methods that the Internet Computer has for canisters.
            _ => only_canisters(&ingress.method),
        }
    })?;
    match method.access() {
        Access::Canisters => return Err(canisters_only(method)),
        Access::CanistersOrAdmins => {
            let at = network.effective_subnet(&ingress.effective_canister);
            return check_admin(network, at, &ingress.sender, method);
        }
        Access::Queries => return Err(queries_only(method)),
        Access::Anybody => return Ok(()),
        Access::Controllers
        | Access::ControllersOrAdmins
        | Access::ControllersOrSelf
        | Access::StatusViewers
        | Access::SnapshotViewers => {}
    }
    let target = method.named(&ingress.arg).map_err(|_| {
        Reject::of(
            ErrorCode::InvalidManagementPayload,
            format!(
                "Failed to decode payload for ic00 method: {}",
                method.name()
            ),
        )
    })?;
    if target != ingress.effective_canister {
        return Err(Reject::of(
            ErrorCode::CanisterRejectedMessage,
            format!(
                "effective canister id {} is not canister {target} in the argument of {}",
                ingress.effective_canister,
                method.name()
            ),
        ));
    }
    permitted(network, &target, &ingress.sender, method).map_err(|reject| match reject.error {
        Some(ErrorCode::CanisterInvalidController) => Reject::of(
            ErrorCode::CanisterInvalidController,
            format!(
                "Only controllers of canister {target} can call ic00 method {}",
                method.name()
            ),
        ),
        Some(ErrorCode::CanisterNotFound) => crate::exec::not_found(&target),
        _ => reject,
    })
}

/// Refuses users who do not administer the subnet with this place; most subnets have no such users at all.
pub(super) fn check_admin(
    network: &Network,
    at: usize,
    caller: &Principal,
    method: Method,
) -> Result<(), Reject> {
    let admins = &network.topology.subnets()[at].admins;
    if admins.is_empty() {
        Err(canisters_only(method))
    } else if admins.contains(caller) {
        Ok(())
    } else {
        Err(subnet::not_an_admin(method, caller))
    }
}

/// Users cannot call what only canisters may call.
pub(super) fn canisters_only(method: Method) -> Reject {
    only_canisters(method.name())
}

/// Nobody can call by an update what is a query.
pub(super) fn queries_only(method: Method) -> Reject {
    Reject::of(
        ErrorCode::CanisterRejectedMessage,
        format!(
            "{} API is only accessible in non-replicated mode",
            method.name()
        ),
    )
}

fn only_canisters(name: &str) -> Reject {
    Reject::of(
        ErrorCode::CanisterRejectedMessage,
        format!("Only canisters can call ic00 method {name}"),
    )
}
