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
    checker.finish(finish)
}

/// Checks a claim while it streams in. Tokens are run once they fill half a pass over the weights, which costs little more than a pass over few
/// of them, and what is left at the end: more at a time would save little, and leave more to be done after the last token has come.
#[derive(Debug)]
pub struct Checker<'m> {
    session: Session<'m>,
    course: Course,    // its output is what was run and found true
    run: usize,        // input tokens that were run
    waiting: Vec<u32>, // claimed tokens that were not run
    chunk: usize,
    next: Drawn, // what is drawn after all that was run, unless the course has ended or input is waiting
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
    /// Runs what of the input fills passes.
    pub fn new(
        model: &'m Model,
        request: &Request<'_>,
        options: &Options,
    ) -> Result<Self, RunError> {
        let (session, course) = open(model, request, options)?;
        session.admit(request.input)?;
        let mut checker = Self {
            session,
            course,
            run: 0,
            waiting: Vec::new(),
            chunk: options.prefill_chunk,
            next: Drawn::default(),
            logprobs: Vec::new(),
            mismatch: None,
        };
        checker.push(&[])?;
        Ok(checker)
    }

    /// Follows the claim by some more tokens; false once it is known to be wrong, and then nothing more is computed.
    pub fn push(&mut self, claimed: &[u32]) -> Result<bool, RunError> {
        if self.mismatch.is_none() {
            self.waiting.extend_from_slice(claimed);
        }
        let enough = self.chunk.div_ceil(2);
        while self.mismatch.is_none()
            && self.course.input().len() - self.run + self.waiting.len() >= enough
        {
            self.pass()?;
        }
        Ok(self.mismatch.is_none())
    }

    /// Ends the claim.
    pub fn finish(mut self, claimed: Finish) -> Result<Checked, RunError> {
        while self.mismatch.is_none()
            && (self.run < self.course.input().len() || !self.waiting.is_empty())
        {
            self.pass()?;
        }
        let position = self.course.output().len();
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
        Ok(match self.mismatch {
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
                output: self.course.output().to_vec(),
                finish: claimed,
                stop: self.course.stop(),
                logprobs: self.logprobs,
            }),
        })
    }

    /// Runs one pass over what waits, the input first.
    fn pass(&mut self) -> Result<(), RunError> {
        let input = (self.course.input().len() - self.run).min(self.chunk);
        if self.run + input < self.course.input().len() {
            self.session
                .run(&self.course.input()[self.run..][..input])?;
            self.run += input;
            return Ok(());
        }
        let claimed = self.waiting.len().min(self.chunk - input);
        let piece: Vec<u32> = self.waiting.drain(..claimed).collect();
        self.compare(&piece)
    }

    /// Runs what is left of the input and a piece of the claim in one go before comparing it; what was computed past a difference is dropped
    /// with the session.
    fn compare(&mut self, piece: &[u32]) -> Result<(), RunError> {
        let from = self.course.output().len();
        let vocab = self.session.model().shape.vocab;
        let mut tokens = self.course.input()[self.run..].to_vec();
        self.run = self.course.input().len();
        let (input, mut dues) = (tokens.len(), Vec::new());
        if input > 0 {
            dues.push(self.course.due());
        }
        // A first token that is known to be wrong saves the rest of the work.
        let promising = self.course.finish().is_none()
            && (input > 0 || piece.first().copied() == self.belongs(&self.next));
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
                tokens.push(*token);
                dues.push(self.course.due());
            }
        }
        let mut drawn = Vec::new();
        if input == 0 {
            drawn.push(self.next.clone());
        }
        if !tokens.is_empty() {
            let rows = self.course.rows(&dues);
            let start = input.saturating_sub(1);
            drawn.extend(self.session.draw_from(start, &tokens, &rows)?);
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
        self.session.trace().root(self.course.input().len() + run)
    }
}
