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
    f32z::{self, abs_bits, cvt, cvt64, div, mul, rne, sub},
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
        value_top = part.value_scales[inside]
            .iter()
            .fold(value_top, |m, s| m.max(abs_bits(*s)));
    }
    let (top, value_top) = (f32z::from_order(top), f32::from_bits(value_top));
    if value_top == 0.0 {
        out.fill(0.0);
        return;
    }

    let (dims, mut total) = (head.dims(), 0);
    for sums in [&mut *out_high, &mut *out_low] {
        sums.clear();
        sums.resize(2 * dims, 0); // of all pages so far, then of one
    }
    for page in pieces(begin..end) {
        let (part, piece) = (head.part(page.index), page.within.clone());
        let inside = page.seen(&seen);
        let of_weights = inside.start - piece.start..inside.end - piece.start;
        let from = page.index * PAGE + inside.start - seen.start;
        for plane in [&mut *high, &mut *low] {
            plane.clear();
            plane.resize(piece.len(), 0);
        }
        total += weights(
            level,
            &scores[from..from + inside.len()],
            &part.value_scales[inside],
            top,
            value_top,
            &mut high[of_weights.clone()],
            &mut low[of_weights],
        );
        let (all_high, one_high) = out_high.split_at_mut(dims);
        let (all_low, one_low) = out_low.split_at_mut(dims);
        let values = &part.values[piece.start * dims..piece.end * dims];
        weigh(level, high, low, values, dims, one_high, one_low);
        for (all, one) in [(all_high, one_high), (all_low, one_low)] {
            for (all, one) in all.iter_mut().zip(one) {
                *all = all.wrapping_add(*one);
            }
        }
    }
    let factor = ops::value_factor(total, value_top);
    for ((out, h), l) in out.iter_mut().zip(out_high).zip(out_low) {
        *out = mul(cvt64(128 * i64::from(*h) + i64::from(*l)), factor);
    }
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
        // SAFETY: the level exists, so AVX2 was detected.
        Kind::Avx2 => unsafe { super::avx2::attention::scores(query, keys, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level exists, so the AVX-512 features were detected.
        Kind::Avx512 => unsafe { super::avx512::scores(query, keys, out) },
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
        // SAFETY: the level exists, so AVX2 was detected.
        Kind::Avx2 => unsafe {
            super::avx2::attention::weigh(high, low, values, dims, out_high, out_low)
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level exists, so the AVX-512 features were detected.
        Kind::Avx512 => unsafe { super::avx512::weigh(high, low, values, dims, out_high, out_low) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: the level exists, so NEON was detected.
        Kind::Neon => unsafe {
            super::neon::attention::weigh(high, low, values, dims, out_high, out_low)
        },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: the level exists, so NEON and its dot products were detected.
        Kind::NeonDot => unsafe {
            super::neon::attention::weigh_dot(high, low, values, dims, out_high, out_low)
        },
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Kind::Simd128 => super::wasm::attention::weigh(high, low, values, dims, out_high, out_low),
        Kind::Portable => portable_weigh(level, high, low, values, dims, out_high, out_low),
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
