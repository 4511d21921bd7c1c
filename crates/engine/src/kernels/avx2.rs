//! AVX2: 16-bit activations times widened weights; `vpmaddwd` adds the products of two columns exactly in 32 bits.
//!
//! For few tokens rows are read straight from the matrix, one after the other as they lie in memory, and lanes are columns. For more, 16 rows at a time
//! are regrouped by pairs of columns, so that lanes are rows and nothing is summed across lanes. Lanes are emptied before they can overflow,
//! into binary64, which holds every sum of a product exactly: it is an integer below 2^53 whatever the order of additions.

use std::{arch::x86_64::*, cell::RefCell};

use super::{
    maps::Activations,
    matmul::{Block, Write, vectors},
};
use crate::f32z::{MAX_BITS, MIN_BITS};

pub(super) mod attention;
pub(super) mod halves;

/// From this many tokens on, regrouping rows costs less than it saves.
const TOKENS_PACKED: usize = 8;
/// Tokens of one tile: with two vectors of rows, 12 accumulators, which leaves registers for two vectors of weights, one of activations and a product.
const TOKENS_TILE: usize = 6;
/// Rows that are regrouped together.
const ROWS_PACKED: usize = 16;
/// Columns per emptying of the lanes that are rows: one pair of products each two columns, and 16,319 * 127 * 1,024 < 2^31.
const SPAN_PACKED: usize = 1_024;
/// Tokens that share one pass over a row.
const TOKENS_DIRECT: usize = 4;
/// Rows whose sums are finished together.
const ROWS_DIRECT: usize = 8;
/// Columns per emptying of the lanes that are columns: one pair of products in 16 columns, and 512 * 2 * 16,319 * 127 < 2^31.
const SPAN_DIRECT: usize = 8_192;
/// Bytes that a row is asked for ahead of its use.
const AHEAD: usize = 1_024;

thread_local! {
    /// Regrouped weights: (pair of columns, row, column in pair).
    static PACKED: RefCell<Vec<i8>> = const { RefCell::new(Vec::new()) };
}

/// Computes a block of rows for the first `tokens` tokens.
#[target_feature(enable = "avx2")]
pub(super) fn block(
    block: &Block<'_>,
    x: &Activations,
    tokens: usize,
    operands: Option<&halves::Operands>,
) {
    if tokens < TOKENS_PACKED {
        for row in (0..block.scales.len()).step_by(ROWS_DIRECT) {
            for token in (0..tokens).step_by(TOKENS_DIRECT) {
                match tokens - token {
                    1 => direct::<1, 4>(block, x, row, token),
                    2 => direct::<2, 2>(block, x, row, token),
                    3 => direct::<3, 1>(block, x, row, token),
                    _ => direct::<TOKENS_DIRECT, 1>(block, x, row, token),
                }
            }
        }
        return;
    }
    let mut done = 0;
    if let Some(operands) = operands {
        while done + halves::ROWS <= block.scales.len() {
            halves::rows(block, x, operands, done, tokens);
            done += halves::ROWS;
        }
    }
    PACKED.with_borrow_mut(|packed| {
        packed.resize(ROWS_PACKED * x.stride, 0);
        for row in (done..block.scales.len()).step_by(ROWS_PACKED) {
            pack(block, x.cols, row, packed);
            // The next rows are asked for a little before every tile, so that regrouping them need not wait for memory.
            let mut ahead = block.weights[row * x.cols..]
                .as_ptr()
                .wrapping_add(ROWS_PACKED * x.cols);
            let lines = (ROWS_PACKED * x.cols).div_ceil(64 * (tokens / TOKENS_TILE));
            let mut token = 0;
            while token + TOKENS_TILE <= tokens {
                for _ in 0..lines {
                    // Only a hint, also where it points past the matrix.
                    _mm_prefetch::<_MM_HINT_T1>(ahead);
                    ahead = ahead.wrapping_add(64);
                }
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

/// Up to eight rows times `T` tokens, straight from the matrix, with `C` accumulators per token.
#[target_feature(enable = "avx2")]
fn direct<const T: usize, const C: usize>(
    block: &Block<'_>,
    x: &Activations,
    row: usize,
    token: usize,
) {
    let rows = ROWS_DIRECT.min(block.scales.len() - row);
    let cols = x.cols;
    let values: [&[i16]; T] = vectors(&x.values, x.stride, token);
    let mut sums = [[_mm256_setzero_pd(); ROWS_DIRECT]; T];
    let lines = block.weights[row * cols..(row + rows) * cols].chunks_exact(cols);
    for (r, line) in lines.enumerate() {
        for start in (0..cols).step_by(SPAN_DIRECT) {
            let end = cols.min(start + SPAN_DIRECT);
            let mut lanes = [[_mm256_setzero_si256(); C]; T];
            let mut col = start;
            while col + 64 <= end {
                let part = &line[col..col + 64];
                // Only a hint, also where it points past the matrix.
                _mm_prefetch::<_MM_HINT_T0>(part.as_ptr().wrapping_add(AHEAD));
                for i in 0..4 {
                    // SAFETY: 64 bytes lie in `part`.
                    let w = unsafe { _mm_loadu_si128(part.as_ptr().add(16 * i).cast()) };
                    step(&mut lanes, &values, col + 16 * i, i % C, w);
                }
                col += 64;
            }
            while col < end {
                step(&mut lanes, &values, col, 0, load_weights(line, col));
                col += 16;
            }
            for (sums, lanes) in sums.iter_mut().zip(lanes) {
                for lanes in lanes {
                    sums[r] = _mm256_add_pd(sums[r], wide_sum(lanes));
                }
            }
        }
    }
    let scales = load_scales(block, row, rows);
    for (t, [a, b, c, d, e, f, g, h]) in sums.into_iter().enumerate() {
        let sums = _mm256_set_m128(rounded_sums(e, f, g, h), rounded_sums(a, b, c, d));
        let scale = x.tokens[token + t].scale;
        store(block, token + t, row, rows, sums, scales, scale);
    }
}

/// Sixteen columns of a row times those of every token, added to accumulator `c`.
#[inline]
#[target_feature(enable = "avx2")]
fn step<const T: usize, const C: usize>(
    lanes: &mut [[__m256i; C]; T],
    values: &[&[i16]; T],
    col: usize,
    c: usize,
    weights: __m128i,
) {
    let w = _mm256_cvtepi8_epi16(weights);
    for t in 0..T {
        let part = &values[t][col..col + 16];
        // SAFETY: 32 bytes lie in `part`.
        let v = unsafe { _mm256_loadu_si256(part.as_ptr().cast()) };
        lanes[t][c] = _mm256_add_epi32(lanes[t][c], _mm256_madd_epi16(v, w));
    }
}

/// Sixteen weights, zeros beyond the row.
#[inline]
#[target_feature(enable = "avx2")]
fn load_weights(row: &[i8], col: usize) -> __m128i {
    let mut padded = [0i8; 16];
    let part: &[i8] = match row.get(col..col + 16) {
        Some(part) => part,
        None => {
            padded[..row.len() - col].copy_from_slice(&row[col..]);
            &padded
        }
    };
    // SAFETY: 16 bytes lie in `part`.
    unsafe { _mm_loadu_si128(part.as_ptr().cast()) }
}

/// Eight lanes as four exact sums.
#[inline]
#[target_feature(enable = "avx2")]
fn wide_sum(lanes: __m256i) -> __m256d {
    let [low, high] = wide(lanes);
    _mm256_add_pd(low, high)
}

/// Eight lanes in binary64.
#[inline]
#[target_feature(enable = "avx2")]
fn wide(lanes: __m256i) -> [__m256d; 2] {
    [
        _mm256_cvtepi32_pd(_mm256_castsi256_si128(lanes)),
        _mm256_cvtepi32_pd(_mm256_extracti128_si256::<1>(lanes)),
    ]
}

/// Lane `i` of the result is the exact sum of all lanes of vector `i`, rounded once.
#[inline]
#[target_feature(enable = "avx2")]
fn rounded_sums(a: __m256d, b: __m256d, c: __m256d, d: __m256d) -> __m128 {
    let (ab, cd) = (_mm256_hadd_pd(a, b), _mm256_hadd_pd(c, d));
    let low = _mm256_permute2f128_pd::<0x20>(ab, cd);
    let high = _mm256_permute2f128_pd::<0x31>(ab, cd);
    _mm256_cvtpd_ps(_mm256_add_pd(low, high))
}

/// Regroups up to 16 rows so that a vector holds two columns of each; what is beyond the block's rows is dropped later.
#[target_feature(enable = "avx2")]
fn pack(block: &Block<'_>, cols: usize, row: usize, out: &mut [i8]) {
    let lines: [&[i8]; ROWS_PACKED] = block.lines(cols, row);
    let groups = out.chunks_exact_mut(16 * ROWS_PACKED);
    for (col, out) in (0..cols).step_by(16).zip(groups) {
        let mut both = [_mm256_setzero_si256(); 8];
        if col + 16 <= cols {
            for r in 0..8 {
                // SAFETY: every line has 16 columns from `col` on.
                both[r] = unsafe {
                    _mm256_set_m128i(
                        _mm_loadu_si128(lines[r + 8].as_ptr().add(col).cast()),
                        _mm_loadu_si128(lines[r].as_ptr().add(col).cast()),
                    )
                };
            }
        } else {
            for r in 0..8 {
                let (low, high) = (load_weights(lines[r], col), load_weights(lines[r + 8], col));
                both[r] = _mm256_set_m128i(high, low);
            }
        }
        let pairs = transpose(both);
        for (i, pair) in pairs.into_iter().enumerate() {
            // SAFETY: 256 bytes lie in `out`.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(2 * ROWS_PACKED * i).cast(), pair) };
        }
    }
}

/// Transposes 8 x 8 groups of two bytes in either half.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(v: [__m256i; 8]) -> [__m256i; 8] {
    let mut twos = v;
    for i in 0..4 {
        twos[2 * i] = _mm256_unpacklo_epi16(v[2 * i], v[2 * i + 1]);
        twos[2 * i + 1] = _mm256_unpackhi_epi16(v[2 * i], v[2 * i + 1]);
    }
    // fours[4i + j]: columns 2j and 2j + 1 of rows 4i..4i + 4.
    let mut fours = twos;
    for i in 0..2 {
        for j in 0..2 {
            let (a, b) = (twos[4 * i + j], twos[4 * i + 2 + j]);
            fours[4 * i + 2 * j] = _mm256_unpacklo_epi32(a, b);
            fours[4 * i + 2 * j + 1] = _mm256_unpackhi_epi32(a, b);
        }
    }
    let mut out = fours;
    for j in 0..4 {
        out[2 * j] = _mm256_unpacklo_epi64(fours[j], fours[4 + j]);
        out[2 * j + 1] = _mm256_unpackhi_epi64(fours[j], fours[4 + j]);
    }
    out
}

/// 16 rows, regrouped, times `T` tokens.
#[target_feature(enable = "avx2")]
fn tile<const T: usize>(
    block: &Block<'_>,
    x: &Activations,
    row: usize,
    token: usize,
    packed: &[i8],
) {
    let values: [&[i16]; T] = vectors(&x.values, x.stride, token);
    let pairs = x.stride / 2; // zeros behind the columns
    let span = SPAN_PACKED / 2;
    let lanes = pair_sums(packed, &values, 0, pairs.min(span));
    let mut rounded = [[_mm256_setzero_ps(); 2]; T];
    if pairs <= span {
        for t in 0..T {
            for half in 0..2 {
                rounded[t][half] = _mm256_cvtepi32_ps(lanes[t][half]);
            }
        }
    } else {
        let mut sums = [[[_mm256_setzero_pd(); 2]; 2]; T];
        add_wide(&mut sums, &lanes);
        for start in (span..pairs).step_by(span) {
            let lanes = pair_sums(packed, &values, start, pairs.min(start + span));
            add_wide(&mut sums, &lanes);
        }
        for (rounded, sums) in rounded.iter_mut().zip(&sums) {
            for (rounded, [low, high]) in rounded.iter_mut().zip(sums) {
                *rounded = _mm256_set_m128(_mm256_cvtpd_ps(*high), _mm256_cvtpd_ps(*low));
            }
        }
    }
    for half in 0..2 {
        let row = row + 8 * half;
        let rows = block.scales.len().saturating_sub(row).min(8);
        if rows == 0 {
            return;
        }
        let scales = load_scales(block, row, rows);
        for (token, rounded) in (token..).zip(&rounded) {
            let scale = x.tokens[token].scale;
            store(block, token, row, rows, rounded[half], scales, scale);
        }
    }
}

/// Empties lanes into exact sums.
#[inline]
#[target_feature(enable = "avx2")]
fn add_wide<const T: usize>(sums: &mut [[[__m256d; 2]; 2]; T], lanes: &[[__m256i; 2]; T]) {
    for t in 0..T {
        for half in 0..2 {
            let [low, high] = wide(lanes[t][half]);
            sums[t][half][0] = _mm256_add_pd(sums[t][half][0], low);
            sums[t][half][1] = _mm256_add_pd(sums[t][half][1], high);
        }
    }
}

/// Sums over pairs of columns from `start` to `end`, both even, at most [`SPAN_PACKED`] columns; lanes are rows.
#[inline]
#[target_feature(enable = "avx2")]
fn pair_sums<const T: usize>(
    packed: &[i8],
    values: &[&[i16]; T],
    start: usize,
    end: usize,
) -> [[__m256i; 2]; T] {
    assert!(
        (start | end).is_multiple_of(2)
            && packed.len() >= end * 2 * ROWS_PACKED
            && values.iter().all(|v| v.len() >= end * 2),
        "BUG: too few regrouped weights or activations"
    );
    let mut lanes = [[_mm256_setzero_si256(); 2]; T];
    // Hidden from the compiler, which would else derive each pointer from the one before in every step.
    let firsts = std::hint::black_box(values.map(|v| v.as_ptr().cast::<i32>()));
    let mut pair = start;
    while pair < end {
        // Two by two: what a step costs beside its products is then paid half as often.
        for i in 0..2 {
            // SAFETY: 64 bytes of weights follow from every even pair below `end` on, checked above.
            let (low, high) = unsafe {
                let at = packed.as_ptr().add((pair + i) * 2 * ROWS_PACKED);
                (
                    _mm_loadu_si128(at.cast()),
                    _mm_loadu_si128(at.add(16).cast()),
                )
            };
            let (low, high) = (_mm256_cvtepi8_epi16(low), _mm256_cvtepi8_epi16(high));
            for t in 0..T {
                // SAFETY: four activations follow from every even pair below `end` on, checked above.
                let v = unsafe { firsts[t].add(pair + i).read_unaligned() };
                let v = _mm256_set1_epi32(v);
                lanes[t][0] = _mm256_add_epi32(lanes[t][0], _mm256_madd_epi16(low, v));
                lanes[t][1] = _mm256_add_epi32(lanes[t][1], _mm256_madd_epi16(high, v));
            }
        }
        pair += 2;
    }
    lanes
}

/// Scales of `rows` rows, eight at most.
#[inline]
#[target_feature(enable = "avx2")]
fn load_scales(block: &Block<'_>, row: usize, rows: usize) -> __m256 {
    let mut padded = [0.0; 8];
    let scales = &block.scales[row..row + rows];
    let scales: &[f32] = if rows == 8 {
        scales
    } else {
        padded[..rows].copy_from_slice(scales);
        &padded
    };
    // SAFETY: eight scales lie in `scales`.
    unsafe { _mm256_loadu_ps(scales.as_ptr()) }
}

/// Scales rounded sums of `rows` rows, eight at most, and writes them.
#[inline]
#[target_feature(enable = "avx2")]
fn store(
    block: &Block<'_>,
    token: usize,
    row: usize,
    rows: usize,
    sums: __m256,
    scales: __m256,
    scale: f32,
) {
    let factor = z(_mm256_mul_ps(_mm256_set1_ps(scale), scales));
    let mut y = z(_mm256_mul_ps(sums, factor));
    // SAFETY: `load_scales` has shown that as many rows are left, callers stay below the token count, and the borrow ends with this function.
    let out = unsafe { block.outputs(token, row, rows) };
    let add = block.write() == Write::Add;
    if let Ok(out) = <&mut [f32; 8]>::try_from(&mut *out) {
        // SAFETY: eight elements lie in `out`.
        unsafe {
            if add {
                y = z(_mm256_add_ps(_mm256_loadu_ps(out.as_ptr()), y));
            }
            _mm256_storeu_ps(out.as_mut_ptr(), y);
        }
        return;
    }
    let mut copy = [0.0; 8];
    copy[..rows].copy_from_slice(out);
    // SAFETY: eight elements lie in `copy`.
    unsafe {
        if add {
            y = z(_mm256_add_ps(_mm256_loadu_ps(copy.as_ptr()), y));
        }
        _mm256_storeu_ps(copy.as_mut_ptr(), y);
    }
    out.copy_from_slice(&copy[..rows]);
}

/// [`crate::f32z::z`] in every lane.
#[inline]
#[target_feature(enable = "avx2")]
fn z(r: __m256) -> __m256 {
    let bits = _mm256_castps_si256(r);
    let sign = _mm256_set1_epi32(i32::MIN);
    let magnitude = _mm256_andnot_si256(sign, bits);
    let bounded = _mm256_min_epi32(magnitude, _mm256_set1_epi32(MAX_BITS as i32));
    let kept = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(MIN_BITS as i32 - 1));
    let signed = _mm256_or_si256(bounded, _mm256_and_si256(bits, sign));
    _mm256_castsi256_ps(_mm256_and_si256(signed, kept))
}
