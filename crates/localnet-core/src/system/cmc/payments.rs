//! ICP that came to this canister, and how they go on.

use super::types::NotifyError;
use crate::system::{
    account::{Account, AccountId},
    icp_ledger::{self, IcpLedger, Payment, Transaction},
};

/// A payment to an account of this canister.
pub(super) struct Received {
    /// Where the ICP are.
    pub(super) at: Account,
    pub(super) from: AccountId,
    pub(super) e8s: u64,
}

/// Destroys the ICP of a payment.
pub(super) fn burn(received: &Received, icp: &mut IcpLedger, now: u64) {
    take(received, received.e8s.into(), icp, now);
}

fn take(received: &Received, amount: u128, icp: &mut IcpLedger, now: u64) {
    if amount < icp_ledger::FEE {
        return;
    }
    let payment = pay(received, IcpLedger::minting_account().id(), amount, 0);
    if icp.pay(payment, now).is_err() {
        tracing::warn!(amount, "ICP of a payment could not be burned");
    }
}

/// Returns what is left of a payment.
pub(super) fn refund(
    received: &Received,
    kept: u128,
    reason: String,
    icp: &mut IcpLedger,
    now: u64,
) -> NotifyError {
    let e8s = u128::from(received.e8s);
    let back = e8s.saturating_sub(icp_ledger::FEE).saturating_sub(kept);
    let block_index = (back > 0)
        .then(|| icp.pay(pay(received, received.from, back, icp_ledger::FEE), now))
        .and_then(Result::ok);
    take(
        received,
        if block_index.is_some() { kept } else { e8s },
        icp,
        now,
    );
    NotifyError::Refunded {
        reason,
        block_index,
    }
}

fn pay(received: &Received, to: AccountId, amount: u128, fee: u128) -> Payment {
    Payment {
        from: received.at.id(),
        to,
        spender: None,
        amount,
        fee: Some(fee),
        memo: 0,
        icrc1_memo: None,
        created_at_time: None,
    }
}

/// The memo of either interface, as a number.
pub(super) fn memo_of(transaction: &Transaction) -> u64 {
    if transaction.memo != 0 {
        return transaction.memo;
    }
    transaction
        .icrc1_memo
        .as_ref()
        .and_then(|memo| memo.as_slice().try_into().ok())
        .map_or(0, u64::from_le_bytes)
}
