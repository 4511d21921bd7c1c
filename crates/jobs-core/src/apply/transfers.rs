//! Applying what happens to transfers.

use assay_protocol::{
    Cycles, TransferId,
    money::{TransferKind, TransferState},
    store::Table,
};

use super::Step;
use crate::{event::Event, record::Transfer, store::Backend};

impl<B: Backend> Step<'_, B> {
    /// Applies an event about a transfer or the ledger; another kind is nothing to it.
    pub(super) fn transfer(&mut self, event: &Event) {
        match event {
            Event::LedgerFeeTold { fee } => self.meta.ledger_fee = Some(*fee),
            Event::TransferBegun {
                transfer,
                account,
                kind,
                amount,
                fee,
                next_try,
            } => self.transfer_begun(Transfer {
                id: *transfer,
                account: *account,
                kind: kind.clone(),
                amount: *amount,
                fee: *fee,
                state: TransferState::Pending,
                tries: 1,
                begun_at: self.at,
                next_try: *next_try,
                ended_at: None,
            }),
            Event::TransferTried { transfer, next_try } => {
                let mut transfer = self.stored_transfer(*transfer);
                self.store.transfers_due.remove(&transfer.due());
                transfer.tries += 1;
                transfer.next_try = *next_try;
                self.store.transfers_due.insert(transfer.due(), ());
                self.store.transfers.insert(transfer.id, transfer);
            }
            Event::TransferDone { transfer, block } => {
                self.transfer_ended(*transfer, TransferState::Done { block: *block });
            }
            Event::TransferFailed { transfer, why } => {
                self.transfer_ended(*transfer, TransferState::Failed(why.clone()));
            }
            Event::TransferQuarantined { transfer } => {
                let mut transfer = self.stored_transfer(*transfer);
                self.store.transfers_due.remove(&transfer.due());
                transfer.state = TransferState::Quarantined;
                self.meta.quarantined += 1;
                self.store.transfers_due.insert(transfer.due(), ());
                self.store.transfers.insert(transfer.id, transfer);
            }
            Event::TransferResolved {
                transfer,
                happened: true,
            } => self.transfer_ended(*transfer, TransferState::Done { block: None }),
            Event::TransferResolved {
                transfer,
                happened: false,
            } => {
                let why = "a controller found that it had not happened".to_owned();
                self.transfer_ended(*transfer, TransferState::Failed(why));
            }
            _ => {}
        }
    }

    fn transfer_begun(&mut self, transfer: Transfer) {
        let (id, account, taken) = (transfer.id, transfer.account, transfer.taken());
        self.meta.last_transfer = id.0;
        if taken > Cycles::ZERO {
            self.debit(account, taken);
            self.meta.withdrawing.0 += taken.0;
            if !transfer.is_to_canister() {
                self.meta.leaving_ledger.0 += taken.0;
            }
        }
        self.change(account, |account| account.open_transfers += 1);
        self.store
            .transfers_by_account
            .insert((account, u64::MAX - id.0), ());
        self.store.transfers_due.insert(transfer.due(), ());
        self.store.transfers.insert(id, transfer);
    }

    fn transfer_ended(&mut self, id: TransferId, state: TransferState) {
        let mut transfer = self.stored_transfer(id);
        let (account, taken) = (transfer.account, transfer.taken());
        let happened = matches!(state, TransferState::Done { .. });
        if transfer.state == TransferState::Quarantined {
            self.meta.quarantined -= 1;
        }
        self.store.transfers_due.remove(&transfer.due());
        match transfer.kind {
            TransferKind::Deposit { .. } if happened => {
                self.meta.deposited.0 += transfer.amount.0;
                self.meta.on_ledger.0 += transfer.amount.0;
                self.credit(account, transfer.amount);
            }
            TransferKind::Deposit { .. } => {}
            TransferKind::Withdrawal { .. } => {
                self.meta.withdrawing.0 -= taken.0;
                if !transfer.is_to_canister() {
                    self.meta.leaving_ledger.0 -= taken.0;
                }
                if !happened {
                    self.credit(account, taken);
                } else {
                    self.meta.withdrawn.0 += taken.0;
                    if !transfer.is_to_canister() {
                        self.meta.on_ledger.0 -= taken.0;
                    }
                }
            }
        }
        self.change(account, |account| account.open_transfers -= 1);
        transfer.state = state;
        transfer.ended_at = Some(self.at);
        self.store.transfers.insert(id, transfer);
    }

    fn stored_transfer(&self, id: TransferId) -> Transfer {
        self.store
            .transfers
            .get(&id)
            .expect("BUG: an event names a transfer that exists")
    }
}
