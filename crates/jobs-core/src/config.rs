//! What is set when a jobs canister is installed.

use assay_protocol::{Cycles, limits};
use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};

/// The configuration of one market.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct JobsConfig {
    /// The jobs canister itself: part of every commitment and receipt.
    pub canister: Principal,
    /// The market's fee on top of every payout, in basis points, at most [`limits::FEE_BPS_MAX`].
    pub fee_bps: u16,
    /// What controllers may change.
    pub rules: Rules,
    /// The ledger (ICRC-1, ICRC-2) that keeps cycles for the market; once there is one it stays.
    pub ledger: Option<Principal>,
}

/// What a market's controllers may change, each within its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Rules {
    /// Confirmed results after which a worker's answers to `single` jobs may go unchecked, at most
    /// [`limits::TRUSTED_AFTER_MAX`]; 10 at first, as in BOINC's adaptive replication.
    pub trusted_after: u32,
    /// Of a million such answers, how many are audited at least; 50,000 at first.
    pub audit_ppm_min: u32,
    /// Stake locked behind each lease, in multiples of the lease's greatest reward, at most
    /// [`limits::STAKE_FACTOR_MAX`]; 0 at first, because nothing but the reveal bond is ever taken from it yet.
    pub stake_factor: u32,
    /// What a worker loses for a commitment it never opens, at most [`limits::REVEAL_BOND_CYCLES_MAX`]; 0 at first.
    pub reveal_bond: Cycles,
    /// What the sponsor pool pays for one caller in a day, at most [`limits::PRICE_CAP_CYCLES_MAX`]; 0 at first.
    pub sponsor_caller_daily: Cycles,
    /// What it pays for all of them together, at most [`limits::PRICE_CAP_CYCLES_MAX`]; 0 at first.
    pub sponsor_daily: Cycles,
    /// For a million jobs, how many canaries are asked as long as some wait, at most [`limits::CANARY_PPM_MAX`]; 20,000 at first.
    pub canary_ppm: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            trusted_after: 10,
            audit_ppm_min: 50_000,
            stake_factor: 0,
            reveal_bond: Cycles::ZERO,
            sponsor_caller_daily: Cycles::ZERO,
            sponsor_daily: Cycles::ZERO,
            canary_ppm: 20_000,
        }
    }
}

impl Rules {
    /// Nobody is audited and nobody stakes.
    pub const LAX: Self = Self {
        trusted_after: 0,
        audit_ppm_min: 0,
        stake_factor: 0,
        reveal_bond: Cycles::ZERO,
        sponsor_caller_daily: Cycles::ZERO,
        sponsor_daily: Cycles::ZERO,
        canary_ppm: 0,
    };

    /// Of a million answers of a worker with so many confirmed results, how many are audited: the floor, or one
    /// in `valid` where that is more.
    pub fn audit_ppm(&self, valid: u64) -> u64 {
        match self.audit_ppm_min {
            0 => 0,
            least => u64::from(least).max(1_000_000 / valid.max(1)),
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let Self {
            trusted_after,
            audit_ppm_min,
            stake_factor,
            reveal_bond,
            sponsor_caller_daily,
            sponsor_daily,
            canary_ppm,
        } = *self;
        let rules = [
            (
                "trusted_after",
                trusted_after.into(),
                limits::TRUSTED_AFTER_MAX.into(),
            ),
            ("audit_ppm_min", audit_ppm_min.into(), 1_000_000),
            (
                "stake_factor",
                stake_factor.into(),
                limits::STAKE_FACTOR_MAX.into(),
            ),
            ("reveal_bond", reveal_bond.0, limits::REVEAL_BOND_CYCLES_MAX),
            (
                "sponsor_caller_daily",
                sponsor_caller_daily.0,
                limits::PRICE_CAP_CYCLES_MAX,
            ),
            (
                "sponsor_daily",
                sponsor_daily.0,
                limits::PRICE_CAP_CYCLES_MAX,
            ),
            (
                "canary_ppm",
                canary_ppm.into(),
                limits::CANARY_PPM_MAX.into(),
            ),
        ];
        match rules.into_iter().find(|(_, value, most)| value > most) {
            Some((field, value, most)) => Err(ConfigError::Rule { field, value, most }),
            None => Ok(()),
        }
    }
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
    /// A rule is above its bound.
    #[error("{field}: {value}, at most {most} is allowed")]
    Rule {
        /// Which.
        field: &'static str,
        /// What was given.
        value: u128,
        /// Its bound.
        most: u128,
    },
    /// No ledger can be there.
    #[error("ledger: {0} is no ledger; give the id of a cycles ledger")]
    NoLedger(Principal),
    /// The market's money lies on another ledger.
    #[error("ledger: money of this market lies on {before}, so that stays its ledger")]
    OtherLedger {
        /// Where it lies.
        before: Principal,
    },
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
        if let Some(ledger) = self.ledger.filter(|&ledger| {
            ledger == Principal::anonymous()
                || ledger == Principal::management_canister()
                || ledger == self.canister
        }) {
            return Err(ConfigError::NoLedger(ledger));
        }
        self.rules.validate()
    }
}
