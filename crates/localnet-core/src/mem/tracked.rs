//! The memory of a warm instance beside its canister's heap: what a message changed is found, kept or undone.
//!
//! A page that a message wrote is written by the next one, too, more often than not. So a few pages stay private
//! between messages and are compared, which costs less than a fault, a write to the file and a call to set it back;
//! beyond [`PRIVATE_PAGES_MAX`] all are set back.
//!
//! Invariant: between messages the memory and the canister's heap hold the same bytes, and so does the file behind
//! the memory but for the pages in `behind`, which are private.

use std::{collections::BTreeSet, io, ops::Range, sync::Arc};

use super::{Heap, Region, Regions};
use crate::limits::{OS_PAGE_BYTES, PRIVATE_PAGES_MAX};

/// A memory whose written pages are known.
pub(crate) struct Tracked {
    regions: Arc<Regions>,
    region: Arc<Region>,
    /// Where the pages begin whose bytes the file does not have.
    behind: BTreeSet<usize>,
}

/// What a message did to a memory, in whole pages.
#[derive(Debug)]
pub(crate) struct Changes {
    /// Private pages: all that were written, and some that were written earlier.
    private: Vec<Range<usize>>,
    /// Those of them that differ from the canister's heap.
    differing: Vec<Range<usize>>,
}

impl Changes {
    /// How many pages differ from the canister's heap.
    pub(crate) fn pages(&self) -> u64 {
        pages(&self.differing).count() as u64
    }

    fn fit(&self) -> bool {
        pages(&self.private).count() <= PRIVATE_PAGES_MAX
    }
}

/// Where the pages of these ranges begin.
fn pages(ranges: &[Range<usize>]) -> impl Iterator<Item = usize> {
    ranges
        .iter()
        .flat_map(|range| range.clone().step_by(OS_PAGE_BYTES))
}

impl Tracked {
    /// The memory that was made last, filled with a heap.
    pub(crate) fn filled(regions: &Arc<Regions>, heap: &Heap) -> Option<io::Result<Self>> {
        let region = regions.take()?;
        Some(region.fill(heap).map(|()| Self {
            regions: Arc::clone(regions),
            region,
            behind: BTreeSet::new(),
        }))
    }

    /// What was done to the memory since it last equalled the heap.
    pub(crate) fn changes(&self, heap: &Heap, memory: &[u8]) -> io::Result<Changes> {
        let private = self.regions.changes(&self.region)?;
        let mut differing: Vec<Range<usize>> = Vec::new();
        for at in pages(&private) {
            if *heap.os_page(at) == memory[at..at + OS_PAGE_BYTES] {
                continue;
            }
            match differing.last_mut() {
                Some(last) if last.end == at => last.end += OS_PAGE_BYTES,
                _ => differing.push(at..at + OS_PAGE_BYTES),
            }
        }
        Ok(Changes { private, differing })
    }

    /// The heap takes over what the memory has become; it has the same length.
    pub(crate) fn commit(
        &mut self,
        changes: &Changes,
        heap: &mut Heap,
        memory: &[u8],
    ) -> io::Result<()> {
        for range in &changes.differing {
            heap.write(range.start as u64, &memory[range.clone()]);
        }
        self.behind.extend(pages(&changes.differing));
        if changes.fit() {
            return Ok(());
        }
        for at in &self.behind {
            self.region.keep(*at, &memory[*at..at + OS_PAGE_BYTES])?;
        }
        self.behind.clear();
        changes
            .private
            .iter()
            .try_for_each(|range| self.region.set_back(range))
    }

    /// The memory becomes what the heap is; it has the same length.
    pub(crate) fn restore(
        &mut self,
        changes: &Changes,
        heap: &Heap,
        memory: &mut [u8],
    ) -> io::Result<()> {
        let fit = changes.fit();
        for at in pages(&changes.differing) {
            if fit || self.behind.contains(&at) {
                memory[at..at + OS_PAGE_BYTES].copy_from_slice(heap.os_page(at));
            }
        }
        if fit {
            return Ok(());
        }
        // The file has the heap's bytes for all others.
        for range in &changes.private {
            let mut rest = range.clone();
            for at in self.behind.range(range.clone()) {
                self.set_back(rest.start..*at)?;
                rest.start = at + OS_PAGE_BYTES;
            }
            self.set_back(rest)?;
        }
        Ok(())
    }

    fn set_back(&self, range: Range<usize>) -> io::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        self.region.set_back(&range)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use wasmtime::{LinearMemory, MemoryCreator as _, MemoryType};

    use super::*;
    use crate::limits::WASM_PAGE_BYTES;

    /// A memory of zeros with a page more than may stay private, its heap, and what keeps its addresses.
    struct Bench {
        tracked: Tracked,
        heap: Heap,
        memory: Box<dyn LinearMemory>,
    }

    impl Bench {
        fn new() -> Option<Self> {
            let wasm_pages = ((PRIVATE_PAGES_MAX + 1) * OS_PAGE_BYTES).div_ceil(WASM_PAGE_BYTES);
            let regions = Regions::probe()?;
            let bytes = wasm_pages * WASM_PAGE_BYTES;
            let ty = MemoryType::new(wasm_pages as u32, None);
            let memory = regions.new_memory(ty, bytes, None, Some(bytes), 0).unwrap();
            let heap = Heap::new(wasm_pages as u64);
            let tracked = Tracked::filled(&regions, &heap).unwrap().unwrap();
            Some(Self {
                tracked,
                heap,
                memory,
            })
        }

        #[allow(unsafe_code, reason = "memory that this test made")]
        fn bytes(&mut self) -> &mut [u8] {
            // SAFETY: the memory lives as long as this value, which lends it once at a time.
            unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.memory.byte_size()) }
        }

        /// Writes a byte into each of the first pages.
        fn message(&mut self, pages: usize, byte: u8) -> Changes {
            for at in (0..pages).map(|page| page * OS_PAGE_BYTES + 7) {
                self.bytes()[at] = byte;
            }
            let heap = self.heap.clone();
            let memory = self.bytes().to_vec();
            let changes = self.tracked.changes(&heap, &memory).unwrap();
            assert_eq!(changes.pages(), pages as u64);
            changes
        }

        fn commit(&mut self, pages: usize, byte: u8) {
            let changes = self.message(pages, byte);
            let memory = self.bytes().to_vec();
            self.tracked
                .commit(&changes, &mut self.heap, &memory)
                .unwrap();
            self.agree();
        }

        fn undo(&mut self, pages: usize, byte: u8) {
            let changes = self.message(pages, byte);
            let heap = self.heap.clone();
            let mut tracked = Tracked {
                regions: Arc::clone(&self.tracked.regions),
                region: Arc::clone(&self.tracked.region),
                behind: self.tracked.behind.clone(),
            };
            tracked.restore(&changes, &heap, self.bytes()).unwrap();
            self.tracked = tracked;
            self.agree();
        }

        fn agree(&mut self) {
            let heap = self.heap.chunks().collect::<Vec<_>>().concat();
            assert!(self.bytes() == heap);
        }

        fn private(&self) -> usize {
            let private = self.tracked.regions.changes(&self.tracked.region).unwrap();
            pages(&private).count()
        }
    }

    #[test]
    fn as_many_pages_as_may_stay_private_and_one_more_sets_all_back() {
        let Some(mut bench) = Bench::new() else {
            return;
        };
        bench.commit(PRIVATE_PAGES_MAX, 1);
        assert_eq!(bench.private(), PRIVATE_PAGES_MAX);
        bench.commit(3, 2);
        bench.undo(PRIVATE_PAGES_MAX, 3);
        assert_eq!(bench.private(), PRIVATE_PAGES_MAX);
        bench.commit(PRIVATE_PAGES_MAX + 1, 4);
        assert_eq!(bench.private(), 0);
        bench.undo(PRIVATE_PAGES_MAX + 1, 5);
        assert_eq!(bench.private(), 0);
    }

    #[test]
    fn pages_that_the_file_does_not_have_stay_private_when_others_are_set_back() {
        let Some(mut bench) = Bench::new() else {
            return;
        };
        bench.commit(10, 1);
        bench.undo(PRIVATE_PAGES_MAX + 1, 2);
        assert_eq!(bench.private(), 10);
        bench.commit(PRIVATE_PAGES_MAX + 1, 3);
        bench.undo(1, 4);
        assert_eq!(bench.private(), 1);
    }
}
