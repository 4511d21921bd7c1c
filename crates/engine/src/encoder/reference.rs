//! The encoder in plain operators: what the fast pass must equal.

use alloc::{vec, vec::Vec};

use crate::{
    model::{Encoder, EncoderLayer, Norm},
    ops::{self, HeadCache},
    trace::{self, Hash, KvRows, Trace},
};

/// The mean of the last states of all tokens.
pub(super) fn mean(encoder: &Encoder, tokens: &[u32], trace: &mut Trace) -> Vec<f32> {
    let eps = f32::from_bits(encoder.shape.norm_eps_bits);
    let mut leaves: Vec<Vec<Hash>> = Vec::new();
    let mut states: Vec<Vec<f32>> = Vec::new();
    for (position, token) in tokens.iter().enumerate() {
        let scale = encoder.embedding.scales()[*token as usize];
        let mut x = ops::embed(&encoder.embedding, *token, scale);
        ops::add_to(&mut x, encoder.position(position));
        states.push(norm(&x, &encoder.embedding_norm, eps));
        leaves.push(vec![trace::token_leaf(position as u32, *token)]);
    }
    for (index, layer) in encoder.layers.iter().enumerate() {
        let heads = block(encoder, layer, eps, &mut states);
        for (position, (x, leaves)) in states.iter().zip(&mut leaves).enumerate() {
            leaves.push(leaf(encoder, position, index, x, &heads));
        }
    }
    for leaves in &leaves {
        trace.push(leaves);
    }
    ops::mean_rows(&states.concat(), encoder.shape.dim)
}

/// One block over all tokens; gives what is kept of keys and values, (head).
fn block(
    encoder: &Encoder,
    layer: &EncoderLayer,
    eps: f32,
    states: &mut [Vec<f32>],
) -> Vec<HeadCache> {
    let (heads, head_dim) = (encoder.shape.heads, encoder.shape.head_dim);
    let mut cache = vec![HeadCache::default(); heads];
    let mut queries = Vec::new();
    for x in states.iter() {
        let x = ops::quantise_a15(x);
        let [query, key, value] = [
            (&layer.q, &layer.q_bias),
            (&layer.k, &layer.k_bias),
            (&layer.v, &layer.v_bias),
        ]
        .map(|(matrix, bias)| {
            let mut y = ops::matvec(matrix, &x);
            ops::add_to(&mut y, bias);
            y
        });
        let rows = key.chunks_exact(head_dim).zip(value.chunks_exact(head_dim));
        for (head, (key, value)) in cache.iter_mut().zip(rows) {
            head.push(key, value);
        }
        queries.push(query);
    }
    let factor = ops::score_factor(head_dim);
    for (x, query) in states.iter_mut().zip(&queries) {
        let attended: Vec<f32> = query
            .chunks_exact(head_dim)
            .zip(&cache)
            .flat_map(|(query, head)| ops::attend_from(query, head, 0, factor))
            .collect();
        let mut given = ops::matvec(&layer.o, &ops::quantise_a15(&attended));
        ops::add_to(&mut given, &layer.o_bias);
        ops::add_to(x, &given);
        *x = norm(x, &layer.attn_norm, eps);

        let mut up = ops::matvec(&layer.up, &ops::quantise_a15(x));
        ops::add_to(&mut up, &layer.up_bias);
        let mut given = ops::matvec(&layer.down, &ops::quantise_a15(&ops::gelu(&up)));
        ops::add_to(&mut given, &layer.down_bias);
        ops::add_to(x, &given);
        *x = norm(x, &layer.ffn_norm, eps);
    }
    cache
}

fn norm(x: &[f32], norm: &Norm, eps: f32) -> Vec<f32> {
    ops::layer_norm(x, &norm.gain, &norm.bias, eps)
}

/// The trace leaf of a token after a block.
fn leaf(encoder: &Encoder, position: usize, layer: usize, x: &[f32], heads: &[HeadCache]) -> Hash {
    let head_dim = encoder.shape.head_dim;
    let row = position * head_dim..(position + 1) * head_dim;
    let keys: Vec<i8> = heads
        .iter()
        .flat_map(|h| &h.keys[row.clone()])
        .copied()
        .collect();
    let values: Vec<i8> = heads
        .iter()
        .flat_map(|h| &h.values[row.clone()])
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
    trace::layer_leaf(position as u32, layer as u32, x, &rows, &mut Vec::new())
}
