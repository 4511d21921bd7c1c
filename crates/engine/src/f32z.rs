//! F32Z, the only non-integer arithmetic: binary32 rounded to nearest even, then clamped.
//!
//! A value is +0 or a normal number with 2^-100 <= |x| <= 2^100. There is no NaN, infinity, -0 or subnormal, so rounding is
//! the only thing that hardware could do differently, and it does not. Division and square root serve scalars only, never
//! whole vectors, so that a device without them can use integers. The functions below are definitions: the order of their
//! operations is part of the result, a fused multiply-add is not the same function, and constants are bit patterns.

/// Smallest magnitude: 2^-100.
pub const MIN_BITS: u32 = 0x0d80_0000;
/// Largest magnitude: 2^100.
pub const MAX_BITS: u32 = 0x7180_0000;
/// log2(e), rounded.
pub const LOG2_E: f32 = f32::from_bits(0x3fb8_aa3b);

/// 2 * sqrt(2 / pi), rounded.
pub(crate) const GELU_LINEAR_BITS: u32 = 0x3fcc_422a;
/// 0.044715 * 2 * sqrt(2 / pi), rounded.
pub(crate) const GELU_CUBIC_BITS: u32 = 0x3d92_2279;

/// 0.3275911 / sqrt(2), rounded: the slope of the variable in [`normal`].
pub(crate) const NORMAL_SLOPE_BITS: u32 = 0x3e6d_3388;
/// log2(e) / 2, rounded.
pub(crate) const HALF_LOG2_E_BITS: u32 = 0x3f38_aa3b;
/// Half the coefficients of the error function's polynomial, highest degree first.
pub(crate) const NORMAL_COEFFICIENTS: [u32; 5] = [
    0x3f07_dc22,
    0xbf3a_00e3,
    0x3f35_f0e3,
    0xbe11_a98e,
    0x3e02_7906,
];
/// Bits of 8: beyond it the normal distribution is taken for 0 or 1, from which it differs by less than 2^-50.
pub(crate) const NORMAL_REACH_BITS: u32 = 0x4100_0000;

const SIGN: u32 = 0x8000_0000;
/// 1.5 * 2^23: adding it leaves the rounded integer in the low bits.
const MAGIC_BITS: u32 = 0x4b40_0000;
/// Horner coefficients of 2^f, highest degree first.
pub(crate) const EXP2_COEFFICIENTS: [u32; 7] = [
    0x3921_8489,
    0x3aae_c3ff,
    0x3c1d_955b,
    0x3d63_5847,
    0x3e75_fdf0,
    0x3f31_7218,
    0x3f80_0000,
];
/// Seed of the reciprocal: 1.4571068.
pub(crate) const RECIP_SEED_BITS: u32 = 0x3fba_827a;

/// Clamps any binary32 result, NaN included, into F32Z.
#[inline(always)]
pub fn z(r: f32) -> f32 {
    let bits = r.to_bits();
    // Magnitudes are compared as signed integers, for which more processors have vector instructions.
    let magnitude = (bits & !SIGN) as i32;
    let bounded = (bits & SIGN) | magnitude.min(MAX_BITS as i32) as u32;
    f32::from_bits(if magnitude < MIN_BITS as i32 {
        0
    } else {
        bounded
    })
}

/// Sum.
#[inline(always)]
pub fn add(a: f32, b: f32) -> f32 {
    z(a + b)
}

/// Difference.
#[inline(always)]
pub fn sub(a: f32, b: f32) -> f32 {
    z(a - b)
}

/// Product.
#[inline(always)]
pub fn mul(a: f32, b: f32) -> f32 {
    z(a * b)
}

/// Quotient of scalars; `b` is not zero.
#[inline]
pub fn div(a: f32, b: f32) -> f32 {
    z(a / b)
}

/// Square root of a scalar that is zero or positive, correctly rounded, from integers so that no library function is involved.
pub fn sqrt(a: f32) -> f32 {
    let bits = a.to_bits();
    if bits < MIN_BITS {
        return 0.0;
    }
    let exponent = (bits >> 23) as i32 - 127;
    let mantissa = u64::from((bits & 0x007f_ffff) | 0x0080_0000); // a = mantissa * 2^(exponent - 23)
    // An even power of two leaves the root; 25 or 26 result bits leave one or two for rounding.
    let odd = exponent.rem_euclid(2);
    let scaled = mantissa << (27 + odd); // root of it has 26 bits
    let root = scaled.isqrt();
    let sticky = u64::from(root * root != scaled);
    let kept = root >> 2;
    let rest = (root & 3) << 1 | sticky;
    let rounded = kept + u64::from(rest > 4 || (rest == 4 && kept & 1 == 1));
    let result_exponent = (exponent - odd) / 2;
    // `rounded` is in [2^23, 2^24]; adding it whole carries into the exponent when it is 2^24.
    f32::from_bits((((result_exponent + 126) as u32) << 23) + rounded as u32)
}

/// Integer to F32Z, one rounding.
#[inline(always)]
pub fn cvt(x: i32) -> f32 {
    x as f32
}

/// Exact 64-bit integer to F32Z, one rounding.
#[inline(always)]
pub fn cvt64(x: i64) -> f32 {
    x as f32
}

/// Nearest integer, ties to even; `|x| < 2^22`.
#[inline(always)]
pub fn rne(x: f32) -> i32 {
    // Wrapping, so that builds with overflow checks vectorise too; within the domain nothing wraps.
    ((x + f32::from_bits(MAGIC_BITS)).to_bits() as i32).wrapping_sub(MAGIC_BITS as i32)
}

/// Bits of the magnitude; magnitudes order as these integers do.
#[inline(always)]
pub fn abs_bits(x: f32) -> u32 {
    x.to_bits() & !SIGN
}

/// An integer that orders as the F32Z values do.
#[inline(always)]
pub fn order(x: f32) -> i32 {
    let bits = x.to_bits() as i32;
    bits ^ ((bits >> 31) & 0x7fff_ffff)
}

/// The value with this [`order`].
#[inline(always)]
pub fn from_order(key: i32) -> f32 {
    f32::from_bits((key ^ ((key >> 31) & 0x7fff_ffff)) as u32)
}

/// The greatest magnitude in a vector, zero for an empty one.
#[inline(always)]
pub fn max_abs(v: &[f32]) -> f32 {
    f32::from_bits(v.iter().fold(0, |m, x| m.max(abs_bits(*x))))
}

/// 2^-t for t in 0..=90: degree-six Horner on the fraction, then the exponent.
#[inline(always)]
pub fn exp2n(t: f32) -> f32 {
    let n = rne(t);
    let f = sub(cvt(n), t);
    let mut p = f32::from_bits(EXP2_COEFFICIENTS[0]);
    for c in &EXP2_COEFFICIENTS[1..] {
        p = add(mul(p, f), f32::from_bits(*c));
    }
    f32::from_bits(p.to_bits().wrapping_sub((n as u32) << 23))
}

/// 1/d for d in 1..=2: three Newton steps from a linear seed.
#[inline(always)]
pub fn recip12(d: f32) -> f32 {
    let mut y = sub(f32::from_bits(RECIP_SEED_BITS), mul(d, 0.5));
    for _ in 0..3 {
        y = mul(y, sub(2.0, mul(d, y)));
    }
    y
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let t = mul(f32::from_bits(abs_bits(x)), LOG2_E);
    let t = if abs_bits(t) > 0x4280_0000 { 64.0 } else { t };
    let e = exp2n(t);
    let r = recip12(add(1.0, e));
    if x.to_bits() & SIGN != 0 {
        mul(e, r)
    } else {
        r
    }
}

/// x / (1 + e^-x).
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    mul(x, sigmoid(x))
}

/// The approximation of x times the normal distribution of x by a hyperbolic tangent (Hendrycks and Gimpel, arXiv 1606.08415),
/// x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), written as x * sigmoid(x * (a + b x^2)).
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    mul(x, sigmoid(gelu_inner(x)))
}

/// The argument of the sigmoid in [`gelu_tanh`].
#[inline(always)]
pub(crate) fn gelu_inner(x: f32) -> f32 {
    let slope = add(
        mul(mul(x, x), f32::from_bits(GELU_CUBIC_BITS)),
        f32::from_bits(GELU_LINEAR_BITS),
    );
    mul(x, slope)
}

/// The share of a normal distribution below x: 1 - P(t) e^(-x^2 / 2) for x >= 0 and P(t) e^(-x^2 / 2) below, with
/// t = 1 / (1 + p |x| / sqrt(2)) and half the polynomial of Abramowitz and Stegun 7.1.26. Within 4e-7 of the real one.
///
/// Where 1 + p |x| / sqrt(2) leaves 1..=2, half of it is inverted and the result halved.
#[inline(always)]
pub fn normal(x: f32) -> f32 {
    let negative = x.to_bits() & SIGN != 0;
    if abs_bits(x) > NORMAL_REACH_BITS {
        return if negative { 0.0 } else { 1.0 };
    }
    let u = f32::from_bits(abs_bits(x));
    let d = add(1.0, mul(u, f32::from_bits(NORMAL_SLOPE_BITS)));
    let t = if d > 2.0 {
        mul(recip12(mul(d, 0.5)), 0.5)
    } else {
        recip12(d)
    };
    let mut p = f32::from_bits(NORMAL_COEFFICIENTS[0]);
    for c in &NORMAL_COEFFICIENTS[1..] {
        p = add(mul(p, t), f32::from_bits(*c));
    }
    let e = exp2n(mul(mul(u, u), f32::from_bits(HALF_LOG2_E_BITS)));
    let tail = mul(mul(p, t), e);
    if negative { tail } else { sub(1.0, tail) }
}

/// x times the normal distribution of x.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    mul(x, normal(x))
}

/// Nearest integer of a value in 0..2^32, ties to even, from its bits: for weights beyond the reach of [`rne`].
pub fn round_u32(x: f32) -> u32 {
    let bits = x.to_bits();
    let exponent = (bits >> 23) as i32 - 150; // x = mantissa * 2^exponent
    let mantissa = u64::from((bits & 0x007f_ffff) | 0x0080_0000);
    if bits & SIGN != 0 || exponent < -25 {
        return 0;
    }
    if exponent >= 0 {
        return u32::try_from(mantissa << exponent.min(32)).unwrap_or(u32::MAX);
    }
    let shift = -exponent as u32;
    let (kept, rest, half) = (
        mantissa >> shift,
        mantissa & ((1 << shift) - 1),
        1u64 << (shift - 1),
    );
    (kept + u64::from(rest > half || (rest == half && kept & 1 == 1))) as u32
}

pub mod soft;
#[cfg(test)]
mod tests;
