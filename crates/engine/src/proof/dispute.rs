//! Where two traces part: from token roots over the leaves of one position to one tile.
//!
//! Everything before the first difference is the same on both sides, so whoever holds one trace holds the inputs of the other's first
//! wrong operator, and can prove it with [`Prover::prove`] from hashes alone.

use alloc::vec::Vec;

use super::{Level2, Operator, Place, ProofError, Prover, Record, Step, facts::Facts};
use crate::trace::{self, Hash, level2};

/// One side: gives hashes of its trace, more the deeper it is asked. What it does not have is an empty list.
pub trait Party {
    /// The root of every position.
    fn token_roots(&mut self) -> Vec<Hash>;
    /// Level 1 of a position: the token leaf, then one leaf per layer.
    fn leaves(&mut self, position: u32) -> Vec<Hash>;
    /// Level 2 of a position: one hash per operator.
    fn operators(&mut self, position: u32) -> Vec<Hash>;
    /// The tiles of one operator.
    fn tiles(&mut self, position: u32, operator: Operator) -> Vec<Hash>;
}

/// Where two traces differ first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divergence {
    /// Nowhere.
    None,
    /// In the first token, which no operator gives.
    FirstToken,
    /// In this tile.
    Tile(Place),
}

/// Finds the first operator in which two traces of one model differ. Level 2 is asked for at one position only.
pub fn first_divergence(facts: &Facts, ours: &mut dyn Party, theirs: &mut dyn Party) -> Divergence {
    let (our_roots, their_roots) = (ours.token_roots(), theirs.token_roots());
    let Some(position) = first_difference(&our_roots, &their_roots) else {
        return Divergence::None;
    };
    let shorter = our_roots.len().min(their_roots.len()) as u32;
    let (our_leaves, their_leaves) = match position < shorter {
        true => (ours.leaves(position), theirs.leaves(position)),
        false => Default::default(), // one goes on where the other ends
    };
    if position == shorter || our_leaves.first() != their_leaves.first() {
        // Another token: what gave it is at the position before, its draw last of all.
        let Some(position) = position.checked_sub(1) else {
            return Divergence::FirstToken;
        };
        let draw = Operator::new(0, Step::Draw);
        let found = first_operator(facts, ours, theirs, position, &[], &[]);
        return tile(ours, theirs, position, found.unwrap_or(draw));
    }
    match first_operator(facts, ours, theirs, position, &our_leaves, &their_leaves) {
        Some(operator) => tile(ours, theirs, position, operator),
        None => Divergence::None,
    }
}

/// What a party's level-2 root of a position must be for these hashes to be its leaves and operators; none without any.
pub fn level2_root(position: u32, leaves: &[Hash], operators: &[Hash]) -> Option<Hash> {
    let some = !leaves.is_empty() && !operators.is_empty();
    some.then(|| level2::root(position, &trace::tree(leaves), &trace::tree(operators)))
}

/// The first operator that differs, leaves of layers after the operators of their layer.
fn first_operator(
    facts: &Facts,
    ours: &mut dyn Party,
    theirs: &mut dyn Party,
    position: u32,
    our_leaves: &[Hash],
    their_leaves: &[Hash],
) -> Option<Operator> {
    let (our_hashes, their_hashes) = (ours.operators(position), theirs.operators(position));
    for (index, operator) in facts.operators().into_iter().enumerate() {
        if our_hashes.get(index) != their_hashes.get(index) {
            return Some(operator);
        }
        let leaf = 1 + operator.layer as usize;
        if operator.step == Step::FfnAdd && our_leaves.get(leaf) != their_leaves.get(leaf) {
            return Some(Operator::new(operator.layer, Step::Leaf));
        }
    }
    None
}

fn tile(
    ours: &mut dyn Party,
    theirs: &mut dyn Party,
    position: u32,
    operator: Operator,
) -> Divergence {
    let tile = match operator.step.is_level_1() {
        true => 0,
        false => {
            let (ours, theirs) = (
                ours.tiles(position, operator),
                theirs.tiles(position, operator),
            );
            first_difference(&ours, &theirs).unwrap_or(0)
        }
    };
    Divergence::Tile(Place {
        position,
        operator,
        tile,
    })
}

/// The first index at which two lists differ, or one ends.
fn first_difference(ours: &[Hash], theirs: &[Hash]) -> Option<u32> {
    let same = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
    (same < ours.len().max(theirs.len())).then_some(same as u32)
}

/// A run of our own; level 2 is made when it is asked for, one position at a time.
#[derive(Debug)]
pub struct Own<'a> {
    prover: &'a Prover<'a>,
    record: &'a Record,
    made: Option<Level2>,
}

impl<'a> Own<'a> {
    /// A recorded run.
    pub fn new(prover: &'a Prover<'a>, record: &'a Record) -> Self {
        Self {
            prover,
            record,
            made: None,
        }
    }

    /// Level 2 of a position.
    pub fn level2(&mut self, position: u32) -> Result<&Level2, ProofError> {
        let made = match self.made.take() {
            Some(made) if made.position() == position => made,
            _ => self.prover.level2(self.record, position)?,
        };
        Ok(self.made.insert(made))
    }
}

impl Party for Own<'_> {
    fn token_roots(&mut self) -> Vec<Hash> {
        self.record.trace().token_roots().to_vec()
    }

    fn leaves(&mut self, position: u32) -> Vec<Hash> {
        match position < self.record.positions() {
            true => self.record.leaves(position).to_vec(),
            false => Vec::new(),
        }
    }

    fn operators(&mut self, position: u32) -> Vec<Hash> {
        match position < self.record.positions() {
            true => self.level2(position).map_or(Vec::new(), Level2::operators),
            false => Vec::new(),
        }
    }

    fn tiles(&mut self, position: u32, operator: Operator) -> Vec<Hash> {
        match position < self.record.positions() {
            true => self
                .level2(position)
                .map_or(Vec::new(), |made| made.tiles(operator)),
            false => Vec::new(),
        }
    }
}
