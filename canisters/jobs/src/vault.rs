//! Deposits from the ledger and withdrawals: the core writes them down, a call is made, and its answer goes back to
//! the core before anything else.
//!
//! Where a callback traps, or an upgrade forgets it, the transfer is still in the journal: what a ledger would know for
//! the same is tried again, the rest waits for a controller.

use std::{cell::RefCell, collections::BTreeSet};

use assay_jobs_core::{DueTransfers, Outcome, TransferCall};
use assay_protocol::{
    Moment, TransferId, limits,
    money::{DepositFromArgs, Destination, MoneyError, TransferState, TransferView, WithdrawArgs},
};
use ic_cdk::api::msg_caller;

use crate::{
    guard::{self, Task, TaskGuard},
    ledger, logs,
    memory::{with_jobs, with_jobs_mut},
    meter::Meter,
    now,
};

thread_local! {
    static VOLATILE_FLIGHTS: RefCell<BTreeSet<TransferId>> = const { RefCell::new(BTreeSet::new()) };
}

/// A call that is under way, until it is dropped: with its answer, or when a trap after the await abandons it.
#[derive(Debug)]
#[must_use]
struct Flight(TransferId);

impl Flight {
    fn new(id: TransferId) -> Self {
        VOLATILE_FLIGHTS.with_borrow_mut(|flights| flights.insert(id));
        Self(id)
    }

    fn is_under_way(id: TransferId) -> bool {
        VOLATILE_FLIGHTS.with_borrow(|flights| flights.contains(&id))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if guard::is_after_a_trap() {
            logs::error(format_args!(
                "BUG: a trap forgot the answer of transfer {}; the journal still has it",
                self.0
            ));
        }
        VOLATILE_FLIGHTS.with_borrow_mut(|flights| flights.remove(&self.0));
    }
}

pub(crate) async fn deposit_from(args: &DepositFromArgs) -> Result<TransferView, MoneyError> {
    let at = Moment {
        caller: msg_caller(),
        now: now(),
    };
    guard::intake().map_err(|_| MoneyError::LowOnCycles)?;
    let call = {
        let _meter = Meter::new("deposit_from");
        with_jobs_mut(|jobs| jobs.begin_deposit(&at, args))?
    };
    Ok(carry_out(call).await)
}

pub(crate) async fn withdraw(args: &WithdrawArgs) -> Result<TransferView, MoneyError> {
    let caller = msg_caller();
    if matches!(args.to, Destination::Ledger(_)) {
        learn_fee().await;
    }
    // Whatever has changed while waiting, the core reads it now.
    let at = Moment { caller, now: now() };
    let call = {
        let _meter = Meter::new("withdraw");
        with_jobs_mut(|jobs| jobs.begin_withdrawal(&at, args))?
    };
    Ok(carry_out(call).await)
}

/// Makes the call of a transfer that was just written down, in the same message.
async fn carry_out(call: TransferCall) -> TransferView {
    let TransferCall { transfer, call } = call;
    let flight = Flight::new(transfer);
    let outcome = ledger::make(&call).await;
    let _meter = Meter::new("settle_transfer");
    let unknown = match &outcome {
        Outcome::Unknown(why) => Some(why.clone()),
        _ => None,
    };
    // The outcome is written first and alone: a trap here would forget it. What else has changed while waiting, the
    // core reads anew.
    let view = with_jobs_mut(|jobs| jobs.settle_transfer(now(), transfer, outcome));
    drop(flight);
    if let Some(why) = unknown {
        let tries = view.tries;
        logs::warn(format_args!(
            "transfer {transfer}, try {tries}: nobody knows whether it happened: {why}"
        ));
        if view.state == TransferState::Quarantined {
            tell_quarantined(transfer);
        }
    }
    view
}

fn tell_quarantined(transfer: TransferId) {
    logs::error(format_args!(
        "transfer {transfer} is quarantined: look whether it happened, then call resolve_transfer"
    ));
}

/// Tries again what has had no answer, and asks for the ledger's fee while it is unknown.
pub(crate) async fn retry() {
    let DueTransfers { calls, quarantined } = with_jobs_mut(|jobs| {
        let _meter = Meter::new("retry_transfers");
        jobs.due_transfers(now(), limits::TRANSFERS_PER_RETRY_MAX)
    });
    quarantined.into_iter().for_each(tell_quarantined);
    for call in calls {
        // Each is a task of its own, so that a trap in one callback leaves the others alone.
        ic_cdk::futures::spawn(async move {
            carry_out(call).await;
        });
    }
    learn_fee().await;
}

/// Asks the ledger for its fee, unless it has told.
pub(crate) async fn learn_fee() {
    let unknown = with_jobs(|jobs| jobs.ledger()).filter(|ledger| ledger.fee.is_none());
    let Some(asked) = unknown else {
        return;
    };
    let Some(_guard) = TaskGuard::new(Task::Fee) else {
        return;
    };
    if let Some(fee) = ledger::fee(asked.id).await {
        // A refused transfer may have taught another fee meanwhile; the newer answer counts.
        with_jobs_mut(|jobs| jobs.set_ledger_fee(now(), fee));
    }
}

/// A controller's word on a quarantined transfer.
pub(crate) fn resolve(id: TransferId, happened: bool) -> Result<TransferView, MoneyError> {
    if !ic_cdk::api::is_controller(&msg_caller()) {
        return Err(MoneyError::NotAController);
    }
    let _meter = Meter::new("resolve_transfer");
    if Flight::is_under_way(id) {
        return Err(MoneyError::UnderWay(id));
    }
    let view = with_jobs_mut(|jobs| jobs.resolve_transfer(now(), id, happened))?;
    let word = if happened {
        "happened"
    } else {
        "did not happen"
    };
    logs::info(format_args!("transfer {id} was resolved: it {word}"));
    Ok(view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_under_way_until_it_is_dropped() {
        let (one, two) = (TransferId(1), TransferId(2));
        let flight = Flight::new(one);
        assert!(Flight::is_under_way(one) && !Flight::is_under_way(two));
        drop(flight);
        assert!(!Flight::is_under_way(one));
    }
}
