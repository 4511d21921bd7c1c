//! The Candid interface of the cycles ledger beyond ICRC-1 and ICRC-2.

use candid::{CandidType, Nat, Principal};
use ic_management_canister_types::CanisterSettings;
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::{
    system::{account::WireAccount, value::Value},
    types::RejectCode,
};

/// The argument of `deposit`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct DepositArgs {
    pub(in crate::system) to: WireAccount,
    pub(in crate::system) memo: Option<ByteBuf>,
}

/// The answer of `deposit`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(in crate::system) struct DepositResult {
    pub(in crate::system) balance: Nat,
    pub(in crate::system) block_index: Nat,
}

/// The argument of `withdraw`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct WithdrawArgs {
    pub(in crate::system) amount: Nat,
    pub(in crate::system) from_subaccount: Option<ByteBuf>,
    pub(in crate::system) to: Principal,
    pub(in crate::system) created_at_time: Option<u64>,
}

/// The argument of `withdraw_from`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct WithdrawFromArgs {
    pub(in crate::system) spender_subaccount: Option<ByteBuf>,
    pub(in crate::system) from: WireAccount,
    pub(in crate::system) to: Principal,
    pub(in crate::system) amount: Nat,
    pub(in crate::system) created_at_time: Option<u64>,
}

/// The argument of `create_canister`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct CreateCanisterArgs {
    pub(in crate::system) from_subaccount: Option<ByteBuf>,
    pub(in crate::system) created_at_time: Option<u64>,
    pub(in crate::system) amount: Nat,
    pub(in crate::system) creation_args: Option<CreationArgs>,
}

/// The argument of `create_canister_from`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct CreateCanisterFromArgs {
    pub(in crate::system) from: WireAccount,
    pub(in crate::system) spender_subaccount: Option<ByteBuf>,
    pub(in crate::system) created_at_time: Option<u64>,
    pub(in crate::system) amount: Nat,
    pub(in crate::system) creation_args: Option<CreationArgs>,
}

/// What a new canister is to be like.
#[derive(Clone, Debug, Default, CandidType, Deserialize)]
pub(in crate::system) struct CreationArgs {
    pub(in crate::system) settings: Option<CanisterSettings>,
    pub(in crate::system) subnet_selection: Option<SubnetSelection>,
}

/// Where a new canister is to be.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(in crate::system) enum SubnetSelection {
    /// There.
    Subnet { subnet: Principal },
    /// On a subnet of a type.
    Filter { subnet_type: Option<String> },
}

/// A canister was created.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(in crate::system) struct CreateCanisterSuccess {
    pub(in crate::system) block_id: Nat,
    pub(in crate::system) canister_id: Principal,
}

/// Why the management canister refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(in crate::system) enum RejectionCode {
    NoError,
    CanisterError,
    SysTransient,
    DestinationInvalid,
    Unknown,
    SysFatal,
    CanisterReject,
}

impl From<RejectCode> for RejectionCode {
    fn from(code: RejectCode) -> Self {
        match code {
            RejectCode::SysFatal => Self::SysFatal,
            RejectCode::SysTransient => Self::SysTransient,
            RejectCode::DestinationInvalid => Self::DestinationInvalid,
            RejectCode::CanisterReject => Self::CanisterReject,
            RejectCode::CanisterError => Self::CanisterError,
            RejectCode::SysUnknown => Self::Unknown,
        }
    }
}

/// Errors of `withdraw`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(in crate::system) enum WithdrawError {
    GenericError {
        message: String,
        error_code: Nat,
    },
    TemporarilyUnavailable,
    FailedToWithdraw {
        fee_block: Option<Nat>,
        rejection_code: RejectionCode,
        rejection_reason: String,
    },
    Duplicate {
        duplicate_of: Nat,
    },
    BadFee {
        expected_fee: Nat,
    },
    InvalidReceiver {
        receiver: Principal,
    },
    CreatedInFuture {
        ledger_time: u64,
    },
    TooOld,
    InsufficientFunds {
        balance: Nat,
    },
}

/// Errors of `withdraw_from`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(in crate::system) enum WithdrawFromError {
    GenericError {
        message: String,
        error_code: Nat,
    },
    TemporarilyUnavailable,
    FailedToWithdrawFrom {
        withdraw_from_block: Option<Nat>,
        refund_block: Option<Nat>,
        approval_refund_block: Option<Nat>,
        rejection_code: RejectionCode,
        rejection_reason: String,
    },
    Duplicate {
        duplicate_of: Nat,
    },
    InvalidReceiver {
        receiver: Principal,
    },
    CreatedInFuture {
        ledger_time: u64,
    },
    TooOld,
    InsufficientFunds {
        balance: Nat,
    },
    InsufficientAllowance {
        allowance: Nat,
    },
}

/// Errors of `create_canister`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(in crate::system) enum CreateCanisterError {
    InsufficientFunds {
        balance: Nat,
    },
    TooOld,
    CreatedInFuture {
        ledger_time: u64,
    },
    TemporarilyUnavailable,
    Duplicate {
        duplicate_of: Nat,
        canister_id: Option<Principal>,
    },
    FailedToCreate {
        fee_block: Option<Nat>,
        refund_block: Option<Nat>,
        error: String,
    },
    GenericError {
        message: String,
        error_code: Nat,
    },
}

/// Errors of `create_canister_from`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(in crate::system) enum CreateCanisterFromError {
    InsufficientFunds {
        balance: Nat,
    },
    InsufficientAllowance {
        allowance: Nat,
    },
    TooOld,
    CreatedInFuture {
        ledger_time: u64,
    },
    TemporarilyUnavailable,
    Duplicate {
        duplicate_of: Nat,
        canister_id: Option<Principal>,
    },
    FailedToCreateFrom {
        create_from_block: Option<Nat>,
        refund_block: Option<Nat>,
        approval_refund_block: Option<Nat>,
        rejection_code: RejectionCode,
        rejection_reason: String,
    },
    GenericError {
        message: String,
        error_code: Nat,
    },
}

/// One item of the argument of `icrc3_get_blocks`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct BlockRange {
    pub(in crate::system) start: Nat,
    pub(in crate::system) length: Nat,
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(in crate::system) struct BlockWithId {
    pub(in crate::system) id: Nat,
    pub(in crate::system) block: Value,
}

/// The answer of `icrc3_get_blocks`; there are no archives.
#[derive(Debug, CandidType, Deserialize)]
pub(in crate::system) struct Blocks {
    pub(in crate::system) log_length: Nat,
    pub(in crate::system) blocks: Vec<BlockWithId>,
    pub(in crate::system) archived_blocks: Vec<candid::types::reserved::Empty>,
}

/// A kind of block.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct BlockType {
    pub(in crate::system) block_type: String,
    pub(in crate::system) url: String,
}

/// The argument of `icrc103_get_allowances`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct GetAllowancesArgs {
    pub(in crate::system) from_account: Option<WireAccount>,
    pub(in crate::system) prev_spender: Option<WireAccount>,
    pub(in crate::system) take: Option<Nat>,
}

/// One allowance in a list.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(in crate::system) struct ListedAllowance {
    pub(in crate::system) from_account: WireAccount,
    pub(in crate::system) to_spender: WireAccount,
    pub(in crate::system) allowance: Nat,
    pub(in crate::system) expires_at: Option<u64>,
}

/// Errors of `icrc103_get_allowances`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(in crate::system) enum GetAllowancesError {
    AccessDenied { reason: String },
    GenericError { error_code: Nat, message: String },
}
