//! Matching: the canister, not the worker, decides who works on what.
//!
//! Jobs are served in the order of submission, and one that cannot be filled holds up no other.
//! Who gets a lease is drawn by weights (completion rate and stake; for generators also price) from randomness that did not
//! exist when the job was submitted. A provider works at most once in a round; one that was
//! rejected or silent never again in the job; one that lost or gave back a lease only if nobody
//! else is around.

use std::collections::{BTreeMap, BTreeSet};

use assay_protocol::{
    Cycles, Hash32, Hasher, JobId, LeaseId, ModelId, Timestamp, lease::Role, limits, price::Rates,
    registry::WorkerStatus, request::Assurance, store::Table,
};
use candid::Principal;

use crate::{
    event::Event,
    leases::{is_active, is_barred, is_shunned, lack},
    market::{Horizon, Jobs},
    pricing::{size_max, within},
    record::{Job, Lease, Live, Presence, Trust},
    stake::Locked,
    store::Backend,
};

/// What reading one offer counts in [`limits::MATCH_WORK_MAX`]: its worker's records are read with it. A model's place in
/// the queue counts as much.
const READING_WORK: usize = 16;
/// What trying a job counts, and what a grant does: their records are read and written.
const TRYING_WORK: usize = 200;
const GRANT_WORK: usize = 400;

/// A ready worker that may hold another lease.
#[derive(Clone, Copy, Debug)]
struct Seat {
    free: u32,
}

/// Stake of owners that stands behind no lease, as far as it was read in this matching.
#[derive(Debug, Default)]
struct Stakes(BTreeMap<Principal, Cycles>);

/// What one matching hands out from.
struct Hand {
    /// Ready workers that may hold another lease.
    seats: BTreeMap<Principal, Seat>,
    stakes: Stakes,
    draws: Draws,
}

/// A worker that may take a lease.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    worker: Principal,
    provider: Principal,
    rates: Rates,
    /// [`completion`] of its trust in the model's class.
    completion: u128,
    /// Its confirmed results in that class.
    valid: u64,
    /// Its owner's stake.
    stake: Cycles,
}

/// Who offers one model, read once in a matching.
#[derive(Clone, Debug, Default)]
struct Crowd {
    /// Those that may take a lease.
    candidates: Vec<Candidate>,
    /// Provider and asks of all who take, or will soon take, new leases.
    around: Vec<(Principal, Rates)>,
    /// Whether answers of the model can be compared.
    verifiable: bool,
    /// How many workers had seats when one of the candidates was found among them.
    seated_among: usize,
}

impl Crowd {
    /// Whether one of the candidates still has a seat; looked at again when seats were taken.
    fn is_seated(&mut self, seats: &BTreeMap<Principal, Seat>) -> bool {
        let seated = |candidate: &Candidate| seats.contains_key(&candidate.worker);
        if self.seated_among != seats.len() && self.candidates.iter().any(seated) {
            self.seated_among = seats.len();
        }
        self.seated_among == seats.len()
    }
}

/// Providers that may not, or should not, work on a job now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closed {
    /// At work in this round, or barred from the job.
    pub(crate) out: BTreeSet<Principal>,
    /// Only if nobody else is around.
    pub(crate) last: BTreeSet<Principal>,
}

impl<B: Backend> Jobs<B> {
    /// Whether matching could find something to do.
    pub fn needs_match(&self) -> bool {
        (self.volatile_match_due && self.is_work_wanted()) || !self.store.audits.is_empty()
    }

    /// Draws the audits that are due and assigns ready workers to jobs, as far as both were there at `horizon`, which is
    /// [`Jobs::horizon`] of the time at which the randomness was asked for. Gives the number of leases granted. Long queues take
    /// several calls, each with randomness of its own: see [`Jobs::needs_match`].
    pub fn match_jobs(&mut self, now: Timestamp, random: [u8; 32], horizon: Horizon) -> usize {
        self.seed(random);
        let live = self.touch(now);
        if self.volatile_match_after == JobId(0) {
            self.volatile_match_news = false;
            // A pass ends where the queue ended when it began: else a busy queue's head would wait for ever.
            self.volatile_match_until = horizon.job;
        }
        let until = horizon.job.min(self.volatile_match_until);
        let mut draws = Draws::new(&random);
        self.draw_audits(now, &horizon, &mut draws);
        self.draw_canaries(horizon.job, &mut draws);
        let news = self.volatile_match_news;
        let (seats, offered) = self.seats(now);
        let mut hand = Hand {
            seats,
            stakes: Stakes::default(),
            draws,
        };
        let mut work = (hand.seats.len() + offered.len()) * READING_WORK;
        let mut walk = self.walk(offered, self.volatile_match_after, until);
        let mut models: BTreeMap<ModelId, Crowd> = BTreeMap::new();
        let (mut granted, mut tried) = (0, 0);
        let mut next = JobId(0);
        while let Some((id, model)) = walk.next() {
            if hand.seats.is_empty() {
                break;
            }
            // The first is always tried, so every call gets on.
            if tried == limits::MATCH_JOBS_MAX || tried > 0 && work >= limits::MATCH_WORK_MAX {
                next = JobId(id.0 - 1);
                break;
            }
            let crowd = models.entry(model).or_insert_with(|| {
                let (crowd, asks) = self.crowd(now, model, &hand.seats);
                work += asks * READING_WORK;
                crowd
            });
            if !crowd.is_seated(&hand.seats) {
                // None of its jobs finds anybody before there is news.
                continue;
            }
            tried += 1;
            let leases = self.fill(now, live, id, crowd, &mut hand);
            // One draw for each lease, and one that found nobody.
            work += (leases + 1) * (crowd.candidates.len() + crowd.around.len());
            work += TRYING_WORK + leases * GRANT_WORK;
            granted += leases;
            self.walk_on(&mut walk, id, model);
        }
        self.volatile_match_after = next;
        self.volatile_match_news = news;
        // Jobs behind the horizon wait for newer randomness; news during the pass make another one.
        self.volatile_match_due = next != JobId(0) || news || self.next_job() > until;
        granted
    }

    /// Ready workers that may hold another lease, and the models they offer.
    fn seats(&self, now: Timestamp) -> (BTreeMap<Principal, Seat>, BTreeSet<ModelId>) {
        let ready = self
            .store
            .presence
            .range(..)
            .filter(|(_, presence)| presence.slots > 0 && presence.ready_until >= now);
        let seat = |(operator, presence): (Principal, Presence)| {
            let worker = self
                .store
                .workers
                .get(&operator)
                .filter(|worker| worker.status == WorkerStatus::Active)?;
            let free = u32::from(presence.slots.min(worker.slots)).saturating_sub(worker.live);
            (free > 0).then_some((operator, Seat { free }, worker.offers))
        };
        let (mut seats, mut offered) = (BTreeMap::new(), BTreeSet::new());
        for (operator, seat, offers) in ready.filter_map(seat) {
            seats.insert(operator, seat);
            offered.extend(offers.iter().map(|offer| offer.model));
        }
        (seats, offered)
    }

    /// Who offers a model, and how many offers were read for it.
    fn crowd(
        &self,
        now: Timestamp,
        model: ModelId,
        seats: &BTreeMap<Principal, Seat>,
    ) -> (Crowd, usize) {
        let (mut crowd, mut asks) = (Crowd::default(), 0);
        let staked = self.meta().staked > Cycles::ZERO;
        let entry = self.store.models.get(&model);
        crowd.verifiable = entry.as_ref().is_some_and(|model| model.verifiable);
        for (worker, ask) in self.asks(model) {
            asks += 1;
            if seats.contains_key(&worker) {
                let trust = entry
                    .as_ref()
                    .map(|model| self.trust_in(worker, model))
                    .unwrap_or_default();
                crowd.candidates.push(Candidate {
                    worker,
                    provider: ask.provider,
                    rates: ask.rates,
                    completion: completion(&trust),
                    valid: trust.valid,
                    stake: self.stake_behind(ask.provider, staked),
                });
            } else if !self.is_around(worker, now) {
                continue;
            }
            crowd.around.push((ask.provider, ask.rates));
        }
        (crowd, asks)
    }

    /// An owner's stake, where anybody has any.
    fn stake_behind(&self, owner: Principal, staked: bool) -> Cycles {
        let account = staked.then(|| self.store.accounts.get(&owner)).flatten();
        account.map_or(Cycles::ZERO, |account| account.stake)
    }

    /// Grants what a job lacks, generators first, as far as there are workers.
    fn fill(
        &mut self,
        now: Timestamp,
        live: Live,
        id: JobId,
        crowd: &Crowd,
        hand: &mut Hand,
    ) -> usize {
        let events = self.log_len();
        self.end_overdue_job(now, live, id);
        if self.log_len() != events {
            hand.stakes.0.clear();
        }
        if self.stored_job(id).deadline < live {
            // Only what is under way may end.
            return 0;
        }
        let mut granted = 0;
        loop {
            let job = self.stored_job(id);
            let round = self.round(&job);
            let lack = lack(&job, &round);
            if lack.total() == 0 {
                return granted;
            }
            let role = match job.assurance.replicas() {
                Some(_) => Role::Replica,
                None if lack.generators > 0 => Role::Generator,
                None => Role::Checker,
            };
            let Some(chosen) = self.draw(&job, role, crowd, hand) else {
                return granted;
            };
            if role == Role::Generator && self.must_be_checked(&job, &chosen, crowd) {
                self.reserve(now, &job);
            }
            if job.seed.is_none() {
                self.record(
                    now,
                    Event::SeedDrawn {
                        job: id,
                        seed: hand.draws.next() as u64,
                    },
                );
            }
            let lease = LeaseId(self.meta().last_lease + 1);
            let locked = self.locked_by(&job, role, chosen.rates);
            self.record(
                now,
                Event::Granted {
                    lease,
                    job: id,
                    role,
                    worker: chosen.worker,
                    provider: chosen.provider,
                    rates: chosen.rates,
                    claim_deadline: live.plus_seconds(limits::CLAIM_SECONDS),
                    stake: locked.stake,
                    bond: locked.bond,
                },
            );
            if let Some(free) = hand.stakes.0.get_mut(&chosen.provider) {
                free.0 -= locked.stake.0;
            }
            granted += 1;
            if let Some(seat) = hand.seats.get_mut(&chosen.worker) {
                seat.free -= 1;
                if seat.free == 0 {
                    hand.seats.remove(&chosen.worker);
                }
            }
        }
    }

    fn draw(&self, job: &Job, role: Role, crowd: &Crowd, hand: &mut Hand) -> Option<Candidate> {
        let Hand {
            seats,
            stakes,
            draws,
        } = hand;
        let Crowd {
            candidates, around, ..
        } = crowd;
        let closed = self.closed(job);
        let staked: Vec<bool> = candidates
            .iter()
            .map(|candidate| self.has_stake(job, role, candidate, stakes))
            .collect();
        let candidates: Vec<Candidate> = candidates
            .iter()
            .zip(staked)
            .filter_map(|(candidate, staked)| staked.then_some(*candidate))
            .collect();
        let able = |candidate: &&Candidate| {
            seats.contains_key(&candidate.worker)
                && within(candidate.rates, job.ceilings)
                && !closed.out.contains(&candidate.provider)
        };
        let mut pool: Vec<Candidate> = candidates
            .iter()
            .filter(able)
            .filter(|c| !closed.last.contains(&c.provider))
            .copied()
            .collect();
        // Workers that nothing speaks against are waited for, busy or not.
        let others = || {
            around.iter().any(|(provider, rates)| {
                within(*rates, job.ceilings)
                    && !closed.out.contains(provider)
                    && !closed.last.contains(provider)
            })
        };
        if pool.is_empty() && !closed.last.is_empty() && !others() {
            pool = candidates.iter().filter(able).copied().collect();
        }
        if self.wants_trusted(job, role, crowd) {
            let trusted = pool
                .iter()
                .filter(|candidate| self.is_trusted(candidate.valid));
            let trusted: Vec<Candidate> = trusted.copied().collect();
            if !trusted.is_empty() {
                pool = trusted;
            } else if role == Role::Generator && !self.could_check(job, around, &closed.out) {
                return None;
            }
        }
        draws.pick(&weights(job, role, &pool)).map(|i| pool[i])
    }

    /// Whether trusted workers come first: for an answer that may go unchecked, and to check a newcomer's.
    fn wants_trusted(&self, job: &Job, role: Role, crowd: &Crowd) -> bool {
        match role {
            Role::Generator => job.assurance == Assurance::Single && crowd.verifiable,
            Role::Checker => {
                let round = self.round(job);
                let generator = round.iter().find(|lease| lease.role == Role::Generator);
                generator.is_some_and(|generator| {
                    let model = self.store.models.get(&job.model);
                    let model = model.expect("BUG: a job's model is known");
                    !self.is_trusted(self.trust_in(generator.worker, &model).valid)
                })
            }
            Role::Replica => false,
        }
    }

    /// Whether an answer of this candidate must not go unchecked.
    fn must_be_checked(&self, job: &Job, chosen: &Candidate, crowd: &Crowd) -> bool {
        job.assurance == Assurance::Single && crowd.verifiable && !self.is_trusted(chosen.valid)
    }

    /// Whether a candidate's owner has the stake for one more lease.
    fn has_stake(&self, job: &Job, role: Role, candidate: &Candidate, stakes: &mut Stakes) -> bool {
        let Locked { stake, .. } = self.locked_by(job, role, candidate.rates);
        if stake == Cycles::ZERO {
            return true;
        }
        let free = stakes.0.entry(candidate.provider);
        *free.or_insert_with(|| self.free_stake(candidate.provider)) >= stake
    }

    /// Providers that a job's leases keep out of it, for now or for good.
    pub(crate) fn closed(&self, job: &Job) -> Closed {
        let mut closed = Closed::default();
        for lease in job.leases.iter().filter_map(|id| self.store.leases.get(id)) {
            if is_barred(&lease) || at_work(job, &lease) {
                closed.out.insert(lease.provider);
            } else if is_shunned(&lease) {
                closed.last.insert(lease.provider);
            }
        }
        closed
    }

    /// Whether some worker that may take a lease of this job is around, busy or not; and how many offers were read.
    pub(crate) fn is_anybody_around(&self, now: Timestamp, job: &Job) -> (bool, usize) {
        let closed = self.closed(job);
        let mut read = 0;
        let around = self.asks(job.model).any(|(worker, ask)| {
            read += 1;
            within(ask.rates, job.ceilings)
                && !closed.out.contains(&ask.provider)
                && self.is_around(worker, now)
        });
        (around, read)
    }
}

/// How likely each candidate is drawn. Reliable ones more often, the one with most stake twice as often as one without;
/// as generators also cheaper ones.
///
/// Who compares is never drawn by price, and a provider's chance does not grow with its number of
/// workers: else whoever asks nothing, under two names, would confirm its own answers.
fn weights(job: &Job, role: Role, pool: &[Candidate]) -> Vec<u128> {
    let size = size_max(job);
    let cost = |candidate: &Candidate| {
        candidate
            .rates
            .generation(size)
            .map_or(u128::MAX / 2, |cost| cost.0)
    };
    let cheapest = pool.iter().map(cost).min().unwrap_or(0);
    let highest = pool.iter().map(|candidate| candidate.stake.0).max();
    let highest = highest.unwrap_or(0);
    let mut workers: BTreeMap<Principal, u128> = BTreeMap::new();
    for candidate in pool {
        *workers.entry(candidate.provider).or_default() += 1;
    }
    let weight = |candidate: &Candidate| {
        // Thousandths: 1,000 for the cheapest, half of that at twice its price; it counts squared.
        let cheap = match role {
            Role::Generator => (cheapest + 1).saturating_mul(1_000) / (cost(candidate) + 1),
            Role::Checker | Role::Replica => 1_000,
        };
        let share = workers.get(&candidate.provider).copied().unwrap_or(1);
        let stake = match highest {
            0 => 1_000,
            // Stakes are below 2^110, so this fits.
            highest => 1_000 + candidate.stake.0.saturating_mul(1_000) / highest,
        };
        (cheap * cheap * candidate.completion * stake / (1_000 * share)).max(1)
    };
    pool.iter().map(weight).collect()
}

fn at_work(job: &Job, lease: &Lease) -> bool {
    lease.round == job.round && is_active(lease)
}

/// Leases brought to an end, in thousandths of those taken; newcomers are believed.
fn completion(trust: &Trust) -> u128 {
    let Trust {
        valid,
        mismatches_lost,
        silent,
        lost,
        abandoned: _,
    } = *trust;
    let done = u128::from(valid) + 4;
    let failed = u128::from(mismatches_lost) + u128::from(silent) + u128::from(lost);
    done * 1_000 / (done + failed)
}

/// A stream of draws from 32 random bytes.
pub(crate) struct Draws {
    random: Hash32,
    counter: u64,
}

impl Draws {
    fn new(random: &[u8; 32]) -> Self {
        Self {
            random: Hash32(*random),
            counter: 0,
        }
    }

    pub(crate) fn next(&mut self) -> u128 {
        self.counter += 1;
        let hash = Hasher::new("assay-match-1")
            .hash(&self.random)
            .u64(self.counter)
            .finish();
        u128::from_le_bytes(hash.0[..16].try_into().expect("BUG: 32 bytes hold 16"))
    }

    /// An index, each as likely as its weight says.
    fn pick(&mut self, weights: &[u128]) -> Option<usize> {
        let total: u128 = weights.iter().sum();
        if total == 0 {
            return None;
        }
        let mut rest = self.next() % total;
        weights.iter().position(|&weight| {
            if rest < weight {
                return true;
            }
            rest -= weight;
            false
        })
    }
}
