//! Attention over keys and values that lie as [`super::pages`] says.
//!
//! Sums over positions are exact integers, so it does not matter that they are taken page by page.

use std::ops::Range;

use super::{
    Kind, Level,
    pages::{Head, PAGE},
    per_level,
};
use crate::{
    f32z::{self, cvt, div, mul, rne},
    ops,
};

/// Positions that share a block of keys.
pub(crate) const BLOCK: usize = 16;

/// A quantised query, whole and in planes, padded to groups of four.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) values: Vec<i16>,
    pub(crate) high: Vec<i8>,
    pub(crate) low: Vec<i8>,
    pub(crate) high_sum: i32,
    pub(crate) low_sum: i32,
}

/// What one thread needs while it attends.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    query: Query,
    sums: Vec<i32>,     // (position), of a page
    scores: Vec<f32>,   // (position)
    weights: Vec<i16>,  // (position), of a page
    weighted: Vec<i32>, // (dim), of a page
    total: Vec<f64>,    // (dim)
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
    let scale = mul(scratch.quantise(level, query), factor);
    let Scratch {
        query,
        sums,
        scores,
        weights,
        weighted,
        total,
    } = scratch;
    scores.resize(seen.len(), 0.0);
    let per_position = query.high.len();

    let (mut top, mut value_top) = (i32::MIN, 0);
    for page in pieces(begin..end) {
        let (part, piece) = (head.part(page.index), page.within.clone());
        sums.resize(piece.len(), 0);
        let keys = &part.keys[piece.start * per_position..piece.end * per_position];
        integer_scores(level, query, keys, sums);
        // What is seen of this piece: in the page, in the piece, and among all that is seen.
        let inside = page.seen(&seen);
        let of_sums = inside.start - piece.start..inside.end - piece.start;
        let from = page.index * PAGE + inside.start - seen.start;
        let best = scale_scores(
            level,
            &sums[of_sums],
            &part.key_scales[inside.clone()],
            scale,
            &mut scores[from..from + inside.len()],
        );
        top = top.max(f32z::order(best));
        value_top = value_top.max(greatest(level, &part.value_scales[inside]));
    }
    let (top, value_top) = (f32z::from_order(top), f32::from_bits(value_top as u32));
    if value_top == 0.0 {
        out.fill(0.0);
        return;
    }

    let (dims, mut shares) = (head.dims(), 0);
    weighted.resize(dims, 0);
    total.clear();
    total.resize(dims, 0.0);
    for page in pieces(begin..end) {
        let (part, piece) = (head.part(page.index), page.within.clone());
        let inside = page.seen(&seen);
        let of_weights = inside.start - piece.start..inside.end - piece.start;
        let from = page.index * PAGE + inside.start - seen.start;
        weights.clear();
        weights.resize(piece.len(), 0);
        shares += weigh_positions(
            level,
            &scores[from..from + inside.len()],
            &part.value_scales[inside],
            top,
            value_top,
            &mut weights[of_weights],
        );
        let values = &part.values[piece.start * dims..piece.end * dims];
        weigh(level, weights, values, dims, weighted);
        add_page(level, weighted, total);
    }
    scale_total(level, total, ops::value_factor(shares, value_top), out);
}

/// The part of a range of positions that lies in one page.
struct Piece {
    index: usize,
    /// Positions in the page.
    within: Range<usize>,
}

impl Piece {
    /// Positions in the page that are in `seen` too.
    fn seen(&self, seen: &Range<usize>) -> Range<usize> {
        let first = self.index * PAGE;
        self.within.start.max(seen.start.saturating_sub(first))
            ..self.within.end.min(seen.end - first)
    }
}

/// A range cut at the ends of pages.
fn pieces(range: Range<usize>) -> impl Iterator<Item = Piece> {
    (range.start / PAGE..range.end.div_ceil(PAGE)).map(move |index| {
        let first = index * PAGE;
        Piece {
            index,
            within: range.start.saturating_sub(first)..(range.end - first).min(PAGE),
        }
    })
}

impl Scratch {
    /// Quantises a query into the planes and returns its scale.
    fn quantise(&mut self, level: Level, query: &[f32]) -> f32 {
        let padded = query.len().next_multiple_of(4);
        // Cleared, so that the padding holds nothing of a wider head before.
        self.query.high.clear();
        self.query.high.resize(padded, 0);
        self.query.low.clear();
        self.query.low.resize(padded, 0);
        self.query.values.clear();
        self.query.values.resize(padded, 0);
        let mut token = [super::maps::TokenScale::default()];
        super::maps::quantise(
            level,
            query,
            (
                &mut self.query.values,
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
    /// Bits of the greatest of scales, none of which is negative.
    pub(crate) fn greatest(scales: &[f32]) -> i32 = greatest_body;
}
per_level! {
    /// 14-bit weights of the positions of a page; returns their sum in Q16 before they took up the scales of values.
    pub(crate) fn weigh_positions(scores: &[f32], value_scales: &[f32], top: f32, value_top: f32, weights: &mut [i16]) -> u64 = weigh_positions_body;
}
per_level! {
    /// Adds the sums of a page.
    pub(crate) fn add_page(sums: &[i32], total: &mut [f64]) = add_page_body;
}
per_level! {
    /// The result from exact sums.
    pub(crate) fn scale_total(total: &[f64], factor: f32, out: &mut [f32]) = scale_total_body;
}
per_level! {
    pub(crate) fn portable_scores(query: &Query, keys: &[u8], out: &mut [i32]) = scores_body;
}
per_level! {
    pub(crate) fn portable_weigh(weights: &[i16], values: &[i8], dims: usize, sums: &mut [i32]) = weigh_body;
}

/// Exact sums of a query with keys; they fit 32 bits for heads up to 1,036 wide.
pub(crate) fn integer_scores(level: Level, query: &Query, keys: &[u8], out: &mut [i32]) {
    match level.0 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level exists, so AVX2 was detected.
        Kind::Avx2 => unsafe { super::avx2::attention::scores(query, keys, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level exists, so the AVX-512 features were detected.
        Kind::Avx512 | Kind::Amx => unsafe { super::avx512::scores(query, keys, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: the level exists, so NEON was detected.
        Kind::Neon => unsafe { super::neon::attention::scores(query, keys, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: the level exists, so NEON and its dot products were detected.
        Kind::NeonDot => unsafe { super::neon::attention::scores_dot(query, keys, out) },
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Kind::Simd128 => super::wasm::attention::scores(query, keys, out),
        Kind::Portable => portable_scores(level, query, keys, out),
    }
}

/// Exact sums of values times weights for positions of one page: 16,383 * 127 * 64 < 2^31.
pub(crate) fn weigh(level: Level, weights: &[i16], values: &[i8], dims: usize, sums: &mut [i32]) {
    match level.0 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level exists, so AVX2 was detected.
        Kind::Avx2 => unsafe { super::avx2::attention::weigh(weights, values, dims, sums) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level exists, so the AVX-512 features were detected.
        Kind::Avx512 | Kind::Amx => unsafe { super::avx512::weigh(weights, values, dims, sums) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: the level exists, so NEON was detected.
        Kind::Neon => unsafe { super::neon::attention::weigh(weights, values, dims, sums) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: the level exists, so NEON and its dot products were detected.
        Kind::NeonDot => unsafe { super::neon::attention::weigh_dot(weights, values, dims, sums) },
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Kind::Simd128 => super::wasm::attention::weigh(weights, values, dims, sums),
        Kind::Portable => portable_weigh(level, weights, values, dims, sums),
    }
}

/// Weights of a page in two planes of seven bits, for kernels that multiply bytes.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
pub(super) fn planes(weights: &[i16]) -> [[u8; PAGE]; 2] {
    let [mut high, mut low] = [[0; PAGE]; 2];
    for ((w, h), l) in weights.iter().zip(&mut high).zip(&mut low) {
        *h = (w >> 7) as u8;
        *l = (w & 127) as u8;
    }
    [high, low]
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
fn greatest_body(scales: &[f32]) -> i32 {
    scales.iter().fold(0, |m, s| m.max(s.to_bits() as i32))
}

/// Without clamps: what they would change is above [`ops::SCORE_REACH`], or so small that the nearest integer is zero all the same.
#[inline(always)]
fn weigh_positions_body(
    scores: &[f32],
    value_scales: &[f32],
    top: f32,
    value_top: f32,
    weights: &mut [i16],
) -> u64 {
    // Shares of a page fit 32 bits together.
    const { assert!(PAGE << 16 < 1 << 31) };
    assert!(scores.len() <= PAGE, "BUG: more positions than a page has");
    let per_value = div(1.0, value_top);
    let mut shares = 0i32;
    for ((score, value_scale), weight) in scores.iter().zip(value_scales).zip(weights) {
        let below = top - *score;
        let near = below < ops::SCORE_REACH;
        let e = super::maps::exp2n(if near { below } else { 0.0 });
        let share = rne(e * 65_536.0);
        let whole = rne(e * (*value_scale * per_value) * 16_383.0).min(16_383);
        shares = shares.wrapping_add(if near { share } else { 0 });
        *weight = if near { whole as i16 } else { 0 };
    }
    shares as u64
}

/// Integers below 2^53 in binary64, so nothing is rounded.
#[inline(always)]
fn add_page_body(sums: &[i32], total: &mut [f64]) {
    for (total, sum) in total.iter_mut().zip(sums) {
        *total += f64::from(*sum);
    }
}

/// The conversion rounds the exact integer once, as [`f32z::cvt64`] does.
#[inline(always)]
fn scale_total_body(total: &[f64], factor: f32, out: &mut [f32]) {
    for (out, total) in out.iter_mut().zip(total) {
        *out = mul(*total as f32, factor);
    }
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
fn weigh_body(weights: &[i16], values: &[i8], dims: usize, sums: &mut [i32]) {
    sums.fill(0);
    for (values, weights) in values.chunks_exact(dims * 4).zip(weights.chunks_exact(4)) {
        if weights == [0; 4] {
            continue;
        }
        for (sum, v) in sums.iter_mut().zip(values.chunks_exact(4)) {
            for j in 0..4 {
                *sum = sum.wrapping_add(i32::from(weights[j]).wrapping_mul(i32::from(v[j])));
            }
        }
    }
}
