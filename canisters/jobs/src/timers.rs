//! What happens by itself. Timers do not survive an upgrade, so install and upgrade both arm them.

use std::{cell::Cell, time::Duration};

use assay_protocol::Timestamp;

use crate::{
    certification, guard,
    logs::{self, Trouble},
    matching,
    memory::with_jobs_mut,
    meter::Meter,
    now, settle,
    sync::{self, SyncError},
    vault,
};

/// How often overdue things are ended.
const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// How often the registry is read.
const SYNC_EVERY: Duration = Duration::from_secs(10);
/// How often transfers without an answer are looked at.
const RETRY_EVERY: Duration = Duration::from_secs(30);
/// Things one sweep ends at most; what is left goes on at once in a message of its own.
const SWEEP_BUDGET: usize = 100;

/// Seconds without a sweep that are told.
const SWEEPS_MISSED_SECONDS: u64 = 30;

thread_local! {
    static VOLATILE_SWEPT: Cell<Timestamp> = const { Cell::new(Timestamp(0)) };
    static VOLATILE_UNSWEPT: Trouble = const { Trouble::new() };
    static VOLATILE_LOW: Trouble = const { Trouble::new() };
    static VOLATILE_UNSYNCED: Trouble = const { Trouble::new() };
}

/// Arms every timer.
pub(crate) fn arm() {
    VOLATILE_SWEPT.set(now());
    seed();
    ic_cdk_timers::set_timer(Duration::ZERO, read_registry());
    ic_cdk_timers::set_timer_interval(SYNC_EVERY, read_registry);
    ic_cdk_timers::set_timer_interval(SWEEP_EVERY, || async { sweep() });
    ic_cdk_timers::set_timer(Duration::ZERO, vault::learn_fee());
    ic_cdk_timers::set_timer_interval(RETRY_EVERY, vault::retry);
    if certification::is_reading() {
        sweep_soon();
    }
}

fn sweep() {
    let _meter = Meter::new("sweep");
    let swept = with_jobs_mut(|jobs| jobs.sweep(now(), SWEEP_BUDGET));
    if certification::is_reading() {
        certification::read_on();
    }
    settle();
    seed();
    watch_cycles();
    VOLATILE_SWEPT.set(now());
    if swept.more || certification::is_reading() {
        sweep_soon();
    }
}

/// Logs when the market begins to refuse new money for want of cycles, and when that is over.
fn watch_cycles() {
    let low = guard::intake().is_err();
    if VOLATILE_LOW.with(|trouble| trouble.turned(low)) {
        if low {
            let cycles = ic_cdk::api::canister_cycle_balance();
            logs::error(format_args!(
                "low on cycles ({cycles}): no new job and no deposit is taken; top the canister up"
            ));
        } else {
            logs::info("cycles suffice again: jobs and deposits are taken");
        }
    }
}

/// Logs when no sweep has come to its end for a while. One that traps takes its own words with it, so another timer
/// looks.
fn watch_sweeps() {
    let missed = now().since(VOLATILE_SWEPT.get()) / 1_000_000_000;
    let there = missed > SWEEPS_MISSED_SECONDS;
    if VOLATILE_UNSWEPT.with(|trouble| trouble.turned(there)) {
        if there {
            logs::error(format_args!(
                "no sweep came to its end for {missed} s: the canister stood still, or the sweep traps"
            ));
        } else {
            logs::info("sweeps come to their end again");
        }
    }
}

/// Goes on in a message of its own; should that fail, the next turn does it.
fn sweep_soon() {
    ic_cdk_timers::set_timer(Duration::ZERO, async { sweep() });
}

/// Draws the first randomness; tried again with every sweep until it has come.
fn seed() {
    if !matching::is_seeded() {
        ic_cdk_timers::set_timer(Duration::ZERO, matching::seed());
    }
}

async fn read_registry() {
    watch_sweeps();
    let failed = match sync::run().await {
        // A market without a registry is complete, and whoever reads it already tells how that went.
        Ok(()) | Err(SyncError::NoRegistry) => None,
        Err(SyncError::Busy) => return,
        Err(error) => Some(error),
    };
    if VOLATILE_UNSYNCED.with(|trouble| trouble.turned(failed.is_some())) {
        match failed {
            Some(error) => logs::warn(format_args!("the registry was not read: {error}")),
            None => logs::info("the registry is read again"),
        }
    }
}
