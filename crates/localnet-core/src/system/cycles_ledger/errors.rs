//! Refusals as the errors of each method.

use candid::Nat;

use super::types::{
    CreateCanisterError, CreateCanisterFromError, WithdrawError, WithdrawFromError,
};
use crate::system::{
    book::Refusal,
    icrc::{TransferFromError, generic},
};

impl From<Refusal> for WithdrawFromError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::InvalidReceiver(receiver) => Self::InvalidReceiver { receiver },
            Refusal::ExpiredAllowance => Self::InsufficientAllowance {
                allowance: Nat::from(0_u8),
            },
            Refusal::Nothing => Self::GenericError {
                message: "The withdraw_from 0 cycles is not possible".to_owned(),
                error_code: Nat::from(100_002_u32),
            },
            other => match TransferFromError::from(other.clone()) {
                TransferFromError::InsufficientFunds { balance } => {
                    Self::InsufficientFunds { balance }
                }
                TransferFromError::InsufficientAllowance { allowance } => {
                    Self::InsufficientAllowance { allowance }
                }
                TransferFromError::TooOld => Self::TooOld,
                TransferFromError::CreatedInFuture { ledger_time } => {
                    Self::CreatedInFuture { ledger_time }
                }
                TransferFromError::Duplicate { duplicate_of } => Self::Duplicate { duplicate_of },
                TransferFromError::TemporarilyUnavailable => Self::TemporarilyUnavailable,
                TransferFromError::BadFee { .. }
                | TransferFromError::BadBurn { .. }
                | TransferFromError::GenericError { .. } => {
                    let (error_code, message) = generic(&other);
                    Self::GenericError {
                        message,
                        error_code,
                    }
                }
            },
        }
    }
}

impl From<Refusal> for CreateCanisterFromError {
    fn from(refusal: Refusal) -> Self {
        if let Refusal::Duplicate { of, canister } = refusal {
            return Self::Duplicate {
                duplicate_of: of.into(),
                canister_id: canister,
            };
        }
        match WithdrawFromError::from(refusal) {
            WithdrawFromError::InsufficientFunds { balance } => Self::InsufficientFunds { balance },
            WithdrawFromError::InsufficientAllowance { allowance } => {
                Self::InsufficientAllowance { allowance }
            }
            WithdrawFromError::TooOld => Self::TooOld,
            WithdrawFromError::CreatedInFuture { ledger_time } => {
                Self::CreatedInFuture { ledger_time }
            }
            WithdrawFromError::TemporarilyUnavailable => Self::TemporarilyUnavailable,
            WithdrawFromError::GenericError {
                message,
                error_code,
            } => Self::GenericError {
                message,
                error_code,
            },
            WithdrawFromError::Duplicate { .. }
            | WithdrawFromError::InvalidReceiver { .. }
            | WithdrawFromError::FailedToWithdrawFrom { .. } => {
                unreachable!("BUG: creating a canister has no receiver and withdraws nothing")
            }
        }
    }
}

impl From<WithdrawFromError> for WithdrawError {
    fn from(error: WithdrawFromError) -> Self {
        use WithdrawFromError as From;
        match error {
            From::GenericError {
                message,
                error_code,
            } => Self::GenericError {
                message,
                error_code,
            },
            From::TemporarilyUnavailable => Self::TemporarilyUnavailable,
            From::FailedToWithdrawFrom {
                refund_block,
                rejection_code,
                rejection_reason,
                ..
            } => Self::FailedToWithdraw {
                fee_block: refund_block,
                rejection_code,
                rejection_reason,
            },
            From::Duplicate { duplicate_of } => Self::Duplicate { duplicate_of },
            From::InvalidReceiver { receiver } => Self::InvalidReceiver { receiver },
            From::CreatedInFuture { ledger_time } => Self::CreatedInFuture { ledger_time },
            From::TooOld => Self::TooOld,
            From::InsufficientFunds { balance } => Self::InsufficientFunds { balance },
            From::InsufficientAllowance { .. } => {
                unreachable!("BUG: owners need no allowance")
            }
        }
    }
}

impl From<CreateCanisterFromError> for CreateCanisterError {
    fn from(error: CreateCanisterFromError) -> Self {
        use CreateCanisterFromError as From;
        match error {
            From::InsufficientFunds { balance } => Self::InsufficientFunds { balance },
            From::InsufficientAllowance { .. } => unreachable!("BUG: owners need no allowance"),
            From::TooOld => Self::TooOld,
            From::CreatedInFuture { ledger_time } => Self::CreatedInFuture { ledger_time },
            From::TemporarilyUnavailable => Self::TemporarilyUnavailable,
            From::Duplicate {
                duplicate_of,
                canister_id,
            } => Self::Duplicate {
                duplicate_of,
                canister_id,
            },
            From::FailedToCreateFrom {
                create_from_block,
                refund_block,
                rejection_reason,
                ..
            } => Self::FailedToCreate {
                fee_block: create_from_block,
                refund_block,
                error: rejection_reason,
            },
            From::GenericError {
                message,
                error_code,
            } => Self::GenericError {
                message,
                error_code,
            },
        }
    }
}
