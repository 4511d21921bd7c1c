//! How a conversion keeps the loss of rounding small: the scale of each weight row, and gains that make keys even.
//!
//! Both are functions of the source alone, computed by operations that are rounded in the same way everywhere.

use crate::{f32z, model::Rope};

/// Scales that are tried for a row: the greatest magnitude over [`SCALE_FIRST`], over [`SCALE_STEP`] more, and so on.
const SCALES: u16 = 16;
const SCALE_FIRST: u16 = 127;
const SCALE_STEP: u16 = 3;
/// Running sums of a row's error.
const LANES: usize = 8;
/// Greatest exponent of a key's factor, of either sign.
const EXPONENT_MAX: i32 = 8;

/// Rounds a row to int8 and returns its scale: of some that are tried the one with the least sum of squared errors, the
/// largest among equals. A smaller scale than the first clips the largest weights and serves all others better.
pub(super) fn quantize(values: &[f32], weights: &mut [i8]) -> f32 {
    let top = f32z::max_abs(values);
    let mut best = (f64::INFINITY, 0.0);
    for i in 0..SCALES {
        let scale = f32z::div(top, f32::from(SCALE_FIRST + i * SCALE_STEP));
        if scale == 0.0 {
            break;
        }
        let found = error(values, scale);
        if found < best.0 {
            best = (found, scale);
        }
    }
    let (_, scale) = best;
    if scale == 0.0 {
        weights.fill(0);
        return 0.0;
    }
    for (weight, value) in weights.iter_mut().zip(values) {
        *weight = rounded(*value, scale) as i8;
    }
    scale
}

/// Sum of the squared errors of a row, in binary64: value `i` counts in sum `i mod 8`, and these are added in turn.
fn error(values: &[f32], scale: f32) -> f64 {
    let mut sums = [0.0f64; LANES];
    let (whole, rest) = values.as_chunks::<LANES>();
    for values in whole {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += squared_error(*value, scale);
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum += squared_error(*value, scale);
    }
    sums.iter().sum()
}

#[inline]
fn squared_error(value: f32, scale: f32) -> f64 {
    let error = f64::from(rounded(value, scale)) * f64::from(scale) - f64::from(value);
    error * error
}

/// The weight under a scale: `clamp(rne(div(value, scale)), -127, 127)`. The quotient is small, and what F32Z would make zero of it rounds to zero.
#[inline]
fn rounded(value: f32, scale: f32) -> i32 {
    f32z::rne(value / scale).clamp(-127, 127)
}

/// Turns the gains of a head's keys into the factors that the gains of its queries are multiplied by, and those of its keys
/// divided by. Scores stay what they were, and keys lose less when they are rounded with one scale for a head.
///
/// Both halves of a pair that is rotated have one factor: the power of two nearest to the root of the mean square of their gains, so
/// that nothing is rounded here, at least 2^-8 and at most 2^8. Where both gains are zero it is 1.
pub(super) fn key_factors(gains: &mut [f32], rope: Rope) {
    let half = gains.len() / 2;
    for pair in 0..half {
        let (a, b) = match rope {
            Rope::Interleaved => (2 * pair, 2 * pair + 1),
            Rope::HalfSplit => (pair, pair + half),
        };
        let factor = factor(gains[a], gains[b]);
        (gains[a], gains[b]) = (factor, factor);
    }
}

fn factor(a: f32, b: f32) -> f32 {
    let (a, b) = (f64::from(a), f64::from(b));
    // Squares of binary32 numbers are exact here, and the exponent is that of their rounded sum.
    let mean = (a * a + b * b) / 2.0;
    if mean == 0.0 {
        return 1.0;
    }
    // Normal: F32Z has no number whose square would not be.
    let floor = (mean.to_bits() >> 52) as i32 - 1_023;
    let nearest = (floor + 1).div_euclid(2);
    let exponent = nearest.clamp(-EXPONENT_MAX, EXPONENT_MAX);
    f32::from_bits(((127 + exponent) as u32) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32]) -> (f32, Vec<i8>) {
        let mut weights = vec![0; values.len()];
        (quantize(values, &mut weights), weights)
    }

    #[test]
    fn a_row_without_outliers_keeps_its_greatest_weight() {
        let values: Vec<f32> = (-127..=127).map(|i| i as f32 / 127.0).collect();
        let (scale, weights) = row(&values);
        assert_eq!(scale, f32z::div(1.0, 127.0));
        assert!(weights.iter().map(|w| i32::from(*w)).eq(-127..=127));
    }

    #[test]
    fn a_row_with_an_outlier_clips_it_where_that_serves_the_others() {
        let mut values: Vec<f32> = (0..4_096).map(|i| (i % 101) as f32 / 700.0).collect();
        values[7] = 0.16;
        let (scale, weights) = row(&values);
        assert!(scale < f32z::div(0.16, 127.0));
        assert_eq!(weights[7], 127);
        let first = f32z::div(0.16, 127.0);
        assert!(error(&values, scale) < error(&values, first));
    }

    #[test]
    fn rounding_is_that_of_the_operators() {
        for i in -40_000..40_000 {
            let (value, scale) = (i as f32 / 7_919.0, 0.031_25);
            let expected = f32z::rne(f32z::div(value, scale)).clamp(-127, 127);
            assert_eq!(rounded(value, scale), expected);
        }
        for tie in [0.5f32, 1.5, 2.5, -0.5, -1.5, 126.5, -126.5, 171.5] {
            let expected = f32z::rne(tie).clamp(-127, 127);
            assert_eq!(rounded(tie, 1.0), expected);
        }
    }

    #[test]
    fn zeros_and_the_smallest_numbers_round_to_zero() {
        assert_eq!(row(&[0.0, 0.0]), (0.0, vec![0, 0]));
        assert_eq!(row(&[]), (0.0, vec![]));
        let least = f32::from_bits(f32z::MIN_BITS);
        assert_eq!(row(&[least, -least]), (0.0, vec![0, 0]));
    }

    #[test]
    fn factors_are_powers_of_two_near_the_gains_and_pairs_share_them() {
        let mut gains = [1.0, 3.0, -20.0, 0.0, 1e30, 1.4, 3.0, 20.0, 0.0, 1e30];
        key_factors(&mut gains, Rope::HalfSplit);
        assert_eq!(
            gains,
            [1.0, 4.0, 16.0, 1.0, 256.0, 1.0, 4.0, 16.0, 1.0, 256.0]
        );
        let mut gains = [1.0, 1.4, 1e-30, 0.0];
        key_factors(&mut gains, Rope::Interleaved);
        assert_eq!(gains, [1.0, 1.0, 1.0 / 256.0, 1.0 / 256.0]);
    }

    #[test]
    fn the_nearest_power_of_two_changes_at_the_square_root_of_two() {
        for (gain, expected) in [
            (1.41, 1.0),
            (1.42, 2.0),
            (2.82, 2.0),
            (2.83, 4.0),
            (0.71, 1.0),
            (0.70, 0.5),
        ] {
            assert_eq!(factor(gain, gain), expected, "{gain}");
        }
    }
}
