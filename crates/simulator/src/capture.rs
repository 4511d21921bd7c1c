//! Measures how often a ring of providers gets a wrong answer verified, beside the exact bound.

use assay_protocol::request::Assurance;
use serde::Serialize;

use crate::{
    bound::{capture_bound, margin},
    campaign::{self, Failure},
    plan::Plan,
};

/// Providers of every market that is measured.
pub const PROVIDERS: u8 = 100;
/// Sizes of the rings: percent of the providers.
pub const RINGS: [u8; 4] = [5, 10, 20, 33];
/// What is measured.
pub const ASSURANCES: [(&str, Assurance); 4] = [
    ("checked{1}", Assurance::Checked { checkers: 1 }),
    ("checked{2}", Assurance::Checked { checkers: 2 }),
    ("equality{2}", Assurance::Equality { total: 2 }),
    ("threshold{3,2}", Assurance::Threshold { total: 3, min: 2 }),
];
/// Pairs of an assurance and a ring.
pub const POINTS: u64 = (ASSURANCES.len() * RINGS.len()) as u64;
/// Jobs of one market: few, so that what the market learns about the ring changes little.
const JOBS_EACH: u64 = 40;

/// What was measured for one assurance and one size of ring.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Capture {
    /// How sure the answers had to be.
    pub assurance: &'static str,
    /// Percent of the providers that collude.
    pub ring_percent: u8,
    /// Jobs that ended.
    pub jobs: u64,
    /// Jobs whose verified answer was the ring's lie.
    pub captured: u64,
    /// Their share.
    pub rate: f64,
    /// Its expectation if providers are drawn at random and each once in a round.
    pub bound: f64,
    /// By how much a rate of so many jobs may lie above the bound, except in one case of a million.
    pub margin: f64,
}

/// A ring that got more than a random draw of distinct providers explains.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "{assurance} with {ring_percent} % of the providers colluding: {captured} of {jobs} answers were wrong and verified, more than the bound of {bound} and its margin of {margin} explain"
)]
pub struct TooHigh {
    assurance: &'static str,
    ring_percent: u8,
    jobs: u64,
    captured: u64,
    bound: f64,
    margin: f64,
}

impl Capture {
    /// Whether the ring got no more than its chance.
    pub fn check(&self) -> Result<(), TooHigh> {
        if self.rate <= self.bound + self.margin {
            return Ok(());
        }
        let Self {
            assurance,
            ring_percent,
            jobs,
            captured,
            rate: _,
            bound,
            margin,
        } = *self;
        Err(TooHigh {
            assurance,
            ring_percent,
            jobs,
            captured,
            bound,
            margin,
        })
    }
}

/// Measures every assurance with every size of ring, with at least so many jobs each.
/// `progress` hears how many of the [`POINTS`] are done.
pub fn measure(
    first_seed: u64,
    jobs: u64,
    progress: impl Fn(u64),
) -> Result<Vec<Capture>, Failure> {
    let mut captures = Vec::new();
    for (name, assurance) in ASSURANCES {
        for ring_percent in RINGS {
            let (mut ended, mut captured) = (0, 0);
            let mut seed = first_seed;
            while ended < jobs {
                let plan = Plan::capture(seed, PROVIDERS, ring_percent, assurance, JOBS_EACH);
                let report = campaign::run(plan)?;
                ended += report.jobs.values().sum::<u64>();
                captured += report.captured;
                seed += 1;
            }
            let bound = capture_bound(assurance, PROVIDERS.into(), ring_percent.into());
            captures.push(Capture {
                assurance: name,
                ring_percent,
                jobs: ended,
                captured,
                rate: captured as f64 / ended as f64,
                bound,
                margin: margin(bound, ended),
            });
            progress(captures.len() as u64);
        }
    }
    Ok(captures)
}
