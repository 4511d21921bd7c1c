//! A market full of people: requesters, honest workers and liars, all driven by one seed.
//!
//! A world takes one step at a time and checks after each what anybody could check: no lie is
//! paid where answers are compared, a verified answer is the true one, receipts add up, balances
//! are what the second opinion says, and roots stay hidden until their verdict.

use std::collections::BTreeMap;

use assay_protocol::{
    Cycles, Hash32, Hasher, JobId, LeaseId, ModelId, Timestamp,
    job::{
        JobError, JobView, Quote, Stats, StreamArgs, StreamChunk, SubmitArgs, SubmitError,
        Submitted, Verdict,
    },
    lease::{
        Beat, Claim, CommitArgs, LeaseState, Offer, Opening, Order, ProgressArgs, RevealArgs, Role,
        WorkHint, WorkerError, commitment, offers_hash,
    },
    limits,
    money::{GiveArgs, Holdings, MoneyError},
    receipt::Receipt,
    registry::{Record, WorkerStatus},
    request::JobRequest,
};
use candid::Principal;
use fastrand::Rng;

use super::{
    Fixture, Ledger, Lie, MODELS,
    asking::{random_request, spoil},
    body_root, canister,
    hidden::{check_hidden, ensure},
    honest_body, honest_opening, model_owner,
    money::Worked,
    payout, provider, requester, stranger,
};
use crate::config::Rules;

/// What a world can do to a market: the interface of a jobs canister, and its clock.
#[expect(
    missing_docs,
    reason = "each method is the canister's method of that name"
)]
pub trait Market {
    /// The market's time.
    fn now(&mut self) -> Timestamp;
    /// Lets time pass while the market's timers run.
    fn pass(&mut self, seconds: u64);
    /// Lets time pass while they do not; says whether this market can do so.
    fn stall(&mut self, seconds: u64) -> bool;
    /// Runs what is due now, matching included.
    fn tick(&mut self);
    /// Tells the market of a change in the registry; says whether this market can be told.
    fn sync(&mut self, record: &Record) -> bool;
    /// The jobs canister's own id, which commitments name.
    fn canister(&mut self) -> Principal {
        canister()
    }
    fn deposit(&mut self, beneficiary: Principal, amount: Cycles);
    fn quote(&mut self, request: &JobRequest) -> Result<Quote, SubmitError>;
    /// Submits with cycles attached; gives what was accepted of them, too.
    fn submit(
        &mut self,
        caller: Principal,
        args: &SubmitArgs,
        attached: Cycles,
    ) -> Result<(Submitted, Cycles), SubmitError>;
    fn cancel(&mut self, caller: Principal, job: JobId) -> Result<(), JobError>;
    fn ready(&mut self, caller: Principal, slots: u16) -> Result<(), WorkerError>;
    fn set_offers(&mut self, caller: Principal, offers: &[Offer]) -> Result<(), WorkerError>;
    fn work(&mut self, caller: Principal) -> Result<WorkHint, WorkerError>;
    fn claim(&mut self, caller: Principal, known: &[LeaseId]) -> Result<Vec<Order>, WorkerError>;
    fn heartbeat(
        &mut self,
        caller: Principal,
        leases: &[LeaseId],
    ) -> Result<Vec<(LeaseId, Beat)>, WorkerError>;
    fn progress(&mut self, caller: Principal, args: &ProgressArgs) -> Result<Beat, WorkerError>;
    fn transcript(&mut self, caller: Principal, lease: LeaseId) -> Result<Claim, WorkerError>;
    fn commit(&mut self, caller: Principal, args: &CommitArgs) -> Result<(), WorkerError>;
    fn reveal(&mut self, caller: Principal, args: &RevealArgs) -> Result<(), WorkerError>;
    fn abandon(
        &mut self,
        caller: Principal,
        lease: LeaseId,
        reason: &str,
    ) -> Result<(), WorkerError>;
    fn decline(
        &mut self,
        caller: Principal,
        lease: LeaseId,
        reason: &str,
    ) -> Result<(), WorkerError>;
    fn job(&mut self, caller: Principal, job: JobId) -> Result<JobView, JobError>;
    fn stream(&mut self, caller: Principal, args: &StreamArgs) -> Result<StreamChunk, JobError>;
    fn receipt(&mut self, job: JobId) -> Result<Receipt, JobError>;
    fn stats(&mut self) -> Stats;
    fn balance(&mut self, account: Principal) -> Cycles;
    fn holdings(&mut self, account: Principal) -> Holdings;
    fn stake(&mut self, caller: Principal, amount: Cycles) -> Result<Holdings, MoneyError>;
    fn unstake(&mut self, caller: Principal, amount: Cycles) -> Result<Holdings, MoneyError>;
    fn release_stake(&mut self, caller: Principal) -> Result<Holdings, MoneyError>;
    fn give(&mut self, caller: Principal, args: &GiveArgs) -> Result<Holdings, MoneyError>;
    fn fund_treasury(&mut self, caller: Principal, amount: Cycles) -> Result<Cycles, MoneyError>;
    fn fund_sponsor(&mut self, caller: Principal, amount: Cycles) -> Result<Cycles, MoneyError>;
    /// Checks that only this kind of market can make.
    fn check(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// How big a world is and what may happen in it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Providers.
    pub providers: u8,
    /// Workers of each provider.
    pub workers_each: u8,
    /// Slots of each worker.
    pub slots: u16,
    /// Requesters.
    pub requesters: u8,
    /// The market's fee.
    pub fee_bps: u16,
    /// Whether calls may carry cycles.
    pub attach: bool,
    /// Whether workers change their prices on the way.
    pub reprice: bool,
    /// What each requester has at first.
    pub funds: u128,
    /// The market's rules.
    pub rules: Rules,
    /// What each provider stakes at first.
    pub stake: u128,
    /// What the treasury has at first.
    pub treasury: u128,
    /// What the sponsor pool has at first.
    pub sponsor: u128,
    /// Steps from one look to the next.
    pub look_every: usize,
    /// Looks from one at all balances to the next; those between ask for balances that should have changed, and for the sum of all.
    pub all_every: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            providers: 5,
            workers_each: 1,
            slots: 2,
            requesters: 3,
            fee_bps: 250,
            attach: true,
            reprice: true,
            funds: 0,
            rules: Rules::LAX,
            stake: 0,
            treasury: 0,
            sponsor: 0,
            look_every: 1,
            all_every: 1,
        }
    }
}

/// Everybody outside the market.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    rng: Rng,
    fixture: Fixture,
    workers: Vec<Actor>,
    ledger: Ledger,
    /// Balances when they were last compared.
    compared: BTreeMap<Principal, u128>,
    looks: usize,
    /// Every accepted submit, in order.
    accepted: Vec<(JobId, Principal, SubmitArgs)>,
    open: Vec<JobId>,
    worked: BTreeMap<LeaseId, Worked>,
    truth: BTreeMap<LeaseId, Hash32>,
    commitments: Vec<Hash32>,
    /// Bonds seen lost, and bonuses seen given.
    bonds: BTreeMap<LeaseId, (u128, u128)>,
    keys: u64,
    done: Vec<&'static str>,
}

#[derive(Clone, Debug)]
struct Actor {
    operator: Principal,
    offers: Vec<Offer>,
    /// Of 100 leases, how many it cheats on.
    dishonesty: u8,
    active: bool,
    held: BTreeMap<LeaseId, Held>,
}

#[derive(Clone, Debug)]
struct Held {
    order: Order,
    conduct: Conduct,
    sent: u32,
    reveal: Option<RevealArgs>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    Honest,
    Lies(Lie),
    /// Commits to a result that is not the one it claims.
    TwoFaced,
    /// Commits somebody else's commitment.
    Copies,
    /// Never opens.
    Silent,
    /// Does nothing at all.
    Vanishes,
}

impl World {
    /// A world and what its registry tells. Workers set their first prices at once.
    pub fn new(plan: Plan, seed: u64, market: &mut impl Market, fixture: Fixture) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut workers = Vec::new();
        for &operator in &fixture.workers {
            let dishonesty = *rng.choice([0, 0, 20, 60, 100].iter()).unwrap_or(&0);
            workers.push(Actor {
                operator,
                offers: Vec::new(),
                dishonesty,
                active: true,
                held: BTreeMap::new(),
            });
        }
        let mut world = Self {
            plan,
            rng,
            fixture,
            workers,
            ledger: Ledger::default(),
            accepted: Vec::new(),
            open: Vec::new(),
            worked: BTreeMap::new(),
            truth: BTreeMap::new(),
            commitments: Vec::new(),
            bonds: BTreeMap::new(),
            keys: 0,
            done: Vec::new(),
            compared: BTreeMap::new(),
            looks: 0,
        };
        for i in 0..world.workers.len() {
            world.price(market, i);
        }
        for owner in (0..plan.requesters)
            .map(requester)
            .filter(|_| plan.funds > 0)
        {
            market.deposit(owner, Cycles(plan.funds));
            world.ledger.deposit(owner, plan.funds);
        }
        if plan.treasury > 0 {
            let from = stranger();
            market.deposit(from, Cycles(plan.treasury));
            world.ledger.deposit(from, plan.treasury);
            let told = market.fund_treasury(from, Cycles(plan.treasury));
            told.expect("what was deposited may be given");
            world.ledger.fund_treasury(from, plan.treasury);
        }
        let Rules {
            sponsor_caller_daily,
            sponsor_daily,
            ..
        } = plan.rules;
        world
            .ledger
            .limit_sponsor(sponsor_caller_daily.0, sponsor_daily.0);
        if plan.sponsor > 0 {
            let from = stranger();
            market.deposit(from, Cycles(plan.sponsor));
            world.ledger.deposit(from, plan.sponsor);
            let told = market.fund_sponsor(from, Cycles(plan.sponsor));
            told.expect("what was deposited may be given");
            world.ledger.fund_sponsor(from, plan.sponsor);
        }
        for owner in (0..plan.providers).map(provider).filter(|_| plan.stake > 0) {
            market.deposit(owner, Cycles(plan.stake));
            world.ledger.deposit(owner, plan.stake);
            let told = market.stake(owner, Cycles(plan.stake));
            told.expect("what was deposited may be staked");
            world.ledger.stake(owner, plan.stake);
        }
        world
    }

    /// Takes one step and checks the market.
    pub fn step(&mut self, market: &mut impl Market) -> Result<(), String> {
        let name = self.act(market)?;
        self.done.push(name);
        if !self.done.len().is_multiple_of(self.plan.look_every) {
            return Ok(());
        }
        self.look(market)
            .and_then(|()| market.check())
            .map_err(|what| format!("after step {} ({name}): {what}", self.done.len()))
    }

    /// Lets everything come to its end, and checks that it did.
    pub fn finish(&mut self, market: &mut impl Market) -> Result<(), String> {
        for round in 0..300 {
            if self.open.is_empty() {
                break;
            }
            if round < 30 {
                for worker in 0..self.workers.len() {
                    if self.workers[worker].active {
                        let told = market.ready(self.workers[worker].operator, self.plan.slots);
                        ensure(told.is_ok(), || format!("ready: {told:?}"))?;
                    }
                    self.work(market, worker)?;
                }
                self.pass(market, 2)?;
            } else {
                market.pass(30);
            }
            self.look(market)
                .and_then(|()| market.check())
                .map_err(|what| format!("at the end: {what}"))?;
        }
        if self.open.is_empty() {
            Ok(())
        } else {
            Err(format!("jobs {:?} never ended", self.open))
        }
    }

    /// The second opinion on everybody's balance; whoever moves money beside the world tells it here.
    pub fn books(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// The steps taken, by name.
    pub fn steps(&self) -> &[&'static str] {
        &self.done
    }

    /// How often a step of this name was taken.
    pub fn times(&self, name: &str) -> usize {
        self.done.iter().filter(|done| **done == name).count()
    }

    /// Leases on which a worker lied and committed.
    pub fn lies(&self) -> usize {
        self.worked.values().filter(|worked| worked.lied).count()
    }

    fn act(&mut self, market: &mut impl Market) -> Result<&'static str, String> {
        let worker = self.rng.usize(..self.workers.len());
        match self.rng.u32(..1_000) {
            0..70 => self.submit(market),
            70..110 => self.submit_badly(market),
            110..125 => self.submit_again(market),
            125..135 => {
                let (to, amount) = (
                    requester(self.rng.u8(..self.plan.requesters)),
                    self.rng.u128(1..5_000_000),
                );
                market.deposit(to, Cycles(amount));
                self.ledger.deposit(to, amount);
                Ok("deposit")
            }
            135..150 => self.cancel(market),
            150..300 => {
                let slots = self.rng.u16(0..=self.plan.slots + 1);
                let expected = self.workers[worker].active;
                let told = market.ready(self.workers[worker].operator, slots);
                ensure(told.is_ok() == expected, || format!("ready: {told:?}"))?;
                Ok("ready")
            }
            300..390 => {
                market.tick();
                Ok("tick")
            }
            390..420 => {
                let seconds = self.rng.u64(1..10);
                self.pass(market, seconds)?;
                Ok("pass")
            }
            420..423 => {
                let seconds = self.rng.u64(20..150);
                self.pass(market, seconds)?;
                Ok("pass long")
            }
            423..426 => {
                let seconds = self.rng.u64(20..150);
                market.pass(seconds);
                Ok("pass in silence")
            }
            426..428 => {
                let seconds = self.rng.u64(21..4_000);
                market.stall(seconds);
                Ok("stall")
            }
            428..430 => self.change_worker(market, worker),
            430..440 if self.plan.reprice => {
                self.price(market, worker);
                Ok("price")
            }
            440..470 => self.meddle(market, worker),
            470..473 => self.give_back(market, worker),
            473..475 => self.move_stake(market),
            475..490 => self.heartbeat(market, worker),
            490..492 => self.give(market),
            _ => self.work(market, worker),
        }
    }

    /// A requester gives cycles to another, or to itself, or more than it has.
    fn give(&mut self, market: &mut impl Market) -> Result<&'static str, String> {
        // What jobs have given since the last look may be given on, so it is booked first.
        self.look(market)?;
        let mut one = || requester(self.rng.u8(..self.plan.requesters));
        let (from, to) = (one(), one());
        let balance = market.balance(from).0;
        let amount = match self.rng.bool() {
            true => balance,
            false => self.rng.u128(0..=balance + 1),
        };
        let enough = amount == balance || amount >= limits::TRANSFER_CYCLES_MIN;
        let allowed = from != to && (1..=balance).contains(&amount) && enough;
        let args = GiveArgs {
            to,
            amount: Cycles(amount),
        };
        let told = market.give(from, &args);
        ensure(told.is_ok() == allowed, || {
            format!("{from} gives {args:?} of {balance}: {told:?}")
        })?;
        if allowed {
            self.ledger.move_balance(from, to, amount);
        }
        Ok("give")
    }

    /// A provider puts stake in or takes some out, as far as it may.
    fn move_stake(&mut self, market: &mut impl Market) -> Result<&'static str, String> {
        let owner = provider(self.rng.u8(..self.plan.providers));
        let Holdings {
            free,
            stake,
            locked,
            unbonding,
            unbonding_until,
            sponsored: _,
        } = market.holdings(owner);
        let amount = self.rng.u128(0..2_000);
        match self.rng.u8(..3) {
            0 => {
                let told = market.stake(owner, Cycles(amount));
                let may = amount > 0 && amount <= free.0;
                ensure(told.is_ok() == may, || {
                    format!("stake {amount} of {free}: {told:?}")
                })?;
                if may {
                    self.ledger.stake(owner, amount);
                }
                Ok("stake")
            }
            1 => {
                let told = market.unstake(owner, Cycles(amount));
                let may = amount > 0 && amount <= stake.0 - locked.0;
                ensure(told.is_ok() == may, || {
                    format!("unstake {amount} of {stake}, {locked} locked: {told:?}")
                })?;
                Ok("unstake")
            }
            _ => {
                let told = market.release_stake(owner);
                if told.is_ok() {
                    ensure(
                        unbonding_until.is_some_and(|until| until < market.now()),
                        || format!("stake came out before {unbonding_until:?}"),
                    )?;
                    self.ledger.unstake(owner, unbonding.0);
                }
                Ok("release stake")
            }
        }
    }

    /// Lets time pass while most workers show that they live.
    fn pass(&mut self, market: &mut impl Market, seconds: u64) -> Result<(), String> {
        let mut rest = seconds;
        while rest > 0 {
            let part = rest.min(limits::HEARTBEAT_SECONDS);
            market.pass(part);
            rest -= part;
            for worker in 0..self.workers.len() {
                if self.rng.u8(..20) > 0 {
                    self.heartbeat(market, worker)?;
                }
            }
        }
        Ok(())
    }

    fn price(&mut self, market: &mut impl Market, worker: usize) {
        // Leases that are on their way have the price of now.
        if !self.open.is_empty() {
            market.tick();
            for job in self.open.clone() {
                if let Ok(view) = market.job(stranger(), job) {
                    self.note_prices(&view);
                }
            }
        }
        let mut offers = Vec::new();
        for i in 0..MODELS.len() {
            if self.rng.u8(..10) > 0 {
                let ask_input = Cycles(self.rng.u128(0..2_000));
                let ask_output = Cycles(self.rng.u128(0..20_000));
                offers.push(Offer {
                    model: self.fixture.model(i).id,
                    ask_input,
                    ask_output,
                });
            }
        }
        if market
            .set_offers(self.workers[worker].operator, &offers)
            .is_ok()
        {
            self.workers[worker].offers = offers;
        }
    }

    fn submit(&mut self, market: &mut impl Market) -> Result<&'static str, String> {
        let request = random_request(&mut self.rng, &self.fixture);
        let Ok(quote) = market.quote(&request) else {
            return Ok("no quote");
        };
        let from = requester(self.rng.u8(..self.plan.requesters));
        let cap = match self.rng.u8(..8) {
            0 => quote.price_max.0.saturating_sub(1),
            1..=4 => quote.price_max.0,
            _ => quote.price_max.0 * self.rng.u128(100..300) / 100,
        };
        // What jobs have given back since the last look may pay for this one, so it is booked first.
        if self.ledger.balance(from) < cap {
            self.look(market)?;
        }
        let balance = self.ledger.balance(from);
        let missing = cap.saturating_sub(balance);
        let attached = match self.rng.u8(..8) {
            _ if !self.plan.attach => 0,
            0 => missing.saturating_sub(1),
            1..=5 => missing,
            _ => missing + self.rng.u128(0..1_000),
        };
        let now = market.now();
        // The pool pays what is still missing, at the quoted price and not above.
        let sponsored = cap == quote.price_max.0
            && missing - missing.min(attached) <= self.ledger.sponsored_left(from, now);
        self.keys += 1;
        let args = SubmitArgs {
            request,
            price_cap: Cycles(cap),
            deadline_seconds: self.rng.u32(limits::DEADLINE_SECONDS_MIN..1_200),
            idempotency_key: self.keys.to_le_bytes().to_vec(),
        };
        match market.submit(from, &args, Cycles(attached)) {
            Ok((submitted, accepted)) => {
                ensure(cap >= quote.price_max.0, || {
                    "a cap below the quote was accepted".into()
                })?;
                ensure(attached >= missing || sponsored, || {
                    "too little money was accepted".into()
                })?;
                ensure(!submitted.duplicate && submitted.escrow.0 == cap, || {
                    format!("{submitted:?}")
                })?;
                let expected = self
                    .ledger
                    .submit(submitted.job, from, (cap, attached), now)?;
                ensure(accepted.0 == expected, || {
                    format!("{accepted} accepted from the call, {expected} were missing")
                })?;
                self.accepted.push((submitted.job, from, args));
                self.open.push(submitted.job);
                Ok(match attached >= missing {
                    true => "submit",
                    false => "submit sponsored",
                })
            }
            Err(SubmitError::PriceCapTooLow { .. }) if cap < quote.price_max.0 => {
                Ok("submit too low")
            }
            Err(SubmitError::InsufficientFunds { .. }) if attached < missing && !sponsored => {
                Ok("submit too poor")
            }
            Err(SubmitError::TooManyOpenJobs { .. }) => Ok("submit too many"),
            Err(error) => Err(format!("submit: {error:?}")),
        }
    }

    /// Submits what must be refused; the books show afterwards that nothing was taken.
    fn submit_badly(&mut self, market: &mut impl Market) -> Result<&'static str, String> {
        let mut args = SubmitArgs {
            request: random_request(&mut self.rng, &self.fixture),
            price_cap: Cycles(1_000_000_000),
            deadline_seconds: 60,
            idempotency_key: vec![1],
        };
        let mut from = requester(0);
        spoil(&mut self.rng, &mut from, &mut args);
        let attached = if self.plan.attach {
            Cycles(2_000_000_000)
        } else {
            Cycles::ZERO
        };
        let told = market.submit(from, &args, attached);
        ensure(told.is_err(), || format!("{args:?} was accepted"))?;
        Ok("submit badly")
    }

    fn submit_again(&mut self, market: &mut impl Market) -> Result<&'static str, String> {
        if self.accepted.is_empty() {
            return Ok("nothing to repeat");
        }
        let (job, from, mut args) = self.accepted[self.rng.usize(..self.accepted.len())].clone();
        let change = self.rng.bool();
        if change {
            args.deadline_seconds += 1;
        }
        match market.submit(from, &args, Cycles::ZERO) {
            Ok((submitted, accepted)) => {
                let same = submitted.duplicate && submitted.job == job && accepted == Cycles::ZERO;
                ensure(!change && same, || {
                    format!("repeating job {job} gave {submitted:?}")
                })?;
            }
            Err(SubmitError::KeyReused { job: held }) => ensure(change && held == job, || {
                format!("the key of job {job} is {held}'s")
            })?,
            Err(error) => return Err(format!("repeating job {job}: {error:?}")),
        }
        Ok("submit again")
    }

    fn cancel(&mut self, market: &mut impl Market) -> Result<&'static str, String> {
        if self.accepted.is_empty() {
            return Ok("nothing to cancel");
        }
        let (job, from, _) = self.accepted[self.rng.usize(..self.accepted.len())].clone();
        let foreign = market.cancel(stranger(), job);
        ensure(foreign == Err(JobError::NotYours(job)), || {
            format!("a stranger cancels job {job}: {foreign:?}")
        })?;
        let stream = StreamArgs {
            job,
            round: 0,
            cursor: 0,
        };
        let shown = market
            .stream(from, &stream)
            .map_err(|error| format!("stream: {error:?}"))?;
        match market.cancel(from, job) {
            Ok(()) => {
                ensure(shown.text.is_empty(), || {
                    format!("job {job} was read and cancelled")
                })?;
                Ok("cancel")
            }
            Err(JobError::TooLate(_)) => Ok("cancel too late"),
            Err(JobError::Ended { .. }) => Ok("cancel ended"),
            Err(error) => Err(format!("cancel: {error:?}")),
        }
    }

    fn change_worker(
        &mut self,
        market: &mut impl Market,
        worker: usize,
    ) -> Result<&'static str, String> {
        let mut record = self.fixture.worker(self.workers[worker].operator).clone();
        let active = !self.workers[worker].active;
        record.status = if active {
            WorkerStatus::Active
        } else {
            WorkerStatus::Draining
        };
        if market.sync(&Record::Worker(record)) {
            self.workers[worker].active = active;
        }
        Ok("change worker")
    }

    /// Steps that only a lease's own worker may take, by somebody else.
    fn meddle(&mut self, market: &mut impl Market, worker: usize) -> Result<&'static str, String> {
        let owner = self.rng.usize(..self.workers.len());
        let held: Vec<LeaseId> = self.workers[owner].held.keys().copied().collect();
        let Some(&lease) = held.get(self.rng.usize(..held.len().max(1))) else {
            return Ok("nothing to meddle with");
        };
        if owner == worker {
            return Ok("nothing to meddle with");
        }
        let caller = self.workers[worker].operator;
        let hash = Hash32([7; 32]);
        let told = match self.rng.u8(..5) {
            0 => market.commit(
                caller,
                &CommitArgs {
                    lease,
                    commitment: hash,
                    claim: None,
                },
            ),
            1 => market.reveal(
                caller,
                &RevealArgs {
                    lease,
                    nonce: hash,
                    opening: Opening::Agrees { root: hash },
                },
            ),
            2 => market.abandon(caller, lease, "not mine"),
            3 => market.transcript(caller, lease).map(drop),
            _ => market
                .progress(
                    caller,
                    &ProgressArgs {
                        lease,
                        from: 0,
                        tokens: vec![1],
                        text: String::new(),
                    },
                )
                .map(drop),
        };
        ensure(told == Err(WorkerError::ForeignLease(lease)), || {
            format!("meddling with lease {lease}: {told:?}")
        })?;
        Ok("meddle")
    }

    fn give_back(
        &mut self,
        market: &mut impl Market,
        worker: usize,
    ) -> Result<&'static str, String> {
        let Some(lease) = self.some_lease(worker) else {
            return Ok("nothing to give back");
        };
        let operator = self.workers[worker].operator;
        let told = match self.rng.u8(..4) {
            0 => market.decline(operator, lease, "cannot be done"),
            _ => market.abandon(operator, lease, "going home"),
        };
        match told {
            Ok(()) | Err(WorkerError::TooLate { .. }) => {
                self.workers[worker].held.remove(&lease);
            }
            Err(WorkerError::WrongState { .. }) => {}
            Err(error) => return Err(format!("abandon: {error:?}")),
        }
        Ok("give back")
    }

    fn heartbeat(
        &mut self,
        market: &mut impl Market,
        worker: usize,
    ) -> Result<&'static str, String> {
        let actor = &self.workers[worker];
        let leases: Vec<LeaseId> = actor
            .held
            .iter()
            .filter(|(_, held)| held.conduct != Conduct::Vanishes)
            .map(|(id, _)| *id)
            .collect();
        let beats = market
            .heartbeat(actor.operator, &leases)
            .map_err(|error| format!("heartbeat: {error:?}"))?;
        ensure(beats.iter().map(|(id, _)| *id).eq(leases), || {
            "heartbeats in another order".into()
        })?;
        for (lease, beat) in beats {
            if let Beat::Stop(_) = beat {
                // Its opening may still be asked for in another test of wits; it is refused then.
                self.workers[worker].held.remove(&lease);
            }
        }
        Ok("heartbeat")
    }

    /// What a worker would do next: claim, and take each of its leases one step further.
    fn work(&mut self, market: &mut impl Market, worker: usize) -> Result<&'static str, String> {
        let operator = self.workers[worker].operator;
        let hint = market
            .work(operator)
            .map_err(|error| format!("work: {error:?}"))?;
        ensure(
            hint.offers == Some(offers_hash(&self.workers[worker].offers)),
            || format!("other prices of {operator} stand"),
        )?;
        let mut did = "idle";
        // Now and then it starts anew, and has nothing but what it committed to.
        if self.rng.u8(..40) == 0 {
            let held = &mut self.workers[worker].held;
            held.retain(|_, held| held.reveal.is_some());
        }
        let held = &self.workers[worker].held;
        let unknown = hint
            .leases
            .iter()
            .any(|hint| hint.state == LeaseState::Leased && !held.contains_key(&hint.lease));
        if (hint.unclaimed > 0 || unknown) && self.rng.u8(..20) > 0 {
            did = self.claim(market, worker)?;
        }
        for held in self.workers[worker].held.clone().into_values() {
            let lease = held.order.lease;
            did = match held.reveal.clone() {
                _ if held.conduct == Conduct::Vanishes => "vanish",
                None if held.order.role == Role::Generator
                    && held.conduct != Conduct::Copies
                    && self.rng.u8(..3) == 0 =>
                {
                    self.progress(market, worker, held)?
                }
                None => self.commit(market, worker, held)?,
                Some(_) if held.conduct == Conduct::Silent => "keep silent",
                Some(reveal) => {
                    let open = hint
                        .leases
                        .iter()
                        .any(|hint| hint.lease == lease && hint.reveal_open);
                    // Too early is tried now and then.
                    if open || self.rng.u8(..10) == 0 {
                        self.reveal(market, worker, &held.order, reveal, open)?
                    } else {
                        "wait"
                    }
                }
            };
        }
        Ok(did)
    }

    fn claim(&mut self, market: &mut impl Market, worker: usize) -> Result<&'static str, String> {
        let known: Vec<LeaseId> = self.workers[worker].held.keys().copied().collect();
        let orders = market
            .claim(self.workers[worker].operator, &known)
            .map_err(|error| format!("claim: {error:?}"))?;
        for order in orders {
            ensure(!known.contains(&order.lease), || {
                format!("lease {} was known", order.lease)
            })?;
            self.note_price(order.lease, order.model, worker);
            let cheats = self.rng.u8(..100) < self.workers[worker].dishonesty;
            let conduct = if !cheats {
                Conduct::Honest
            } else {
                match self.rng.u8(..9) {
                    0 => Conduct::Silent,
                    1 => Conduct::Vanishes,
                    2 => Conduct::Copies,
                    3 if order.role == Role::Generator => Conduct::TwoFaced,
                    n => Conduct::Lies(Lie::ALL[usize::from(n) % Lie::ALL.len()]),
                }
            };
            self.truth
                .insert(order.lease, body_root(&order, &honest_body(&order)));
            self.workers[worker].held.insert(
                order.lease,
                Held {
                    sent: order.streamed,
                    order,
                    conduct,
                    reveal: None,
                },
            );
        }
        Ok("claim")
    }

    fn progress(
        &mut self,
        market: &mut impl Market,
        worker: usize,
        held: Held,
    ) -> Result<&'static str, String> {
        let body = match held.conduct {
            Conduct::Lies(lie) => lie.body(&held.order),
            _ => honest_body(&held.order),
        };
        let from = held.sent as usize;
        let to = body.output_tokens.len().min(from + self.rng.usize(1..20));
        // Nothing, where a lie is shorter than what another worker streamed before.
        let tokens = body.output_tokens.get(from..to).unwrap_or_default();
        let (tokens, to) = (tokens.to_vec(), from + tokens.len());
        let text = "ü".repeat(tokens.len());
        let lease = held.order.lease;
        let told = market.progress(
            self.workers[worker].operator,
            &ProgressArgs {
                lease,
                from: held.sent,
                tokens,
                text,
            },
        );
        match told {
            Ok(_) => {
                if let Some(held) = self.workers[worker].held.get_mut(&lease) {
                    held.sent = to as u32;
                }
            }
            Err(WorkerError::TooLate { .. } | WorkerError::WrongState { .. }) => {
                self.workers[worker].held.remove(&lease);
            }
            Err(error) => return Err(format!("progress: {error:?}")),
        }
        Ok("progress")
    }

    fn commit(
        &mut self,
        market: &mut impl Market,
        worker: usize,
        held: Held,
    ) -> Result<&'static str, String> {
        let Held { order, conduct, .. } = held;
        let operator = self.workers[worker].operator;
        let lease = order.lease;
        let mut claim = None;
        let opening = match order.role {
            Role::Checker => match market.transcript(operator, lease) {
                Ok(found) => match conduct {
                    Conduct::Lies(lie) => lie.opening(&order),
                    _ => honest_opening(&order, &found),
                },
                Err(WorkerError::TranscriptNotFinal(_)) => return Ok("transcript not final"),
                Err(WorkerError::TooLate { .. } | WorkerError::WrongState { .. }) => {
                    self.workers[worker].held.remove(&lease);
                    return Ok("transcript too late");
                }
                Err(error) => return Err(format!("transcript: {error:?}")),
            },
            Role::Generator | Role::Replica => {
                let body = match conduct {
                    Conduct::Lies(lie) => lie.body(&order),
                    _ => honest_body(&order),
                };
                if order.role == Role::Generator {
                    let shown = if conduct == Conduct::TwoFaced {
                        Lie::Tokens.body(&order)
                    } else {
                        body.clone()
                    };
                    claim = Some(Claim {
                        output: shown.output_tokens,
                        finish: shown.finish,
                    });
                }
                Opening::Result(body)
            }
        };
        let root = match &opening {
            Opening::Result(body) => body_root(&order, body),
            Opening::Agrees { root } => *root,
            Opening::Mismatch(mismatch) => mismatch.root(order.job, order.round),
        };
        let nonce = Hasher::new("testing-nonce").u64(lease.0).finish();
        let mut hash = commitment(&market.canister(), lease, &operator, &nonce, &root);
        if conduct == Conduct::Copies {
            hash = self.commitments.last().copied().unwrap_or(Hash32([9; 32]));
        }
        match market.commit(
            operator,
            &CommitArgs {
                lease,
                commitment: hash,
                claim,
            },
        ) {
            Ok(()) => {
                self.commitments.push(hash);
                let lied = matches!(
                    conduct,
                    Conduct::Lies(_) | Conduct::TwoFaced | Conduct::Copies
                );
                // A lie that happens to be the truth is none.
                let lied = lied
                    && (conduct == Conduct::Copies
                        || conduct == Conduct::TwoFaced
                        || self.truth.get(&lease) != Some(&root));
                let worked = self.worked.entry(lease).or_default();
                worked.lied = lied;
                if let Opening::Result(body) = &opening {
                    worked.input_tokens = body.input_tokens.len() as u64;
                    worked.output_tokens = body.output_tokens.len() as u64;
                }
                if let Some(held) = self.workers[worker].held.get_mut(&lease) {
                    held.reveal = Some(RevealArgs {
                        lease,
                        nonce,
                        opening,
                    });
                }
                Ok("commit")
            }
            Err(WorkerError::TooLate { .. } | WorkerError::WrongState { .. }) => {
                self.workers[worker].held.remove(&lease);
                Ok("commit too late")
            }
            Err(error) => Err(format!("commit of lease {lease}: {error:?}")),
        }
    }

    fn reveal(
        &mut self,
        market: &mut impl Market,
        worker: usize,
        order: &Order,
        reveal: RevealArgs,
        open: bool,
    ) -> Result<&'static str, String> {
        let operator = self.workers[worker].operator;
        let copies = self.workers[worker]
            .held
            .get(&order.lease)
            .is_some_and(|held| held.conduct == Conduct::Copies);
        let spoil = self.rng.u8(..5) == 0;
        let mut args = reveal;
        if spoil {
            args.nonce.0[0] ^= 1;
        }
        match market.reveal(operator, &args) {
            Ok(()) => {
                ensure(open && !spoil && !copies, || {
                    format!("lease {} was opened wrongly", order.lease)
                })?;
                // The same again changes nothing.
                let again = market.reveal(operator, &args);
                ensure(again.is_ok(), || format!("revealing again: {again:?}"))?;
                self.workers[worker].held.remove(&order.lease);
                Ok("reveal")
            }
            Err(WorkerError::WrongOpening { .. }) => {
                ensure(open && (spoil || copies), || {
                    format!("lease {} was opened rightly", order.lease)
                })?;
                Ok("wrong opening")
            }
            Err(WorkerError::NotRevealing { .. }) => {
                ensure(!open, || {
                    format!("lease {} may reveal and may not", order.lease)
                })?;
                Ok("reveal too early")
            }
            Err(WorkerError::TooLate { .. } | WorkerError::WrongState { .. }) => {
                self.workers[worker].held.remove(&order.lease);
                Ok("reveal too late")
            }
            Err(error) => Err(format!("reveal: {error:?}")),
        }
    }

    fn some_lease(&mut self, worker: usize) -> Option<LeaseId> {
        let held: Vec<LeaseId> = self.workers[worker].held.keys().copied().collect();
        held.get(self.rng.usize(..held.len().max(1))).copied()
    }

    /// Looks at every open job, books those that have ended and compares balances.
    fn look(&mut self, market: &mut impl Market) -> Result<(), String> {
        for job in std::mem::take(&mut self.open) {
            let (_, from, args) = self
                .accepted
                .iter()
                .find(|(id, ..)| *id == job)
                .cloned()
                .expect("open jobs were accepted");
            let view = market
                .job(from, job)
                .map_err(|error| format!("job {job}: {error:?}"))?;
            self.note_prices(&view);
            self.note_bonds(&view)?;
            if !view.state.is_terminal() {
                check_hidden(market, &view, from, args.request.assurance)?;
                self.open.push(job);
                continue;
            }
            let receipt = market
                .receipt(job)
                .map_err(|error| format!("receipt of job {job}: {error:?}"))?;
            self.check_end(&view, &receipt)?;
            let rates = (u128::from(self.plan.fee_bps), 500);
            self.ledger
                .settle(
                    &receipt,
                    from,
                    &self.worked,
                    payout_of,
                    model_owner(),
                    rates,
                )
                .map_err(|what| format!("job {job}: {what}"))?;
        }
        self.looks += 1;
        let all = self.open.is_empty() || self.looks.is_multiple_of(self.plan.all_every);
        let mut sum = 0;
        for (account, expected) in self.ledger.accounts() {
            sum += expected;
            if !all && self.compared.get(account) == Some(expected) {
                continue;
            }
            let balance = market.balance(*account);
            ensure(balance.0 == *expected, || {
                format!("{account} has {balance}, expected {expected}")
            })?;
            self.compared.insert(*account, *expected);
        }
        let free = market.stats().free;
        ensure(free.0 == sum, || {
            format!("all balances are {free}, those of the books {sum}")
        })?;
        if self.plan.sponsor > 0 {
            let now = market.now();
            for account in (0..self.plan.requesters).map(requester) {
                let left = market.holdings(account).sponsored.0;
                let expected = self.ledger.sponsored_left(account, now);
                ensure(left == expected, || {
                    format!("{left} would be paid for {account}, expected {expected}")
                })?;
            }
        }
        Ok(())
    }

    /// Books bonds that were lost since the last look, and who got them.
    fn note_bonds(&mut self, view: &JobView) -> Result<(), String> {
        for lease in &view.leases {
            let seen = self.bonds.entry(lease.id).or_default();
            let lost = lease.forfeited.0 - seen.0;
            seen.0 = lease.forfeited.0;
            if lost == 0 {
                continue;
            }
            ensure(
                lease.state == LeaseState::Silent && lost == self.plan.rules.reveal_bond.0,
                || format!("lease {} is {:?} and lost {lost}", lease.id, lease.state),
            )?;
            let mut to = Vec::new();
            for other in view
                .leases
                .iter()
                .filter(|other| other.round == lease.round)
            {
                let seen = self.bonds.entry(other.id).or_default();
                let got = other.bonus.0 - seen.1;
                seen.1 = other.bonus.0;
                if got > 0 {
                    to.push((payout_of(other.provider), got));
                }
            }
            let fair = to.iter().all(|(_, got)| *got == lost / to.len() as u128);
            ensure(
                fair && (to.is_empty() || lease.role == Role::Generator),
                || format!("lease {} lost {lost}, and {to:?} went out", lease.id),
            )?;
            self.ledger.lose_bond(lost, &to)?;
        }
        Ok(())
    }

    fn note_prices(&mut self, view: &JobView) {
        for lease in &view.leases {
            let actor = self
                .workers
                .iter()
                .position(|actor| actor.operator == lease.worker);
            if let Some(worker) = actor.filter(|_| lease.state == LeaseState::Leased) {
                self.note_price(lease.id, view.model, worker);
            }
        }
    }

    /// Notes a new lease's price, which is its worker's of now.
    fn note_price(&mut self, lease: LeaseId, model: ModelId, worker: usize) {
        let offers = &self.workers[worker].offers;
        let worked = self.worked.entry(lease).or_default();
        if (worked.ask_input, worked.ask_output) == (0, 0)
            && let Some(offer) = offers.iter().find(|offer| offer.model == model)
        {
            (worked.ask_input, worked.ask_output) = (offer.ask_input.0, offer.ask_output.0);
        }
    }

    fn check_end(&self, view: &JobView, receipt: &Receipt) -> Result<(), String> {
        let id = view.id;
        ensure(
            view.state == receipt.state && view.verdict == receipt.verdict,
            || format!("job {id} and its receipt differ"),
        )?;
        ensure(view.escrow == receipt.escrow, || {
            format!("job {id} held {}, says its receipt", receipt.escrow)
        })?;
        if view.verdict == Some(Verdict::Verified) {
            let last = receipt
                .leases
                .iter()
                .rev()
                .find(|lease| lease.role != Role::Checker && lease.root == view.result_root);
            let truth = last.and_then(|lease| self.truth.get(&lease.lease).copied());
            ensure(truth.is_some() && truth == view.result_root, || {
                format!("job {id} verified a lie")
            })?;
        }
        let answered = matches!(view.verdict, Some(Verdict::Verified | Verdict::Unverified));
        ensure(view.answer.is_some() == answered, || {
            format!(
                "job {id} is {:?} and its answer is {:?}",
                view.verdict, view.answer
            )
        })
    }
}

/// The payout account of a provider.
fn payout_of(owner: Principal) -> Principal {
    (0..u8::MAX)
        .find(|&i| provider(i) == owner)
        .map_or(owner, payout)
}
