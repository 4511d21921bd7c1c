//! De-duplication: a transaction with a creation time is known by its hash until it is too old to be sent again.

use std::collections::{BTreeMap, BTreeSet};

use candid::Principal;
use serde::{Deserialize, Serialize};

use super::book::Refusal;
use crate::limits;

/// How long a transaction may be under way.
pub(super) const WINDOW_NANOS: u64 = 24 * 60 * 60 * 1_000_000_000;
/// How far a caller's clock may be off.
const DRIFT_NANOS: u64 = 60 * 1_000_000_000;

/// A transaction that was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Its block.
    pub(super) block: u64,
    /// The canister that it created.
    pub(super) canister: Option<Principal>,
}

/// Transactions with a creation time that could come again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    known: BTreeMap<[u8; 32], Known>,
    by_time: BTreeSet<(u64, [u8; 32])>,
}

impl Window {
    /// The transaction with this hash, if it was executed already.
    pub(super) fn check_new(&self, hash: &[u8; 32]) -> Result<(), Refusal> {
        match self.known.get(hash) {
            Some(known) => Err(Refusal::Duplicate {
                of: known.block,
                canister: known.canister,
            }),
            None => Ok(()),
        }
    }

    /// Whether a transaction that was created then may be executed now.
    pub(super) fn check_time(&self, created: Option<u64>, now: u64) -> Result<(), Refusal> {
        let Some(created) = created else {
            return Ok(());
        };
        if is_past(created, now) {
            Err(Refusal::TooOld)
        } else if created > now.saturating_add(DRIFT_NANOS) {
            Err(Refusal::CreatedInFuture { now })
        } else if self.known.len() >= limits::LEDGER_REMEMBERED_MAX && !self.has_past(now) {
            Err(Refusal::Full)
        } else {
            Ok(())
        }
    }

    /// Forgets what is too old, and remembers an executed transaction.
    pub(super) fn remember(&mut self, created: Option<u64>, hash: [u8; 32], block: u64, now: u64) {
        self.forget(now);
        if let Some(created) = created {
            let known = Known {
                block,
                canister: None,
            };
            self.known.insert(hash, known);
            self.by_time.insert((created, hash));
        }
    }

    /// Notes which canister a remembered transaction has created.
    pub(super) fn note_canister(&mut self, hash: &[u8; 32], canister: Principal) {
        if let Some(known) = self.known.get_mut(hash) {
            known.canister = Some(canister);
        }
    }

    fn has_past(&self, now: u64) -> bool {
        self.by_time
            .first()
            .is_some_and(|(created, _)| is_past(*created, now))
    }

    fn forget(&mut self, now: u64) {
        while self.has_past(now) {
            if let Some((_, hash)) = self.by_time.pop_first() {
                self.known.remove(&hash);
            }
        }
    }
}

fn is_past(created: u64, now: u64) -> bool {
    created
        .saturating_add(WINDOW_NANOS)
        .saturating_add(DRIFT_NANOS)
        < now
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: u64 = WINDOW_NANOS + DRIFT_NANOS;

    fn hash(number: usize) -> [u8; 32] {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        hash
    }

    #[test]
    fn times_outside_the_window_are_refused() {
        let window = Window::default();
        let now = 2 * SPAN;
        let check = |created| window.check_time(Some(created), now);
        assert_eq!(check(now - SPAN), Ok(()));
        assert_eq!(check(now - SPAN - 1), Err(Refusal::TooOld));
        assert_eq!(check(now + DRIFT_NANOS), Ok(()));
        assert_eq!(
            check(now + DRIFT_NANOS + 1),
            Err(Refusal::CreatedInFuture { now })
        );
        assert_eq!(window.check_time(None, now), Ok(()));
    }

    #[test]
    fn a_transaction_is_known_until_it_is_too_old() {
        let mut window = Window::default();
        window.remember(Some(10), hash(1), 7, 20);
        let duplicate = Err(Refusal::Duplicate {
            of: 7,
            canister: None,
        });
        window.remember(None, hash(2), 8, 10 + SPAN);
        assert_eq!(window.check_new(&hash(1)), duplicate);
        assert_eq!(
            window.check_new(&hash(2)),
            Ok(()),
            "it has no creation time"
        );
        window.remember(None, hash(2), 9, 11 + SPAN);
        assert_eq!(window.check_new(&hash(1)), Ok(()));
        assert_eq!(window, Window::default());
    }

    #[test]
    fn remembered_transactions_are_limited() {
        let known = Known {
            block: 0,
            canister: None,
        };
        let numbers = 0..limits::LEDGER_REMEMBERED_MAX - 1;
        let mut window = Window {
            known: numbers
                .clone()
                .map(|number| (hash(number), known))
                .collect(),
            by_time: numbers.map(|number| (1, hash(number))).collect(),
        };
        assert_eq!(window.check_time(Some(1), 1), Ok(()));
        window.remember(Some(1), [0xFF; 32], 0, 1);
        assert_eq!(window.check_time(Some(1), 1), Err(Refusal::Full));
        assert_eq!(window.check_time(None, 1), Ok(()));
        assert_eq!(window.check_time(Some(2 + SPAN), 2 + SPAN), Ok(()));
    }
}
