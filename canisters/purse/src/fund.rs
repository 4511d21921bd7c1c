//! One deposit: what it may take, and what became of it.

use assay_protocol::{
    Cycles,
    job::{DepositArgs, DepositError},
};
use candid::{CandidType, Principal};
use ic_cdk::call::{Call, CallFailed, RejectCode};
use serde::{Deserialize, Serialize};

use crate::FundArgs;

/// The most that one call may deposit.
pub(crate) const AMOUNT_MAX: Cycles = Cycles(100_000_000_000_000);
/// What stays in the purse, so that it can answer and be refilled.
const RESERVE: Cycles = Cycles(1_000_000_000_000);
/// Seconds to wait for the jobs canister: a bounded wait, so that it cannot keep the purse from being upgraded.
const WAIT_SECONDS: u32 = 60;

/// Why nothing was deposited, unless the error says that the outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize, thiserror::Error)]
pub enum FundError {
    /// Only controllers may spend what is in the purse.
    #[error("{caller} does not control the purse; only its controllers spend from it")]
    NotAController {
        /// Who called.
        caller: Principal,
    },
    /// Outside what one call may deposit.
    #[error("{amount} cycles cannot be deposited at once; 1 to {max} are allowed")]
    Amount {
        /// What was asked.
        amount: Cycles,
        /// The most.
        max: Cycles,
    },
    /// The purse holds too little; its reserve stays in it.
    #[error("the purse can spend {available} cycles, {amount} were asked; send it cycles first")]
    InsufficientFunds {
        /// What was asked.
        amount: Cycles,
        /// What it can spend.
        available: Cycles,
    },
    /// The jobs canister refused; the cycles came back.
    #[error("the jobs canister refused: {0}")]
    Refused(DepositError),
    /// The call did not reach the jobs canister; the cycles came back.
    #[error("the jobs canister could not be reached: {0}")]
    Unreachable(String),
    /// No answer in time: the deposit may have been made.
    #[error("no answer from the jobs canister ({0}); read the balance before trying again")]
    OutcomeUnknown(String),
    /// Something newer than this client.
    #[error("{0}")]
    Other(String),
}

/// What the purse can spend: its balance above the reserve.
pub(crate) fn available() -> Cycles {
    Cycles(ic_cdk::api::canister_liquid_cycle_balance())
        .checked_sub(RESERVE)
        .unwrap_or_default()
}

/// Whether this amount may be spent in one call.
pub(crate) fn check(amount: Cycles, available: Cycles) -> Result<(), FundError> {
    if amount == Cycles::ZERO || amount > AMOUNT_MAX {
        return Err(FundError::Amount {
            amount,
            max: AMOUNT_MAX,
        });
    }
    if amount > available {
        return Err(FundError::InsufficientFunds { amount, available });
    }
    Ok(())
}

/// Sends the cycles. Nothing is kept across the call, so nothing has to be read again after it.
pub(crate) async fn deposit(args: FundArgs) -> Result<Cycles, FundError> {
    let FundArgs {
        jobs,
        beneficiary,
        amount,
    } = args;
    let answer = Call::bounded_wait(jobs, "deposit")
        .with_arg(DepositArgs { beneficiary })
        .with_cycles(amount.0)
        .change_timeout(WAIT_SECONDS)
        .await
        .map_err(failed)?;
    // The other canister has answered, so a text that cannot be read leaves open what it did with the cycles.
    let answer: Result<Cycles, DepositError> = answer
        .candid()
        .map_err(|error| FundError::OutcomeUnknown(error.to_string()))?;
    answer.map_err(FundError::Refused)
}

fn failed(error: CallFailed) -> FundError {
    match &error {
        CallFailed::CallRejected(rejected)
            if rejected.reject_code() == Ok(RejectCode::SysUnknown) =>
        {
            FundError::OutcomeUnknown(error.to_string())
        }
        _ => FundError::Unreachable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: Cycles = Cycles(u128::MAX);

    #[test]
    fn one_call_deposits_at_least_one_cycle_and_at_most_a_hundred_trillion() {
        assert_eq!(check(Cycles(1), PLENTY), Ok(()));
        assert_eq!(check(AMOUNT_MAX, PLENTY), Ok(()));
        for amount in [Cycles::ZERO, Cycles(AMOUNT_MAX.0 + 1)] {
            assert_eq!(
                check(amount, PLENTY),
                Err(FundError::Amount {
                    amount,
                    max: AMOUNT_MAX
                })
            );
        }
    }

    #[test]
    fn the_purse_spends_no_more_than_it_can() {
        assert_eq!(check(Cycles(5), Cycles(5)), Ok(()));
        let error = check(Cycles(6), Cycles(5));
        assert_eq!(
            error,
            Err(FundError::InsufficientFunds {
                amount: Cycles(6),
                available: Cycles(5)
            })
        );
    }
}
