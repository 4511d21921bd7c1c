//! Opening commitments.
//!
//! The canister recomputes every root from what is revealed. A wrong opening changes nothing, so
//! a worker may try again until its deadline; a right opening of something that breaks the
//! protocol is final, because the commitment binds its author to it.

use assay_protocol::{
    Hash32, JobId, LeaseId, Moment,
    job::Reason,
    lease::{Claim, LeaseState, Opening, RevealArgs, Role, WorkerError, commitment},
    limits,
    receipt::SaltedRequest,
    request::{JobRequest, Task},
    result::{Finish, ResultBody, ResultContext},
    store::Table,
};

use crate::{
    event::Event,
    market::Jobs,
    record::{Job, Lease, Opened},
    store::Backend,
    worker::invalid,
};

impl<B: Backend> Jobs<B> {
    /// Opens a commitment. A repeated call with the same content is answered as the first was.
    pub fn reveal(&mut self, at: &Moment, args: &RevealArgs) -> Result<(), WorkerError> {
        let RevealArgs {
            lease: id,
            nonce,
            opening,
        } = args;
        let lease = self.own_lease(at, *id)?;
        check_shape(opening, lease.role)?;
        if lease.state == LeaseState::Revealed
            && self
                .store
                .openings
                .get(id)
                .is_some_and(|opened| opened.nonce == *nonce && opened.opening == *opening)
        {
            return Ok(());
        }
        let live = self.touch(at.now);
        self.see(at.caller, at.now);
        let lease = self.end_overdue(at.now, live, *id);
        if lease.state != LeaseState::Committed {
            return Err(self.after_end(&lease));
        }
        let job = self.stored_job(lease.job);
        if lease.reveal_deadline.is_none() {
            return Err(WorkerError::NotRevealing {
                job: job.id,
                state: job.state,
            });
        }
        let root = self.root_of(&job, &lease, opening);
        let canister = self.config().canister;
        if lease.commitment != Some(commitment(&canister, *id, &lease.worker, nonce, &root)) {
            return Err(WorkerError::WrongOpening { lease: *id, root });
        }
        self.store.openings.insert(
            *id,
            Opened {
                nonce: *nonce,
                opening: opening.clone(),
                root,
            },
        );
        self.record(at.now, Event::Revealed { lease: *id });
        match self.flaw(&job, *id, opening) {
            Some(problem) => {
                let reason = Reason::Malformed(problem.clone());
                self.record(
                    at.now,
                    Event::FoundMalformed {
                        lease: *id,
                        root,
                        problem,
                    },
                );
                self.go_on_without(at.now, &lease, reason);
            }
            None => self.advance(at.now, job.id, None),
        }
        Ok(())
    }

    fn root_of(&self, job: &Job, lease: &Lease, opening: &Opening) -> Hash32 {
        match opening {
            Opening::Result(body) => {
                let model = self
                    .store
                    .models
                    .get(&job.model)
                    .expect("BUG: a job's model is known");
                let request = self.asked(job.id).request;
                body.root(&ResultContext {
                    spec: &model.semantics,
                    model_root: &model.model_root,
                    parameters: &request.parameters,
                    seed: job
                        .seed
                        .expect("BUG: a seed is drawn before the first lease"),
                })
            }
            Opening::Agrees { root } => *root,
            Opening::Mismatch(mismatch) => mismatch.root(job.id, lease.round),
        }
    }

    /// What an open job was asked, and the salt.
    pub(crate) fn asked(&self, id: JobId) -> SaltedRequest {
        let asked = self.store.requests.get(&id);
        asked.expect("BUG: an open job has its request")
    }

    /// What is wrong with a result that opens its commitment.
    fn flaw(&self, job: &Job, id: LeaseId, opening: &Opening) -> Option<String> {
        let Opening::Result(body) = opening else {
            return None;
        };
        let ResultBody {
            input_tokens,
            output_tokens,
            answer,
            logprobs,
            finish,
            trace_root: _,
        } = body;
        let JobRequest {
            task, parameters, ..
        } = self.asked(job.id).request;
        if input_tokens.len() > job.input_tokens_max as usize {
            return Some(format!(
                "{} input tokens, the request can have at most {}",
                input_tokens.len(),
                job.input_tokens_max
            ));
        }
        if matches!(task, Task::Embedding { .. }) {
            let numbers = !answer.is_empty() && answer.len().is_multiple_of(4);
            if !numbers || !output_tokens.is_empty() || *finish != Finish::Stop {
                return Some("an embedding is numbers of four bytes, without tokens".into());
            }
        } else if std::str::from_utf8(answer).is_err() {
            return Some("the answer is not text".into());
        }
        if !finish.fits(output_tokens.len(), &parameters) {
            return Some(format!(
                "{} tokens of at most {} cannot end with {finish:?}",
                output_tokens.len(),
                parameters.max_tokens
            ));
        }
        let asked = parameters.logprobs.map(usize::from);
        let complete = match (asked, logprobs) {
            (None, None) => true,
            (Some(count), Some(found)) => {
                found.len() == output_tokens.len()
                    && found.iter().all(|token| token.top.len() == count)
            }
            _ => false,
        };
        if !complete {
            return Some("log-probabilities are not those that were asked for".into());
        }
        match self.store.claims.get(&id) {
            Some(Claim {
                output,
                finish: claimed,
            }) if output != *output_tokens || claimed != *finish => {
                Some("the result differs from the tokens it was committed with".into())
            }
            _ => None,
        }
    }
}

fn check_shape(opening: &Opening, role: Role) -> Result<(), WorkerError> {
    match (opening, role) {
        (Opening::Result(body), Role::Generator | Role::Replica) => {
            let ResultBody {
                input_tokens,
                output_tokens,
                answer,
                logprobs,
                finish: _,
                trace_root: _,
            } = body;
            at_most("input_tokens", input_tokens.len(), limits::INPUT_TOKENS_MAX)?;
            at_most(
                "output_tokens",
                output_tokens.len(),
                limits::OUTPUT_TOKENS_MAX as usize,
            )?;
            let logprobs = logprobs.as_deref().unwrap_or_default();
            at_most(
                "logprobs",
                logprobs.len(),
                limits::OUTPUT_TOKENS_MAX as usize,
            )?;
            let widest = logprobs.iter().map(|token| token.top.len()).max();
            at_most("logprobs", widest.unwrap_or(0), limits::LOGPROBS_MAX.into())?;
            at_most("answer", answer.len(), limits::ANSWER_BYTES_MAX)
        }
        (Opening::Mismatch(mismatch), Role::Checker) => at_most(
            "position",
            mismatch.position as usize,
            limits::OUTPUT_TOKENS_MAX as usize,
        ),
        (Opening::Agrees { .. }, Role::Checker) => Ok(()),
        (_, Role::Checker) => Err(invalid(
            "opening",
            "a checker reveals that it agrees, or a mismatch".into(),
        )),
        (_, Role::Generator | Role::Replica) => {
            Err(invalid("opening", "a generation reveals its result".into()))
        }
    }
}

fn at_most(field: &str, got: usize, max: usize) -> Result<(), WorkerError> {
    if got > max {
        return Err(invalid(field, format!("{got}, at most {max} are allowed")));
    }
    Ok(())
}
