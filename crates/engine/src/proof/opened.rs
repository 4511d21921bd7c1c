//! What a proof opens, in one fixed order, and the operators over it.
//!
//! The order: input tiles of the same position; the token, where a token is read; of each earlier position the chunks of its layer leaf;
//! of each tensor its rows. The place alone says how many bytes each takes, so there are no lengths to lie about.

use alloc::{vec, vec::Vec};

use super::{
    ProofError,
    chunks::LeafForm,
    facts::Facts,
    step::{Operator, Place, Step, TensorRows},
    value::{Rows, Value, floats},
};
use crate::{
    f32z,
    model::{Activation, Bytes, Matrix},
    ops::{self, HeadCache, Planes},
    trace::{self, Hash, KvRows},
};

/// The parts of what a proof opens.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) inputs: Vec<OpenedInput<'a>>,
    pub(crate) token: Option<u32>,
    /// Chunks of the layer leaves of earlier positions.
    pub(crate) before: Vec<(u32, &'a [u8])>,
    pub(crate) tensors: Vec<OpenedTensor<'a>>,
}

/// Tiles of one operator.
#[derive(Debug)]
pub(crate) struct OpenedInput<'a> {
    pub(crate) operator: Operator,
    pub(crate) tiles: Vec<(u32, &'a [u8])>,
}

/// Rows of one tensor.
#[derive(Debug)]
pub(crate) struct OpenedTensor<'a> {
    pub(crate) index: usize,
    pub(crate) first: u64,
    pub(crate) rows: Vec<&'a [u8]>,
}

impl<'a> Opened<'a> {
    /// Cuts up exactly these bytes.
    pub(crate) fn split(
        facts: &Facts,
        place: &Place,
        mut bytes: &'a [u8],
    ) -> Result<Self, ProofError> {
        let (whole, place) = (bytes.len(), *place);
        let mut take = |count: usize| {
            let (head, rest) = bytes.split_at_checked(count).ok_or(ProofError::Opened {
                place,
                found: whole,
            })?;
            bytes = rest;
            Ok::<_, ProofError>(head)
        };
        let Operator { layer: _, step } = place.operator;
        let mut inputs = Vec::new();
        for input in facts.inputs(place.operator, place.tile) {
            let mut tiles = Vec::new();
            for tile in input.tiles {
                let form = facts.form(input.operator.step, tile);
                tiles.push((tile, take(form.bytes())?));
            }
            inputs.push(OpenedInput {
                operator: input.operator,
                tiles,
            });
        }
        let token = match step {
            Step::Embed => {
                let token = u32::from_le_bytes(take(4)?.try_into().unwrap_or_default());
                let vocab = facts.shape().vocab;
                if token as usize >= vocab {
                    return Err(ProofError::Token { token, vocab });
                }
                Some(token)
            }
            _ => None,
        };
        let mut before = Vec::new();
        let (form, chunks) = leaf_chunks(facts, &place);
        let chunk_bytes = form.chunks_bytes(&chunks);
        for position in facts.positions_before(&place) {
            before.push((position, take(chunk_bytes)?));
        }
        let mut tensors = Vec::new();
        for (index, rows) in facts.tensors(&place) {
            let (first, end) = match rows {
                TensorRows::Range(first, end) => (first, end),
                TensorRows::Token => {
                    let token = u64::from(token.unwrap_or_default());
                    (token, token + 1)
                }
            };
            let row_bytes = facts.all_tensors()[index].row_bytes();
            let mut rows = Vec::new();
            for _ in first..end {
                rows.push(take(row_bytes)?);
            }
            tensors.push(OpenedTensor { index, first, rows });
        }
        if !bytes.is_empty() {
            return Err(ProofError::Opened {
                place,
                found: whole,
            });
        }
        Ok(Self {
            inputs,
            token,
            before,
            tensors,
        })
    }

    /// Runs the operator on what is opened; gives the tile that follows from it. Not for outputs in level 1.
    pub(crate) fn run(&self, facts: &Facts, place: &Place) -> Result<Value, ProofError> {
        let eps = facts.eps();
        let vector = |input| self.vector(facts, input);
        let (step, head_dim) = (place.operator.step, facts.shape().head_dim);
        Ok(match step {
            Step::Embed => {
                let row = self.matrix(facts, 0)?;
                let factor = match facts.blocks().embedding_scale_bits {
                    Some(bits) => f32z::mul(row.scales()[0], f32::from_bits(bits)),
                    None => row.scales()[0],
                };
                Value::Vector(ops::embed(&row, 0, factor))
            }
            Step::AttnNorm | Step::FfnNorm | Step::FinalNorm => {
                let normed = ops::rms_norm(&vector(0)?, &self.table(facts, 0)?, eps);
                Value::Planes(ops::quantise_a15(&normed))
            }
            Step::Q | Step::K | Step::V => {
                let mut out = ops::matvec(&self.matrix(facts, 0)?, &self.planes(facts, 0)?);
                if facts.blocks().qkv_bias {
                    let bias = self.table(facts, 1)?;
                    ops::add_to(&mut out, &bias[self.tensors[0].first as usize..]);
                }
                Value::Vector(out)
            }
            Step::O | Step::Gate | Step::Up | Step::Down | Step::Logits => {
                let x = self.planes(facts, 0)?;
                Value::Vector(ops::matvec(&self.matrix(facts, 0)?, &x))
            }
            Step::Query => Value::Vector(self.placed(facts, place)?),
            Step::Rows => {
                let mut head = HeadCache::default();
                head.push(&self.placed(facts, place)?, &self.head(facts, place, 1)?);
                Value::Rows(Rows {
                    key: head.keys,
                    key_scale: head.key_scales[0],
                    value: head.values,
                    value_scale: head.value_scales[0],
                })
            }
            Step::Attend => {
                let cache = self.cache(facts, place)?;
                let width = facts.blocks().score_width.unwrap_or(head_dim);
                let factor = ops::score_factor(width);
                Value::Vector(ops::attend_from(&vector(0)?, &cache, 0, factor))
            }
            Step::Attended => Value::Planes(ops::quantise_a15(&vector(0)?)),
            Step::AttnPostNorm | Step::FfnPostNorm => {
                let gain = self.table(facts, 0)?;
                Value::Vector(ops::rms_norm(&vector(0)?, &gain, eps))
            }
            Step::AttnAdd | Step::FfnAdd => {
                let mut x = vector(0)?;
                ops::add_to(&mut x, &vector(1)?);
                Value::Vector(x)
            }
            Step::Gated => {
                let (gate, up) = (vector(0)?, vector(1)?);
                let gated = match facts.blocks().activation {
                    Activation::Silu => ops::swiglu(&gate, &up),
                    Activation::GeluTanh => ops::geglu(&gate, &up),
                };
                Value::Planes(ops::quantise_a15(&gated))
            }
            Step::Leaf | Step::Draw => unreachable!("BUG: outputs in level 1 are no tiles"),
        })
    }

    /// The layer leaf that follows from what is opened for it.
    pub(crate) fn leaf(&self, facts: &Facts, place: &Place) -> Result<Hash, ProofError> {
        let (position, layer) = (place.position, place.operator.layer);
        let mut bytes = Vec::new();
        self.leaf_bytes(facts, position, layer, &mut bytes)?;
        Ok(*blake3::hash(&bytes).as_bytes())
    }

    /// The bytes that it hashes.
    pub(crate) fn leaf_bytes(
        &self,
        facts: &Facts,
        position: u32,
        layer: u32,
        bytes: &mut Vec<u8>,
    ) -> Result<(), ProofError> {
        let (mut keys, mut key_scales) = (Vec::new(), Vec::new());
        let (mut values, mut value_scales) = (Vec::new(), Vec::new());
        for value in self.tiles(facts, 0)? {
            if let Value::Rows(rows) = value {
                keys.extend(rows.key);
                key_scales.push(rows.key_scale);
                values.extend(rows.value);
                value_scales.push(rows.value_scale);
            }
        }
        let rows = KvRows {
            keys: &keys,
            key_scales: &key_scales,
            values: &values,
            value_scales: &value_scales,
        };
        trace::layer_bytes(position, layer, &self.vector(facts, 1)?, &rows, bytes);
        Ok(())
    }

    /// All tiles of an input.
    fn tiles(&self, facts: &Facts, input: usize) -> Result<Vec<Value>, ProofError> {
        let OpenedInput { operator, tiles } = &self.inputs[input];
        let read = |(tile, bytes): &(u32, &[u8])| {
            let value = facts.form(operator.step, *tile).read(bytes);
            value.ok_or(ProofError::Value {
                operator: *operator,
                tile: *tile,
            })
        };
        tiles.iter().map(read).collect()
    }

    /// An input that is a vector, tile after tile.
    pub(crate) fn vector(&self, facts: &Facts, input: usize) -> Result<Vec<f32>, ProofError> {
        let mut vector = Vec::new();
        for value in self.tiles(facts, input)? {
            if let Value::Vector(part) = value {
                vector.extend(part);
            }
        }
        Ok(vector)
    }

    fn planes(&self, facts: &Facts, input: usize) -> Result<Planes, ProofError> {
        match self.tiles(facts, input)?.pop() {
            Some(Value::Planes(planes)) => Ok(planes),
            _ => unreachable!("BUG: the input of a product is planes"),
        }
    }

    /// The place's head out of the tiles of a product.
    fn head(&self, facts: &Facts, place: &Place, input: usize) -> Result<Vec<f32>, ProofError> {
        let first = self.inputs[input].tiles[0].0 as usize * trace::level2::TILE_ROWS;
        let head = facts.elements_of_head(place.tile);
        Ok(self.vector(facts, input)?[head.start - first..head.end - first].to_vec())
    }

    /// A query or key head, normed where the blocks ask for it, and rotated.
    fn placed(&self, facts: &Facts, place: &Place) -> Result<Vec<f32>, ProofError> {
        let mut head = self.head(facts, place, 0)?;
        let norms = usize::from(facts.blocks().qk_norm);
        if norms > 0 {
            ops::norm_heads(&mut head, &self.table(facts, 0)?, facts.eps());
        }
        let (cos, sin) = (self.table(facts, norms)?, self.table(facts, norms + 1)?);
        ops::rotate(&mut head, facts.manifest().rope, &cos, &sin);
        Ok(head)
    }

    /// Keys and values of the place's head: the earlier positions, then its own.
    fn cache(&self, facts: &Facts, place: &Place) -> Result<HeadCache, ProofError> {
        let head = facts.key_head(place.tile);
        let (leaf, chunks) = leaf_chunks(facts, place);
        let form = facts.form(Step::Rows, head);
        let mut cache = HeadCache::default();
        let mut push = |value| {
            if let Value::Rows(rows) = value {
                cache.keys.extend(rows.key);
                cache.key_scales.push(rows.key_scale);
                cache.values.extend(rows.value);
                cache.value_scales.push(rows.value_scale);
            }
        };
        for (position, bytes) in &self.before {
            let value = form.read(&leaf.rows(head as usize, &chunks, bytes));
            push(value.ok_or(ProofError::Before {
                position: *position,
            })?);
        }
        self.tiles(facts, 1)?.into_iter().for_each(push);
        Ok(cache)
    }

    /// The rows of an opened tensor as a matrix.
    fn matrix(&self, facts: &Facts, tensor: usize) -> Result<Matrix, ProofError> {
        let OpenedTensor { index, first, rows } = &self.tensors[tensor];
        let cols = facts.all_tensors()[*index].cols;
        let (mut weights, mut scales) = (Vec::new(), vec![]);
        for (i, row) in rows.iter().enumerate() {
            let (row, scale) = row.split_at(cols);
            let scale = floats(scale).filter(|_| !row.contains(&0x80));
            scales.extend(scale.ok_or_else(|| ProofError::Row {
                tensor: facts.all_tensors()[*index].name.clone(),
                row: first + i as u64,
            })?);
            weights.extend_from_slice(row);
        }
        let matrix = Matrix::new(rows.len(), cols, Bytes::Owned(weights), scales);
        Ok(matrix.expect("BUG: rows were cut to the matrix's width"))
    }

    /// The one opened row of a table.
    fn table(&self, facts: &Facts, tensor: usize) -> Result<Vec<f32>, ProofError> {
        let OpenedTensor { index, first, rows } = &self.tensors[tensor];
        floats(rows[0]).ok_or_else(|| ProofError::Row {
            tensor: facts.all_tensors()[*index].name.clone(),
            row: *first,
        })
    }
}

/// How layer leaves look, and the chunks of them that the place reads of earlier positions.
pub(crate) fn leaf_chunks(facts: &Facts, place: &Place) -> (LeafForm, Vec<u64>) {
    let form = LeafForm::new(facts.shape());
    let chunks = match place.operator.step {
        Step::Attend => form.chunks(facts.key_head(place.tile) as usize),
        _ => Vec::new(),
    };
    (form, chunks)
}
