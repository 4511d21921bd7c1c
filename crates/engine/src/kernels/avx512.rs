//! AVX-512 VNNI: two int8 planes against weights offset to unsigned.
//!
//! `vpdpbusd` multiplies unsigned by signed bytes and adds four products to a 32-bit lane, wrapping. Weights become `w + 128` on the way in
//! and `128 * sum(plane)` is taken off at the end. All 32-bit arithmetic wraps and the true sum of a plane fits 32 bits, so the result is exact.

use std::{arch::x86_64::*, cell::RefCell, ops::Range};

use super::{
    maps::Activations,
    matmul::{Block, Write, vectors},
};
use crate::f32z::{MAX_BITS, MIN_BITS};

/// Below this many tokens a row is read straight from the matrix; from it on, rows are first regrouped so that lanes are rows.
const TOKENS_PACKED: usize = 4;
/// Tokens of one tile: with two vectors of rows and two planes, 24 accumulators.
const TOKENS_TILE: usize = 6;
/// Rows that are regrouped together.
pub(super) const ROWS_PACKED: usize = 32;
/// Rows that are summed together without regrouping.
const ROWS_DIRECT: usize = 8;
/// Columns of one vector of bytes.
const COLS: usize = 64;
/// Bytes that a row is asked for ahead of its use.
const AHEAD: usize = 1_024;

thread_local! {
    /// Regrouped weights: (half, group of four columns, row in half, column in group).
    static PACKED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Computes a block of rows for the first `tokens` tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn block(block: &Block<'_>, x: &Activations, tokens: usize) {
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
            let (first, second) = packed.split_at_mut(ROWS_PACKED / 2 * x.stride);
            pack_both(block, x.cols, row, first, second);
            tiles(block, x, row, 0..tokens, first, second);
        }
    });
}

/// Regroups up to 32 rows.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn pack_both(
    block: &Block<'_>,
    cols: usize,
    row: usize,
    first: &mut [u8],
    second: &mut [u8],
) {
    let rows = ROWS_PACKED.min(block.scales.len() - row);
    pack(block, cols, row, rows.min(16), first);
    pack(block, cols, row + 16, rows.saturating_sub(16), second);
}

/// 32 rows, regrouped, times any number of tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn tiles(
    block: &Block<'_>,
    x: &Activations,
    row: usize,
    tokens: Range<usize>,
    first: &[u8],
    second: &[u8],
) {
    let mut token = tokens.start;
    while token + TOKENS_TILE <= tokens.end {
        tile::<TOKENS_TILE>(block, x, row, token, first, second);
        token += TOKENS_TILE;
    }
    match tokens.end - token {
        1 => tile::<1>(block, x, row, token, first, second),
        2 => tile::<2>(block, x, row, token, first, second),
        3 => tile::<3>(block, x, row, token, first, second),
        4 => tile::<4>(block, x, row, token, first, second),
        5 => tile::<5>(block, x, row, token, first, second),
        _ => (),
    }
}

/// Up to eight rows times one token, straight from the matrix.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn direct(block: &Block<'_>, x: &Activations, row: usize, token: usize) {
    let rows = ROWS_DIRECT.min(block.scales.len() - row);
    let cols = x.cols;
    let high_row = &x.high[token * x.stride..][..x.stride];
    let low_row = &x.low[token * x.stride..][..x.stride];
    let flip = _mm512_set1_epi8(-128);
    let mut sums = [_mm512_setzero_si512(); 2 * ROWS_DIRECT]; // rows of the high plane, rows of the low plane
    // One row after the other, as they lie in memory, so that the processor sees one stream.
    let lines = block.weights[row * cols..(row + rows) * cols].chunks_exact(cols);
    for (r, line) in lines.enumerate() {
        let (mut high_sum, mut low_sum) = (sums[r], sums[r + ROWS_DIRECT]);
        for col in (0..cols).step_by(COLS) {
            let at = line.as_ptr().wrapping_add(col);
            // Only a hint, also where it points past the matrix.
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD));
            // SAFETY: the mask ends with the row, and rows of activations are padded to whole vectors.
            let (w, high, low) = unsafe {
                (
                    _mm512_maskz_loadu_epi8(tail_mask(cols - col), at),
                    _mm512_loadu_si512(high_row.as_ptr().add(col).cast()),
                    _mm512_loadu_si512(low_row.as_ptr().add(col).cast()),
                )
            };
            let w = _mm512_xor_si512(w, flip);
            high_sum = _mm512_dpbusd_epi32(high_sum, w, high);
            low_sum = _mm512_dpbusd_epi32(low_sum, w, low);
        }
        (sums[r], sums[r + ROWS_DIRECT]) = (high_sum, low_sum);
    }
    let sums = sum_each(sums);
    let token_scale = x.tokens[token];
    let high = _mm256_sub_epi32(
        _mm512_castsi512_si256(sums),
        _mm256_set1_epi32(token_scale.high_sum << 7),
    );
    let low = _mm256_sub_epi32(
        _mm512_extracti64x4_epi64::<1>(sums),
        _mm256_set1_epi32(token_scale.low_sum << 7),
    );
    let mask = (0xff_u16 >> (8 - rows)) as __mmask16;
    // SAFETY: the mask covers the rows of this block that are left.
    let scales = unsafe { _mm512_maskz_loadu_ps(mask, block.scales[row..].as_ptr()) };
    store(
        block,
        token,
        row,
        mask,
        _mm512_castps256_ps512(rounded(high, low)),
        scales,
        token_scale.scale,
    );
}

/// Regroups up to 16 rows so that one vector holds four columns of each; what is beyond rows or columns meets zero activations or is dropped.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn pack(block: &Block<'_>, cols: usize, row: usize, rows: usize, out: &mut [u8]) {
    if rows == 0 {
        out.fill(0);
        return;
    }
    let weights: [&[i8]; 16] = block.lines(cols, row);
    let flip = _mm512_set1_epi8(-128);
    for (col, out) in (0..cols).step_by(COLS).zip(out.chunks_exact_mut(16 * COLS)) {
        let mask = tail_mask(cols - col);
        let mut lines = [flip; 16];
        for (line, weights) in lines.iter_mut().zip(weights) {
            // SAFETY: the mask ends with the row.
            let w = unsafe { _mm512_maskz_loadu_epi8(mask, weights.as_ptr().add(col)) };
            *line = _mm512_xor_si512(w, flip);
        }
        for (group, line) in out.chunks_exact_mut(COLS).zip(transpose(lines)) {
            // SAFETY: 64 bytes lie in `group`.
            unsafe { _mm512_storeu_si512(group.as_mut_ptr().cast(), line) };
        }
    }
}

/// 32 rows, regrouped, times `T` tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn tile<const T: usize>(
    block: &Block<'_>,
    x: &Activations,
    row: usize,
    token: usize,
    first: &[u8],
    second: &[u8],
) {
    let high_rows: [&[i8]; T] = vectors(&x.high, x.stride, token);
    let low_rows: [&[i8]; T] = vectors(&x.low, x.stride, token);
    let groups = x.cols.div_ceil(4);
    assert!(
        first.len() >= groups * COLS && second.len() >= groups * COLS,
        "BUG: too few regrouped weights"
    );
    let mut high = [[_mm512_setzero_si512(); 2]; T];
    let mut low = [[_mm512_setzero_si512(); 2]; T];
    for group in 0..groups {
        // SAFETY: both halves hold `groups` vectors, checked above.
        let (w0, w1) = unsafe {
            (
                _mm512_loadu_si512(first.as_ptr().add(group * COLS).cast()),
                _mm512_loadu_si512(second.as_ptr().add(group * COLS).cast()),
            )
        };
        for t in 0..T {
            // SAFETY: rows of activations are padded to whole vectors, so four bytes follow.
            let (h, l) = unsafe {
                (
                    high_rows[t]
                        .as_ptr()
                        .add(group * 4)
                        .cast::<i32>()
                        .read_unaligned(),
                    low_rows[t]
                        .as_ptr()
                        .add(group * 4)
                        .cast::<i32>()
                        .read_unaligned(),
                )
            };
            let (h, l) = (_mm512_set1_epi32(h), _mm512_set1_epi32(l));
            high[t][0] = _mm512_dpbusd_epi32(high[t][0], w0, h);
            high[t][1] = _mm512_dpbusd_epi32(high[t][1], w1, h);
            low[t][0] = _mm512_dpbusd_epi32(low[t][0], w0, l);
            low[t][1] = _mm512_dpbusd_epi32(low[t][1], w1, l);
        }
    }
    for half in 0..2 {
        let row = row + 16 * half;
        let rows = block.scales.len().saturating_sub(row).min(16);
        if rows == 0 {
            return;
        }
        let mask = (0xffff_u32 >> (16 - rows)) as __mmask16;
        // SAFETY: the mask covers the rows of this block that are left.
        let scales = unsafe { _mm512_maskz_loadu_ps(mask, block.scales[row..].as_ptr()) };
        for t in 0..T {
            finish(
                block,
                x,
                token + t,
                row,
                mask,
                scales,
                high[t][half],
                low[t][half],
            );
        }
    }
}

/// Takes the offset of weights off the sums of both planes, joins, rounds, scales and writes them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[allow(clippy::too_many_arguments, reason = "what a tile has at hand")]
pub(super) fn finish(
    block: &Block<'_>,
    x: &Activations,
    token: usize,
    row: usize,
    mask: __mmask16,
    scales: __m512,
    high: __m512i,
    low: __m512i,
) {
    let token_scale = x.tokens[token];
    let h = _mm512_sub_epi32(high, _mm512_set1_epi32(token_scale.high_sum << 7));
    let l = _mm512_sub_epi32(low, _mm512_set1_epi32(token_scale.low_sum << 7));
    let lower = rounded(_mm512_castsi512_si256(h), _mm512_castsi512_si256(l));
    let upper = rounded(
        _mm512_extracti64x4_epi64::<1>(h),
        _mm512_extracti64x4_epi64::<1>(l),
    );
    let sums = _mm512_insertf32x8::<1>(_mm512_castps256_ps512(lower), upper);
    store(block, token, row, mask, sums, scales, token_scale.scale);
}

/// 128 * high + low as exact 64-bit integers, rounded once.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn rounded(high: __m256i, low: __m256i) -> __m256 {
    let high = _mm512_slli_epi64::<7>(_mm512_cvtepi32_epi64(high));
    _mm512_cvtepi64_ps(_mm512_add_epi64(high, _mm512_cvtepi32_epi64(low)))
}

/// Scales rounded sums and writes them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn store(
    block: &Block<'_>,
    token: usize,
    row: usize,
    mask: __mmask16,
    sums: __m512,
    scales: __m512,
    scale: f32,
) {
    let factor = z(_mm512_mul_ps(_mm512_set1_ps(scale), scales));
    let mut y = z(_mm512_mul_ps(sums, factor));
    // SAFETY: the mask covers rows that are left in this block and as many elements of `out`, whose borrow ends with this function; callers stay
    // below the token count.
    unsafe {
        let out = block.outputs(token, row, mask.count_ones() as usize);
        if block.write() == Write::Add {
            y = z(_mm512_add_ps(_mm512_maskz_loadu_ps(mask, out.as_ptr()), y));
        }
        _mm512_mask_storeu_ps(out.as_mut_ptr(), mask, y);
    }
}

/// [`crate::f32z::z`] in every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn z(r: __m512) -> __m512 {
    let bits = _mm512_castps_si512(r);
    let sign = _mm512_set1_epi32(i32::MIN);
    let magnitude = _mm512_andnot_si512(sign, bits);
    let greatest = _mm512_set1_epi32(MAX_BITS as i32);
    let large = _mm512_cmpgt_epu32_mask(magnitude, greatest);
    let kept = _mm512_cmpge_epu32_mask(magnitude, _mm512_set1_epi32(MIN_BITS as i32));
    let bounded = _mm512_mask_or_epi32(bits, large, _mm512_and_si512(bits, sign), greatest);
    _mm512_castsi512_ps(_mm512_maskz_mov_epi32(kept, bounded))
}

/// Ones for the columns that are left, 64 at most.
#[inline]
fn tail_mask(left: usize) -> __mmask64 {
    if left >= COLS {
        u64::MAX
    } else {
        (1 << left) - 1
    }
}

/// Lane `i` of the result is the sum of all lanes of vector `i`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn sum_each(v: [__m512i; 16]) -> __m512i {
    // Within 128-bit lanes: four vectors become one whose elements belong to them in order.
    let mut quarter = [_mm512_setzero_si512(); 4];
    for (i, quarter) in quarter.iter_mut().enumerate() {
        let [a, b, c, d] = [v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]];
        let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        *quarter = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    }
    // Across lanes: even lanes plus odd lanes, twice.
    let fold = |a, b| {
        _mm512_add_epi32(
            _mm512_shuffle_i32x4::<0x88>(a, b),
            _mm512_shuffle_i32x4::<0xdd>(a, b),
        )
    };
    fold(fold(quarter[0], quarter[1]), fold(quarter[2], quarter[3]))
}

/// Transposes 16 x 16 groups of four bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn transpose(v: [__m512i; 16]) -> [__m512i; 16] {
    let mut pairs = v;
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
    }
    // fours[4i + j], lane k: column 4k + j of rows 4i..4i + 4.
    let mut fours = pairs;
    for i in 0..4 {
        fours[4 * i] = _mm512_unpacklo_epi64(pairs[4 * i], pairs[4 * i + 2]);
        fours[4 * i + 1] = _mm512_unpackhi_epi64(pairs[4 * i], pairs[4 * i + 2]);
        fours[4 * i + 2] = _mm512_unpacklo_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
        fours[4 * i + 3] = _mm512_unpackhi_epi64(pairs[4 * i + 1], pairs[4 * i + 3]);
    }
    let mut out = fours;
    for j in 0..4 {
        let [a, b, c, d] = [fours[j], fours[4 + j], fours[8 + j], fours[12 + j]];
        let (ab_even, ab_odd) = (
            _mm512_shuffle_i32x4::<0x88>(a, b),
            _mm512_shuffle_i32x4::<0xdd>(a, b),
        );
        let (cd_even, cd_odd) = (
            _mm512_shuffle_i32x4::<0x88>(c, d),
            _mm512_shuffle_i32x4::<0xdd>(c, d),
        );
        out[j] = _mm512_shuffle_i32x4::<0x88>(ab_even, cd_even); // lane 0 of each
        out[8 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_even, cd_even); // lane 2
        out[4 + j] = _mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd); // lane 1
        out[12 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd); // lane 3
    }
    out
}

/// Scores: for every block of 16 positions, `128 * high + low` of the query times the keys; see [`super::attention`] for the layouts.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn scores(query: &super::attention::Query, keys: &[u8], out: &mut [i32]) {
    let groups = query.high.len() / 4;
    let (high_offset, low_offset) = (
        _mm512_set1_epi32(query.high_sum << 7),
        _mm512_set1_epi32(query.low_sum << 7),
    );
    for (keys, out) in keys
        .chunks_exact(groups * COLS)
        .zip(out.chunks_exact_mut(16))
    {
        let (mut high, mut low) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        let quads = query.high.chunks_exact(4).zip(query.low.chunks_exact(4));
        for (key, (h, l)) in keys.chunks_exact(COLS).zip(quads) {
            // SAFETY: 64 bytes lie in `key`.
            let key = unsafe { _mm512_loadu_si512(key.as_ptr().cast()) };
            high = _mm512_dpbusd_epi32(high, key, quad(h.try_into().expect("BUG: chunks of four")));
            low = _mm512_dpbusd_epi32(low, key, quad(l.try_into().expect("BUG: chunks of four")));
        }
        let high = _mm512_sub_epi32(high, high_offset);
        let low = _mm512_sub_epi32(low, low_offset);
        // SAFETY: 16 integers lie in `out`.
        unsafe {
            _mm512_storeu_si512(
                out.as_mut_ptr().cast(),
                _mm512_add_epi32(_mm512_slli_epi32::<7>(high), low),
            )
        };
    }
}

/// Sums of `16 * N` dimensions from `dim` on.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn weighted<const N: usize>(
    high: &[u8],
    low: &[u8],
    values: &[i8],
    dims: usize,
    dim: usize,
    sums: &mut [i32],
) {
    let mut sum_high = [_mm512_setzero_si512(); N];
    let mut sum_low = [_mm512_setzero_si512(); N];
    let quads = high.chunks_exact(4).zip(low.chunks_exact(4));
    for (values, (h, l)) in values.chunks_exact(dims * 4).zip(quads) {
        let (h, l): ([u8; 4], [u8; 4]) = (
            h.try_into().expect("BUG: chunks of four"),
            l.try_into().expect("BUG: chunks of four"),
        );
        if h == [0; 4] && l == [0; 4] {
            continue;
        }
        let (h, l) = (quad(h.map(|b| b as i8)), quad(l.map(|b| b as i8)));
        let values = &values[dim * 4..(dim + 16 * N) * 4];
        for i in 0..N {
            // SAFETY: `values` holds N vectors.
            let v = unsafe { _mm512_loadu_si512(values.as_ptr().add(i * COLS).cast()) };
            sum_high[i] = _mm512_dpbusd_epi32(sum_high[i], h, v);
            sum_low[i] = _mm512_dpbusd_epi32(sum_low[i], l, v);
        }
    }
    let sums = &mut sums[dim..dim + 16 * N];
    for (i, sums) in sums.chunks_exact_mut(16).enumerate() {
        let sum = _mm512_add_epi32(_mm512_slli_epi32::<7>(sum_high[i]), sum_low[i]);
        // SAFETY: 16 integers lie in `sums`.
        unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), sum) };
    }
}

/// Weighted sums of the values of a page; `dims` is a multiple of 16.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn weigh(weights: &[i16], values: &[i8], dims: usize, sums: &mut [i32]) {
    let [high, low] = super::attention::planes(weights);
    let (high, low) = (&high[..weights.len()], &low[..weights.len()]);
    let mut dim = 0;
    while dim < dims {
        match (dims - dim) / 16 {
            1 => weighted::<1>(high, low, values, dims, dim, sums),
            2 => weighted::<2>(high, low, values, dims, dim, sums),
            3 => weighted::<3>(high, low, values, dims, dim, sums),
            _ => weighted::<4>(high, low, values, dims, dim, sums),
        }
        dim += 64.min(dims - dim);
    }
}

/// Four bytes in every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn quad(bytes: [i8; 4]) -> __m512i {
    _mm512_set1_epi32(i32::from_le_bytes(bytes.map(|b| b as u8)))
}
