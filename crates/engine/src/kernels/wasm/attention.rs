//! Attention's integer sums with Wasm SIMD128; see [`crate::kernels::attention`] for how keys and values lie.

use core::arch::wasm32::*;

use crate::kernels::attention::Query;

/// Bytes of one group of four dimensions of 16 positions.
const GROUP: usize = 64;
/// Dimensions whose sums are made together: eight accumulators.
const DIMS: usize = 16;

/// Scores: for every block of 16 positions, the query times the keys.
///
/// Keys are `k + 128`, which is taken off at the end; all 32-bit arithmetic wraps and the true sum fits, so the result is exact.
pub(in crate::kernels) fn scores(query: &Query, keys: &[u8], out: &mut [i32]) {
    let groups = query.values.len() / 4;
    let sum = query.high_sum.wrapping_mul(128).wrapping_add(query.low_sum);
    let offset = i32x4_splat(sum.wrapping_mul(128));
    for (keys, out) in keys
        .chunks_exact(groups * GROUP)
        .zip(out.chunks_exact_mut(16))
    {
        // Two positions per vector, two sums per position.
        let mut lanes = [i32x4_splat(0); 8];
        for (key, q) in keys.chunks_exact(GROUP).zip(query.values.chunks_exact(4)) {
            // SAFETY: four 16-bit values lie in `q`.
            let q = unsafe { v128_load64_splat(q.as_ptr().cast()) };
            for (i, lanes) in lanes.iter_mut().enumerate() {
                // SAFETY: 64 bytes lie in `key`.
                let k = unsafe { u16x8_load_extend_u8x8(key.as_ptr().add(8 * i)) };
                *lanes = i32x4_add(*lanes, i32x4_dot_i16x8(k, q));
            }
        }
        for (pair, out) in lanes.chunks_exact(2).zip(out.chunks_exact_mut(4)) {
            let sums = neighbours(pair[0], pair[1]);
            // SAFETY: four integers lie in `out`.
            unsafe { v128_store(out.as_mut_ptr().cast(), i32x4_sub(sums, offset)) };
        }
    }
}

/// Sums of neighbouring lanes.
#[inline]
fn neighbours(a: v128, b: v128) -> v128 {
    i32x4_add(
        i32x4_shuffle::<0, 2, 4, 6>(a, b),
        i32x4_shuffle::<1, 3, 5, 7>(a, b),
    )
}

/// Weighted sums of the values of a page; `dims` is a multiple of 16.
pub(in crate::kernels) fn weigh(weights: &[i16], values: &[i8], dims: usize, sums: &mut [i32]) {
    for dim in (0..dims).step_by(DIMS) {
        // Two dimensions per vector, two sums per dimension.
        let mut lanes = [i32x4_splat(0); DIMS / 2];
        let values = values.chunks_exact(dims * 4);
        for (values, w) in values.zip(weights.chunks_exact(4)) {
            if w == [0; 4] {
                continue;
            }
            // SAFETY: four 16-bit weights lie in `w`.
            let w = unsafe { v128_load64_splat(w.as_ptr().cast()) };
            let values = &values[dim * 4..(dim + DIMS) * 4];
            for (i, lanes) in lanes.iter_mut().enumerate() {
                // SAFETY: 64 bytes lie in `values`.
                let v = unsafe { i16x8_load_extend_i8x8(values.as_ptr().add(8 * i)) };
                *lanes = i32x4_add(*lanes, i32x4_dot_i16x8(v, w));
            }
        }
        let sums = sums[dim..dim + DIMS].chunks_exact_mut(4);
        for (sums, pair) in sums.zip(lanes.chunks_exact(2)) {
            // SAFETY: four integers lie in `sums`.
            unsafe { v128_store(sums.as_mut_ptr().cast(), neighbours(pair[0], pair[1])) };
        }
    }
}
