//! Where every table lies in stable memory. It owns all memory ids; an id is never used again for something else.
//!
//! Every structure of [`assay_jobs_core::store::Store`] has the id that `ids` gives it, and the
//! canister's own settings come first.

use std::cell::RefCell;

use assay_canister_kit::{StableLog, StableTable, StableValue};
use assay_jobs_core::{
    ConfigError, Jobs, JobsConfig, Rules,
    event::Entry,
    store::{Backend, Cell, Record, Store, TableKey},
};
use assay_protocol::{JobId, ModelId, Timestamp, store::Table as _};
use candid::Principal;
use ic_stable_structures::{
    DefaultMemoryImpl,
    memory_manager::{MemoryId, MemoryManager},
};
use serde::{Deserialize, Serialize};

/// The layout of stable memory that this code reads and writes. It counts up with every change that older code could
/// not read; each one that was ever released has an image among the tests.
pub(crate) const LAYOUT: u32 = 2;
/// Pages by which a memory grows: 2 MiB, so that all memories together can reach 64 GiB. Fixed for ever at install.
const BUCKET_PAGES: u16 = 32;

mod ids {
    use ic_stable_structures::memory_manager::MemoryId;

    pub(super) const SETTINGS: MemoryId = MemoryId::new(0);
    pub(super) const LOG_INDEX: MemoryId = MemoryId::new(1);
    pub(super) const LOG: MemoryId = MemoryId::new(2);
    pub(super) const META: MemoryId = MemoryId::new(3);
    pub(super) const ACCOUNTS: MemoryId = MemoryId::new(4);
    pub(super) const JOBS: MemoryId = MemoryId::new(5);
    pub(super) const LEASES: MemoryId = MemoryId::new(6);
    pub(super) const KEYS: MemoryId = MemoryId::new(7);
    pub(super) const WANTED_1: MemoryId = MemoryId::new(8);
    pub(super) const HELD: MemoryId = MemoryId::new(9);
    pub(super) const BY_REQUESTER: MemoryId = MemoryId::new(10);
    pub(super) const MODELS: MemoryId = MemoryId::new(11);
    pub(super) const NAMES: MemoryId = MemoryId::new(12);
    pub(super) const PAYOUTS: MemoryId = MemoryId::new(13);
    pub(super) const WORKERS: MemoryId = MemoryId::new(14);
    pub(super) const ASKS: MemoryId = MemoryId::new(15);
    pub(super) const TRUST: MemoryId = MemoryId::new(16);
    pub(super) const RECEIPTS: MemoryId = MemoryId::new(17);
    pub(super) const REQUESTS: MemoryId = MemoryId::new(18);
    pub(super) const CLAIMS: MemoryId = MemoryId::new(19);
    pub(super) const OPENINGS: MemoryId = MemoryId::new(20);
    pub(super) const VITALS: MemoryId = MemoryId::new(21);
    pub(super) const PRESENCE: MemoryId = MemoryId::new(22);
    pub(super) const PULSES: MemoryId = MemoryId::new(23);
    pub(super) const DUE: MemoryId = MemoryId::new(24);
    pub(super) const STREAMS: MemoryId = MemoryId::new(25);
    pub(super) const CHUNKS: MemoryId = MemoryId::new(26);
    pub(super) const AUDITS: MemoryId = MemoryId::new(27);
    pub(super) const TRANSFERS: MemoryId = MemoryId::new(28);
    pub(super) const TRANSFERS_BY_ACCOUNT: MemoryId = MemoryId::new(29);
    pub(super) const TRANSFERS_DUE: MemoryId = MemoryId::new(30);
    pub(super) const CANARIES: MemoryId = MemoryId::new(31);
    pub(super) const CANARY_QUEUE: MemoryId = MemoryId::new(32);
    pub(super) const DECOYS: MemoryId = MemoryId::new(33);
    pub(super) const CANARY_TEXTS: MemoryId = MemoryId::new(34);
    pub(super) const SPONSORED: MemoryId = MemoryId::new(35);
    pub(super) const WANTED: MemoryId = MemoryId::new(36);
    pub(super) const DEMAND: MemoryId = MemoryId::new(37);
}

/// What was set at install and at upgrades.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Whose providers, workers and models this market follows.
    pub(crate) registry: Option<Principal>,
    /// The market's fee, in basis points.
    pub(crate) fee_bps: u16,
    /// The layout of stable memory, from [`LAYOUT`]; zero before the first install.
    #[serde(default)]
    pub(crate) layout: u32,
    /// The ledger that keeps cycles for it; absent in what releases without one wrote.
    #[serde(default)]
    pub(crate) ledger: Option<Principal>,
}

/// A place in the queue of layout 1, which was one for all models; what else it said follows from the job.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Wanted1 {
    model: ModelId,
}

/// Stable memory.
#[derive(Debug)]
pub struct Stable;

impl Backend for Stable {
    type Table<K: TableKey, V: Record> = StableTable<K, V>;
    type Cell<V: Record + Default> = StableCell<V>;
    type Log = StableLog<Entry>;
}

/// One value of the core in stable memory.
#[derive(Debug)]
pub struct StableCell<V: Record + Default>(StableValue<V>);

impl<V: Record + Default> Cell<V> for StableCell<V> {
    fn get(&self) -> V {
        self.0.get()
    }

    fn set(&mut self, value: V) {
        self.0.set(value);
    }
}

type Memories = MemoryManager<DefaultMemoryImpl>;

thread_local! {
    static MEMORIES: Memories =
        Memories::init_with_bucket_size(DefaultMemoryImpl::default(), BUCKET_PAGES);
    static SETTINGS: StableValue<Settings> =
        MEMORIES.with(|memories| StableValue::init(memories.get(ids::SETTINGS), Settings::default()));
    /// Absent until install or upgrade has opened it.
    static JOBS: RefCell<Option<Jobs<Stable>>> = const { RefCell::new(None) };
}

/// Opens the market that stable memory holds, empty or not.
///
/// Without `rules` those of before stay, or the first ones are the default.
pub(crate) fn open(
    now: Timestamp,
    canister: Principal,
    settings: &Settings,
    rules: Option<Rules>,
) -> Result<(), ConfigError> {
    let store = MEMORIES.with(store);
    let before = store.meta.get().config.map(|config| config.rules);
    let config = JobsConfig {
        canister,
        fee_bps: settings.fee_bps,
        rules: rules.or(before).unwrap_or_default(),
        ledger: settings.ledger,
    };
    let jobs = Jobs::open(store, now, config)?;
    JOBS.set(Some(jobs));
    Ok(())
}

/// Reads the market.
pub(crate) fn with_jobs<R>(read: impl FnOnce(&Jobs<Stable>) -> R) -> R {
    JOBS.with_borrow(|jobs| {
        read(
            jobs.as_ref()
                .expect("BUG: install and upgrade open the market"),
        )
    })
}

/// Changes the market.
pub(crate) fn with_jobs_mut<R>(change: impl FnOnce(&mut Jobs<Stable>) -> R) -> R {
    JOBS.with_borrow_mut(|jobs| {
        change(
            jobs.as_mut()
                .expect("BUG: install and upgrade open the market"),
        )
    })
}

/// What was set.
pub(crate) fn settings() -> Settings {
    SETTINGS.with(StableValue::get)
}

/// Sets it anew.
pub(crate) fn set_settings(settings: Settings) {
    SETTINGS.with(|value| value.set(settings));
}

/// The tables of the market that this memory holds, for whoever wants to look at one or to go on with it elsewhere.
pub fn store_in(memory: DefaultMemoryImpl) -> Store<Stable> {
    store(&Memories::init_with_bucket_size(memory, BUCKET_PAGES))
}

fn store(memories: &Memories) -> Store<Stable> {
    let mut store = tables(memories);
    let mut before: StableTable<JobId, Wanted1> = StableTable::init(memories.get(ids::WANTED_1));
    let queue: Vec<(JobId, Wanted1)> = before.range(..).collect();
    for (job, _) in &queue {
        before.remove(job);
    }
    store.queue_again(queue.into_iter().map(|(job, place)| (place.model, job)));
    store
}

fn table<K: TableKey, V: Record>(memories: &Memories, id: MemoryId) -> StableTable<K, V> {
    StableTable::init(memories.get(id))
}

fn cell<V: Record + Default>(memories: &Memories, id: MemoryId) -> StableCell<V> {
    StableCell(StableValue::init(memories.get(id), V::default()))
}

fn tables(memories: &Memories) -> Store<Stable> {
    Store {
        log: StableLog::init(memories.get(ids::LOG_INDEX), memories.get(ids::LOG)),
        meta: cell(memories, ids::META),
        accounts: table(memories, ids::ACCOUNTS),
        jobs: table(memories, ids::JOBS),
        leases: table(memories, ids::LEASES),
        keys: table(memories, ids::KEYS),
        wanted: table(memories, ids::WANTED),
        demand: table(memories, ids::DEMAND),
        audits: table(memories, ids::AUDITS),
        held: table(memories, ids::HELD),
        by_requester: table(memories, ids::BY_REQUESTER),
        models: table(memories, ids::MODELS),
        names: table(memories, ids::NAMES),
        payouts: table(memories, ids::PAYOUTS),
        workers: table(memories, ids::WORKERS),
        asks: table(memories, ids::ASKS),
        trust: table(memories, ids::TRUST),
        receipts: table(memories, ids::RECEIPTS),
        transfers: table(memories, ids::TRANSFERS),
        transfers_by_account: table(memories, ids::TRANSFERS_BY_ACCOUNT),
        transfers_due: table(memories, ids::TRANSFERS_DUE),
        sponsored: table(memories, ids::SPONSORED),
        canaries: table(memories, ids::CANARIES),
        canary_queue: table(memories, ids::CANARY_QUEUE),
        decoys: table(memories, ids::DECOYS),
        canary_texts: table(memories, ids::CANARY_TEXTS),
        requests: table(memories, ids::REQUESTS),
        claims: table(memories, ids::CLAIMS),
        openings: table(memories, ids::OPENINGS),
        vitals: cell(memories, ids::VITALS),
        presence: table(memories, ids::PRESENCE),
        pulses: table(memories, ids::PULSES),
        due: table(memories, ids::DUE),
        streams: table(memories, ids::STREAMS),
        chunks: table(memories, ids::CHUNKS),
    }
}
