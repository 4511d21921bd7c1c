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
            // Neighbours are added within halves, so quarters come out as 0, 2, 1, 3.
            let sums = _mm256_permute4x64_epi64::<0xd8>(_mm256_hadd_epi32(pair[0], pair[1]));
            // SAFETY: eight integers lie in `out`.
            unsafe {
                _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_sub_epi32(sums, offset));
            }
        }
    }
}

/// Weighted sums of values; `dims` is a multiple of 16.
#[target_feature(enable = "avx2")]
pub(in crate::kernels) fn weigh(
    high: &[u8],
    low: &[u8],
    values: &[i8],
    dims: usize,
    out_high: &mut [i32],
    out_low: &mut [i32],
) {
    let mut dim = 0;
    while dim + 32 <= dims {
        weighted::<4>(high, low, values, dims, dim, out_high, out_low);
        dim += 32;
    }
    if dim < dims {
        weighted::<2>(high, low, values, dims, dim, out_high, out_low);
    }
}

/// Sums of `8 * N` dimensions from `dim` on, both weight planes.
///
/// `vpmaddubsw` cannot saturate: weights are at most 127 and no value is -128, so two products stay below 2^15.
#[target_feature(enable = "avx2")]
fn weighted<const N: usize>(
    high: &[u8],
    low: &[u8],
    values: &[i8],
    dims: usize,
    dim: usize,
    out_high: &mut [i32],
    out_low: &mut [i32],
) {
    let ones = _mm256_set1_epi16(1);
    let mut sum_high = [_mm256_setzero_si256(); N];
    let mut sum_low = [_mm256_setzero_si256(); N];
    let quads = high.chunks_exact(4).zip(low.chunks_exact(4));
    for (values, (h, l)) in values.chunks_exact(dims * 4).zip(quads) {
        // SAFETY: four bytes lie in either.
        let (h, l) = unsafe {
            (
                h.as_ptr().cast::<i32>().read_unaligned(),
                l.as_ptr().cast::<i32>().read_unaligned(),
            )
        };
        if h | l == 0 {
            continue;
        }
        let (h, l) = (_mm256_set1_epi32(h), _mm256_set1_epi32(l));
        let values = &values[dim * 4..(dim + 8 * N) * 4];
        for i in 0..N {
            // SAFETY: `values` holds N vectors.
            let v = unsafe { _mm256_loadu_si256(values.as_ptr().add(32 * i).cast()) };
            let high = _mm256_madd_epi16(_mm256_maddubs_epi16(h, v), ones);
            let low = _mm256_madd_epi16(_mm256_maddubs_epi16(l, v), ones);
            sum_high[i] = _mm256_add_epi32(sum_high[i], high);
            sum_low[i] = _mm256_add_epi32(sum_low[i], low);
        }
    }
    let (out_high, out_low) = (
        &mut out_high[dim..dim + 8 * N],
        &mut out_low[dim..dim + 8 * N],
    );
    for i in 0..N {
        // SAFETY: both outputs hold 8 * N integers.
        unsafe {
            _mm256_storeu_si256(out_high.as_mut_ptr().add(8 * i).cast(), sum_high[i]);
            _mm256_storeu_si256(out_low.as_mut_ptr().add(8 * i).cast(), sum_low[i]);
        }
    }
}
