#![allow(
    clippy::disallowed_methods,
    reason = "library functions are what ours are compared with"
)]

use super::*;
use crate::model::tiny::Mix;

/// Random F32Z values: full range, close exponents, few bits, zero.
fn value(mix: &mut Mix) -> f32 {
    let bits = mix.bits() as u32;
    let kind = mix.below(8);
    let exponent = if kind < 4 {
        27 + mix.below(201) as u32
    } else {
        100 + mix.below(32) as u32
    };
    let mut bits = (bits & 0x807f_ffff) | (exponent << 23);
    if kind & 1 == 1 {
        bits &= 0xffff_f000;
    }
    z(if mix.below(64) == 0 {
        0.0
    } else {
        f32::from_bits(bits)
    })
}

#[test]
fn soft_arithmetic_equals_hardware() {
    let mut mix = Mix::new(1);
    for i in 0..4_000_000u32 {
        let a = value(&mut mix);
        let b = if i % 512 == 0 {
            -a + 0.0
        } else {
            value(&mut mix)
        };
        let (x, y) = (a.to_bits(), b.to_bits());
        assert_eq!(soft::mul(x, y), mul(a, b).to_bits(), "{a:e} * {b:e}");
        assert_eq!(soft::add(x, y), add(a, b).to_bits(), "{a:e} + {b:e}");
        assert_eq!(soft::sub(x, y), sub(a, b).to_bits(), "{a:e} - {b:e}");
    }
}

#[test]
fn integer_square_root_is_correctly_rounded() {
    let mut mix = Mix::new(2);
    for _ in 0..2_000_000 {
        let a = f32::from_bits(value(&mut mix).to_bits() & !SIGN);
        assert_eq!(sqrt(a).to_bits(), z(a.sqrt()).to_bits(), "{a:e}");
    }
    for bits in (0x3f00_0000u32..0x4100_0000).step_by(7) {
        let a = f32::from_bits(bits);
        assert_eq!(sqrt(a).to_bits(), a.sqrt().to_bits(), "{a:e}");
    }
}

#[test]
fn clamp_leaves_only_zero_and_bounded_normals() {
    for (from, to) in [
        (f32::NAN, 0x7180_0000),
        (f32::INFINITY, 0x7180_0000),
        (f32::NEG_INFINITY, 0xf180_0000),
        (-0.0, 0),
        (f32::from_bits(1), 0),
        (f32::from_bits(0x8d7f_ffff), 0),
        (f32::from_bits(0x0d80_0000), 0x0d80_0000),
        (f32::from_bits(0x7180_0001), 0x7180_0000),
        (-1.5, 0xbfc0_0000),
    ] {
        assert_eq!(z(from).to_bits(), to, "{from:e}");
    }
}

#[test]
fn order_agrees_with_comparison() {
    let mut mix = Mix::new(3);
    for _ in 0..100_000 {
        let (a, b) = (value(&mut mix), value(&mut mix));
        assert_eq!(order(a) < order(b), a < b);
        assert_eq!(from_order(order(a)).to_bits(), a.to_bits());
    }
}

#[test]
fn functions_stay_close_to_the_real_ones() {
    let mut worst = [0f64; 4];
    for i in 0..200_000u32 {
        let t = i as f32 * (64.0 / 200_000.0);
        worst[0] = worst[0].max((f64::from(exp2n(t)) / (-f64::from(t)).exp2() - 1.0).abs());
        let d = 1.0 + i as f32 / 200_000.0;
        worst[1] = worst[1].max((f64::from(recip12(d)) * f64::from(d) - 1.0).abs());
        let x = i as f32 * (40.0 / 200_000.0) - 20.0;
        if x != 0.0 {
            let exact = f64::from(x) / (1.0 + (-f64::from(x)).exp());
            worst[2] = worst[2].max((f64::from(silu(x)) / exact - 1.0).abs());
            let v = f64::from(x);
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (v + 0.044715 * v.powi(3));
            let exact = v / 2.0 * (1.0 + inner.tanh());
            worst[3] = worst[3].max((f64::from(gelu_tanh(x)) - exact).abs() / v.abs().max(1.0));
        }
    }
    assert!(
        worst[0] < 3e-7 && worst[1] < 2e-7 && worst[2] < 1.5e-6 && worst[3] < 3e-7,
        "{worst:?}"
    );
}

#[test]
fn the_normal_distribution_stays_close_to_the_real_one() {
    let mut worst = [0f64; 2];
    for i in -120_000..=120_000i32 {
        let x = i as f32 * (12.0 / 120_000.0);
        let v = f64::from(x);
        let exact = real_normal(v);
        worst[0] = worst[0].max((f64::from(normal(x)) - exact).abs());
        worst[1] = worst[1].max((f64::from(gelu(x)) - v * exact).abs() / v.abs().max(1.0));
    }
    assert!(worst[0] < 4e-7 && worst[1] < 2e-7, "{worst:?}");
    for (x, y) in [
        (0.0, 0.0f32),
        (8.000_001, 8.000_001),
        (-8.000_001, 0.0),
        (-1e30, 0.0),
        (1e30, 1e30),
        (1e-29, 5e-30),
    ] {
        assert_eq!(gelu(x), y, "{x}");
        assert_ne!(gelu(x).to_bits(), SIGN);
    }
}

/// The normal distribution by its series: the sum of x^(2n + 1) / (1 * 3 * .. * (2n + 1)) times the density, half apart.
fn real_normal(x: f64) -> f64 {
    if x.abs() > 9.0 {
        return if x < 0.0 { 0.0 } else { 1.0 };
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..400 {
        term *= x * x / f64::from(2 * n + 1);
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[test]
fn wide_rounding_is_to_nearest_even() {
    for (x, n) in [
        (0.0, 0),
        (0.5, 0),
        (0.500_000_06, 1),
        (1.5, 2),
        (2.5, 2),
        (1e-20, 0),
        (1_073_741_824.0, 1 << 30),
        (8_388_607.5, 8_388_608),
        (5e9, u32::MAX),
    ] {
        assert_eq!(round_u32(x), n, "{x}");
    }
    let mut mix = Mix::new(4);
    for _ in 0..100_000 {
        let x =
            f32::from_bits(((100 + mix.below(57)) as u32) << 23 | (mix.bits() as u32 & 0x7f_ffff));
        assert_eq!(
            f64::from(round_u32(x)),
            f64::from(x).round_ties_even(),
            "{x}"
        );
    }
}
