//! Element-wise maps over one token, and the quantised activations that products read.
//!
//! Bodies are plain loops that compilers vectorise; each is compiled once per level. Where a clamp is left out, the value provably stays
//! inside F32Z or is added to something that swallows it, and a test compares all bits with the definition. Integer arithmetic is written as
//! wrapping, though bounds keep it from wrapping: a check for overflow in the loop would keep it from being vectorised.

use super::per_level;
use crate::{
    f32z::{self, LOG2_E, abs_bits, add, cvt, cvt64, div, mul, rne, sub},
    model::Rope,
    ops::{self, A8_MAX, A15_MAX},
};

/// A15 vectors of several tokens, in every form that a kernel reads.
#[derive(Debug)]
pub(crate) struct Activations {
    pub(crate) cols: usize,
    /// Elements per token: `cols` padded with zeros to whole vectors.
    pub(crate) stride: usize,
    pub(crate) values: Vec<i16>, // (token, stride)
    pub(crate) high: Vec<i8>,    // (token, stride)
    pub(crate) low: Vec<i8>,     // (token, stride)
    pub(crate) tokens: Vec<TokenScale>,
}

/// What goes with one token's vector.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TokenScale {
    pub(crate) scale: f32,
    /// Sums of the planes, for kernels that offset weights to unsigned.
    pub(crate) high_sum: i32,
    pub(crate) low_sum: i32,
}

/// Elements of the widest vector of bytes.
const PAD: usize = 64;

impl Activations {
    pub(crate) fn new(tokens: usize, cols: usize) -> Self {
        let stride = cols.next_multiple_of(PAD);
        let len = tokens * stride;
        Self {
            cols,
            stride,
            values: vec![0; len],
            high: vec![0; len],
            low: vec![0; len],
            tokens: vec![TokenScale::default(); tokens],
        }
    }

    /// The rows of the tokens, to be filled by tasks.
    pub(crate) fn rows(&mut self) -> impl super::pool::Parts<Part = RowParts<'_>> {
        use super::pool::chunks;
        let stride = self.stride;
        (
            chunks(&mut self.values, stride),
            chunks(&mut self.high, stride),
            chunks(&mut self.low, stride),
            chunks(&mut self.tokens, 1),
        )
    }
}

/// One token's row in pieces: 16-bit values, planes, scale.
pub(crate) type RowParts<'a> = (
    &'a mut [i16],
    &'a mut [i8],
    &'a mut [i8],
    &'a mut [TokenScale],
);

per_level! {
    /// [`ops::quantise_a15`] into a row.
    pub(crate) fn quantise(v: &[f32], row: RowParts<'_>) = quantise_body;
}
per_level! {
    /// [`ops::rms_norm`] followed by [`ops::quantise_a15`]; `scratch` has the length of `x`.
    pub(crate) fn norm_quantise(x: &[f32], gain: &[f32], eps: f32, scratch: &mut [f32], row: RowParts<'_>) = norm_quantise_body;
}
per_level! {
    /// [`ops::swiglu`] followed by [`ops::quantise_a15`]; the product replaces `gate`.
    pub(crate) fn swiglu_quantise(gate: &mut [f32], up: &[f32], row: RowParts<'_>) = swiglu_quantise_body;
}
per_level! {
    /// [`ops::geglu`] followed by [`ops::quantise_a15`]; the product replaces `gate`.
    pub(crate) fn geglu_quantise(gate: &mut [f32], up: &[f32], row: RowParts<'_>) = geglu_quantise_body;
}
per_level! {
    /// [`ops::norm_heads`] for one head.
    pub(crate) fn norm_head(head: &mut [f32], gain: &[f32], eps: f32) = norm_head_body;
}
per_level! {
    /// [`ops::rms_norm`] of `given`, added to `x`.
    pub(crate) fn norm_add(x: &mut [f32], given: &[f32], gain: &[f32], eps: f32) = norm_add_body;
}
per_level! {
    /// [`ops::layer_norm`] in place.
    pub(crate) fn layer_norm(x: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) = layer_norm_body;
}
per_level! {
    /// [`ops::add_to`] of a bias followed by [`ops::gelu`] and [`ops::quantise_a15`]; the result replaces `v`.
    pub(crate) fn gelu_quantise(v: &mut [f32], bias: &[f32], row: RowParts<'_>) = gelu_quantise_body;
}
per_level! {
    /// Adds the 16-bit copies of [`ops::mean_rows`] to the sums of a row's elements.
    pub(crate) fn sum_copies(x: &[f32], greatest: f32, sums: &mut [i64]) = sum_copies_body;
}
per_level! {
    /// [`ops::add_to`].
    pub(crate) fn add_to(x: &mut [f32], y: &[f32]) = add_to_body;
}
per_level! {
    /// [`ops::quantise_a8`]; returns the scale.
    pub(crate) fn quantise_a8(v: &[f32], out: &mut [i8]) -> f32 = quantise_a8_body;
}
per_level! {
    /// [`ops::rotate`].
    pub(crate) fn rotate(head: &mut [f32], layout: Rope, cos: &[f32], sin: &[f32]) = rotate_body;
}

/// [`ops::mean_rows`].
pub(crate) fn mean_rows(level: super::Level, rows: &[f32], dim: usize) -> Vec<f32> {
    let greatest = f32z::max_abs(rows);
    let mut sums = vec![0; dim];
    for row in rows.chunks_exact(dim) {
        sum_copies(level, row, greatest, &mut sums);
    }
    let factor = ops::mean_factor(greatest, rows.len() / dim);
    sums.into_iter()
        .map(|sum| mul(cvt64(sum), factor))
        .collect()
}

#[inline(always)]
fn quantise_body(v: &[f32], row: RowParts<'_>) {
    let (values, high, low, token) = row;
    let n = v.len();
    let (values, high, low) = (&mut values[..n], &mut high[..n], &mut low[..n]);
    let greatest = f32z::max_abs(v);
    if greatest == 0.0 {
        values.fill(0);
        high.fill(0);
        low.fill(0);
        token[0] = TokenScale::default();
        return;
    }
    let to_integer = div(cvt(A15_MAX), greatest);
    for (q, v) in values.iter_mut().zip(v) {
        *q = rne(mul(*v, to_integer)).clamp(-A15_MAX, A15_MAX) as i16;
    }
    let (mut high_sum, mut low_sum) = (0i32, 0i32);
    for ((q, h), l) in values.iter().zip(high.iter_mut()).zip(low.iter_mut()) {
        let upper = q.wrapping_add(64) >> 7;
        let lower = q.wrapping_sub(upper << 7);
        high_sum = high_sum.wrapping_add(i32::from(upper));
        low_sum = low_sum.wrapping_add(i32::from(lower));
        *h = upper as i8;
        *l = lower as i8;
    }
    token[0] = TokenScale {
        scale: div(greatest, cvt(A15_MAX)),
        high_sum,
        low_sum,
    };
}

/// The factor of RMSNorm before the gain; zero for a vector of zeros, whose norm is zero.
#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    let greatest = f32z::max_abs(x);
    if greatest == 0.0 {
        return 0.0;
    }
    let to_integer = div(32_767.0, greatest);
    let mut squares = 0u64;
    for v in x {
        let q = rne(mul(*v, to_integer)).clamp(-32_767, 32_767);
        squares = squares.wrapping_add(u64::from(q.wrapping_mul(q) as u32));
    }
    ops::inverse_rms(greatest, squares, x.len(), eps)
}

#[inline(always)]
fn norm_quantise_body(x: &[f32], gain: &[f32], eps: f32, scratch: &mut [f32], row: RowParts<'_>) {
    let inverse = inverse_rms(x, eps);
    for ((out, v), g) in scratch.iter_mut().zip(x).zip(gain) {
        *out = mul(mul(*v, inverse), *g);
    }
    quantise_body(scratch, row);
}

#[inline(always)]
fn norm_head_body(head: &mut [f32], gain: &[f32], eps: f32) {
    let inverse = inverse_rms(head, eps);
    for (v, g) in head.iter_mut().zip(gain) {
        *v = mul(mul(*v, inverse), *g);
    }
}

#[inline(always)]
fn norm_add_body(x: &mut [f32], given: &[f32], gain: &[f32], eps: f32) {
    let inverse = inverse_rms(given, eps);
    for ((x, v), g) in x.iter_mut().zip(given).zip(gain) {
        *x = add(*x, mul(mul(*v, inverse), *g));
    }
}

#[inline(always)]
fn layer_norm_body(x: &mut [f32], gain: &[f32], bias: &[f32], eps: f32) {
    let greatest = f32z::max_abs(x);
    let to_integer = copies_factor(greatest);
    let (mut sum, mut squares) = (0i64, 0u64);
    for v in x.iter() {
        let q = rne(mul(*v, to_integer)).clamp(-32_767, 32_767);
        sum = sum.wrapping_add(i64::from(q));
        squares = squares.wrapping_add(u64::from(q.wrapping_mul(q) as u32));
    }
    let (mean, inverse) = ops::centre(greatest, sum, squares, x.len(), eps);
    for ((v, g), b) in x.iter_mut().zip(gain).zip(bias) {
        *v = add(mul(mul(sub(*v, mean), inverse), *g), *b);
    }
}

/// What makes 16-bit copies of elements up to `greatest`; zero for zeros.
#[inline(always)]
fn copies_factor(greatest: f32) -> f32 {
    match greatest == 0.0 {
        true => 0.0,
        false => div(32_767.0, greatest),
    }
}

#[inline(always)]
fn gelu_quantise_body(v: &mut [f32], bias: &[f32], row: RowParts<'_>) {
    for (v, b) in v.iter_mut().zip(bias) {
        let x = add(*v, *b);
        *v = mul(x, normal(x));
    }
    quantise_body(v, row);
}

#[inline(always)]
fn sum_copies_body(x: &[f32], greatest: f32, sums: &mut [i64]) {
    let to_integer = copies_factor(greatest);
    for (sum, v) in sums.iter_mut().zip(x) {
        let q = rne(mul(*v, to_integer)).clamp(-32_767, 32_767);
        *sum = sum.wrapping_add(i64::from(q));
    }
}

#[inline(always)]
fn add_to_body(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x = add(*x, *y);
    }
}

#[inline(always)]
fn swiglu_quantise_body(gate: &mut [f32], up: &[f32], row: RowParts<'_>) {
    for (g, u) in gate.iter_mut().zip(up) {
        *g = mul(silu(*g), *u);
    }
    quantise_body(gate, row);
}

#[inline(always)]
fn geglu_quantise_body(gate: &mut [f32], up: &[f32], row: RowParts<'_>) {
    for (g, u) in gate.iter_mut().zip(up) {
        *g = mul(mul(*g, sigmoid(f32z::gelu_inner(*g))), *u);
    }
    quantise_body(gate, row);
}

#[inline(always)]
fn quantise_a8_body(v: &[f32], out: &mut [i8]) -> f32 {
    let greatest = f32z::max_abs(v);
    if greatest == 0.0 {
        out.fill(0);
        return 0.0;
    }
    let to_integer = div(cvt(A8_MAX), greatest);
    for (q, v) in out.iter_mut().zip(v) {
        *q = rne(mul(*v, to_integer)).clamp(-A8_MAX, A8_MAX) as i8;
    }
    div(greatest, cvt(A8_MAX))
}

#[inline(always)]
fn rotate_body(head: &mut [f32], layout: Rope, cos: &[f32], sin: &[f32]) {
    match layout {
        Rope::Interleaved => {
            for ((pair, c), s) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
                let (a, b) = (pair[0], pair[1]);
                pair[0] = sub(mul(a, *c), mul(b, *s));
                pair[1] = add(mul(a, *s), mul(b, *c));
            }
        }
        Rope::HalfSplit => {
            let (first, second) = head.split_at_mut(head.len() / 2);
            for (((a, b), c), s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*a, *b) = (sub(mul(*a, *c), mul(*b, *s)), add(mul(*a, *s), mul(*b, *c)));
            }
        }
    }
}

/// [`f32z::exp2n`] for t in 0..=64, without inner clamps: t is zero or at least 2^-100, so the fraction needs none; a product too small for
/// F32Z is added to a coefficient of at least 2^-13, which swallows it whether it is flushed or not; the sum stays in 0.7..1.5.
#[inline(always)]
pub(crate) fn exp2n(t: f32) -> f32 {
    let n = rne(t);
    let f = cvt(n) - t;
    let mut p = f32::from_bits(f32z::EXP2_COEFFICIENTS[0]);
    for c in &f32z::EXP2_COEFFICIENTS[1..] {
        p = p * f + f32::from_bits(*c);
    }
    f32::from_bits(p.to_bits().wrapping_sub((n as u32) << 23))
}

/// [`f32z::silu`].
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    mul(x, sigmoid(x))
}

/// [`f32z::sigmoid`] without clamps: the scaled magnitude is cut at 64 anyway, and everything between stays in 2^-65..2.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let t = f32::from_bits(abs_bits(x)) * LOG2_E;
    let t = if abs_bits(t) > 0x4280_0000 { 64.0 } else { t };
    let e = exp2n(t);
    let d = 1.0 + e;
    let mut y = f32::from_bits(f32z::RECIP_SEED_BITS) - d * 0.5;
    for _ in 0..3 {
        y *= 2.0 - d * y;
    }
    if x.to_bits() >> 31 != 0 { e * y } else { y }
}

/// [`f32z::normal`] without clamps: the magnitude is cut at 8, so every value between is zero or within 2^-60..4, and a product that is
/// smaller is added to something that swallows it or is the exponent of a power that is one all the same.
#[inline(always)]
pub(crate) fn normal(x: f32) -> f32 {
    let far = abs_bits(x) > f32z::NORMAL_REACH_BITS;
    let u = if far {
        8.0
    } else {
        f32::from_bits(abs_bits(x))
    };
    let d = 1.0 + u * f32::from_bits(f32z::NORMAL_SLOPE_BITS);
    let scale = if d > 2.0 { 0.5 } else { 1.0 };
    let d = d * scale;
    let mut t = f32::from_bits(f32z::RECIP_SEED_BITS) - d * 0.5;
    for _ in 0..3 {
        t *= 2.0 - d * t;
    }
    t *= scale;
    let mut p = f32::from_bits(f32z::NORMAL_COEFFICIENTS[0]);
    for c in &f32z::NORMAL_COEFFICIENTS[1..] {
        p = p * t + f32::from_bits(*c);
    }
    let e = exp2n(u * u * f32::from_bits(f32z::HALF_LOG2_E_BITS));
    let tail = if far { 0.0 } else { p * t * e };
    if x.to_bits() >> 31 != 0 {
        tail
    } else {
        1.0 - tail
    }
}
