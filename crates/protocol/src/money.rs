//! Balances, stake and transfers: how money comes in, stands and leaves.
//!
//! Money comes in attached to a call or from a ledger (ICRC-2), and leaves to a ledger (ICRC-1) or as
//! cycles of a canister. A transfer is written down before it is tried, and its end only when it is certain.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{Cycles, Timestamp, TransferId, limits};

/// What an account holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Holdings {
    /// Balance.
    pub free: Cycles,
    /// Stake behind the account's workers.
    pub stake: Cycles,
    /// How much of it stands behind leases now.
    pub locked: Cycles,
    /// Stake on its way out.
    pub unbonding: Cycles,
    /// When that may be taken out.
    pub unbonding_until: Option<Timestamp>,
    /// What the sponsor pool would still pay for the account's jobs today.
    pub sponsored: Cycles,
}

/// An account on a ledger.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, CandidType, Serialize, Deserialize,
)]
pub struct LedgerAccount {
    /// Whose it is.
    pub owner: Principal,
    /// Which of the owner's, in exactly [`limits::SUBACCOUNT_BYTES`]; absent is the first, as all zeros are.
    pub subaccount: Option<ByteBuf>,
}

impl From<Principal> for LedgerAccount {
    /// The owner's first account.
    fn from(owner: Principal) -> Self {
        Self {
            owner,
            subaccount: None,
        }
    }
}

/// Where a withdrawal goes.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum Destination {
    /// An account on the market's ledger; the ledger's fee comes on top.
    Ledger(LedgerAccount),
    /// The cycles of a canister, without a fee.
    Canister(Principal),
}

/// What to move from the caller's balance into another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct GiveArgs {
    /// Whose it becomes.
    pub to: Principal,
    /// How much: all of the balance, or at least [`limits::TRANSFER_CYCLES_MIN`].
    pub amount: Cycles,
}

/// What to take out of the caller's balance.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct WithdrawArgs {
    /// What shall arrive.
    pub amount: Cycles,
    /// Where.
    pub to: Destination,
}

/// What to take from the caller's account on the ledger, which must allow the market to do so (`icrc2_approve`).
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct DepositFromArgs {
    /// What shall arrive; the ledger takes its fee from the account, too.
    pub amount: Cycles,
    /// Which of the caller's accounts, in exactly [`limits::SUBACCOUNT_BYTES`]; absent is the first.
    pub from_subaccount: Option<ByteBuf>,
}

/// Which way a transfer goes.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum TransferKind {
    /// From a ledger into a balance.
    Deposit {
        /// From there.
        from: LedgerAccount,
    },
    /// Out of a balance.
    Withdrawal {
        /// To there.
        to: Destination,
    },
}

/// Where a transfer stands.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum TransferState {
    /// Nobody knows yet whether it happened; it is tried again by itself where that cannot pay twice.
    Pending,
    /// It happened.
    Done {
        /// The ledger's block, as far as it is known.
        block: Option<u64>,
    },
    /// It did not happen, and nothing was moved; a withdrawal is back in the balance. In words, why.
    Failed(String),
    /// Nobody knows whether it happened, and it cannot be tried again; a controller looks and decides.
    Quarantined,
}

impl TransferState {
    /// Whether it has no end yet.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Pending | Self::Quarantined)
    }
}

/// A transfer.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct TransferView {
    /// Its id, which is its memo on the ledger: eight bytes, the highest first.
    pub id: TransferId,
    /// Whose balance it is about.
    pub account: Principal,
    /// Which way it goes.
    pub kind: TransferKind,
    /// What arrives.
    pub amount: Cycles,
    /// The ledger's fee that came out of the balance, too.
    pub fee: Cycles,
    /// Where it stands.
    pub state: TransferState,
    /// How often it was tried.
    pub tries: u32,
    /// When it was begun: its creation time on the ledger.
    pub begun_at: Timestamp,
    /// When it came to its end.
    pub ended_at: Option<Timestamp>,
}

/// A page of transfers, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct TransfersArgs {
    /// Only those of this account.
    pub account: Option<Principal>,
    /// Only those that have no end yet.
    pub open: bool,
    /// Only those older than this one.
    pub before: Option<TransferId>,
    /// At most this many; 0 counts as 1, more than [`limits::PAGE_MAX`] as that.
    pub limit: u32,
}

/// Why money was not moved. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize, thiserror::Error)]
pub enum MoneyError {
    /// Anonymous callers hold no balance.
    #[error("anonymous callers hold no balance; sign the call with an identity")]
    Anonymous,
    /// Zero cycles.
    #[error("amount: nothing to move; give more than zero cycles")]
    Nothing,
    /// The balance is too low.
    #[error("the balance holds {balance} cycles, {needed} were asked for; deposit the rest")]
    InsufficientFunds {
        /// What was asked for.
        needed: Cycles,
        /// What is there.
        balance: Cycles,
    },
    /// The stake is too low, or stands behind leases.
    #[error(
        "{free} cycles of stake stand behind no lease, {needed} were asked for; wait for leases to end"
    )]
    StakeLocked {
        /// What was asked for.
        needed: Cycles,
        /// Stake behind no lease.
        free: Cycles,
    },
    /// No stake is on its way out.
    #[error("no stake is on its way out; begin with unstake")]
    NothingUnbonding,
    /// Stake is on its way out, and not long enough yet.
    #[error("the stake on its way out may be taken after {until}")]
    NotUnbonded {
        /// After when.
        until: Timestamp,
    },
    /// The market has no ledger.
    #[error("this market has no ledger; move cycles with deposit and to canisters")]
    LedgerNotSet,
    /// The ledger has not told its fee yet.
    #[error("the ledger has not told its fee yet; try again in a minute")]
    LedgerFeeUnknown,
    /// Too little to move.
    #[error("amount: {amount} cycles, at least {least} can be moved")]
    TooSmall {
        /// What was asked for.
        amount: Cycles,
        /// The least; more than the ledger's fee.
        least: Cycles,
    },
    /// Too much to move at once.
    #[error("amount: {amount} cycles, at most {most} can be moved at once")]
    TooLarge {
        /// What was asked for.
        amount: Cycles,
        /// The most.
        most: Cycles,
    },
    /// A subaccount of another length.
    #[error(
        "subaccount: {bytes} bytes, exactly {max} are needed; leave it out for the first account",
        max = limits::SUBACCOUNT_BYTES
    )]
    Subaccount {
        /// Its length.
        bytes: u64,
    },
    /// Nothing may go there.
    #[error("to: {to} {problem}; name another destination")]
    BadDestination {
        /// The principal.
        to: Principal,
        /// What is wrong with it.
        problem: String,
    },
    /// The caller has too many transfers without an end.
    #[error("{open} of your transfers have no end yet, at most {max} may be so; see transfers")]
    TooManyTransfers {
        /// How many have none.
        open: u32,
        /// How many may have none.
        max: u32,
    },
    /// The market has too many transfers without an end.
    #[error("the market moves as much money as it can; try again in an hour")]
    TransfersFull,
    /// The canister could not keep working for more money.
    #[error(
        "the market is low on cycles and takes no deposits; try again later or on another shard"
    )]
    LowOnCycles,
    /// Less lies on the ledger than is to leave from there.
    #[error(
        "the market has {there} cycles on the ledger, {needed} were asked for; a canister as destination takes the rest"
    )]
    LedgerShort {
        /// What was asked for, the fee included.
        needed: Cycles,
        /// What is there, the fee to be taken from it.
        there: Cycles,
    },
    /// Less lies in the market itself than is to leave from there.
    #[error(
        "the market itself has {there} cycles, {needed} were asked for; an account on the ledger as destination takes the rest"
    )]
    CyclesShort {
        /// What was asked for.
        needed: Cycles,
        /// What is there.
        there: Cycles,
    },
    /// No such transfer.
    #[error("no transfer {0}")]
    UnknownTransfer(TransferId),
    /// It needs no decision.
    #[error("transfer {0} is not quarantined; see transfers")]
    NotQuarantined(TransferId),
    /// The ledger might still execute it.
    #[error("the transfer could still happen; look at the ledger again after {until}")]
    NotSettled {
        /// Until when.
        until: Timestamp,
    },
    /// A call for it is under way.
    #[error("a call for transfer {0} is under way; its answer decides")]
    UnderWay(TransferId),
    /// Controllers alone may do this.
    #[error("only a controller of the market decides on quarantined transfers")]
    NotAController,
    /// Something newer than this client.
    #[error("{0}")]
    Other(String),
}

/// The ledger that a market takes deposits from and pays out to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct LedgerView {
    /// The ledger; the market's account there is its own first one.
    pub id: Principal,
    /// What it takes for a transfer, once it has told.
    pub fee: Option<Cycles>,
}
