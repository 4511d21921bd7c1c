//! Whole jobs: generating a transcript, and checking one at the price of a prefill.
//!
//! A transcript is what a generation leaves behind: the drawn tokens without the end token, why it stopped, and the trace root.
//! Both sides define it the same way, so equal work gives equal transcripts:
//!
//! - On drawing one of the model's end tokens the finish is [`Finish::Stop`], and `output` does not hold that token.
//! - A token that completes a stop string (see [`StopStrings`]) is the last of `output`, and the finish is [`Finish::Stop`]. `output` keeps
//!   the token whole, though it may hold the stop string and text past it; the answer is the text up to [`Transcript::stop`].
//! - A token after which the constraint admits nothing more is the last of `output`, and the finish is [`Finish::Stop`].
//! - Otherwise, once `max_tokens` are out the finish is [`Finish::Length`]. After any last token nothing further is drawn.
//! - Positions count from zero over input and output together. A position is computed when a token after it has to be drawn. So the trace
//!   root covers `input + output` positions where an end token was drawn, and `input + output - 1` where the last token ended it.
//! - The draw of output token `i` uses position `input + i`, and looks back at the tokens before it.
//!
//! A claim that differs is no error but a [`Checked::Mismatch`]: it names the first output index where the claim leaves the true
//! generation and the trace root of everything before it, which two honest checkers find alike. Nothing of a claim but its tokens and
//! its finish is believed: stop strings, constraint, penalties and log-probabilities are worked out again from these.

use alloc::vec::Vec;
use core::ops::ControlFlow;

#[cfg(feature = "std")]
use crate::forward::batch::BatchError;
use crate::{
    forward::{Options, Session, SessionError},
    model::Model,
    sampler::{
        Bias, LOGPROBS_MAX, Logprobs, Pieces, Sampler, Sampling, SamplingError,
        constraint::Constraint,
    },
    trace::Hash,
};

mod check;
mod course;
#[cfg(feature = "std")]
mod group;
#[cfg(test)]
mod steered;
mod stop;
#[cfg(test)]
mod tests;

use self::course::Course;
#[cfg(feature = "std")]
pub use self::group::{Event, Group};
pub use self::{
    check::{Checker, check},
    stop::{STOP_BYTES_MAX, STOP_STRINGS_MAX, StopError, StopFound, StopScanner, StopStrings},
};

/// What is asked for. The default asks for nothing and is there to be filled in.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Token ids, at least one.
    pub input: &'a [u32],
    /// Most tokens to generate, at least one.
    pub max_tokens: u32,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// What is added to the logits of single tokens.
    pub bias: &'a [Bias],
    /// How many alternatives are wanted with the log-probability of each output token; none asks for no log-probabilities at all.
    pub logprobs: Option<u8>,
    /// The bytes of the model's tokens; needed with stop strings or a constraint.
    pub pieces: Option<&'a Pieces>,
    /// Text that ends the generation.
    pub stop: Option<&'a StopStrings>,
    /// What the output must look like.
    pub constraint: Option<&'a Constraint>,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self {
            input: &[],
            max_tokens: 0,
            sampling: Sampling::GREEDY,
            bias: &[],
            logprobs: None,
            pieces: None,
            stop: None,
            constraint: None,
        }
    }
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// An end token was drawn, a stop string came up, or the constraint admits nothing more.
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
    /// The stop string that ended it, and where in the bytes of the output it begins.
    pub stop: Option<StopFound>,
    /// For each output token, where they were asked for.
    pub logprobs: Vec<Logprobs>,
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
    /// A bias for a token that the model does not have.
    #[error("logit bias for token {token}, the vocabulary ends at {vocab}; leave it out")]
    BiasToken {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// Too many alternatives.
    #[error("{0} alternatives with each token, more than the limit of {LOGPROBS_MAX}")]
    Logprobs(u8),
    /// Stop strings or a constraint, but no text to hold against them.
    #[error("stop strings and constraints need the bytes of the model's tokens; give its pieces")]
    NoPieces,
    /// The pieces of another model.
    #[error(
        "pieces of {found} tokens, the vocabulary has {vocab}; take those of the model's tokenizer"
    )]
    Pieces {
        /// Tokens in the table.
        found: usize,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// No token continues the output as the constraint wants it.
    #[error(
        "no token of this model continues the output as the constraint wants it at {position}; use another schema"
    )]
    Stuck {
        /// Output index of the token that cannot be drawn.
        position: u32,
    },
    /// The session refused model, options or tokens.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The batch refused a sequence.
    #[cfg(feature = "std")]
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// One output token as it is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Its output index, from zero.
    pub index: u32,
    /// The token.
    pub token: u32,
    /// Its log-probability and the alternatives, where they were asked for.
    pub logprobs: Option<&'a Logprobs>,
}

/// Generates. `on_token(index, token)` hears each output token at once, index from zero, and may break off.
pub fn generate(
    model: &Model,
    request: &Request<'_>,
    options: &Options,
    on_token: &mut dyn FnMut(u32, u32) -> ControlFlow<()>,
) -> Result<Transcript, RunError> {
    generate_steps(model, request, options, &mut |step| {
        on_token(step.index, step.token)
    })
}

/// Generates as [`generate`] does; `on_step` hears of each output token with its log-probabilities.
pub fn generate_steps(
    model: &Model,
    request: &Request<'_>,
    options: &Options,
    on_step: &mut dyn FnMut(Step<'_>) -> ControlFlow<()>,
) -> Result<Transcript, RunError> {
    let (mut session, mut course) = open(model, request, options)?;
    let mut all_logprobs = Vec::new();
    let mut logits = session.prefill(request.input)?;
    let finish = loop {
        let drawn = course.draw(logits);
        let index = course.output().len() as u32;
        let token = drawn.token.ok_or(RunError::Stuck { position: index })?;
        if course.ends(token) {
            break Finish::Stop;
        }
        course.push(token);
        let step = Step {
            index,
            token,
            logprobs: drawn.logprobs.as_ref(),
        };
        if on_step(step).is_break() {
            return Err(RunError::Cancelled);
        }
        all_logprobs.extend(drawn.logprobs);
        if let Some(finish) = course.finish() {
            break finish;
        }
        logits = session.decode(token)?;
    };
    Ok(Transcript {
        output: course.output().to_vec(),
        finish,
        trace_root: session.trace().root(session.positions()),
        stop: course.stop(),
        logprobs: all_logprobs,
    })
}

/// Checks a request and opens a session that has just enough room for it.
fn open<'m>(
    model: &'m Model,
    request: &Request<'_>,
    options: &Options,
) -> Result<(Session<'m>, Course), RunError> {
    let (course, room) = begin(model, request)?;
    Ok((Session::new(model, room, options)?, course))
}

/// Checks a request; gives its course and how many positions it can come to.
fn begin(model: &Model, request: &Request<'_>) -> Result<(Course, usize), RunError> {
    let Request {
        input,
        max_tokens,
        sampling,
        bias,
        logprobs,
        pieces,
        stop,
        constraint,
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
    let sampler = Sampler::with_bias(sampling, bias)?;
    let vocab = model.shape.vocab;
    if let Some(Bias { token, .. }) = bias.iter().find(|bias| bias.token as usize >= vocab) {
        return Err(RunError::BiasToken {
            token: *token,
            vocab,
        });
    }
    if let Some(count) = logprobs.filter(|count| *count > LOGPROBS_MAX) {
        return Err(RunError::Logprobs(count));
    }
    let reads = stop.is_some_and(|stop| !stop.is_empty()) || constraint.is_some();
    match pieces {
        None if reads => return Err(RunError::NoPieces),
        Some(pieces) if pieces.len() != vocab => {
            return Err(RunError::Pieces {
                found: pieces.len(),
                vocab,
            });
        }
        _ => {}
    }
    let course = Course::new(request, sampler, &model.end_tokens, vocab);
    // The last token of all is never run.
    Ok((course, total - 1))
}
