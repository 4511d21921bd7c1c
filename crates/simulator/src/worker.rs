//! A worker's daemon: what it knows, what it does next, and how it takes an answer.
//!
//! It has one call under way at a time and gives up on it after a while, so a call whose answer is
//! late or lost is followed by others. What it commits to is on its disk first; all else is lost in a crash.

use std::collections::{BTreeMap, VecDeque};

use assay_protocol::{
    LeaseId,
    lease::{
        Beat, Claim, CommitArgs, LeaseHint, LeaseState, Offer, Order, ProgressArgs, RevealArgs,
        Role, WorkHint, WorkerError, offers_hash,
    },
    limits,
};
use candid::Principal;
use fastrand::Rng;

use crate::{
    craft,
    kind::{Conduct, Kind},
    message::{Call, Reply},
    schedule::{Millis, Ticket},
    truth::{Leaks, Ring, Truths},
};

/// How long a call may take before a worker goes on without its answer.
const PATIENCE: Millis = 10_000;
/// Between two looks at whether there is work.
const POLL: Millis = 2_000;
/// Between two calls that name the same prices.
const PRICES_PAUSE: Millis = 10_000;
/// Pieces of provisional output that a generator sends.
const PIECES: u32 = 2;

/// What a worker can look at when it thinks.
pub(crate) struct Scene<'a> {
    pub(crate) now: Millis,
    pub(crate) rng: &'a mut Rng,
    pub(crate) canister: Principal,
    pub(crate) truths: &'a mut Truths,
    pub(crate) leaks: &'a Leaks,
}

/// What a worker does next.
#[derive(Debug)]
pub(crate) enum Next {
    Call(Call),
    Sleep(Millis),
}

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) operator: Principal,
    /// The number of its provider.
    pub(crate) provider: u8,
    pub(crate) kind: Kind,
    pub(crate) ring: Option<Ring>,
    /// When it wakes.
    pub(crate) wake: Option<Ticket>,
    slots: u16,
    offers: Vec<Offer>,
    offered: bool,
    /// Before this it does not look whether its prices stand.
    offered_at: Millis,
    todo: VecDeque<Call>,
    /// The call under way, and until when it is waited for.
    waiting: Option<(u64, Millis)>,
    poll_at: Millis,
    beat_at: Millis,
    held: BTreeMap<LeaseId, Held>,
    /// Its disk: commitments and their openings.
    journal: BTreeMap<LeaseId, (CommitArgs, RevealArgs)>,
    /// Not there, or not awake, before this.
    back_at: Millis,
    lives: u64,
    /// Is left in peace, and leaves others so.
    calm: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) order: Order,
    pub(crate) conduct: Conduct,
    /// When its computation is done.
    done_at: Millis,
    pieces: u32,
    sent: u32,
    pub(crate) transcript: Option<Claim>,
}

impl Worker {
    pub(crate) fn new(
        operator: Principal,
        provider: u8,
        kind: Kind,
        ring: Option<Ring>,
        slots: u16,
    ) -> Self {
        Self {
            operator,
            provider,
            kind,
            ring,
            wake: None,
            slots,
            offers: Vec::new(),
            offered: false,
            offered_at: 0,
            todo: VecDeque::new(),
            waiting: None,
            poll_at: 0,
            beat_at: 0,
            held: BTreeMap::new(),
            journal: BTreeMap::new(),
            back_at: 0,
            lives: 0,
            calm: false,
        }
    }

    /// Decides on prices, to be told next.
    pub(crate) fn price(&mut self, offers: Vec<Offer>) {
        self.offers = offers;
        self.offered = false;
    }

    /// Dies, and loses all that is not on its disk.
    pub(crate) fn crash(&mut self, back_at: Millis) {
        self.held.clear();
        self.todo.clear();
        self.waiting = None;
        self.back_at = back_at;
        self.lives += 1;
        if self.kind == Kind::CrashLooper {
            self.journal.clear();
        }
    }

    /// Does nothing for a while, and has forgotten nothing then.
    pub(crate) fn pause(&mut self, back_at: Millis) {
        self.back_at = back_at;
    }

    /// Is there, from now on without harm.
    pub(crate) fn calm(&mut self) {
        self.back_at = 0;
        self.poll_at = 0;
        self.calm = true;
    }

    /// Whether an answer is still waited for; one that came is waited for no more.
    pub(crate) fn expects(&mut self, call: u64) -> bool {
        let expected = self.waiting.is_some_and(|(id, _)| id == call);
        if expected {
            self.waiting = None;
        }
        expected
    }

    /// Its call is under way; says for how long it waits.
    pub(crate) fn waits_for(&mut self, call: u64, now: Millis) -> Millis {
        self.waiting = Some((call, now + PATIENCE));
        PATIENCE
    }

    /// What it does now.
    pub(crate) fn next(&mut self, scene: &mut Scene<'_>) -> Next {
        let now = scene.now;
        if now < self.back_at {
            return Next::Sleep(self.back_at - now);
        }
        if self.calm && self.kind.is_adversary() {
            return Next::Sleep(Millis::MAX / 4);
        }
        if let Some((_, until)) = self.waiting {
            if now < until {
                return Next::Sleep(until - now);
            }
            self.waiting = None;
        }
        if self.kind == Kind::CrashLooper && !self.calm && scene.rng.u8(..100) == 0 {
            self.crash(now + scene.rng.u64(1_000..30_000));
            return Next::Sleep(self.back_at - now);
        }
        let beats = !self.held.is_empty();
        if beats && now >= self.beat_at {
            self.beat_at = now + limits::HEARTBEAT_SECONDS * 1_000;
            let silent = |held: &Held| held.conduct == Conduct::Vanishes;
            let leases = self.held.iter().filter(|(_, held)| !silent(held));
            return Next::Call(Call::Heartbeat(leases.map(|(id, _)| *id).collect()));
        }
        if !self.offered {
            return Next::Call(Call::SetOffers(self.offers.clone()));
        }
        if let Some(call) = self.todo.pop_front() {
            return Next::Call(call);
        }
        if now < self.poll_at {
            let until = if beats {
                self.poll_at.min(self.beat_at)
            } else {
                self.poll_at
            };
            return Next::Sleep(until - now);
        }
        self.poll_at = now + POLL + scene.rng.u64(..POLL / 2);
        Next::Call(Call::Work)
    }

    /// Takes an answer that it waited for.
    pub(crate) fn take(&mut self, reply: Reply, scene: &mut Scene<'_>) -> Result<(), String> {
        match reply {
            Reply::Hint(Ok(hint)) => self.plan(&hint, scene),
            Reply::Orders(Ok(orders)) => {
                for order in orders {
                    scene.truths.note(&order)?;
                    self.hold(order, scene);
                }
            }
            Reply::Beats(Ok(beats)) => {
                for (lease, beat) in beats {
                    if matches!(beat, Beat::Stop(_)) {
                        self.held.remove(&lease);
                    }
                }
            }
            Reply::Transcript(lease, Ok(claim)) => {
                if let Some(held) = self.held.get_mut(&lease) {
                    held.transcript = Some(claim);
                    held.done_at = held.done_at.max(scene.now + scene.rng.u64(100..5_000));
                }
            }
            // The market has not heard of it yet.
            Reply::Offered(Err(WorkerError::UnknownWorker(_))) => self.back_at = scene.now + 5_000,
            Reply::Offered(_) => {
                self.offered = true;
                self.offered_at = scene.now + PRICES_PAUSE;
            }
            _ => {}
        }
        Ok(())
    }

    fn hold(&mut self, order: Order, scene: &mut Scene<'_>) {
        let impossible = craft::is_impossible(&order);
        let conduct = match Conduct::of(self.kind, scene.rng) {
            Conduct::Honest | Conduct::Copies if impossible => Conduct::Declines,
            conduct => conduct,
        };
        // Now and then a run takes longer than any lease.
        let seconds = match scene.rng.u16(..500) {
            0 => limits::RUN_SECONDS_MAX + 100,
            1..50 => 120,
            _ => 15,
        };
        self.held.insert(
            order.lease,
            Held {
                done_at: scene.now + scene.rng.u64(500..seconds * 1_000),
                sent: order.streamed,
                order,
                conduct,
                pieces: 0,
                transcript: None,
            },
        );
    }

    /// Makes a list of what is to be done, from what the canister says of its leases.
    fn plan(&mut self, hint: &WorkHint, scene: &mut Scene<'_>) {
        // A call that came late or twice may have replaced its prices.
        let own = Some(offers_hash(&self.offers));
        if hint.offers != own && scene.now >= self.offered_at {
            self.offered = false;
        }
        if hint.announce || scene.rng.u8(..20) == 0 {
            self.todo.push_back(Call::Ready(self.slots));
        }
        // A lease that it has only in its journal needs no order any more.
        let known = |worker: &Self, lease| {
            worker.held.contains_key(&lease) || worker.journal.contains_key(&lease)
        };
        let lost =
            |lease: &LeaseHint| lease.state == LeaseState::Leased && !known(self, lease.lease);
        if hint.unclaimed > 0 || hint.leases.iter().any(lost) {
            let known = self.held.keys().chain(self.journal.keys()).copied();
            let known = known.take(limits::HEARTBEAT_LEASES_MAX).collect();
            self.todo.push_back(Call::Claim(known));
        }
        let live = |id: &LeaseId| hint.leases.iter().any(|lease| lease.lease == *id);
        self.held.retain(|id, _| live(id));
        self.journal.retain(|id, _| live(id));
        for lease in &hint.leases {
            let call = match lease.state {
                LeaseState::Committed => self.open(lease, scene),
                _ => self.go_on(lease, scene),
            };
            self.todo.extend(call);
        }
        if self.kind == Kind::Griefer
            && let Some((lease, _)) = scene.leaks.commitments.values().next_back()
            && scene.rng.u8(..10) == 0
        {
            self.todo.push_back(Call::Meddle(*lease));
        }
    }

    fn open(&mut self, hint: &LeaseHint, scene: &mut Scene<'_>) -> Option<Call> {
        let (_, reveal) = self.journal.get(&hint.lease)?;
        let conduct = self.held.get(&hint.lease).map(|held| held.conduct);
        // Too early is tried now and then.
        if !hint.reveal_open && scene.rng.u8(..20) > 0 || conduct == Some(Conduct::Stalls) {
            return None;
        }
        let mut reveal = reveal.clone();
        if self.kind == Kind::Copier
            && let Some(held) = self.held.get(&hint.lease)
            && let Some(seen) = scene.leaks.openings.get(&held.order.job)
        {
            reveal = RevealArgs {
                lease: hint.lease,
                ..seen.clone()
            };
        }
        Some(Call::Reveal(Box::new(reveal)))
    }

    /// The next step of a lease that has no commitment yet.
    fn go_on(&mut self, hint: &LeaseHint, scene: &mut Scene<'_>) -> Option<Call> {
        let id = hint.lease;
        if let Some((commit, _)) = self.journal.get(&id) {
            return Some(Call::Commit(commit.clone()));
        }
        let (operator, ring, lives) = (self.operator, self.ring, self.lives);
        let held = self.held.get_mut(&id)?;
        let done = scene.now >= held.done_at;
        match held.conduct {
            Conduct::Vanishes | Conduct::Squats => return None,
            Conduct::GivesBack if done => return Some(Call::Abandon(id)),
            Conduct::Declines if done => return Some(Call::Decline(id)),
            Conduct::GivesBack | Conduct::Declines => return None,
            _ => {}
        }
        if held.order.role == Role::Checker && held.transcript.is_none() {
            return hint.transcript_final.then_some(Call::Transcript(id));
        }
        if !done {
            let streams = held.order.role == Role::Generator && held.pieces < PIECES;
            return streams.then(|| held.piece(ring, scene)).flatten();
        }
        let (commit, reveal) = craft::commit(held, operator, ring, lives, scene)?;
        self.journal.insert(id, (commit.clone(), reveal));
        Some(Call::Commit(commit))
    }
}

impl Held {
    /// Whether its computation is done and so much more time has not passed since.
    pub(crate) fn waits(&self, now: Millis, more: Millis) -> bool {
        now < self.done_at + more
    }

    /// A piece of provisional output.
    fn piece(&mut self, ring: Option<Ring>, scene: &mut Scene<'_>) -> Option<Call> {
        let body = craft::body(self, ring, scene);
        let from = (self.sent as usize).min(body.output_tokens.len());
        let to = body.output_tokens.len().min(from + scene.rng.usize(1..20));
        if to == from {
            return None;
        }
        let tokens = body.output_tokens[from..to].to_vec();
        self.pieces += 1;
        self.sent = to as u32;
        Some(Call::Progress(ProgressArgs {
            lease: self.order.lease,
            from: from as u32,
            text: "ü".repeat(tokens.len()),
            tokens,
        }))
    }
}
