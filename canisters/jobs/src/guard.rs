//! What may run now: one task of a kind at a time, and no new money while the canister is poor.

use std::cell::Cell;

use assay_protocol::{
    Cycles,
    job::{ControlError, Stats},
};

use crate::{logs, memory::with_jobs};

/// What the canister keeps for its own work, above everything it owes.
const RESERVE: Cycles = Cycles(1_000_000_000_000);

/// Work that waits for other canisters, and of which one may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Drawing randomness and assigning workers.
    Match,
    /// Reading the registry.
    Sync,
    /// Asking the ledger for its fee.
    Fee,
}

thread_local! {
    static VOLATILE_RUNNING: [Cell<bool>; 3] = const { [const { Cell::new(false) }; 3] };
}

/// Holds a task's place until it is dropped: at the end, on an error, and when a trap after an
/// await abandons the task.
#[derive(Debug)]
#[must_use]
pub(crate) struct TaskGuard(Task);

impl TaskGuard {
    /// The place of this task, unless it is taken.
    pub(crate) fn new(task: Task) -> Option<Self> {
        let taken = VOLATILE_RUNNING.with(|running| running[task as usize].replace(true));
        // Made only if it is given out: dropping one frees the place.
        (!taken).then(|| Self(task))
    }

    /// Whether this task's place is free.
    pub(crate) fn is_free(task: Task) -> bool {
        VOLATILE_RUNNING.with(|running| !running[task as usize].get())
    }
}

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if is_after_a_trap() {
            logs::error(format_args!(
                "BUG: a trap ended the task {:?}; its next turn tries again",
                self.0
            ));
        }
        VOLATILE_RUNNING.with(|running| running[self.0 as usize].set(false));
    }
}

/// Whether what is being dropped was left behind by a trap behind an await.
pub(crate) fn is_after_a_trap() -> bool {
    // Only a canister has traps; the tests below run elsewhere.
    cfg!(target_family = "wasm") && ic_cdk::futures::is_recovering_from_trap()
}

/// The canister could not keep working for the money it would take in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// Lets only controllers through.
pub(crate) fn controller() -> Result<(), ControlError> {
    let caller = ic_cdk::api::msg_caller();
    match ic_cdk::api::is_controller(&caller) {
        true => Ok(()),
        false => Err(ControlError::NotAController(caller)),
    }
}

/// Lets new money in only while the canister holds what it owes and what its own work needs.
pub(crate) fn intake() -> Result<(), Closed> {
    let owed = owed(&with_jobs(|jobs| jobs.stats()));
    check_intake(Cycles(ic_cdk::api::canister_liquid_cycle_balance()), owed)
}

/// What the canister's own cycles must cover: all that came in and did not leave, whoever has it now, less what lies
/// on the ledger. Cycles on their way to a canister count until it has them.
pub(crate) fn owed(stats: &Stats) -> Cycles {
    let out = stats.withdrawn.0.saturating_add(stats.on_ledger.0);
    Cycles(stats.deposited.0.saturating_sub(out))
}

fn check_intake(balance: Cycles, owed: Cycles) -> Result<(), Closed> {
    let needed = owed.checked_add(RESERVE).ok_or(Closed)?;
    if balance >= needed {
        Ok(())
    } else {
        Err(Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_task_of_a_kind_runs_at_a_time() {
        let guard = TaskGuard::new(Task::Match).unwrap();
        assert!(TaskGuard::new(Task::Match).is_none());
        assert!(
            TaskGuard::new(Task::Match).is_none(),
            "asking in vain frees nothing"
        );
        assert!(
            TaskGuard::new(Task::Sync).is_some(),
            "kinds do not hinder each other"
        );
        assert!(!TaskGuard::is_free(Task::Match));
        drop(guard);
        assert!(TaskGuard::is_free(Task::Match));
        assert!(TaskGuard::new(Task::Match).is_some());
    }

    #[test]
    fn cycles_cover_what_lies_neither_on_the_ledger_nor_with_others() {
        let stats = Stats {
            deposited: Cycles(100),
            withdrawn: Cycles(20),
            on_ledger: Cycles(30),
            ..Stats::default()
        };
        assert_eq!(owed(&stats), Cycles(50));
    }

    #[test]
    fn intake_closes_when_the_reserve_is_touched() {
        let owed = Cycles(5);
        assert_eq!(check_intake(Cycles(RESERVE.0 + 5), owed), Ok(()));
        assert_eq!(check_intake(Cycles(RESERVE.0 + 4), owed), Err(Closed));
        assert_eq!(
            check_intake(Cycles(u128::MAX), Cycles(u128::MAX)),
            Err(Closed)
        );
    }
}
