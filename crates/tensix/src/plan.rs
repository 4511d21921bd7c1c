//! Where a matrix's weights are, and how a product that does not fit one tile's L1 is cut into jobs.
//!
//! A job's activations and results share L1; its weights only pass through the ring. So blocks, columns and steps trade off: half
//! of the room at most goes to results, and what is left decides how much of K one job takes. Partial sums are added on the host.

use crate::isa::mailbox::{ARENA, BLOCK_ROWS, BLOCKS_MAX, CHUNK_BYTES, RESULT_BYTES};
use crate::isa::tile::L1_BYTES;
use crate::noc::{GDDR_CHANNEL_BYTES, GDDR_CHANNELS, Tile};

/// First byte of a channel that weights may take.
const CHANNEL_START: u64 = 1 << 20;

/// What is left of every channel.
#[derive(Debug)]
pub(crate) struct Room {
    /// First free byte of each.
    free: [u64; GDDR_CHANNELS.len()],
}

/// The columns of a matrix that one tile multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) tile: Tile,
    /// Of the matrix's columns, the first.
    pub(crate) first: usize,
    pub(crate) columns: usize,
    pub(crate) channel: Tile,
    /// Where their weights begin in the channel.
    pub(crate) address: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            free: [CHANNEL_START; GDDR_CHANNELS.len()],
        }
    }
}

impl Room {
    /// Gives each tile its share of the columns, in the channel with most room; takes nothing if there is too little.
    pub(crate) fn place(
        &mut self,
        tiles: &[Tile],
        columns: usize,
        column_bytes: usize,
    ) -> Option<Vec<Part>> {
        let share = columns.div_ceil(tiles.len()).max(1);
        let mut free = self.free;
        let mut parts = Vec::new();
        for (&tile, first) in tiles.iter().zip((0..columns).step_by(share)) {
            let columns = share.min(columns - first);
            let bytes = u64::try_from(columns.checked_mul(column_bytes)?).ok()?;
            let (channel, address) = (0..).zip(free).min_by_key(|(_, free)| *free)?;
            free[channel] = address
                .checked_add(bytes)
                .filter(|end| *end <= GDDR_CHANNEL_BYTES)?;
            parts.push(Part {
                tile,
                first,
                columns,
                channel: GDDR_CHANNELS[channel],
                address,
            });
        }
        self.free = free;
        Some(parts)
    }
}

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
    fn columns_are_dealt_out_and_channels_fill_evenly() {
        let tiles: Vec<Tile> = (0..8).map(|x| Tile::new(x, 1)).collect();
        let mut room = Room::default();
        let parts = room.place(&tiles, 20, 4096).unwrap();
        let shares: Vec<_> = parts
            .iter()
            .map(|part| (part.first, part.columns))
            .collect();
        let expected = [(0, 3), (3, 3), (6, 3), (9, 3), (12, 3), (15, 3), (18, 2)];
        assert_eq!(shares, expected);
        assert_eq!(parts[0].address, CHANNEL_START);
        assert_eq!(parts[6].channel, parts[0].channel);
        assert_eq!(parts[6].address, CHANNEL_START + 3 * 4096);
        // The next matrix begins in the channel with most room.
        let next = room.place(&tiles, 1, 4096).unwrap();
        assert_eq!(
            (next[0].channel, next[0].address),
            (GDDR_CHANNELS[1], CHANNEL_START + 3 * 4096)
        );
        assert_eq!(room.place(&tiles, 0, 4096), Some(Vec::new()));
    }

    #[test]
    fn a_matrix_without_room_takes_none() {
        let tiles = [Tile::new(1, 1), Tile::new(2, 1)];
        let mut room = Room::default();
        let half = usize::try_from(GDDR_CHANNEL_BYTES / 2).unwrap();
        // Six channels hold one half each, less what is left free at their beginning.
        for _ in 0..3 {
            assert!(room.place(&tiles, 2, half).is_some());
        }
        let before = room.free;
        assert_eq!(room.place(&tiles, 2, half), None);
        assert_eq!(room.place(&tiles, 2, usize::MAX), None);
        assert_eq!(room.free, before);
        assert!(room.place(&tiles, 2, half / 2).is_some());
    }

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
