//! Why a message is not executed, in the words that clients of the Internet Computer know.

use candid::Principal;

use crate::{
    canister::{Canister, CanisterId},
    cycles, help, limits,
    network::RunState,
    types::{ErrorCode, Reject, RejectCode},
};

/// Refuses for a canister that is not running.
pub(crate) fn running(canister: &Canister) -> Result<(), Reject> {
    let id = canister.id;
    match canister.state {
        RunState::Running => Ok(()),
        RunState::Stopping => Err(Reject::of(
            ErrorCode::CanisterStopping,
            format!("Canister {id} is stopping"),
        )),
        RunState::Stopped => Err(Reject::of(
            ErrorCode::CanisterStopped,
            format!("Canister {id} is stopped"),
        )),
    }
}

/// There is no such canister.
pub(crate) fn not_found(id: &CanisterId) -> Reject {
    Reject::of(
        ErrorCode::CanisterNotFound,
        format!("Canister {id} not found"),
    )
}

/// The canister has no module.
pub(crate) fn no_module(id: &CanisterId) -> Reject {
    let text = format!(
        "Error from Canister {id}: Attempted to execute a message, but the canister contains no Wasm module."
    );
    Reject::of(
        ErrorCode::CanisterWasmModuleNotFound,
        help::NO_MODULE.after_fault(text),
    )
}

/// The canister has no such method.
pub(crate) fn no_method(id: &CanisterId, kind: &str, method: &str) -> Reject {
    let text = format!("Error from Canister {id}: Canister has no {kind} method '{method}'.");
    Reject::of(
        ErrorCode::CanisterMethodNotFound,
        help::METHOD_NOT_FOUND.after_fault(text),
    )
}

/// Refuses where the canister cannot pay so much and keep what it must. Only those who control it are told how much
/// is missing.
pub(crate) fn affordable(
    canister: &Canister,
    cost: u128,
    caller: &Principal,
) -> Result<(), Reject> {
    let needed = canister.frozen().saturating_add(cost);
    if canister.balance >= needed {
        return Ok(());
    }
    let mut message = format!("Canister {} is out of cycles", canister.id);
    if canister.settings.controllers.contains(caller) {
        let missing = cycles::grouped(needed - canister.balance);
        message.push_str(&format!(
            ": please top up the canister with at least {missing} additional cycles"
        ));
    }
    Err(Reject::of(ErrorCode::CanisterOutOfCycles, message))
}

/// Refuses queries for a canister that has less than it must keep.
pub(crate) fn thawed(canister: &Canister) -> Result<(), Reject> {
    if canister.balance >= canister.frozen() {
        return Ok(());
    }
    Err(Reject::of(
        ErrorCode::CanisterOutOfCycles,
        format!(
            "Canister {} is unable to process query calls because it's frozen. Please top up the canister with \
             cycles and try again.",
            canister.id
        ),
    ))
}

/// The canister ended without an answer to a user.
pub(crate) fn did_not_reply(id: &CanisterId) -> Reject {
    Reject::of(
        ErrorCode::CanisterDidNotReply,
        format!("Canister {id} did not reply to the call"),
    )
}

/// The canister ended without an answer to another one, which is told less than users are.
pub(crate) fn no_response() -> Reject {
    Reject {
        code: RejectCode::CanisterError,
        error: None,
        message: "No response".into(),
    }
}

/// A reject's text is cut where it is unreasonably long.
pub(super) fn bounded(mut reject: Reject) -> Reject {
    if reject.message.len() > limits::REJECT_BYTES_MAX {
        let mut end = limits::REJECT_BYTES_MAX;
        while !reject.message.is_char_boundary(end) {
            end -= 1;
        }
        reject.message.truncate(end);
    }
    reject
}
