//! `simulate`: whole markets in one process, each from its seed.

use std::{
    fs, io,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use assay_simulator::{Campaign, Outcome, Report, capture, plot};
use serde::{Deserialize, Serialize};

use crate::{
    Failure,
    args::Simulate,
    exit,
    home::save_json,
    show::{out, talk},
};

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);
/// Seeds after which a file is written that a later run goes on from.
const SAVED_EVERY: u64 = 200;

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
    let report = match &args.resume {
        Some(file) => resume(&campaign, file)?,
        None => {
            let progress = Progress::of("seeds", campaign.seeds);
            campaign.run(|done| progress.tell(done))?
        }
    };
    let mut outcome = Outcome {
        report,
        captures: Vec::new(),
    };
    if let Some(file) = &args.plot {
        let progress = Progress::of("points of the drawing", capture::POINTS);
        outcome.captures = capture::measure(args.first, args.jobs, |done| progress.tell(done))?;
        fs::write(file, plot(&outcome.captures)).map_err(Failure::io(file))?;
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

/// What the first seeds of a campaign gave.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    first: u64,
    steps: u64,
    report: Report,
}

/// Runs the seeds of a campaign that a file does not hold yet, and keeps what they gave there.
fn resume(campaign: &Campaign, file: &Path) -> Result<Report, Failure> {
    let mut saved = Saved::read(campaign, file)?;
    let progress = Progress::of("seeds", campaign.seeds);
    while saved.report.seeds < campaign.seeds {
        let done = saved.report.seeds;
        let part = Campaign {
            first: campaign.first + done,
            seeds: SAVED_EVERY.min(campaign.seeds - done),
            ..*campaign
        };
        let report = part.run(|more| progress.tell(done + more))?;
        saved.report.add(&report);
        save_json(&saved, file)?;
    }
    Ok(saved.report)
}

impl Saved {
    /// What the file holds, or nothing where there is none.
    fn read(campaign: &Campaign, file: &Path) -> Result<Self, Failure> {
        let Campaign { first, steps, .. } = *campaign;
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    first,
                    steps,
                    report: Report::default(),
                });
            }
            Err(error) => return Err(Failure::io(file)(error)),
        };
        let damaged = |problem: String| Failure::Damaged {
            path: file.to_owned(),
            problem: format!("{problem}; name another file, or remove this one"),
        };
        let saved: Self =
            serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if (saved.first, saved.steps) != (first, steps) {
            return Err(damaged(format!(
                "it holds seeds from {} on with {} steps each, not from {first} on with {steps}",
                saved.first, saved.steps
            )));
        }
        if saved.report.seeds > campaign.seeds {
            return Err(damaged(format!(
                "it holds {} seeds, more than the {} asked for",
                saved.report.seeds, campaign.seeds
            )));
        }
        Ok(saved)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const CAMPAIGN: Campaign = Campaign {
        first: 5,
        seeds: 4,
        steps: 60,
        check_every: 30,
        threads: 2,
    };

    #[test]
    fn a_campaign_in_parts_gives_what_it_gives_in_one_go() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("night.json");
        let part = |seeds| Campaign { seeds, ..CAMPAIGN };
        resume(&part(1), &file).unwrap();
        resume(&part(3), &file).unwrap();
        let all = resume(&CAMPAIGN, &file).unwrap();
        assert_eq!(all, CAMPAIGN.run(|_| {}).unwrap());
        // Nothing is left to do, and nothing is counted twice.
        assert_eq!(resume(&CAMPAIGN, &file).unwrap(), all);
    }

    #[test]
    fn a_file_of_another_campaign_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("night.json");
        resume(&CAMPAIGN, &file).unwrap();
        let kept = fs::read(&file).unwrap();
        for (other, why) in [
            (
                Campaign {
                    first: 6,
                    ..CAMPAIGN
                },
                "from 5 on",
            ),
            (
                Campaign {
                    steps: 61,
                    ..CAMPAIGN
                },
                "60 steps",
            ),
            (
                Campaign {
                    seeds: 3,
                    ..CAMPAIGN
                },
                "more than the 3",
            ),
        ] {
            let told = resume(&other, &file).unwrap_err().to_string();
            assert!(
                told.contains(why) && told.contains("night.json") && told.contains("remove"),
                "{told}"
            );
            assert_eq!(fs::read(&file).unwrap(), kept);
        }
        fs::write(&file, &kept[..kept.len() / 2]).unwrap();
        let told = resume(&CAMPAIGN, &file).unwrap_err();
        assert!(matches!(told, Failure::Damaged { .. }), "{told}");
    }
}
