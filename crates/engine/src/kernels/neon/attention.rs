//! Attention's integer sums with NEON; see [`crate::kernels::attention`] for how keys and values lie.

use std::arch::aarch64::*;

use super::dot::dot;
use crate::kernels::attention::{Query, planes};

/// Bytes of one group of four dimensions of 16 positions.
const GROUP: usize = 64;
/// Dimensions whose sums are made together with dot products: eight accumulators per plane.
const DIMS_DOT: usize = 32;
/// Dimensions whose sums are made together without: 16 accumulators.
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
            // SAFETY: four integers lie in `out`.
            unsafe { vst1q_s32(out.as_mut_ptr(), each_sum(sums)) };
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

/// Weighted sums of the values of a page; `dims` is a multiple of 16.
#[target_feature(enable = "neon")]
pub(in crate::kernels) fn weigh(weights: &[i16], values: &[i8], dims: usize, sums: &mut [i32]) {
    for dim in (0..dims).step_by(DIMS_PLAIN) {
        // One dimension per vector; lanes are positions.
        let mut lanes = [vdupq_n_s32(0); DIMS_PLAIN];
        let values = values.chunks_exact(dims * 4);
        for (values, w) in values.zip(weights.chunks_exact(4)) {
            if w == [0; 4] {
                continue;
            }
            // SAFETY: four weights lie in `w`.
            let w = unsafe { vld1_s16(w.as_ptr()) };
            let values = &values[dim * 4..(dim + DIMS_PLAIN) * 4];
            for (i, lanes) in lanes.chunks_exact_mut(2).enumerate() {
                // SAFETY: 64 bytes lie in `values`.
                let v = vmovl_s8(unsafe { vld1_s8(values.as_ptr().add(8 * i)) });
                lanes[0] = vmlal_s16(lanes[0], vget_low_s16(v), w);
                lanes[1] = vmlal_s16(lanes[1], vget_high_s16(v), w);
            }
        }
        let sums = sums[dim..dim + DIMS_PLAIN].chunks_exact_mut(4);
        for (sums, lanes) in sums.zip(lanes.chunks_exact(4)) {
            // SAFETY: four integers lie in `sums`.
            unsafe { vst1q_s32(sums.as_mut_ptr(), each_sum(lanes)) };
        }
    }
}

/// Lane `i` is the sum of all lanes of vector `i`.
#[inline]
#[target_feature(enable = "neon")]
fn each_sum(v: &[int32x4_t]) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]))
}

/// [`weigh`] with dot products of the weights' planes.
#[target_feature(enable = "neon,dotprod")]
pub(in crate::kernels) fn weigh_dot(weights: &[i16], values: &[i8], dims: usize, sums: &mut [i32]) {
    let [high, low] = planes(weights);
    let (high, low) = (&high[..weights.len()], &low[..weights.len()]);
    let mut dim = 0;
    while dim + DIMS_DOT <= dims {
        weighted::<{ DIMS_DOT / 4 }>(high, low, values, dims, dim, sums);
        dim += DIMS_DOT;
    }
    if dim < dims {
        weighted::<4>(high, low, values, dims, dim, sums);
    }
}

/// Sums of `4 * N` dimensions from `dim` on.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn weighted<const N: usize>(
    high: &[u8],
    low: &[u8],
    values: &[i8],
    dims: usize,
    dim: usize,
    sums: &mut [i32],
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
    let sums = &mut sums[dim..dim + 4 * N];
    for (i, sums) in sums.chunks_exact_mut(4).enumerate() {
        let sum = vaddq_s32(vshlq_n_s32::<7>(sum_high[i]), sum_low[i]);
        // SAFETY: four integers lie in `sums`.
        unsafe { vst1q_s32(sums.as_mut_ptr(), sum) };
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
