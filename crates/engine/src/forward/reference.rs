//! The forward pass in plain operators, one token at a time: what the fast pass must equal.

use alloc::{vec, vec::Vec};

use super::Wanted;
use crate::{
    model::{Layer, Model},
    ops::{self, HeadCache, Planes},
    trace::{self, KvRows, Trace},
};

/// The state between tokens.
#[derive(Debug)]
pub(crate) struct ReferencePass {
    cache: Vec<HeadCache>, // (layer, kv_head)
}

impl ReferencePass {
    pub(crate) fn new(model: &Model) -> Self {
        Self {
            cache: vec![HeadCache::default(); model.shape.layers * model.shape.kv_heads],
        }
    }

    /// Runs tokens that follow the `trace.positions()` already seen; leaves the wanted logits, (token, vocab), in `logits`.
    pub(crate) fn advance(
        &mut self,
        model: &Model,
        tokens: &[u32],
        wanted: Wanted,
        logits: &mut Vec<f32>,
        trace: &mut Trace,
    ) {
        logits.clear();
        for (i, token) in tokens.iter().enumerate() {
            let x = self.token(model, *token, trace);
            if wanted == Wanted::All || (wanted == Wanted::Last && i + 1 == tokens.len()) {
                let normed = ops::rms_norm(
                    &x,
                    &model.final_norm,
                    f32::from_bits(model.shape.norm_eps_bits),
                );
                logits.extend(ops::matvec(
                    model.logits_matrix(),
                    &ops::quantise_a15(&normed),
                ));
            }
        }
    }

    fn token(&mut self, model: &Model, token: u32, trace: &mut Trace) -> Vec<f32> {
        let position = trace.positions();
        let mut x = ops::embed(&model.embedding, token);
        let mut leaves = vec![trace::token_leaf(position as u32, token)];
        let mut scratch = Vec::new();
        for (index, layer) in model.layers.iter().enumerate() {
            let heads = &mut self.cache[index * model.shape.kv_heads..][..model.shape.kv_heads];
            block(model, layer, position, heads, &mut x);
            leaves.push(leaf(
                position,
                index,
                &x,
                heads,
                model.shape.head_dim,
                &mut scratch,
            ));
        }
        trace.push(&leaves);
        x
    }
}

/// One block: attention, then the gated feed-forward part, each added to the residual stream `x`.
fn block(model: &Model, layer: &Layer, position: usize, cache: &mut [HeadCache], x: &mut [f32]) {
    let head_dim = model.shape.head_dim;
    let eps = f32::from_bits(model.shape.norm_eps_bits);
    let normed = ops::quantise_a15(&ops::rms_norm(x, &layer.attn_norm, eps));
    let queries = rotated(model, position, ops::matvec(&layer.q, &normed));
    let keys = rotated(model, position, ops::matvec(&layer.k, &normed));
    let values = ops::matvec(&layer.v, &normed);
    for ((head, key), value) in cache
        .iter_mut()
        .zip(keys.chunks_exact(head_dim))
        .zip(values.chunks_exact(head_dim))
    {
        append(head, key, value);
    }
    let group = model.shape.heads / model.shape.kv_heads;
    let attended: Vec<f32> = queries
        .chunks_exact(head_dim)
        .enumerate()
        .flat_map(|(head, query)| ops::attend(query, &cache[head / group]))
        .collect();
    ops::add_to(x, &ops::matvec(&layer.o, &ops::quantise_a15(&attended)));

    let normed = ops::quantise_a15(&ops::rms_norm(x, &layer.ffn_norm, eps));
    let gated: Planes = ops::quantise_a15(&ops::swiglu(
        &ops::matvec(&layer.gate, &normed),
        &ops::matvec(&layer.up, &normed),
    ));
    ops::add_to(x, &ops::matvec(&layer.down, &gated));
}

/// Rotates every head of a vector to its position.
fn rotated(model: &Model, position: usize, mut heads: Vec<f32>) -> Vec<f32> {
    let half = model.shape.head_dim / 2;
    let row = position * half..(position + 1) * half;
    for head in heads.chunks_exact_mut(model.shape.head_dim) {
        ops::rotate(
            head,
            model.rope,
            &model.rope_cos[row.clone()],
            &model.rope_sin[row.clone()],
        );
    }
    heads
}

fn append(cache: &mut HeadCache, key: &[f32], value: &[f32]) {
    let (q, scale) = ops::quantise_a8(key);
    cache.keys.extend(q);
    cache.key_scales.push(scale);
    let (q, scale) = ops::quantise_a8(value);
    cache.values.extend(q);
    cache.value_scales.push(scale);
}

/// The trace leaf after a block, from the rows that it just appended.
fn leaf(
    position: usize,
    layer: usize,
    x: &[f32],
    heads: &[HeadCache],
    head_dim: usize,
    scratch: &mut Vec<u8>,
) -> trace::Hash {
    let last = position * head_dim..(position + 1) * head_dim;
    let keys: Vec<i8> = heads
        .iter()
        .flat_map(|h| &h.keys[last.clone()])
        .copied()
        .collect();
    let values: Vec<i8> = heads
        .iter()
        .flat_map(|h| &h.values[last.clone()])
        .copied()
        .collect();
    let key_scales: Vec<f32> = heads.iter().map(|h| h.key_scales[position]).collect();
    let value_scales: Vec<f32> = heads.iter().map(|h| h.value_scales[position]).collect();
    let rows = KvRows {
        keys: &keys,
        key_scales: &key_scales,
        values: &values,
        value_scales: &value_scales,
    };
    trace::layer_leaf(position as u32, layer as u32, x, &rows, scratch)
}
