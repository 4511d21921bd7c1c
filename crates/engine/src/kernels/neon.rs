//! NEON: the plain kernels, which every 64-bit Arm processor runs, and what they share with those that use dot products ([`dot`]).
//!
//! 16-bit activations times widened weights, summed in 32 bits and emptied into 64 before a lane can overflow. For few tokens rows are read
//! straight from the matrix and lanes are columns; for more, eight rows at a time are regrouped by columns, so that lanes are rows.

use std::{arch::aarch64::*, cell::RefCell};

use super::{
    maps::Activations,
    matmul::{Block, Write, vectors},
};
use crate::f32z::{MAX_BITS, MIN_BITS};

pub(super) mod attention;
pub(super) mod dot;

/// From this many tokens on, regrouping rows costs less than it saves.
const TOKENS_PACKED: usize = 8;
/// Tokens of one tile: 12 accumulators and a vector of activations for each token.
const TOKENS_TILE: usize = 6;
/// Rows that are regrouped together.
const ROWS_PACKED: usize = 8;
/// Columns per emptying of the lanes that are rows: 16,319 * 127 * 1,024 < 2^31.
const SPAN_PACKED: usize = 1_024;
/// Tokens that share one pass over a row.
const TOKENS_DIRECT: usize = 4;
/// Rows whose sums are finished together.
const ROWS_DIRECT: usize = 8;
/// Columns per emptying of the lanes that are columns: every lane takes two products in 16 columns, and 16,319 * 127 * 1,024 < 2^31.
const SPAN_DIRECT: usize = 8_192;

thread_local! {
    /// Regrouped weights: (column, row).
    static PACKED: RefCell<Vec<i8>> = const { RefCell::new(Vec::new()) };
}

/// Computes a block of rows for the first `tokens` tokens.
#[target_feature(enable = "neon")]
pub(super) fn block(block: &Block<'_>, x: &Activations, tokens: usize) {
    if tokens < TOKENS_PACKED {
        for row in (0..block.scales.len()).step_by(ROWS_DIRECT) {
            for token in (0..tokens).step_by(TOKENS_DIRECT) {
                match tokens - token {
                    1 => direct::<1>(block, x, row, token),
                    2 => direct::<2>(block, x, row, token),
                    3 => direct::<3>(block, x, row, token),
                    _ => direct::<TOKENS_DIRECT>(block, x, row, token),
                }
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
                4 => tile::<4>(block, x, row, token, packed),
                5 => tile::<5>(block, x, row, token, packed),
                _ => (),
            }
        }
    });
}

/// Up to eight rows times `T` tokens, straight from the matrix.
#[target_feature(enable = "neon")]
fn direct<const T: usize>(block: &Block<'_>, x: &Activations, row: usize, token: usize) {
    let rows = ROWS_DIRECT.min(block.scales.len() - row);
    let cols = x.cols;
    let values: [&[i16]; T] = vectors(&x.values, x.stride, token);
    let mut sums = [[0i64; ROWS_DIRECT]; T];
    let lines = block.weights[row * cols..(row + rows) * cols].chunks_exact(cols);
    for (r, line) in lines.enumerate() {
        for start in (0..cols).step_by(SPAN_DIRECT) {
            let end = cols.min(start + SPAN_DIRECT);
            // Two accumulators per token, so that an addition need not wait for the one before.
            let mut lanes = [[vdupq_n_s32(0); 2]; T];
            let mut col = start;
            while col + 16 <= end {
                // SAFETY: 16 weights follow.
                let w = unsafe { vld1q_s8(line.as_ptr().add(col)) };
                step(&mut lanes, &values, col, w);
                col += 16;
            }
            if col < end {
                step(&mut lanes, &values, col, load_weights(line, col));
            }
            for (sums, [low, high]) in sums.iter_mut().zip(lanes) {
                sums[r] += vaddlvq_s32(low) + vaddlvq_s32(high);
            }
        }
    }
    for (t, sums) in sums.iter().enumerate() {
        block.finish(token + t, row, x.tokens[token + t].scale, &sums[..rows]);
    }
}

/// Sixteen columns of a row times those of every token.
#[inline]
#[target_feature(enable = "neon")]
fn step<const T: usize>(
    lanes: &mut [[int32x4_t; 2]; T],
    values: &[&[i16]; T],
    col: usize,
    weights: int8x16_t,
) {
    let (low, high) = (vmovl_s8(vget_low_s8(weights)), vmovl_high_s8(weights));
    for t in 0..T {
        let part = &values[t][col..col + 16];
        // SAFETY: 16 values lie in `part`.
        let (a, b) = unsafe { (vld1q_s16(part.as_ptr()), vld1q_s16(part.as_ptr().add(8))) };
        let sum = vmlal_s16(lanes[t][0], vget_low_s16(a), vget_low_s16(low));
        lanes[t][0] = vmlal_high_s16(sum, a, low);
        let sum = vmlal_s16(lanes[t][1], vget_low_s16(b), vget_low_s16(high));
        lanes[t][1] = vmlal_high_s16(sum, b, high);
    }
}

/// Sixteen weights, zeros beyond the row.
#[inline]
#[target_feature(enable = "neon")]
fn load_weights(row: &[i8], col: usize) -> int8x16_t {
    let mut padded = [0i8; 16];
    let part: &[i8] = match row.get(col..col + 16) {
        Some(part) => part,
        None => {
            padded[..row.len() - col].copy_from_slice(&row[col..]);
            &padded
        }
    };
    // SAFETY: 16 bytes lie in `part`.
    unsafe { vld1q_s8(part.as_ptr()) }
}

/// The same 16 columns of up to eight rows from `row` on; missing rows repeat the last one, and their sums are dropped later.
#[inline]
#[target_feature(enable = "neon")]
fn load_rows(block: &Block<'_>, cols: usize, row: usize, col: usize) -> [int8x16_t; 8] {
    let mut loaded = [vdupq_n_s8(0); 8];
    for (loaded, line) in loaded.iter_mut().zip(block.lines::<8>(cols, row)) {
        *loaded = load_weights(line, col);
    }
    loaded
}

/// Regroups up to eight rows so that the weights of one column lie together.
#[target_feature(enable = "neon")]
fn pack(block: &Block<'_>, cols: usize, row: usize, out: &mut [i8]) {
    let groups = out.chunks_exact_mut(16 * ROWS_PACKED);
    for (col, out) in (0..cols).step_by(16).zip(groups) {
        let v = load_rows(block, cols, row, col);
        // Interleaving distances of four, two and one brings the rows in order.
        let mut fours = v;
        for i in 0..4 {
            fours[2 * i] = vzip1q_s8(v[i], v[i + 4]);
            fours[2 * i + 1] = vzip2q_s8(v[i], v[i + 4]);
        }
        let mut twos = fours;
        for i in 0..2 {
            for half in 0..2 {
                let (a, b) = (fours[2 * i + half], fours[2 * i + 4 + half]);
                twos[4 * i + 2 * half] = vzip1q_s8(a, b);
                twos[4 * i + 2 * half + 1] = vzip2q_s8(a, b);
            }
        }
        for quarter in 0..4 {
            let (a, b) = (twos[quarter], twos[4 + quarter]);
            // SAFETY: 128 bytes lie in `out`.
            unsafe {
                vst1q_s8(out.as_mut_ptr().add(32 * quarter), vzip1q_s8(a, b));
                vst1q_s8(out.as_mut_ptr().add(32 * quarter + 16), vzip2q_s8(a, b));
            }
        }
    }
}

/// Eight rows, regrouped, times `T` tokens.
#[target_feature(enable = "neon")]
fn tile<const T: usize>(
    block: &Block<'_>,
    x: &Activations,
    row: usize,
    token: usize,
    packed: &[i8],
) {
    let values: [&[i16]; T] = vectors(&x.values, x.stride, token);
    let mut sums = [[vdupq_n_s64(0); 4]; T];
    for start in (0..x.cols).step_by(SPAN_PACKED) {
        let end = x.cols.min(start + SPAN_PACKED).next_multiple_of(8);
        assert!(
            packed.len() >= end * ROWS_PACKED && end <= x.stride,
            "BUG: too few regrouped weights or activations"
        );
        let mut lanes = [[vdupq_n_s32(0); 2]; T];
        for col in (start..end).step_by(8) {
            let mut v = [vdupq_n_s16(0); T];
            for t in 0..T {
                // SAFETY: eight values follow, checked above.
                v[t] = unsafe { vld1q_s16(values[t].as_ptr().add(col)) };
            }
            // SAFETY: eight columns of eight rows follow, checked above.
            let at = unsafe { packed.as_ptr().add(col * ROWS_PACKED) };
            macro_rules! column {
                ($($lane:literal)*) => {$(
                    // SAFETY: as above.
                    let w = vmovl_s8(unsafe { vld1_s8(at.add($lane * ROWS_PACKED)) });
                    for t in 0..T {
                        lanes[t][0] = vmlal_laneq_s16::<$lane>(lanes[t][0], vget_low_s16(w), v[t]);
                        lanes[t][1] = vmlal_high_laneq_s16::<$lane>(lanes[t][1], w, v[t]);
                    }
                )*};
            }
            column!(0 1 2 3 4 5 6 7);
        }
        for t in 0..T {
            for half in 0..2 {
                let low = &mut sums[t][2 * half];
                *low = vaddw_s32(*low, vget_low_s32(lanes[t][half]));
                let high = &mut sums[t][2 * half + 1];
                *high = vaddw_high_s32(*high, lanes[t][half]);
            }
        }
    }
    for (t, sums) in sums.iter().enumerate() {
        let scale = x.tokens[token + t].scale;
        store(block, token + t, row, [sums[0], sums[1]], scale);
        store(block, token + t, row + 4, [sums[2], sums[3]], scale);
    }
}

/// Rounds and scales exact sums of up to four rows and writes them; rows beyond the block are dropped.
#[inline]
#[target_feature(enable = "neon")]
fn store(block: &Block<'_>, token: usize, row: usize, sums: [int64x2_t; 2], scale: f32) {
    let rows = block.scales.len().saturating_sub(row).min(4);
    if rows == 0 {
        return;
    }
    if rows < 4 {
        let sums = [
            vgetq_lane_s64::<0>(sums[0]),
            vgetq_lane_s64::<1>(sums[0]),
            vgetq_lane_s64::<0>(sums[1]),
            vgetq_lane_s64::<1>(sums[1]),
        ];
        return block.finish(token, row, scale, &sums[..rows]);
    }
    // Every sum is an integer below 2^53, so that only the second step rounds.
    let rounded = vcvt_high_f32_f64(vcvt_f32_f64(vcvtq_f64_s64(sums[0])), vcvtq_f64_s64(sums[1]));
    let scales = &block.scales[row..row + 4];
    // SAFETY: four scales lie in `scales`.
    let scales = unsafe { vld1q_f32(scales.as_ptr()) };
    let mut y = z(vmulq_f32(rounded, z(vmulq_n_f32(scales, scale))));
    // SAFETY: four rows are left in this block, callers stay below the token count, and the borrow ends with this function.
    unsafe {
        let out = block.outputs(token, row, 4);
        if block.write() == Write::Add {
            y = z(vaddq_f32(vld1q_f32(out.as_ptr()), y));
        }
        vst1q_f32(out.as_mut_ptr(), y);
    }
}

/// [`crate::f32z::z`] in every lane.
#[inline]
#[target_feature(enable = "neon")]
fn z(r: float32x4_t) -> float32x4_t {
    let bits = vreinterpretq_u32_f32(r);
    let sign = vdupq_n_u32(1 << 31);
    let magnitude = vbicq_u32(bits, sign);
    let bounded = vminq_u32(magnitude, vdupq_n_u32(MAX_BITS));
    let kept = vcgeq_u32(magnitude, vdupq_n_u32(MIN_BITS));
    vreinterpretq_f32_u32(vandq_u32(vbslq_u32(sign, bits, bounded), kept))
}
