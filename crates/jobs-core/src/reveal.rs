//! Opening commitments.
//!
//! The canister recomputes every root from what is revealed. A wrong opening changes nothing, so
//! a worker may try again until its deadline; a right opening of something that breaks the
//! protocol is final, because the commitment binds its author to it.

use assay_protocol::{
    Hash32, LeaseId, Moment,
    job::Reason,
    lease::{Claim, LeaseState, Opening, RevealArgs, Role, WorkerError, commitment},
    limits,
    result::{ResultBody, ResultContext},
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
                body.root(&ResultContext {
                    spec: &model.semantics,
                    model_root: &model.model_root,
                    sampling: &job.sampling,
                    seed: job
                        .seed
                        .expect("BUG: a seed is drawn before the first lease"),
                    max_tokens: job.max_tokens,
                })
            }
            Opening::Agrees { root } => *root,
            Opening::Mismatch(mismatch) => mismatch.root(job.id, lease.round),
        }
    }

    /// What is wrong with a result that opens its commitment.
    fn flaw(&self, job: &Job, id: LeaseId, opening: &Opening) -> Option<String> {
        let Opening::Result(ResultBody {
            input_tokens,
            output_tokens,
            answer,
            finish,
            trace_root: _,
        }) = opening
        else {
            return None;
        };
        if input_tokens.len() > job.input_tokens_max as usize {
            return Some(format!(
                "{} input tokens, the request can have at most {}",
                input_tokens.len(),
                job.input_tokens_max
            ));
        }
        if !finish.fits(output_tokens.len(), job.max_tokens) {
            return Some(format!(
                "{} tokens of at most {} cannot end with {finish:?}",
                output_tokens.len(),
                job.max_tokens
            ));
        }
        if std::str::from_utf8(answer).is_err() {
            return Some("the answer is not text".into());
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
                finish: _,
                trace_root: _,
            } = body;
            at_most("input_tokens", input_tokens.len(), limits::INPUT_TOKENS_MAX)?;
            at_most(
                "output_tokens",
                output_tokens.len(),
                limits::OUTPUT_TOKENS_MAX as usize,
            )?;
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
