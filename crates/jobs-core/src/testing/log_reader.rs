//! Reading a log outside the canister: entry by entry, trusting nothing, rebuilding the market as it goes.
//!
//! The canister's own code applies the entries, and it panics rather than go on with what cannot be. Whoever wrote the log
//! may have wanted that, so here a panic is an objection like any other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use assay_protocol::{Hash32, Timestamp, job::Stats};

use super::{Auditor, invariants::check_money, replay::logged_hash};
use crate::{
    apply::apply,
    event::Entry,
    market::Jobs,
    store::{Memory, Store},
};

/// Reads a log from its beginning.
#[derive(Debug, Default)]
pub struct LogReader {
    auditor: Auditor,
    store: Store<Memory>,
    broken: bool,
}

/// What a log comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct LogState {
    /// Entries read.
    pub entries: u64,
    /// [`Entry::hash`] of the last one; zero where there is none.
    pub head: Hash32,
    /// When it happened.
    pub at: Timestamp,
    /// The market's numbers; what no event tells, as workers at hand, is zero.
    pub stats: Stats,
    /// SHA-256 over everything that the log decides.
    pub state: Hash32,
}

impl LogReader {
    /// Reads the next entry; objects to one that may not follow, and then to all that come after it.
    pub fn read(&mut self, entry: &Entry) -> Result<(), String> {
        if self.broken {
            return Err("an entry before this one does not hold".to_owned());
        }
        let read = guarded(|| {
            self.auditor.read_entry(entry)?;
            apply(&mut self.store, entry);
            Ok(())
        });
        self.broken = read.is_err();
        read.map_err(|what| format!("entry {}: {what}", entry.index))
    }

    /// Entries read.
    pub fn entries(&self) -> u64 {
        self.auditor.entries()
    }

    /// [`Entry::hash`] of the last entry; zero before the first.
    pub fn head(&self) -> Hash32 {
        self.auditor.head()
    }

    /// Ends the log; objects to money that does not add up.
    pub fn end(self) -> Result<LogState, String> {
        if self.broken {
            return Err("an entry does not hold".to_owned());
        }
        guarded(|| {
            check_money(&self.store)?;
            let state = logged_hash(&self.store);
            let stats = Stats {
                events: self.auditor.entries(),
                ..Jobs::reopen(self.store).stats()
            };
            Ok(LogState {
                entries: self.auditor.entries(),
                head: self.auditor.head(),
                at: self.auditor.at(),
                stats,
                state,
            })
        })
    }
}

/// The work's answer, or what it panicked with.
fn guarded<R>(work: impl FnOnce() -> Result<R, String>) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(text.unwrap_or("cannot be applied").to_owned())
    })
}
