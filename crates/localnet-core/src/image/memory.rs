//! Memories in images: which pages there are, and the blobs that hold them.

use std::io;

use serde::{Deserialize, Serialize};

use super::{BlobId, Blobs};
use crate::{
    limits::{OS_PAGE_BYTES, WASM_PAGE_BYTES},
    mem::{Heap, Stable},
};

/// Pages of stable memory that lie in one blob, where they are there; a bit of a mask stands for each.
const GROUP_PAGES: u64 = (WASM_PAGE_BYTES / OS_PAGE_BYTES) as u64;

/// A heap: its length, and a blob for each page that was ever written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeapImage {
    pages: u64,
    filled: Vec<(u64, BlobId)>,
}

/// A stable memory: its length, and a blob for each group of pages of which some were ever written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StableImage {
    wasm_pages: u64,
    groups: Vec<Group>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Group {
    /// Its place: the index of its first page, divided by [`GROUP_PAGES`].
    at: u64,
    /// Which of its pages were ever written, the first one's bit lowest.
    mask: u16,
    /// These pages, one after the other.
    blob: BlobId,
}

impl HeapImage {
    pub(super) fn of(heap: &Heap, blobs: &mut dyn Blobs) -> io::Result<Self> {
        Ok(Self {
            pages: heap.pages(),
            filled: heap
                .filled()
                .map(|(index, page)| Ok((index as u64, blobs.put(page)?)))
                .collect::<io::Result<_>>()?,
        })
    }

    pub(super) fn restore(self, blobs: &mut dyn Blobs) -> io::Result<Heap> {
        let mut heap = Heap::new(self.pages);
        for (index, blob) in self.filled {
            let bytes = blobs.get(blob)?;
            if index >= self.pages || bytes.len() != WASM_PAGE_BYTES {
                return Err(damaged("a page of a heap is no page"));
            }
            heap.put_page(index as usize, bytes);
        }
        Ok(heap)
    }
}

impl StableImage {
    pub(super) fn of(stable: &Stable, blobs: &mut dyn Blobs) -> io::Result<Self> {
        let mut groups = Vec::new();
        let mut pages = stable.pages().peekable();
        let mut bytes = Vec::with_capacity(WASM_PAGE_BYTES);
        while let Some((first, _)) = pages.peek() {
            let at = first / GROUP_PAGES;
            let mut mask = 0;
            bytes.clear();
            while let Some((index, page)) = pages.next_if(|(index, _)| index / GROUP_PAGES == at) {
                mask |= 1 << (index % GROUP_PAGES);
                bytes.extend_from_slice(page);
            }
            let blob = blobs.put(&bytes)?;
            groups.push(Group { at, mask, blob });
        }
        Ok(Self {
            wasm_pages: stable.wasm_pages(),
            groups,
        })
    }

    pub(super) fn restore(self, blobs: &mut dyn Blobs) -> io::Result<Stable> {
        let mut pages = Vec::new();
        for Group { at, mask, blob } in self.groups {
            let bytes = blobs.get(blob)?;
            if bytes.len() != mask.count_ones() as usize * OS_PAGE_BYTES {
                return Err(damaged("pages of a stable memory are no pages"));
            }
            let first = at
                .checked_mul(GROUP_PAGES)
                .ok_or_else(|| damaged("a page of a stable memory has no place"))?;
            let indices = (0..GROUP_PAGES).filter(|bit| mask & (1 << bit) != 0);
            let there = indices.zip(bytes.chunks_exact(OS_PAGE_BYTES));
            pages.extend(there.map(|(bit, page)| (first + bit, page.into())));
        }
        Ok(Stable::of_pages(self.wasm_pages, pages))
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
