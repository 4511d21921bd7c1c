//! Wasm SIMD128: 16-bit activations times widened weights; `i32x4.dot_i16x8_s` adds the products of two columns exactly in 32 bits.
//!
//! As [`super::avx2`] with vectors of half the width: rows straight from the matrix for few tokens, regrouped by pairs of columns for more, lanes
//! emptied into binary64 before they can overflow. No relaxed instruction is used, so every engine computes the same.

use core::{arch::wasm32::*, cell::RefCell};
use std::thread_local;

use super::{
    maps::Activations,
    matmul::{Block, Write, vectors},
};
use crate::f32z::{MAX_BITS, MIN_BITS};

pub(super) mod attention;

/// From this many tokens on, regrouping rows costs less than it saves.
const TOKENS_PACKED: usize = 8;
/// Tokens of one tile: eight accumulators, so that machines with 16 vector registers keep all in them.
const TOKENS_TILE: usize = 4;
/// Rows that are regrouped together.
const ROWS_PACKED: usize = 8;
/// Columns per emptying of the lanes that are rows: one pair of products each two columns, and 16,319 * 127 * 1,024 < 2^31.
const SPAN_PACKED: usize = 1_024;
/// Tokens that share one pass over a row.
const TOKENS_DIRECT: usize = 4;
/// Rows whose sums are finished together.
const ROWS_DIRECT: usize = 8;
/// Columns per emptying of the lanes that are columns: one pair of products in 16 columns, and 512 * 2 * 16,319 * 127 < 2^31.
const SPAN_DIRECT: usize = 8_192;

thread_local! {
    /// Regrouped weights: (pair of columns, row, column in pair).
    static PACKED: RefCell<Vec<i8>> = const { RefCell::new(Vec::new()) };
}

/// Computes a block of rows for the first `tokens` tokens.
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
                _ => (),
            }
        }
    });
}

/// Up to eight rows times `T` tokens, straight from the matrix.
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
            let mut lanes = [[i32x4_splat(0); 2]; T];
            let mut col = start;
            while col + 16 <= end {
                // SAFETY: 16 weights follow.
                let w = unsafe { v128_load(line.as_ptr().add(col).cast()) };
                step(&mut lanes, &values, col, w);
                col += 16;
            }
            if col < end {
                step(&mut lanes, &values, col, load_weights(line, col));
            }
            for (sums, [low, high]) in sums.iter_mut().zip(lanes) {
                sums[r] += wide_sum(low) + wide_sum(high);
            }
        }
    }
    for (t, sums) in sums.iter().enumerate() {
        block.finish(token + t, row, x.tokens[token + t].scale, &sums[..rows]);
    }
}

/// Sixteen columns of a row times those of every token.
#[inline(always)]
fn step<const T: usize>(
    lanes: &mut [[v128; 2]; T],
    values: &[&[i16]; T],
    col: usize,
    weights: v128,
) {
    let low = i16x8_extend_low_i8x16(weights);
    let high = i16x8_extend_high_i8x16(weights);
    for t in 0..T {
        let part = &values[t][col..col + 16];
        // SAFETY: 32 bytes lie in `part`.
        let (a, b) = unsafe {
            (
                v128_load(part.as_ptr().cast()),
                v128_load(part.as_ptr().add(8).cast()),
            )
        };
        lanes[t][0] = i32x4_add(lanes[t][0], i32x4_dot_i16x8(a, low));
        lanes[t][1] = i32x4_add(lanes[t][1], i32x4_dot_i16x8(b, high));
    }
}

/// The exact sum of four lanes.
#[inline(always)]
fn wide_sum(lanes: v128) -> i64 {
    let two = i64x2_add(
        i64x2_extend_low_i32x4(lanes),
        i64x2_extend_high_i32x4(lanes),
    );
    i64x2_extract_lane::<0>(two) + i64x2_extract_lane::<1>(two)
}

/// Sixteen weights, zeros beyond the row.
#[inline]
fn load_weights(row: &[i8], col: usize) -> v128 {
    let mut padded = [0i8; 16];
    let part: &[i8] = match row.get(col..col + 16) {
        Some(part) => part,
        None => {
            padded[..row.len() - col].copy_from_slice(&row[col..]);
            &padded
        }
    };
    // SAFETY: 16 bytes lie in `part`.
    unsafe { v128_load(part.as_ptr().cast()) }
}

/// Regroups up to eight rows so that a vector holds two columns of each; what is beyond the block's rows is dropped later.
fn pack(block: &Block<'_>, cols: usize, row: usize, out: &mut [i8]) {
    let lines: [&[i8]; ROWS_PACKED] = block.lines(cols, row);
    let groups = out.chunks_exact_mut(16 * ROWS_PACKED);
    for (col, out) in (0..cols).step_by(16).zip(groups) {
        let pairs = transpose(lines.map(|line| load_weights(line, col)));
        for (out, pair) in out.chunks_exact_mut(2 * ROWS_PACKED).zip(pairs) {
            // SAFETY: 16 bytes lie in `out`.
            unsafe { v128_store(out.as_mut_ptr().cast(), pair) };
        }
    }
}

/// Transposes 8 x 8 groups of two bytes.
#[inline]
fn transpose(v: [v128; 8]) -> [v128; 8] {
    let mut twos = v;
    for i in 0..4 {
        let (a, b) = (v[2 * i], v[2 * i + 1]);
        twos[2 * i] = i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(a, b);
        twos[2 * i + 1] = i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(a, b);
    }
    // fours[4i + j]: columns 2j and 2j + 1 of rows 4i..4i + 4.
    let mut fours = twos;
    for i in 0..2 {
        for j in 0..2 {
            let (a, b) = (twos[4 * i + j], twos[4 * i + 2 + j]);
            fours[4 * i + 2 * j] = i32x4_shuffle::<0, 4, 1, 5>(a, b);
            fours[4 * i + 2 * j + 1] = i32x4_shuffle::<2, 6, 3, 7>(a, b);
        }
    }
    let mut out = fours;
    for j in 0..4 {
        out[2 * j] = i64x2_shuffle::<0, 2>(fours[j], fours[4 + j]);
        out[2 * j + 1] = i64x2_shuffle::<1, 3>(fours[j], fours[4 + j]);
    }
    out
}

/// Eight rows, regrouped, times `T` tokens.
fn tile<const T: usize>(
    block: &Block<'_>,
    x: &Activations,
    row: usize,
    token: usize,
    packed: &[i8],
) {
    let values: [&[i16]; T] = vectors(&x.values, x.stride, token);
    let mut sums = [[f64x2_splat(0.0); 4]; T];
    for start in (0..x.cols).step_by(SPAN_PACKED) {
        let end = x.cols.min(start + SPAN_PACKED);
        let lanes = pair_sums(packed, &values, start / 2, end.div_ceil(2));
        for (sums, lanes) in sums.iter_mut().zip(lanes) {
            for half in 0..2 {
                let upper = i32x4_shuffle::<2, 3, 0, 1>(lanes[half], lanes[half]);
                let (low, high) = (
                    f64x2_convert_low_i32x4(lanes[half]),
                    f64x2_convert_low_i32x4(upper),
                );
                sums[2 * half] = f64x2_add(sums[2 * half], low);
                sums[2 * half + 1] = f64x2_add(sums[2 * half + 1], high);
            }
        }
    }
    for (t, sums) in sums.iter().enumerate() {
        let scale = x.tokens[token + t].scale;
        store(block, token + t, row, [sums[0], sums[1]], scale);
        store(block, token + t, row + 4, [sums[2], sums[3]], scale);
    }
}

/// Sums over pairs of columns from `start` to `end`, at most [`SPAN_PACKED`] columns; lanes are rows.
#[inline]
fn pair_sums<const T: usize>(
    packed: &[i8],
    values: &[&[i16]; T],
    start: usize,
    end: usize,
) -> [[v128; 2]; T] {
    assert!(
        packed.len() >= end * 2 * ROWS_PACKED && values.iter().all(|v| v.len() >= end * 2),
        "BUG: too few regrouped weights or activations"
    );
    let mut lanes = [[i32x4_splat(0); 2]; T];
    for pair in start..end {
        // SAFETY: 16 bytes of weights follow for every pair below `end`, checked above.
        let (low, high) = unsafe {
            let at = packed.as_ptr().add(pair * 2 * ROWS_PACKED);
            (
                i16x8_load_extend_i8x8(at),
                i16x8_load_extend_i8x8(at.add(8)),
            )
        };
        for t in 0..T {
            // SAFETY: two activations follow for every pair below `end`, checked above.
            let v = unsafe { v128_load32_splat(values[t].as_ptr().add(2 * pair).cast()) };
            lanes[t][0] = i32x4_add(lanes[t][0], i32x4_dot_i16x8(low, v));
            lanes[t][1] = i32x4_add(lanes[t][1], i32x4_dot_i16x8(high, v));
        }
    }
    lanes
}

/// Rounds and scales exact sums of up to four rows and writes them; rows beyond the block are dropped.
#[inline]
fn store(block: &Block<'_>, token: usize, row: usize, sums: [v128; 2], scale: f32) {
    let rows = block.scales.len().saturating_sub(row).min(4);
    if rows == 0 {
        return;
    }
    if rows < 4 {
        let sums = [
            f64x2_extract_lane::<0>(sums[0]) as i64,
            f64x2_extract_lane::<1>(sums[0]) as i64,
            f64x2_extract_lane::<0>(sums[1]) as i64,
            f64x2_extract_lane::<1>(sums[1]) as i64,
        ];
        return block.finish(token, row, scale, &sums[..rows]);
    }
    let rounded = i64x2_shuffle::<0, 2>(
        f32x4_demote_f64x2_zero(sums[0]),
        f32x4_demote_f64x2_zero(sums[1]),
    );
    let scales = &block.scales[row..row + 4];
    // SAFETY: four scales lie in `scales`.
    let scales = unsafe { v128_load(scales.as_ptr().cast()) };
    let factor = z(f32x4_mul(f32x4_splat(scale), scales));
    let mut y = z(f32x4_mul(rounded, factor));
    // SAFETY: four rows are left in this block, callers stay below the token count, and the borrow ends with this function.
    unsafe {
        let out = block.outputs(token, row, 4);
        if block.write() == Write::Add {
            y = z(f32x4_add(v128_load(out.as_ptr().cast()), y));
        }
        v128_store(out.as_mut_ptr().cast(), y);
    }
}

/// [`crate::f32z::z`] in every lane.
#[inline]
fn z(r: v128) -> v128 {
    let sign = u32x4_splat(1 << 31);
    let magnitude = v128_andnot(r, sign);
    let bounded = i32x4_min(magnitude, u32x4_splat(MAX_BITS));
    let kept = i32x4_ge(magnitude, u32x4_splat(MIN_BITS));
    v128_and(v128_bitselect(r, bounded, sign), kept)
}
