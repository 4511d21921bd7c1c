//! A requester: asks, repeats what got no answer under the same key, cancels now and then.

use assay_jobs_core::testing::{Fixture, random_request, spoil};
use assay_protocol::{
    Cycles, JobId,
    job::{SubmitArgs, SubmitError},
    limits,
    request::{Assurance, JobRequest, Task},
};
use candid::Principal;
use fastrand::Rng;

use crate::{
    craft::IMPOSSIBLE,
    kind::Kind,
    message::{Call, Reply},
    schedule::{Millis, Ticket},
    worker::Next,
};

/// How long a call may take before it is repeated.
const PATIENCE: Millis = 15_000;
/// How often a submit is repeated.
const TRIES: u8 = 6;

#[derive(Debug)]
pub(crate) struct Requester {
    pub(crate) account: Principal,
    pub(crate) kind: Kind,
    /// When it wakes.
    pub(crate) wake: Option<Ticket>,
    waiting: Option<(u64, Millis)>,
    /// A request that waits for its price.
    asking: Option<JobRequest>,
    /// A submit that has no answer yet, and how often it was tried.
    trying: Option<(SubmitArgs, Cycles, u8)>,
    last: Option<SubmitArgs>,
    jobs: Vec<JobId>,
    keys: u64,
    due: Millis,
    habits: Habits,
}

/// How a requester asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    pub(crate) pace: Millis,
    pub(crate) assurance: Option<Assurance>,
    /// Requests that it has still to make.
    pub(crate) left: u64,
}

impl Requester {
    pub(crate) fn new(account: Principal, kind: Kind, habits: Habits) -> Self {
        Self {
            account,
            kind,
            wake: None,
            waiting: None,
            asking: None,
            trying: None,
            last: None,
            jobs: Vec::new(),
            keys: 0,
            due: 0,
            habits,
        }
    }

    /// Whether it will submit nothing more.
    pub(crate) fn is_done(&self) -> bool {
        self.habits.left == 0 && self.trying.is_none() && self.asking.is_none()
    }

    /// Asks nothing more.
    pub(crate) fn stop(&mut self) {
        self.habits.left = 0;
        self.trying = None;
        self.asking = None;
    }

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

    pub(crate) fn next(&mut self, now: Millis, rng: &mut Rng, fixture: &Fixture) -> Next {
        if let Some((_, until)) = self.waiting {
            if now < until {
                return Next::Sleep(until - now);
            }
            self.waiting = None;
        }
        if let Some((args, attached, tries)) = &mut self.trying {
            if *tries == TRIES {
                self.trying = None;
                return Next::Sleep(self.habits.pace);
            }
            *tries += 1;
            return Next::Call(submit(args.clone(), *attached));
        }
        if let Some(request) = &self.asking {
            return Next::Call(Call::Quote(Box::new(request.clone())));
        }
        if self.habits.left == 0 {
            return Next::Sleep(Millis::MAX / 4);
        }
        if now < self.due {
            return Next::Sleep(self.due - now);
        }
        self.due = now + rng.u64(self.habits.pace / 2..=self.habits.pace * 3 / 2);
        self.choose(rng, fixture)
    }

    /// What to do at the next opportunity.
    fn choose(&mut self, rng: &mut Rng, fixture: &Fixture) -> Next {
        let poisons = self.kind == Kind::Poisoner;
        if let Some(assurance) = self.habits.assurance {
            return self.ask(rng, fixture, Some(assurance));
        }
        match rng.u8(..20) {
            0 if !self.jobs.is_empty() => {
                Next::Call(Call::Cancel(self.jobs[rng.usize(..self.jobs.len())]))
            }
            1..10 if poisons && !self.jobs.is_empty() => {
                Next::Call(Call::Cancel(self.jobs[self.jobs.len() - 1]))
            }
            10..15 if poisons => self.submit_badly(rng, fixture),
            1 => match &self.last {
                Some(args) => {
                    let mut args = args.clone();
                    args.deadline_seconds += u32::from(poisons);
                    Next::Call(submit(args, Cycles::ZERO))
                }
                None => self.ask(rng, fixture, None),
            },
            2 => Next::Call(Call::Deposit(Cycles(rng.u128(1..5_000_000)))),
            _ => self.ask(rng, fixture, None),
        }
    }

    fn ask(&mut self, rng: &mut Rng, fixture: &Fixture, assurance: Option<Assurance>) -> Next {
        let mut request = random_request(rng, fixture);
        request.assurance = assurance.unwrap_or(request.assurance);
        if self.kind == Kind::Poisoner && rng.bool() {
            request.task = Task::Completion {
                prompt: IMPOSSIBLE.into(),
            };
        }
        self.habits.left -= 1;
        self.asking = Some(request);
        self.next_quote()
    }

    fn next_quote(&self) -> Next {
        match &self.asking {
            Some(request) => Next::Call(Call::Quote(Box::new(request.clone()))),
            None => Next::Sleep(self.habits.pace),
        }
    }

    fn submit_badly(&mut self, rng: &mut Rng, fixture: &Fixture) -> Next {
        let mut args = SubmitArgs {
            request: random_request(rng, fixture),
            price_cap: Cycles(1_000_000_000),
            deadline_seconds: 60,
            idempotency_key: b"bad".to_vec(),
        };
        let mut from = self.account;
        spoil(rng, &mut from, &mut args);
        Next::Call(Call::Submit {
            args: Box::new(args),
            attached: Cycles(2_000_000_000),
            malformed: Some(from),
        })
    }

    pub(crate) fn take(&mut self, reply: Reply, rng: &mut Rng) {
        match reply {
            Reply::Quote(Ok(quote)) => {
                let Some(request) = self.asking.take() else {
                    return;
                };
                self.keys += 1;
                let price = quote.price_max.0;
                let (cap, attached, deadline_seconds) = match self.habits.assurance {
                    // Where captures are measured, neither money nor time decides what becomes of a job.
                    Some(_) => (price * 4, price * 4, 3_600),
                    None => terms(price, rng),
                };
                let args = SubmitArgs {
                    request,
                    price_cap: Cycles(cap),
                    deadline_seconds,
                    idempotency_key: self.keys.to_le_bytes().to_vec(),
                };
                self.trying = Some((args, Cycles(attached), 0));
            }
            Reply::Quote(Err(_)) => self.asking = None,
            Reply::Submitted(Ok((submitted, _))) => {
                self.jobs.push(submitted.job);
                if let Some((args, ..)) = self.trying.take() {
                    self.last = Some(args);
                }
            }
            // Too many open jobs: what is under way makes room.
            Reply::Submitted(Err(SubmitError::TooManyOpenJobs { .. }))
                if self.habits.assurance.is_some() =>
            {
                if let Some((_, _, tries)) = &mut self.trying {
                    *tries = 0;
                }
            }
            Reply::Submitted(Err(_)) => self.trying = None,
            _ => {}
        }
    }
}

fn submit(args: SubmitArgs, attached: Cycles) -> Call {
    Call::Submit {
        args: Box::new(args),
        attached,
        malformed: None,
    }
}

/// What a requester bids, attaches and waits for, given the price that was quoted.
fn terms(price: u128, rng: &mut Rng) -> (u128, u128, u32) {
    let cap = match rng.u8(..8) {
        0 => price.saturating_sub(1),
        1 | 2 => price,
        // Those who ask for nothing set the price, and seldom work.
        _ => price * rng.u128(100..3_000) / 100 + rng.u128(..20_000),
    };
    // Some attach nothing, though their balance may not do.
    let attached = if rng.u8(..8) == 0 { 0 } else { cap };
    (cap, attached, rng.u32(limits::DEADLINE_SECONDS_MIN..1_200))
}
