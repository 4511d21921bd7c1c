//! NEON with dot products: `sdot` adds four products of bytes to every 32-bit lane, so the two planes of activations are multiplied apart.
//!
//! The sum of a plane fits 32 bits and the planes are joined in 64. The intrinsics are not stable, so the instruction is written out.

use std::{
    arch::{aarch64::*, asm},
    cell::RefCell,
};

use super::{ROWS_DIRECT, ROWS_PACKED, load_rows, load_weights, store};
use crate::kernels::{
    maps::Activations,
    matmul::{Block, vectors},
};

/// From this many tokens on, regrouping rows costs less than it saves.
const TOKENS_PACKED: usize = 4;
/// Tokens of one tile: 16 accumulators, eight vectors of activations and two of weights.
const TOKENS_TILE: usize = 4;

thread_local! {
    /// Regrouped weights: (group of four columns, row, column in group).
    static PACKED: RefCell<Vec<i8>> = const { RefCell::new(Vec::new()) };
}

/// Computes a block of rows for the first `tokens` tokens.
#[target_feature(enable = "neon,dotprod")]
pub(in crate::kernels) fn block(block: &Block<'_>, x: &Activations, tokens: usize) {
    if tokens < TOKENS_PACKED {
        for row in (0..block.scales.len()).step_by(ROWS_DIRECT) {
            for token in 0..tokens {
                direct(block, x, row, token);
            }
        }
        return;
    }
    PACKED.with_borrow_mut(|packed| {
        packed.resize(ROWS_PACKED * x.stride, 0);
        for row in (0..block.scales.len()).step_by(ROWS_PACKED) {
            pack(block, x.cols, row, packed);
            let mut token = 0;
            while token + TOKENS_TILE <= tokens {
                tile::<TOKENS_TILE>(block, x, row, token, packed);
                token += TOKENS_TILE;
            }
            match tokens - token {
                1 => tile::<1>(block, x, row, token, packed),
                2 => tile::<2>(block, x, row, token, packed),
                3 => tile::<3>(block, x, row, token, packed),
                _ => (),
            }
        }
    });
}

/// Up to eight rows times one token, straight from the matrix.
#[target_feature(enable = "neon,dotprod")]
fn direct(block: &Block<'_>, x: &Activations, row: usize, token: usize) {
    let rows = ROWS_DIRECT.min(block.scales.len() - row);
    let cols = x.cols;
    let high = &x.high[token * x.stride..][..x.stride];
    let low = &x.low[token * x.stride..][..x.stride];
    let mut sums = [0i64; ROWS_DIRECT];
    let lines = block.weights[row * cols..(row + rows) * cols].chunks_exact(cols);
    for (line, sum) in lines.zip(&mut sums) {
        // Four accumulators per plane, so that an addition need not wait for the one before.
        let (mut highs, mut lows) = ([vdupq_n_s32(0); 4], [vdupq_n_s32(0); 4]);
        let mut col = 0;
        while col + 64 <= cols {
            for i in 0..4 {
                let at = col + 16 * i;
                // SAFETY: 64 weights follow, and as many activations.
                let (w, h, l) = unsafe {
                    (
                        vld1q_s8(line.as_ptr().add(at)),
                        vld1q_s8(high.as_ptr().add(at)),
                        vld1q_s8(low.as_ptr().add(at)),
                    )
                };
                highs[i] = dot(highs[i], w, h);
                lows[i] = dot(lows[i], w, l);
            }
            col += 64;
        }
        while col < cols {
            let w = load_weights(line, col);
            highs[0] = dot(highs[0], w, load_weights(high, col));
            lows[0] = dot(lows[0], w, load_weights(low, col));
            col += 16;
        }
        *sum = 128 * i64::from(all_lanes(highs)) + i64::from(all_lanes(lows));
    }
    block.finish(token, row, x.tokens[token].scale, &sums[..rows]);
}

/// The sum of all lanes; wraps, but the sum of a plane does not.
#[inline]
#[target_feature(enable = "neon")]
fn all_lanes(v: [int32x4_t; 4]) -> i32 {
    let [a, b, c, d] = v;
    vaddvq_s32(vaddq_s32(vaddq_s32(a, b), vaddq_s32(c, d)))
}

/// Regroups up to eight rows so that the weights of four columns lie together.
#[target_feature(enable = "neon,dotprod")]
fn pack(block: &Block<'_>, cols: usize, row: usize, out: &mut [i8]) {
    let groups = out.chunks_exact_mut(16 * ROWS_PACKED);
    for (col, out) in (0..cols).step_by(16).zip(groups) {
        let lines = load_rows(block, cols, row, col);
        for half in 0..2 {
            let mut v = [vdupq_n_s32(0); 4];
            for r in 0..4 {
                v[r] = vreinterpretq_s32_s8(lines[4 * half + r]);
            }
            // Rows of two groups, then of one.
            let (a, b) = (vzip1q_s32(v[0], v[2]), vzip1q_s32(v[1], v[3]));
            let (c, d) = (vzip2q_s32(v[0], v[2]), vzip2q_s32(v[1], v[3]));
            let groups = [
                vzip1q_s32(a, b),
                vzip2q_s32(a, b),
                vzip1q_s32(c, d),
                vzip2q_s32(c, d),
            ];
            for (i, group) in groups.into_iter().enumerate() {
                let at = 4 * ROWS_PACKED * i + 16 * half;
                // SAFETY: 128 bytes lie in `out`.
                unsafe { vst1q_s8(out.as_mut_ptr().add(at), vreinterpretq_s8_s32(group)) };
            }
        }
    }
}

/// Eight rows, regrouped, times `T` tokens.
#[target_feature(enable = "neon,dotprod")]
fn tile<const T: usize>(
    block: &Block<'_>,
    x: &Activations,
    row: usize,
    token: usize,
    packed: &[i8],
) {
    let highs: [&[i8]; T] = vectors(&x.high, x.stride, token);
    let lows: [&[i8]; T] = vectors(&x.low, x.stride, token);
    let end = x.cols.next_multiple_of(16);
    assert!(
        packed.len() >= end * ROWS_PACKED && end <= x.stride,
        "BUG: too few regrouped weights or activations"
    );
    let mut high = [[vdupq_n_s32(0); 2]; T];
    let mut low = [[vdupq_n_s32(0); 2]; T];
    for col in (0..end).step_by(16) {
        let (mut h, mut l) = ([vdupq_n_s8(0); T], [vdupq_n_s8(0); T]);
        for t in 0..T {
            // SAFETY: 16 bytes of either plane follow, checked above.
            unsafe {
                h[t] = vld1q_s8(highs[t].as_ptr().add(col));
                l[t] = vld1q_s8(lows[t].as_ptr().add(col));
            }
        }
        // SAFETY: 16 columns of eight rows follow, checked above.
        let at = unsafe { packed.as_ptr().add(col * ROWS_PACKED) };
        macro_rules! group {
            ($($lane:literal)*) => {$(
                for half in 0..2 {
                    // SAFETY: as above.
                    let w = unsafe { vld1q_s8(at.add($lane * 4 * ROWS_PACKED + 16 * half)) };
                    for t in 0..T {
                        high[t][half] = dot_lane::<$lane>(high[t][half], w, h[t]);
                        low[t][half] = dot_lane::<$lane>(low[t][half], w, l[t]);
                    }
                }
            )*};
        }
        group!(0 1 2 3);
    }
    for t in 0..T {
        for half in 0..2 {
            let scale = x.tokens[token + t].scale;
            let sums = joined(high[t][half], low[t][half]);
            store(block, token + t, row + 4 * half, sums, scale);
        }
    }
}

/// `128 * high + low` in 64 bits.
#[inline]
#[target_feature(enable = "neon")]
fn joined(high: int32x4_t, low: int32x4_t) -> [int64x2_t; 2] {
    [
        vaddw_s32(vshll_n_s32::<7>(vget_low_s32(high)), vget_low_s32(low)),
        vaddw_high_s32(vshll_high_n_s32::<7>(high), low),
    ]
}

/// Adds four products of bytes to every lane.
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub(super) fn dot(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction only reads and writes these registers, and this function has its feature.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// Adds to every lane four products with the bytes of one lane of `b`.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot_lane<const LANE: usize>(mut sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction only reads and writes these registers, and this function has its feature.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.4b[{lane}]",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}
