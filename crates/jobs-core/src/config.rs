//! What is set when a jobs canister is installed.

use assay_protocol::limits;
use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};

/// The configuration of one market.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct JobsConfig {
    /// The jobs canister itself: part of every commitment and receipt.
    pub canister: Principal,
    /// The market's fee on top of every payout, in basis points, at most [`limits::FEE_BPS_MAX`].
    pub fee_bps: u16,
}

/// Why a configuration was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The anonymous principal is no canister.
    #[error("canister: the anonymous principal is no canister; give the jobs canister's own id")]
    Anonymous,
    /// The fee is above the ceiling.
    #[error("fee_bps: {0} basis points, at most {max} are allowed", max = limits::FEE_BPS_MAX)]
    Fee(u16),
    /// The state belongs to another canister.
    #[error(
        "canister: this state belongs to {before}, not to {now}; commitments name the canister"
    )]
    OtherCanister {
        /// Whose state it is.
        before: Principal,
        /// What was configured.
        now: Principal,
    },
}

impl JobsConfig {
    /// Whether every field is within its bounds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.canister == Principal::anonymous() {
            return Err(ConfigError::Anonymous);
        }
        if self.fee_bps > limits::FEE_BPS_MAX {
            return Err(ConfigError::Fee(self.fee_bps));
        }
        Ok(())
    }
}
