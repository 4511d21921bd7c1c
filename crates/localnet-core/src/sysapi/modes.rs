//! Which function may be called from where.

use std::fmt;

/// Why canister code is running. The interface specification's letter is in brackets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// `(start)` (s).
    #[default]
    Start,
    /// `canister_init` or `canister_post_upgrade` (I).
    Init,
    /// `canister_pre_upgrade` (G).
    PreUpgrade,
    /// An update method (U).
    Update,
    /// A query method, called as an update (RQ).
    ReplicatedQuery,
    /// A query method (NRQ).
    Query,
    /// A query method that rewrites the answer to an HTTPS outcall (TQ).
    Transform,
    /// A composite query method (CQ).
    CompositeQuery,
    /// A reply callback (Ry).
    Reply,
    /// A reject callback (Rt).
    Reject,
    /// A reply callback of a composite query (CRy).
    CompositeReply,
    /// A reject callback of a composite query (CRt).
    CompositeReject,
    /// A cleanup callback (C).
    Cleanup,
    /// A cleanup callback of a composite query (CC).
    CompositeCleanup,
    /// `canister_inspect_message` (F).
    Inspect,
    /// `canister_heartbeat` (T).
    Heartbeat,
    /// `canister_global_timer` (T).
    GlobalTimer,
    /// `canister_on_low_wasm_memory` (T).
    LowMemory,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Init => "init",
            Self::PreUpgrade => "pre upgrade",
            Self::Update => "update",
            Self::ReplicatedQuery => "replicated query",
            Self::Query | Self::Transform => "non replicated query",
            Self::CompositeQuery => "composite query",
            Self::Reply => "reply callback",
            Self::Reject => "reject callback",
            Self::CompositeReply => "composite reply callback",
            Self::CompositeReject => "composite reject callback",
            Self::Cleanup => "cleanup",
            Self::CompositeCleanup => "composite cleanup",
            Self::Inspect => "inspect message",
            Self::Heartbeat => "heartbeat",
            Self::GlobalTimer => "global timer",
            Self::LowMemory => "on low Wasm memory",
        })
    }
}

/// A set of modes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Modes(u32);

impl Modes {
    /// Exactly these.
    pub(crate) const fn of(modes: &[Mode]) -> Self {
        let mut set = 0;
        let mut at = 0;
        while at < modes.len() {
            set |= 1 << modes[at] as u32;
            at += 1;
        }
        Self(set)
    }

    /// These and one more.
    const fn and(self, mode: Mode) -> Self {
        Self(self.0 | 1 << mode as u32)
    }

    /// Whether a mode is among them.
    pub(crate) const fn contains(self, mode: Mode) -> bool {
        self.0 & (1 << mode as u32) != 0
    }
}

impl Mode {
    /// Whether the whole network agrees on what the execution does.
    pub(crate) const fn replicated(self) -> bool {
        !Modes::of(&[
            Self::Query,
            Self::Transform,
            Self::CompositeQuery,
            Self::CompositeReply,
            Self::CompositeReject,
            Self::CompositeCleanup,
            Self::Inspect,
        ])
        .contains(self)
    }
}

use Mode::{
    Cleanup, CompositeCleanup, CompositeQuery, CompositeReject, CompositeReply, GlobalTimer,
    Heartbeat, Init, Inspect, LowMemory, PreUpgrade, Query, Reject, ReplicatedQuery, Reply, Start,
    Transform, Update,
};

/// `* s` in the specification's table.
pub(crate) const ALWAYS: Modes = ANY.and(Start);
/// `*`: all but `(start)`.
pub(crate) const ANY: Modes = Modes::of(&[
    Init,
    PreUpgrade,
    Update,
    ReplicatedQuery,
    Query,
    Transform,
    CompositeQuery,
    Reply,
    Reject,
    CompositeReply,
    CompositeReject,
    Cleanup,
    CompositeCleanup,
    Inspect,
    Heartbeat,
    GlobalTimer,
    LowMemory,
]);
/// Where there is an argument.
pub(crate) const ARGUMENT: Modes = Modes::of(&[
    Init,
    Update,
    ReplicatedQuery,
    Query,
    Transform,
    CompositeQuery,
    Reply,
    CompositeReply,
    Inspect,
]);
/// Where there is a caller that may have signed more than its message.
pub(crate) const CALLER_INFO: Modes = Modes::of(&[
    Update,
    ReplicatedQuery,
    Query,
    CompositeQuery,
    Reply,
    Reject,
    CompositeReply,
    CompositeReject,
    Cleanup,
    CompositeCleanup,
    Inspect,
]);
/// Where a call has come back.
pub(crate) const CALLBACK: Modes =
    Modes::of(&[Reply, Reject, CompositeReply, CompositeReject, Cleanup]);
/// Where a call has been rejected.
pub(crate) const REJECTED: Modes = Modes::of(&[Reject, CompositeReject]);
/// Where a caller waits for an answer, and may have said for how long.
pub(crate) const DEADLINE: Modes = Modes::of(&[
    Update,
    ReplicatedQuery,
    Query,
    CompositeQuery,
    Reply,
    Reject,
    CompositeReply,
    CompositeReject,
]);
/// Where a caller waits for an answer.
pub(crate) const ANSWERING: Modes = DEADLINE.and(Transform);
/// Where cycles may have come with a call.
pub(crate) const CYCLES_IN: Modes = Modes::of(&[Update, ReplicatedQuery, Reply, Reject]);
/// Where cycles may have come back with an answer.
pub(crate) const CYCLES_BACK: Modes = Modes::of(&[Reply, Reject]);
/// Where calls can be made.
pub(crate) const CALLING: Modes = Modes::of(&[
    Update,
    CompositeQuery,
    Reply,
    Reject,
    CompositeReply,
    CompositeReject,
    Heartbeat,
    GlobalTimer,
    LowMemory,
]);
/// Where cycles can go with a call.
pub(crate) const CYCLES_OUT: Modes =
    Modes::of(&[Update, Reply, Reject, Heartbeat, GlobalTimer, LowMemory]);
/// Where balances change.
pub(crate) const BURNING: Modes = Modes::of(&[
    Init,
    PreUpgrade,
    Update,
    ReplicatedQuery,
    Reply,
    Reject,
    Cleanup,
    Heartbeat,
    GlobalTimer,
    LowMemory,
]);
/// Where certified data may be set.
pub(crate) const CERTIFYING: Modes = Modes::of(&[
    Init,
    PreUpgrade,
    Update,
    Reply,
    Reject,
    Heartbeat,
    GlobalTimer,
    LowMemory,
]);
/// Where the timer may be set.
pub(crate) const TIMING: Modes = Modes::of(&[
    Init,
    PreUpgrade,
    Update,
    Reply,
    Reject,
    Cleanup,
    Heartbeat,
    GlobalTimer,
    LowMemory,
]);
/// Where a certificate may be at hand.
pub(crate) const CERTIFICATE: Modes = Modes::of(&[Query, CompositeQuery]);
/// Where a message waits to be let in.
pub(crate) const INSPECTING: Modes = Modes::of(&[Inspect]);
/// Where memory may only grow as far as the canister can pay for it.
pub(crate) const GROWING: Modes = Modes::of(&[Update, Heartbeat, GlobalTimer, LowMemory]);
