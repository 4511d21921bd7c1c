//! The memory of a warm instance beside its canister's heap: what a message changed is found, kept or undone.
//!
//! A page that a message wrote is written by the next one, too, more often than not. So a few pages stay private
//! between messages and are compared, which costs less than a fault, a write to the file and a call to set it back;
//! beyond [`PRIVATE_PAGES_MAX`] all are set back that the file has or gets.
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
    /// Where those of them begin that differ from the canister's heap.
    differing: Vec<usize>,
}

impl Changes {
    /// How many pages differ from the canister's heap.
    pub(crate) fn pages(&self) -> u64 {
        self.differing.len() as u64
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

/// The bytes of the page that begins there.
fn page(at: usize) -> Range<usize> {
    at..at + OS_PAGE_BYTES
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
        let differing = pages(&private)
            .filter(|at| *heap.os_page(*at) != memory[page(*at)])
            .collect();
        Ok(Changes { private, differing })
    }

    /// The heap takes over what the memory has become; it has the same length. [`Self::set_back`] comes next.
    pub(crate) fn commit(
        &mut self,
        changes: &Changes,
        heap: &mut Heap,
        memory: &[u8],
    ) -> io::Result<()> {
        for at in &changes.differing {
            heap.write(*at as u64, &memory[page(*at)]);
        }
        self.behind.extend(&changes.differing);
        if changes.fit() {
            return Ok(());
        }
        for at in &self.behind {
            self.region.keep(*at, &memory[page(*at)])?;
        }
        self.behind.clear();
        Ok(())
    }

    /// The pages that [`Self::set_back`] leaves become what the heap has; the memory has the same length. That comes next.
    pub(crate) fn restore(&self, changes: &Changes, heap: &Heap, memory: &mut [u8]) {
        let fit = changes.fit();
        for at in &changes.differing {
            if fit || self.behind.contains(at) {
                memory[page(*at)].copy_from_slice(heap.os_page(*at));
            }
        }
    }

    /// Shows the file's bytes again where too many pages are private and the file has them. Bytes change behind the
    /// engine's back, so no reference to them may live meanwhile.
    pub(crate) fn set_back(&self, changes: &Changes) -> io::Result<()> {
        if changes.fit() {
            return Ok(());
        }
        for range in &changes.private {
            let mut start = range.start;
            for at in self.behind.range(range.clone()) {
                self.region.set_back(&(start..*at))?;
                start = page(*at).end;
            }
            self.region.set_back(&(start..range.end))?;
        }
        Ok(())
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

        /// Writes a byte into each of so many pages from this one on.
        fn message(&mut self, first: usize, pages: usize, byte: u8) -> Changes {
            let memory = bytes(&mut *self.memory);
            for at in (first..first + pages).map(|page| page * OS_PAGE_BYTES + 7) {
                memory[at] = byte;
            }
            let changes = self.tracked.changes(&self.heap, memory).unwrap();
            assert_eq!(changes.pages(), pages as u64);
            changes
        }

        fn commit(&mut self, first: usize, pages: usize, byte: u8) {
            let changes = self.message(first, pages, byte);
            let memory = bytes(&mut *self.memory);
            self.tracked
                .commit(&changes, &mut self.heap, memory)
                .unwrap();
            self.tracked.set_back(&changes).unwrap();
            self.agree();
        }

        fn undo(&mut self, first: usize, pages: usize, byte: u8) {
            let changes = self.message(first, pages, byte);
            let memory = bytes(&mut *self.memory);
            self.tracked.restore(&changes, &self.heap, memory);
            self.tracked.set_back(&changes).unwrap();
            self.agree();
        }

        fn agree(&mut self) {
            let heap = self.heap.chunks().collect::<Vec<_>>().concat();
            assert!(bytes(&mut *self.memory) == heap);
        }

        fn private(&self) -> usize {
            let private = self.tracked.regions.changes(&self.tracked.region).unwrap();
            pages(&private).count()
        }
    }

    #[allow(unsafe_code, reason = "memory that these tests make")]
    fn bytes(memory: &mut dyn LinearMemory) -> &mut [u8] {
        // SAFETY: the memory lives as long as the reference, which lends it once at a time.
        unsafe { std::slice::from_raw_parts_mut(memory.as_ptr(), memory.byte_size()) }
    }

    #[test]
    fn as_many_pages_as_may_stay_private_and_one_more_sets_all_back() {
        let Some(mut bench) = Bench::new() else {
            return;
        };
        bench.commit(0, PRIVATE_PAGES_MAX, 1);
        assert_eq!(bench.private(), PRIVATE_PAGES_MAX);
        bench.commit(0, 3, 2);
        bench.undo(0, PRIVATE_PAGES_MAX, 3);
        assert_eq!(bench.private(), PRIVATE_PAGES_MAX);
        bench.commit(0, PRIVATE_PAGES_MAX + 1, 4);
        assert_eq!(bench.private(), 0);
        bench.undo(0, PRIVATE_PAGES_MAX + 1, 5);
        assert_eq!(bench.private(), 0);
    }

    #[test]
    fn pages_that_the_file_does_not_have_stay_private_when_others_are_set_back() {
        let Some(mut bench) = Bench::new() else {
            return;
        };
        bench.commit(0, 10, 1);
        bench.undo(0, PRIVATE_PAGES_MAX + 1, 2);
        assert_eq!(bench.private(), 10);
        bench.commit(0, PRIVATE_PAGES_MAX + 1, 3);
        bench.undo(0, 1, 4);
        assert_eq!(bench.private(), 1);
    }

    #[test]
    fn pages_before_between_and_behind_those_that_the_file_does_not_have_are_set_back() {
        let Some(mut bench) = Bench::new() else {
            return;
        };
        bench.commit(3, 2, 1);
        bench.commit(9, 1, 2);
        bench.undo(0, PRIVATE_PAGES_MAX + 1, 3);
        assert_eq!(bench.private(), 3);
        bench.undo(PRIVATE_PAGES_MAX, 1, 4);
        assert_eq!(bench.private(), 4);
    }
}
