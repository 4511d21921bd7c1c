//! The Candid interface of the cycles minting canister.

use candid::{CandidType, Nat, Principal};
use ic_management_canister_types::CanisterSettings;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::system::cycles_ledger::SubnetSelection;

/// The argument of `notify_top_up`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(super) struct NotifyTopUpArg {
    pub(super) block_index: u64,
    pub(super) canister_id: Principal,
}

/// The argument of `notify_create_canister`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(super) struct NotifyCreateCanisterArg {
    pub(super) block_index: u64,
    pub(super) controller: Principal,
    pub(super) subnet_type: Option<String>,
    pub(super) subnet_selection: Option<SubnetSelection>,
    pub(super) settings: Option<CanisterSettings>,
}

/// The argument of `notify_mint_cycles`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(super) struct NotifyMintCyclesArg {
    pub(super) block_index: u64,
    pub(super) to_subaccount: Option<ByteBuf>,
    pub(super) deposit_memo: Option<ByteBuf>,
}

/// The answer of `notify_mint_cycles`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub(super) struct NotifyMintCyclesSuccess {
    pub(super) block_index: Nat,
    pub(super) minted: Nat,
    pub(super) balance: Nat,
}

/// Errors of the `notify` methods.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub(super) enum NotifyError {
    Refunded {
        reason: String,
        block_index: Option<u64>,
    },
    /// Never here, where every notification is one step; callers know it all the same.
    Processing,
    TransactionTooOld(u64),
    InvalidTransaction(String),
    Other {
        error_code: u64,
        error_message: String,
    },
}

/// The argument of `create_canister`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(super) struct CreateCanisterArg {
    pub(super) settings: Option<CanisterSettings>,
    pub(super) subnet_type: Option<String>,
    pub(super) subnet_selection: Option<SubnetSelection>,
}

/// Errors of `create_canister`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) enum CreateCanisterError {
    Refunded {
        refund_amount: Nat,
        create_error: String,
    },
}

/// What an ICP is worth.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) struct ConversionRate {
    pub(super) timestamp_seconds: u64,
    pub(super) xdr_permyriad_per_icp: u64,
}

/// The answer of `get_icp_xdr_conversion_rate`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) struct CertifiedRate {
    pub(super) data: ConversionRate,
    pub(super) hash_tree: ByteBuf,
    pub(super) certificate: ByteBuf,
}

/// The answer of `get_subnet_types_to_subnets`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) struct SubnetTypes {
    pub(super) data: Vec<(String, Vec<Principal>)>,
}

/// The answer of `get_principals_authorized_to_create_canisters_to_subnets`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) struct Authorised {
    pub(super) data: Vec<(Principal, Vec<Principal>)>,
}
