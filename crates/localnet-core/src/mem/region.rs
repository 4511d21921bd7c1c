//! Wasm memories that know which of their pages were written, so that a message costs what it touches and not what
//! its canister holds.
//!
//! A memory is a private mapping of an unnamed file that holds the heap as it was committed, or was. The first write to a
//! page gives the process a copy of its own; the kernel's page map tells such pages from the file's. Dropping a copy
//! sets its page back. All this is particular to Linux, and not every sandbox offers it, so [`Regions::probe`] tries
//! it out first; without it, memories are compared byte by byte instead.

use std::{
    ffi::c_void,
    fmt,
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    ptr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::{
    fs::MemfdFlags,
    mm::{Advice, MapFlags, MprotectFlags, ProtFlags},
};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

use super::Heap;
use crate::limits::{HEAP_BYTES_MAX_64, OS_PAGE_BYTES, WASM_PAGE_BYTES};

/// Bytes per page in `/proc/self/pagemap`.
const ENTRY_BYTES: usize = 8;
/// The page is in memory.
const PRESENT: u64 = 1 << 63;
/// The page is in swap.
const SWAPPED: u64 = 1 << 62;
/// The page belongs to a file; a private copy does not.
const OF_FILE: u64 = 1 << 61;

/// Makes memories, and can tell which of their pages were written.
pub(crate) struct Regions {
    pagemap: File,
    /// The memory that was made last, until whoever wanted it takes it.
    last: Mutex<Option<Arc<Region>>>,
}

impl fmt::Debug for Regions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Regions").finish_non_exhaustive()
    }
}

/// One mapping.
pub(crate) struct Region {
    base: *mut c_void,
    mapped: usize,
    capacity: usize,
    size: AtomicUsize,
    file: File,
}

// SAFETY: the mapping is reachable through `base` only, which is handed out as a raw pointer; whoever follows it (the
// engine, through its store) is bound to one thread at a time by the store. Everything else is Send and Sync.
#[allow(unsafe_code, reason = "a raw pointer to memory that this value owns")]
unsafe impl Send for Region {}
// SAFETY: as above; methods that take `&self` change the mapping by system calls, which the kernel orders.
#[allow(unsafe_code, reason = "a raw pointer to memory that this value owns")]
unsafe impl Sync for Region {}

impl Regions {
    /// Memories of this kind, if the system offers what they need.
    pub(crate) fn probe() -> Option<Arc<Self>> {
        let regions = Self::try_probe();
        match regions {
            Ok(regions) => Some(Arc::new(regions)),
            Err(error) => {
                tracing::debug!(%error, "memories are compared byte by byte");
                None
            }
        }
    }

    fn try_probe() -> io::Result<Self> {
        if rustix::param::page_size() != OS_PAGE_BYTES {
            return Err(io::Error::other("pages of another size"));
        }
        let regions = Self {
            pagemap: File::open("/proc/self/pagemap")?,
            last: Mutex::new(None),
        };
        let region = Region::new(2 * WASM_PAGE_BYTES, 2 * WASM_PAGE_BYTES, 0)?;
        region.file.write_all_at(&[1, 2, 3], OS_PAGE_BYTES as u64)?;
        let expect = |what: &str, found: bool| {
            if found {
                Ok(())
            } else {
                Err(io::Error::other(format!("page map: {what}")))
            }
        };
        expect(
            "the file shows",
            region.probe_byte(OS_PAGE_BYTES, None) == 1,
        )?;
        region.probe_byte(3 * OS_PAGE_BYTES, Some(9));
        region.probe_byte(4 * OS_PAGE_BYTES, Some(9));
        let expected: Range<usize> = 3 * OS_PAGE_BYTES..5 * OS_PAGE_BYTES;
        expect(
            "writes show, reads do not",
            regions.changes(&region)? == [expected.clone()],
        )?;
        region.set_back(&expected)?;
        expect(
            "pages can be set back",
            region.probe_byte(3 * OS_PAGE_BYTES, None) == 0,
        )?;
        expect("nothing is left", regions.changes(&region)?.is_empty())?;
        Ok(regions)
    }

    /// The memory that was made last.
    pub(crate) fn take(&self) -> Option<Arc<Region>> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The bytes that were written since they were last set back, in whole pages.
    pub(crate) fn changes(&self, region: &Region) -> io::Result<Vec<Range<usize>>> {
        let pages = region.size() / OS_PAGE_BYTES;
        let mut entries = vec![0; pages * ENTRY_BYTES];
        let first = region.base as usize / OS_PAGE_BYTES;
        self.pagemap
            .read_exact_at(&mut entries, (first * ENTRY_BYTES) as u64)?;
        let mut changes: Vec<Range<usize>> = Vec::new();
        for (entry, at) in entries
            .as_chunks::<ENTRY_BYTES>()
            .0
            .iter()
            .zip((0..).step_by(OS_PAGE_BYTES))
        {
            let entry = u64::from_ne_bytes(*entry);
            if entry & (PRESENT | SWAPPED) == 0 || entry & OF_FILE != 0 {
                continue;
            }
            match changes.last_mut() {
                Some(last) if last.end == at => last.end += OS_PAGE_BYTES,
                _ => changes.push(at..at + OS_PAGE_BYTES),
            }
        }
        Ok(changes)
    }
}

impl Region {
    /// A mapping of zeros, of which `size` bytes can be reached, with room to grow and a guard behind.
    fn new(size: usize, capacity: usize, guard: usize) -> io::Result<Self> {
        let mapped = capacity
            .checked_add(guard)
            .ok_or_else(|| io::Error::other("a memory of more bytes than there are addresses"))?;
        let file = File::from(rustix::fs::memfd_create(
            "canister heap",
            MemfdFlags::CLOEXEC,
        )?);
        #[allow(unsafe_code, reason = "memory that the engine uses")]
        // SAFETY: a new mapping at an address of the kernel's choice touches no other.
        let base = unsafe {
            rustix::mm::mmap(
                ptr::null_mut(),
                mapped,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
                &file,
                0,
            )?
        };
        let region = Self {
            base,
            mapped,
            capacity,
            size: AtomicUsize::new(0),
            file,
        };
        region.grow_to(size)?;
        Ok(region)
    }

    fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    fn grow_to(&self, size: usize) -> io::Result<()> {
        if size > self.capacity {
            return Err(io::Error::other(
                "a memory cannot grow beyond its reservation",
            ));
        }
        if size == 0 {
            return Ok(());
        }
        self.file.set_len(size as u64)?;
        #[allow(unsafe_code, reason = "memory that the engine uses")]
        // SAFETY: `size` lies within this value's own mapping, and the file behind it is as long.
        unsafe {
            rustix::mm::mprotect(self.base, size, MprotectFlags::READ | MprotectFlags::WRITE)?;
        }
        self.size.store(size, Ordering::Relaxed);
        Ok(())
    }

    /// Fills a memory that nobody has touched yet.
    pub(crate) fn fill(&self, heap: &Heap) -> io::Result<()> {
        for (index, page) in heap.filled() {
            self.file
                .write_all_at(page, (index * WASM_PAGE_BYTES) as u64)?;
        }
        Ok(())
    }

    /// Writes what has been committed, so that a page set back afterwards shows it.
    pub(crate) fn keep(&self, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at as u64)
    }

    /// Drops the private copies of these pages; the file's show again. No reference to their bytes may live meanwhile.
    pub(crate) fn set_back(&self, range: &Range<usize>) -> io::Result<()> {
        assert!(range.end <= self.size(), "BUG: pages outside of the memory");
        if range.is_empty() {
            return Ok(());
        }
        #[allow(unsafe_code, reason = "memory that the engine uses")]
        // SAFETY: the range lies within this value's own mapping; no canister code runs meanwhile, the engine
        // holds no reference into a memory between its calls, and neither does the caller.
        unsafe {
            rustix::mm::madvise(
                self.base.byte_add(range.start),
                range.len(),
                Advice::LinuxDontNeed,
            )?;
        }
        Ok(())
    }

    /// Reads, or writes, one byte through the mapping, to try it out.
    fn probe_byte(&self, at: usize, write: Option<u8>) -> u8 {
        assert!(at < self.size(), "BUG: a byte outside of the memory");
        #[allow(unsafe_code, reason = "trying out memory that this value owns")]
        // SAFETY: `at` lies within the reachable part of this value's own mapping, which nobody else uses yet.
        unsafe {
            let byte = self.base.cast::<u8>().add(at);
            if let Some(value) = write {
                byte.write_volatile(value);
            }
            byte.read_volatile()
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        #[allow(unsafe_code, reason = "memory that the engine used")]
        // SAFETY: the mapping is this value's own, and the last owner is gone.
        let unmapped = unsafe { rustix::mm::munmap(self.base, self.mapped) };
        if let Err(error) = unmapped {
            tracing::warn!(%error, "a canister's memory could not be unmapped");
        }
    }
}

/// What the engine holds of a region.
struct Lent(Arc<Region>);

// SAFETY: the mapping starts at `as_ptr`, never moves, can be read and written for `byte_size` bytes, and is followed
// by unreachable addresses up to its capacity and guard, as `new_memory` was asked for.
#[allow(unsafe_code, reason = "the engine takes the memory on trust")]
unsafe impl LinearMemory for Lent {
    fn byte_size(&self) -> usize {
        self.0.size()
    }

    fn byte_capacity(&self) -> usize {
        self.0.capacity
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        Ok(self.0.grow_to(new_size)?)
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.base.cast()
    }
}

// SAFETY: see `Lent`; the reservation and guard are those that the engine asks for.
#[allow(unsafe_code, reason = "the engine takes the memory on trust")]
unsafe impl MemoryCreator for Regions {
    fn new_memory(
        &self,
        _ty: MemoryType,
        minimum: usize,
        maximum: Option<usize>,
        reserved_size_in_bytes: Option<usize>,
        guard_size_in_bytes: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let most = maximum.unwrap_or(HEAP_BYTES_MAX_64 as usize).max(minimum);
        let capacity = reserved_size_in_bytes.unwrap_or(most);
        let region = Region::new(minimum, capacity, guard_size_in_bytes)
            .map_err(|error| format!("cannot make a memory of {minimum} bytes: {error}"))?;
        let region = Arc::new(region);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&region));
        Ok(Box::new(Lent(region)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_written_are_found_kept_and_set_back() {
        let Some(regions) = Regions::probe() else {
            return;
        };
        let region = Region::new(WASM_PAGE_BYTES, 4 * WASM_PAGE_BYTES, OS_PAGE_BYTES).unwrap();
        let mut heap = Heap::new(1);
        heap.write(10, b"heap");
        region.fill(&heap).unwrap();
        assert_eq!(region.probe_byte(10, None), b'h');
        region.probe_byte(10, Some(b'H'));
        region.grow_to(2 * WASM_PAGE_BYTES).unwrap();
        region.probe_byte(WASM_PAGE_BYTES + OS_PAGE_BYTES, Some(1));
        let changes = regions.changes(&region).unwrap();
        let second = WASM_PAGE_BYTES + OS_PAGE_BYTES;
        assert_eq!(changes, [0..OS_PAGE_BYTES, second..second + OS_PAGE_BYTES]);
        region.keep(10, b"K").unwrap();
        for range in &changes {
            region.set_back(range).unwrap();
        }
        assert_eq!(
            (region.probe_byte(10, None), region.probe_byte(11, None)),
            (b'K', b'e')
        );
        assert_eq!(region.probe_byte(second, None), 0);
        assert!(regions.changes(&region).unwrap().is_empty());
        assert!(region.grow_to(5 * WASM_PAGE_BYTES).is_err());
    }
}
