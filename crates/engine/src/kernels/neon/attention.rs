//! Attention's integer sums with NEON; see [`crate::kernels::attention`] for how keys and values lie.

use std::arch::aarch64::*;

use super::dot::dot;
use crate::kernels::attention::Query;

/// Bytes of one group of four dimensions of 16 positions.
const GROUP: usize = 64;
/// Dimensions whose sums are made together with dot products: eight accumulators per plane.
const DIMS_DOT: usize = 32;
/// Dimensions whose sums are made together without: eight accumulators per plane, two for four dimensions.
const DIMS_PLAIN: usize = 16;

/// Scores: for every block of 16 positions, the query times the keys; sums wrap in 32 bits, which the true ones fit.
#[target_feature(enable = "neon")]
pub(in crate::kernels) fn scores(query: &Query, keys: &[u8], out: &mut [i32]) {
    let groups = query.values.len() / 4;
    let flip = vdupq_n_u8(0x80);
    for (keys, out) in keys
        .chunks_exact(groups * GROUP)
        .zip(out.chunks_exact_mut(16))
    {
        // One position per vector; lanes are dimensions.
        let mut sums = [vdupq_n_s32(0); 16];
        for (key, q) in keys.chunks_exact(GROUP).zip(query.values.chunks_exact(4)) {
            // SAFETY: four values lie in `q`.
            let q = unsafe { vld1_s16(q.as_ptr()) };
            for (i, sums) in sums.chunks_exact_mut(4).enumerate() {
                // SAFETY: 64 bytes lie in `key`.
                let k = unsafe { vld1q_u8(key.as_ptr().add(16 * i)) };
                let k = vreinterpretq_s8_u8(veorq_u8(k, flip));
                let (low, high) = (vmovl_s8(vget_low_s8(k)), vmovl_high_s8(k));
                sums[0] = vmlal_s16(sums[0], vget_low_s16(low), q);
                sums[1] = vmlal_s16(sums[1], vget_high_s16(low), q);
                sums[2] = vmlal_s16(sums[2], vget_low_s16(high), q);
                sums[3] = vmlal_s16(sums[3], vget_high_s16(high), q);
            }
        }
        for (sums, out) in sums.chunks_exact(4).zip(out.chunks_exact_mut(4)) {
            let pairs = (vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3]));
            // SAFETY: four integers lie in `out`.
            unsafe { vst1q_s32(out.as_mut_ptr(), vpaddq_s32(pairs.0, pairs.1)) };
        }
    }
}

/// [`scores`] with dot products of the query's planes.
#[target_feature(enable = "neon,dotprod")]
pub(in crate::kernels) fn scores_dot(query: &Query, keys: &[u8], out: &mut [i32]) {
    let groups = query.high.len() / 4;
    let flip = vdupq_n_u8(0x80);
    for (keys, out) in keys
        .chunks_exact(groups * GROUP)
        .zip(out.chunks_exact_mut(16))
    {
        let (mut high, mut low) = ([vdupq_n_s32(0); 4], [vdupq_n_s32(0); 4]);
        let quads = query.high.chunks_exact(4).zip(query.low.chunks_exact(4));
        for (key, (h, l)) in keys.chunks_exact(GROUP).zip(quads) {
            let (h, l) = (quad(h), quad(l));
            for i in 0..4 {
                // SAFETY: 64 bytes lie in `key`.
                let k = unsafe { vld1q_u8(key.as_ptr().add(16 * i)) };
                let k = vreinterpretq_s8_u8(veorq_u8(k, flip));
                high[i] = dot(high[i], k, h);
                low[i] = dot(low[i], k, l);
            }
        }
        for (i, out) in out.chunks_exact_mut(4).enumerate() {
            let sum = vaddq_s32(vshlq_n_s32::<7>(high[i]), low[i]);
            // SAFETY: four integers lie in `out`.
            unsafe { vst1q_s32(out.as_mut_ptr(), sum) };
        }
    }
}

/// Weighted sums of values; `dims` is a multiple of 16.
#[target_feature(enable = "neon")]
pub(in crate::kernels) fn weigh(
    high: &[u8],
    low: &[u8],
    values: &[i8],
    dims: usize,
    out_high: &mut [i32],
    out_low: &mut [i32],
) {
    for dim in (0..dims).step_by(DIMS_PLAIN) {
        // Two positions per lane, so two lanes for a dimension.
        let (mut sum_high, mut sum_low) = ([vdupq_n_s32(0); 8], [vdupq_n_s32(0); 8]);
        let quads = high.chunks_exact(4).zip(low.chunks_exact(4));
        for (values, (h, l)) in values.chunks_exact(dims * 4).zip(quads) {
            if h == [0; 4] && l == [0; 4] {
                continue;
            }
            let (h, l) = (vget_low_s8(quad_u8(h)), vget_low_s8(quad_u8(l)));
            let values = &values[dim * 4..(dim + DIMS_PLAIN) * 4];
            for i in 0..8 {
                // SAFETY: 64 bytes lie in `values`.
                let v = unsafe { vld1_s8(values.as_ptr().add(8 * i)) };
                // A product is at most 127 * 127, and pairs are added in 32 bits.
                sum_high[i] = vpadalq_s16(sum_high[i], vmull_s8(v, h));
                sum_low[i] = vpadalq_s16(sum_low[i], vmull_s8(v, l));
            }
        }
        let outputs = [(&mut *out_high, sum_high), (&mut *out_low, sum_low)];
        for (out, sums) in outputs {
            let out = out[dim..dim + DIMS_PLAIN].chunks_exact_mut(4);
            for (out, sums) in out.zip(sums.chunks_exact(2)) {
                // SAFETY: four integers lie in `out`.
                unsafe { vst1q_s32(out.as_mut_ptr(), vpaddq_s32(sums[0], sums[1])) };
            }
        }
    }
}

/// [`weigh`] with dot products.
#[target_feature(enable = "neon,dotprod")]
pub(in crate::kernels) fn weigh_dot(
    high: &[u8],
    low: &[u8],
    values: &[i8],
    dims: usize,
    out_high: &mut [i32],
    out_low: &mut [i32],
) {
    let mut dim = 0;
    while dim + DIMS_DOT <= dims {
        weighted::<{ DIMS_DOT / 4 }>(high, low, values, dims, dim, out_high, out_low);
        dim += DIMS_DOT;
    }
    if dim < dims {
        weighted::<4>(high, low, values, dims, dim, out_high, out_low);
    }
}

/// Sums of `4 * N` dimensions from `dim` on, both weight planes.
#[target_feature(enable = "neon,dotprod")]
fn weighted<const N: usize>(
    high: &[u8],
    low: &[u8],
    values: &[i8],
    dims: usize,
    dim: usize,
    out_high: &mut [i32],
    out_low: &mut [i32],
) {
    let (mut sum_high, mut sum_low) = ([vdupq_n_s32(0); N], [vdupq_n_s32(0); N]);
    let quads = high.chunks_exact(4).zip(low.chunks_exact(4));
    for (values, (h, l)) in values.chunks_exact(dims * 4).zip(quads) {
        if h == [0; 4] && l == [0; 4] {
            continue;
        }
        let (h, l) = (quad_u8(h), quad_u8(l));
        let values = &values[dim * 4..(dim + 4 * N) * 4];
        for i in 0..N {
            // SAFETY: `values` holds N vectors.
            let v = unsafe { vld1q_s8(values.as_ptr().add(16 * i)) };
            sum_high[i] = dot(sum_high[i], v, h);
            sum_low[i] = dot(sum_low[i], v, l);
        }
    }
    let (out_high, out_low) = (
        &mut out_high[dim..dim + 4 * N],
        &mut out_low[dim..dim + 4 * N],
    );
    for i in 0..N {
        // SAFETY: both outputs hold 4 * N integers.
        unsafe {
            vst1q_s32(out_high.as_mut_ptr().add(4 * i), sum_high[i]);
            vst1q_s32(out_low.as_mut_ptr().add(4 * i), sum_low[i]);
        }
    }
}

/// Four bytes in every lane.
#[inline]
#[target_feature(enable = "neon")]
fn quad(bytes: &[i8]) -> int8x16_t {
    let bytes: [i8; 4] = bytes.try_into().expect("BUG: chunks of four");
    vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(bytes.map(|b| b as u8))))
}

/// Four weights of seven bits in every lane.
#[inline]
#[target_feature(enable = "neon")]
fn quad_u8(bytes: &[u8]) -> int8x16_t {
    let bytes: [u8; 4] = bytes.try_into().expect("BUG: chunks of four");
    vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(bytes)))
}
