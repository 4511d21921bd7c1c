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
//! 10  layout     the number of the layout
//! 11  speeds     (operator, model)      Speed
//! ```

use std::cell::RefCell;

use assay_canister_kit::{StableLog, StableTable, StableValue};
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
const LAYOUT_NUMBER: MemoryId = MemoryId::new(10);
const SPEEDS: MemoryId = MemoryId::new(11);

/// The layout of stable memory that this code reads and writes. It counts up with every change that older code could
/// not read; each one that was ever released has an image among the tests. The first one had no number; the second has speeds.
pub(crate) const LAYOUT: u32 = 2;

/// Pages by which a memory grows: 1 MiB, so that all memories together can reach 32 GiB. Fixed for ever at install.
const BUCKET_PAGES: u16 = 16;

/// Stable memory.
#[derive(Debug)]
pub(crate) struct Stable;

impl Backend for Stable {
    type Table<K: TableKey, V: Stored> = StableTable<K, V>;
    type Log = StableLog<Event>;
}

type Memories = MemoryManager<DefaultMemoryImpl>;

thread_local! {
    static MEMORIES: Memories =
        Memories::init_with_bucket_size(DefaultMemoryImpl::default(), BUCKET_PAGES);
    static REGISTRY: RefCell<Registry<Stable>> =
        RefCell::new(Registry::new(MEMORIES.with(open)));
    static WRITTEN_LAYOUT: StableValue<u32> =
        MEMORIES.with(|memories| StableValue::init(memories.get(LAYOUT_NUMBER), LAYOUT));
}

/// The layout that was written last; in new memory, the present one.
pub(crate) fn written_layout() -> u32 {
    WRITTEN_LAYOUT.with(StableValue::get)
}

/// Says that this code's layout is the one that is written from now on.
pub(crate) fn set_written_layout() {
    WRITTEN_LAYOUT.with(|value| value.set(LAYOUT));
}

/// Reads the registry.
pub(crate) fn with_registry<R>(read: impl FnOnce(&Registry<Stable>) -> R) -> R {
    REGISTRY.with_borrow(read)
}

/// Changes the registry.
pub(crate) fn with_registry_mut<R>(change: impl FnOnce(&mut Registry<Stable>) -> R) -> R {
    REGISTRY.with_borrow_mut(change)
}

fn open(memories: &Memories) -> Store<Stable> {
    Store {
        providers: StableTable::init(memories.get(PROVIDERS)),
        workers: StableTable::init(memories.get(WORKERS)),
        models: StableTable::init(memories.get(MODELS)),
        names: StableTable::init(memories.get(NAMES)),
        owned: StableTable::init(memories.get(OWNED)),
        feed: StableTable::init(memories.get(FEED)),
        places: StableTable::init(memories.get(PLACES)),
        shards: StableTable::init(memories.get(SHARDS)),
        speeds: StableTable::init(memories.get(SPEEDS)),
        events: StableLog::init(memories.get(EVENTS_INDEX), memories.get(EVENTS)),
    }
}
