//! The operators of CIS-1, one plain function each: the meaning that every kernel is tested against.
//!
//! Reductions are exact integer sums or integer maxima; everything else maps single elements in F32Z. So no result depends on
//! order, and faster code may split, batch and reorder as it likes. Slow on purpose: one token, one thread, no blocking.

use alloc::{vec, vec::Vec};

use crate::{
    bounds::LAYER_NORM_MAX,
    f32z::{self, LOG2_E, add, cvt, cvt64, div, exp2n, gelu_tanh, mul, rne, silu, sqrt, sub},
    model::{Matrix, Rope},
};

/// Largest A15 activation: two int8 planes, 127 * 128 + 63.
pub const A15_MAX: i32 = 16_319;
/// Largest A8 activation.
pub const A8_MAX: i32 = 127;
/// Scores further than this below the maximum, in powers of two, get no weight.
pub const SCORE_REACH: f32 = 24.0;

/// An A15 vector: `value = 128 * high + low`, times the scale.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Planes {
    /// In -127..=127.
    pub high: Vec<i8>,
    /// In -64..=63.
    pub low: Vec<i8>,
    /// F32Z.
    pub scale: f32,
}

/// The embedding of a token; `factor` is its row's scale, times the model's own factor where it has one.
pub fn embed(embedding: &Matrix, token: u32, factor: f32) -> Vec<f32> {
    embedding
        .row(token as usize)
        .iter()
        .map(|w| mul(cvt(i32::from(*w)), factor))
        .collect()
}

/// RMSNorm: the sum of squares is taken over 16-bit copies of the elements, the result uses the elements themselves.
pub fn rms_norm(x: &[f32], gain: &[f32], eps: f32) -> Vec<f32> {
    let greatest = f32z::max_abs(x);
    if greatest == 0.0 {
        return x.iter().map(|_| 0.0).collect();
    }
    let to_integer = div(32_767.0, greatest);
    let squares: u64 = x
        .iter()
        .map(|v| {
            let q = rne(mul(*v, to_integer)).clamp(-32_767, 32_767);
            (i64::from(q) * i64::from(q)) as u64
        })
        .sum();
    let inverse = inverse_rms(greatest, squares, x.len(), eps);
    x.iter()
        .zip(gain)
        .map(|(v, g)| mul(mul(*v, inverse), *g))
        .collect()
}

/// The scalar part of RMSNorm, from the greatest magnitude and the exact sum of squares of `n` elements.
pub(crate) fn inverse_rms(greatest: f32, squares: u64, n: usize, eps: f32) -> f32 {
    let unit = div(greatest, 32_767.0);
    let mean_square = mul(mul(div(cvt64(squares as i64), cvt(n as i32)), unit), unit);
    div(1.0, sqrt(add(mean_square, eps)))
}

/// Quantises to A15.
pub fn quantise_a15(v: &[f32]) -> Planes {
    let (q, scale) = quantise(v, A15_MAX);
    let high: Vec<i8> = q.iter().map(|q| ((q + 64) >> 7) as i8).collect();
    let low = q
        .iter()
        .zip(&high)
        .map(|(q, h)| (q - 128 * i32::from(*h)) as i8)
        .collect();
    Planes { high, low, scale }
}

/// Quantises to A8: integers and their scale.
pub fn quantise_a8(v: &[f32]) -> (Vec<i8>, f32) {
    let (q, scale) = quantise(v, A8_MAX);
    (q.into_iter().map(|q| q as i8).collect(), scale)
}

fn quantise(v: &[f32], limit: i32) -> (Vec<i32>, f32) {
    let greatest = f32z::max_abs(v);
    if greatest == 0.0 {
        return (v.iter().map(|_| 0).collect(), 0.0);
    }
    let to_integer = div(cvt(limit), greatest);
    let q = v
        .iter()
        .map(|v| rne(mul(*v, to_integer)).clamp(-limit, limit))
        .collect();
    (q, div(greatest, cvt(limit)))
}

/// Matrix times A15 vector: the exact integer is rounded once, then scaled.
pub fn matvec(matrix: &Matrix, x: &Planes) -> Vec<f32> {
    (0..matrix.rows())
        .map(|row| {
            mul(
                cvt64(dot(&x.high, &x.low, matrix.row(row))),
                mul(x.scale, matrix.scales()[row]),
            )
        })
        .collect()
}

/// Matrix times A8 vector.
pub fn matvec_a8(matrix: &Matrix, x: &[i8], scale: f32) -> Vec<f32> {
    (0..matrix.rows())
        .map(|row| {
            mul(
                cvt64(i64::from(dot_plane(x, matrix.row(row)))),
                mul(scale, matrix.scales()[row]),
            )
        })
        .collect()
}

/// Exact A15 dot product.
pub fn dot(high: &[i8], low: &[i8], w: &[i8]) -> i64 {
    128 * i64::from(dot_plane(high, w)) + i64::from(dot_plane(low, w))
}

/// Exact dot product of one plane; fits for up to 133,144 terms.
fn dot_plane(a: &[i8], w: &[i8]) -> i32 {
    a.iter()
        .zip(w)
        .map(|(a, w)| i32::from(*a) * i32::from(*w))
        .sum()
}

/// Rotates one head in place; `cos` and `sin` are the rows of its position.
pub fn rotate(head: &mut [f32], layout: Rope, cos: &[f32], sin: &[f32]) {
    let half = head.len() / 2;
    for i in 0..half {
        let (first, second) = match layout {
            Rope::Interleaved => (2 * i, 2 * i + 1),
            Rope::HalfSplit => (i, i + half),
        };
        let (a, b) = (head[first], head[second]);
        head[first] = sub(mul(a, cos[i]), mul(b, sin[i]));
        head[second] = add(mul(a, sin[i]), mul(b, cos[i]));
    }
}

/// Keys and values of one head: an int8 row and a scale per position.
#[derive(Clone, Debug, Default)]
pub struct HeadCache {
    /// (position, head_dim)
    pub keys: Vec<i8>,
    /// (position)
    pub key_scales: Vec<f32>,
    /// (position, head_dim)
    pub values: Vec<i8>,
    /// (position)
    pub value_scales: Vec<f32>,
}

impl HeadCache {
    /// Appends what is kept of a rotated key and a value.
    pub fn push(&mut self, key: &[f32], value: &[f32]) {
        let (q, scale) = quantise_a8(key);
        self.keys.extend(q);
        self.key_scales.push(scale);
        let (q, scale) = quantise_a8(value);
        self.values.extend(q);
        self.value_scales.push(scale);
    }
}

/// The factor of scores of this width, as a rule the head's: log2(e) / sqrt(width), so that weights are powers of two.
pub fn score_factor(width: usize) -> f32 {
    mul(div(1.0, sqrt(cvt(width as i32))), LOG2_E)
}

/// Attention of one rotated query over all cached positions, at least one.
pub fn attend(query: &[f32], cache: &HeadCache) -> Vec<f32> {
    attend_from(query, cache, 0, score_factor(query.len()))
}

/// Attention of one rotated query over the cached positions from `first` on, at least one, with a factor for the scores.
pub fn attend_from(query: &[f32], cache: &HeadCache, first: usize, factor: f32) -> Vec<f32> {
    let head_dim = query.len();
    let query = quantise_a15(query);
    let query_scale = mul(query.scale, factor);

    let scores: Vec<f32> = cache.keys[first * head_dim..]
        .chunks_exact(head_dim)
        .zip(&cache.key_scales[first..])
        .map(|(key, scale)| {
            mul(
                cvt64(dot(&query.high, &query.low, key)),
                mul(query_scale, *scale),
            )
        })
        .collect();
    let top = f32z::from_order(scores.iter().map(|s| f32z::order(*s)).max().unwrap_or(0));
    let (values, value_scales) = (
        &cache.values[first * head_dim..],
        &cache.value_scales[first..],
    );
    let value_top = f32z::max_abs(value_scales);
    if value_top == 0.0 {
        return query.high.iter().map(|_| 0.0).collect();
    }

    let per_value = div(1.0, value_top);
    let mut total: u64 = 0; // sum of weights in Q16
    let mut sums: Vec<i64> = query.high.iter().map(|_| 0).collect();
    for (t, score) in scores.iter().enumerate() {
        let below = sub(top, *score);
        if below >= SCORE_REACH {
            continue;
        }
        let e = exp2n(below);
        total += rne(mul(e, 65_536.0)) as u64;
        let weight = rne(mul(mul(e, mul(value_scales[t], per_value)), 16_383.0)).min(16_383); // 14 bits
        for (sum, v) in sums
            .iter_mut()
            .zip(&values[t * head_dim..(t + 1) * head_dim])
        {
            *sum += i64::from(weight) * i64::from(*v);
        }
    }
    let scale = value_factor(total, value_top);
    sums.into_iter().map(|sum| mul(cvt64(sum), scale)).collect()
}

/// The factor of every weighted sum of values, from the total weight in Q16 and the greatest value scale.
pub(crate) fn value_factor(total: u64, value_top: f32) -> f32 {
    mul(div(65_536.0, cvt64(total as i64)), div(value_top, 16_383.0))
}

/// Gated unit: silu(gate) * up.
pub fn swiglu(gate: &[f32], up: &[f32]) -> Vec<f32> {
    gate.iter()
        .zip(up)
        .map(|(g, u)| mul(silu(*g), *u))
        .collect()
}

/// Gated unit: gelu(gate) * up, with [`f32z::gelu_tanh`].
pub fn geglu(gate: &[f32], up: &[f32]) -> Vec<f32> {
    gate.iter()
        .zip(up)
        .map(|(g, u)| mul(gelu_tanh(*g), *u))
        .collect()
}

/// RMSNorm of every head on its own; `gain` is as long as a head.
pub fn norm_heads(heads: &mut [f32], gain: &[f32], eps: f32) {
    for head in heads.chunks_exact_mut(gain.len()) {
        let normed = rms_norm(head, gain, eps);
        head.copy_from_slice(&normed);
    }
}

/// LayerNorm: mean and variance are taken from exact sums over 16-bit copies of the elements, the result uses the elements
/// themselves: `(x - mean) * inverse * gain + bias`.
pub fn layer_norm(x: &[f32], gain: &[f32], bias: &[f32], eps: f32) -> Vec<f32> {
    let greatest = f32z::max_abs(x);
    let (mut sum, mut squares) = (0i64, 0u64);
    for q in integers(x, greatest) {
        sum += i64::from(q);
        squares += (i64::from(q) * i64::from(q)) as u64;
    }
    let (mean, inverse) = centre(greatest, sum, squares, x.len(), eps);
    x.iter()
        .zip(gain)
        .zip(bias)
        .map(|((v, g), b)| add(mul(mul(sub(*v, mean), inverse), *g), *b))
        .collect()
}

/// The scalar part of LayerNorm, from the greatest magnitude and the exact sums of `n` elements and their squares: the mean, and one
/// by the root of the variance and `eps`. Both are zero for a vector of zeros.
///
/// # Panics
/// When `n` is zero or above [`LAYER_NORM_MAX`].
pub(crate) fn centre(greatest: f32, sum: i64, squares: u64, n: usize, eps: f32) -> (f32, f32) {
    assert!(
        (1..=LAYER_NORM_MAX).contains(&n),
        "BUG: a norm over {n} elements"
    );
    if greatest == 0.0 {
        return (0.0, 0.0);
    }
    let (unit, count) = (div(greatest, 32_767.0), cvt(n as i32));
    let mean = mul(div(cvt64(sum), count), unit);
    // n times the sum of squared differences from the mean, exactly: never negative, and below 2^63 by the limit on n.
    let spread = n as i64 * squares as i64 - sum * sum;
    let variance = mul(mul(div(div(cvt64(spread), count), count), unit), unit);
    (mean, div(1.0, sqrt(add(variance, eps))))
}

/// 16-bit copies of elements no greater than `greatest`; zeros when that is zero.
fn integers(x: &[f32], greatest: f32) -> impl Iterator<Item = i32> {
    let to_integer = match greatest == 0.0 {
        true => 0.0,
        false => div(32_767.0, greatest),
    };
    x.iter()
        .map(move |v| rne(mul(*v, to_integer)).clamp(-32_767, 32_767))
}

/// gelu of every element, with [`f32z::gelu`].
pub fn gelu(x: &[f32]) -> Vec<f32> {
    x.iter().map(|x| f32z::gelu(*x)).collect()
}

/// The mean of `rows`, each `dim` long, at least one and at most [`CONTEXT_MAX`](crate::bounds::CONTEXT_MAX): 16-bit copies on one scale for all elements of
/// all rows are summed exactly, so the order of rows does not matter.
pub fn mean_rows(rows: &[f32], dim: usize) -> Vec<f32> {
    let greatest = f32z::max_abs(rows);
    let mut sums = vec![0i64; dim];
    for row in rows.chunks_exact(dim) {
        for (sum, q) in sums.iter_mut().zip(integers(row, greatest)) {
            *sum += i64::from(q);
        }
    }
    let factor = mean_factor(greatest, rows.len() / dim);
    sums.into_iter()
        .map(|sum| mul(cvt64(sum), factor))
        .collect()
}

/// The factor of every sum of 16-bit copies, from the greatest magnitude and the number of rows.
pub(crate) fn mean_factor(greatest: f32, rows: usize) -> f32 {
    div(div(greatest, 32_767.0), cvt(rows as i32))
}

/// The vector scaled to length one by the exact sum of squares of 16-bit copies; zeros stay zeros.
pub fn normalise(x: &[f32]) -> Vec<f32> {
    let greatest = f32z::max_abs(x);
    let squares: u64 = integers(x, greatest)
        .map(|q| (i64::from(q) * i64::from(q)) as u64)
        .sum();
    if squares == 0 {
        return x.iter().map(|_| 0.0).collect();
    }
    let to_integer = div(32_767.0, greatest);
    let inverse = div(1.0, sqrt(cvt64(squares as i64)));
    x.iter()
        .map(|v| mul(mul(*v, to_integer), inverse))
        .collect()
}

/// Adds to the residual stream, or a bias.
pub fn add_to(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x = add(*x, *y);
    }
}

/// The token with the highest logit, the lowest id among equals.
pub fn greedy(logits: &[f32]) -> u32 {
    let top = logits.iter().map(|l| f32z::order(*l)).max();
    logits
        .iter()
        .position(|l| Some(f32z::order(*l)) == top)
        .unwrap_or(0) as u32
}

#[cfg(test)]
mod tests;
