//! What must hold of money on its way.

use std::collections::BTreeMap;

use assay_protocol::{
    Timestamp, limits,
    money::{TransferKind, TransferState},
    store::Table,
};
use candid::Principal;

use crate::{
    record::Transfer,
    store::{Backend, Cell, Store},
};

/// What the transfers add up to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    withdrawn: u128,
    withdrawing: u128,
    leaving_ledger: u128,
    on_ledger: u128,
    quarantined: u64,
}

pub(super) fn check<B: Backend>(store: &Store<B>) -> Result<(), String> {
    let meta = store.meta.get();
    let mut sums = Sums::default();
    let mut open: BTreeMap<Principal, u32> = BTreeMap::new();
    let mut due = Vec::new();
    let (mut count, mut sent) = (0, 0);
    for (id, transfer) in store.transfers.scan() {
        let id = *id;
        count += 1;
        ensure!(
            transfer.id == id && id.0 == count,
            "transfers are not numbered without gaps"
        );
        one(&transfer).map_err(|what| format!("transfer {id}: {what}"))?;
        let listed = (transfer.account, u64::MAX - id.0);
        ensure!(
            store.transfers_by_account.contains(&listed),
            "transfer {id} is not listed by its account"
        );
        let taken = transfer.taken().0;
        let from_ledger = !transfer.is_to_canister();
        match (&transfer.kind, &transfer.state) {
            (TransferKind::Deposit { .. }, TransferState::Done { .. }) => {
                sums.on_ledger += transfer.amount.0;
            }
            (TransferKind::Withdrawal { .. }, TransferState::Done { .. }) => {
                sums.withdrawn += taken;
                if from_ledger {
                    sent += taken;
                }
            }
            (TransferKind::Withdrawal { .. }, state) if state.is_open() => {
                sums.withdrawing += taken;
                if from_ledger {
                    sums.leaving_ledger += taken;
                }
            }
            _ => {}
        }
        if transfer.state.is_open() {
            *open.entry(transfer.account).or_default() += 1;
            due.push(transfer.due());
        }
        sums.quarantined += u64::from(transfer.state == TransferState::Quarantined);
    }
    ensure!(
        sent <= sums.on_ledger,
        "{sent} left from the ledger, {} had come there",
        sums.on_ledger
    );
    sums.on_ledger -= sent;
    let told = Sums {
        withdrawn: meta.withdrawn.0,
        withdrawing: meta.withdrawing.0,
        leaving_ledger: meta.leaving_ledger.0,
        on_ledger: meta.on_ledger.0,
        quarantined: meta.quarantined,
    };
    ensure!(
        sums == told,
        "transfers add up to {sums:?}, counted {told:?}"
    );
    let places = (sums.withdrawn + sums.on_ledger <= meta.deposited.0)
        && sums.leaving_ledger <= sums.on_ledger
        && sums.withdrawing - sums.leaving_ledger <= meta.on_canister().0;
    ensure!(places, "more is to leave from a place than is there");
    ensure!(
        meta.last_transfer == count && store.transfers_by_account.len() == count,
        "{count} transfers, {} numbered, {} listed",
        meta.last_transfer,
        store.transfers_by_account.len()
    );
    due.sort_unstable();
    ensure!(
        store.transfers_due.keys(..).eq(due.iter().copied()),
        "transfers that are due differ from those without an end"
    );
    ensure!(
        due.len() as u64 <= limits::OPEN_TRANSFERS_MAX,
        "{} open transfers",
        due.len()
    );
    for (owner, account) in store.accounts.scan() {
        let open = open.get(&*owner).copied().unwrap_or(0);
        ensure!(
            account.open_transfers == open && open <= limits::OPEN_TRANSFERS_PER_ACCOUNT_MAX,
            "{owner} has {open} open transfers, counted {}",
            account.open_transfers
        );
    }
    Ok(())
}

fn one(transfer: &Transfer) -> Result<(), String> {
    ensure!(
        transfer.state.is_open() == transfer.ended_at.is_none(),
        "it is {:?} and ended at {:?}",
        transfer.state,
        transfer.ended_at
    );
    ensure!(
        (limits::TRANSFER_CYCLES_MIN..=limits::TRANSFER_CYCLES_MAX).contains(&transfer.amount.0)
            && transfer.amount > transfer.fee,
        "it moves {} for a fee of {}",
        transfer.amount,
        transfer.fee
    );
    let window = transfer
        .begun_at
        .plus_seconds(limits::TRANSFER_WINDOW_SECONDS);
    ensure!(
        transfer.next_try > transfer.begun_at && transfer.next_try <= window,
        "it is tried outside of its window"
    );
    ensure!(
        transfer.tries >= 1 && !(transfer.is_to_canister() && transfer.tries > 1),
        "it was tried {} times",
        transfer.tries
    );
    ensure!(
        transfer.next_try < Timestamp(u64::MAX),
        "its next try is never"
    );
    Ok(())
}
