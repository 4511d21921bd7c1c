//! What one seed decides before anything happens: who is there, what goes wrong, what is asked.

use std::{collections::BTreeMap, fmt};

use assay_jobs_core::config::Rules;
use assay_protocol::{Cycles, request::Assurance};
use fastrand::Rng;

use crate::{
    faults::{Fault, Faults},
    kind::Kind,
    schedule::Millis,
};

/// Honest providers that there are at least, so that a market without adversaries can answer anything it is asked.
const HONEST_LEAST: u8 = 5;

/// More than all locks and bonds of a simulation take together.
pub(crate) const AMPLE: u128 = 1_000_000_000_000;

/// What a requester pays many jobs with.
const FUNDS: u128 = 20_000_000;

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
    /// Audits, stake and bonds.
    pub rules: Rules,
    /// What the treasury has for audits while there are faults; in peace it has ample.
    pub treasury: u128,
    /// What the sponsor pool has for people without money.
    pub sponsor: u128,
    /// What each requester comes with.
    pub funds: u128,
    /// Whether people bring money from a ledger and take it there.
    pub vault: bool,
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
            rules: rules(&mut rng),
            treasury: [0, 1_000_000, AMPLE][rng.usize(..3)],
            sponsor: [0, 1_000_000, AMPLE][rng.usize(..3)],
            funds: [FUNDS, FUNDS, 0][rng.usize(..3)],
            vault: rng.bool(),
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
            rules: Rules::LAX,
            treasury: 0,
            sponsor: 0,
            funds: FUNDS,
            vault: false,
            even_prices: true,
            assurance: Some(assurance),
            jobs_max: Some(jobs),
            pace: 50,
            check_every: u64::MAX,
        }
    }
}

/// Rules of a seed: without audits and stake, or with small numbers, so that trust is won and lost within a simulation.
fn rules(rng: &mut Rng) -> Rules {
    if rng.u8(..4) == 0 {
        return Rules::LAX;
    }
    Rules {
        trusted_after: rng.u32(..6),
        audit_ppm_min: rng.u32(..=4) * 125_000,
        stake_factor: rng.u32(..4),
        canary_ppm: rng.u32(..3) * 100_000,
        reveal_bond: Cycles([0, 1, 999, 100_000][rng.usize(..4)]),
        sponsor_caller_daily: Cycles([0, 50_000, AMPLE][rng.usize(..3)]),
        sponsor_daily: Cycles([100_000, 1_000_000, AMPLE][rng.usize(..3)]),
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
            " {} slots, {} requesters with {}, {} poisoners, fee {} bps; trusted after {}, audits {} ppm of a treasury of {}, {} to sponsor, {} and {} a day, stake {} times, bond {}; {}faults in ppm:",
            self.slots,
            self.requesters,
            self.funds,
            self.poisoners,
            self.fee_bps,
            self.rules.trusted_after,
            self.rules.audit_ppm_min,
            self.treasury,
            self.sponsor,
            self.rules.sponsor_caller_daily,
            self.rules.sponsor_daily,
            self.rules.stake_factor,
            self.rules.reveal_bond,
            if self.vault { "a ledger; " } else { "" }
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
