//! Many tokens: Strassen's seven products of halves instead of eight (Numerische Mathematik 13, 1969), in integers.
//!
//! Rows, columns and tokens are halved, so weights are quadrants `w[row half][column half]` and activations `x[column half][token half]`.
//! A sum of two activations is at most 2 * 16,319, which is just below 2^15, and one of two weights at most 2 * 127, so all of them are
//! operands of `vpmaddwd`, once; a second level would not fit. Sums wrap: as the true sum of every output fits 32 bits, which is looked at
//! first, what is left after additions and subtractions modulo 2^32 is that sum.

use std::{
    arch::x86_64::*,
    cell::RefCell,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{ROWS_PACKED, TOKENS_TILE, load_scales, pack, store, tile};
use crate::kernels::{
    maps::Activations,
    matmul::Block,
    pool::{Pool, chunks},
};

/// Rows that are computed together: two halves.
pub(super) const ROWS: usize = 2 * ROWS_PACKED;
/// From this many tokens on, making operands costs less than the eighth product.
const TOKENS_MIN: usize = 24;
/// The greatest sum of magnitudes of a token for which no sum of products leaves 32 bits, whatever the weights.
const MAGNITUDES_MAX: u32 = (i32::MAX / 127) as u32;
/// Products of halves.
const PRODUCTS: usize = 7;

/// How a product goes into a quadrant of the output.
#[derive(Clone, Copy)]
enum Into {
    Set,
    Add,
    Take,
}

/// Where the products go: outputs of [first rows, first tokens], [first, second], [second, first], [second, second].
const TARGETS: [&[(usize, Into)]; PRODUCTS] = [
    &[(0, Into::Set), (3, Into::Set)],
    &[(2, Into::Set), (3, Into::Take)],
    &[(1, Into::Set), (3, Into::Add)],
    &[(0, Into::Add), (2, Into::Add)],
    &[(0, Into::Take), (1, Into::Add)],
    &[(3, Into::Add)],
    &[(0, Into::Add)],
];

/// Activations of many tokens as operands of the seven products.
pub(in crate::kernels) struct Operands {
    /// Tokens of a half.
    half: usize,
    /// Columns of a half.
    cols: usize,
    values: Vec<i16>, // (tile of a half, product, token of the tile, column of a half)
}

/// Memory of one thread for some rows.
#[derive(Default)]
struct Working {
    packed: [Vec<i8>; 2], // (half of rows): as `pack` leaves them
    weights: Vec<i16>,    // (pair of columns of a half, row, column in pair)
    sums: Vec<i32>,       // (quadrant, token of a half, row)
}

thread_local! {
    /// Memory for the operands that this thread hands to others.
    static VALUES: RefCell<Vec<i16>> = const { RefCell::new(Vec::new()) };
    static WORKING: RefCell<Working> = RefCell::default();
}

impl Operands {
    /// Makes operands of the first `tokens` tokens; none where that does not pay or some sum could leave 32 bits.
    pub(in crate::kernels) fn new(pool: &mut Pool, x: &Activations, tokens: usize) -> Option<Self> {
        if tokens < TOKENS_MIN {
            return None;
        }
        let (half, cols) = (tokens / 2, x.stride / 2);
        let mut values = VALUES.take();
        let (tiles, size) = (half.div_ceil(TOKENS_TILE), TOKENS_TILE * PRODUCTS * cols);
        values.resize(tiles * size, 0);
        let fits = AtomicBool::new(true);
        pool.for_each(tiles, chunks(&mut values, size), |tile, out| {
            for i in 0..TOKENS_TILE.min(half - tile * TOKENS_TILE) {
                let token = tile * TOKENS_TILE + i;
                let [first, second] =
                    [token, half + token].map(|t| &x.values[t * x.stride..][..x.stride]);
                // SAFETY: only blocks of this level come here, so AVX2 was detected.
                if !unsafe { combine(first, second, &mut out[i * cols..]) } {
                    fits.store(false, Ordering::Relaxed);
                }
            }
        });
        let operands = Self { half, cols, values };
        fits.into_inner().then_some(operands)
    }
}

impl Drop for Operands {
    fn drop(&mut self) {
        VALUES.set(std::mem::take(&mut self.values));
    }
}

/// The operands that a token of the first half and one of the second make; whether all sums of both fit 32 bits.
#[target_feature(enable = "avx2")]
fn combine(first: &[i16], second: &[i16], out: &mut [i16]) -> bool {
    let cols = first.len() / 2;
    let ((x00, x10), (x01, x11)) = (first.split_at(cols), second.split_at(cols));
    let mut outs = out
        .chunks_mut(TOKENS_TILE * cols)
        .map(|out| &mut out[..cols]);
    let mut next = || outs.next().expect("BUG: a row for each product");
    sum(next(), x00, x11);
    next().copy_from_slice(x00);
    difference(next(), x01, x11);
    difference(next(), x10, x00);
    next().copy_from_slice(x11);
    sum(next(), x00, x01);
    sum(next(), x10, x11);
    [first, second]
        .iter()
        .all(|x| magnitudes(x) <= MAGNITUDES_MAX)
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum(out: &mut [i16], a: &[i16], b: &[i16]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = a.wrapping_add(*b);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn difference(out: &mut [i16], a: &[i16], b: &[i16]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = a.wrapping_sub(*b);
    }
}

/// The sum of magnitudes, which fits: 133,184 * 16,319 < 2^32.
#[inline]
#[target_feature(enable = "avx2")]
fn magnitudes(x: &[i16]) -> u32 {
    x.iter().fold(0, |sum, v| {
        u32::wrapping_add(sum, u32::from(v.unsigned_abs()))
    })
}

/// [`ROWS`] rows from `row` on for all tokens.
#[target_feature(enable = "avx2")]
pub(super) fn rows(
    block: &Block<'_>,
    x: &Activations,
    operands: &Operands,
    row: usize,
    tokens: usize,
) {
    let Operands { half, cols, values } = operands;
    let (half, cols) = (*half, *cols);
    WORKING.with_borrow_mut(
        |Working {
             packed,
             weights,
             sums,
         }| {
            for (i, packed) in packed.iter_mut().enumerate() {
                packed.resize(ROWS_PACKED * x.stride, 0);
                pack(block, x.cols, row + i * ROWS_PACKED, packed);
            }
            weights.resize(ROWS_PACKED * cols, 0);
            sums.resize(4 * half * ROWS_PACKED, 0);
            // The next rows are asked for a little before every tile, so that regrouping them need not wait for memory.
            let mut ahead = block.weights[row * x.cols..]
                .as_ptr()
                .wrapping_add(ROWS * x.cols);
            let lines = (ROWS * x.cols).div_ceil(64 * PRODUCTS * half.div_ceil(TOKENS_TILE));
            for (product, targets) in TARGETS.iter().enumerate() {
                operand(product, packed, weights);
                let mut token = 0;
                while token < half {
                    for _ in 0..lines {
                        // Only a hint, also where it points past the matrix.
                        _mm_prefetch::<_MM_HINT_T1>(ahead);
                        ahead = ahead.wrapping_add(64);
                    }
                    let values = &values[(token * PRODUCTS + product * TOKENS_TILE) * cols..];
                    let count = TOKENS_TILE.min(half - token);
                    let at = (half, token);
                    match count {
                        1 => part::<1>(weights, values, cols, sums, at, targets),
                        2 => part::<2>(weights, values, cols, sums, at, targets),
                        3 => part::<3>(weights, values, cols, sums, at, targets),
                        4 => part::<4>(weights, values, cols, sums, at, targets),
                        5 => part::<5>(weights, values, cols, sums, at, targets),
                        _ => part::<TOKENS_TILE>(weights, values, cols, sums, at, targets),
                    }
                    token += count;
                }
            }
            for (quadrant, sums) in sums.chunks_exact(half * ROWS_PACKED).enumerate() {
                finish(
                    block,
                    x,
                    row + quadrant / 2 * ROWS_PACKED,
                    quadrant % 2 * half,
                    sums,
                );
            }
            for token in 2 * half..tokens {
                for (i, packed) in packed.iter().enumerate() {
                    tile::<1>(block, x, row + i * ROWS_PACKED, token, packed);
                }
            }
        },
    );
}

/// The weights of a product: a quadrant, or a sum or difference of two.
#[target_feature(enable = "avx2")]
fn operand(product: usize, packed: &[Vec<i8>; 2], out: &mut [i16]) {
    let (w00, w01) = packed[0].split_at(out.len());
    let (w10, w11) = packed[1].split_at(out.len());
    match product {
        0 => two::<false>(out, w00, w11),
        1 => two::<false>(out, w10, w11),
        2 => one(out, w00),
        3 => one(out, w11),
        4 => two::<false>(out, w00, w01),
        5 => two::<true>(out, w10, w00),
        _ => two::<true>(out, w01, w11),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn one(out: &mut [i16], a: &[i8]) {
    for (out, a) in out.iter_mut().zip(a) {
        *out = i16::from(*a);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn two<const TAKE: bool>(out: &mut [i16], a: &[i8], b: &[i8]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        let (a, b) = (i16::from(*a), i16::from(*b));
        *out = if TAKE {
            a.wrapping_sub(b)
        } else {
            a.wrapping_add(b)
        };
    }
}

/// One product for `T` tokens; `at` is the tokens of a half and the first of them.
#[target_feature(enable = "avx2")]
fn part<const T: usize>(
    weights: &[i16],
    values: &[i16],
    cols: usize,
    sums: &mut [i32],
    (half, token): (usize, usize),
    targets: &[(usize, Into)],
) {
    assert!(
        cols.is_multiple_of(4) && weights.len() >= cols * ROWS_PACKED && values.len() >= T * cols,
        "BUG: too few operands"
    );
    let mut lanes = [[_mm256_setzero_si256(); 2]; T];
    let mut firsts = [values.as_ptr().cast::<i32>(); T];
    for (t, first) in firsts.iter_mut().enumerate() {
        *first = values[t * cols..].as_ptr().cast();
    }
    // Hidden from the compiler, which would else derive each pointer from the one before in every step.
    let firsts = std::hint::black_box(firsts);
    let mut pair = 0;
    while pair < cols / 2 {
        // Two by two: what a step costs beside its products is then paid half as often.
        for i in 0..2 {
            // SAFETY: 64 bytes of weights belong to every pair below half the columns, checked above.
            let (low, high) = unsafe {
                let at = weights.as_ptr().add((pair + i) * 2 * ROWS_PACKED);
                (
                    _mm256_loadu_si256(at.cast()),
                    _mm256_loadu_si256(at.add(16).cast()),
                )
            };
            for t in 0..T {
                // SAFETY: two activations belong to every pair below half the columns, checked above.
                let v = unsafe { firsts[t].add(pair + i).read_unaligned() };
                let v = _mm256_set1_epi32(v);
                lanes[t][0] = _mm256_add_epi32(lanes[t][0], _mm256_madd_epi16(low, v));
                lanes[t][1] = _mm256_add_epi32(lanes[t][1], _mm256_madd_epi16(high, v));
            }
        }
        pair += 2;
    }
    for (quadrant, how) in targets {
        let out = &mut sums[(quadrant * half + token) * ROWS_PACKED..][..T * ROWS_PACKED];
        for (out, lanes) in out.chunks_exact_mut(8).zip(lanes.as_flattened()) {
            let out = out.as_mut_ptr().cast();
            // SAFETY: eight sums lie in `out`.
            unsafe {
                let sum = match how {
                    Into::Set => *lanes,
                    Into::Add => _mm256_add_epi32(_mm256_loadu_si256(out), *lanes),
                    Into::Take => _mm256_sub_epi32(_mm256_loadu_si256(out), *lanes),
                };
                _mm256_storeu_si256(out, sum);
            }
        }
    }
}

/// Rounds, scales and writes the sums of a quadrant.
#[target_feature(enable = "avx2")]
fn finish(block: &Block<'_>, x: &Activations, row: usize, token: usize, sums: &[i32]) {
    for half in 0..2 {
        let row = row + 8 * half;
        let scales = load_scales(block, row, 8);
        for (token, sums) in (token..).zip(sums.chunks_exact(ROWS_PACKED)) {
            let sums = &sums[8 * half..8 * half + 8];
            // SAFETY: eight sums lie in `sums`.
            let sums = unsafe { _mm256_loadu_si256(sums.as_ptr().cast()) };
            store(
                block,
                token,
                row,
                8,
                _mm256_cvtepi32_ps(sums),
                scales,
                x.tokens[token].scale,
            );
        }
    }
}
