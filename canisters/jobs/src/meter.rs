//! What the work of this canister costs: how often each method, timer and matching ran since install or upgrade, and the
//! instructions of the last run and of the dearest.
//!
//! A [`Meter`] counts when it is dropped, and then reads what its message has used so far: decoding the argument
//! included, encoding the answer not. So it stands for work within one message and never lives over an await; a message
//! that traps counts nothing.

use std::{cell::RefCell, collections::BTreeMap};

thread_local! {
    static VOLATILE_COSTS: RefCell<BTreeMap<&'static str, Cost>> = const { RefCell::new(BTreeMap::new()) };
}

/// What one kind of work has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// How often it was done.
    pub(crate) calls: u64,
    /// Instructions of the last time.
    pub(crate) last: u64,
    /// Instructions of the dearest time.
    pub(crate) highest: u64,
}

/// Work that is being done. Names are those of the code, so there are few.
#[derive(Debug)]
#[must_use]
pub(crate) struct Meter(&'static str);

impl Meter {
    pub(crate) fn new(work: &'static str) -> Self {
        Self(work)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        count(self.0, instructions());
    }
}

/// Every kind of work that was done, by name.
pub(crate) fn costs() -> Vec<(&'static str, Cost)> {
    VOLATILE_COSTS.with_borrow(|costs| costs.iter().map(|(work, cost)| (*work, *cost)).collect())
}

fn count(work: &'static str, instructions: u64) {
    VOLATILE_COSTS.with_borrow_mut(|costs| {
        let cost = costs.entry(work).or_default();
        cost.calls += 1;
        cost.last = instructions;
        cost.highest = cost.highest.max(instructions);
    });
}

/// Instructions of this message until now; elsewhere than in a canister nobody counts them.
fn instructions() -> u64 {
    const OF_THIS_MESSAGE: u32 = 0;
    if cfg!(target_family = "wasm") {
        ic_cdk::api::performance_counter(OF_THIS_MESSAGE)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_and_the_dearest_run_of_each_kind_are_kept() {
        for instructions in [5, 9, 7] {
            count("submit", instructions);
        }
        drop(Meter::new("claim"));
        let (claim, submit) = (("claim", 1, 0, 0), ("submit", 3, 7, 9));
        let expected = [claim, submit].map(|(work, calls, last, highest)| {
            let cost = Cost {
                calls,
                last,
                highest,
            };
            (work, cost)
        });
        assert_eq!(costs(), expected);
    }
}
