//! What a transfer asks of the outside, and what it hears.

use assay_protocol::{Cycles, Timestamp, TransferId, money::LedgerAccount};
use candid::Principal;

/// A call to make once, now; its outcome goes to [`Jobs::settle_transfer`](crate::Jobs::settle_transfer).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferCall {
    /// For which transfer.
    pub transfer: TransferId,
    /// What to call.
    pub call: Move,
}

/// What is to be done about transfers without an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueTransfers {
    /// To be made again now.
    pub calls: Vec<TransferCall>,
    /// Put aside for a controller just now.
    pub quarantined: Vec<TransferId>,
}

/// What moves the money. Every try of a transfer says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// `icrc2_transfer_from`, without naming a fee: the ledger takes its fee from the other account.
    Collect {
        /// The ledger.
        ledger: Principal,
        /// Whose account pays.
        from: LedgerAccount,
        /// The market's account.
        to: LedgerAccount,
        /// What arrives.
        amount: Cycles,
        /// Tells the transfer apart.
        memo: [u8; 8],
        /// When it was begun.
        created_at: Timestamp,
    },
    /// `icrc1_transfer` from the market's account.
    Send {
        /// The ledger.
        ledger: Principal,
        /// Whose account gets it.
        to: LedgerAccount,
        /// What arrives.
        amount: Cycles,
        /// What the ledger may take for it.
        fee: Cycles,
        /// Tells the transfer apart.
        memo: [u8; 8],
        /// When it was begun.
        created_at: Timestamp,
    },
    /// The management canister's `deposit_cycles` with the amount attached, waited for until its answer comes.
    Attach {
        /// Whose cycles they become.
        canister: Principal,
        /// How many.
        amount: Cycles,
    },
}

/// What a call's answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It happened.
    Done {
        /// In which block.
        block: Option<u64>,
    },
    /// It had happened already.
    Duplicate {
        /// In which block.
        block: Option<u64>,
    },
    /// This call moved nothing, for certain.
    Refused(String),
    /// This call moved nothing, because the ledger takes another fee.
    BadFee {
        /// Which.
        expected: Cycles,
    },
    /// Nobody knows what the call did.
    Unknown(String),
}
