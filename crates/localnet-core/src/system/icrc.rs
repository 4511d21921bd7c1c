//! The Candid interface of ICRC-1 and ICRC-2, which both ledgers have.

use candid::{CandidType, Nat};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use super::{
    account::{Account, WireAccount},
    book::{Allowance, Refusal},
    call::Trap,
};

/// Error codes in `GenericError`.
const DENIED: u64 = 100_001;
const UNKNOWN: u64 = 100_000;
const EXPIRED_APPROVAL: u64 = 100_003;

/// Bytes of a memo.
pub(super) const MEMO_BYTES_MAX: usize = 32;

/// The argument of `icrc1_transfer`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(super) struct TransferArgs {
    pub(super) from_subaccount: Option<ByteBuf>,
    pub(super) to: WireAccount,
    pub(super) amount: Nat,
    pub(super) fee: Option<Nat>,
    pub(super) memo: Option<ByteBuf>,
    pub(super) created_at_time: Option<u64>,
}

/// The argument of `icrc2_transfer_from`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(super) struct TransferFromArgs {
    pub(super) spender_subaccount: Option<ByteBuf>,
    pub(super) from: WireAccount,
    pub(super) to: WireAccount,
    pub(super) amount: Nat,
    pub(super) fee: Option<Nat>,
    pub(super) memo: Option<ByteBuf>,
    pub(super) created_at_time: Option<u64>,
}

/// The argument of `icrc2_approve`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(super) struct ApproveArgs {
    pub(super) from_subaccount: Option<ByteBuf>,
    pub(super) spender: WireAccount,
    pub(super) amount: Nat,
    pub(super) expected_allowance: Option<Nat>,
    pub(super) expires_at: Option<u64>,
    pub(super) fee: Option<Nat>,
    pub(super) memo: Option<ByteBuf>,
    pub(super) created_at_time: Option<u64>,
}

/// The argument of `icrc2_allowance`.
#[derive(Clone, Debug, CandidType, Deserialize)]
pub(super) struct AllowanceArgs {
    pub(super) account: WireAccount,
    pub(super) spender: WireAccount,
}

/// The answer of `icrc2_allowance`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) struct WireAllowance {
    pub(super) allowance: Nat,
    pub(super) expires_at: Option<u64>,
}

impl From<Allowance> for WireAllowance {
    fn from(Allowance { amount, expires }: Allowance) -> Self {
        Self {
            allowance: amount.into(),
            expires_at: expires,
        }
    }
}

/// Errors of `icrc1_transfer`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) enum TransferError {
    BadFee { expected_fee: Nat },
    BadBurn { min_burn_amount: Nat },
    InsufficientFunds { balance: Nat },
    TooOld,
    CreatedInFuture { ledger_time: u64 },
    TemporarilyUnavailable,
    Duplicate { duplicate_of: Nat },
    GenericError { error_code: Nat, message: String },
}

/// Errors of `icrc2_transfer_from`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) enum TransferFromError {
    BadFee { expected_fee: Nat },
    BadBurn { min_burn_amount: Nat },
    InsufficientFunds { balance: Nat },
    InsufficientAllowance { allowance: Nat },
    TooOld,
    CreatedInFuture { ledger_time: u64 },
    Duplicate { duplicate_of: Nat },
    TemporarilyUnavailable,
    GenericError { error_code: Nat, message: String },
}

/// Errors of `icrc2_approve`.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) enum ApproveError {
    BadFee { expected_fee: Nat },
    InsufficientFunds { balance: Nat },
    AllowanceChanged { current_allowance: Nat },
    Expired { ledger_time: u64 },
    TooOld,
    CreatedInFuture { ledger_time: u64 },
    Duplicate { duplicate_of: Nat },
    TemporarilyUnavailable,
    GenericError { error_code: Nat, message: String },
}

/// A code and a text for refusals that an interface has no variant for.
pub(super) fn generic(refusal: &Refusal) -> (Nat, String) {
    let (code, message) = match refusal {
        Refusal::Denied(account) => (
            DENIED,
            format!(
                "Owner of the account {} cannot be part of transactions",
                account.owner
            ),
        ),
        Refusal::ExpiredAllowance => (EXPIRED_APPROVAL, "Approval has expired".to_owned()),
        other => (UNKNOWN, format!("{other:?}")),
    };
    (code.into(), message)
}

impl From<Refusal> for TransferError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadFee { expected } => Self::BadFee {
                expected_fee: expected.into(),
            },
            Refusal::BadBurn { min } => Self::BadBurn {
                min_burn_amount: min.into(),
            },
            Refusal::InsufficientFunds { balance } => Self::InsufficientFunds {
                balance: balance.into(),
            },
            Refusal::TooOld => Self::TooOld,
            Refusal::CreatedInFuture { now } => Self::CreatedInFuture { ledger_time: now },
            Refusal::Full => Self::TemporarilyUnavailable,
            Refusal::Duplicate { of, .. } => Self::Duplicate {
                duplicate_of: of.into(),
            },
            other => {
                let (error_code, message) = generic(&other);
                Self::GenericError {
                    error_code,
                    message,
                }
            }
        }
    }
}

impl From<Refusal> for TransferFromError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::InsufficientAllowance { allowance } => Self::InsufficientAllowance {
                allowance: allowance.into(),
            },
            other => match TransferError::from(other) {
                TransferError::BadFee { expected_fee } => Self::BadFee { expected_fee },
                TransferError::BadBurn { min_burn_amount } => Self::BadBurn { min_burn_amount },
                TransferError::InsufficientFunds { balance } => Self::InsufficientFunds { balance },
                TransferError::TooOld => Self::TooOld,
                TransferError::CreatedInFuture { ledger_time } => {
                    Self::CreatedInFuture { ledger_time }
                }
                TransferError::TemporarilyUnavailable => Self::TemporarilyUnavailable,
                TransferError::Duplicate { duplicate_of } => Self::Duplicate { duplicate_of },
                TransferError::GenericError {
                    error_code,
                    message,
                } => Self::GenericError {
                    error_code,
                    message,
                },
            },
        }
    }
}

impl From<Refusal> for ApproveError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::BadFee { expected } => Self::BadFee {
                expected_fee: expected.into(),
            },
            Refusal::InsufficientFunds { balance } => Self::InsufficientFunds {
                balance: balance.into(),
            },
            Refusal::AllowanceChanged { current } => Self::AllowanceChanged {
                current_allowance: current.into(),
            },
            Refusal::Expired { now } => Self::Expired { ledger_time: now },
            Refusal::TooOld => Self::TooOld,
            Refusal::CreatedInFuture { now } => Self::CreatedInFuture { ledger_time: now },
            Refusal::Duplicate { of, .. } => Self::Duplicate {
                duplicate_of: of.into(),
            },
            Refusal::Full => Self::TemporarilyUnavailable,
            other => {
                let (error_code, message) = generic(&other);
                Self::GenericError {
                    error_code,
                    message,
                }
            }
        }
    }
}

/// A metadata value.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) enum MetadataValue {
    Nat(Nat),
    Text(String),
}

/// One entry of `icrc1_metadata`.
pub(super) type Metadata = (String, MetadataValue);

/// What every ICRC-1 ledger says about itself.
pub(super) fn metadata(name: &str, symbol: &str, decimals: u8, fee: u128) -> Vec<Metadata> {
    let entry = |key: &str, value| (format!("icrc1:{key}"), value);
    vec![
        entry("decimals", MetadataValue::Nat(decimals.into())),
        entry("name", MetadataValue::Text(name.to_owned())),
        entry("symbol", MetadataValue::Text(symbol.to_owned())),
        entry("fee", MetadataValue::Nat(fee.into())),
        entry("max_memo_length", MetadataValue::Nat(MEMO_BYTES_MAX.into())),
    ]
}

/// A standard that a ledger follows.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) struct Standard {
    pub(super) name: String,
    pub(super) url: String,
}

/// The standards with these numbers.
pub(super) fn standards(numbers: &[u16]) -> Vec<Standard> {
    let standard = |number: &u16| Standard {
        name: format!("ICRC-{number}"),
        url: match number {
            1..=3 => format!(
                "https://github.com/dfinity/ICRC-1/blob/main/standards/ICRC-{number}/README.md"
            ),
            _ => format!(
                "https://github.com/dfinity/ICRC/blob/main/ICRCs/ICRC-{number}/ICRC-{number}.md"
            ),
        },
    };
    numbers.iter().map(standard).collect()
}

/// An amount, where it fits.
pub(super) fn amount(nat: &Nat) -> Option<u128> {
    u128::try_from(&nat.0).ok()
}

/// The fee that a caller names must be the ledger's. A caller may leave it out.
pub(super) fn check_fee(named: Option<&Nat>, expected: u128) -> Result<(), Refusal> {
    match named {
        Some(fee) if amount(fee) != Some(expected) => Err(Refusal::BadFee { expected }),
        _ => Ok(()),
    }
}

/// A memo that is too long is a trap, as on the Internet Computer.
pub(super) fn check_memo(memo: Option<&ByteBuf>) -> Result<(), Trap> {
    match memo {
        Some(memo) if memo.len() > MEMO_BYTES_MAX => Err(Trap(format!(
            "memo length exceeds the maximum of {MEMO_BYTES_MAX} bytes"
        ))),
        _ => Ok(()),
    }
}

/// The management canister can hold nothing.
pub(super) fn check_owner(account: &Account) -> Result<(), Refusal> {
    if account.owner == candid::Principal::management_canister() {
        Err(Refusal::Denied(*account))
    } else {
        Ok(())
    }
}
