//! Stable memory: sparse pages outside Wasm, and the journal of one message.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    sync::Arc,
};

use thiserror::Error;

use crate::limits::{
    OS_PAGE_BYTES, STABLE_PAGES_MAX, STABLE_PAGES_PER_INSTALL_MAX, STABLE_PAGES_PER_MESSAGE_MAX,
    STABLE_PAGES_PER_QUERY_MAX, WASM_PAGE_BYTES,
};

/// One OS page between messages; always [`OS_PAGE_BYTES`] long.
type Page = Arc<[u8]>;

/// Why stable memory cannot be read or written so.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum StableError {
    /// Beyond its end.
    #[error("stable memory out of bounds")]
    OutOfBounds,
    /// More pages written than one message may write.
    #[error(
        "Exceeded the limit for the number of modified pages in the stable memory in a single execution: \
         limit {} KB for regular messages, {} KB for upgrade messages and {} KB for queries.",
        kilobytes(STABLE_PAGES_PER_MESSAGE_MAX),
        kilobytes(STABLE_PAGES_PER_INSTALL_MAX),
        kilobytes(STABLE_PAGES_PER_QUERY_MAX)
    )]
    TooManyWritten,
    /// More pages read than one message may read.
    #[error(
        "Exceeded the limit for the number of accessed pages in the stable memory in a single message execution: \
         limit {} KB for regular messages and {} KB for queries.",
        kilobytes(STABLE_PAGES_PER_MESSAGE_MAX),
        kilobytes(STABLE_PAGES_PER_QUERY_MAX)
    )]
    TooManyRead,
}

fn kilobytes(pages: u64) -> u64 {
    pages * OS_PAGE_BYTES as u64 / 1_024
}

/// A stable memory between messages. A clone shares all pages.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Stable {
    wasm_pages: u64,
    pages: Arc<BTreeMap<u64, Page>>,
}

impl fmt::Debug for Stable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stable")
            .field("wasm_pages", &self.wasm_pages)
            .field("written_pages", &self.pages.len())
            .finish_non_exhaustive()
    }
}

/// What one message sees and writes.
#[derive(Debug, Default)]
pub(crate) struct StableSession {
    base: Stable,
    wasm_pages: u64,
    written: BTreeMap<u64, Box<[u8]>>,
    read: PageSet,
    /// Pages that may be written, and pages that may be read.
    max_pages: u64,
}

/// Which pages were read: sets of 64 by their place.
#[derive(Debug, Default)]
struct PageSet {
    words: BTreeMap<u64, u64>,
    len: u64,
}

impl PageSet {
    fn insert(&mut self, page: u64) {
        let word = self.words.entry(page / 64).or_default();
        let bit = 1 << (page % 64);
        if *word & bit == 0 {
            *word |= bit;
            self.len += 1;
        }
    }
}

impl Stable {
    /// A memory of this size with these pages, by index; all others are zeros.
    pub(crate) fn of_pages(wasm_pages: u64, pages: impl IntoIterator<Item = (u64, Page)>) -> Self {
        Self {
            wasm_pages,
            pages: Arc::new(pages.into_iter().collect()),
        }
    }

    /// Its size in Wasm pages.
    pub(crate) fn wasm_pages(&self) -> u64 {
        self.wasm_pages
    }

    /// A journal over this memory, which may write this many OS pages, and read as many.
    pub(crate) fn session(&self, max_pages: u64) -> StableSession {
        StableSession {
            base: self.clone(),
            wasm_pages: self.wasm_pages,
            written: BTreeMap::new(),
            read: PageSet::default(),
            max_pages,
        }
    }

    /// The pages that were ever written, by index.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pages.iter().map(|(index, page)| (*index, &**page))
    }
}

impl StableSession {
    /// Its size in Wasm pages.
    pub(crate) fn wasm_pages(&self) -> u64 {
        self.wasm_pages
    }

    /// Grows by so many Wasm pages and gives the old size, or nothing where it would become too large.
    pub(crate) fn grow(&mut self, more: u64, max: u64) -> Option<u64> {
        let new = self.wasm_pages.checked_add(more)?;
        if new > max.min(STABLE_PAGES_MAX) {
            return None;
        }
        Some(std::mem::replace(&mut self.wasm_pages, new))
    }

    /// Reads into `out`.
    pub(crate) fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<(), StableError> {
        self.check(offset, out.len() as u64)?;
        let mut rest = out;
        for (index, within, len) in spans(offset, rest.len()) {
            let (now, later) = rest.split_at_mut(len);
            let page = match self.written.get(&index) {
                Some(page) => Some(&**page),
                None => {
                    self.read.insert(index);
                    if self.read.len > self.max_pages {
                        return Err(StableError::TooManyRead);
                    }
                    self.base.pages.get(&index).map(|page| &**page)
                }
            };
            match page {
                Some(page) => now.copy_from_slice(&page[within..within + len]),
                None => now.fill(0),
            }
            rest = later;
        }
        Ok(())
    }

    /// Writes, and tells how many OS pages this message has written for the first time.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<u64, StableError> {
        self.check(offset, bytes.len() as u64)?;
        let mut fresh = 0;
        let mut rest = bytes;
        for (index, within, len) in spans(offset, bytes.len()) {
            let (now, later) = rest.split_at(len);
            let count = self.written.len() as u64;
            let page = match self.written.entry(index) {
                Entry::Occupied(page) => page.into_mut(),
                Entry::Vacant(_) if count >= self.max_pages => {
                    return Err(StableError::TooManyWritten);
                }
                Entry::Vacant(slot) => {
                    fresh += 1;
                    slot.insert(match self.base.pages.get(&index) {
                        Some(page) => Box::from(&**page),
                        None => Box::from([0; OS_PAGE_BYTES]),
                    })
                }
            };
            page[within..within + len].copy_from_slice(now);
            rest = later;
        }
        Ok(fresh)
    }

    /// How many OS pages a write would be the first to write, where it may write them.
    pub(crate) fn fresh_pages(&self, offset: u64, len: u64) -> Result<u64, StableError> {
        self.check(offset, len)?;
        if len == 0 {
            return Ok(0);
        }
        let first = offset / OS_PAGE_BYTES as u64;
        let last = (offset + len - 1) / OS_PAGE_BYTES as u64;
        let fresh = last - first + 1 - self.written.range(first..=last).count() as u64;
        if self.written.len() as u64 + fresh > self.max_pages {
            return Err(StableError::TooManyWritten);
        }
        Ok(fresh)
    }

    /// Puts everything written into the memory that this session began with.
    pub(crate) fn commit_to(self, stable: &mut Stable) {
        let Self {
            base,
            wasm_pages,
            written,
            read: _,
            max_pages: _,
        } = self;
        stable.wasm_pages = wasm_pages;
        // Without this the map would be shared, and copied before it is written.
        drop(base);
        if !written.is_empty() {
            Arc::make_mut(&mut stable.pages)
                .extend(written.into_iter().map(|(at, page)| (at, Arc::from(page))));
        }
    }

    fn check(&self, offset: u64, len: u64) -> Result<(), StableError> {
        let end = offset.checked_add(len).ok_or(StableError::OutOfBounds)?;
        if end > self.wasm_pages * WASM_PAGE_BYTES as u64 {
            return Err(StableError::OutOfBounds);
        }
        Ok(())
    }
}

/// The pages that a range touches: index, first byte within, number of bytes.
fn spans(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut offset = offset;
    let mut left = len;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let within = (offset % OS_PAGE_BYTES as u64) as usize;
        let now = left.min(OS_PAGE_BYTES - within);
        let span = (offset / OS_PAGE_BYTES as u64, within, now);
        offset += now as u64;
        left -= now;
        Some(span)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(wasm_pages: u64, max_pages: u64) -> StableSession {
        let mut session = Stable::default().session(max_pages);
        assert_eq!(session.grow(wasm_pages, u64::MAX), Some(0));
        session
    }

    #[test]
    fn writes_are_read_back_and_kept_only_by_commit() {
        let mut stable = Stable::default();
        let mut session = stable.session(10);
        assert_eq!(session.grow(1, u64::MAX), Some(0));
        assert_eq!(session.write(4_090, b"over the edge"), Ok(2));
        assert_eq!(session.write(4_090, b"Over"), Ok(0), "the same pages again");
        let mut out = [0; 13];
        session.read(4_090, &mut out).unwrap();
        assert_eq!(&out, b"Over the edge");
        session.commit_to(&mut stable);
        let mut dropped = stable.session(10);
        dropped.write(4_090, b"lost").unwrap();
        drop(dropped);
        let mut out = [0; 4];
        stable.session(10).read(4_090, &mut out).unwrap();
        assert_eq!(&out, b"Over");
    }

    #[test]
    fn the_last_byte_is_inside_and_the_next_is_not() {
        let mut session = session(1, 10);
        assert_eq!(session.write(65_535, b"x"), Ok(1));
        assert_eq!(session.write(65_535, b"xy"), Err(StableError::OutOfBounds));
        assert_eq!(
            session.read(65_536, &mut [0]),
            Err(StableError::OutOfBounds)
        );
        assert_eq!(session.read(65_536, &mut []), Ok(()));
        assert_eq!(session.write(u64::MAX, b"x"), Err(StableError::OutOfBounds));
    }

    #[test]
    fn pages_written_are_limited() {
        let mut session = session(1, 2);
        assert_eq!(session.write(0, &[1; 2 * OS_PAGE_BYTES]), Ok(2));
        assert_eq!(
            session.fresh_pages(8_192, 1),
            Err(StableError::TooManyWritten)
        );
        assert_eq!(session.write(8_192, b"x"), Err(StableError::TooManyWritten));
        assert_eq!(session.write(0, b"x"), Ok(0));
        assert_eq!(
            StableError::TooManyWritten.to_string(),
            "Exceeded the limit for the number of modified pages in the stable memory in a single execution: \
             limit 2097152 KB for regular messages, 8388608 KB for upgrade messages and 1048576 KB for queries."
        );
    }

    #[test]
    fn pages_read_are_limited_and_written_ones_do_not_count() {
        let mut session = session(1, 2);
        session.write(0, b"x").unwrap();
        let mut out = [0; 3 * OS_PAGE_BYTES];
        assert_eq!(session.read(0, &mut out), Ok(()));
        assert_eq!(
            session.read(100, &mut out[..8_000]),
            Ok(()),
            "the same pages again"
        );
        assert_eq!(
            session.read(3 * OS_PAGE_BYTES as u64, &mut out[..1]),
            Err(StableError::TooManyRead)
        );
    }

    #[test]
    fn growing_stops_at_the_limit() {
        let mut session = session(0, 0);
        assert_eq!(session.grow(STABLE_PAGES_MAX, u64::MAX), Some(0));
        assert_eq!(session.grow(1, u64::MAX), None);
        assert_eq!(session.grow(0, u64::MAX), Some(STABLE_PAGES_MAX));
        assert_eq!(session.grow(u64::MAX, u64::MAX), None);
    }

    #[test]
    fn fresh_pages_are_counted_before_the_write() {
        let mut session = session(1, 10);
        assert_eq!(session.fresh_pages(4_095, 2), Ok(2));
        session.write(4_096, b"x").unwrap();
        assert_eq!(session.fresh_pages(4_095, 2), Ok(1));
        assert_eq!(session.fresh_pages(0, 0), Ok(0));
        assert_eq!(
            session.fresh_pages(65_535, 2),
            Err(StableError::OutOfBounds)
        );
    }
}
