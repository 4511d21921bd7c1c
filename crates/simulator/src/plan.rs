//! What one seed decides before anything happens: who is there, what goes wrong, what is asked.

use std::{collections::BTreeMap, fmt};

use assay_protocol::request::Assurance;
use fastrand::Rng;

use crate::{
    faults::{Fault, Faults},
    kind::Kind,
    schedule::Millis,
};

/// Honest providers that there are at least, so that a market without adversaries can answer anything it is asked.
const HONEST_LEAST: u8 = 5;

/// A simulation to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides all that the plan leaves open.
    pub seed: u64,
    /// Steps with faults, before the market is left in peace.
    pub steps: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// Kinds of providers, and for each provider its number of workers.
    pub providers: BTreeMap<Kind, Vec<u8>>,
    /// Leases that each worker holds at once.
    pub slots: u16,
    /// Requesters that want answers.
    pub requesters: u8,
    /// Requesters that do not.
    pub poisoners: u8,
    /// The market's fee.
    pub fee_bps: u16,
    /// Whether all workers ask the same, so that nobody is drawn by price.
    pub even_prices: bool,
    /// The assurance of every job, if they are not mixed.
    pub assurance: Option<Assurance>,
    /// Jobs after which nobody asks any more.
    pub jobs_max: Option<u64>,
    /// Time between two requests of one requester, on average.
    pub pace: Millis,
    /// Steps between two checks of the whole state; the log is audited after each in any case.
    pub check_every: u64,
}

impl Plan {
    /// The plan of a seed: swarm testing of faults and of people.
    pub fn swarm(seed: u64, steps: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut providers: BTreeMap<Kind, Vec<u8>> = BTreeMap::new();
        providers.insert(
            Kind::Honest,
            vec![1; usize::from(rng.u8(HONEST_LEAST..=HONEST_LEAST + 3))],
        );
        if rng.u8(..3) == 0 {
            providers.insert(Kind::CrashLooper, vec![1]);
        }
        for kind in Kind::ADVERSARIES {
            if rng.u8(..5) > 1 {
                continue;
            }
            let workers = match kind {
                Kind::Colluder => vec![1; rng.usize(2..=4)],
                Kind::Sybil => vec![rng.u8(3..=5); rng.usize(1..=2)],
                _ => vec![1; rng.usize(1..=2)],
            };
            providers.insert(kind, workers);
        }
        Self {
            seed,
            steps,
            faults: Faults::swarm(&mut rng),
            providers,
            slots: rng.u16(1..=3),
            requesters: rng.u8(1..=4),
            poisoners: rng.u8(..2),
            fee_bps: rng.u16(..4) * 125,
            even_prices: false,
            assurance: None,
            jobs_max: None,
            pace: rng.u64(5..30) * 1_000,
            check_every: 1,
        }
    }

    /// A market without faults in which `ring` of `providers` providers collude in every job, and asks are equal.
    pub fn capture(seed: u64, providers: u8, ring: u8, assurance: Assurance, jobs: u64) -> Self {
        Self {
            seed,
            steps: u64::MAX,
            faults: Faults::default(),
            providers: [
                (Kind::Honest, vec![1; usize::from(providers - ring)]),
                (Kind::Colluder, vec![1; usize::from(ring)]),
            ]
            .into(),
            slots: 8,
            requesters: 2,
            poisoners: 0,
            fee_bps: 0,
            even_prices: true,
            assurance: Some(assurance),
            jobs_max: Some(jobs),
            pace: 50,
            check_every: u64::MAX,
        }
    }
}

/// One line of everything that was drawn.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "workers:")?;
        for (kind, providers) in &self.providers {
            let each: Vec<String> = providers.iter().map(u8::to_string).collect();
            write!(f, " {} {};", kind.name(), each.join("+"))?;
        }
        write!(
            f,
            " {} slots, {} requesters, {} poisoners, fee {} bps; faults in ppm:",
            self.slots, self.requesters, self.poisoners, self.fee_bps
        )?;
        for fault in Fault::ALL {
            let ppm = self.faults.rate_ppm(fault);
            if ppm > 0 {
                write!(f, " {} {ppm};", fault.name())?;
            }
        }
        Ok(())
    }
}
