//! Where files lie in stable memory. It owns all memory ids; an id is never used again for something else.
//!
//! ```text
//! id  table       key                          record
//! 0   pieces      (generation, path, number)   bytes
//! 1   extents     (generation, path)           bytes and pieces
//! 2   generation  the one that is served
//! ```

use std::cell::RefCell;

use assay_canister_kit::{StableTable, StableValue};
use ic_stable_structures::{
    DefaultMemoryImpl,
    memory_manager::{MemoryId, MemoryManager},
};

use crate::staging::{Extent, ExtentKey, Files, Medium, Piece, PieceKey};

const PIECES: MemoryId = MemoryId::new(0);
const EXTENTS: MemoryId = MemoryId::new(1);
const GENERATION: MemoryId = MemoryId::new(2);

/// Pages by which a memory grows: 1 MiB. Fixed for ever at install.
const BUCKET_PAGES: u16 = 16;

/// Stable memory.
pub(crate) struct Stable;

impl Medium for Stable {
    type Pieces = StableTable<PieceKey, Piece>;
    type Extents = StableTable<ExtentKey, Extent>;
}

thread_local! {
    static FILES: RefCell<Files<Stable>> = {
        let memories = MemoryManager::init_with_bucket_size(DefaultMemoryImpl::default(), BUCKET_PAGES);
        let generation = StableValue::init(memories.get(GENERATION), 0_u64);
        RefCell::new(Files {
            pieces: StableTable::init(memories.get(PIECES)),
            extents: StableTable::init(memories.get(EXTENTS)),
            generation: generation.get(),
            keep: Box::new(move |number| generation.set(number)),
        })
    };
}

/// Reads or changes the files.
pub(crate) fn with_files<R>(change: impl FnOnce(&mut Files<Stable>) -> R) -> R {
    FILES.with_borrow_mut(change)
}
