//! The operators of encoders against the functions that they stand for, computed plainly in f64.
#![allow(
    clippy::disallowed_methods,
    reason = "library functions are what ours are compared with"
)]

use super::*;
use crate::model::tiny::Mix;

fn vector(mix: &mut Mix, n: usize, spread: f32, offset: f32) -> Vec<f32> {
    (0..n)
        .map(|_| add(mul(mix.unit(), spread), offset))
        .collect()
}

fn close(found: &[f32], exact: &[f64], within: f64) {
    for (i, (found, exact)) in found.iter().zip(exact).enumerate() {
        assert!(
            (f64::from(*found) - exact).abs() <= within,
            "element {i} is {found}, exactly {exact}"
        );
    }
}

#[test]
fn layer_norm_is_close_to_the_real_one() {
    let mut mix = Mix::new(1);
    for n in [2, 3, 72, 384, 4_096] {
        for (spread, offset) in [
            (1.0, 0.0),
            (3.0, 1.0),
            (1e-20, 0.0),
            (1e12, -1e11),
            (1.0, 4.0),
        ] {
            let mut x = vector(&mut mix, n, spread, offset);
            // One channel is far larger than the others, as happens in real encoders.
            x[n / 2] = mul(x[n / 2], 8.0);
            let (gain, bias) = (vector(&mut mix, n, 0.5, 1.0), vector(&mut mix, n, 1.0, 0.0));
            let eps = 1e-12f32;
            let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / n as f64;
            let square = |v: &f32| (f64::from(*v) - mean) * (f64::from(*v) - mean);
            let variance = x.iter().map(square).sum::<f64>() / n as f64;
            let inverse = 1.0 / (variance + f64::from(eps)).sqrt();
            let exact: Vec<f64> = x
                .iter()
                .zip(&gain)
                .zip(&bias)
                .map(|((x, g), b)| (f64::from(*x) - mean) * inverse * f64::from(*g) + f64::from(*b))
                .collect();
            close(&layer_norm(&x, &gain, &bias, eps), &exact, 2e-3);
        }
    }
}

#[test]
fn layer_norm_of_zeros_is_the_bias() {
    let bias = [1.0, -2.0, 0.0];
    assert_eq!(layer_norm(&[0.0; 3], &[3.0; 3], &bias, 1e-12), bias);
    assert_eq!(layer_norm(&[5.0], &[3.0], &[7.0], 1e-5), [7.0]);
}

#[test]
fn layer_norm_takes_the_widest_vector_at_full_scale() {
    // Half the elements at either end: no sum is larger than these.
    let x: Vec<f32> = (0..LAYER_NORM_MAX)
        .map(|i| if i % 2 == 0 { 1.0 } else { -1.0 })
        .collect();
    let ones = vec![1.0; LAYER_NORM_MAX];
    let zeros = vec![0.0; LAYER_NORM_MAX];
    let found = layer_norm(&x, &ones, &zeros, 1e-12);
    assert!(found.iter().zip(&x).all(|(y, x)| (y - x).abs() < 1e-6));
    // All at one end: the variance is exactly zero.
    let (mean, inverse) = centre(1.0, 65_536 * 32_767, 65_536 * 32_767 * 32_767, 65_536, 0.25);
    assert_eq!(inverse, 2.0);
    assert!((mean - 1.0).abs() < 1e-6);
}

#[test]
#[should_panic(expected = "BUG: a norm over 65537 elements")]
fn layer_norm_refuses_a_wider_vector() {
    centre(1.0, 0, 0, LAYER_NORM_MAX + 1, 1e-5);
}

#[test]
fn mean_rows_is_close_to_the_real_mean_in_any_order() {
    let mut mix = Mix::new(2);
    let (rows, dim) = (37, 19);
    let x = vector(&mut mix, rows * dim, 3.0, 0.5);
    let found = mean_rows(&x, dim);
    let exact: Vec<f64> = (0..dim)
        .map(|i| (0..rows).map(|r| f64::from(x[r * dim + i])).sum::<f64>() / rows as f64)
        .collect();
    close(&found, &exact, 1e-4);
    let turned: Vec<f32> = x.chunks(dim).rev().flatten().copied().collect();
    assert_eq!(mean_rows(&turned, dim), found);
    assert_eq!(mean_rows(&[0.0; 6], 3), [0.0; 3]);
}

#[test]
fn normalised_vectors_have_length_one() {
    let mut mix = Mix::new(3);
    for (n, spread) in [(1, 1.0), (5, 1e-20), (384, 0.1), (4_096, 1e25)] {
        let x = vector(&mut mix, n, spread, 0.0);
        let length = |v: &[f32]| v.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let found = normalise(&x);
        let exact: Vec<f64> = x.iter().map(|v| f64::from(*v) / length(&x)).collect();
        close(&found, &exact, 2e-5);
        assert!((length(&found) - 1.0).abs() < 2e-5, "{}", length(&found));
    }
    assert_eq!(normalise(&[0.0; 4]), [0.0; 4]);
    let least = [f32::from_bits(f32z::MIN_BITS); 4];
    assert_eq!(normalise(&least), [0.5; 4]);
    let most = [f32::from_bits(f32z::MAX_BITS); 4];
    assert!(normalise(&most).iter().all(|v| (v - 0.5).abs() < 1e-6));
}
