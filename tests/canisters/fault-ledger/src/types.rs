//! The ledger's Candid types, and those of its script.

use candid::{CandidType, Nat, Principal};
use serde::Deserialize;
use serde_bytes::ByteBuf;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, CandidType, Deserialize)]
pub(crate) struct Account {
    pub(crate) owner: Principal,
    pub(crate) subaccount: Option<ByteBuf>,
}

#[derive(Clone, Debug, CandidType, Deserialize)]
pub(crate) struct TransferArg {
    pub(crate) from_subaccount: Option<ByteBuf>,
    pub(crate) to: Account,
    pub(crate) amount: Nat,
    pub(crate) fee: Option<Nat>,
    pub(crate) memo: Option<ByteBuf>,
    pub(crate) created_at_time: Option<u64>,
}

#[derive(Clone, Debug, CandidType, Deserialize)]
pub(crate) struct TransferFromArgs {
    pub(crate) spender_subaccount: Option<ByteBuf>,
    pub(crate) from: Account,
    pub(crate) to: Account,
    pub(crate) amount: Nat,
    pub(crate) fee: Option<Nat>,
    pub(crate) memo: Option<ByteBuf>,
    pub(crate) created_at_time: Option<u64>,
}

/// The other fields of the standard are taken for absent.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(crate) struct ApproveArgs {
    pub(crate) from_subaccount: Option<ByteBuf>,
    pub(crate) spender: Account,
    pub(crate) amount: Nat,
}

#[derive(Clone, Debug, CandidType, Deserialize)]
pub(crate) struct AllowanceArgs {
    pub(crate) account: Account,
    pub(crate) spender: Account,
}

#[derive(Clone, Debug, CandidType, Deserialize)]
pub(crate) struct Allowance {
    pub(crate) allowance: Nat,
    pub(crate) expires_at: Option<u64>,
}

/// Why nothing was moved.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(crate) enum Refusal {
    BadFee { expected_fee: Nat },
    BadBurn { min_burn_amount: Nat },
    InsufficientFunds { balance: Nat },
    InsufficientAllowance { allowance: Nat },
    TooOld,
    CreatedInFuture { ledger_time: u64 },
    TemporarilyUnavailable,
    Duplicate { duplicate_of: Nat },
    GenericError { error_code: Nat, message: String },
}

/// What becomes of one transfer.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(crate) enum Conduct {
    /// What should.
    Execute,
    /// The ledger traps, and nothing happens.
    Trap,
    /// It happens, and then the ledger traps.
    LoseReply,
    /// It happens once `release` is called.
    Hold,
    /// It happens, and another block is named.
    NameBlock(u64),
    /// It does not happen, for this reason.
    Refuse(Refusal),
}
