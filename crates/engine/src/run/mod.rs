//! Whole jobs: generating a transcript, and checking one at the price of a prefill.
//!
//! A transcript is what a generation leaves behind: the drawn tokens without the end token, why it stopped, and the trace root.
//! Both sides define it the same way, so equal work gives equal transcripts:
//!
//! - `output` never holds the token that ended it: on drawing one of the model's end tokens the finish is [`Finish::Stop`]; once
//!   `max_tokens` are out the finish is [`Finish::Length`] and nothing further is drawn.
//! - Positions count from zero over input and output together. A position is computed when a token after it has to be drawn. So the trace
//!   root covers `input + output` positions at [`Finish::Stop`] and `input + max_tokens - 1` at [`Finish::Length`].
//! - The draw of output token `i` uses position `input + i`.
//!
//! A claim that differs is no error but a [`Checked::Mismatch`]: it names the first output index where the claim leaves the true
//! generation and the trace root of everything before it, which two honest checkers find alike.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use crate::{
    forward::{Options, Session, SessionError},
    model::Model,
    sampler::{Sampler, Sampling, SamplingError},
    trace::Hash,
};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Token ids, at least one.
    pub input: &'a [u32],
    /// Most tokens to generate, at least one.
    pub max_tokens: u32,
    /// How tokens are drawn.
    pub sampling: Sampling,
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// An end token was drawn.
    Stop,
    /// `max_tokens` are out.
    Length,
}

/// The result of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// Drawn tokens, without the end token.
    pub output: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
    /// Commitment to every state; see [`crate::trace`].
    pub trace_root: Hash,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The claim is the true generation.
    Match(Transcript),
    /// It is not.
    Mismatch {
        /// Output index, from zero, of the first difference; the claim's length when the claim ends wrongly.
        position: u32,
        /// The token that belongs there; none when the generation ends there.
        expected: Option<u32>,
        /// Trace root over the positions before it, as many as a generation up to there computes.
        trace_root: Hash,
    },
}

/// What a run refuses, and its interruption.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// Nothing to go on from.
    #[error("input has no tokens; give at least one")]
    EmptyInput,
    /// Nothing asked for.
    #[error("max_tokens is 0; ask for at least 1")]
    NoTokensWanted,
    /// The model's context is too short.
    #[error(
        "{input} input tokens and {max_tokens} output tokens exceed the context of {context_max}; shorten the input or ask for fewer"
    )]
    Context {
        /// Input tokens.
        input: usize,
        /// Output tokens asked for.
        max_tokens: u32,
        /// The model's context.
        context_max: usize,
    },
    /// Sampling parameters out of range.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// The session refused model, options or tokens.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// Generates. `on_token(index, token)` hears each output token at once, index from zero, and may break off.
pub fn generate(
    model: &Model,
    request: &Request<'_>,
    options: &Options,
    on_token: &mut dyn FnMut(u32, u32) -> ControlFlow<()>,
) -> Result<Transcript, RunError> {
    let (mut session, sampler) = open(model, request, options)?;
    let mut output = Vec::new();
    let mut logits = session.prefill(request.input)?;
    let finish = loop {
        let token = sampler.draw(logits, (request.input.len() + output.len()) as u64);
        if model.end_tokens.contains(&token) {
            break Finish::Stop;
        }
        output.push(token);
        if on_token(output.len() as u32 - 1, token).is_break() {
            return Err(RunError::Cancelled);
        }
        if output.len() == request.max_tokens as usize {
            break Finish::Length;
        }
        logits = session.decode(token)?;
    };
    let trace_root = session.trace().root(session.positions());
    Ok(Transcript {
        output,
        finish,
        trace_root,
    })
}

/// Checks a whole claim.
pub fn check(
    model: &Model,
    request: &Request<'_>,
    claimed: &[u32],
    finish: Finish,
    options: &Options,
) -> Result<Checked, RunError> {
    let mut checker = Checker::new(model, request, options)?;
    checker.push(claimed)?;
    Ok(checker.finish(finish))
}

/// Checks a claim while it streams in.
#[derive(Debug)]
pub struct Checker<'m> {
    session: Session<'m>,
    sampler: Sampler,
    input: usize,
    max_tokens: usize,
    chunk: usize,
    output: Vec<u32>, // what was claimed and found true
    next: u32,        // what is drawn after it, unless `output` is complete
    mismatch: Option<(usize, Option<u32>)>,
}

impl<'m> Checker<'m> {
    /// Runs the input.
    pub fn new(
        model: &'m Model,
        request: &Request<'_>,
        options: &Options,
    ) -> Result<Self, RunError> {
        let (mut session, sampler) = open(model, request, options)?;
        let next = sampler.draw(session.prefill(request.input)?, request.input.len() as u64);
        Ok(Self {
            session,
            sampler,
            input: request.input.len(),
            max_tokens: request.max_tokens as usize,
            chunk: options.prefill_chunk,
            output: Vec::new(),
            next,
            mismatch: None,
        })
    }

    /// Follows the claim by some more tokens; false once it is known to be wrong, and then nothing more is computed.
    pub fn push(&mut self, claimed: &[u32]) -> Result<bool, RunError> {
        for piece in claimed.chunks(self.chunk) {
            if self.mismatch.is_some() {
                break;
            }
            self.push_piece(piece)?;
        }
        Ok(self.mismatch.is_none())
    }

    /// Tokens that were claimed and found true.
    pub fn confirmed(&self) -> &[u32] {
        &self.output
    }

    /// Ends the claim.
    pub fn finish(mut self, claimed: Finish) -> Checked {
        let complete = self.output.len() == self.max_tokens;
        if self.mismatch.is_none() {
            let agrees = match claimed {
                Finish::Stop => !complete && self.ends(self.next),
                Finish::Length => complete,
            };
            if !agrees {
                let expected = (!complete && !self.ends(self.next)).then_some(self.next);
                self.mismatch = Some((self.output.len(), expected));
            }
        }
        match self.mismatch {
            Some((position, expected)) => Checked::Mismatch {
                position: position as u32,
                expected,
                trace_root: self.root_before(position),
            },
            None => Checked::Match(Transcript {
                trace_root: self.root_before(self.output.len()),
                output: self.output,
                finish: claimed,
            }),
        }
    }

    /// Runs a piece in one go before comparing it; what was computed past a difference is dropped with the session.
    fn push_piece(&mut self, piece: &[u32]) -> Result<(), RunError> {
        let room = self.max_tokens - self.output.len();
        let vocab = self.session.model().shape.vocab;
        let possible = piece
            .iter()
            .take(room)
            .take_while(|t| (**t as usize) < vocab)
            .count();
        // A first token that is wrong already saves the rest of the work.
        let promising = piece.first() == Some(&self.next) && !self.ends(self.next);
        let run = match promising {
            true => possible.min(room.saturating_sub(1)), // the last token of all is never run
            false => 0,
        };
        let mut drawn = alloc::vec![self.next];
        if run > 0 {
            drawn.extend(self.session.draw_each(&piece[..run], &self.sampler)?);
        }
        for (i, token) in piece.iter().enumerate() {
            let true_token = drawn.get(i).copied().filter(|t| i < room && !self.ends(*t));
            if true_token != Some(*token) {
                self.mismatch = Some((self.output.len(), true_token));
                return Ok(());
            }
            self.output.push(*token);
        }
        if let Some(next) = drawn.get(piece.len()) {
            self.next = *next;
        }
        Ok(())
    }

    fn ends(&self, token: u32) -> bool {
        self.session.model().end_tokens.contains(&token)
    }

    /// The trace root over what a generation has computed when output `position` is due.
    fn root_before(&self, position: usize) -> Hash {
        self.session
            .trace()
            .root(self.input + position.min(self.max_tokens - 1))
    }
}

/// Checks a request and opens a session that has just enough room for it.
fn open<'m>(
    model: &'m Model,
    request: &Request<'_>,
    options: &Options,
) -> Result<(Session<'m>, Sampler), RunError> {
    let Request {
        input,
        max_tokens,
        sampling,
    } = *request;
    if input.is_empty() {
        return Err(RunError::EmptyInput);
    }
    if max_tokens == 0 {
        return Err(RunError::NoTokensWanted);
    }
    let context_max = model.shape.context_max;
    let total = input.len().saturating_add(max_tokens as usize);
    if total > context_max {
        return Err(RunError::Context {
            input: input.len(),
            max_tokens,
            context_max,
        });
    }
    let sampler = Sampler::new(sampling)?;
    Ok((Session::new(model, total - 1, options)?, sampler))
}

#[cfg(test)]
mod tests;
