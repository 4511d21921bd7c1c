//! Several sequences of one model, computed together and sharing what they have in common.
//!
//! One pass over the weights serves all of them, which is what makes a batch cheaper than its members one after another. Each sequence
//! gets the bits that it would get alone: a pass keeps rows apart, and a shared page holds what the sequence itself would have computed.
//! Sequences come and go between passes. It refuses to know requests, draws and who waits: [`crate::run`] does.

use std::{collections::BTreeMap, sync::Arc, vec::Vec};

use super::{
    Options, SessionError, Wanted, checked_level,
    fast::{FastPass, Sequence, Span},
};
use crate::{
    kernels::pages::{Cache, PAGE, Page},
    model::Model,
    trace::{Hash, Trace},
};

/// Most sequences of one batch.
pub const SEQUENCES_MAX: usize = 256;
/// Most pages that are kept for sequences to come.
pub const SHARED_PAGES_MAX: usize = 65_536;
/// Positions of one page: sequences share whole pages only.
pub const PAGE_POSITIONS: usize = PAGE;

/// Names a sequence of a batch; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceId(u64);

/// Tokens for one sequence.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    /// Which.
    pub sequence: SequenceId,
    /// What follows the tokens it has seen, at least one.
    pub tokens: &'a [u32],
}

/// What a batch refuses; nothing has been computed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// What a session refuses as well.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// No room.
    #[error("{SEQUENCES_MAX} sequences are open, which is the limit; close one")]
    Full,
    /// Too many pages asked for.
    #[error("{0} shared pages, must be at most {SHARED_PAGES_MAX}")]
    SharedPages(usize),
    /// A sequence that was closed, or of another batch.
    #[error("sequence {0:?} is not open")]
    NotOpen(SequenceId),
    /// Two pieces of work for one sequence at once.
    #[error("sequence {0:?} is given work twice; put its tokens together")]
    Twice(SequenceId),
}

/// Sequences of one model.
#[derive(Debug)]
pub struct Batch<'m> {
    model: &'m Model,
    pass: FastPass,
    next: u64,
    open: BTreeMap<SequenceId, Open>,
    shared: Shared,
    logits: Vec<f32>,
}

/// A sequence and what is needed to share it.
#[derive(Debug)]
struct Open {
    sequence: Sequence,
    capacity: usize,
    tokens: Vec<u32>,
    /// Whole pages that have a name, and the name of them all.
    named: usize,
    key: Hash,
    logits: Vec<f32>,
}

/// Bytes that a page of this model takes.
pub fn page_bytes(model: &Model) -> usize {
    Cache::page_bytes(&model.shape)
}

impl<'m> Batch<'m> {
    /// An empty batch that keeps up to `shared_pages` pages of what was computed for sequences to come. A pass takes as many tokens as
    /// `options.prefill_chunk` says, but one of every sequence in any case.
    pub fn new(
        model: &'m Model,
        options: &Options,
        shared_pages: usize,
    ) -> Result<Self, BatchError> {
        let level = checked_level(model, options)?;
        if shared_pages > SHARED_PAGES_MAX {
            return Err(BatchError::SharedPages(shared_pages));
        }
        let level = level.ok_or(SessionError::Kernels(options.kernels))?;
        Ok(Self {
            model,
            pass: FastPass::new(model, options.prefill_chunk, options.threads, level),
            next: 0,
            open: BTreeMap::new(),
            shared: Shared {
                max: shared_pages,
                ..Shared::default()
            },
            logits: Vec::new(),
        })
    }

    /// Opens a sequence with room for `capacity` tokens that will begin with `input`. Pages of it that are known already are taken over;
    /// says how many of its tokens need not be run any more, which is never all of them.
    pub fn open(
        &mut self,
        capacity: usize,
        input: &[u32],
    ) -> Result<(SequenceId, usize), BatchError> {
        let context_max = self.model.shape.context_max;
        if capacity > context_max {
            return Err(SessionError::Context {
                capacity: context_max,
                wanted: capacity,
            }
            .into());
        }
        if !input.is_empty() {
            super::admit(self.model, 0, capacity, input)?;
        }
        if self.open.len() >= SEQUENCES_MAX {
            return Err(BatchError::Full);
        }
        let (mut key, mut pages, mut roots) = (Hash::default(), Vec::new(), Vec::new());
        // The last token is always run: its logits are wanted.
        for tokens in input[..input.len().saturating_sub(1)].chunks_exact(PAGE) {
            let after = page_key(&key, tokens);
            let Some((page, page_roots)) = self.shared.take(&after) else {
                break;
            };
            pages.push(page);
            roots.extend_from_slice(page_roots);
            key = after;
        }
        let known = roots.len();
        let id = SequenceId(self.next);
        self.next += 1;
        self.open.insert(
            id,
            Open {
                sequence: Sequence {
                    cache: Cache::behind(&self.model.shape, pages),
                    trace: Trace::behind(roots),
                },
                capacity,
                tokens: input[..known].to_vec(),
                named: known / PAGE,
                key,
                logits: Vec::new(),
            },
        );
        Ok((id, known))
    }

    /// Closes a sequence; what it computed may still serve others.
    pub fn close(&mut self, sequence: SequenceId) -> Result<(), BatchError> {
        match self.open.remove(&sequence) {
            Some(_) => Ok(()),
            None => Err(BatchError::NotOpen(sequence)),
        }
    }

    /// Tokens that one pass takes, unless more sequences than these are open.
    pub fn tokens_max(&self) -> usize {
        self.pass.tokens_max()
    }

    /// The model.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// Sequences that are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no sequence is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Runs tokens of several sequences, in as few passes over the weights as they fit into.
    pub fn run(&mut self, work: &[Work<'_>]) -> Result<(), BatchError> {
        let mut left = BTreeMap::new();
        for Work { sequence, tokens } in work {
            let open = self
                .open
                .get(sequence)
                .ok_or(BatchError::NotOpen(*sequence))?;
            open.admit(self.model, tokens)?;
            if left.insert(*sequence, *tokens).is_some() {
                return Err(BatchError::Twice(*sequence));
            }
        }
        while !left.is_empty() {
            self.pass(&mut left);
        }
        Ok(())
    }

    /// The logits after the last token of a sequence; empty before its first.
    pub fn logits(&self, sequence: SequenceId) -> Result<&[f32], BatchError> {
        self.get(sequence).map(|open| &open.logits[..])
    }

    /// What a sequence passed through.
    pub fn trace(&self, sequence: SequenceId) -> Result<&Trace, BatchError> {
        self.get(sequence).map(|open| &open.sequence.trace)
    }

    fn get(&self, sequence: SequenceId) -> Result<&Open, BatchError> {
        self.open
            .get(&sequence)
            .ok_or(BatchError::NotOpen(sequence))
    }

    /// One pass over the weights: takes from the front of what is left of each sequence.
    fn pass(&mut self, left: &mut BTreeMap<SequenceId, &[u32]>) {
        let mut room = self.pass.tokens_max();
        let mut spans = Vec::new();
        let mut ran = Vec::new();
        for (id, open) in &mut self.open {
            let Some(tokens) = left.get_mut(id) else {
                continue;
            };
            let (now, later) = tokens.split_at(room.min(tokens.len()));
            if now.is_empty() {
                break;
            }
            room -= now.len();
            *tokens = later;
            open.tokens.extend_from_slice(now);
            ran.push(*id);
            spans.push(Span {
                sequence: &mut open.sequence,
                tokens: now,
                wanted: match later.is_empty() {
                    true => Wanted::Last,
                    false => Wanted::None,
                },
            });
        }
        self.pass
            .advance(self.model, &mut spans, &mut self.logits, None);
        let mut rows = self.logits.chunks_exact(self.model.shape.vocab);
        for id in ran {
            let open = self.open.get_mut(&id).expect("BUG: it was open just now");
            if left.get(&id).is_some_and(|later| later.is_empty()) {
                left.remove(&id);
                open.logits.clear();
                let row = rows.next().expect("BUG: a row for each finished span");
                open.logits.extend_from_slice(row);
            }
            self.shared.keep(open);
        }
    }
}

impl Open {
    /// Refuses tokens before anything is computed.
    fn admit(&self, model: &Model, tokens: &[u32]) -> Result<(), SessionError> {
        super::admit(
            model,
            self.sequence.trace.positions(),
            self.capacity,
            tokens,
        )
    }
}

/// Whole pages by the tokens that lead to them.
#[derive(Debug, Default)]
struct Shared {
    pages: BTreeMap<Hash, Kept>,
    /// Names by last use, the page that was not used for longest first.
    by_use: BTreeMap<u64, Hash>,
    max: usize,
    uses: u64,
}

#[derive(Debug)]
struct Kept {
    page: Arc<Page>,
    roots: Vec<Hash>, // token roots of its positions
    used: u64,
}

impl Shared {
    fn take(&mut self, key: &Hash) -> Option<(Arc<Page>, &[Hash])> {
        let kept = self.pages.get_mut(key)?;
        self.by_use.remove(&kept.used);
        self.uses += 1;
        kept.used = self.uses;
        self.by_use.insert(kept.used, *key);
        Some((kept.page.clone(), &kept.roots))
    }

    /// Keeps the pages that a sequence has filled since it was last seen here.
    fn keep(&mut self, open: &mut Open) {
        let Open {
            sequence,
            tokens,
            named,
            key,
            ..
        } = open;
        while (*named + 1) * PAGE <= sequence.trace.positions() && self.max > 0 {
            let of_page = *named * PAGE..(*named + 1) * PAGE;
            *key = page_key(key, &tokens[of_page.clone()]);
            if self.take(key).is_none() {
                self.uses += 1;
                self.by_use.insert(self.uses, *key);
                let kept = Kept {
                    page: sequence.cache.page(*named),
                    roots: sequence.trace.token_roots()[of_page].to_vec(),
                    used: self.uses,
                };
                self.pages.insert(*key, kept);
            }
            *named += 1;
        }
        while self.pages.len() > self.max {
            let Some((_, oldest)) = self.by_use.pop_first() else {
                break;
            };
            self.pages.remove(&oldest);
        }
    }
}

/// The name of pages that end with this one.
fn page_key(before: &Hash, tokens: &[u32]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    for token in tokens {
        hasher.update(&token.to_le_bytes());
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests;
