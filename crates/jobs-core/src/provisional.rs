//! Provisional output: what a generator shows before its verdict, and to whom.
//!
//! It is one worker's word and decides nothing. Only the requester reads the text, only the
//! round's checkers read the tokens; replicas send none.

use assay_protocol::{
    LeaseId, Moment,
    job::{JobError, StreamArgs, StreamChunk},
    lease::{Beat, Claim, Follow, LeaseState, ProgressArgs, Role, WorkerError},
    limits,
    store::Table,
};
use candid::Principal;

use crate::{
    leases::is_active,
    market::Jobs,
    record::{Chunk, Job, Lease, StreamHead},
    store::Backend,
    worker::invalid,
};

impl<B: Backend> Jobs<B> {
    /// Takes a generator's provisional tokens; counts as a heartbeat. The last call may be repeated.
    pub fn progress(&mut self, at: &Moment, args: &ProgressArgs) -> Result<Beat, WorkerError> {
        let lease = self.own_lease(at, args.lease)?;
        let ProgressArgs {
            lease: id,
            from,
            tokens,
            text,
        } = args;
        if lease.role != Role::Generator {
            return Err(invalid(
                "lease",
                "only a generator sends tokens; use heartbeat".into(),
            ));
        }
        if tokens.len() > limits::PROGRESS_TOKENS_MAX {
            return Err(invalid(
                "tokens",
                format!(
                    "{} tokens, at most {} are allowed",
                    tokens.len(),
                    limits::PROGRESS_TOKENS_MAX
                ),
            ));
        }
        if text.len() > limits::PROGRESS_TEXT_BYTES_MAX {
            return Err(invalid(
                "text",
                format!(
                    "{} bytes, at most {} are allowed",
                    text.len(),
                    limits::PROGRESS_TEXT_BYTES_MAX
                ),
            ));
        }
        let live = self.touch(at.now);
        self.see(at.caller, at.now);
        let lease = self.end_overdue(at.now, live, *id);
        if lease.state != LeaseState::Leased || lease.run_deadline.is_none() {
            return Err(self.after_end(&lease));
        }
        let head = self.store.streams.get(id).unwrap_or_default();
        let chunk = Chunk {
            tokens_from: *from,
            bytes_from: head.bytes,
            tokens: tokens.clone(),
            text: text.clone(),
        };
        let empty = tokens.is_empty() && text.is_empty();
        if !empty && !self.is_repeated(*id, head, &chunk) {
            let next = self.appended(&lease, head, &chunk)?;
            self.store.chunks.insert((*id, head.chunks), chunk);
            self.store.streams.insert(*id, next);
        }
        Ok(self.beat(&lease, live))
    }

    /// The final tokens that a checker checks, certified because this is an update; counts as a heartbeat.
    pub fn transcript(&mut self, at: &Moment, id: LeaseId) -> Result<Claim, WorkerError> {
        let lease = self.own_lease(at, id)?;
        if lease.role != Role::Checker {
            return Err(invalid("lease", "only a checker reads a transcript".into()));
        }
        let live = self.touch(at.now);
        self.see(at.caller, at.now);
        let lease = self.end_overdue(at.now, live, id);
        if lease.state != LeaseState::Leased {
            return Err(self.after_end(&lease));
        }
        self.beat(&lease, live);
        self.final_claim(&lease)
            .ok_or(WorkerError::TranscriptNotFinal(id))
    }

    /// Provisional tokens from a position on, for the checkers of the same round.
    pub fn follow(&self, caller: Principal, id: LeaseId, from: u32) -> Result<Follow, WorkerError> {
        let lease = self
            .store
            .leases
            .get(&id)
            .ok_or(WorkerError::UnknownLease(id))?;
        if lease.worker != caller {
            return Err(WorkerError::ForeignLease(id));
        }
        if lease.role != Role::Checker || lease.state != LeaseState::Leased {
            return Err(WorkerError::WrongState {
                lease: id,
                state: lease.state,
            });
        }
        if let Some(claim) = self.final_claim(&lease) {
            return Ok(Follow {
                tokens: claim.output.into_iter().skip(from as usize).collect(),
                complete: true,
            });
        }
        let job = self.stored_job(lease.job);
        let Some(generator) = self.generator(&job, lease.round) else {
            return Ok(Follow::default());
        };
        let head = self.store.streams.get(&generator.id).unwrap_or_default();
        let first = self.last_chunk(generator.id, head.chunks, |chunk| chunk.tokens_from <= from);
        let mut tokens = Vec::new();
        for (_, chunk) in self
            .store
            .chunks
            .range((generator.id, first)..(generator.id, head.chunks))
        {
            let skip = from.saturating_sub(chunk.tokens_from) as usize;
            tokens.extend(chunk.tokens.into_iter().skip(skip));
        }
        Ok(Follow {
            tokens,
            complete: false,
        })
    }

    /// Provisional text of a job's present round, for its requester.
    pub fn stream(&self, caller: Principal, args: &StreamArgs) -> Result<StreamChunk, JobError> {
        let job = self
            .store
            .jobs
            .get(&args.job)
            .ok_or(JobError::UnknownJob(args.job))?;
        if job.requester != caller {
            return Err(JobError::NotYours(args.job));
        }
        let cursor = if args.round == job.round {
            args.cursor
        } else {
            0
        };
        let mut answer = StreamChunk {
            round: job.round,
            text: String::new(),
            cursor,
            state: job.state,
        };
        let Some(generator) = self.generator(&job, job.round) else {
            return Ok(answer);
        };
        let head = self.store.streams.get(&generator.id).unwrap_or_default();
        if cursor > head.bytes {
            return Err(invalid_cursor(format!(
                "{cursor} lies behind the {} bytes there are",
                head.bytes
            )));
        }
        let first = self.last_chunk(generator.id, head.chunks, |chunk| {
            chunk.bytes_from <= cursor
        });
        for (_, chunk) in self
            .store
            .chunks
            .range((generator.id, first)..(generator.id, head.chunks))
        {
            let skip = cursor.saturating_sub(chunk.bytes_from) as usize;
            let Some(text) = chunk.text.get(skip.min(chunk.text.len())..) else {
                return Err(invalid_cursor(format!("{cursor} lies inside a character")));
            };
            if !answer.text.is_empty() && answer.text.len() + text.len() > limits::STREAM_BYTES_MAX
            {
                break;
            }
            answer.text.push_str(text);
        }
        answer.cursor = cursor + answer.text.len() as u64;
        Ok(answer)
    }

    /// The claim that a checker's round is about, once the generator has committed.
    pub(crate) fn final_claim(&self, checker: &Lease) -> Option<Claim> {
        let job = self.stored_job(checker.job);
        let generator = self.generator(&job, checker.round)?;
        self.store.claims.get(&generator.id)
    }

    /// Whether a lease at work has sent provisional output.
    pub(crate) fn has_streamed(&self, lease: &Lease) -> bool {
        is_active(lease) && self.store.streams.contains(&lease.id)
    }

    /// The generator of a round that still counts, or the last one that did.
    fn generator(&self, job: &Job, round: u32) -> Option<Lease> {
        let of_round = job
            .leases
            .iter()
            .rev()
            .filter_map(|id| self.store.leases.get(id))
            .find(|lease| lease.role == Role::Generator && lease.round == round);
        of_round.filter(|lease| is_active(lease) || job.state.is_terminal())
    }

    /// Whether this is the last chunk once more.
    fn is_repeated(&self, id: LeaseId, head: StreamHead, chunk: &Chunk) -> bool {
        let last = head
            .chunks
            .checked_sub(1)
            .and_then(|last| self.store.chunks.get(&(id, last)));
        last.is_some_and(|last| {
            (last.tokens_from, &last.tokens, &last.text)
                == (chunk.tokens_from, &chunk.tokens, &chunk.text)
        })
    }

    fn appended(
        &self,
        lease: &Lease,
        head: StreamHead,
        chunk: &Chunk,
    ) -> Result<StreamHead, WorkerError> {
        if chunk.tokens_from != head.tokens {
            return Err(invalid(
                "from",
                format!(
                    "{}, but {} tokens were sent before",
                    chunk.tokens_from, head.tokens
                ),
            ));
        }
        let max_tokens = self.stored_job(lease.job).max_tokens;
        let tokens = head.tokens + chunk.tokens.len() as u32;
        if tokens > max_tokens {
            return Err(invalid(
                "tokens",
                format!("{tokens} in all, the job allows {max_tokens}"),
            ));
        }
        let bytes = head.bytes + chunk.text.len() as u64;
        if bytes > limits::ANSWER_BYTES_MAX as u64 {
            return Err(invalid(
                "text",
                format!(
                    "{bytes} bytes in all, at most {} are allowed",
                    limits::ANSWER_BYTES_MAX
                ),
            ));
        }
        if head.chunks >= limits::CHUNKS_MAX {
            return Err(invalid(
                "text",
                format!(
                    "{} pieces were sent, no more are allowed; send larger ones",
                    limits::CHUNKS_MAX
                ),
            ));
        }
        Ok(StreamHead {
            chunks: head.chunks + 1,
            tokens,
            bytes,
        })
    }

    /// The last of a lease's chunks that satisfies a condition which only the first ones satisfy.
    fn last_chunk(&self, id: LeaseId, chunks: u32, condition: impl Fn(&Chunk) -> bool) -> u32 {
        let (mut low, mut high) = (0, chunks);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.store.chunks.get(&(id, middle)) {
                Some(chunk) if condition(&chunk) => low = middle,
                _ => high = middle,
            }
        }
        low
    }
}

fn invalid_cursor(problem: String) -> JobError {
    JobError::Invalid {
        field: "cursor".into(),
        problem,
    }
}
