//! What goes wrong outside the market, and how often.
//!
//! Swarm testing: every seed switches each kind on or off and draws its own rate, so that rare faults
//! also happen alone and many at once.

use fastrand::Rng;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A call never reaches its canister.
    LostRequest,
    /// A call is executed and its answer never comes.
    LostReply,
    /// A call is executed twice.
    Duplicate,
    /// Calls and answers overtake each other.
    Reorder,
    /// A call or an answer takes up to minutes.
    Delay,
    /// Some workers reach nobody for a while, and nobody reaches them.
    Partition,
    /// The answer to a query is an old one.
    StaleAnswer,
    /// The canister executes nothing for a while; calls wait.
    Stall,
    /// The canister is stopped for a while; calls are rejected.
    Stop,
    /// The canister's clock jumps ahead.
    ClockJump,
    /// The canister is upgraded.
    Upgrade,
    /// The canister's state comes from its log again.
    Replay,
    /// A worker dies and comes back without its memory.
    Crash,
    /// A worker does nothing for a while and does not notice.
    Pause,
    /// The jobs canister hears late of changes in the registry, and little at a time.
    SyncLag,
    /// The canister's timer comes late.
    LateTimer,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 16] = [
        Self::LostRequest,
        Self::LostReply,
        Self::Duplicate,
        Self::Reorder,
        Self::Delay,
        Self::Partition,
        Self::StaleAnswer,
        Self::Stall,
        Self::Stop,
        Self::ClockJump,
        Self::Upgrade,
        Self::Replay,
        Self::Crash,
        Self::Pause,
        Self::SyncLag,
        Self::LateTimer,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LostRequest => "lost request",
            Self::LostReply => "lost reply",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Delay => "delay",
            Self::Partition => "partition",
            Self::StaleAnswer => "stale answer",
            Self::Stall => "stall",
            Self::Stop => "stop",
            Self::ClockJump => "clock jump",
            Self::Upgrade => "upgrade",
            Self::Replay => "replay",
            Self::Crash => "crash",
            Self::Pause => "pause",
            Self::SyncLag => "sync lag",
            Self::LateTimer => "late timer",
        }
    }

    /// The highest rate, in millionths of its opportunities: a message for the first ones, a query, a step
    /// of the canister for most, a page of the registry's feed or a timer for the last two.
    const fn most_ppm(self) -> u32 {
        match self {
            Self::LostRequest | Self::Duplicate => 300_000,
            Self::LostReply | Self::Delay | Self::StaleAnswer => 200_000,
            Self::Reorder => 500_000,
            Self::Stall | Self::Stop | Self::ClockJump | Self::Partition => 2_000,
            Self::Upgrade => 10_000,
            Self::Replay => 2_000,
            Self::Crash | Self::Pause => 10_000,
            Self::SyncLag => 500_000,
            Self::LateTimer => 100_000,
        }
    }
}

/// The rates of one seed, and what has happened.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    ppm: [u32; Fault::ALL.len()],
    happened: [u64; Fault::ALL.len()],
}

impl Faults {
    /// Draws which kinds there are, and how often.
    pub fn swarm(rng: &mut Rng) -> Self {
        let mut faults = Self::default();
        for fault in Fault::ALL {
            if rng.bool() {
                faults.ppm[fault as usize] = rng.u32(1..=fault.most_ppm());
            }
        }
        faults
    }

    /// The rate of a kind, in millionths.
    pub fn rate_ppm(&self, fault: Fault) -> u32 {
        self.ppm[fault as usize]
    }

    /// How often a kind has happened.
    pub fn happened(&self, fault: Fault) -> u64 {
        self.happened[fault as usize]
    }

    /// Whether it happens now.
    pub(crate) fn strikes(&mut self, fault: Fault, rng: &mut Rng) -> bool {
        let strikes = rng.u32(..1_000_000) < self.ppm[fault as usize];
        self.happened[fault as usize] += u64::from(strikes);
        strikes
    }

    /// Nothing goes wrong any more.
    pub(crate) fn calm(&mut self) {
        self.ppm = Default::default();
    }
}
