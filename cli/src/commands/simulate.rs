//! `simulate`: whole markets in one process, each from its seed.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use assay_simulator::{Campaign, Outcome, capture, plot};

use crate::{
    Failure,
    args::Simulate,
    exit,
    show::{out, talk},
};

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

pub(super) fn run(args: &Simulate) -> Result<u8, Failure> {
    let threads = args.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        usize::from,
    );
    let campaign = Campaign {
        first: args.first,
        seeds: args.seeds,
        steps: args.steps,
        check_every: args.check_every,
        threads,
    };
    let progress = Progress::of("seeds", args.seeds);
    let report = campaign.run(|done| progress.tell(done))?;
    let mut outcome = Outcome {
        report,
        captures: Vec::new(),
    };
    if let Some(file) = &args.plot {
        let progress = Progress::of("points of the drawing", capture::POINTS);
        outcome.captures = capture::measure(args.first, args.jobs, |done| progress.tell(done))?;
        std::fs::write(file, plot(&outcome.captures)).map_err(Failure::io(file))?;
    }
    if args.json {
        out(outcome.to_json());
    } else {
        out(outcome.to_string().trim_end());
    }
    for capture in &outcome.captures {
        capture.check()?;
    }
    Ok(exit::OK)
}

/// Says now and then how far it is; nothing if it is soon done.
struct Progress {
    what: &'static str,
    all: u64,
    told: Mutex<Instant>,
}

impl Progress {
    fn of(what: &'static str, all: u64) -> Self {
        Self {
            what,
            all,
            told: Mutex::new(Instant::now()),
        }
    }

    fn tell(&self, done: u64) {
        // Another thread that tells now tells enough.
        if let Ok(mut told) = self.told.try_lock()
            && told.elapsed() >= PROGRESS
        {
            *told = Instant::now();
            talk(format_args!("  {done} of {} {}", self.all, self.what));
        }
    }
}
