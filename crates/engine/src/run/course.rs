//! The course of one generation: what has been said, and so how the next token is drawn and when the end has come.
//!
//! Generator and checker go through the same course, so that there is one place where draws and ends are decided.

use alloc::{sync::Arc, vec::Vec};

use super::{Finish, Request, StopFound, StopScanner, StopStrings};
use crate::sampler::{
    Draw, Logprobs, Mask, Past, Pieces, Sampler,
    constraint::{Constraint, State},
};

/// Masks that are kept for states that come back, as that inside a string does.
const MASKS_KEPT: usize = 32;

#[derive(Debug)]
pub(super) struct Course {
    sampler: Sampler,
    logprobs: Option<u8>,
    end_tokens: Vec<u32>,
    tokens: Vec<u32>, // input, then output
    input: usize,
    max_tokens: usize,
    scan: Option<(StopStrings, Pieces, StopScanner)>,
    steer: Option<Steer>,
    finish: Option<Finish>,
}

/// A constraint being followed.
#[derive(Debug)]
struct Steer {
    constraint: Constraint,
    pieces: Pieces,
    vocab: usize,
    state: State,
    masks: Vec<(State, Arc<Mask>)>, // the latest first
    mask: Option<Arc<Mask>>,        // that of `state`
}

/// What was drawn at one position.
#[derive(Clone, Debug, Default)]
pub(super) struct Drawn {
    /// None where the constraint leaves nothing to draw.
    pub(super) token: Option<u32>,
    pub(super) logprobs: Option<Logprobs>,
}

/// A draw that is due once the first `len` tokens have run.
#[derive(Clone, Debug)]
pub(super) struct Due {
    len: usize,
    mask: Option<Arc<Mask>>,
}

/// Consecutive draws that can be made in any order.
#[derive(Debug)]
pub(super) struct Rows<'c> {
    course: &'c Course,
    dues: &'c [Due],
}

impl Course {
    pub(super) fn new(
        request: &Request<'_>,
        sampler: Sampler,
        end_tokens: &[u32],
        vocab: usize,
    ) -> Self {
        let scan = match (request.stop, request.pieces) {
            (Some(stop), Some(pieces)) => Some((stop.clone(), pieces.clone(), stop.scan())),
            _ => None,
        };
        let steer = match (request.constraint, request.pieces) {
            (Some(constraint), Some(pieces)) => Some(Steer {
                constraint: constraint.clone(),
                pieces: pieces.clone(),
                vocab,
                state: constraint.start(),
                masks: Vec::new(),
                mask: None,
            }),
            _ => None,
        };
        let mut course = Self {
            sampler,
            logprobs: request.logprobs,
            end_tokens: end_tokens.to_vec(),
            tokens: request.input.to_vec(),
            input: request.input.len(),
            max_tokens: request.max_tokens as usize,
            scan,
            steer,
            finish: None,
        };
        course.look();
        course
    }

    /// Input and output so far.
    #[cfg(feature = "std")]
    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The input.
    pub(super) fn input(&self) -> &[u32] {
        &self.tokens[..self.input]
    }

    /// The output so far.
    pub(super) fn output(&self) -> &[u32] {
        &self.tokens[self.input..]
    }

    /// Takes back everything after the first `len` output tokens. Only for reading what is left: nothing can be drawn afterwards.
    pub(super) fn truncate(&mut self, len: usize) {
        self.tokens.truncate(self.input + len);
    }

    /// Whether a token ends the generation when it is drawn.
    pub(super) fn ends(&self, token: u32) -> bool {
        self.end_tokens.contains(&token)
    }

    /// Why the last token was the last of all, if it was.
    pub(super) fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// The stop string that came up.
    pub(super) fn stop(&self) -> Option<StopFound> {
        self.scan
            .as_ref()
            .and_then(|(_, _, scanner)| scanner.found())
    }

    /// Whether a draw could have given this token here, as far as the constraint knows.
    pub(super) fn allows(&self, token: u32) -> bool {
        let mask = self.steer.as_ref().and_then(|steer| steer.mask.as_ref());
        self.finish.is_none() && mask.is_none_or(|mask| mask.allows(token))
    }

    /// Goes on by a token that was drawn, or could have been.
    pub(super) fn push(&mut self, token: u32) {
        self.tokens.push(token);
        let mut stopped = false;
        if let Some((stops, pieces, scanner)) = &mut self.scan {
            stopped |= scanner.push(stops, pieces.get(token));
        }
        if let Some(steer) = &mut self.steer {
            let taken = steer
                .constraint
                .advance(&mut steer.state, steer.pieces.get(token));
            debug_assert!(
                taken,
                "BUG: the mask lets a token through that is not allowed"
            );
            stopped |= steer.state.must_end();
        }
        if stopped {
            self.finish = Some(Finish::Stop);
        } else if self.output().len() == self.max_tokens {
            self.finish = Some(Finish::Length);
        } else {
            self.look();
        }
    }

    /// What the draw after the tokens so far depends on.
    pub(super) fn due(&self) -> Due {
        Due {
            len: self.tokens.len(),
            mask: self.steer.as_ref().and_then(|steer| steer.mask.clone()),
        }
    }

    /// The draw after the tokens so far.
    pub(super) fn draw(&self, logits: &[f32]) -> Drawn {
        self.draw_due(&self.due(), logits)
    }

    /// Several draws, one after the other; the first is that after the tokens of the first due.
    pub(super) fn rows<'c>(&'c self, dues: &'c [Due]) -> Rows<'c> {
        Rows { course: self, dues }
    }

    fn draw_due(&self, due: &Due, logits: &[f32]) -> Drawn {
        let past = Past {
            tokens: &self.tokens[..due.len],
            input: self.input,
        };
        let token = self.sampler.draw_after(logits, past, due.mask.as_deref());
        let logprobs = match (token, self.logprobs) {
            (Some(token), Some(count)) => Some(Logprobs::new(logits, token, count)),
            _ => None,
        };
        Drawn { token, logprobs }
    }

    /// Works out what the constraint allows next.
    fn look(&mut self) {
        if let Some(steer) = &mut self.steer {
            steer.look(&self.end_tokens);
        }
    }
}

impl Steer {
    fn look(&mut self, end_tokens: &[u32]) {
        let known = self
            .masks
            .iter()
            .position(|(state, _)| *state == self.state);
        let found = match known {
            Some(at) => self.masks.remove(at),
            None => {
                let mask = self
                    .constraint
                    .mask(&self.state, &self.pieces, end_tokens, self.vocab);
                (self.state.clone(), Arc::new(mask))
            }
        };
        self.mask = Some(found.1.clone());
        self.masks.insert(0, found);
        self.masks.truncate(MASKS_KEPT);
    }
}

impl Draw for Rows<'_> {
    type Drawn = Drawn;

    fn draw(&self, logits: &[f32], position: u64) -> Drawn {
        let first = self.dues.first().map_or(0, |due| due.len as u64);
        match self.dues.get((position - first) as usize) {
            Some(due) => self.course.draw_due(due, logits),
            None => Drawn::default(),
        }
    }

    fn of_best(&self) -> Option<fn(u32) -> Drawn> {
        let Course {
            sampler,
            logprobs,
            steer,
            ..
        } = self.course;
        let plain = sampler.takes_best() && logprobs.is_none() && steer.is_none();
        plain.then_some(|token| Drawn {
            token: Some(token),
            logprobs: None,
        })
    }
}
