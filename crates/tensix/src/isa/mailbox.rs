//! The job that the host leaves in L1 and the words that the kernels answer with.
//!
//! ```text
//! 0x0000  reader program        0x4000  mailbox        0x6000  matrix program
//! 0x10000 weight ring, 2 slots  0x30000 activations, then results
//! ```
//!
//! A job is one product: `blocks` blocks of 16 activation rows by `columns` columns of 64 weight rows, over `steps` steps of
//! 64 along K. The host writes the job while both cores are in reset, so neither reads half of one.

/// Byte address of the first word in L1.
pub const MAILBOX: u32 = 0x4000;

/// Changes with the meaning of any word here.
pub const VERSION: u32 = 0x4153_0001;

/// Words that the host writes, by index.
pub mod job {
    /// [`super::VERSION`], as the host knows it.
    pub const VERSION: u32 = 0;
    /// Blocks of 16 activation rows, `1..=BLOCKS_MAX`.
    pub const BLOCKS: u32 = 1;
    /// Columns of 64 outputs, at least 1.
    pub const COLUMNS: u32 = 2;
    /// Steps of 64 along K, at least 1.
    pub const STEPS: u32 = 3;
    /// Byte address of the activations in L1.
    pub const ACTIVATIONS: u32 = 4;
    /// Byte address of the results in L1.
    pub const RESULTS: u32 = 5;
    /// Byte address of the first column's weights in their GDDR channel.
    pub const WEIGHTS: u32 = 6;
    /// Bytes from one column's weights to the next one's.
    pub const STRIDE: u32 = 7;
    /// Raw NoC coordinates of that channel: x, then y from bit 6 on.
    pub const CHANNEL: u32 = 8;
    /// 1 when all weights are within -31..=31, so that two fidelity phases are exact; 0 for all four.
    pub const NARROW: u32 = 9;
    pub const WORDS: u32 = 10;
}

/// Words that the kernels write, by index; the host clears them before a job.
pub mod status {
    /// A [`super::Progress`] word of the matrix core.
    pub const MATRIX: u32 = 16;
    /// A [`super::Progress`] word of the reader.
    pub const READER: u32 = 17;
    /// Slots of the ring filled so far, by the reader.
    pub const FILLED: u32 = 18;
    /// Slots of the ring used up so far, by the matrix core.
    pub const DRAINED: u32 = 19;
    pub const END: u32 = 20;
}

/// What a status word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The core has not started.
    Idle,
    Running,
    Done,
    /// The job has another version, or a number out of range.
    Refused,
}

impl Progress {
    /// The word; its upper half tells it from what a program or chance left there.
    pub const fn word(self) -> u32 {
        match self {
            Self::Idle => 0,
            Self::Running => 0xA55A_0001,
            Self::Done => 0xA55A_0002,
            Self::Refused => 0xA55A_0003,
        }
    }

    pub const fn from_word(word: u32) -> Option<Self> {
        match word {
            0 => Some(Self::Idle),
            0xA55A_0001 => Some(Self::Running),
            0xA55A_0002 => Some(Self::Done),
            0xA55A_0003 => Some(Self::Refused),
            _ => None,
        }
    }
}

/// Byte address of a mailbox word.
pub const fn address(index: u32) -> u32 {
    MAILBOX + 4 * index
}

/// Blocks that Dst holds at once: its 512 rows of 32 bits take 64 of each.
pub const BLOCKS_MAX: u32 = 8;
/// Activation rows of one block.
pub const BLOCK_ROWS: u32 = 16;
/// Outputs of one column.
pub const COLUMN_OUTPUTS: u32 = 64;
/// Depth of one step.
pub const STEP_DEPTH: u32 = 64;

/// What one UNPACR moves: 64 source rows of 16 bytes.
pub const CHUNK_BYTES: u32 = 1024;
/// Weights of one step of one column: four chunks of 16 along K.
pub const STEP_CHUNKS: u32 = 4;
pub const STEP_BYTES: u32 = STEP_CHUNKS * CHUNK_BYTES;
/// Results of one block and column.
pub const RESULT_BYTES: u32 = BLOCK_ROWS * COLUMN_OUTPUTS * 4;

/// The ring of weights: the reader fills one slot while the matrix core uses another.
pub const RING: u32 = 0x1_0000;
pub const SLOTS: u32 = 2;
/// Steps in a slot; at most 64, so that the unpackers' 8-bit counters address all of its chunks.
pub const SLOT_STEPS: u32 = 16;
pub const SLOT_BYTES: u32 = SLOT_STEPS * STEP_BYTES;

/// First byte of activations and results.
pub const ARENA: u32 = RING + SLOTS * SLOT_BYTES;
