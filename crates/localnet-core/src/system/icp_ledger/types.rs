//! The Candid interface of the ICP ledger beyond ICRC-1 and ICRC-2. Blocks are kept in the form in which they are shown.

use candid::{CandidType, Int, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::system::{account::AccountId, book::Refusal, window::WINDOW_NANOS};

/// An amount, in 10^-8 of an ICP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub(in crate::system) struct Tokens {
    pub(in crate::system) e8s: u64,
}

/// A time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub(in crate::system) struct TimeStamp {
    pub(in crate::system) timestamp_nanos: u64,
}

/// The argument of `transfer`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct TransferArgs {
    pub(in crate::system) memo: u64,
    pub(in crate::system) amount: Tokens,
    pub(in crate::system) fee: Tokens,
    pub(in crate::system) from_subaccount: Option<ByteBuf>,
    pub(in crate::system) to: ByteBuf,
    pub(in crate::system) created_at_time: Option<TimeStamp>,
}

/// Errors of `transfer`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(in crate::system) enum TransferError {
    BadFee { expected_fee: Tokens },
    InsufficientFunds { balance: Tokens },
    TxTooOld { allowed_window_nanos: u64 },
    TxCreatedInFuture,
    TxDuplicate { duplicate_of: u64 },
}

impl TransferError {
    /// The error, where this interface has a name for it.
    pub(super) fn of(refusal: &Refusal) -> Option<Self> {
        Some(match refusal {
            Refusal::BadFee { expected } => Self::BadFee {
                expected_fee: tokens(*expected),
            },
            Refusal::InsufficientFunds { balance } => Self::InsufficientFunds {
                balance: tokens(*balance),
            },
            Refusal::TooOld => Self::TxTooOld {
                allowed_window_nanos: WINDOW_NANOS,
            },
            Refusal::CreatedInFuture { .. } => Self::TxCreatedInFuture,
            Refusal::Duplicate { of, .. } => Self::TxDuplicate { duplicate_of: *of },
            _ => return None,
        })
    }
}

/// An amount as the interface has it.
pub(super) fn tokens(amount: u128) -> Tokens {
    Tokens {
        e8s: u64::try_from(amount).expect("BUG: the book holds at most 2^64 - 1 e8s"),
    }
}

/// The argument of `account_balance`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct AccountBalanceArgs {
    pub(in crate::system) account: ByteBuf,
}

/// The answer of `transfer_fee`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct TransferFee {
    pub(in crate::system) transfer_fee: Tokens,
}

/// The answer of `symbol`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct Symbol {
    pub(in crate::system) symbol: String,
}

/// The answer of `name`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct Name {
    pub(in crate::system) name: String,
}

/// The answer of `decimals`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct Decimals {
    pub(in crate::system) decimals: u32,
}

/// An archive; there are none.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct Archive {
    pub(in crate::system) canister_id: Principal,
}

/// The answer of `archives`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct Archives {
    pub(in crate::system) archives: Vec<Archive>,
}

/// The argument of `query_blocks`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(in crate::system) struct GetBlocksArgs {
    pub(in crate::system) start: u64,
    pub(in crate::system) length: u64,
}

/// The answer of `query_blocks`; there are no archives.
#[derive(Debug, CandidType, Deserialize)]
pub(in crate::system) struct QueryBlocks {
    pub(in crate::system) chain_length: u64,
    pub(in crate::system) certificate: Option<ByteBuf>,
    pub(in crate::system) blocks: Vec<Block>,
    pub(in crate::system) first_block_index: u64,
    pub(in crate::system) archived_blocks: Vec<candid::types::reserved::Empty>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub(in crate::system) enum Operation {
    Mint {
        to: AccountId,
        amount: Tokens,
    },
    Burn {
        from: AccountId,
        spender: Option<AccountId>,
        amount: Tokens,
    },
    Transfer {
        from: AccountId,
        to: AccountId,
        amount: Tokens,
        fee: Tokens,
        spender: Option<AccountId>,
    },
    Approve {
        from: AccountId,
        spender: AccountId,
        allowance_e8s: Int,
        allowance: Tokens,
        fee: Tokens,
        expires_at: Option<TimeStamp>,
        expected_allowance: Option<Tokens>,
    },
}

/// What happened, and what its caller said about it.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub(in crate::system) struct Transaction {
    pub(in crate::system) memo: u64,
    pub(in crate::system) icrc1_memo: Option<ByteBuf>,
    pub(in crate::system) operation: Option<Operation>,
    pub(in crate::system) created_at_time: TimeStamp,
}

/// A transaction in its place. The parent hash is that of the parent's Candid form.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub(in crate::system) struct Block {
    pub(in crate::system) parent_hash: Option<ByteBuf>,
    pub(in crate::system) transaction: Transaction,
    pub(in crate::system) timestamp: TimeStamp,
}
