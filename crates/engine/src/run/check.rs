//! Checking a claimed transcript: the claim is run as input, and every draw is made again.

use alloc::vec::Vec;

use super::{
    Checked, Finish, Request, RunError, Transcript,
    course::{Course, Drawn},
    open,
};
use crate::{
    forward::{Options, Session},
    model::Model,
    sampler::Logprobs,
    trace::Hash,
};

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
    course: Course, // its output is what was claimed and found true
    input: usize,
    chunk: usize,
    next: Drawn, // what is drawn after it, unless the course has ended
    logprobs: Vec<Logprobs>,
    mismatch: Option<Difference>,
}

/// Where a claim leaves the truth.
#[derive(Clone, Copy, Debug)]
struct Difference {
    position: usize,
    expected: Option<u32>,
    run: usize, // output tokens that a generation has run by then
}

impl<'m> Checker<'m> {
    /// Runs the input.
    pub fn new(
        model: &'m Model,
        request: &Request<'_>,
        options: &Options,
    ) -> Result<Self, RunError> {
        let (mut session, course) = open(model, request, options)?;
        let next = course.draw(session.prefill(request.input)?);
        Ok(Self {
            session,
            course,
            input: request.input.len(),
            chunk: options.prefill_chunk,
            next,
            logprobs: Vec::new(),
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
        self.course.output()
    }

    /// Ends the claim.
    pub fn finish(mut self, claimed: Finish) -> Checked {
        let position = self.confirmed().len();
        let (agrees, expected, run) = match self.course.finish() {
            // The last token of all is never run.
            Some(finish) => (claimed == finish, None, position.saturating_sub(1)),
            None => {
                let ends = self.next.token.is_some_and(|token| self.course.ends(token));
                let agrees = claimed == Finish::Stop && ends;
                (agrees, self.belongs(&self.next), position)
            }
        };
        if self.mismatch.is_none() && !agrees {
            self.mismatch = Some(Difference {
                position,
                expected,
                run,
            });
        }
        match self.mismatch {
            Some(Difference {
                position,
                expected,
                run,
            }) => Checked::Mismatch {
                position: position as u32,
                expected,
                trace_root: self.root_after(run),
            },
            None => Checked::Match(Transcript {
                trace_root: self.root_after(run),
                output: self.confirmed().to_vec(),
                finish: claimed,
                stop: self.course.stop(),
                logprobs: self.logprobs,
            }),
        }
    }

    /// Runs a piece in one go before comparing it; what was computed past a difference is dropped with the session.
    fn push_piece(&mut self, piece: &[u32]) -> Result<(), RunError> {
        let from = self.confirmed().len();
        let vocab = self.session.model().shape.vocab;
        // A first token that is wrong already saves the rest of the work.
        let promising =
            self.course.finish().is_none() && piece.first().copied() == self.belongs(&self.next);
        let mut dues = Vec::new();
        let mut taken = 0;
        if promising {
            for token in piece {
                // Such tokens are wrong whatever the model says, and the course cannot go on by them.
                let possible = (*token as usize) < vocab && self.course.allows(*token);
                if !possible || self.course.ends(*token) {
                    break;
                }
                self.course.push(*token);
                taken += 1;
                if self.course.finish().is_some() {
                    break; // the last token of all is never run
                }
                dues.push(self.course.due());
            }
        }
        let mut drawn = alloc::vec![self.next.clone()];
        if !dues.is_empty() {
            let rows = self.course.rows(&dues);
            drawn.extend(self.session.draw_each(&piece[..dues.len()], &rows)?);
        }
        let ended = self.course.finish().is_some();
        for (i, token) in piece.iter().enumerate() {
            let due = drawn.get_mut(i).filter(|_| !ended || i < taken);
            let belongs = match &due {
                Some(due) => due.token.filter(|token| !self.course.ends(*token)),
                None => None,
            };
            if belongs != Some(*token) {
                self.course.truncate(from + i);
                self.mismatch = Some(Difference {
                    position: from + i,
                    expected: belongs,
                    run: from + i - usize::from(ended && i >= taken),
                });
                return Ok(());
            }
            self.logprobs
                .extend(due.and_then(|due| due.logprobs.take()));
        }
        if let Some(next) = drawn.get_mut(piece.len()) {
            self.next = core::mem::take(next);
        }
        Ok(())
    }

    /// The output token that a draw gives, if it does not end the generation.
    fn belongs(&self, drawn: &Drawn) -> Option<u32> {
        drawn.token.filter(|token| !self.course.ends(*token))
    }

    /// The trace root after the input and some output tokens.
    fn root_after(&self, run: usize) -> Hash {
        self.session.trace().root(self.input + run)
    }
}
