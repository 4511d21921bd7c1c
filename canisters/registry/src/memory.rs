//! Where every table lies in stable memory. It owns all memory ids; an id is never used again for something else.
//!
//! ```text
//! id  table      key                    record
//! 0   providers  owner                  Provider
//! 1   workers    operator               Worker
//! 2   models     version                Model
//! 3   names      name in lower case     version
//! 4   owned      (provider, operator)   nothing
//! 5   feed       place                  which record
//! 6   places     which record           place
//! 7   shards     canister               nothing
//! 8   events     where entries begin
//! 9   events     entries                Event
//! ```

use std::cell::RefCell;

use assay_canister_kit::{StableLog, StableTable};
use assay_registry_core::{
    Registry,
    event::Event,
    store::{Backend, Store, Stored, TableKey},
};
use ic_stable_structures::{
    DefaultMemoryImpl,
    memory_manager::{MemoryId, MemoryManager},
};

const PROVIDERS: MemoryId = MemoryId::new(0);
const WORKERS: MemoryId = MemoryId::new(1);
const MODELS: MemoryId = MemoryId::new(2);
const NAMES: MemoryId = MemoryId::new(3);
const OWNED: MemoryId = MemoryId::new(4);
const FEED: MemoryId = MemoryId::new(5);
const PLACES: MemoryId = MemoryId::new(6);
const SHARDS: MemoryId = MemoryId::new(7);
const EVENTS_INDEX: MemoryId = MemoryId::new(8);
const EVENTS: MemoryId = MemoryId::new(9);

/// Pages by which a memory grows: 1 MiB, so that all memories together can reach 32 GiB. Fixed for ever at install.
const BUCKET_PAGES: u16 = 16;

/// Stable memory.
#[derive(Debug)]
pub(crate) struct Stable;

impl Backend for Stable {
    type Table<K: TableKey, V: Stored> = StableTable<K, V>;
    type Log = StableLog<Event>;
}

thread_local! {
    static REGISTRY: RefCell<Registry<Stable>> = RefCell::new(Registry::new(open()));
}

/// Reads the registry.
pub(crate) fn with_registry<R>(read: impl FnOnce(&Registry<Stable>) -> R) -> R {
    REGISTRY.with_borrow(read)
}

/// Changes the registry.
pub(crate) fn with_registry_mut<R>(change: impl FnOnce(&mut Registry<Stable>) -> R) -> R {
    REGISTRY.with_borrow_mut(change)
}

fn open() -> Store<Stable> {
    let memories = MemoryManager::init_with_bucket_size(DefaultMemoryImpl::default(), BUCKET_PAGES);
    Store {
        providers: StableTable::init(memories.get(PROVIDERS)),
        workers: StableTable::init(memories.get(WORKERS)),
        models: StableTable::init(memories.get(MODELS)),
        names: StableTable::init(memories.get(NAMES)),
        owned: StableTable::init(memories.get(OWNED)),
        feed: StableTable::init(memories.get(FEED)),
        places: StableTable::init(memories.get(PLACES)),
        shards: StableTable::init(memories.get(SHARDS)),
        events: StableLog::init(memories.get(EVENTS_INDEX), memories.get(EVENTS)),
    }
}
