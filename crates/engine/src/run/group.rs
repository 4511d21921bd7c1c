//! Generations that go on together: every pass over the weights serves all of them, and they come and go between passes.
//!
//! A generation in company gives the transcript that it would give alone. Those that are past their input get their next token in every pass;
//! what room is left goes to inputs, first come, first served, so a long input holds nobody up for longer than one pass.

use std::{boxed::Box, collections::BTreeMap, vec::Vec};

use super::{Finish, Request, RunError, Transcript, begin, course::Course};
use crate::{
    forward::{
        Options,
        batch::{Batch, SequenceId, Work},
    },
    model::Model,
    sampler::Logprobs,
};

/// What became of a generation in one step.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An output token was drawn.
    Token {
        /// Its output index, from zero.
        index: u32,
        /// The token.
        token: u32,
        /// Its log-probability and the alternatives, where they were asked for.
        logprobs: Option<Logprobs>,
    },
    /// It ended, and has left the group.
    Done(Box<Transcript>),
    /// It cannot go on, and has left the group.
    Failed(RunError),
}

/// Generations of one model in progress.
#[derive(Debug)]
pub struct Group<'m> {
    batch: Batch<'m>,
    members: BTreeMap<SequenceId, Member>, // in the order in which they came
}

#[derive(Debug)]
struct Member {
    course: Course,
    run: usize, // tokens that have run
    logprobs: Vec<Logprobs>,
}

impl<'m> Group<'m> {
    /// An empty group; `shared_pages` as [`Batch::new`] takes it.
    pub fn new(model: &'m Model, options: &Options, shared_pages: usize) -> Result<Self, RunError> {
        Ok(Self {
            batch: Batch::new(model, options, shared_pages)?,
            members: BTreeMap::new(),
        })
    }

    /// Takes a generation in; says by which name events tell of it.
    pub fn join(&mut self, request: &Request<'_>) -> Result<SequenceId, RunError> {
        let (course, room) = begin(self.batch.model(), request)?;
        let (id, run) = self.batch.open(room, request.input)?;
        self.members.insert(
            id,
            Member {
                course,
                run,
                logprobs: Vec::new(),
            },
        );
        Ok(id)
    }

    /// Drops a generation; nothing where it has ended by itself.
    pub fn leave(&mut self, member: SequenceId) {
        if self.members.remove(&member).is_some() {
            self.close(member);
        }
    }

    /// Generations in progress.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether none is in progress.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Runs one pass and says what it brought, member by member.
    pub fn step(&mut self) -> Result<Vec<(SequenceId, Event)>, RunError> {
        let counts = self.share();
        let work: Vec<Work<'_>> = self
            .members
            .iter()
            .filter_map(|(id, member)| {
                let count = *counts.get(id)?;
                Some(Work {
                    sequence: *id,
                    tokens: &member.course.tokens()[member.run..member.run + count],
                })
            })
            .collect();
        self.batch.run(&work)?;
        let mut events = Vec::new();
        for (id, count) in counts {
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            member.run += count;
            if member.run == member.course.tokens().len() {
                let ended = member.draw(self.batch.logits(id)?, |event| events.push((id, event)));
                if let Some(end) = ended {
                    events.push((id, self.end(id, end)?));
                }
            }
        }
        Ok(events)
    }

    /// How many tokens of each the next pass runs.
    fn share(&self) -> BTreeMap<SequenceId, usize> {
        let left = |member: &Member| member.course.tokens().len() - member.run;
        let mut counts: BTreeMap<_, _> = self
            .members
            .iter()
            .filter(|(_, member)| left(member) == 1)
            .map(|(id, _)| (*id, 1))
            .collect();
        // Were there no room at all, inputs would never be done.
        let mut room = self.batch.tokens_max().saturating_sub(counts.len()).max(1);
        for (id, member) in self.members.iter().filter(|(_, member)| left(member) > 1) {
            let count = room.min(left(member));
            if count > 0 {
                counts.insert(*id, count);
            }
            room -= count;
        }
        counts
    }

    /// Ends a member.
    fn end(&mut self, id: SequenceId, end: Result<Finish, RunError>) -> Result<Event, RunError> {
        let root = {
            let trace = self.batch.trace(id)?;
            trace.root(trace.positions())
        };
        self.close(id);
        let member = self.members.remove(&id);
        let member = member.expect("BUG: it was a member just now");
        Ok(match end {
            Err(error) => Event::Failed(error),
            Ok(finish) => Event::Done(Box::new(Transcript {
                output: member.course.output().to_vec(),
                finish,
                trace_root: root,
                stop: member.course.stop(),
                logprobs: member.logprobs,
            })),
        })
    }

    fn close(&mut self, id: SequenceId) {
        self.batch
            .close(id)
            .expect("BUG: members are open sequences");
    }
}

impl Member {
    /// Draws the next token and tells of it; says how the generation ended, if it did.
    fn draw(
        &mut self,
        logits: &[f32],
        mut tell: impl FnMut(Event),
    ) -> Option<Result<Finish, RunError>> {
        let drawn = self.course.draw(logits);
        let index = self.course.output().len() as u32;
        let Some(token) = drawn.token else {
            return Some(Err(RunError::Stuck { position: index }));
        };
        if self.course.ends(token) {
            return Some(Ok(Finish::Stop));
        }
        self.course.push(token);
        self.logprobs.extend(drawn.logprobs.clone());
        tell(Event::Token {
            index,
            token,
            logprobs: drawn.logprobs,
        });
        self.course.finish().map(Ok)
    }
}

#[cfg(test)]
mod tests;
