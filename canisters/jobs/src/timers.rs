//! What happens by itself. Timers do not survive an upgrade, so install and upgrade both arm them.

use std::time::Duration;

use crate::{certification, matching, memory::with_jobs_mut, now, settle, sync, vault};

/// How often overdue things are ended.
const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// How often the registry is read.
const SYNC_EVERY: Duration = Duration::from_secs(10);
/// How often transfers without an answer are looked at.
const RETRY_EVERY: Duration = Duration::from_secs(30);
/// Things one sweep ends at most; what is left goes on at once in a message of its own.
const SWEEP_BUDGET: usize = 100;

/// Arms every timer.
pub(crate) fn arm() {
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
    let swept = with_jobs_mut(|jobs| jobs.sweep(now(), SWEEP_BUDGET));
    if certification::is_reading() {
        certification::read_on();
    }
    settle();
    seed();
    if swept.more || certification::is_reading() {
        sweep_soon();
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
    // An error says why the registry was not read; the next turn tries again.
    let _ = sync::run().await;
}
