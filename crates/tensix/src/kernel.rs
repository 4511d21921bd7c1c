//! The programs of the two baby cores at work, as built from `kernels/` and checked in.
//!
//! Their words are pinned by `kernels/words/SHA256SUMS`; a test builds them again where the compiler exists, and compares.

use crate::isa::tile::{MATRIX_BYTES_MAX, MATRIX_START, READER_BYTES_MAX, READER_START};

/// A program and where it starts in L1.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    /// Its name in `kernels/`.
    pub name: &'static str,
    /// Address of the first byte, where the core starts after reset.
    pub start: u32,
    /// Instructions and constants.
    pub bytes: &'static [u8],
}

/// Core B: streams weights from GDDR into L1.
pub const READER: Kernel = Kernel {
    name: "reader",
    start: READER_START,
    bytes: include_bytes!("../kernels/words/reader.bin"),
};

/// Core T0: drives the matrix unit.
pub const MATRIX: Kernel = Kernel {
    name: "matrix",
    start: MATRIX_START,
    bytes: include_bytes!("../kernels/words/matrix.bin"),
};

/// Every program that a tile needs.
pub const KERNELS: [Kernel; 2] = [READER, MATRIX];

// They fit between the mailbox and each other, and are whole words.
const _: () = assert!(READER.bytes.len() <= READER_BYTES_MAX as usize);
const _: () = assert!(MATRIX.bytes.len() <= MATRIX_BYTES_MAX as usize);
const _: () = assert!(READER.bytes.len().is_multiple_of(4) && MATRIX.bytes.len().is_multiple_of(4));

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_words_are_those_that_were_pinned() {
        let sums = include_str!("../kernels/words/SHA256SUMS");
        let found: String = [MATRIX, READER]
            .iter()
            .map(|kernel| {
                let hash = hex::encode(Sha256::digest(kernel.bytes));
                format!("{hash}  {}.bin\n", kernel.name)
            })
            .collect();
        assert_eq!(found, sums);
    }
}
