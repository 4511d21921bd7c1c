//! Many seeds, on several threads; the report does not depend on how many.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use crate::{plan::Plan, report::Report, simulation::Simulation};

/// Which seeds to run, and how.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// Steps with faults in each.
    pub steps: u64,
    /// Steps between two checks of the whole state.
    pub check_every: u64,
    /// Threads.
    pub threads: usize,
}

/// What a seed has found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, step {step}: {what}\n  with {plan}\n  again: {}", self.command())]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The step after which it was found.
    pub step: u64,
    /// Steps with faults that the seed was to take.
    pub steps: u64,
    /// What is wrong.
    pub what: String,
    /// Everything that the seed has drawn.
    pub plan: String,
}

impl Failure {
    /// What to run to see it again.
    pub fn command(&self) -> String {
        format!(
            "assay simulate --first {} --seeds 1 --steps {}",
            self.seed, self.steps
        )
    }
}

impl Campaign {
    /// Runs all seeds, or up to the first failure; `progress` hears how many are done. Of several
    /// failures that of the lowest seed is told.
    pub fn run(&self, progress: impl Fn(u64) + Sync) -> Result<Report, Failure> {
        let (next, done, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let found = Mutex::new((Report::default(), None::<Failure>));
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    // Seeds are begun in order, so every seed below a failing one is run, too.
                    while !failed.load(Ordering::Relaxed) {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        if i >= self.seeds {
                            break;
                        }
                        let result = self.one(self.first + i);
                        let mut found = found.lock().expect("BUG: failures are caught");
                        match result {
                            Ok(report) => found.0.add(&report),
                            Err(failure) => {
                                failed.store(true, Ordering::Relaxed);
                                let lower =
                                    found.1.as_ref().is_none_or(|old| failure.seed < old.seed);
                                if lower {
                                    found.1 = Some(failure);
                                }
                            }
                        }
                        progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                    }
                });
            }
        });
        let (report, failure) = found.into_inner().expect("BUG: failures are caught");
        failure.map_or(Ok(report), Err)
    }

    /// Runs one seed. A failure between two checks of the whole state is looked for again with a check
    /// after each step, so that it names the step that broke something.
    fn one(&self, seed: u64) -> Result<Report, Failure> {
        let plan = Plan {
            check_every: self.check_every.max(1),
            ..Plan::swarm(seed, self.steps)
        };
        run(plan.clone()).map_err(|failure| match plan.check_every {
            1 => failure,
            _ => run(Plan {
                check_every: 1,
                ..plan
            })
            .err()
            .unwrap_or(failure),
        })
    }
}

/// Runs one plan; a panic of the cores is a failure like any other.
pub(crate) fn run(plan: Plan) -> Result<Report, Failure> {
    let (seed, steps, text) = (plan.seed, plan.steps, plan.to_string());
    let fail = |step, what| Failure {
        seed,
        step,
        steps,
        what,
        plan: text.clone(),
    };
    let mut simulation = Simulation::new(plan).map_err(|what| fail(0, what))?;
    let result = catch_unwind(AssertUnwindSafe(|| simulation.run()));
    let step = simulation.steps();
    match result {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(what)) => Err(fail(step, what)),
        Err(panic) => Err(fail(step, format!("panicked: {}", message(&*panic)))),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}
