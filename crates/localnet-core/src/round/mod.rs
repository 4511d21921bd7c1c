//! Rounds: which message is executed next.
//!
//! A round begins with what time has brought — tasks, deadlines, random bytes that earlier rounds asked for — and
//! then lets each canister that has something to do execute one message after another in turn, by id, until nothing
//! is left or the round is full. The next round goes on with the canister after the last.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use sha2::{Digest as _, Sha256};

use crate::{
    canister::{Canister, CanisterId, Input, Origin, TaskKind},
    limits, mgmt,
    network::{Network, RoundOutcome, RunState},
    types::{ErrorCode, Reject, Time},
};

/// Bytes that `raw_rand` gives.
const RANDOM_BYTES: usize = 32;

/// What a round may still do.
struct Room {
    messages: usize,
    instructions: u64,
}

impl Room {
    fn take(&mut self, instructions: u64) {
        self.messages = self.messages.saturating_sub(1);
        self.instructions = self.instructions.saturating_sub(instructions);
    }

    fn left(&self) -> bool {
        self.messages > 0 && self.instructions > 0
    }
}

impl Network {
    /// See [`Network::round`].
    pub(crate) fn run_round(&mut self) -> RoundOutcome {
        self.round += 1;
        self.time = self.time.plus_nanos(1);
        self.give_random_bytes();
        self.expire_calls();
        self.expire_stops();
        self.expire_outcalls();
        self.days.note(self.time, self.round);
        self.history.forget(self.time);
        self.charge_idle();
        self.schedule_tasks();
        let mut room = Room {
            messages: limits::ROUND_MESSAGES_MAX,
            instructions: limits::ROUND_INSTRUCTIONS_MAX,
        };
        while room.left() && self.pass(&mut room) {}
        RoundOutcome {
            more: !self.ready.is_empty() || !self.management.is_empty() || !self.random.is_empty(),
        }
    }

    /// Lets everybody who waits execute one message; false where nobody does.
    fn pass(&mut self, room: &mut Room) -> bool {
        let mut progress = false;
        if let Some(request) = self.management.pop_front() {
            room.take(0);
            let at = self.subnet_of_origin(&request.origin);
            self.on_subnet(at, |network| mgmt::execute(network, request));
            progress = true;
        }
        for id in self.turns() {
            if !room.left() {
                break;
            }
            let instructions = match self.canisters.get(&id).map(|canister| canister.home.index) {
                Some(at) => {
                    let instructions = self.on_subnet(at, |network| network.step(&id));
                    self.homes[at].instructions += instructions;
                    instructions
                }
                None => 0,
            };
            room.take(instructions);
            progress = true;
            self.turn = Some(id);
            if self
                .canisters
                .get(&id)
                .is_none_or(|canister| canister.inbox.is_empty())
            {
                self.ready.remove(&id);
            }
        }
        progress
    }

    /// The canisters that wait, beginning after the one that had the last turn.
    fn turns(&self) -> Vec<CanisterId> {
        let mut turns: Vec<_> = self.ready.iter().copied().collect();
        if let Some(last) = self.turn {
            let next = turns.partition_point(|id| *id <= last);
            turns.rotate_left(next);
        }
        turns
    }

    fn schedule_tasks(&mut self) {
        for canister in self.canisters.values_mut() {
            let Some(task) = due_task(canister, self.time) else {
                continue;
            };
            if task == TaskKind::GlobalTimer {
                canister.timer = None;
            }
            // A round that was full may have left the last heartbeat undone.
            let waits = canister
                .inbox
                .iter()
                .take_while(|input| matches!(input, Input::Task(_)));
            if !waits.into_iter().any(|input| *input == Input::Task(task)) {
                canister.inbox.push_front(Input::Task(task));
            }
            self.ready.insert(canister.id);
        }
    }

    /// The earliest time at which a round has something to do although no message waits.
    pub(crate) fn next_task(&self) -> Option<Time> {
        let timers = self.canisters.values().filter_map(|canister| {
            if !takes_tasks(canister) {
                return None;
            }
            let exports = &canister.code.as_ref()?.module.info.exports;
            if exports.heartbeat {
                return Some(self.time);
            }
            canister.timer.filter(|_| exports.global_timer)
        });
        let deadlines = self.deadlines.first().map(|(time, _, _)| *time);
        let stops = self
            .canisters
            .values()
            .flat_map(|canister| canister.stop_waiters.iter().map(|waiter| waiter.until));
        let outcalls = self.outcalls.next_end();
        timers.chain(deadlines).chain(stops).chain(outcalls).min()
    }

    fn give_random_bytes(&mut self) {
        let waiting = self
            .random
            .iter()
            .take_while(|(round, _, _)| *round < self.round)
            .count();
        if waiting == 0 {
            return;
        }
        let mut seed = Sha256::new();
        seed.update(self.seed);
        seed.update(self.round.to_le_bytes());
        let mut source = ChaCha20Rng::from_seed(seed.finalize().into());
        for (_, origin, cycles) in self.random.drain(..waiting).collect::<Vec<_>>() {
            let mut bytes = vec![0; RANDOM_BYTES];
            source.fill_bytes(&mut bytes);
            self.respond(
                origin,
                Ok(mgmt::reply(&serde_bytes::ByteBuf::from(bytes))),
                cycles,
            );
        }
    }

    /// Ends calls whose callers have waited long enough.
    fn expire_calls(&mut self) {
        while let Some(entry @ (deadline, caller, number)) = self.deadlines.first().copied() {
            if deadline > self.time {
                break;
            }
            self.deadlines.remove(&entry);
            let Some(callee) = self
                .canisters
                .get(&caller)
                .and_then(|canister| canister.callbacks.get(&number))
                .map(|callback| callback.callee)
            else {
                continue;
            };
            let refund = self.withdraw(&callee, &caller, number);
            let origin = Origin::Canister {
                caller,
                callback: number,
                deadline: None,
            };
            let reject = Reject::of(ErrorCode::DeadlineExpired, "Call deadline has expired.");
            self.respond(origin, Err(reject), refund);
        }
    }

    /// Takes a call back that has not begun; gives its cycles.
    fn withdraw(&mut self, callee: &CanisterId, caller: &CanisterId, number: u64) -> u128 {
        let is_it = |origin: &Origin| matches!(origin, Origin::Canister { caller: from, callback, .. } if from == caller && *callback == number);
        let Some(canister) = self.canisters.get_mut(callee) else {
            return 0;
        };
        let found = canister
            .inbox
            .iter()
            .position(|input| matches!(input, Input::Request(request) if is_it(&request.origin)));
        match found.and_then(|at| canister.inbox.remove(at)) {
            Some(Input::Request(request)) => request.cycles,
            _ => 0,
        }
    }

    fn expire_stops(&mut self) {
        let now = self.time;
        let mut expired = Vec::new();
        for canister in self.canisters.values_mut() {
            let id = canister.id;
            canister.stop_waiters.retain(|waiter| {
                let waits = waiter.until > now;
                if !waits {
                    expired.push((id, waiter.clone()));
                }
                waits
            });
        }
        for (id, waiter) in expired {
            let reject = Reject::of(
                ErrorCode::StopCanisterRequestTimeout,
                format!(
                    "Stop canister request timed out: canister {id} still has open calls; try again later"
                ),
            );
            self.respond(waiter.origin, Err(reject), waiter.cycles);
        }
    }

    /// A canister without open call contexts stops, if it is to.
    pub(crate) fn finish_stopping(&mut self, id: &CanisterId) {
        let Some(canister) = self.canisters.get_mut(id) else {
            return;
        };
        if canister.state != RunState::Stopping || !canister.contexts.is_empty() {
            return;
        }
        canister.state = RunState::Stopped;
        canister.version += 1;
        for waiter in std::mem::take(&mut canister.stop_waiters) {
            self.respond(waiter.origin, Ok(mgmt::nothing()), waiter.cycles);
        }
    }
}

fn takes_tasks(canister: &Canister) -> bool {
    canister.state == RunState::Running && canister.code.is_some()
}

/// The task that is due; the timer goes before the heartbeat, which comes every round.
fn due_task(canister: &Canister, now: Time) -> Option<TaskKind> {
    if !takes_tasks(canister) {
        return None;
    }
    let exports = &canister.code.as_ref()?.module.info.exports;
    if exports.global_timer && canister.timer.is_some_and(|time| time <= now) {
        Some(TaskKind::GlobalTimer)
    } else if exports.heartbeat {
        Some(TaskKind::Heartbeat)
    } else {
        None
    }
}
