//! The forward pass in plain operators, one token at a time: what the fast pass must equal.

use alloc::{vec, vec::Vec};

use super::{Wanted, Watch};
use crate::{
    model::{Activation, Blocks, Model},
    ops::{self, HeadCache},
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
        mut watch: Option<&mut dyn Watch>,
    ) {
        logits.clear();
        for (i, token) in tokens.iter().enumerate() {
            let x = self.token(model, *token, trace, &mut watch);
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

    fn token(
        &mut self,
        model: &Model,
        token: u32,
        trace: &mut Trace,
        watch: &mut Option<&mut dyn Watch>,
    ) -> Vec<f32> {
        let position = trace.positions();
        let mut x = ops::embed(&model.embedding, token, model.embedding_factor(token));
        let mut leaves = vec![trace::token_leaf(position as u32, token)];
        let mut scratch = Vec::new();
        for index in 0..model.shape.layers {
            let heads = &mut self.cache[index * model.shape.kv_heads..][..model.shape.kv_heads];
            block(model, index, position, heads, &mut x);
            leaves.push(leaf(
                position,
                index,
                &x,
                heads,
                model.shape.head_dim,
                &mut scratch,
                watch,
            ));
        }
        trace.push(&leaves);
        x
    }
}

/// One block: attention, then the gated feed-forward part, each added to the residual stream `x`.
fn block(model: &Model, index: usize, position: usize, cache: &mut [HeadCache], x: &mut [f32]) {
    let (layer, blocks, head_dim) = (&model.layers[index], &model.blocks, model.shape.head_dim);
    let eps = f32::from_bits(model.shape.norm_eps_bits);
    let normed = ops::quantise_a15(&ops::rms_norm(x, &layer.attn_norm, eps));
    let mut queries = ops::matvec(&layer.q, &normed);
    let mut keys = ops::matvec(&layer.k, &normed);
    let mut values = ops::matvec(&layer.v, &normed);
    if blocks.qkv_bias {
        ops::add_to(&mut queries, &layer.q_bias);
        ops::add_to(&mut keys, &layer.k_bias);
        ops::add_to(&mut values, &layer.v_bias);
    }
    if blocks.qk_norm {
        ops::norm_heads(&mut queries, &layer.q_norm, eps);
        ops::norm_heads(&mut keys, &layer.k_norm, eps);
    }
    let (cos, sin) = model.rotation(index, position);
    for head in queries
        .chunks_exact_mut(head_dim)
        .chain(keys.chunks_exact_mut(head_dim))
    {
        ops::rotate(head, model.rope, cos, sin);
    }
    for ((head, key), value) in cache
        .iter_mut()
        .zip(keys.chunks_exact(head_dim))
        .zip(values.chunks_exact(head_dim))
    {
        head.push(key, value);
    }
    let group = model.shape.heads / model.shape.kv_heads;
    let (first, factor) = (blocks.first_seen(index, position), model.score_factor());
    let attended: Vec<f32> = queries
        .chunks_exact(head_dim)
        .enumerate()
        .flat_map(|(head, query)| ops::attend_from(query, &cache[head / group], first, factor))
        .collect();
    let given = ops::matvec(&layer.o, &ops::quantise_a15(&attended));
    add(blocks, x, given, &layer.attn_post_norm, eps);

    let normed = ops::quantise_a15(&ops::rms_norm(x, &layer.ffn_norm, eps));
    let (gate, up) = (
        ops::matvec(&layer.gate, &normed),
        ops::matvec(&layer.up, &normed),
    );
    let gated = match blocks.activation {
        Activation::Silu => ops::swiglu(&gate, &up),
        Activation::GeluTanh => ops::geglu(&gate, &up),
    };
    let given = ops::matvec(&layer.down, &ops::quantise_a15(&gated));
    add(blocks, x, given, &layer.ffn_post_norm, eps);
}

/// Adds what a part of a block gives to the residual stream, normed first where the blocks ask for it.
fn add(blocks: &Blocks, x: &mut [f32], given: Vec<f32>, gain: &[f32], eps: f32) {
    match blocks.post_norms {
        true => ops::add_to(x, &ops::rms_norm(&given, gain, eps)),
        false => ops::add_to(x, &given),
    }
}

/// The trace leaf after a block, from the rows that it just appended.
fn leaf(
    position: usize,
    layer: usize,
    x: &[f32],
    heads: &[HeadCache],
    head_dim: usize,
    scratch: &mut Vec<u8>,
    watch: &mut Option<&mut dyn Watch>,
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
    if let Some(watch) = watch {
        watch.layer(position, layer, x, &rows);
    }
    trace::layer_leaf(position as u32, layer as u32, x, &rows, scratch)
}
