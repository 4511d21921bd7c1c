//! Effective canister ids: to which canister's subnet a request must be addressed.

use candid::{CandidType, DecoderConfig, Principal, decode_one_with_config};
use serde::Deserialize;
use thiserror::Error;

use super::envelope::{Call, Kind};

/// Work that is spent on skipping the rest of an argument; a module of two million bytes fits.
const SKIPPING_QUOTA: usize = 20_000_000;

/// Why a request does not belong where it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EffectiveError {
    /// Addressed to another canister than it names.
    #[error(
        "the request is for canister {named} but was addressed to {effective}; send it to /canister/{named}/"
    )]
    Mismatch {
        /// The canister in the request.
        named: Principal,
        /// The canister in the address.
        effective: Principal,
    },
    /// A method of the management canister that users cannot call, or an argument that names no canister.
    #[error(
        "users cannot call the management canister's method `{method}` with this argument, which names no canister"
    )]
    NoCanister {
        /// The method, cut off.
        method: String,
    },
}

/// Checks that a call or query is addressed to the canister that it concerns.
///
/// # Errors
/// Where it is not.
pub fn check_effective(
    call: &Call,
    kind: Kind,
    effective: &Principal,
) -> Result<(), EffectiveError> {
    let named = if call.canister != Principal::management_canister() {
        call.canister
    } else {
        match (kind, call.method.as_str()) {
            (Kind::Call, "create_canister" | "provisional_create_canister_with_cycles")
            | (Kind::Query, "list_canisters") => return Ok(()),
            (Kind::Call, "install_chunked_code") => {
                field::<TargetCanister>(&call.arg).map(|arg| arg.target_canister)
            }
            _ => field::<CanisterId>(&call.arg).map(|arg| arg.canister_id),
        }
        .ok_or_else(|| EffectiveError::NoCanister {
            method: call.method.chars().take(64).collect(),
        })?
    };
    if named == *effective {
        Ok(())
    } else {
        Err(EffectiveError::Mismatch {
            named,
            effective: *effective,
        })
    }
}

#[derive(CandidType, Deserialize)]
struct CanisterId {
    canister_id: Principal,
}

#[derive(CandidType, Deserialize)]
struct TargetCanister {
    target_canister: Principal,
}

fn field<T: CandidType + for<'de> Deserialize<'de>>(arg: &[u8]) -> Option<T> {
    let mut config = DecoderConfig::new();
    config.set_skipping_quota(SKIPPING_QUOTA);
    decode_one_with_config(arg, &config).ok()
}
