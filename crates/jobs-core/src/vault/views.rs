//! What the vault tells of its transfers.

use assay_protocol::{
    TransferId, limits,
    money::{LedgerView, TransferView, TransfersArgs},
    store::Table,
};

use crate::{market::Jobs, record::Transfer, store::Backend};

impl<B: Backend> Jobs<B> {
    /// The ledger, if the market has one.
    pub fn ledger(&self) -> Option<LedgerView> {
        let id = self.config().ledger?;
        let fee = self.meta().ledger_fee;
        Some(LedgerView { id, fee })
    }

    /// One transfer.
    pub fn transfer(&self, id: TransferId) -> Option<TransferView> {
        self.store.transfers.get(&id).map(view)
    }

    /// A page of transfers, newest first.
    pub fn transfers(&self, args: &TransfersArgs) -> Vec<TransferView> {
        let TransfersArgs {
            account,
            open,
            before,
            limit,
        } = *args;
        let before = before.unwrap_or(TransferId(u64::MAX));
        let limit = limit.clamp(1, limits::PAGE_MAX) as usize;
        let read = |id: TransferId| self.store.transfers.get(&id);
        let fits = |transfer: &Transfer| {
            account.is_none_or(|account| account == transfer.account)
                && (!open || transfer.state.is_open())
        };
        let page: Vec<Transfer> = if open {
            // There are few without an end.
            let due = self.store.transfers_due.keys(..);
            let mut ids: Vec<TransferId> =
                due.map(|(_, id)| id).filter(|&id| id < before).collect();
            ids.sort_unstable_by(|a, b| b.cmp(a));
            ids.into_iter()
                .filter_map(read)
                .filter(fits)
                .take(limit)
                .collect()
        } else if let Some(account) = account {
            let from = (account, (u64::MAX - before.0).saturating_add(1));
            let own = self.store.transfers_by_account.keys(from..);
            own.take_while(|(of, _)| *of == account)
                .filter_map(|(_, newest_first)| read(TransferId(u64::MAX - newest_first)))
                .take(limit)
                .collect()
        } else {
            let all = self.store.transfers.keys(..before).rev();
            all.filter_map(read).take(limit).collect()
        };
        page.into_iter().map(view).collect()
    }
}

/// A transfer as it is told.
pub(super) fn view(transfer: Transfer) -> TransferView {
    let Transfer {
        id,
        account,
        kind,
        amount,
        fee,
        state,
        tries,
        begun_at,
        next_try: _,
        ended_at,
    } = transfer;
    TransferView {
        id,
        account,
        kind,
        amount,
        fee,
        state,
        tries,
        begun_at,
        ended_at,
    }
}
