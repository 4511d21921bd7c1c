//! Attention's integer sums with AVX2; see [`crate::kernels::attention`] for how keys and values lie.

use std::arch::x86_64::*;

use crate::kernels::attention::Query;

/// Bytes of one group of four dimensions of 16 positions.
const GROUP: usize = 64;

/// Scores: for every block of 16 positions, the query times the keys.
///
/// Keys are `k + 128`, which is taken off at the end; all 32-bit arithmetic wraps and the true sum fits, so the result is exact.
#[target_feature(enable = "avx2")]
pub(in crate::kernels) fn scores(query: &Query, keys: &[u8], out: &mut [i32]) {
    let groups = query.values.len() / 4;
    let sum = query.high_sum.wrapping_mul(128).wrapping_add(query.low_sum);
    let offset = _mm256_set1_epi32(sum.wrapping_mul(128));
    for (keys, out) in keys
        .chunks_exact(groups * GROUP)
        .zip(out.chunks_exact_mut(16))
    {
        // Four positions per vector, two sums per position.
        let mut lanes = [_mm256_setzero_si256(); 4];
        for (key, q) in keys.chunks_exact(GROUP).zip(query.values.chunks_exact(4)) {
            // SAFETY: four 16-bit values lie in `q`.
            let q = _mm256_set1_epi64x(unsafe { q.as_ptr().cast::<i64>().read_unaligned() });
            for (i, lanes) in lanes.iter_mut().enumerate() {
                // SAFETY: 64 bytes lie in `key`.
                let k = unsafe { _mm_loadu_si128(key.as_ptr().add(16 * i).cast()) };
                let products = _mm256_madd_epi16(_mm256_cvtepu8_epi16(k), q);
                *lanes = _mm256_add_epi32(*lanes, products);
            }
        }
        for (pair, out) in lanes.chunks_exact(2).zip(out.chunks_exact_mut(8)) {
            let sums = neighbours(pair[0], pair[1]);
            // SAFETY: eight integers lie in `out`.
            unsafe {
                _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_sub_epi32(sums, offset));
            }
        }
    }
}

/// Weighted sums of the values of a page; `dims` is a multiple of 16.
#[target_feature(enable = "avx2")]
pub(in crate::kernels) fn weigh(weights: &[i16], values: &[i8], dims: usize, sums: &mut [i32]) {
    let mut dim = 0;
    while dim + 32 <= dims {
        weighted::<4>(weights, values, dims, dim, sums);
        dim += 32;
    }
    if dim < dims {
        weighted::<2>(weights, values, dims, dim, sums);
    }
}

/// Sums of `8 * N` dimensions from `dim` on.
#[inline]
#[target_feature(enable = "avx2")]
fn weighted<const N: usize>(
    weights: &[i16],
    values: &[i8],
    dims: usize,
    dim: usize,
    sums: &mut [i32],
) {
    // Four dimensions per vector, two sums per dimension.
    let mut lanes = [[_mm256_setzero_si256(); 2]; N];
    let values = values.chunks_exact(dims * 4);
    for (values, w) in values.zip(weights.chunks_exact(4)) {
        // SAFETY: four 16-bit weights lie in `w`.
        let w = unsafe { w.as_ptr().cast::<i64>().read_unaligned() };
        if w == 0 {
            continue;
        }
        let w = _mm256_set1_epi64x(w);
        let values = &values[dim * 4..(dim + 8 * N) * 4];
        for (i, lanes) in lanes.iter_mut().enumerate() {
            for (half, lanes) in lanes.iter_mut().enumerate() {
                let at = 32 * i + 16 * half;
                // SAFETY: `values` holds N times 32 bytes.
                let v = unsafe { _mm_loadu_si128(values.as_ptr().add(at).cast()) };
                let products = _mm256_madd_epi16(_mm256_cvtepi8_epi16(v), w);
                *lanes = _mm256_add_epi32(*lanes, products);
            }
        }
    }
    let sums = &mut sums[dim..dim + 8 * N];
    for ([a, b], sums) in lanes.into_iter().zip(sums.chunks_exact_mut(8)) {
        // SAFETY: eight integers lie in `sums`.
        unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), neighbours(a, b)) };
    }
}

/// Sums of neighbouring lanes, those of `a` first.
#[inline]
#[target_feature(enable = "avx2")]
fn neighbours(a: __m256i, b: __m256i) -> __m256i {
    // Added within halves, so quarters come out as 0, 2, 1, 3.
    _mm256_permute4x64_epi64::<0xd8>(_mm256_hadd_epi32(a, b))
}
