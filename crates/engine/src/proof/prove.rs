//! Making proofs: level 2 of one position, and the openings.

use alloc::{collections::BTreeMap, vec, vec::Vec};

use super::{
    Operator, PROOF_BYTES_MAX, Place, Proof, ProofError, ProveError, Record, Step, Value, admit,
    dispute::Party,
    facts::Facts,
    node,
    opened::{Opened, leaf_chunks},
    step::TensorRows,
    tree::{between, root},
};
use crate::{
    model::{Manifest, Matrix, Model, root::Hashes},
    trace::{self, Hash, level2},
};

/// Level 2 of one position: what every operator gives, in order.
#[derive(Clone, Debug)]
pub struct Level2 {
    position: u32,
    outputs: Vec<Output>,
}

/// What one operator gives.
#[derive(Clone, Debug)]
pub struct Output {
    /// The operator.
    pub operator: Operator,
    /// Its output, cut into tiles.
    pub tiles: Vec<Value>,
    hashes: Vec<Hash>,
}

impl Level2 {
    /// The position.
    pub fn position(&self) -> u32 {
        self.position
    }

    /// All outputs.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The hashes of all operators, which fold to the level-2 root.
    pub fn operators(&self) -> Vec<Hash> {
        self.outputs
            .iter()
            .map(|o| trace::tree(&o.hashes))
            .collect()
    }

    /// The hashes of an operator's tiles; none of what is not in level 2.
    pub fn tiles(&self, operator: Operator) -> Vec<Hash> {
        let output = self.outputs.iter().find(|o| o.operator == operator);
        output.map_or(Vec::new(), |output| output.hashes.clone())
    }

    /// The level-2 root, for the root that the position has in level 1.
    pub fn root(&self, token_root: &Hash) -> Hash {
        level2::root(self.position, token_root, &trace::tree(&self.operators()))
    }
}

/// A model whose operators can be proved.
#[derive(Debug)]
pub struct Prover<'m> {
    facts: Facts,
    matrices: Vec<&'m Matrix>,
    tables: Vec<&'m [f32]>,
    hashes: Hashes,
    leaves: Vec<Hash>, // manifest, then tensors
}

impl<'m> Prover<'m> {
    /// Hashes the model and compares with its root.
    pub fn new(model: &'m Model, manifest: &Manifest) -> Result<Self, ProveError> {
        let prover = Self::unchecked(model, manifest)?;
        match prover.model_root() == model.root() {
            true => Ok(prover),
            false => Err(ProveError::Root),
        }
    }

    /// Of a model whose root may be another.
    pub(crate) fn unchecked(model: &'m Model, manifest: &Manifest) -> Result<Self, ProveError> {
        let facts = Facts::read(&manifest.to_text())?;
        let (matrices, tables) = (model.matrices(), model.tables());
        let sizes = matrices
            .iter()
            .map(|(name, matrix)| (name, matrix.rows(), matrix.cols()))
            .chain(
                tables
                    .iter()
                    .map(|(name, cols, values)| (name, values.len() / cols, *cols)),
            );
        let tensors = facts.all_tensors();
        if matrices.len() + tables.len() != tensors.len() {
            return Err(ProveError::Tensor("count".into()));
        }
        for ((name, rows, cols), tensor) in sizes.zip(tensors) {
            if *name != tensor.name || rows != tensor.rows || cols != tensor.cols {
                return Err(ProveError::Tensor(name.clone()));
            }
        }
        let mut prover = Self {
            matrices: matrices.into_iter().map(|(_, matrix)| matrix).collect(),
            tables: tables.into_iter().map(|(.., values)| values).collect(),
            hashes: Hashes::default(),
            leaves: Vec::new(),
            facts,
        };
        prover
            .leaves
            .push(prover.hashes.manifest(prover.facts.text()));
        for (index, tensor) in prover.facts.all_tensors().iter().enumerate() {
            let tree = prover.tree(&prover.row_hashes(index));
            let (rows, cols) = (tensor.rows as u64, tensor.cols as u64);
            let leaf = prover.hashes.tensor(&tensor.name, rows, cols, &tree);
            prover.leaves.push(leaf);
        }
        Ok(prover)
    }

    /// The root over manifest and rows.
    pub fn model_root(&self) -> Hash {
        self.tree(&self.leaves)
    }

    /// The model without its numbers.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Level 2 of a recorded position, by the plain operators; what came before is read from the record.
    pub fn level2(&self, record: &Record, position: u32) -> Result<Level2, ProofError> {
        let token = record.token(position);
        let token = token.ok_or(ProofError::Unrecorded { position })?;
        self.derive(record, position, token, &mut |_, _| ())
    }

    /// Level 2 of a position with this token; `alter` may change every output before others read it.
    pub(crate) fn derive(
        &self,
        record: &Record,
        position: u32,
        token: u32,
        alter: &mut dyn FnMut(Operator, &mut [Value]),
    ) -> Result<Level2, ProofError> {
        let mut made = Level2 {
            position,
            outputs: Vec::new(),
        };
        for operator in self.facts.operators() {
            let mut tiles = Vec::new();
            for tile in 0..self.facts.tiles(operator.step) {
                let place = Place {
                    position,
                    operator,
                    tile,
                };
                let bytes = self.gather(&place, record, &made, token);
                tiles.push(Opened::split(&self.facts, &place, &bytes)?.run(&self.facts, &place)?);
            }
            alter(operator, &mut tiles);
            let hash = |(tile, value): (usize, &Value)| {
                let (Operator { layer, step }, tile) = (operator, tile as u32);
                level2::tile_leaf(position, layer, step.code(), tile, &value.to_bytes())
            };
            let hashes = tiles.iter().enumerate().map(hash).collect();
            made.outputs.push(Output {
                operator,
                tiles,
                hashes,
            });
        }
        Ok(made)
    }

    /// The bytes of a layer's leaf as they follow from level 2.
    pub fn leaf_bytes(
        &self,
        record: &Record,
        made: &Level2,
        layer: u32,
    ) -> Result<Vec<u8>, ProofError> {
        let place = Place {
            position: made.position,
            operator: Operator::new(layer, Step::Leaf),
            tile: 0,
        };
        let (opened, mut leaf) = (self.gather(&place, record, made, 0), Vec::new());
        let opened = Opened::split(&self.facts, &place, &opened)?;
        opened.leaf_bytes(&self.facts, made.position, layer, &mut leaf)?;
        Ok(leaf)
    }

    /// What the proof of a place opens.
    fn gather(&self, place: &Place, record: &Record, made: &Level2, token: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for input in self.facts.inputs(place.operator, place.tile) {
            let output = &made.outputs[self.facts.index(input.operator) as usize];
            for tile in input.tiles {
                bytes.extend(output.tiles[tile as usize].to_bytes());
            }
        }
        if place.operator.step == Step::Embed {
            bytes.extend_from_slice(&token.to_le_bytes());
        }
        let (form, chunks) = leaf_chunks(&self.facts, place);
        for position in self.facts.positions_before(place) {
            let leaf = record.leaf(position, place.operator.layer);
            for chunk in &chunks {
                bytes.extend_from_slice(&leaf[form.chunk(*chunk)]);
            }
        }
        for (index, rows) in self.facts.tensors(place) {
            let (first, end) = range(rows, token);
            (first..end).for_each(|row| self.put_row(index, row as usize, &mut bytes));
        }
        bytes
    }

    /// Proves a tile of a trace: what is opened comes from our own run, whose inputs of the tile are the same, and all hashes from the trace.
    pub fn prove(
        &self,
        record: &Record,
        made: &Level2,
        trace: &mut dyn Party,
        place: Place,
    ) -> Result<Proof, ProofError> {
        let position = place.position;
        let token_roots = trace.token_roots();
        let positions = token_roots.len() as u32;
        admit(&self.facts, &place, positions)?;
        let token = record.token(position).filter(|_| made.position == position);
        let token = token.ok_or(ProofError::Unrecorded { position })?;
        self.complete(trace, &place, positions)?;
        let opened = self.gather(&place, record, made, token);
        let mut hashes = Vec::new();
        self.level_2(made, trace, &place, &mut hashes);
        self.level_1(record, trace, &token_roots, &place, &mut hashes);
        self.model(&place, token, &mut hashes);
        let proof = Proof {
            place,
            positions,
            manifest: self.facts.text().into(),
            opened,
            hashes,
        };
        match proof.bytes() > PROOF_BYTES_MAX {
            true => Err(ProofError::Length {
                found: proof.bytes(),
            }),
            false => Ok(proof),
        }
    }

    /// Refuses a trace whose lists of hashes are not as long as the model says.
    fn complete(
        &self,
        trace: &mut dyn Party,
        place: &Place,
        positions: u32,
    ) -> Result<(), ProofError> {
        let (position, step) = (place.position, place.operator.step);
        let per_layer = 1 + self.facts.shape().layers;
        let tiles = match step.is_level_1() {
            true => 0,
            false => self.facts.tiles(step) as usize,
        };
        let given = match step.is_level_1() {
            true => 0,
            false => trace.tiles(position, place.operator).len(),
        };
        let operators = self.facts.operator_count() as usize;
        let next = match step {
            Step::Draw if position + 1 < positions => trace.leaves(position + 1).len(),
            _ => per_layer,
        };
        for (what, found, expected) in [
            ("leaves", trace.leaves(position).len(), per_layer),
            ("leaves", next, per_layer),
            ("operators", trace.operators(position).len(), operators),
            ("tiles", given, tiles),
        ] {
            if found != expected {
                return Err(ProofError::Posted {
                    what,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }

    fn level_2(&self, made: &Level2, trace: &mut dyn Party, place: &Place, hashes: &mut Vec<Hash>) {
        let mut opened: BTreeMap<u64, (Vec<Hash>, Vec<u64>)> = BTreeMap::new();
        if !place.operator.step.is_level_1() {
            let tiles = trace.tiles(place.position, place.operator);
            hashes.push(tiles[place.tile as usize]);
            let known = (tiles, vec![u64::from(place.tile)]);
            opened.insert(self.facts.index(place.operator), known);
        }
        for input in self.facts.inputs(place.operator, place.tile) {
            let index = self.facts.index(input.operator);
            let tiles = made.outputs[index as usize].hashes.clone();
            opened.insert(index, (tiles, input.tiles.map(u64::from).collect()));
        }
        for (tiles, known) in opened.values() {
            between(tiles, known, &node, hashes);
        }
        let operators = trace.operators(place.position);
        let opened: Vec<u64> = opened.into_keys().collect();
        between(&operators, &opened, &node, hashes);
    }

    fn level_1(
        &self,
        record: &Record,
        trace: &mut dyn Party,
        token_roots: &[Hash],
        place: &Place,
        hashes: &mut Vec<Hash>,
    ) {
        let (position, step) = (place.position, place.operator.step);
        let of_layer = 1 + u64::from(place.operator.layer);
        let leaves = trace.leaves(position);
        let next = match step {
            Step::Draw if position as usize + 1 < token_roots.len() => {
                Some(trace.leaves(position + 1))
            }
            _ => None,
        };
        match (step, &next) {
            (Step::Leaf, _) => hashes.push(leaves[of_layer as usize]),
            (_, Some(next)) => hashes.push(next[0]),
            _ => {}
        }
        let mut opened = Vec::new();
        let (form, chunks) = leaf_chunks(&self.facts, place);
        for before in self.facts.positions_before(place) {
            form.between(record.leaf(before, place.operator.layer), &chunks, hashes);
            between(record.leaves(before), &[of_layer], &node, hashes);
            opened.push(u64::from(before));
        }
        let read: &[u64] = match step {
            Step::Embed => &[0],
            Step::Leaf => &[of_layer],
            _ => &[],
        };
        between(&leaves, read, &node, hashes);
        opened.push(u64::from(position));
        if let Some(next) = next {
            between(&next, &[0], &node, hashes);
            opened.push(u64::from(position) + 1);
        }
        between(token_roots, &opened, &node, hashes);
    }

    fn model(&self, place: &Place, token: u32, hashes: &mut Vec<Hash>) {
        let node = |left: &Hash, right: &Hash, _: bool| self.hashes.node(left, right);
        let mut opened = vec![0];
        for (index, rows) in self.facts.tensors(place) {
            let (first, end) = range(rows, token);
            let rows: Vec<u64> = (first..end).collect();
            between(&self.row_hashes(index), &rows, &node, hashes);
            opened.push(1 + index as u64);
        }
        between(&self.leaves, &opened, &node, hashes);
    }

    fn row_hashes(&self, index: usize) -> Vec<Hash> {
        let tensor = &self.facts.all_tensors()[index];
        let mut bytes = Vec::new();
        (0..tensor.rows)
            .map(|row| {
                bytes.clear();
                self.put_row(index, row, &mut bytes);
                match tensor.weights {
                    true => self.hashes.weight_row_bytes(&bytes),
                    false => self.hashes.table_row(&bytes),
                }
            })
            .collect()
    }

    /// Appends a row as it is opened.
    fn put_row(&self, index: usize, row: usize, bytes: &mut Vec<u8>) {
        let values = match self.matrices.get(index) {
            Some(matrix) => {
                bytes.extend_from_slice(matrix.row_bytes(row));
                &matrix.scales()[row..=row]
            }
            None => {
                let cols = self.facts.all_tensors()[index].cols;
                &self.tables[index - self.matrices.len()][row * cols..(row + 1) * cols]
            }
        };
        bytes.extend(values.iter().flat_map(|v| v.to_bits().to_le_bytes()));
    }

    fn tree(&self, leaves: &[Hash]) -> Hash {
        root(leaves, true, &|left, right, _| {
            self.hashes.node(left, right)
        })
    }
}

fn range(rows: TensorRows, token: u32) -> (u64, u64) {
    match rows {
        TensorRows::Range(first, end) => (first, end),
        TensorRows::Token => (u64::from(token), u64::from(token) + 1),
    }
}
