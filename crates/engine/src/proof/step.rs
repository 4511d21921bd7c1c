//! The operators of a decoder at one position: their order, their tiles and what they read.

use alloc::{string::ToString, vec, vec::Vec};
use core::{fmt, ops::Range};

use super::{facts::Facts, value::Form};
use crate::trace::level2::TILE_ROWS;

/// An operator of a decoder; see [`crate::trace::level2`] for what each gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The token's embedding.
    Embed,
    /// Norm before attention, quantised.
    AttnNorm,
    /// Query product.
    Q,
    /// Key product.
    K,
    /// Value product.
    V,
    /// Query heads as they meet the keys.
    Query,
    /// What the cache keeps.
    Rows,
    /// Attention of each head.
    Attend,
    /// All heads, quantised.
    Attended,
    /// Attention output product.
    O,
    /// Norm of what attention gives.
    AttnPostNorm,
    /// The residual stream after attention.
    AttnAdd,
    /// Norm before the feed-forward part, quantised.
    FfnNorm,
    /// Gate product.
    Gate,
    /// Up product.
    Up,
    /// The bent gate times up, quantised.
    Gated,
    /// Down product.
    Down,
    /// Norm of what the feed-forward part gives.
    FfnPostNorm,
    /// The residual stream after the layer.
    FfnAdd,
    /// The layer's leaf in level 1.
    Leaf,
    /// Norm before the logits, quantised.
    FinalNorm,
    /// Logits product.
    Logits,
    /// The token drawn for the next position: its leaf in level 1.
    Draw,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 23] = [
        Self::Embed,
        Self::AttnNorm,
        Self::Q,
        Self::K,
        Self::V,
        Self::Query,
        Self::Rows,
        Self::Attend,
        Self::Attended,
        Self::O,
        Self::AttnPostNorm,
        Self::AttnAdd,
        Self::FfnNorm,
        Self::Gate,
        Self::Up,
        Self::Gated,
        Self::Down,
        Self::FfnPostNorm,
        Self::FfnAdd,
        Self::Leaf,
        Self::FinalNorm,
        Self::Logits,
        Self::Draw,
    ];

    /// The number that stands for it in hashes and proofs: its place in [`Step::ALL`], from zero.
    pub fn code(self) -> u32 {
        self as u32
    }

    /// The step with this number.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }

    /// As the tables of level 2 name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embed => "embed",
            Self::AttnNorm => "attn_norm",
            Self::Q => "q",
            Self::K => "k",
            Self::V => "v",
            Self::Query => "query",
            Self::Rows => "rows",
            Self::Attend => "attend",
            Self::Attended => "attended",
            Self::O => "o",
            Self::AttnPostNorm => "attn_post_norm",
            Self::AttnAdd => "attn_add",
            Self::FfnNorm => "ffn_norm",
            Self::Gate => "gate",
            Self::Up => "up",
            Self::Gated => "gated",
            Self::Down => "down",
            Self::FfnPostNorm => "ffn_post_norm",
            Self::FfnAdd => "ffn_add",
            Self::Leaf => "leaf",
            Self::FinalNorm => "final_norm",
            Self::Logits => "logits",
            Self::Draw => "draw",
        }
    }

    /// Whether it belongs to a layer.
    pub fn in_layer(self) -> bool {
        !matches!(
            self,
            Self::Embed | Self::FinalNorm | Self::Logits | Self::Draw
        )
    }

    /// Whether its output is a leaf of level 1, so that level 2 does not hash it again.
    pub fn is_level_1(self) -> bool {
        matches!(self, Self::Leaf | Self::Draw)
    }

    /// Whether a norm that not all blocks have.
    fn is_post_norm(self) -> bool {
        matches!(self, Self::AttnPostNorm | Self::FfnPostNorm)
    }
}

/// One operator of one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operator {
    /// Layer, zero outside of layers.
    pub layer: u32,
    /// Which operator.
    pub step: Step,
}

impl Operator {
    pub(crate) fn new(layer: u32, step: Step) -> Self {
        Self { layer, step }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step.in_layer() {
            true => write!(f, "layer {} {}", self.layer, self.step.name()),
            false => f.write_str(self.step.name()),
        }
    }
}

/// One tile of an operator's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Position in the sequence.
    pub position: u32,
    /// Operator at that position.
    pub operator: Operator,
    /// Tile of its output.
    pub tile: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            position,
            operator,
            tile,
        } = self;
        write!(f, "position {position} {operator} tile {tile}")
    }
}

/// Tiles of an operator that another reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) operator: Operator,
    pub(crate) tiles: Range<u32>,
}

/// Rows of a tensor that an operator reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TensorRows {
    /// Of the token's.
    Token,
    /// From, to.
    Range(u64, u64),
}

impl Facts {
    /// The operators of a position in level 2, in order.
    pub fn operators(&self) -> Vec<Operator> {
        let mut operators = vec![Operator::new(0, Step::Embed)];
        for layer in 0..self.shape().layers as u32 {
            let steps = Step::ALL.into_iter().filter(|step| self.in_level_2(*step));
            operators.extend(steps.map(|step| Operator::new(layer, step)));
        }
        operators.push(Operator::new(0, Step::FinalNorm));
        operators.push(Operator::new(0, Step::Logits));
        operators
    }

    /// Whether level 2 has this step in every layer.
    fn in_level_2(&self, step: Step) -> bool {
        step.in_layer() && !step.is_level_1() && self.has(step)
    }

    /// Whether models like this have the step.
    fn has(&self, step: Step) -> bool {
        self.blocks().post_norms || !step.is_post_norm()
    }

    /// Where an operator stands among [`Facts::operators`].
    pub(crate) fn index(&self, operator: Operator) -> u64 {
        let (layers, per_layer) = (self.shape().layers as u64, self.steps_of_layer());
        match operator.step {
            Step::Embed => 0,
            Step::FinalNorm => 1 + layers * per_layer,
            Step::Logits => 2 + layers * per_layer,
            step => {
                let before = |other: &Step| *other < step && self.in_level_2(*other);
                let before = Step::ALL.iter().filter(|other| before(other)).count();
                1 + u64::from(operator.layer) * per_layer + before as u64
            }
        }
    }

    /// How many [`Facts::operators`] there are.
    pub(crate) fn operator_count(&self) -> u64 {
        3 + self.shape().layers as u64 * self.steps_of_layer()
    }

    fn steps_of_layer(&self) -> u64 {
        Step::ALL.iter().filter(|s| self.in_level_2(**s)).count() as u64
    }

    /// Whether the model has this operator and the operator this tile.
    pub(crate) fn has_tile(&self, operator: Operator, tile: u32) -> bool {
        let layers = match operator.step.in_layer() {
            true => self.shape().layers as u32,
            false => 1,
        };
        self.has(operator.step) && operator.layer < layers && tile < self.tiles(operator.step)
    }

    /// Tiles of an operator's output.
    pub fn tiles(&self, step: Step) -> u32 {
        match self.tile_width(step) {
            Some(width) => self.width(step).div_ceil(width) as u32,
            None => 1,
        }
    }

    /// What a tile holds. Of an output in level 1 this says nothing.
    pub(crate) fn form(&self, step: Step, tile: u32) -> Form {
        use Step::{Attended, AttnNorm, FfnNorm, FinalNorm, Gated, Rows};
        let whole = self.width(step);
        match step {
            AttnNorm | Attended | FfnNorm | Gated | FinalNorm => Form::Planes(whole),
            Rows => Form::Rows(self.shape().head_dim),
            _ => match self.tile_width(step) {
                Some(width) => Form::Vector(width.min(whole - tile as usize * width)),
                None => Form::Vector(whole),
            },
        }
    }

    /// Elements of an operator's whole output.
    fn width(&self, step: Step) -> usize {
        use Step::{Attend, Attended, Gate, Gated, K, Logits, Q, Query, Rows, Up, V};
        let shape = self.shape();
        match step {
            Q | Query | Attend | Attended => shape.heads * shape.head_dim,
            K | V | Rows => shape.kv_heads * shape.head_dim,
            Gate | Up | Gated => shape.ff,
            Logits => shape.vocab,
            _ => shape.dim,
        }
    }

    /// Elements of a tile; none when the output is one tile.
    fn tile_width(&self, step: Step) -> Option<usize> {
        use Step::{Attend, Down, Gate, K, Logits, O, Q, Query, Rows, Up, V};
        match step {
            Q | K | V | O | Gate | Up | Down | Logits => Some(TILE_ROWS),
            Query | Rows | Attend => Some(self.shape().head_dim),
            _ => None,
        }
    }

    /// What a tile is computed from at its own position, in the order in which it is opened.
    pub(crate) fn inputs(&self, operator: Operator, tile: u32) -> Vec<Input> {
        use Step::{
            Attend, Attended, AttnAdd, AttnNorm, AttnPostNorm, Down, Draw, Embed, FfnAdd, FfnNorm,
            FfnPostNorm, FinalNorm, Gate, Gated, K, Leaf, Logits, O, Q, Query, Rows, Up, V,
        };
        let Operator { layer, step } = operator;
        let whole_of = |layer, step| Input {
            operator: Operator::new(layer, step),
            tiles: 0..self.tiles(step),
        };
        let whole = |step| whole_of(if Step::in_layer(step) { layer } else { 0 }, step);
        let part = |step, tiles| Input {
            operator: Operator::new(layer, step),
            tiles,
        };
        let one = |step, tile| part(step, tile..tile + 1);
        let head = |step| part(step, self.tiles_of_head(tile));
        let before = match layer.checked_sub(1) {
            Some(before) => whole_of(before, FfnAdd),
            None => whole(Embed),
        };
        let given = |product, post_norm| match self.blocks().post_norms {
            true => whole(post_norm),
            false => whole(product),
        };
        match step {
            Embed => vec![],
            AttnNorm => vec![before],
            Q | K | V => vec![whole(AttnNorm)],
            Query => vec![head(Q)],
            Rows => vec![head(K), head(V)],
            Attend => vec![one(Query, tile), one(Rows, self.key_head(tile))],
            Attended => vec![whole(Attend)],
            O => vec![whole(Attended)],
            AttnPostNorm => vec![whole(O)],
            AttnAdd => vec![before, given(O, AttnPostNorm)],
            FfnNorm => vec![whole(AttnAdd)],
            Gate | Up => vec![whole(FfnNorm)],
            Gated => vec![whole(Gate), whole(Up)],
            Down => vec![whole(Gated)],
            FfnPostNorm => vec![whole(Down)],
            FfnAdd => vec![whole(AttnAdd), given(Down, FfnPostNorm)],
            Leaf => vec![whole(Rows), whole(FfnAdd)],
            FinalNorm => vec![whole_of(self.shape().layers as u32 - 1, FfnAdd)],
            Logits => vec![whole(FinalNorm)],
            Draw => vec![whole(Logits)],
        }
    }

    /// The tiles of a product that hold one head.
    fn tiles_of_head(&self, head: u32) -> Range<u32> {
        let elements = self.elements_of_head(head);
        (elements.start / TILE_ROWS) as u32..elements.end.div_ceil(TILE_ROWS) as u32
    }

    /// The elements of one head in all heads.
    pub(crate) fn elements_of_head(&self, head: u32) -> Range<usize> {
        let (head, width) = (head as usize, self.shape().head_dim);
        head * width..(head + 1) * width
    }

    /// The key head that a query head looks at.
    pub(crate) fn key_head(&self, head: u32) -> u32 {
        head / (self.shape().heads / self.shape().kv_heads) as u32
    }

    /// The earlier positions that an attention tile reads.
    pub(crate) fn positions_before(&self, place: &Place) -> Range<u32> {
        match place.operator.step {
            Step::Attend => {
                let (layer, position) = (place.operator.layer as usize, place.position as usize);
                self.blocks().first_seen(layer, position) as u32..place.position
            }
            _ => 0..0,
        }
    }

    /// Which rows of which tensors a tile is computed with, in the order of the file.
    pub(crate) fn tensors(&self, place: &Place) -> Vec<(usize, TensorRows)> {
        let Operator { layer, step } = place.operator;
        let blocks = self.blocks();
        let mut tensors = Vec::new();
        let mut take = |name: &str, rows| {
            let index = match step.in_layer() && !name.starts_with("rope.") {
                true => self.tensor_index(&alloc::format!("layers.{layer}.{name}")),
                false => self.tensor_index(name),
            };
            tensors.push((index, rows));
        };
        let only = TensorRows::Range(0, 1);
        let first = u64::from(place.tile) * TILE_ROWS as u64;
        let end = (first + TILE_ROWS as u64).min(self.width(step) as u64);
        let tile = TensorRows::Range(first, end);
        match step {
            Step::Embed => take("embedding", TensorRows::Token),
            Step::Q | Step::K | Step::V => {
                take(step.name(), tile);
                if blocks.qkv_bias {
                    take(&(step.name().to_string() + "_bias"), only);
                }
            }
            Step::O | Step::Gate | Step::Up | Step::Down => take(step.name(), tile),
            Step::Logits if self.manifest().tied_head => take("embedding", tile),
            Step::Logits => take("head", tile),
            Step::AttnNorm | Step::FfnNorm | Step::AttnPostNorm | Step::FfnPostNorm => {
                take(step.name(), only);
            }
            Step::FinalNorm => take(step.name(), only),
            Step::Query | Step::Rows => {
                if blocks.qk_norm {
                    take(
                        if step == Step::Query {
                            "q_norm"
                        } else {
                            "k_norm"
                        },
                        only,
                    );
                }
                let at = u64::from(place.position);
                let row = TensorRows::Range(at, at + 1);
                let names = match blocks.is_local(layer as usize) {
                    true => ["rope.local.cos", "rope.local.sin"],
                    false => ["rope.cos", "rope.sin"],
                };
                names.into_iter().for_each(|name| take(name, row));
            }
            _ => {}
        }
        tensors
    }
}
