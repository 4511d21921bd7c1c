//! Kinds of people, and what each does with a lease.

use assay_jobs_core::testing::Lie;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// A kind of worker or requester.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A worker that does what it should.
    Honest,
    /// An honest worker that dies all the time, and its disk with it.
    CrashLooper,
    /// Works for nobody: repeats what others commit and open.
    Copier,
    /// Guesses instead of running the model.
    Lazy,
    /// One of several providers that tell one lie together.
    Colluder,
    /// One provider with many workers that tell one lie together.
    Sybil,
    /// Takes leases and lets them go: by silence, by giving back, by calling them impossible.
    Griefer,
    /// Takes leases and keeps them alive without ever committing.
    Squatter,
    /// Commits and never opens.
    Staller,
    /// A requester that wants an answer.
    Requester,
    /// A requester of things that are forbidden, impossible or taken back.
    Poisoner,
}

impl Kind {
    /// Kinds of workers that mean harm.
    pub const ADVERSARIES: [Self; 7] = [
        Self::Copier,
        Self::Lazy,
        Self::Colluder,
        Self::Sybil,
        Self::Griefer,
        Self::Squatter,
        Self::Staller,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Honest => "honest",
            Self::CrashLooper => "crash-looper",
            Self::Copier => "copier",
            Self::Lazy => "lazy",
            Self::Colluder => "colluder",
            Self::Sybil => "sybil",
            Self::Griefer => "griefer",
            Self::Squatter => "squatter",
            Self::Staller => "staller",
            Self::Requester => "requester",
            Self::Poisoner => "poisoner",
        }
    }

    /// Whether it never says anything but what the model says.
    pub const fn is_honest(self) -> bool {
        matches!(self, Self::Honest | Self::CrashLooper)
    }

    /// Whether it does harm on purpose, and is gone when no harm is done any more.
    pub fn is_adversary(self) -> bool {
        Self::ADVERSARIES.contains(&self)
    }
}

/// What a worker does with one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    Honest,
    Lies(Lie),
    /// Opens another result than the tokens it commits with.
    TwoFaced,
    /// Says what its ring says.
    Colludes,
    Copies,
    /// Commits and never opens.
    Stalls,
    /// Claims and is not heard of again.
    Vanishes,
    Squats,
    GivesBack,
    Declines,
}

impl Conduct {
    pub(crate) fn of(kind: Kind, rng: &mut Rng) -> Self {
        match kind {
            Kind::Lazy if rng.u8(..3) == 0 => Self::TwoFaced,
            Kind::Lazy if rng.u8(..4) > 0 => Self::Lies(Lie::ALL[rng.usize(..Lie::ALL.len())]),
            Kind::Copier => Self::Copies,
            Kind::Colluder | Kind::Sybil => Self::Colludes,
            Kind::Griefer => match rng.u8(..3) {
                0 => Self::Vanishes,
                1 => Self::GivesBack,
                _ => Self::Declines,
            },
            Kind::Squatter => Self::Squats,
            Kind::Staller => Self::Stalls,
            _ => Self::Honest,
        }
    }
}
