//! Reading a log outside the canister: entry by entry, trusting nothing, rebuilding the market as it goes.

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
    /// Reads the next entry; objects to one that may not follow.
    pub fn read(&mut self, entry: &Entry) -> Result<(), String> {
        self.auditor.read_entry(entry)?;
        apply(&mut self.store, entry);
        Ok(())
    }

    /// Entries read.
    pub fn entries(&self) -> u64 {
        self.auditor.len()
    }

    /// [`Entry::hash`] of the last entry; zero before the first.
    pub fn head(&self) -> Hash32 {
        self.auditor.head()
    }

    /// Ends the log; objects to money that does not add up.
    pub fn end(self) -> Result<LogState, String> {
        check_money(&self.store)?;
        let state = logged_hash(&self.store);
        let stats = Stats {
            events: self.auditor.len(),
            ..Jobs::reopen(self.store).stats()
        };
        Ok(LogState {
            entries: self.auditor.len(),
            head: self.auditor.head(),
            at: self.auditor.at(),
            stats,
            state,
        })
    }
}
