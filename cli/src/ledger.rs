//! A ledger (ICRC-1, ICRC-2) as somebody with money on it uses it.

use assay_protocol::{Cycles, Timestamp, money::LedgerAccount};
use assay_worker::client::Network;
use candid::{CandidType, Nat, Principal};
use serde::Deserialize;
use serde_bytes::ByteBuf;

use crate::Failure;

/// What the owner of an account allows somebody else to take from it.
#[derive(Clone, Debug, CandidType)]
pub(crate) struct ApproveArgs {
    /// Which of the caller's accounts.
    pub(crate) from_subaccount: Option<ByteBuf>,
    /// Who may take.
    pub(crate) spender: LedgerAccount,
    /// How much, the ledger's fee for the taking included.
    pub(crate) amount: Nat,
    /// Until when, so that what was not taken is not allowed for ever.
    pub(crate) expires_at: Option<u64>,
}

/// What to send from the caller's first account.
#[derive(Clone, Debug, CandidType)]
struct TransferArg {
    to: LedgerAccount,
    amount: Nat,
}

/// Why a ledger did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize, thiserror::Error)]
pub enum LedgerError {
    /// The account holds less than this takes; an approval costs the fee.
    #[error("the account holds {balance} cycles, fewer than this takes; send cycles there first")]
    InsufficientFunds {
        /// What it holds.
        balance: Nat,
    },
    /// The ledger takes another fee.
    #[error("it takes a fee of {expected_fee} cycles; try again")]
    BadFee {
        /// Which.
        expected_fee: Nat,
    },
    /// Somebody changed the allowance meanwhile.
    #[error("the allowance was changed meanwhile, to {current_allowance} cycles; try again")]
    AllowanceChanged {
        /// What it is.
        current_allowance: Nat,
    },
    /// The end of the allowance has passed.
    #[error("its clock is at {ledger_time}, far ahead of this machine's; set the clock")]
    Expired {
        /// The ledger's clock.
        ledger_time: u64,
    },
    /// The call is too old.
    #[error("it finds the call too old; set this machine's clock and try again")]
    TooOld,
    /// The call is from the future.
    #[error("its clock is at {ledger_time}, behind this machine's; set the clock")]
    CreatedInFuture {
        /// The ledger's clock.
        ledger_time: u64,
    },
    /// It was done already.
    #[error("it has done this already, in block {duplicate_of}")]
    Duplicate {
        /// In which block.
        duplicate_of: Nat,
    },
    /// Not now.
    #[error("it is unavailable for now; try again later")]
    TemporarilyUnavailable,
    /// Anything else.
    #[error("{message} ({error_code})")]
    GenericError {
        /// Its number.
        error_code: Nat,
        /// In words.
        message: String,
    },
}

/// A ledger, under the key of the connection.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    network: Network,
    id: Principal,
}

impl Ledger {
    pub(crate) fn new(network: &Network, id: Principal) -> Self {
        Self {
            network: network.clone(),
            id,
        }
    }

    /// What an account holds: a hint.
    pub(crate) async fn balance(&self, account: &LedgerAccount) -> Result<Nat, Failure> {
        Ok(self
            .network
            .query(self.id, "icrc1_balance_of", (account,))
            .await?)
    }

    /// Lets somebody take so much from an account of the caller's, in place of what was allowed before.
    pub(crate) async fn approve(
        &self,
        from_subaccount: Option<ByteBuf>,
        spender: Principal,
        amount: Cycles,
        until: Timestamp,
    ) -> Result<Nat, Failure> {
        let args = ApproveArgs {
            from_subaccount,
            spender: spender.into(),
            amount: amount.0.into(),
            expires_at: Some(until.0),
        };
        let told: Result<Nat, LedgerError> = self
            .network
            .update(self.id, "icrc2_approve", (args,))
            .await?;
        told.map_err(Failure::Ledger)
    }

    /// Sends so much to somebody's first account.
    pub(crate) async fn transfer(&self, to: Principal, amount: Cycles) -> Result<Nat, Failure> {
        let args = TransferArg {
            to: to.into(),
            amount: amount.0.into(),
        };
        let told: Result<Nat, LedgerError> = self
            .network
            .update(self.id, "icrc1_transfer", (args,))
            .await?;
        told.map_err(Failure::Ledger)
    }
}
