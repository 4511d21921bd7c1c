//! F32Z sums and products from 32-bit integer operations alone.
//!
//! For machines whose floats cannot be trusted: shader languages that may flush, fuse or approximate, and cores without a
//! floating-point unit. Operands and results are F32Z bit patterns; equal to [`super::add`] and [`super::mul`] on all of them.

use super::{MAX_BITS, SIGN};

/// Product of two F32Z bit patterns.
pub fn mul(a: u32, b: u32) -> u32 {
    if a << 1 == 0 || b << 1 == 0 {
        return 0;
    }
    let sign = (a ^ b) & SIGN;
    let mut exponent = exponent_of(a) + exponent_of(b) - 127;
    let (x, y) = (mantissa_of(a), mantissa_of(b));
    // 24 x 24 bits through 12-bit halves: top and low hold 24 bits each.
    let (x_high, x_low, y_high, y_low) = (x >> 12, x & 0xfff, y >> 12, y & 0xfff);
    let middle = x_high * y_low + x_low * y_high;
    let mut low = ((middle & 0xfff) << 12) + x_low * y_low;
    let mut top = x_high * y_high + (middle >> 12) + (low >> 24);
    low &= 0x00ff_ffff;
    if top >= 0x0080_0000 {
        exponent += 1;
    } else {
        top = (top << 1) | (low >> 23);
        low = (low << 1) & 0x00ff_ffff;
    }
    top += u32::from(low > 0x0080_0000 || (low == 0x0080_0000 && top & 1 == 1));
    pack(sign, exponent, top)
}

/// Sum of two F32Z bit patterns.
pub fn add(a: u32, b: u32) -> u32 {
    if a << 1 == 0 {
        return if b << 1 == 0 { 0 } else { b };
    }
    if b << 1 == 0 {
        return a;
    }
    let (a, b) = if a & !SIGN < b & !SIGN {
        (b, a)
    } else {
        (a, b)
    };
    let mut exponent = exponent_of(a);
    let distance = (exponent - exponent_of(b)) as u32;
    // Six more bits: guard bits and one that stays set once anything was shifted out.
    let (mut x, mut y) = (mantissa_of(a) << 6, mantissa_of(b) << 6);
    if distance > 30 {
        y = 1;
    } else if distance > 0 {
        y = (y >> distance) | u32::from(y << (32 - distance) != 0);
    }
    if (a ^ b) & SIGN != 0 {
        x -= y;
        if x == 0 {
            return 0;
        }
    } else {
        x += y;
    }
    let shift = x.leading_zeros() as i32 - 2; // the top bit belongs at 29
    if shift > 0 {
        x <<= shift;
    } else if shift < 0 {
        x = (x >> 1) | (x & 1);
    }
    exponent -= shift;
    let rest = x & 63;
    let mantissa = (x >> 6) + u32::from(rest > 32 || (rest == 32 && (x >> 6) & 1 == 1));
    pack(a & SIGN, exponent, mantissa)
}

/// Difference of two F32Z bit patterns.
pub fn sub(a: u32, b: u32) -> u32 {
    add(a, if b << 1 == 0 { 0 } else { b ^ SIGN })
}

fn exponent_of(a: u32) -> i32 {
    ((a >> 23) & 255) as i32
}

fn mantissa_of(a: u32) -> u32 {
    (a & 0x007f_ffff) | 0x0080_0000
}

/// Clamps and packs; the mantissa is in 2^23..=2^24.
fn pack(sign: u32, exponent: i32, mantissa: u32) -> u32 {
    let (exponent, mantissa) = if mantissa == 0x0100_0000 {
        (exponent + 1, 0x0080_0000)
    } else {
        (exponent, mantissa)
    };
    if exponent < 27 {
        0
    } else if exponent > 227 || (exponent == 227 && mantissa > 0x0080_0000) {
        sign | MAX_BITS
    } else {
        sign | ((exponent as u32) << 23) | (mantissa & 0x007f_ffff)
    }
}
