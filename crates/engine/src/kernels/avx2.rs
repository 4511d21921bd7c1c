//! AVX2: 16-bit activations times widened weights, pairs summed in 32 bits, spilled to 64 before they can overflow.

use std::arch::x86_64::*;

use super::{maps::Activations, matmul::Block};

/// Columns per spill: every 32-bit lane takes one pair in 16 columns, and 512 * 2 * 16,319 * 127 < 2^31.
const SPAN: usize = 8_192;
/// Rows whose sums are made together.
const ROWS: usize = 4;

/// Computes a block of rows for the first `tokens` tokens.
#[target_feature(enable = "avx2")]
pub(super) fn block(block: &Block<'_>, x: &Activations, tokens: usize) {
    let rows = block.scales.len();
    for row in (0..rows).step_by(ROWS) {
        let mut token = 0;
        while token + 2 <= tokens {
            tile::<2>(block, x, row, token);
            token += 2;
        }
        if token < tokens {
            tile::<1>(block, x, row, token);
        }
    }
}

/// Up to four rows times `T` tokens.
#[target_feature(enable = "avx2")]
fn tile<const T: usize>(block: &Block<'_>, x: &Activations, row: usize, token: usize) {
    let rows = ROWS.min(block.scales.len() - row);
    let cols = x.cols;
    // Missing rows repeat the last one; their sums are dropped.
    let weights: [&[i8]; ROWS] =
        std::array::from_fn(|r| &block.weights[(row + r.min(rows - 1)) * cols..][..cols]);
    let values: [&[i16]; T] =
        std::array::from_fn(|t| &x.values[(token + t) * x.stride..][..x.stride]);
    let mut sums = [[0i64; ROWS]; T];
    for start in (0..cols).step_by(SPAN) {
        let end = cols.min(start + SPAN);
        let mut lanes = [[_mm256_setzero_si256(); ROWS]; T];
        let mut col = start;
        while col < end {
            let v: [__m256i; T] = std::array::from_fn(|t| load_values(values[t], col));
            for r in 0..ROWS {
                let w = load_weights(weights[r], col);
                for t in 0..T {
                    lanes[t][r] = _mm256_add_epi32(lanes[t][r], _mm256_madd_epi16(v[t], w));
                }
            }
            col += 16;
        }
        for t in 0..T {
            for r in 0..ROWS {
                sums[t][r] += sum_lanes(lanes[t][r]);
            }
        }
    }
    for (t, sums) in sums.iter().enumerate() {
        block.finish(token + t, row, x.tokens[token + t].scale, &sums[..rows]);
    }
}

/// Sixteen activations; rows are padded with zeros to whole vectors.
#[inline]
#[target_feature(enable = "avx2")]
fn load_values(row: &[i16], col: usize) -> __m256i {
    let part = &row[col..col + 16];
    // SAFETY: 32 bytes lie in `part`.
    unsafe { _mm256_loadu_si256(part.as_ptr().cast()) }
}

/// Sixteen weights as 16-bit integers, zeros beyond the row.
#[inline]
#[target_feature(enable = "avx2")]
fn load_weights(row: &[i8], col: usize) -> __m256i {
    let mut padded = [0i8; 16];
    let part: &[i8] = match row.get(col..col + 16) {
        Some(part) => part,
        None => {
            padded[..row.len() - col].copy_from_slice(&row[col..]);
            &padded
        }
    };
    // SAFETY: 16 bytes lie in `part`.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(part.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum_lanes(v: __m256i) -> i64 {
    let low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(v));
    let high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256::<1>(v));
    let four = _mm256_add_epi64(low, high);
    let two = _mm_add_epi64(
        _mm256_castsi256_si128(four),
        _mm256_extracti128_si256::<1>(four),
    );
    _mm_extract_epi64::<0>(two) + _mm_extract_epi64::<1>(two)
}
