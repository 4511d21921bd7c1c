//! Random and extreme products, and what they must be.

use assay_engine::accelerator::{Accelerator as _, PlaneBatch};
use assay_tensix::multiplier::Multiplier;
use fastrand::Rng;

/// Largest A15 activation.
const A15_MAX: i32 = 16_319;

/// What the values of a product are like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values {
    /// All of the range.
    Any,
    /// Weights within -31..=31, for which the kernel takes two fidelity phases.
    Narrow,
    /// The largest, with signs that add up.
    Extreme,
}

/// Multiplies once and compares every sum.
pub(crate) fn check(
    multiplier: &mut Multiplier,
    (rows, cols, tokens): (usize, usize, usize),
    values: Values,
) {
    let mut random = Rng::with_seed((rows * 31 + cols * 7 + tokens) as u64);
    let weights: Vec<i8> = (0..rows * cols)
        .map(|i| match values {
            Values::Any => random.i8(-127..=127),
            Values::Narrow => random.i8(-31..=31),
            Values::Extreme => [127, -127][i / cols % 2],
        })
        .collect();
    let x: Vec<i32> = (0..tokens * cols)
        .map(|_| match values {
            Values::Extreme => A15_MAX,
            _ => random.i32(-A15_MAX..=A15_MAX),
        })
        .collect();
    let high: Vec<i8> = x.iter().map(|x| ((x + 64) >> 7) as i8).collect();
    let low: Vec<i8> = x
        .iter()
        .zip(&high)
        .map(|(x, high)| (x - 128 * i32::from(*high)) as i8)
        .collect();
    let batch = PlaneBatch {
        tokens,
        high: &high,
        low: &low,
    };
    let matrix = multiplier.load(rows, cols, &weights).unwrap();
    let mut sums = vec![i64::MIN; tokens * rows];
    multiplier.multiply(matrix, &batch, &mut sums).unwrap();
    for token in 0..tokens {
        for row in 0..rows {
            let exact: i64 = x[token * cols..][..cols]
                .iter()
                .zip(&weights[row * cols..][..cols])
                .map(|(x, w)| i64::from(*x) * i64::from(*w))
                .sum();
            assert_eq!(
                sums[token * rows + row],
                exact,
                "{rows} x {cols}, {values:?}: token {token}, row {row}"
            );
        }
    }
}
