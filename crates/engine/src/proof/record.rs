//! What a run left behind: enough to make level 2 of any of its positions.

use alloc::{vec, vec::Vec};

use crate::{
    forward::{Options, Session, SessionError, Watch},
    model::Model,
    trace::{self, Hash, KvRows, Trace},
};

/// What a run left behind at every position, in the bytes that level 1 hashes: about 80 KB a token for a model of 135 million weights.
#[derive(Clone, Debug)]
pub struct Record {
    layers: usize,
    tokens: Vec<u32>,
    leaves: Vec<Vec<u8>>, // (position, layer)
    hashes: Vec<Hash>,    // (position, 1 + layers): leaves of level 1
}

impl Record {
    /// Runs tokens, as fast as the options let it.
    pub fn run(model: &Model, tokens: &[u32], options: &Options) -> Result<Self, SessionError> {
        let mut session = Session::new(model, tokens.len(), options)?;
        let mut record = Self::empty(model);
        record.leaves = vec![Vec::new(); tokens.len() * model.shape.layers];
        session.watch(tokens, &mut record)?;
        for (leaves, token) in core::mem::take(&mut record.leaves)
            .chunks_exact_mut(model.shape.layers)
            .zip(tokens)
        {
            record.push(*token, leaves.iter_mut().map(core::mem::take).collect());
        }
        Ok(record)
    }

    /// Of no positions.
    pub(crate) fn empty(model: &Model) -> Self {
        Self {
            layers: model.shape.layers,
            tokens: Vec::new(),
            leaves: Vec::new(),
            hashes: Vec::new(),
        }
    }

    /// Appends a position.
    pub(crate) fn push(&mut self, token: u32, leaves: Vec<Vec<u8>>) {
        let position = self.positions();
        self.hashes.push(trace::token_leaf(position, token));
        let hashes = leaves.iter().map(|leaf| *blake3::hash(leaf).as_bytes());
        self.hashes.extend(hashes);
        self.tokens.push(token);
        self.leaves.extend(leaves);
    }

    /// Positions run.
    pub fn positions(&self) -> u32 {
        self.tokens.len() as u32
    }

    /// The leaves of a position in level 1.
    pub fn leaves(&self, position: u32) -> &[Hash] {
        let count = 1 + self.layers;
        &self.hashes[position as usize * count..][..count]
    }

    /// The trace.
    pub fn trace(&self) -> Trace {
        let mut trace = Trace::default();
        (0..self.positions()).for_each(|position| trace.push(self.leaves(position)));
        trace
    }

    /// The token of a position.
    pub fn token(&self, position: u32) -> Option<u32> {
        self.tokens.get(position as usize).copied()
    }

    /// The bytes of a layer leaf.
    pub(crate) fn leaf(&self, position: u32, layer: u32) -> &[u8] {
        &self.leaves[position as usize * self.layers + layer as usize]
    }
}

impl Watch for Record {
    fn layer(&mut self, position: usize, layer: usize, residual: &[f32], rows: &KvRows<'_>) {
        let bytes = &mut self.leaves[position * self.layers + layer];
        trace::layer_bytes(position as u32, layer as u32, residual, rows, bytes);
    }
}
