//! One product over several chips: each has some of every matrix's outputs, and all work at once.

use std::thread;

use assay_engine::accelerator::{Accelerator, AcceleratorError, Handle, PlaneBatch};

/// Chips, at least one, that share every matrix.
#[derive(Debug)]
pub struct Split<A> {
    chips: Vec<A>,
    matrices: Vec<Vec<Part>>,
}

/// Consecutive outputs of a matrix on the chip of the same index.
#[derive(Clone, Copy, Debug)]
struct Part {
    handle: Handle,
    first: usize,
    rows: usize,
}

impl<A: Accelerator + Send> Split<A> {
    /// Lets chips work together.
    pub fn new(chips: Vec<A>) -> Self {
        Self {
            chips,
            matrices: Vec::new(),
        }
    }
}

impl<A: Accelerator + Send> Accelerator for Split<A> {
    fn load(
        &mut self,
        rows: usize,
        cols: usize,
        weights: &[i8],
    ) -> Result<Handle, AcceleratorError> {
        if rows.checked_mul(cols) != Some(weights.len()) || weights.is_empty() {
            return Err(AcceleratorError::Shape { what: "a matrix" });
        }
        let each = rows.div_ceil(self.chips.len());
        let mut parts = Vec::with_capacity(self.chips.len());
        // The first chips have something; of few rows the last ones have none. Of equal chips the first fills up first, so no other
        // takes a part in vain.
        for (chip, weights) in self.chips.iter_mut().zip(weights.chunks(each * cols)) {
            let rows = weights.len() / cols;
            parts.push(Part {
                handle: chip.load(rows, cols, weights)?,
                first: parts.len() * each,
                rows,
            });
        }
        self.matrices.push(parts);
        Ok(Handle(self.matrices.len() as u32 - 1))
    }

    fn multiply(
        &mut self,
        matrix: Handle,
        x: &PlaneBatch<'_>,
        sums: &mut [i64],
    ) -> Result<(), AcceleratorError> {
        let parts = self
            .matrices
            .get(matrix.0 as usize)
            .ok_or(AcceleratorError::Shape { what: "a handle" })?;
        let all: usize = parts.iter().map(|part| part.rows).sum();
        if x.tokens.checked_mul(all) != Some(sums.len()) {
            return Err(AcceleratorError::Shape {
                what: "room for sums",
            });
        }
        let made = thread::scope(|scope| {
            let running: Vec<_> = self
                .chips
                .iter_mut()
                .zip(parts)
                .map(|(chip, part)| {
                    scope.spawn(move || {
                        let mut sums = vec![0; x.tokens * part.rows];
                        chip.multiply(part.handle, x, &mut sums).map(|()| sums)
                    })
                })
                .collect();
            running
                .into_iter()
                .map(|thread| {
                    thread.join().unwrap_or_else(|_| {
                        Err(AcceleratorError::Lost("a chip's thread panicked".into()))
                    })
                })
                .collect::<Result<Vec<_>, _>>()
        })?;
        for (part, made) in parts.iter().zip(made) {
            for (token, made) in made.chunks_exact(part.rows).enumerate() {
                sums[token * all + part.first..][..part.rows].copy_from_slice(made);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use assay_engine::{accelerator::Host, bounds::TERMS_MAX, kat};
    use proptest::prelude::*;

    use super::*;

    fn split(chips: usize) -> Split<Host> {
        Split::new((0..chips).map(|_| Host::default()).collect())
    }

    #[test]
    fn several_chips_give_the_known_answers() {
        for chips in [1, 2, 8] {
            kat::run_accelerator(&mut split(chips), TERMS_MAX).unwrap();
        }
    }

    #[test]
    fn a_chip_that_is_lost_fails_the_product() {
        #[derive(Debug)]
        struct Lost(Host);
        impl Accelerator for Lost {
            fn load(
                &mut self,
                rows: usize,
                cols: usize,
                weights: &[i8],
            ) -> Result<Handle, AcceleratorError> {
                self.0.load(rows, cols, weights)
            }
            fn multiply(
                &mut self,
                _: Handle,
                _: &PlaneBatch<'_>,
                _: &mut [i64],
            ) -> Result<(), AcceleratorError> {
                Err(AcceleratorError::Lost("gone".into()))
            }
        }
        let mut split = Split::new(vec![Lost(Host::default()), Lost(Host::default())]);
        let matrix = split.load(2, 1, &[1, 2]).unwrap();
        let x = PlaneBatch {
            tokens: 1,
            high: &[1],
            low: &[1],
        };
        assert_eq!(
            split.multiply(matrix, &x, &mut [0; 2]),
            Err(AcceleratorError::Lost("gone".into()))
        );
        let refused = |what| Err(AcceleratorError::Shape { what });
        assert_eq!(
            split.multiply(Handle(1), &x, &mut [0; 2]),
            refused("a handle")
        );
        assert_eq!(
            split.multiply(matrix, &x, &mut [0; 3]),
            refused("room for sums")
        );
        assert_eq!(split.load(2, 1, &[1]).map(|_| ()), refused("a matrix"));
    }

    proptest! {
        #[test]
        fn outputs_come_together_in_order(
            chips in 1usize..6, rows in 1usize..20, cols in 1usize..9, tokens in 0usize..4, seed in any::<u64>(),
        ) {
            let mut random = fastrand::Rng::with_seed(seed);
            let weights: Vec<i8> = (0..rows * cols).map(|_| random.i8(-127..=127)).collect();
            let high: Vec<i8> = (0..tokens * cols).map(|_| random.i8(-127..=127)).collect();
            let low: Vec<i8> = (0..tokens * cols).map(|_| random.i8(-64..=63)).collect();
            let x = PlaneBatch { tokens, high: &high, low: &low };
            let made = |device: &mut dyn Accelerator| {
                let mut sums = vec![0; tokens * rows];
                let matrix = device.load(rows, cols, &weights).unwrap();
                device.multiply(matrix, &x, &mut sums).unwrap();
                sums
            };
            prop_assert_eq!(made(&mut split(chips)), made(&mut Host::default()));
        }
    }
}
