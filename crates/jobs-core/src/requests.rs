//! The requester's side: quote, submit, deposit, cancel.
//!
//! Checks go from cheap to dear: caller, shape, duplicate, model, limits, price, funds. A refused
//! call changes nothing and takes nothing.

use assay_protocol::{
    Cycles, Hash32, Hasher, JobId, Moment, Timestamp,
    job::{DepositError, JobError, Quote, SubmitArgs, SubmitError, Submitted},
    lease::Claim,
    limits,
    receipt::SaltedRequest,
    registry::WorkerStatus,
    request::{Assurance, JobRequest, ModelRef, Task},
    result::{Finish, Usage},
    store::Table,
};
use candid::Principal;

use crate::{
    asked::{self, invalid},
    event::{Event, Terms},
    market::Jobs,
    pricing::{Price, ceilings},
    record::{Ask, ModelEntry},
    store::{Backend, Cell},
};

/// Before the first randomness there are no salts.
pub(crate) const STARTING: &str = "the market is starting; try again in a few seconds";

impl<B: Backend> Jobs<B> {
    /// What a request would cost at most, now.
    pub fn quote(&self, now: Timestamp, request: &JobRequest) -> Result<Quote, SubmitError> {
        asked::check(request)?;
        let model = self.model_for(request)?;
        let offers = self.awake(now, model.id);
        let price = self.price_of(&offers, &model, request)?;
        let queued = self.store.demand.get(&model.id).unwrap_or(0);
        let queued = u32::try_from(queued).unwrap_or(u32::MAX);
        Ok(Quote {
            model: model.id,
            price_max: price.max,
            price_expected: price.expected,
            providers: price.providers,
            queued,
            wait_seconds: self.wait_seconds(&offers, request.parameters.max_tokens, queued),
        })
    }

    /// Accepts a job.
    ///
    /// Its escrow, the price cap, comes from the caller's balance first; the second value is what
    /// to accept from the call, at most `attached`. The same key with the same content gives the
    /// same job again and takes nothing.
    pub fn submit(
        &mut self,
        at: &Moment,
        args: &SubmitArgs,
        attached: Cycles,
    ) -> Result<(Submitted, Cycles), SubmitError> {
        let taken = self.take_job(at, args, attached)?;
        if !taken.0.duplicate {
            self.follow_with_canary(at.now);
        }
        Ok(taken)
    }

    /// [`Jobs::submit`], with no other job behind it.
    pub(crate) fn take_job(
        &mut self,
        at: &Moment,
        args: &SubmitArgs,
        attached: Cycles,
    ) -> Result<(Submitted, Cycles), SubmitError> {
        if at.caller == Principal::anonymous() {
            return Err(SubmitError::Anonymous);
        }
        let SubmitArgs {
            request,
            price_cap,
            deadline_seconds,
            idempotency_key,
        } = args;
        asked::check(request)?;
        check_terms(args)?;
        if let Some(holder) = self.store.keys.get(&(at.caller, idempotency_key.clone())) {
            return self.resubmit(holder.job, args);
        }
        if let Some(reason) = self.pause() {
            return Err(SubmitError::Paused(reason));
        }
        let Some(secret) = self.store.vitals.get().secret else {
            return Err(SubmitError::Other(STARTING.into()));
        };
        let model = self.model_for(request)?;
        let open = self
            .store
            .accounts
            .get(&at.caller)
            .map_or(0, |account| account.open_jobs);
        if open as usize >= limits::OPEN_JOBS_PER_REQUESTER_MAX {
            return Err(SubmitError::TooManyOpenJobs {
                open,
                max: limits::OPEN_JOBS_PER_REQUESTER_MAX as u32,
            });
        }
        if self.meta().counts.open() >= limits::OPEN_JOBS_MAX as u64 {
            return Err(SubmitError::QueueFull);
        }
        let price = self.price_of(&self.awake(at.now, model.id), &model, request)?;
        if *price_cap < price.max {
            return Err(SubmitError::PriceCapTooLow {
                cap: *price_cap,
                price_max: price.max,
            });
        }
        let balance = self.balance(at.caller);
        let from_balance = balance.min(*price_cap);
        let lacking = Cycles(price_cap.0 - from_balance.0);
        let from_call = lacking.min(attached);
        let from_sponsor = Cycles(lacking.0 - from_call.0);
        // The pool pays no more than the quoted price: else somebody's own dear workers could empty it.
        let sponsored =
            *price_cap == price.max && from_sponsor <= self.sponsored_left(at.caller, at.now);
        if from_sponsor > Cycles::ZERO && !sponsored {
            return Err(SubmitError::InsufficientFunds {
                needed: *price_cap,
                balance,
                attached,
            });
        }

        let live = self.touch(at.now);
        let job = self.next_job();
        let salt = Hasher::new("assay-salt-1")
            .hash(&secret)
            .u64(job.0)
            .finish();
        let terms = Terms {
            requester: at.caller,
            key: idempotency_key.clone(),
            model: model.id,
            request_hash: request.salted_hash(&salt),
            assurance: request.assurance,
            max_tokens: request.parameters.max_tokens,
            input_tokens_max: model.input_tokens_max(request),
            seed: request.seed,
            ceilings: ceilings(&price, *price_cap),
            fee_bps: self.config().fee_bps,
            royalty_bps: model.royalty_bps,
            from_balance,
            from_call,
            from_sponsor,
            deadline_seconds: *deadline_seconds,
            deadline: live.plus_seconds(u64::from(*deadline_seconds)),
        };
        self.store.requests.insert(
            job,
            SaltedRequest {
                request: request.clone(),
                salt,
            },
        );
        self.record(
            at.now,
            Event::Submitted {
                job,
                terms: Box::new(terms),
            },
        );
        Ok((
            Submitted {
                job,
                duplicate: false,
                escrow: *price_cap,
            },
            from_call,
        ))
    }

    /// The job that would be submitted next.
    pub fn next_job(&self) -> JobId {
        JobId(self.meta().last_job + 1)
    }

    /// Adds cycles to a balance and gives the new one. The caller of this function accepts all of them.
    pub fn deposit(
        &mut self,
        at: &Moment,
        beneficiary: Principal,
        amount: Cycles,
    ) -> Result<Cycles, DepositError> {
        if beneficiary == Principal::anonymous() {
            return Err(DepositError::Anonymous);
        }
        if let Some(problem) = self.cannot_hold(beneficiary) {
            return Err(DepositError::BadBeneficiary {
                beneficiary,
                problem: problem.into(),
            });
        }
        if amount == Cycles::ZERO {
            return Err(DepositError::NothingAttached);
        }
        let sum = self
            .meta()
            .deposited
            .checked_add(amount)
            .filter(|sum| sum.0 <= u128::MAX / 2);
        if sum.is_none() {
            return Err(DepositError::Other(format!(
                "{amount} cycles are more than a market can count"
            )));
        }
        self.record(
            at.now,
            Event::Deposited {
                account: beneficiary,
                amount,
            },
        );
        Ok(self.balance(beneficiary))
    }

    /// Ends a job and gives its escrow back, unless a part of its present generation was shown, or it
    /// ever got as far as a commitment.
    pub fn cancel(&mut self, at: &Moment, id: JobId) -> Result<(), JobError> {
        let job = self.store.jobs.get(&id).ok_or(JobError::UnknownJob(id))?;
        if job.requester != at.caller {
            return Err(JobError::NotYours(id));
        }
        let live = self.touch(at.now);
        self.end_overdue_round(at.now, live, id);
        let job = self.stored_job(id);
        if job.state.is_terminal() {
            return Err(JobError::Ended {
                job: id,
                state: job.state,
            });
        }
        let mut leases = job.leases.iter().filter_map(|id| self.store.leases.get(id));
        if leases.any(|lease| lease.commitment.is_some() || self.has_streamed(&lease)) {
            return Err(JobError::TooLate(id));
        }
        self.end_cancelled(at.now, &job);
        Ok(())
    }

    /// Whether a requester's key belongs to a job already, so that a submit with it takes no money.
    pub fn holds_key(&self, requester: Principal, key: &[u8]) -> bool {
        self.store.keys.contains(&(requester, key.to_vec()))
    }

    fn resubmit(&self, id: JobId, args: &SubmitArgs) -> Result<(Submitted, Cycles), SubmitError> {
        let job = self.stored_job(id);
        let SubmitArgs {
            request,
            price_cap,
            deadline_seconds,
            idempotency_key: _,
        } = args;
        let same_request = self
            .store
            .requests
            .get(&id)
            .is_some_and(|stored| stored.request == *request);
        if !same_request || job.escrow != *price_cap || job.deadline_seconds != *deadline_seconds {
            return Err(SubmitError::KeyReused { job: id });
        }
        Ok((
            Submitted {
                job: id,
                duplicate: true,
                escrow: job.escrow,
            },
            Cycles::ZERO,
        ))
    }

    /// The model that a new request means, if it may be asked so.
    pub(crate) fn model_for(&self, request: &JobRequest) -> Result<ModelEntry, SubmitError> {
        let (name, id) = match &request.model {
            ModelRef::Name(name) => (shown(name), self.store.names.get(name)),
            ModelRef::Version(id) => (id.to_string(), Some(*id)),
        };
        let Some(model) = id.and_then(|id| self.store.models.get(&id)) else {
            return Err(SubmitError::UnknownModel(name));
        };
        if model.deprecated {
            return Err(SubmitError::DeprecatedModel(name));
        }
        if model.encoder != matches!(request.task, Task::Embedding { .. }) {
            let problem = match model.encoder {
                true => "this model only makes vectors of texts; ask for an embedding",
                false => "this model makes texts and no vectors; ask for a chat or a completion",
            };
            return Err(invalid("task", problem));
        }
        match request.assurance {
            Assurance::Refereed => {
                return Err(SubmitError::NotAvailableYet("refereed assurance".into()));
            }
            Assurance::Checked { .. } if model.is_class_bound() => {
                return Err(invalid(
                    "assurance",
                    "nobody can run this model's answers again, only compare them; ask for equality, threshold or single",
                ));
            }
            Assurance::Checked { .. }
            | Assurance::Equality { .. }
            | Assurance::Threshold { .. }
                if !model.verifiable && !model.is_class_bound() =>
            {
                return Err(invalid(
                    "assurance",
                    "answers of this model cannot be compared; ask for single",
                ));
            }
            _ => {}
        }
        let (input, output) = (request.input_tokens_max(), request.parameters.max_tokens);
        // An encoder generates nothing, and a text that is too long for it its workers decline.
        if !model.encoder && input.saturating_add(output) > model.context_max {
            return Err(SubmitError::ContextTooLong {
                input,
                output,
                max: model.context_max,
            });
        }
        Ok(model)
    }

    fn price_of(
        &self,
        offers: &[(Principal, Ask)],
        model: &ModelEntry,
        request: &JobRequest,
    ) -> Result<Price, SubmitError> {
        let size = Usage {
            input_tokens: model.input_tokens_max(request),
            output_tokens: request.parameters.max_tokens,
        };
        let price = self.price(offers, model, request.assurance, size)?;
        self.check_single(offers, model, request.assurance, &price, size)?;
        Ok(price)
    }

    /// Seconds until an answer if the queue is worked off at the mean measured speed.
    fn wait_seconds(
        &self,
        offers: &[(Principal, Ask)],
        max_tokens: u32,
        queued: u32,
    ) -> Option<u32> {
        let (mut slots, mut measured, mut speed_milli) = (0u64, 0u64, 0u64);
        for (operator, _) in offers {
            let Some(worker) = self.store.workers.get(operator) else {
                continue;
            };
            if worker.status == WorkerStatus::Active {
                slots += u64::from(worker.slots);
                if let Some(speed) = worker.tokens_per_second_milli {
                    measured += 1;
                    speed_milli = speed_milli.saturating_add(speed);
                }
            }
        }
        let speed_milli = speed_milli.checked_div(measured)?;
        let rounds = u64::from(queued).checked_div(slots)? + 1;
        let milliseconds = (rounds * u64::from(max_tokens))
            .saturating_mul(1_000_000)
            .checked_div(speed_milli)?;
        u32::try_from(milliseconds.div_ceil(1_000)).ok()
    }
}

fn check_terms(args: &SubmitArgs) -> Result<(), SubmitError> {
    let SubmitArgs {
        request: _,
        price_cap,
        deadline_seconds,
        idempotency_key,
    } = args;
    if !(1..=limits::IDEMPOTENCY_KEY_BYTES_MAX).contains(&idempotency_key.len()) {
        return Err(invalid(
            "idempotency_key",
            &format!(
                "{} bytes, 1 to {} are allowed",
                idempotency_key.len(),
                limits::IDEMPOTENCY_KEY_BYTES_MAX
            ),
        ));
    }
    if !(limits::DEADLINE_SECONDS_MIN..=limits::DEADLINE_SECONDS_MAX).contains(deadline_seconds) {
        return Err(invalid(
            "deadline_seconds",
            &format!(
                "{deadline_seconds} seconds, {} to {} are allowed",
                limits::DEADLINE_SECONDS_MIN,
                limits::DEADLINE_SECONDS_MAX
            ),
        ));
    }
    if price_cap.0 > limits::PRICE_CAP_CYCLES_MAX {
        return Err(invalid(
            "price_cap",
            &format!(
                "{price_cap} cycles, at most {} are allowed",
                Cycles(limits::PRICE_CAP_CYCLES_MAX)
            ),
        ));
    }
    Ok(())
}

/// A name that came from outside, short enough for an error.
fn shown(name: &str) -> String {
    name.chars().take(limits::NAME_BYTES_MAX).collect()
}

/// Binds a generator's claim in the log without giving its tokens away.
pub(crate) fn claim_hash(salt: &Hash32, claim: &Claim) -> Hash32 {
    let finish: &[u8] = match claim.finish {
        Finish::Stop => b"stop",
        Finish::Length => b"length",
    };
    Hasher::new("assay-claim-1")
        .hash(salt)
        .tokens(&claim.output)
        .bytes(finish)
        .finish()
}
