//! Matching: randomness is drawn after the jobs it decides on, then the core assigns workers.

use std::{cell::Cell, time::Duration};

use assay_jobs_core::store::Cell as _;
use candid::Principal;
use ic_cdk::call::Call;

use crate::{
    certification,
    guard::{Task, TaskGuard},
    logs::{self, Trouble},
    memory::{with_jobs, with_jobs_mut},
    meter::Meter,
    now,
};

/// Seconds to wait for randomness.
const WAIT_SECONDS: u32 = 30;

thread_local! {
    /// Whether a match is scheduled that has not begun.
    static VOLATILE_SCHEDULED: Cell<bool> = const { Cell::new(false) };
    static VOLATILE_RUNS: Cell<u64> = const { Cell::new(0) };
    static VOLATILE_FAILURES: Cell<u64> = const { Cell::new(0) };
    static VOLATILE_WITHOUT_RANDOMNESS: Trouble = const { Trouble::new() };
}

/// A match that has not begun. A timer that is dropped without ever running frees the place too.
struct Scheduled;

impl Drop for Scheduled {
    fn drop(&mut self) {
        VOLATILE_SCHEDULED.set(false);
    }
}

/// Schedules a match if one could find something to do, and none is scheduled or under way. The
/// one under way does this at its end, so nothing that comes meanwhile is forgotten.
pub(crate) fn wake() {
    if with_jobs(|jobs| jobs.needs_match())
        && TaskGuard::is_free(Task::Match)
        && !VOLATILE_SCHEDULED.replace(true)
    {
        let scheduled = Scheduled;
        ic_cdk_timers::set_timer(Duration::ZERO, async move {
            drop(scheduled);
            run().await;
        });
    }
}

/// Draws the first randomness, which the secret behind salts comes from and every submit needs.
pub(crate) async fn seed() {
    // Whoever holds the guard draws randomness anyway.
    let Some(guard) = TaskGuard::new(Task::Match) else {
        return;
    };
    if let Some(random) = randomness().await {
        // The state may have changed while waiting; seeding needs nothing of it.
        with_jobs_mut(|jobs| jobs.seed(random));
    }
    drop(guard);
    wake();
}

/// Whether there has been randomness, in this release or one before.
pub(crate) fn is_seeded() -> bool {
    with_jobs(|jobs| jobs.store().vitals.get().secret.is_some())
}

/// Runs since install or upgrade, and how many of them got no randomness.
pub(crate) fn runs() -> (u64, u64) {
    (VOLATILE_RUNS.get(), VOLATILE_FAILURES.get())
}

async fn run() {
    let Some(guard) = TaskGuard::new(Task::Match) else {
        return;
    };
    let horizon = with_jobs(|jobs| jobs.horizon());
    let Some(random) = randomness().await else {
        // The next sweep wakes matching again.
        VOLATILE_FAILURES.set(VOLATILE_FAILURES.get() + 1);
        return;
    };
    let _meter = Meter::new("match");
    // Jobs may have come, ended or been matched while waiting: the core reads its state anew, and
    // leaves out what came from the horizon on, since who sent it could have known the draw.
    with_jobs_mut(|jobs| jobs.match_jobs(now(), random, horizon));
    VOLATILE_RUNS.set(VOLATILE_RUNS.get() + 1);
    certification::update();
    drop(guard);
    wake();
}

async fn randomness() -> Option<[u8; 32]> {
    let drawn = draw().await;
    let turned = VOLATILE_WITHOUT_RANDOMNESS.with(|trouble| trouble.turned(drawn.is_err()));
    match &drawn {
        Err(why) if turned => logs::warn(format_args!(
            "no randomness, so no job finds a worker: {why}; tried again until it comes"
        )),
        Ok(_) if turned => logs::info("randomness comes again"),
        _ => {}
    }
    drawn.ok()
}

async fn draw() -> Result<[u8; 32], String> {
    let answer = Call::bounded_wait(Principal::management_canister(), "raw_rand")
        .change_timeout(WAIT_SECONDS)
        .await
        .map_err(|error| error.to_string())?;
    let bytes: Vec<u8> = answer.candid().map_err(|error| error.to_string())?;
    bytes
        .try_into()
        .map_err(|other: Vec<u8>| format!("{} bytes came instead of 32", other.len()))
}
