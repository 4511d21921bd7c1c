//! Canaries: jobs whose right answers the market knows, among the jobs of others.
//!
//! Each has an account of its own with a name that looks like anybody's, and money in it long before it is asked. Chance
//! decides how many are asked; they come right behind jobs of others, in the same message, so that their times say nothing.
//! They are matched, paid and audited like any `single` job, and a right answer ends like an unaudited one, so their texts may be used again.
//! An answer that is not the known one proves nothing yet, since the known one may be wrong: it is checked as an audited answer is.
//! Those who run the subnet's nodes can read which jobs are canaries.

use assay_protocol::{
    Cycles, Hash32, Hasher, JobId, Moment, Timestamp,
    canary::{Canary, CanaryError, CanaryOutcome, CanaryPage, CanaryView},
    job::{SubmitArgs, SubmitError},
    lease::Role,
    limits,
    request::Assurance,
    store::Table,
};
use candid::Principal;

use crate::{
    asked::{self, invalid},
    event::Event,
    market::Jobs,
    matching::Draws,
    record::{CanaryEntry, Job, Judgement},
    requests::STARTING,
    store::{Backend, Cell},
};

/// Jobs that one matching draws for at most; more than that came in a burst, of which the rest is not drawn for.
const DRAWS_MAX: u64 = 1_000;

impl<B: Backend> Jobs<B> {
    /// Takes canaries over, each with its price cap from the caller's balance: all of them, or none. That the caller is a
    /// controller was checked.
    pub fn add_canaries(&mut self, at: &Moment, canaries: &[Canary]) -> Result<(), CanaryError> {
        if !(1..=limits::CANARIES_PER_CALL_MAX).contains(&canaries.len()) {
            return Err(CanaryError::Count {
                got: u32::try_from(canaries.len()).unwrap_or(u32::MAX),
            });
        }
        let waiting = self.canaries_waiting();
        if waiting as usize + canaries.len() > limits::CANARIES_MAX {
            return Err(CanaryError::Full { waiting });
        }
        for (index, canary) in canaries.iter().enumerate() {
            self.check_canary(canary)
                .map_err(|error| CanaryError::Request {
                    index: index as u32,
                    error,
                })?;
        }
        let needed: u128 = canaries.iter().map(|canary| canary.price_cap.0).sum();
        let balance = self.balance(at.caller);
        if balance.0 < needed {
            return Err(CanaryError::InsufficientFunds {
                needed: Cycles(needed),
                balance,
            });
        }
        let secret = self.store.vitals.get().secret;
        let secret = secret.ok_or_else(|| CanaryError::Other(STARTING.into()))?;
        self.touch(at.now);
        for canary in canaries {
            let number = self.store.canaries.len() + 1;
            // As the principal of a public key is made.
            let key = Hasher::new("assay-canary-1").hash(&secret).u64(number);
            let account = Principal::self_authenticating(key.finish().0);
            self.store.canary_texts.insert(number, canary.clone());
            self.record(
                at.now,
                Event::CanaryAdded {
                    number,
                    account,
                    payer: at.caller,
                    amount: canary.price_cap,
                },
            );
        }
        Ok(())
    }

    /// Gives a canary back that was not asked yet, and its money to whoever gave it.
    pub fn take_canary_back(&mut self, at: &Moment, number: u64) -> Result<(), CanaryError> {
        if !self.store.canary_queue.contains(&number) {
            return Err(CanaryError::NotWaiting { number });
        }
        self.touch(at.now);
        self.return_canary(at.now, number, CanaryOutcome::TakenBack);
        Ok(())
    }

    /// Canaries, newest first, before this number; for controllers only.
    pub fn canaries(&self, before: Option<u64>) -> CanaryPage {
        let older = self.store.canaries.range(..before.unwrap_or(u64::MAX));
        CanaryPage {
            canaries: older
                .rev()
                .take(limits::PAGE_MAX as usize)
                .map(|(number, entry)| CanaryView {
                    number,
                    job: entry.job,
                    outcome: entry.outcome,
                })
                .collect(),
            waiting: self.canaries_waiting(),
        }
    }

    fn canaries_waiting(&self) -> u32 {
        u32::try_from(self.store.canary_queue.len()).unwrap_or(u32::MAX)
    }

    fn check_canary(&self, canary: &Canary) -> Result<(), SubmitError> {
        let Canary {
            request, price_cap, ..
        } = canary;
        asked::check(request)?;
        let model = self.model_for(request)?;
        if request.seed.is_none() {
            return Err(invalid(
                "seed",
                "absent; an answer is known only for one seed",
            ));
        }
        if request.assurance != Assurance::Single || !model.verifiable {
            return Err(invalid(
                "assurance",
                "a canary is asked for a single answer of a model whose answers can be compared",
            ));
        }
        if *price_cap == Cycles::ZERO || price_cap.0 > limits::PRICE_CAP_CYCLES_MAX {
            return Err(invalid(
                "price_cap",
                &format!(
                    "{price_cap} cycles, 1 to {} are allowed",
                    Cycles(limits::PRICE_CAP_CYCLES_MAX)
                ),
            ));
        }
        Ok(())
    }

    /// Draws how many canaries are to be asked for the jobs that came since the last draw.
    pub(crate) fn draw_canaries(&mut self, horizon: JobId, draws: &mut Draws) {
        let ppm = u128::from(self.config().rules.canary_ppm);
        let from = self.volatile_canary_from;
        self.volatile_canary_from = horizon.max(from);
        if ppm == 0 || self.canaries_waiting() == 0 {
            return;
        }
        for _ in 0..horizon.0.saturating_sub(from.0).min(DRAWS_MAX) {
            if draws.next() % 1_000_000 < ppm
                && self.volatile_canaries.len() < limits::CANARIES_DUE_MAX
            {
                self.volatile_canaries.push(draws.next());
            }
        }
    }

    /// Asks a canary behind a job that was just submitted, if one is due.
    pub(crate) fn follow_with_canary(&mut self, now: Timestamp) {
        let Some(draw) = self.volatile_canaries.pop() else {
            return;
        };
        // The next one that waits from a drawn place on, so that their order says nothing.
        let start = (draw % u128::from(self.store.canaries.len().max(1))) as u64 + 1;
        let queue = &self.store.canary_queue;
        let next = queue.keys(start..).next();
        let Some(number) = next.or_else(|| queue.keys(..).next()) else {
            return;
        };
        let (Some(entry), Some(canary)) = (
            self.store.canaries.get(&number),
            self.store.canary_texts.get(&number),
        ) else {
            return;
        };
        let key = Hasher::new("assay-canary-key-1").bytes(entry.account.as_slice());
        let args = SubmitArgs {
            request: canary.request,
            price_cap: canary.price_cap,
            deadline_seconds: limits::CANARY_DEADLINE_SECONDS,
            idempotency_key: key.finish().0[..16].to_vec(),
        };
        let at = Moment {
            caller: entry.account,
            now,
        };
        // Whatever speaks against it now, such as dearer workers, may not do so later.
        let _ = self.take_job(&at, &args, Cycles::ZERO);
    }

    /// What a job must be answered, if it is a canary.
    pub(crate) fn known_answer(&self, job: &Job) -> Option<Hash32> {
        self.open_canary(job).map(|(_, root)| root)
    }

    /// Number and known answer of the canary that a job asks.
    fn open_canary(&self, job: &Job) -> Option<(u64, Hash32)> {
        if self.store.canary_texts.len() == 0 {
            return None;
        }
        let number = self.store.decoys.get(&job.requester)?;
        let canary = self.store.canary_texts.get(&number)?;
        Some((number, canary.root))
    }

    /// A job has ended: if it was a canary, what is left of its money goes back.
    pub(crate) fn end_canary(&mut self, now: Timestamp, job: &Job) {
        let Some((number, known)) = self.open_canary(job) else {
            return;
        };
        let job = self.stored_job(job.id);
        let mut leases = job.leases.iter().filter_map(|id| self.store.leases.get(id));
        let caught = leases.any(|lease| {
            lease.role == Role::Generator && lease.judgement == Some(Judgement::Wrong)
        });
        let outcome = match job.result {
            Some(result) if result.root != known => CanaryOutcome::Refuted,
            _ if caught => CanaryOutcome::Caught,
            Some(_) => CanaryOutcome::Right,
            None => CanaryOutcome::Unanswered,
        };
        self.return_canary(now, number, outcome);
    }

    fn return_canary(&mut self, now: Timestamp, number: u64, outcome: CanaryOutcome) {
        let entry = self.store.canaries.get(&number);
        let CanaryEntry { account, .. } = entry.expect("BUG: a canary is known");
        let amount = self.balance(account);
        self.store.canary_texts.remove(&number);
        self.record(
            now,
            Event::CanaryReturned {
                number,
                amount,
                outcome,
            },
        );
    }
}
