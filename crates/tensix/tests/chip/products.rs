//! Random and extreme products, and what they must be.

use std::time::Duration;

use assay_engine::accelerator::{Accelerator as _, PlaneBatch};
use assay_engine::bounds::TERMS_MAX;
use assay_engine::kat;
use assay_tensix::multiplier::Multiplier;
use assay_tensix::noc::Noc;
use fastrand::Rng;

/// No run of the tiles takes as long, even where every cycle is simulated.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

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

pub(crate) fn multiplier(noc: Box<dyn Noc>) -> Multiplier {
    Multiplier::open(noc, DEADLINE).unwrap()
}

/// Small shapes, full and ragged, of every kind of values.
pub(crate) fn ordinary(noc: Box<dyn Noc>) {
    let mut multiplier = multiplier(noc);
    for shape in [(1, 1, 1), (32, 128, 32), (65, 130, 9), (150, 70, 2)] {
        for values in [Values::Any, Values::Narrow, Values::Extreme] {
            check(&mut multiplier, shape, values);
        }
    }
}

/// More columns than tiles for one token; then more tokens than one pass, with all of Dst in use.
pub(crate) fn over_all_tiles(noc: Box<dyn Noc>) {
    let mut multiplier = multiplier(noc);
    check(&mut multiplier, (5_300, 1_024, 1), Values::Any);
    check(&mut multiplier, (640, 640, 70), Values::Any);
}

/// What the engine asks of every accelerator.
pub(crate) fn known_answers(noc: Box<dyn Noc>) {
    kat::run_accelerator(&mut multiplier(noc), TERMS_MAX).unwrap();
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
