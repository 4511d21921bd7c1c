//! Constraints: output that is JSON, or follows a JSON Schema, byte by byte.
//!
//! A schema becomes a network of nodes (a pushdown automaton: parts call each other). A state is the set of positions in it, each a node
//! and a stack of nodes to return to, that the bytes so far can lead to. A token is allowed where all its bytes can be followed; end
//! tokens are allowed where the text may end, and nowhere else; tokens without bytes, as control tokens are, never. Which tokens are
//! allowed depends on the schema, the bytes of the tokens and the limits below only: no clock, no randomness, no floating point, no
//! order of hashing, and no memory of earlier work.
//!
//! White space is allowed before the value and after `{`, `[`, `,` and `:` and before `}` and `]`, at most [`SPACE_BYTES_MAX`] bytes at
//! each place, and not after the value: once it is complete, nothing more is admitted. Objects and lists nest at most [`NESTING_MAX`]
//! deep. A byte after which more than [`POSITIONS_MAX`] positions would be reached is not allowed, and a mask takes at most [`WORK_MAX`]
//! steps: tokens that are not reached by then, ascending by their bytes, are not allowed. No usual schema comes near either limit.

use alloc::{string::String, sync::Arc, vec::Vec};

use super::{Mask, Pieces};

mod common;
mod json;
mod names;
mod network;
mod numbers;
mod place;
mod schema;
#[cfg(test)]
mod tests;

pub(crate) use self::json::Json;
pub use self::{
    common::SPACE_BYTES_MAX,
    json::{JsonError, SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX},
    network::{EDGES_MAX, NODES_MAX},
    schema::NAME_BYTES_MAX,
};
use self::{
    network::{Edge, Network, Node, NodeId},
    schema::Compiler,
};

/// Deepest nesting of objects and lists in an output.
pub const NESTING_MAX: u32 = 64;
/// Most positions that one byte may lead to.
pub const POSITIONS_MAX: usize = 1_024;
/// Most steps of one mask: positions looked at, and edges.
pub const WORK_MAX: u64 = 1 << 26;
/// Most stack entries at a time.
const FRAMES_MAX: usize = 1 << 14;

/// Why there is no constraint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// Not JSON, or too large to read.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Nothing to make of it.
    #[error("schema at {place}: {problem}")]
    Schema {
        /// Where, as a JSON pointer.
        place: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A schema that is defined by itself alone.
    #[error("schema refers to itself without an object or a list between; break the circle")]
    Endless,
    /// Too much to keep.
    #[error("schema needs more than {NODES_MAX} nodes or {EDGES_MAX} edges; make it smaller")]
    TooLarge,
}

/// What an output must look like. Copies share one network.
#[derive(Clone)]
pub struct Constraint {
    network: Arc<Network>,
    begin: NodeId,
}

/// What an output has come to under a constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    positions: Vec<Position>,
    frames: Vec<Frame>,
    may_end: bool,
}

/// A node that takes a byte, and what to return to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    node: NodeId,
    stack: u32,
}

/// One entry of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    back: NodeId,
    below: u32,
    nested: u32, // objects and lists up to here
}

/// The stack with nothing on it.
const BOTTOM: u32 = u32::MAX;

impl Constraint {
    /// Any JSON object.
    pub fn json_object() -> Self {
        Self::json_schema(r#"{"type":"object"}"#).expect("BUG: this schema is valid")
    }

    /// A text that follows a JSON Schema; see the module for how much of it is understood.
    pub fn json_schema(text: &str) -> Result<Self, ConstraintError> {
        let root = Json::parse(text)?;
        let mut compiler = Compiler::new(&root);
        let part = compiler.compile()?;
        let Compiler {
            mut net, common, ..
        } = compiler;
        let begin = net.node();
        let spaced = net.call(begin, common.space);
        let end = net.call(spaced, part);
        net.returns(end);
        if net.overfull() {
            return Err(ConstraintError::TooLarge);
        }
        net.check_progress(common.space)?;
        net.settle();
        Ok(Self {
            network: Arc::new(net),
            begin,
        })
    }

    /// The state before any output.
    pub fn start(&self) -> State {
        let mut walk = Walk::new(&self.network, Vec::new());
        let begin = Position {
            node: self.begin,
            stack: BOTTOM,
        };
        walk.reach(begin);
        walk.into_state()
    }

    /// Follows some bytes; false, and the state is of no more use, where they are not allowed.
    pub fn advance(&self, state: &mut State, bytes: &[u8]) -> bool {
        let mut walk = Walk::of(&self.network, state);
        let taken = bytes.iter().all(|byte| walk.step(*byte));
        *state = walk.into_state();
        taken
    }

    /// The tokens that may come next.
    pub fn mask(&self, state: &State, pieces: &Pieces, end_tokens: &[u32], vocab: usize) -> Mask {
        let mut mask = Mask::none(vocab);
        if state.may_end {
            for token in end_tokens {
                mask.allow(*token);
            }
        }
        let mut walk = Walk::of(&self.network, state);
        let mut dead = usize::MAX; // leading bytes of the token before that could not be followed
        for (token, shared) in pieces.sorted() {
            if shared >= dead {
                continue;
            }
            walk.back_to(shared);
            let piece = pieces.get(token);
            dead = match piece[shared..].iter().position(|byte| !walk.step(*byte)) {
                Some(followed) => shared + followed + 1,
                None => usize::MAX,
            };
            if dead == usize::MAX && !end_tokens.contains(&token) {
                mask.allow(token);
            }
        }
        mask
    }
}

impl core::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Constraint of {} nodes", self.network.nodes.len())
    }
}

impl State {
    /// Whether the text is complete as it stands.
    pub fn may_end(&self) -> bool {
        self.may_end
    }

    /// Whether nothing may follow.
    pub fn must_end(&self) -> bool {
        self.may_end && self.positions.is_empty()
    }
}

/// A state on its way through some bytes, with a way back.
struct Walk<'n> {
    network: &'n Network,
    positions: Vec<Position>, // of every level, one after another
    frames: Vec<Frame>,
    levels: Vec<Level>, // one for every byte followed
    now: Level,
    todo: Vec<Position>,
    reached: Vec<Position>, // by the byte being followed
    work: u64,
}

/// Which positions are those after some bytes.
#[derive(Clone, Copy, Debug)]
struct Level {
    first: usize,
    frames: usize, // how many there were before it
    may_end: bool,
    overfull: bool,
}

impl<'n> Walk<'n> {
    fn new(network: &'n Network, frames: Vec<Frame>) -> Self {
        Self {
            network,
            positions: Vec::new(),
            now: Level {
                first: 0,
                frames: frames.len(),
                may_end: false,
                overfull: false,
            },
            frames,
            levels: Vec::new(),
            todo: Vec::new(),
            reached: Vec::new(),
            work: 0,
        }
    }

    fn of(network: &'n Network, state: &State) -> Self {
        let mut walk = Self::new(network, state.frames.clone());
        walk.positions.clone_from(&state.positions);
        walk.now.may_end = state.may_end;
        walk
    }

    /// Follows one byte; false where it is not allowed, and then the walk can only go back.
    fn step(&mut self, byte: u8) -> bool {
        let before = self.now;
        let from = before.first..self.positions.len();
        self.levels.push(before);
        self.now = Level {
            first: from.end,
            frames: self.frames.len(),
            may_end: false,
            overfull: false,
        };
        self.reached.clear();
        for at in from {
            let Position { node, stack } = self.positions[at];
            let network = self.network;
            let node = &network.nodes[node as usize];
            self.work += 1 + node.takes as u64;
            for edge in &node.edges[..node.takes] {
                if let Edge::Bytes { low, high, to } = *edge
                    && (low..=high).contains(&byte)
                {
                    self.reach(Position { node: to, stack });
                    if node.distinct {
                        break;
                    }
                }
            }
        }
        !self.now.overfull && (self.now.may_end || self.positions.len() > self.now.first)
    }

    /// Goes back to where only the first `depth` bytes were followed.
    fn back_to(&mut self, depth: usize) {
        if depth < self.levels.len() {
            // A level begins where the one before it ends.
            let next = self.levels.get(depth + 1).copied().unwrap_or(self.now);
            self.positions.truncate(next.first);
            self.frames.truncate(next.frames);
            self.now = self.levels[depth];
            self.levels.truncate(depth);
        }
    }

    /// Adds a position and all that it leads to without a byte.
    fn reach(&mut self, position: Position) {
        self.todo.push(position);
        while let Some(here) = self.todo.pop() {
            let network = self.network;
            let node = &network.nodes[here.node as usize];
            self.work += (1 + node.edges.len() - node.takes + self.reached.len() / 8) as u64;
            if self.reached.contains(&here) {
                continue;
            }
            if self.reached.len() == POSITIONS_MAX || self.work > WORK_MAX {
                self.now.overfull = true;
                self.todo.clear();
                return;
            }
            self.reached.push(here);
            self.leave(here, node);
        }
    }

    /// Finds what a position leads to, and keeps it if it takes a byte.
    fn leave(&mut self, here: Position, node: &Node) {
        let Position { stack, .. } = here;
        if node.returns {
            match self.frames.get(stack as usize).copied() {
                Some(Frame { back, below, .. }) => self.todo.push(Position {
                    node: back,
                    stack: below,
                }),
                None => self.now.may_end = true,
            }
        }
        for edge in &node.edges[node.takes..] {
            match *edge {
                Edge::Bytes { .. } => {}
                Edge::Skip { to } => self.todo.push(Position { node: to, stack }),
                Edge::Call { part, back, nests } => {
                    if let Some(stack) = self.frame(back, stack, nests) {
                        self.todo.push(Position { node: part, stack });
                    }
                }
            }
        }
        if node.takes > 0 {
            self.positions.push(here);
        }
    }

    /// The stack with one more entry; none where that is too deep.
    fn frame(&mut self, back: NodeId, below: u32, nests: bool) -> Option<u32> {
        let above = self
            .frames
            .get(below as usize)
            .map_or(0, |frame| frame.nested);
        let nested = above + u32::from(nests);
        if nested > NESTING_MAX {
            return None;
        }
        let frame = Frame {
            back,
            below,
            nested,
        };
        // Equal stacks are one, so that equal positions are seen to be equal.
        self.work += 1 + self.frames.len() as u64 / 8;
        if let Some(at) = self.frames.iter().rposition(|other| *other == frame) {
            return Some(at as u32);
        }
        if self.frames.len() == FRAMES_MAX {
            self.now.overfull = true;
            return None;
        }
        self.frames.push(frame);
        Some(self.frames.len() as u32 - 1)
    }

    /// The state now, with no more stack entries than it needs.
    fn into_state(self) -> State {
        let mut moved = alloc::vec![BOTTOM; self.frames.len()];
        let mut frames: Vec<Frame> = Vec::new();
        let mut positions = self.positions[self.now.first..].to_vec();
        for position in &mut positions {
            let mut stack = Vec::new();
            let mut at = position.stack;
            while at != BOTTOM && moved[at as usize] == BOTTOM {
                stack.push(at);
                at = self.frames[at as usize].below;
            }
            let mut below = if at == BOTTOM {
                BOTTOM
            } else {
                moved[at as usize]
            };
            for old in stack.into_iter().rev() {
                frames.push(Frame {
                    below,
                    ..self.frames[old as usize]
                });
                below = frames.len() as u32 - 1;
                moved[old as usize] = below;
            }
            position.stack = match position.stack {
                BOTTOM => BOTTOM,
                old => moved[old as usize],
            };
        }
        State {
            positions,
            frames,
            may_end: self.now.may_end,
        }
    }
}
