//! Attention over a key and value cache laid out for vectors.
//!
//! Keys lie as (block of 16 positions, group of 4 dimensions, position in block, dimension in group), offset by 128 to unsigned, so that a
//! vector holds one group of 16 positions. Values lie as (quad of positions, dimension, position in quad), so that a vector holds four positions of
//! 16 dimensions. Dimensions are padded with zeros; positions not yet written get weight zero.

use std::ops::Range;

use super::{Kind, Level, per_level, pool};
use crate::{
    f32z::{self, abs_bits, cvt, cvt64, div, mul, rne, sub},
    model::Shape,
    ops,
};

/// Positions that share a block of keys; capacities are multiples of it.
const BLOCK: usize = 16;
/// Values of this many dimensions fill a vector.
const DIMS_STEP: usize = 16;

/// Keys and values of all layers and heads.
#[derive(Debug)]
pub(crate) struct Cache {
    kv_heads: usize,
    head_dim: usize,
    groups: usize,          // of four dimensions, in keys
    dims: usize,            // padded, in values
    capacity: usize,        // positions, padded
    keys: Vec<u8>,          // (layer, kv_head, block, group, 16, 4)
    values: Vec<i8>,        // (layer, kv_head, quad, dim, 4)
    key_scales: Vec<f32>,   // (layer, kv_head, position)
    value_scales: Vec<f32>, // (layer, kv_head, position)
}

/// One head of one layer.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    keys: &'a [u8],
    values: &'a [i8],
    key_scales: &'a [f32],
    value_scales: &'a [f32],
    dims: usize,
}

/// Key and value rows of several tokens, as the trace sees them.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) keys: Vec<i8>,          // (token, kv_head, head_dim)
    pub(crate) key_scales: Vec<f32>,   // (token, kv_head)
    pub(crate) values: Vec<i8>,        // (token, kv_head, head_dim)
    pub(crate) value_scales: Vec<f32>, // (token, kv_head)
}

impl Cache {
    pub(crate) fn new(shape: &Shape, capacity: usize) -> Self {
        let (groups, dims) = (
            shape.head_dim.div_ceil(4),
            shape.head_dim.next_multiple_of(DIMS_STEP),
        );
        let capacity = capacity.next_multiple_of(BLOCK);
        let heads = shape.layers * shape.kv_heads;
        Self {
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
            groups,
            dims,
            capacity,
            keys: vec![128; heads * capacity * groups * 4],
            values: vec![0; heads * capacity * dims],
            key_scales: vec![0.0; heads * capacity],
            value_scales: vec![0.0; heads * capacity],
        }
    }

    /// Appends the rows of `tokens` tokens to a layer, the first of them at `position`.
    pub(crate) fn append(
        &mut self,
        pool: &mut pool::Pool,
        layer: usize,
        position: usize,
        tokens: usize,
        rows: &Rows,
    ) {
        let Self {
            kv_heads,
            head_dim,
            groups,
            dims,
            capacity,
            ..
        } = *self;
        let of_layer = |per_position: usize| {
            let len = kv_heads * capacity * per_position;
            layer * len..(layer + 1) * len
        };
        let parts = (
            pool::chunks(&mut self.keys[of_layer(groups * 4)], capacity * groups * 4),
            pool::chunks(&mut self.values[of_layer(dims)], capacity * dims),
            pool::chunks(&mut self.key_scales[of_layer(1)], capacity),
            pool::chunks(&mut self.value_scales[of_layer(1)], capacity),
        );
        pool.for_each(
            kv_heads,
            parts,
            |head, (keys, values, key_scales, value_scales)| {
                for token in 0..tokens {
                    let (at, row) = (position + token, token * kv_heads + head);
                    key_scales[at] = rows.key_scales[row];
                    value_scales[at] = rows.value_scales[row];
                    let block = &mut keys[at / BLOCK * BLOCK * groups * 4..][..BLOCK * groups * 4];
                    for (group, key) in rows.keys[row * head_dim..(row + 1) * head_dim]
                        .chunks(4)
                        .enumerate()
                    {
                        let cell = (group * BLOCK + at % BLOCK) * 4;
                        for (cell, k) in block[cell..].iter_mut().zip(key) {
                            *cell = *k as u8 ^ 0x80;
                        }
                    }
                    let quad = &mut values[at / 4 * 4 * dims..][..4 * dims];
                    for (dim, v) in rows.values[row * head_dim..(row + 1) * head_dim]
                        .iter()
                        .enumerate()
                    {
                        quad[dim * 4 + at % 4] = *v;
                    }
                }
            },
        );
    }

    /// One head of one layer.
    pub(crate) fn head(&self, layer: usize, kv_head: usize) -> Head<'_> {
        let index = layer * self.kv_heads + kv_head;
        let part = |per_position: usize| {
            index * self.capacity * per_position..(index + 1) * self.capacity * per_position
        };
        Head {
            keys: &self.keys[part(self.groups * 4)],
            values: &self.values[part(self.dims)],
            key_scales: &self.key_scales[part(1)],
            value_scales: &self.value_scales[part(1)],
            dims: self.dims,
        }
    }
}

impl Rows {
    pub(crate) fn new(shape: &Shape, tokens: usize) -> Self {
        let heads = tokens * shape.kv_heads;
        let (len, scales) = (heads * shape.head_dim, heads);
        Self {
            keys: vec![0; len],
            key_scales: vec![0.0; scales],
            values: vec![0; len],
            value_scales: vec![0.0; scales],
        }
    }
}

/// A quantised query in planes, padded to groups of four.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) high: Vec<i8>,
    pub(crate) low: Vec<i8>,
    pub(crate) high_sum: i32,
    pub(crate) low_sum: i32,
}

/// What one thread needs while it attends.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    query: Query,
    values: Vec<i16>,
    sums: Vec<i32>,     // (position)
    scores: Vec<f32>,   // (position)
    high: Vec<u8>,      // (position)
    low: Vec<u8>,       // (position)
    out_high: Vec<i32>, // (dim)
    out_low: Vec<i32>,  // (dim)
}

/// [`ops::attend_from`] over a range of positions of a head, for a query already rotated.
pub(crate) fn attend(
    level: Level,
    query: &[f32],
    head: Head<'_>,
    seen: Range<usize>,
    factor: f32,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    // Blocks are whole: those before the range get no weight, as those after it.
    let (begin, end) = (seen.start / BLOCK * BLOCK, seen.end.next_multiple_of(BLOCK));
    let padded = end - begin;
    let inside = seen.start - begin..seen.end - begin;
    let scale = mul(scratch.quantise(level, query), factor);
    let Scratch {
        query,
        sums,
        scores,
        high,
        low,
        out_high,
        out_low,
        ..
    } = scratch;
    sums.resize(padded, 0);
    scores.resize(seen.len(), 0.0);
    high.clear();
    high.resize(padded, 0);
    low.clear();
    low.resize(padded, 0);

    let per_position = query.high.len();
    integer_scores(
        level,
        query,
        &head.keys[begin * per_position..end * per_position],
        sums,
    );
    let top = scale_scores(
        level,
        &sums[inside.clone()],
        &head.key_scales[seen.clone()],
        scale,
        scores,
    );
    let value_scales = &head.value_scales[seen];
    let value_top = f32::from_bits(value_scales.iter().fold(0, |m, s| m.max(abs_bits(*s))));
    if value_top == 0.0 {
        out.fill(0.0);
        return;
    }
    let total = weights(
        level,
        scores,
        value_scales,
        top,
        value_top,
        &mut high[inside.clone()],
        &mut low[inside],
    );
    out_high.resize(head.dims, 0);
    out_low.resize(head.dims, 0);
    weigh(
        level,
        high,
        low,
        &head.values[begin * head.dims..end * head.dims],
        head.dims,
        out_high,
        out_low,
    );
    let factor = ops::value_factor(total, value_top);
    for ((out, h), l) in out.iter_mut().zip(out_high).zip(out_low) {
        *out = mul(cvt64(128 * i64::from(*h) + i64::from(*l)), factor);
    }
}

impl Scratch {
    /// Quantises a query into the planes and returns its scale.
    fn quantise(&mut self, level: Level, query: &[f32]) -> f32 {
        let padded = query.len().next_multiple_of(4);
        self.query.high.resize(padded, 0);
        self.query.low.resize(padded, 0);
        self.values.resize(padded, 0);
        let mut token = [super::maps::TokenScale::default()];
        super::maps::quantise(
            level,
            query,
            (
                &mut self.values,
                &mut self.query.high,
                &mut self.query.low,
                &mut token,
            ),
        );
        (self.query.high_sum, self.query.low_sum) = (token[0].high_sum, token[0].low_sum);
        token[0].scale
    }
}

per_level! {
    /// Scores from exact sums; returns the greatest.
    pub(crate) fn scale_scores(sums: &[i32], key_scales: &[f32], scale: f32, scores: &mut [f32]) -> f32 = scale_scores_body;
}
per_level! {
    /// 14-bit weights in two 7-bit planes; returns the total in Q16.
    pub(crate) fn weights(scores: &[f32], value_scales: &[f32], top: f32, value_top: f32, high: &mut [u8], low: &mut [u8]) -> u64 = weights_body;
}
per_level! {
    pub(crate) fn portable_scores(query: &Query, keys: &[u8], out: &mut [i32]) = scores_body;
}
per_level! {
    pub(crate) fn portable_weigh(high: &[u8], low: &[u8], values: &[i8], dims: usize, out_high: &mut [i32], out_low: &mut [i32]) = weigh_body;
}

/// Exact sums of a query with keys; they fit 32 bits for heads up to 1,036 wide.
pub(crate) fn integer_scores(level: Level, query: &Query, keys: &[u8], out: &mut [i32]) {
    match level.0 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level exists, so the AVX-512 features were detected.
        Kind::Avx512 => unsafe { super::avx512::scores(query, keys, out) },
        _ => portable_scores(level, query, keys, out),
    }
}

/// Exact sums of values times either weight plane; each fits 32 bits for contexts up to 133,144.
pub(crate) fn weigh(
    level: Level,
    high: &[u8],
    low: &[u8],
    values: &[i8],
    dims: usize,
    out_high: &mut [i32],
    out_low: &mut [i32],
) {
    match level.0 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level exists, so the AVX-512 features were detected.
        Kind::Avx512 => unsafe { super::avx512::weigh(high, low, values, dims, out_high, out_low) },
        _ => portable_weigh(level, high, low, values, dims, out_high, out_low),
    }
}

#[inline(always)]
fn scale_scores_body(sums: &[i32], key_scales: &[f32], scale: f32, scores: &mut [f32]) -> f32 {
    let mut top = i32::MIN;
    for ((score, sum), key_scale) in scores.iter_mut().zip(sums).zip(key_scales) {
        *score = mul(cvt(*sum), mul(scale, *key_scale));
        top = top.max(f32z::order(*score));
    }
    f32z::from_order(top)
}

#[inline(always)]
fn weights_body(
    scores: &[f32],
    value_scales: &[f32],
    top: f32,
    value_top: f32,
    high: &mut [u8],
    low: &mut [u8],
) -> u64 {
    /// Positions whose Q16 weights surely fit 32 bits together.
    const SPAN: usize = 4_096;
    let per_value = div(1.0, value_top);
    let mut total = 0u64;
    let planes = high.chunks_mut(SPAN).zip(low.chunks_mut(SPAN));
    for ((scores, value_scales), (high, low)) in scores
        .chunks(SPAN)
        .zip(value_scales.chunks(SPAN))
        .zip(planes)
    {
        let mut part = 0i32;
        for (((score, value_scale), high), low) in
            scores.iter().zip(value_scales).zip(high).zip(low)
        {
            let below = sub(top, *score);
            let near = below < ops::SCORE_REACH;
            let e = super::maps::exp2n(if near { below } else { 0.0 });
            let share = rne(mul(e, 65_536.0));
            let weight = rne(mul(mul(e, mul(*value_scale, per_value)), 16_383.0)).min(16_383);
            part = part.wrapping_add(if near { share } else { 0 });
            let weight = if near { weight } else { 0 };
            *high = (weight >> 7) as u8;
            *low = (weight & 127) as u8;
        }
        total += part as u64;
    }
    total
}

#[inline(always)]
fn scores_body(query: &Query, keys: &[u8], out: &mut [i32]) {
    let groups = query.high.len() / 4;
    for (keys, out) in keys
        .chunks_exact(groups * BLOCK * 4)
        .zip(out.chunks_exact_mut(BLOCK))
    {
        let mut sums = [0i32; BLOCK];
        let quads = query.high.chunks_exact(4).zip(query.low.chunks_exact(4));
        for (keys, (high, low)) in keys.chunks_exact(BLOCK * 4).zip(quads) {
            let q: [i32; 4] = std::array::from_fn(|j| 128 * i32::from(high[j]) + i32::from(low[j]));
            for (sum, key) in sums.iter_mut().zip(keys.chunks_exact(4)) {
                for j in 0..4 {
                    *sum = sum.wrapping_add(q[j].wrapping_mul(i32::from((key[j] ^ 0x80) as i8)));
                }
            }
        }
        out.copy_from_slice(&sums);
    }
}

#[inline(always)]
fn weigh_body(
    high: &[u8],
    low: &[u8],
    values: &[i8],
    dims: usize,
    out_high: &mut [i32],
    out_low: &mut [i32],
) {
    out_high.fill(0);
    out_low.fill(0);
    let quads = high.chunks_exact(4).zip(low.chunks_exact(4));
    for (values, (high, low)) in values.chunks_exact(dims * 4).zip(quads) {
        if high == [0; 4] && low == [0; 4] {
            continue;
        }
        for ((out_high, out_low), v) in out_high
            .iter_mut()
            .zip(out_low.iter_mut())
            .zip(values.chunks_exact(4))
        {
            for j in 0..4 {
                *out_high = out_high.wrapping_add(i32::from(high[j]).wrapping_mul(i32::from(v[j])));
                *out_low = out_low.wrapping_add(i32::from(low[j]).wrapping_mul(i32::from(v[j])));
            }
        }
    }
}
