//! Operands of the matrix unit: sign-magnitude bytes, in the order in which the unpackers read them.
//!
//! The unit's 8-bit integers are a sign and seven bits of magnitude, so -128 does not exist: its byte would silently be read as
//! zero. [`SignMagnitude`] cannot hold it, and packing a matrix that has one fails.
//!
//! ```text
//! weights      (column of 64 outputs, chunk of 16 along K): 1 KiB, by (group of 16 outputs, depth, output)
//! activations  (block of 16 rows, step of 64 along K):      1 KiB, by (group of 16 along K, row, depth)
//! results      (column, block):                             4 KiB, by (group of 16 outputs, row, output), 32 bits each
//! ```
//!
//! What lies beyond a matrix's last row or column is zero and adds nothing.

use crate::isa::mailbox::{
    BLOCK_ROWS, CHUNK_BYTES, COLUMN_OUTPUTS, RESULT_BYTES, STEP_BYTES, STEP_DEPTH,
};

/// Most terms of one product of int8 values: 133,144 * 127 * 127 < 2^31, so the unit's saturating sum never saturates.
pub const TERMS_MAX: usize = 133_144;

/// Largest magnitude of weights for which two fidelity phases are exact.
pub const NARROW_MAX: u8 = 31;

/// Rows and columns of one 16 by 16 square, of which all orders here are made.
const SIDE: usize = 16;

/// Results of one block and 16 outputs: rows follow each other.
pub(crate) const GROUP_BYTES: usize = SIDE * SIDE * 4;

/// An integer in -127..=127 as the matrix unit reads it: bit 7 is the sign, the rest the magnitude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignMagnitude(u8);

impl SignMagnitude {
    /// None for -128, which has no such form.
    pub const fn new(value: i8) -> Option<Self> {
        match value {
            i8::MIN => None,
            0.. => Some(Self(value as u8)),
            _ => Some(Self(0x80 | value.unsigned_abs())),
        }
    }

    /// The byte for L1.
    pub const fn byte(self) -> u8 {
        self.0
    }
}

/// The sum in a result word; both of its zeros are zero.
pub const fn sum(word: u32) -> i32 {
    let magnitude = (word & 0x7FFF_FFFF) as i32;
    if word >> 31 == 1 {
        -magnitude
    } else {
        magnitude
    }
}

/// A matrix that the unit cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperandError {
    /// The one value that sign and magnitude cannot say.
    #[error("row {row}, column {col} is -128; quantise to -127..=127")]
    MinusOneTwentyEight {
        /// Row of the value.
        row: usize,
        /// Column of the value.
        col: usize,
    },
    /// Sums could saturate.
    #[error("{terms} terms in one product, at most {TERMS_MAX} surely fit 32 bits")]
    Terms {
        /// The matrix's columns.
        terms: usize,
    },
    /// Lengths that do not belong together.
    #[error("{values} values for {rows} rows of {cols}")]
    Shape {
        /// How many values there are.
        values: usize,
        /// Rows that they should fill.
        rows: usize,
        /// Columns that they should fill.
        cols: usize,
    },
}

/// Steps of 64 along K that hold `cols` columns.
pub fn steps(cols: usize) -> usize {
    cols.div_ceil(STEP_DEPTH as usize)
}

/// Columns of 64 outputs that hold `rows` rows of weights.
pub fn columns(rows: usize) -> usize {
    rows.div_ceil(COLUMN_OUTPUTS as usize)
}

/// Blocks of 16 that hold `rows` rows of activations.
pub fn blocks(rows: usize) -> usize {
    rows.div_ceil(BLOCK_ROWS as usize)
}

/// Weights of some columns in the order of GDDR; `narrow` when two fidelity phases are exact for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedWeights {
    /// (column, step, chunk of the step, group of 16 outputs, depth, output)
    pub bytes: Vec<u8>,
    /// Whether no magnitude is above [`NARROW_MAX`].
    pub narrow: bool,
}

/// Packs a matrix of weights; `values` is (row, col), and rows become outputs.
pub fn pack_weights(
    rows: usize,
    cols: usize,
    values: &[i8],
) -> Result<PackedWeights, OperandError> {
    check(rows, cols, values)?;
    let column_bytes = steps(cols) * STEP_BYTES as usize;
    let mut bytes = vec![0; columns(rows) * column_bytes];
    let mut widest = 0;
    for (row, line) in values.chunks_exact(cols).enumerate() {
        let (column, output) = (row / COLUMN_OUTPUTS as usize, row % COLUMN_OUTPUTS as usize);
        let within = column * column_bytes + output / SIDE * SIDE * SIDE + output % SIDE;
        for (col, &value) in line.iter().enumerate() {
            let packed =
                SignMagnitude::new(value).ok_or(OperandError::MinusOneTwentyEight { row, col })?;
            widest = widest.max(value.unsigned_abs());
            bytes[within + col / SIDE * CHUNK_BYTES as usize + col % SIDE * SIDE] = packed.byte();
        }
    }
    Ok(PackedWeights {
        bytes,
        narrow: widest <= NARROW_MAX,
    })
}

/// Packs rows of activations; `values` is (row, col). The bytes are (block, step, group along K, row, depth).
pub fn pack_activations(rows: usize, cols: usize, values: &[i8]) -> Result<Vec<u8>, OperandError> {
    check(rows, cols, values)?;
    let mut packed = Activations::new(rows, cols);
    for (row, line) in values.chunks_exact(cols).enumerate() {
        packed.set_row(row, line)?;
    }
    Ok(packed.bytes)
}

/// Rows of activations that are packed one by one.
#[derive(Debug)]
pub(crate) struct Activations {
    pub(crate) bytes: Vec<u8>,
    steps: usize,
}

impl Activations {
    /// Room for `rows` rows of `cols` values, all zero.
    pub(crate) fn new(rows: usize, cols: usize) -> Self {
        let steps = steps(cols);
        Self {
            bytes: vec![0; blocks(rows) * steps * CHUNK_BYTES as usize],
            steps,
        }
    }

    pub(crate) fn set_row(&mut self, row: usize, values: &[i8]) -> Result<(), OperandError> {
        let (block, within) = (row / BLOCK_ROWS as usize, row % BLOCK_ROWS as usize);
        let start = block * self.steps * CHUNK_BYTES as usize + within * SIDE;
        // A step's four groups along K follow each other, as the steps do.
        for (group, values) in values.chunks(SIDE).enumerate() {
            let target = &mut self.bytes[start + group * SIDE * SIDE..][..values.len()];
            for (i, (byte, &value)) in target.iter_mut().zip(values).enumerate() {
                let col = group * SIDE + i;
                *byte = SignMagnitude::new(value)
                    .ok_or(OperandError::MinusOneTwentyEight { row, col })?
                    .byte();
            }
        }
        Ok(())
    }
}

/// The sum of one row and output in the results of `blocks` blocks, which are (column, block, group of 16 outputs, row, output).
pub fn result_at(results: &[u8], blocks: usize, row: usize, output: usize) -> i32 {
    let (block, within) = (row / BLOCK_ROWS as usize, row % BLOCK_ROWS as usize);
    let (column, output) = (
        output / COLUMN_OUTPUTS as usize,
        output % COLUMN_OUTPUTS as usize,
    );
    let word = output / SIDE * SIDE * SIDE + within * SIDE + output % SIDE;
    let at = (column * blocks + block) * RESULT_BYTES as usize + 4 * word;
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&results[at..at + 4]);
    sum(u32::from_le_bytes(bytes))
}

fn check(rows: usize, cols: usize, values: &[i8]) -> Result<(), OperandError> {
    if cols == 0 || rows.checked_mul(cols) != Some(values.len()) {
        return Err(OperandError::Shape {
            values: values.len(),
            rows,
            cols,
        });
    }
    if cols > TERMS_MAX {
        return Err(OperandError::Terms { terms: cols });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
