//! Rebuilding a market from its log alone.

use assay_protocol::{
    Hash32, Hasher,
    store::{Log, Table},
};
use serde::Serialize;

use crate::{
    apply::apply,
    event::Entry,
    store::{Backend, Cell, Memory, Store},
};

/// Applies the next entry of a log to a store that comes from those before it.
pub(super) fn append(store: &mut Store<Memory>, entry: &Entry) {
    store.log.append(entry);
    apply(store, entry);
}

/// Exchanges what lies beside the log of two stores.
pub(super) fn swap_beside(a: &mut Store<Memory>, b: &mut Store<Memory>) {
    macro_rules! swap {
        ($($field:ident),*) => {
            $(std::mem::swap(&mut a.$field, &mut b.$field);)*
        };
    }
    swap!(
        canary_texts,
        requests,
        claims,
        openings,
        vitals,
        presence,
        pulses,
        due,
        streams,
        chunks
    );
}

/// Calls a macro with the names of all logged tables.
macro_rules! logged_tables {
    ($call:ident) => {
        $call!(
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
        )
    };
}

/// The first logged table in which two stores differ.
pub fn logged_difference<A: Backend, B: Backend>(
    a: &Store<A>,
    b: &Store<B>,
) -> Option<&'static str> {
    macro_rules! compare {
        ($($table:ident),*) => {
            [$((stringify!($table), a.$table.scan().eq(b.$table.scan()))),*]
        };
    }
    let tables = logged_tables!(compare);
    let logs = (0..a.log.len().max(b.log.len())).all(|i| a.log.get(i) == b.log.get(i));
    let meta = a.meta.get() == b.meta.get();
    [("log", logs), ("meta", meta)]
        .into_iter()
        .chain(tables)
        .find_map(|(name, equal)| (!equal).then_some(name))
}

/// SHA-256 over all logged tables: equal for equal logs, wherever they are replayed.
pub(super) fn logged_hash<B: Backend>(store: &Store<B>) -> Hash32 {
    let mut hasher = Hasher::new("assay-jobs-state-1").bytes(&encoded(&store.meta.get()));
    macro_rules! add {
        ($($table:ident),*) => {
            $(for entry in store.$table.range(..) {
                hasher = hasher
                    .bytes(stringify!($table).as_bytes())
                    .bytes(&encoded(&entry));
            })*
        };
    }
    logged_tables!(add);
    hasher.finish()
}

fn encoded(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("BUG: a record always encodes");
    bytes
}
