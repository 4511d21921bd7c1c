//! What a device needs to take part: exact int8 products with weights that stay on it.
//!
//! Everything else (norms, attention, scaling, sampling) is F32Z on the host, so a device that multiplies and adds integers exactly gives canonical
//! results. Whether it does is tested before it is used: [`crate::kat::run_accelerator`].

use alloc::{string::String, vec::Vec};

use crate::{bounds::TERMS_MAX, ops};

/// A matrix resident on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(pub u32);

/// A15 vectors of several tokens: `value = 128 * high + low`.
#[derive(Clone, Copy, Debug)]
pub struct PlaneBatch<'a> {
    /// How many vectors.
    pub tokens: usize,
    /// (token, col), in -127..=127.
    pub high: &'a [i8],
    /// (token, col), in -64..=63.
    pub low: &'a [i8],
}

impl PlaneBatch<'_> {
    /// Whether the planes are of vectors of `cols` values, and `sums` has room for what `rows` rows give.
    pub fn check(&self, rows: usize, cols: usize, sums: &[i64]) -> Result<(), AcceleratorError> {
        let values = self.tokens.checked_mul(cols);
        if values != Some(self.high.len()) || values != Some(self.low.len()) {
            return Err(AcceleratorError::Shape { what: "vectors" });
        }
        if self.tokens.checked_mul(rows) != Some(sums.len()) {
            return Err(AcceleratorError::Shape {
                what: "room for sums",
            });
        }
        Ok(())
    }
}

/// What a device may fail with. None of it is about numbers: a device that cannot be exact must not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceleratorError {
    /// The matrix does not fit.
    #[error(
        "device has no room for {bytes} bytes of weights; use a smaller model or another device"
    )]
    Memory {
        /// Size of the matrix.
        bytes: usize,
    },
    /// Lengths that do not belong together, or a handle of another device.
    #[error("device was given {what} of a wrong size")]
    Shape {
        /// What is wrong.
        what: &'static str,
    },
    /// The device stopped answering.
    #[error("device failed: {0}; restart it and run the known answers")]
    Lost(String),
}

/// Integer matrix products over resident weights.
pub trait Accelerator {
    /// Makes a matrix resident; `weights` is (row, col) without -128, and `cols` at most [`TERMS_MAX`].
    fn load(
        &mut self,
        rows: usize,
        cols: usize,
        weights: &[i8],
    ) -> Result<Handle, AcceleratorError>;

    /// Writes the exact sums, (token, row), of every vector with every row.
    fn multiply(
        &mut self,
        matrix: Handle,
        x: &PlaneBatch<'_>,
        sums: &mut [i64],
    ) -> Result<(), AcceleratorError>;
}

/// The host as a device: the plain operator. What real devices are compared with.
#[derive(Debug, Default)]
pub struct Host {
    matrices: Vec<Resident>,
}

#[derive(Debug)]
struct Resident {
    rows: usize,
    cols: usize,
    weights: Vec<i8>,
}

impl Accelerator for Host {
    fn load(
        &mut self,
        rows: usize,
        cols: usize,
        weights: &[i8],
    ) -> Result<Handle, AcceleratorError> {
        if rows.checked_mul(cols) != Some(weights.len()) || cols == 0 || cols > TERMS_MAX {
            return Err(AcceleratorError::Shape { what: "a matrix" });
        }
        self.matrices.push(Resident {
            rows,
            cols,
            weights: weights.to_vec(),
        });
        Ok(Handle(self.matrices.len() as u32 - 1))
    }

    fn multiply(
        &mut self,
        matrix: Handle,
        x: &PlaneBatch<'_>,
        sums: &mut [i64],
    ) -> Result<(), AcceleratorError> {
        let Resident {
            rows,
            cols,
            weights,
        } = self
            .matrices
            .get(matrix.0 as usize)
            .ok_or(AcceleratorError::Shape { what: "a handle" })?;
        x.check(*rows, *cols, sums)?;
        for ((high, low), sums) in x
            .high
            .chunks_exact(*cols)
            .zip(x.low.chunks_exact(*cols))
            .zip(sums.chunks_exact_mut(*rows))
        {
            for (sum, row) in sums.iter_mut().zip(weights.chunks_exact(*cols)) {
                *sum = ops::dot(high, low, row);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The host, with something done to each of its answers.
    pub(crate) struct Spoiled<F>(pub(crate) Host, pub(crate) F);

    impl<F: FnMut(&mut [i64])> Accelerator for Spoiled<F> {
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
            matrix: Handle,
            x: &PlaneBatch<'_>,
            sums: &mut [i64],
        ) -> Result<(), AcceleratorError> {
            self.0.multiply(matrix, x, sums)?;
            (self.1)(sums);
            Ok(())
        }
    }

    #[test]
    fn the_host_passes_the_known_answers() {
        assert_eq!(
            crate::kat::run_accelerator(&mut Host::default(), TERMS_MAX),
            Ok(())
        );
    }

    #[test]
    fn a_device_that_loses_one_unit_is_caught() {
        let mut off = Spoiled(Host::default(), |sums: &mut [i64]| {
            sums.iter_mut()
                .filter(|sum| **sum > i64::from(i32::MAX))
                .for_each(|sum| *sum -= 1);
        });
        let failure = crate::kat::run_accelerator(&mut off, TERMS_MAX);
        assert!(
            matches!(failure, Err(crate::kat::KatFailure::Wrong { .. })),
            "{failure:?}"
        );
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let mut host = Host::default();
        let refused = |what| Err(AcceleratorError::Shape { what });
        assert_eq!(host.load(2, 3, &[1; 5]).map(|_| ()), refused("a matrix"));
        assert_eq!(
            host.load(0, TERMS_MAX + 1, &[]).map(|_| ()),
            refused("a matrix")
        );
        let matrix = host.load(2, 3, &[1; 6]).unwrap();
        let x = |len: usize| (alloc::vec![1i8; len], alloc::vec![1i8; len]);
        let (high, low) = x(3);
        let batch = PlaneBatch {
            tokens: 1,
            high: &high,
            low: &low,
        };
        assert_eq!(
            host.multiply(Handle(1), &batch, &mut [0; 2]),
            refused("a handle")
        );
        assert_eq!(
            host.multiply(matrix, &PlaneBatch { tokens: 2, ..batch }, &mut [0; 4]),
            refused("vectors")
        );
        assert_eq!(
            host.multiply(matrix, &batch, &mut [0; 3]),
            refused("room for sums")
        );
        assert_eq!(host.multiply(matrix, &batch, &mut [0; 2]), Ok(()));
    }
}
