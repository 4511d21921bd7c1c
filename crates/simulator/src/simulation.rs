//! One seed's market: a loop over events in the order of their times.
//!
//! A step is one update or timer that the jobs canister executes. Everybody else acts in between.
//! First comes a time of faults, in which nothing wrong may be done; then the market is left in
//! peace, and everything must come to its end.

mod canister;
mod money;
mod network;
mod peace;

use std::collections::BTreeMap;

use assay_jobs_core::Horizon;
use assay_jobs_core::testing::{VaultWorld, canister, payout, provider, requester};
use assay_protocol::{Cycles, lease::Offer};
use candid::Principal;
use fastrand::Rng;

use crate::{
    faults::{Fault, Faults},
    host::Host,
    kind::Kind,
    message::{Call, Party, Reply},
    plan::Plan,
    probe::Probes,
    report::Report,
    requester::{Habits, Requester},
    schedule::{Millis, Schedule},
    truth::{Leaks, Ring, Truths},
    watch::{Person, Watch},
    worker::{Next, Scene, Worker},
};

/// What happens; small, since the schedule moves it.
#[derive(Debug)]
enum Event {
    /// Somebody thinks.
    Wake(Party),
    /// A call arrives.
    Call(Box<Sent>),
    /// An answer arrives.
    Reply(Box<Answer>),
    /// The canister's timer.
    Timer,
    /// Randomness has come for the jobs before this one.
    Matched(Horizon),
    /// The market reads a page of the registry's feed.
    Sync,
    /// Something changes in the registry, or a worker its prices.
    Churn,
    /// Something happens to money that comes from the ledger or leaves for it.
    Transfer,
}

/// A call on its way.
#[derive(Clone, Debug)]
struct Sent {
    from: Party,
    id: u64,
    at: Millis,
    call: Call,
}

/// An answer on its way.
#[derive(Debug)]
struct Answer {
    to: Party,
    id: u64,
    reply: Reply,
}

/// The market of one seed and everybody in it.
#[derive(Debug)]
pub struct Simulation {
    plan: Plan,
    rng: Rng,
    faults: Faults,
    schedule: Schedule<Event>,
    host: Host,
    watch: Watch,
    truths: Truths,
    leaks: Leaks,
    vault: VaultWorld,
    workers: Vec<Worker>,
    requesters: Vec<Requester>,
    calls: u64,
    /// The canister executes nothing before this; it is stopped, or only stands still.
    frozen: (Millis, bool),
    match_due: bool,
    /// Until when workers are cut off, by their places.
    cut_off: BTreeMap<usize, Millis>,
    /// The newest answers to queries.
    answers: BTreeMap<Party, Reply>,
    steps: u64,
    probes: Option<Probes>,
}

impl Simulation {
    /// Everybody is there, and nothing has happened.
    pub fn new(plan: Plan) -> Result<Self, String> {
        let mut rng = Rng::with_seed(plan.seed ^ 0x5eed);
        let host = Host::new(plan.fee_bps, plan.rules, plan.seed)?;
        let mut simulation = Self {
            faults: plan.faults.clone(),
            schedule: Schedule::new(),
            watch: Watch::new(plan.fee_bps, plan.rules),
            truths: Truths::default(),
            leaks: Leaks::default(),
            vault: VaultWorld::beside(plan.seed, people(&plan)),
            workers: Vec::new(),
            requesters: Vec::new(),
            calls: 0,
            frozen: (0, false),
            match_due: false,
            cut_off: BTreeMap::new(),
            answers: BTreeMap::new(),
            steps: 0,
            probes: None,
            rng: rng.fork(),
            host,
            plan,
        };
        simulation.register()?;
        simulation.hire();
        simulation.watch.report.seeds = 1;
        for event in [Event::Sync, Event::Timer, Event::Churn, Event::Transfer] {
            simulation.schedule.after(0, event);
        }
        Ok(simulation)
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    fn register(&mut self) -> Result<(), String> {
        let mut number = 0;
        for (kind, providers) in self.plan.providers.clone() {
            for count in providers {
                let joined = self.host.join(number, count, self.plan.slots);
                let operators = joined.map_err(|error| format!("registering: {error:?}"))?;
                let ring = match kind {
                    Kind::Colluder => Some(Ring::Colluders),
                    Kind::Sybil => Some(Ring::Provider(number)),
                    _ => None,
                };
                self.back(number, kind)?;
                for operator in operators {
                    self.workers
                        .push(Worker::new(operator, number, kind, ring, self.plan.slots));
                    self.watch.people.insert(operator, Person { kind, ring });
                    self.watch.report.workers.entry(kind).or_default().workers += 1;
                }
                number += 1;
            }
        }
        self.fund(self.plan.treasury)?;
        self.sponsor(self.plan.sponsor)?;
        for worker in 0..self.workers.len() {
            let offers = self.prices(self.workers[worker].kind);
            self.workers[worker].price(offers);
            self.wake(Party::Worker(worker), 0);
        }
        Ok(())
    }

    /// Requesters come, each with some money.
    fn hire(&mut self) {
        let Plan {
            requesters,
            poisoners,
            pace,
            assurance,
            jobs_max,
            funds,
            ..
        } = self.plan;
        for number in 0..requesters + poisoners {
            let kind = match number < requesters {
                true => Kind::Requester,
                false => Kind::Poisoner,
            };
            let left = jobs_max.map_or(u64::MAX, |jobs| jobs / u64::from(requesters));
            let habits = Habits {
                pace,
                assurance,
                left,
            };
            let account = requester(number);
            self.watch.requesters.insert(account, kind);
            self.requesters.push(Requester::new(account, kind, habits));
            let party = Party::Requester(self.requesters.len() - 1);
            if funds > 0 {
                self.send(party, Call::Deposit(Cycles(funds)));
            }
            // Workers need a moment to offer anything.
            self.wake(party, 15_000);
        }
    }

    fn prices(&mut self, kind: Kind) -> Vec<Offer> {
        let most = match kind {
            // Nobody is cheaper than who does not work.
            Kind::Sybil | Kind::Squatter => 1,
            _ => 2_000,
        };
        let even = self.plan.even_prices;
        let mut offers = Vec::new();
        for model in 0..self.models() {
            if even || self.rng.u8(..12) > 0 {
                let ask = |rng: &mut Rng, most| if even { most } else { rng.u128(0..most) };
                offers.push(Offer {
                    model: self.host.fixture.model(model).id,
                    ask_input: Cycles(ask(&mut self.rng, most)),
                    ask_output: Cycles(ask(&mut self.rng, most * 10)),
                });
            }
        }
        offers
    }

    fn models(&self) -> usize {
        self.host.fixture.records.len()
    }

    /// Runs the whole plan; gives the report.
    pub fn run(&mut self) -> Result<Report, String> {
        while self.steps < self.plan.steps && !self.is_all_asked() {
            self.advance()?;
        }
        self.settle_down()?;
        self.check()?;
        self.end_transfers()?;
        self.host.market.check_replay()?;
        Ok(self.report())
    }

    /// Whether a plan with so many jobs has come to its last one.
    fn is_all_asked(&self) -> bool {
        self.plan.jobs_max.is_some() && self.requesters.iter().all(Requester::is_done)
    }

    /// Lets the next event happen.
    fn advance(&mut self) -> Result<(), String> {
        let event = self.schedule.pop().ok_or("BUG: timers never end")?;
        self.host.advance(self.schedule.now());
        match event {
            Event::Wake(party) => self.think(party),
            Event::Reply(answer) => self.hear(*answer),
            Event::Call(sent) => self.deliver(sent),
            Event::Timer => self.timer(),
            Event::Matched(horizon) => self.matched(horizon),
            Event::Sync => self.sync(),
            Event::Churn => self.churn(),
            Event::Transfer => self.transfer(),
        }
    }

    fn think(&mut self, party: Party) -> Result<(), String> {
        let now = self.schedule.now();
        let next = match party {
            Party::Worker(i) => {
                let mut scene = scene(now, &mut self.rng, &mut self.truths, &self.leaks);
                self.workers[i].next(&mut scene)
            }
            Party::Requester(i) => self.requesters[i].next(now, &mut self.rng, &self.host.fixture),
        };
        match next {
            Next::Call(call) => {
                let id = self.send(party, call);
                let patience = match party {
                    Party::Worker(i) => self.workers[i].waits_for(id, now),
                    Party::Requester(i) => self.requesters[i].waits_for(id, now),
                };
                self.wake(party, patience);
            }
            Next::Sleep(time) => self.wake(party, time),
        }
        Ok(())
    }

    fn hear(&mut self, Answer { to, id, reply }: Answer) -> Result<(), String> {
        if let Some(probes) = &mut self.probes
            && let Some(call) = probes.hear(id, &reply)
        {
            let id = self.send(to, call);
            if let Some(probes) = &mut self.probes {
                probes.waits_for(id);
            }
            return Ok(());
        }
        let now = self.schedule.now();
        match to {
            Party::Worker(i) if self.workers[i].expects(id) => {
                let mut scene = scene(now, &mut self.rng, &mut self.truths, &self.leaks);
                self.workers[i].take(reply, &mut scene)?;
            }
            Party::Requester(i) if self.requesters[i].expects(id) => {
                self.requesters[i].take(reply, &mut self.rng);
            }
            _ => return Ok(()),
        }
        self.wake(to, 1);
        Ok(())
    }

    /// Lets somebody think so many milliseconds from now, and not before.
    fn wake(&mut self, party: Party, delay: Millis) {
        let wake = match party {
            Party::Worker(i) => &mut self.workers[i].wake,
            Party::Requester(i) => &mut self.requesters[i].wake,
        };
        let ticket = self.schedule.after(delay, Event::Wake(party));
        if let Some(earlier) = wake.replace(ticket) {
            self.schedule.cancel(earlier);
        }
    }

    fn report(&mut self) -> Report {
        let mut report = std::mem::take(&mut self.watch.report);
        report.steps = self.steps;
        report.seconds = self.schedule.now() / 1_000;
        for fault in Fault::ALL {
            report
                .faults
                .insert(fault.name().into(), self.faults.happened(fault));
        }
        for (name, count) in self.host.market.auditor().counts() {
            report.events.insert((*name).into(), (*count).into());
        }
        report
    }
}

/// Whoever may have money to bring or to take: requesters, providers, and the accounts that providers are paid to.
fn people(plan: &Plan) -> Vec<Principal> {
    let providers = plan.providers.values().map(Vec::len).sum::<usize>() as u8;
    (0..plan.requesters)
        .map(requester)
        .chain((0..providers).flat_map(|i| [provider(i), payout(i)]))
        .collect()
}

fn scene<'a>(now: Millis, rng: &'a mut Rng, truths: &'a mut Truths, leaks: &'a Leaks) -> Scene<'a> {
    Scene {
        now,
        rng,
        canister: canister(),
        truths,
        leaks,
    }
}
