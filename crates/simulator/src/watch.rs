//! Whoever watches: a second opinion on every answer of the market, written without the core's rules.
//!
//! It knows what everybody is and what the model says, which the market does not. Money is checked by
//! the [`Ledger`], the log by the auditor, the state by the invariants of the core's tests.

mod canaries;
mod ends;
mod stakes;
mod submits;

use std::collections::{BTreeMap, BTreeSet};

use assay_jobs_core::{
    config::Rules,
    event::Event,
    testing::{Ledger, Market, Worked, check_hidden, ensure},
};
use assay_protocol::{
    JobId, LeaseId, Timestamp,
    job::{JobError, SubmitArgs},
    lease::{Offer, Opening, Order, RevealArgs, Role},
    registry::{Record, WorkerStatus},
    store::{Log, Table},
};
use canaries::Canaries;
use candid::Principal;
use stakes::Stakes;

use crate::{
    host::Host,
    kind::Kind,
    message::{Call, Reply},
    refusals::check_refusal,
    report::Report,
    schedule::Millis,
    truth::{Ring, Truths},
};

/// What somebody who works is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    pub(crate) kind: Kind,
    pub(crate) ring: Option<Ring>,
}

/// A job as it was accepted.
#[derive(Clone, Debug)]
struct Accepted {
    from: Principal,
    args: SubmitArgs,
    /// How long the canister had stood still before.
    still: Millis,
}

#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) report: Report,
    pub(crate) people: BTreeMap<Principal, Person>,
    pub(crate) requesters: BTreeMap<Principal, Kind>,
    ledger: Ledger,
    worked: BTreeMap<LeaseId, Worked>,
    orders: BTreeMap<LeaseId, Order>,
    /// Prices as they were told to the market.
    offers: BTreeMap<Principal, Vec<Offer>>,
    /// Payout accounts as the market has heard of them.
    payouts: BTreeMap<Principal, Principal>,
    /// Workers as the market has heard of them.
    pub(crate) known: BTreeMap<Principal, WorkerStatus>,
    accepted: BTreeMap<JobId, Accepted>,
    /// Jobs by the keys that they were last submitted with.
    keys: BTreeMap<(Principal, Vec<u8>), JobId>,
    ended: BTreeMap<JobId, Timestamp>,
    open: BTreeSet<JobId>,
    stakes: Stakes,
    canaries: Canaries,
    /// Events of the log that were read.
    events: u64,
    leases: u64,
    fee_bps: u16,
    rules: Rules,
    longest: u32,
}

impl Watch {
    pub(crate) fn new(fee_bps: u16, rules: Rules) -> Self {
        let mut ledger = Ledger::default();
        ledger.limit_sponsor(rules.sponsor_caller_daily.0, rules.sponsor_daily.0);
        Self {
            report: Report::default(),
            people: BTreeMap::new(),
            requesters: BTreeMap::new(),
            ledger,
            worked: BTreeMap::new(),
            orders: BTreeMap::new(),
            offers: BTreeMap::new(),
            payouts: BTreeMap::new(),
            known: BTreeMap::new(),
            accepted: BTreeMap::new(),
            keys: BTreeMap::new(),
            ended: BTreeMap::new(),
            open: BTreeSet::new(),
            stakes: Stakes::default(),
            canaries: Canaries::default(),
            events: 0,
            leases: 0,
            fee_bps,
            rules,
            longest: 0,
        }
    }

    /// What everybody must have.
    pub(crate) fn books(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Jobs that have not ended.
    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// The longest deadline that any job has had, in seconds.
    pub(crate) fn longest(&self) -> u32 {
        self.longest
    }

    /// Lets a call be executed and checks its answer.
    pub(crate) fn execute(
        &mut self,
        host: &mut Host,
        truths: &Truths,
        caller: Principal,
        call: &Call,
    ) -> Result<Reply, String> {
        if let Call::Submit {
            args,
            attached,
            malformed,
        } = call
        {
            let reply = match malformed {
                Some(from) => {
                    let reply = host.execute(*from, call);
                    let refused = matches!(reply, Reply::Submitted(Err(_)));
                    ensure(refused, || format!("{args:?} was accepted"))?;
                    reply
                }
                None => self.submit(host, caller, call, args, *attached)?,
            };
            return Ok(reply);
        }
        let reply = host.execute(caller, call);
        match (call, &reply) {
            (Call::SetOffers(offers), Reply::Offered(Ok(()))) => {
                self.offers.insert(caller, offers.clone());
            }
            (Call::Deposit(amount), _) => self.ledger.deposit(caller, amount.0),
            (Call::Claim(known), Reply::Orders(Ok(orders))) => {
                for order in orders {
                    ensure(!known.contains(&order.lease), || {
                        format!("lease {} was known", order.lease)
                    })?;
                    self.orders.insert(order.lease, order.clone());
                }
            }
            (Call::Reveal(args), Reply::Step(_, Ok(()))) => {
                self.revealed(host, truths, caller, args)?;
            }
            (Call::Cancel(job), Reply::Cancelled(Err(error))) => {
                let late = matches!(error, JobError::TooLate(_) | JobError::Ended { .. });
                ensure(late, || format!("cancelling job {job}: {error:?}"))?;
            }
            _ => {}
        }
        self.book_stake(caller, call, &reply)?;
        check_refusal(self, caller, call, &reply)?;
        Ok(reply)
    }

    /// The market has read records of the registry.
    pub(crate) fn synced(&mut self, records: &[Record]) {
        for record in records {
            match record {
                Record::Provider(provider) => {
                    self.payouts.insert(provider.id, provider.payout);
                }
                Record::Worker(worker) => {
                    self.known.insert(worker.operator, worker.status);
                }
                Record::Model(_) => {}
            }
        }
    }

    /// Notes what a lease has opened, and whether that is what the model says.
    fn revealed(
        &mut self,
        host: &Host,
        truths: &Truths,
        caller: Principal,
        args: &RevealArgs,
    ) -> Result<(), String> {
        let order = &self.orders[&args.lease];
        let person = self.people[&caller];
        ensure(person.kind != Kind::Copier, || {
            format!("lease {} was opened with somebody else's work", args.lease)
        })?;
        let store = host.market.jobs.store();
        let opened = store.openings.get(&args.lease);
        let opened = opened.ok_or_else(|| format!("lease {} has no opening", args.lease))?;
        let truth = match order.role {
            Role::Generator | Role::Replica => truths.root(order.job),
            Role::Checker => {
                let job = store.jobs.get(&order.job).ok_or("a job is gone")?;
                let generated = job
                    .leases
                    .iter()
                    .rev()
                    .filter_map(|id| store.leases.get(id));
                let generator = generated
                    .filter(|lease| lease.round == order.round)
                    .find_map(|lease| store.claims.get(&lease.id));
                generator.map(|claim| match truths.check(order, &claim) {
                    Opening::Agrees { root } => root,
                    Opening::Mismatch(mismatch) => mismatch.root(order.job, order.round),
                    Opening::Result(_) => Default::default(),
                })
            }
        };
        let lied = truth != Some(opened.root);
        ensure(!lied || !person.kind.is_honest(), || {
            format!("lease {} of an honest worker opened a lie", args.lease)
        })?;
        let worked = self.worked.entry(args.lease).or_default();
        // A ring may be paid for its lies; whether it had the voices for that is checked at the end.
        worked.lied = lied && person.ring.is_none();
        if let Opening::Result(body) = &args.opening {
            worked.input_tokens = body.input_tokens.len() as u64;
            worked.output_tokens = body.output_tokens.len() as u64;
        }
        Ok(())
    }

    /// Looks at what the last step has brought: new leases and ended jobs.
    pub(crate) fn look(&mut self, host: &mut Host, truths: &Truths) -> Result<(), String> {
        self.read_log(host)?;
        self.note_canary_jobs(host)?;
        let store = host.market.jobs.store();
        let last = store.leases.keys(..).next_back().map_or(0, |id| id.0);
        for id in self.leases + 1..=last {
            let lease = store
                .leases
                .get(&LeaseId(id))
                .ok_or("lease numbers have a gap")?;
            let model = self.model_of(host, lease.job)?;
            let offers = self
                .offers
                .get(&lease.worker)
                .map_or(&[][..], Vec::as_slice);
            let offer = offers.iter().find(|offer| offer.model == model);
            let offer = offer.ok_or_else(|| format!("lease {id} was never offered"))?;
            let worked = self.worked.entry(lease.id).or_default();
            (worked.ask_input, worked.ask_output) = (offer.ask_input.0, offer.ask_output.0);
        }
        self.leases = last;
        for (job, hash) in host.market.jobs.take_receipts() {
            let receipt = host
                .market
                .receipt(job)
                .map_err(|error| format!("{error:?}"))?;
            ensure(receipt.hash() == hash, || {
                format!("the receipt of job {job} is not the certified one")
            })?;
            self.ended(host, truths, &receipt)
                .map_err(|what| format!("job {job}: {what}"))?;
        }
        self.settle_canaries()
    }

    /// Looks at everything that anybody can see: open jobs and all balances.
    pub(crate) fn look_around(&mut self, host: &mut Host) -> Result<(), String> {
        for job in &self.open {
            let Accepted { from, args, .. } = &self.accepted[job];
            let view = host.market.job(*from, *job);
            let view = view.map_err(|error| format!("job {job}: {error:?}"))?;
            ensure(!view.state.is_terminal(), || {
                format!("job {job} ended unseen")
            })?;
            check_hidden(&mut host.market, &view, *from, args.request.assurance)?;
        }
        for (account, expected) in self.ledger.accounts() {
            let balance = host.market.balance(*account);
            ensure(balance.0 == *expected, || {
                format!("{account} has {balance}, expected {expected}")
            })?;
        }
        let (held, expected) = (host.market.jobs.stats().sponsor, self.ledger.sponsor());
        ensure(held.0 == expected, || {
            format!("the sponsor pool holds {held}, expected {expected}")
        })?;
        self.look_at_stakes(host)
    }

    /// Reads in the log what no answer tells.
    fn read_log(&mut self, host: &mut Host) -> Result<(), String> {
        while let Some(entry) = host.market.jobs.store().log.get(self.events) {
            self.events += 1;
            match entry.event {
                Event::BondLost { lease, to } => self.bond_lost(host, lease, &to)?,
                Event::CanaryAdded {
                    number,
                    account,
                    payer,
                    amount,
                } => self.canary_added(host, number, (account, payer, amount))?,
                Event::CanaryReturned {
                    number,
                    amount,
                    outcome,
                } => self.canary_returned(number, amount, outcome),
                _ => {}
            }
        }
        Ok(())
    }

    fn model_of(&self, host: &Host, job: JobId) -> Result<assay_protocol::ModelId, String> {
        let job = host.market.jobs.store().jobs.get(&job);
        job.map(|job| job.model)
            .ok_or_else(|| "a lease without a job".into())
    }
}
