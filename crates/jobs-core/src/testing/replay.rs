//! Rebuilding a market from its log alone.

use assay_protocol::store::{Log, Table};

use crate::{
    apply::apply,
    event::Entry,
    store::{Backend, Cell, Memory, Store},
};

/// A store whose logged tables come from these entries alone.
pub fn replay(entries: impl IntoIterator<Item = Entry>) -> Store<Memory> {
    let mut store = Store::default();
    for entry in entries {
        store.log.append(&entry);
        apply(&mut store, &entry);
    }
    store
}

/// A store of the logged tables of one store and of what lies beside the log of another.
pub(super) fn with_beside(logged: Store<Memory>, beside: Store<Memory>) -> Store<Memory> {
    Store {
        canary_texts: beside.canary_texts,
        requests: beside.requests,
        claims: beside.claims,
        openings: beside.openings,
        vitals: beside.vitals,
        presence: beside.presence,
        pulses: beside.pulses,
        due: beside.due,
        streams: beside.streams,
        chunks: beside.chunks,
        ..logged
    }
}

/// The first logged table in which two stores differ.
pub fn logged_difference<A: Backend, B: Backend>(
    a: &Store<A>,
    b: &Store<B>,
) -> Option<&'static str> {
    macro_rules! compare {
        ($($table:ident),*) => {
            [$((stringify!($table), a.$table.range(..).eq(b.$table.range(..)))),*]
        };
    }
    let tables = compare!(
        accounts,
        jobs,
        leases,
        keys,
        wanted,
        demand,
        held,
        by_requester,
        models,
        names,
        payouts,
        workers,
        asks,
        trust,
        receipts,
        audits,
        transfers,
        transfers_by_account,
        transfers_due,
        sponsored,
        canaries,
        canary_queue,
        decoys
    );
    let logs = (0..a.log.len().max(b.log.len())).all(|i| a.log.get(i) == b.log.get(i));
    let meta = a.meta.get() == b.meta.get();
    [("log", logs), ("meta", meta)]
        .into_iter()
        .chain(tables)
        .find_map(|(name, equal)| (!equal).then_some(name))
}
