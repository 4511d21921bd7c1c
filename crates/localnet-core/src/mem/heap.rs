//! The heap of a canister between messages.
//!
//! Instances have a memory of their own. After a message either the heap takes over the pages that differ
//! ([`Heap::commit`]) or the instance gets the heap's back ([`Heap::restore`]); both look at every page and copy few.
//! Where written pages are known, [`super::Tracked`] looks at those alone.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use crate::limits::{OS_PAGE_BYTES, WASM_PAGE_BYTES};

/// One Wasm page; always [`WASM_PAGE_BYTES`] long.
type Page = Arc<Box<[u8]>>;

static ZEROS: LazyLock<Page> = LazyLock::new(|| Arc::new(vec![0; WASM_PAGE_BYTES].into()));

/// A heap, in Wasm pages. A clone shares all pages.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Heap {
    pages: Vec<Page>,
}

impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap")
            .field("pages", &self.pages.len())
            .finish_non_exhaustive()
    }
}

impl Heap {
    /// A heap of zeros.
    pub(crate) fn new(pages: u64) -> Self {
        Self {
            pages: (0..pages).map(|_| Arc::clone(&ZEROS)).collect(),
        }
    }

    /// Wasm pages.
    pub(crate) fn pages(&self) -> u64 {
        self.pages.len() as u64
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.pages.len() * WASM_PAGE_BYTES
    }

    /// Adds zeros until there are this many pages.
    pub(crate) fn grow_to(&mut self, pages: u64) {
        while self.pages() < pages {
            self.pages.push(Arc::clone(&ZEROS));
        }
    }

    /// Replaces a page that is there; it has the length of one.
    pub(crate) fn put_page(&mut self, index: usize, page: Vec<u8>) {
        debug_assert_eq!(page.len(), WASM_PAGE_BYTES);
        self.pages[index] = Arc::new(page.into());
    }

    /// Writes bytes that must lie inside.
    pub(crate) fn write(&mut self, offset: u64, mut bytes: &[u8]) {
        let mut offset = offset as usize;
        while !bytes.is_empty() {
            let within = offset % WASM_PAGE_BYTES;
            let (now, later) = bytes.split_at(bytes.len().min(WASM_PAGE_BYTES - within));
            let page = Arc::make_mut(&mut self.pages[offset / WASM_PAGE_BYTES]);
            page[within..within + now.len()].copy_from_slice(now);
            offset += now.len();
            bytes = later;
        }
    }

    /// Takes over what an instance's memory has become; memories never shrink.
    pub(crate) fn commit(&mut self, memory: &[u8]) {
        for (index, now) in memory.chunks_exact(WASM_PAGE_BYTES).enumerate() {
            if index == self.pages.len() {
                self.pages.push(Arc::clone(&ZEROS));
            }
            let page = &mut self.pages[index];
            for (new, at) in now
                .chunks_exact(OS_PAGE_BYTES)
                .zip((0..).step_by(OS_PAGE_BYTES))
            {
                let range = at..at + OS_PAGE_BYTES;
                if page[range.clone()] != *new {
                    Arc::make_mut(page)[range].copy_from_slice(new);
                }
            }
        }
    }

    /// How many OS pages of a memory differ from this heap.
    pub(crate) fn differing_pages(&self, memory: &[u8]) -> u64 {
        let pages = memory.chunks_exact(OS_PAGE_BYTES);
        let differing = pages
            .zip((0..).step_by(OS_PAGE_BYTES))
            .filter(|(now, at)| *now != self.os_page(*at));
        differing.count() as u64
    }

    /// The OS page that begins at an offset, which may lie behind the end: zeros.
    pub(crate) fn os_page(&self, offset: usize) -> &[u8] {
        let page = self.pages.get(offset / WASM_PAGE_BYTES).unwrap_or(&ZEROS);
        let within = offset % WASM_PAGE_BYTES;
        &page[within..within + OS_PAGE_BYTES]
    }

    /// Sets an instance's memory back to this heap; it must have the same length.
    pub(crate) fn restore(&self, memory: &mut [u8]) {
        for (now, page) in memory.chunks_exact_mut(WASM_PAGE_BYTES).zip(&self.pages) {
            for (now, then) in now
                .chunks_exact_mut(OS_PAGE_BYTES)
                .zip(page.chunks_exact(OS_PAGE_BYTES))
            {
                if now != then {
                    now.copy_from_slice(then);
                }
            }
        }
    }

    /// Fills a fresh instance's memory, which holds zeros and has the same length.
    pub(crate) fn fill(&self, memory: &mut [u8]) {
        for (index, page) in self.filled() {
            let at = index * WASM_PAGE_BYTES;
            memory[at..at + WASM_PAGE_BYTES].copy_from_slice(page);
        }
    }

    /// The pages that were ever written, with their indices.
    pub(crate) fn filled(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let pages = self.pages.iter().enumerate();
        pages
            .filter(|(_, page)| !Arc::ptr_eq(page, &ZEROS))
            .map(|(index, page)| (index, &***page))
    }

    /// All bytes, for tests and for comparing states.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        self.pages.iter().map(|page| &***page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commit_takes_changed_bytes_and_new_pages() {
        let mut heap = Heap::new(1);
        let before = heap.clone();
        let mut memory = vec![0; 2 * WASM_PAGE_BYTES];
        memory[5_000] = 7;
        memory[WASM_PAGE_BYTES] = 9;
        assert_eq!(heap.differing_pages(&memory), 2);
        heap.commit(&memory);
        assert_eq!(heap.differing_pages(&memory), 0);
        assert_eq!(heap.chunks().collect::<Vec<_>>().concat(), memory);
        assert_eq!(
            before,
            Heap::new(1),
            "a clone taken earlier keeps what it had"
        );
    }

    #[test]
    fn restore_undoes_every_write() {
        let mut heap = Heap::new(2);
        heap.write(65_530, b"across the border");
        let mut memory = vec![0; 2 * WASM_PAGE_BYTES];
        heap.fill(&mut memory);
        memory[65_531] = 0;
        memory[100_000] = 1;
        heap.restore(&mut memory);
        assert_eq!(heap.chunks().collect::<Vec<_>>().concat(), memory);
        assert_eq!(&memory[65_530..65_547], b"across the border");
    }
}
