//! How a product that does not fit one tile's L1 is cut into jobs.
//!
//! A job's activations and results share L1; its weights only pass through the ring. So blocks, columns and steps trade off: half
//! of the room at most goes to results, and what is left decides how much of K one job takes. Partial sums are added on the host.

use crate::isa::mailbox::{ARENA, BLOCK_ROWS, BLOCKS_MAX, CHUNK_BYTES, RESULT_BYTES};
use crate::isa::tile::L1_BYTES;

/// Bytes for activations and results.
const ROOM: usize = (L1_BYTES - ARENA) as usize;

/// Tokens of one pass: each takes two rows of activations, one for either plane.
pub(crate) const PASS_TOKENS: usize = (BLOCKS_MAX * BLOCK_ROWS / 2) as usize;

/// The largest jobs of one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Blocks of 16 activation rows.
    pub(crate) blocks: usize,
    /// Columns of 64 outputs in one job.
    pub(crate) columns: usize,
    /// Steps of 64 along K in one job.
    pub(crate) steps: usize,
}

impl Plan {
    /// For `blocks` blocks by at most `columns` columns in a tile, over `steps` steps.
    pub(crate) fn new(blocks: usize, columns: usize, steps: usize) -> Self {
        assert!(
            (1..=BLOCKS_MAX as usize).contains(&blocks) && columns > 0 && steps > 0,
            "BUG: a pass of {blocks} blocks, {columns} columns and {steps} steps"
        );
        let result_bytes = blocks * RESULT_BYTES as usize;
        let columns = columns.min(ROOM / 2 / result_bytes);
        let left = ROOM - columns * result_bytes;
        Self {
            blocks,
            columns,
            steps: steps.min(left / (blocks * CHUNK_BYTES as usize)),
        }
    }

    /// Address of a job's results, behind the activations.
    pub(crate) fn results(&self) -> u32 {
        ARENA + (self.blocks * self.steps) as u32 * CHUNK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_fits_and_none_is_empty() {
        for blocks in 1..=BLOCKS_MAX as usize {
            for columns in [1, 2, 20, 21, 500] {
                for steps in [1, 64, 448, 2081] {
                    let plan = Plan::new(blocks, columns, steps);
                    assert!((1..=columns).contains(&plan.columns), "{plan:?}");
                    assert!((1..=steps).contains(&plan.steps), "{plan:?}");
                    let end = plan.results() + (blocks * plan.columns) as u32 * RESULT_BYTES;
                    assert!(end <= L1_BYTES, "{plan:?} ends at {end}");
                }
            }
        }
    }

    #[test]
    fn ordinary_products_are_one_job() {
        // Decode of one token, 4096 x 4096 over 64 tiles, and 14336 along K.
        for steps in [64, 224] {
            let plan = Plan::new(1, 1, steps);
            assert_eq!((plan.columns, plan.steps), (1, steps));
        }
        // Prefill of 64 tokens.
        assert_eq!(Plan::new(8, 1, 64).steps, 64);
    }
}
