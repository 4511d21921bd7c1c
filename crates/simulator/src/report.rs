//! What came of it: who earned what, how jobs ended, what went wrong.

use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr as _};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::kind::Kind;

/// How often things of these names happened.
pub type Counts = BTreeMap<Cow<'static, str>, u64>;

/// The sums over one seed or many. The same seeds give the same report, byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Seeds that were run.
    pub seeds: u64,
    /// Updates and timers that the jobs canister executed.
    pub steps: u64,
    /// Seconds that passed for those in it.
    pub seconds: u64,
    /// Jobs by how they ended.
    pub jobs: Counts,
    /// Jobs that the sponsor pool paid a part of.
    pub sponsored: u64,
    /// Jobs whose verified answer is a lie that a ring told with enough voices.
    pub captured: u64,
    /// Jobs that asked for no comparison and got a lie.
    pub unchecked_lies: u64,
    /// Honest leases found wrong by a ring with enough voices.
    pub honest_losses: u64,
    /// Jobs that were asked of the market once it was left in peace, and verified.
    pub probes: u64,
    /// Workers by kind.
    pub workers: BTreeMap<Kind, Worked>,
    /// Requesters by kind.
    pub requesters: BTreeMap<Kind, Asked>,
    /// Faults that happened.
    pub faults: Counts,
    /// What the log tells of.
    pub events: Counts,
}

/// What became of the leases of one kind of worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worked {
    /// Workers.
    pub workers: u64,
    /// Leases of jobs that have ended.
    pub leases: u64,
    /// Of those: paid.
    pub paid: u64,
    /// Found wrong.
    pub wrong: u64,
    /// Committed and never opened.
    pub silent: u64,
    /// Lost or too late.
    pub lost: u64,
    /// Given back.
    pub abandoned: u64,
    /// Cycles of bonds lost for silence.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub forfeited: u128,
    /// Cycles earned, parts of others' bonds included.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub earned: u128,
}

/// What became of the jobs of one kind of requester.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Jobs that have ended.
    pub jobs: u64,
    /// Of those: with an answer.
    pub answered: u64,
    /// Cycles paid for them.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub spent: u128,
}

/// JSON's numbers are too small for cycles.
fn as_text<S: Serializer>(amount: &u128, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(amount)
}

fn from_text<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
    let text = <Cow<'de, str>>::deserialize(from)?;
    u128::from_str(&text).map_err(de::Error::custom)
}

impl Report {
    /// Adds another report to this one.
    pub fn add(&mut self, other: &Self) {
        let Self {
            seeds,
            steps,
            seconds,
            jobs,
            sponsored,
            captured,
            unchecked_lies,
            honest_losses,
            probes,
            workers,
            requesters,
            faults,
            events,
        } = other;
        self.seeds += seeds;
        self.steps += steps;
        self.seconds += seconds;
        self.sponsored += sponsored;
        self.captured += captured;
        self.unchecked_lies += unchecked_lies;
        self.honest_losses += honest_losses;
        self.probes += probes;
        for (sums, more) in [
            (&mut self.jobs, jobs),
            (&mut self.faults, faults),
            (&mut self.events, events),
        ] {
            for (name, count) in more {
                *sums.entry(name.clone()).or_default() += count;
            }
        }
        for (kind, more) in workers {
            self.workers.entry(*kind).or_default().add(more);
        }
        for (kind, more) in requesters {
            let sum = self.requesters.entry(*kind).or_default();
            sum.jobs += more.jobs;
            sum.answered += more.answered;
            sum.spent += more.spent;
        }
    }
}

impl Worked {
    fn add(&mut self, more: &Self) {
        let Self {
            workers,
            leases,
            paid,
            wrong,
            silent,
            lost,
            abandoned,
            forfeited,
            earned,
        } = more;
        self.workers += workers;
        self.leases += leases;
        self.paid += paid;
        self.wrong += wrong;
        self.silent += silent;
        self.lost += lost;
        self.abandoned += abandoned;
        self.forfeited += forfeited;
        self.earned += earned;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} seeds, {} steps, {} hours inside",
            self.seeds,
            self.steps,
            self.seconds / 3_600
        )?;
        list(f, "jobs", &self.jobs)?;
        writeln!(
            f,
            "captured by rings: {} jobs verified wrong, {} honest leases found wrong; lies to jobs without comparison: {}",
            self.captured, self.honest_losses, self.unchecked_lies
        )?;
        writeln!(
            f,
            "sponsored: {}; asked in peace and verified: {}",
            self.sponsored, self.probes
        )?;
        writeln!(
            f,
            "{:<13}{:>8}{:>9}{:>9}{:>8}{:>8}{:>8}{:>10}{:>14}{:>18}",
            "workers",
            "number",
            "leases",
            "paid",
            "wrong",
            "silent",
            "lost",
            "abandoned",
            "bonds lost",
            "cycles earned"
        )?;
        for (kind, worked) in &self.workers {
            writeln!(
                f,
                "{:<13}{:>8}{:>9}{:>9}{:>8}{:>8}{:>8}{:>10}{:>14}{:>18}",
                kind.name(),
                worked.workers,
                worked.leases,
                worked.paid,
                worked.wrong,
                worked.silent,
                worked.lost,
                worked.abandoned,
                worked.forfeited,
                worked.earned
            )?;
        }
        writeln!(
            f,
            "{:<13}{:>8}{:>9}{:>18}",
            "requesters", "jobs", "answered", "cycles spent"
        )?;
        for (kind, asked) in &self.requesters {
            writeln!(
                f,
                "{:<13}{:>8}{:>9}{:>18}",
                kind.name(),
                asked.jobs,
                asked.answered,
                asked.spent
            )?;
        }
        list(f, "faults", &self.faults)?;
        list(f, "events", &self.events)
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, counts: &Counts) -> fmt::Result {
    let parts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    writeln!(f, "{title}: {}", parts.join(", "))
}
