//! Proofs of single operators: whether one tile of a trace follows from that trace's own inputs.
//!
//! When two workers disagree, their traces are equal up to some operator. The honest one shows the other's tile there: its committed
//! hash, the inputs under the other's own roots, and the weights under the model root. [`check`] runs the operator on what is
//! opened. Nobody can be framed: everything opens to roots that the accused gave, and wrong bytes of the accused are not needed.
//!
//! Refuses to know who accuses whom, and why; no I/O. Invariants: a proof that is not exactly what its place asks for is an error and
//! never a verdict; no bytes, however made, make it panic or allocate more than in proportion to them; a proof has one encoding.
//!
//! An encoded proof, integers little-endian:
//!
//! ```text
//! "CIS-1/proof/0001"          16 bytes; the last four are the version
//! u32 position, u32 positions           of the tile; covered by the trace root
//! u32 layer, u32 step, u32 tile         layer is zero outside of layers; step is Step::code
//! u32 length | manifest text            the model's first leaf
//! u32 length | opened bytes             see the next table
//! u32 count  | hashes, 32 bytes each    see the last one
//! ```
//!
//! What a tile of each step opens, in this order: tiles of other steps of the position, as [`crate::trace::level2`] lays them out; then what
//! else of the trace; then rows of tensors (int8 weights and their scale, or F32Z values), as [`crate::model::root`] hashes them:
//!
//! ```text
//! embed                          token (u32); its row of embedding
//! attn_norm                      residual (ffn_add of the layer before, or embed); attn_norm
//! q, k, v                        attn_norm; the tile's rows; bias (if there is one)
//! query                          tiles of q that hold the head; q_norm (if there is one), the position's rows of cos and sin
//! rows                           tiles of k, tiles of v that hold the head; k_norm (if there is one), cos, sin
//! attend                         query of the head, rows of its key head; of each earlier position that is seen: chunks of 1,024 bytes
//!                                of its layer leaf that hold the key head's rows
//! attended                       all tiles of attend
//! o, gate, up, down              attended, ffn_norm, ffn_norm, gated; the tile's rows
//! attn_post_norm, ffn_post_norm  all tiles of o, of down; the gain
//! attn_add                       residual, all of o or attn_post_norm
//! ffn_norm                       attn_add; ffn_norm
//! gated                          all tiles of gate, of up
//! ffn_add                        attn_add, all of down or ffn_post_norm
//! leaf                           all tiles of rows, ffn_add
//! final_norm                     ffn_add of the last layer; final_norm
//! logits                         final_norm; the tile's rows of head or embedding
//! draw                           all tiles of logits
//! ```
//!
//! The hashes, in the order in which they are used. A claim is the hash of the tile or leaf that is in question. *Between* is what lies
//! between opened leaves of a tree: walked from the top, left before right, one hash for each subtree in which nothing is opened.
//!
//! ```text
//! level 2   claim (unless in level 1); of each opened operator, in order, between its tiles; between the operators
//! level 1   claim (if in level 1, and not beyond the trace); of each opened position, in order, between the chunks of its layer leaf
//!           (earlier positions only), then between its leaves; between the token roots
//! model     of each opened tensor, in order, between its rows; between manifest and tensors
//! ```
//!
//! The position itself is always opened in level 1. What is read of it: the token leaf by `embed`, the layer leaf by `leaf`, else nothing.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::fmt;

mod chunks;
pub mod dispute;
mod encoding;
mod error;
mod facts;
#[cfg(any(test, feature = "std"))]
#[doc(hidden)]
pub mod fuzzing;
mod opened;
mod prove;
mod record;
mod step;
#[cfg(test)]
mod tests;
mod tree;
mod value;

pub use self::{
    dispute::Own,
    error::{ProofError, ProveError},
    facts::Facts,
    prove::{Level2, Output, Prover},
    record::Record,
    step::{Operator, Place, Step},
    value::{Rows, Value},
};
use self::{
    opened::{Opened, leaf_chunks},
    tree::fold,
};
use crate::{
    model::root::Hashes,
    trace::{self, Hash, level2},
};

/// Longest encoded proof, in bytes: one ingress message of the Internet Computer with room around it.
pub const PROOF_BYTES_MAX: usize = 2_000_000;
/// Most earlier positions that the proof of one attention tile opens.
pub const ATTENTION_POSITIONS_MAX: usize = 2_048;

/// That one tile of a trace has this hash, and everything that it was computed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The tile.
    pub place: Place,
    /// Positions under the trace root.
    pub positions: u32,
    /// The model's manifest.
    pub manifest: String,
    /// Inputs and weights.
    pub opened: Vec<u8>,
    /// Claim and hashes between what is opened.
    pub hashes: Vec<Hash>,
}

/// What a proof has to open to, from those who gave it.
#[derive(Clone, Copy, Debug)]
pub struct Anchors<'a> {
    /// The model, as it is registered.
    pub model_root: Hash,
    /// The trace of the accused.
    pub trace_root: Hash,
    /// What the accused gave as level 2 of the position.
    pub level2_root: Hash,
    /// How the job draws; none when no draw is to be judged.
    pub draws: Option<Draws<'a>>,
}

/// How tokens of a job are drawn.
#[derive(Clone, Copy)]
pub struct Draws<'a> {
    /// Tokens of the input: what is drawn first follows the last of them.
    pub input: u32,
    /// Gives the token for a position from the logits before it.
    pub draw: &'a dyn Fn(&[f32], u64) -> u32,
    /// What the accused drew after the last position of the trace.
    pub last: Last,
}

impl fmt::Debug for Draws<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            input,
            draw: _,
            last,
        } = self;
        f.debug_struct("Draws")
            .field("input", input)
            .field("last", last)
            .finish_non_exhaustive()
    }
}

/// What a transcript says was drawn after the last position of its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// The last output token, so that the length is reached.
    Token(u32),
    /// One of the model's end tokens.
    End,
}

/// What a proof shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The claim follows from the opened inputs.
    Consistent,
    /// It does not.
    Refuted {
        /// Hash of the tile or leaf that follows from the inputs.
        expected: Hash,
        /// Hash that the trace has there.
        claimed: Hash,
    },
    /// The generation is said to end where no end token is drawn.
    NotTheEnd {
        /// The token that is drawn.
        drawn: u32,
    },
}

/// Says whether the proof's tile follows from its inputs.
pub fn check(proof: &Proof, anchors: &Anchors<'_>) -> Result<Verdict, ProofError> {
    let facts = Facts::read(&proof.manifest)?;
    let place = proof.place;
    admit(&facts, &place, proof.positions)?;
    let draws = match place.operator.step {
        Step::Draw => Some(anchors.draws.ok_or(ProofError::NoDraws)?),
        _ => None,
    };
    if let Some(Draws { input, .. }) = draws
        && place.position + 1 < input
    {
        let position = place.position;
        return Err(ProofError::InputToken { position, input });
    }
    let opened = Opened::split(&facts, &place, &proof.opened)?;
    let mut hashes = proof.hashes.iter();
    let mut next = || hashes.next().copied().ok_or(ProofError::Hashes("fewer"));
    let (claimed_tile, operators) = level_2(&facts, &place, &opened, &mut next)?;
    let (claimed_leaf, token_root) = level_1(&facts, proof, &opened, anchors, &mut next)?;
    if level2::root(place.position, &token_root, &operators) != anchors.level2_root {
        return Err(ProofError::Level2Root);
    }
    model(&facts, &opened, anchors, &mut next)?;
    if next().is_ok() {
        return Err(ProofError::Hashes("more"));
    }
    let refuted = |expected, claimed| match expected == claimed {
        true => Verdict::Consistent,
        false => Verdict::Refuted { expected, claimed },
    };
    Ok(match (claimed_tile, claimed_leaf) {
        (Some(claimed), _) => {
            let bytes = opened.run(&facts, &place)?.to_bytes();
            refuted(leaf_of(&place, place.operator, place.tile, &bytes), claimed)
        }
        (None, claimed) => match draws {
            None => refuted(
                opened.leaf(&facts, &place)?,
                claimed.ok_or(ProofError::Hashes("fewer"))?,
            ),
            Some(draws) => {
                let next = place.position + 1;
                let drawn = (draws.draw)(&opened.vector(&facts, 0)?, u64::from(next));
                match claimed {
                    Some(claimed) => refuted(trace::token_leaf(next, drawn), claimed),
                    None if facts.manifest().end_tokens.contains(&drawn) => Verdict::Consistent,
                    None => Verdict::NotTheEnd { drawn },
                }
            }
        },
    })
}

/// Refuses places that a trace of that many positions does not have, and those that are too large for one proof.
fn admit(facts: &Facts, place: &Place, positions: u32) -> Result<(), ProofError> {
    let max = facts.shape().context_max;
    if positions as usize > max {
        return Err(ProofError::Positions { positions, max });
    }
    if place.position >= positions || !facts.has_tile(place.operator, place.tile) {
        return Err(ProofError::Place(*place));
    }
    let found = facts.positions_before(place).len();
    if found > ATTENTION_POSITIONS_MAX {
        return Err(ProofError::TooFar {
            place: *place,
            found,
        });
    }
    Ok(())
}

/// The claim, if it is here, and the root of the position's operators.
fn level_2(
    facts: &Facts,
    place: &Place,
    opened: &Opened<'_>,
    next: &mut dyn FnMut() -> Result<Hash, ProofError>,
) -> Result<(Option<Hash>, Hash), ProofError> {
    let mut tiles: BTreeMap<u64, (Step, Vec<(u64, Hash)>)> = BTreeMap::new();
    let claimed = match place.operator.step.is_level_1() {
        true => None,
        false => {
            let claimed = next()?;
            let known = (
                place.operator.step,
                alloc::vec![(u64::from(place.tile), claimed)],
            );
            tiles.insert(facts.index(place.operator), known);
            Some(claimed)
        }
    };
    for input in &opened.inputs {
        let leaf = |(tile, bytes): &(u32, &[u8])| {
            let leaf = leaf_of(place, input.operator, *tile, bytes);
            (u64::from(*tile), leaf)
        };
        let known = (input.operator.step, input.tiles.iter().map(leaf).collect());
        tiles.insert(facts.index(input.operator), known);
    }
    let mut operators = Vec::new();
    for (index, (step, known)) in tiles {
        let count = u64::from(facts.tiles(step));
        operators.push((index, fold(count, &known, &node, next)?));
    }
    Ok((
        claimed,
        fold(facts.operator_count(), &operators, &node, next)?,
    ))
}

/// The claim, if it is here, and the token root of the place's position, opened to the trace root.
fn level_1(
    facts: &Facts,
    proof: &Proof,
    opened: &Opened<'_>,
    anchors: &Anchors<'_>,
    next: &mut dyn FnMut() -> Result<Hash, ProofError>,
) -> Result<(Option<Hash>, Hash), ProofError> {
    let Operator { layer, step } = proof.place.operator;
    let position = proof.place.position;
    let of_layer = 1 + u64::from(layer);
    let claimed = match (step, anchors.draws) {
        (Step::Draw, Some(draws)) if position + 1 == proof.positions => match draws.last {
            Last::Token(token) => Some(trace::token_leaf(position + 1, token)),
            Last::End => None,
        },
        (Step::Leaf | Step::Draw, _) => Some(next()?),
        _ => None,
    };
    let (form, chunks) = leaf_chunks(facts, &proof.place);
    let count = 1 + facts.shape().layers as u64;
    let mut roots = Vec::new();
    for (before, bytes) in &opened.before {
        let leaf = form.fold(&chunks, bytes, next)?;
        let root = fold(count, &[(of_layer, leaf)], &node, next)?;
        roots.push((u64::from(*before), root));
    }
    let token_root = match (opened.token, step, claimed) {
        (Some(token), ..) => {
            let leaf = trace::token_leaf(position, token);
            fold(count, &[(0, leaf)], &node, next)?
        }
        (_, Step::Leaf, Some(claimed)) => fold(count, &[(of_layer, claimed)], &node, next)?,
        _ => fold(count, &[], &node, next)?,
    };
    roots.push((u64::from(position), token_root));
    if let (Step::Draw, Some(claimed)) = (step, claimed)
        && position + 1 < proof.positions
    {
        let root = fold(count, &[(0, claimed)], &node, next)?;
        roots.push((u64::from(position + 1), root));
    }
    let tree = fold(u64::from(proof.positions), &roots, &node, next)?;
    match trace::root(proof.positions, &tree) == anchors.trace_root {
        true => Ok((claimed, token_root)),
        false => Err(ProofError::TraceRoot),
    }
}

/// Opens manifest and rows to the model root.
fn model(
    facts: &Facts,
    opened: &Opened<'_>,
    anchors: &Anchors<'_>,
    next: &mut dyn FnMut() -> Result<Hash, ProofError>,
) -> Result<(), ProofError> {
    let hashes = Hashes::default();
    let node = |left: &Hash, right: &Hash, _: bool| hashes.node(left, right);
    let mut leaves = alloc::vec![(0, hashes.manifest(facts.text()))];
    for part in &opened.tensors {
        let tensor = &facts.all_tensors()[part.index];
        let row = |bytes: &&[u8]| match tensor.weights {
            true => hashes.weight_row_bytes(bytes),
            false => hashes.table_row(bytes),
        };
        let rows: Vec<(u64, Hash)> = (part.first..).zip(part.rows.iter().map(row)).collect();
        let (count, cols) = (tensor.rows as u64, tensor.cols as u64);
        let tree = fold(count, &rows, &node, next)?;
        let leaf = hashes.tensor(&tensor.name, count, cols, &tree);
        leaves.push((1 + part.index as u64, leaf));
    }
    let count = 1 + facts.all_tensors().len() as u64;
    match fold(count, &leaves, &node, next)? == anchors.model_root {
        true => Ok(()),
        false => Err(ProofError::ModelRoot),
    }
}

/// Hash of a tile at the place's position.
fn leaf_of(place: &Place, operator: Operator, tile: u32, bytes: &[u8]) -> Hash {
    let Operator { layer, step } = operator;
    level2::tile_leaf(place.position, layer, step.code(), tile, bytes)
}

/// A node of the trace.
fn node(left: &Hash, right: &Hash, _: bool) -> Hash {
    trace::node(left, right)
}
