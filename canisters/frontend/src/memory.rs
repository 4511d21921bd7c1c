//! Where files and conversations lie in stable memory. It owns all memory ids; an id is never used again for something else.
//!
//! ```text
//! id  table       key                          record
//! 0   pieces      (generation, path, number)   bytes
//! 1   extents     (generation, path)           bytes and pieces
//! 2   generation  the one that is served
//! 3   sealed      (account, name)              a conversation's bytes
//! 4   lines       (account, name)              how many, and when they were kept
//! 5   ages        (time, account, name)        nothing
//! 6   shares      account                      conversations and their bytes
//! 7   bytes       of all conversations
//! ```

use std::cell::RefCell;

use assay_canister_kit::{StableTable, StableValue, stable::Memory};
use candid::Principal;
use ic_stable_structures::{
    DefaultMemoryImpl,
    memory_manager::{MemoryId, MemoryManager},
};
use serde_bytes::ByteBuf;

use crate::{
    chats::{self, Age, ChatKey, Chats, Line, Share},
    staging::{self, Extent, ExtentKey, Files, Piece, PieceKey},
};

const PIECES: MemoryId = MemoryId::new(0);
const EXTENTS: MemoryId = MemoryId::new(1);
const GENERATION: MemoryId = MemoryId::new(2);
const SEALED: MemoryId = MemoryId::new(3);
const LINES: MemoryId = MemoryId::new(4);
const AGES: MemoryId = MemoryId::new(5);
const SHARES: MemoryId = MemoryId::new(6);
const BYTES: MemoryId = MemoryId::new(7);

/// Pages by which a memory grows: 1 MiB. Fixed for ever at install.
const BUCKET_PAGES: u16 = 16;

/// Stable memory.
pub(crate) struct Stable;

impl staging::Medium for Stable {
    type Pieces = StableTable<PieceKey, Piece>;
    type Extents = StableTable<ExtentKey, Extent>;
}

impl chats::Medium for Stable {
    type Sealed = StableTable<ChatKey, ByteBuf>;
    type Lines = StableTable<ChatKey, Line>;
    type Ages = StableTable<Age, ()>;
    type Shares = StableTable<Principal, Share>;
}

thread_local! {
    static MEMORIES: MemoryManager<DefaultMemoryImpl> =
        MemoryManager::init_with_bucket_size(DefaultMemoryImpl::default(), BUCKET_PAGES);

    static FILES: RefCell<Files<Stable>> = {
        let generation = StableValue::init(memory(GENERATION), 0_u64);
        RefCell::new(Files {
            pieces: StableTable::init(memory(PIECES)),
            extents: StableTable::init(memory(EXTENTS)),
            generation: generation.get(),
            keep: Box::new(move |number| generation.set(number)),
        })
    };

    static CHATS: RefCell<Chats<Stable>> = {
        let bytes = StableValue::init(memory(BYTES), 0_u64);
        RefCell::new(Chats {
            sealed: StableTable::init(memory(SEALED)),
            lines: StableTable::init(memory(LINES)),
            ages: StableTable::init(memory(AGES)),
            shares: StableTable::init(memory(SHARES)),
            bytes: bytes.get(),
            save: Box::new(move |sum| bytes.set(sum)),
        })
    };
}

fn memory(id: MemoryId) -> Memory {
    MEMORIES.with(|memories| memories.get(id))
}

/// Reads or changes the files.
pub(crate) fn with_files<R>(change: impl FnOnce(&mut Files<Stable>) -> R) -> R {
    FILES.with_borrow_mut(change)
}

/// Reads or changes the conversations.
pub(crate) fn with_chats<R>(change: impl FnOnce(&mut Chats<Stable>) -> R) -> R {
    CHATS.with_borrow_mut(change)
}
