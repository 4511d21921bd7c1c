//! Where one tensor of a checkpoint lies and what it holds, whatever the format of the file.

use super::dequantize::DataType;

/// A tensor whose bytes are known to be inside its file and as many as its shape and encoding call for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor<'a> {
    pub name: &'a str,
    pub data_type: DataType,
    /// Values in one row: the dimension that runs fastest.
    pub columns: u64,
    /// Product of the other dimensions.
    pub rows: u64,
    /// How many dimensions the file gave.
    pub dimensions: u32,
    /// The encoded values, row after row.
    pub bytes: &'a [u8],
}
