//! Tensix instructions that the matrix kernel pushes, as words.
//!
//! One constructor per instruction, with only the fields in use; the opcode is the top byte.

/// One instruction word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction(pub u32);

const fn word(opcode: u32, fields: u32) -> Instruction {
    Instruction(opcode << 24 | fields)
}

/// Which unpacker, and so which source register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpacker {
    /// Unpacker 0 fills SrcA: weights.
    A,
    /// Unpacker 1 fills SrcB: activations.
    B,
}

/// ZEROACC: marks all of Dst as zero.
pub const fn zero_dst() -> Instruction {
    const WHOLE: u32 = 3;
    word(0x10, WHOLE << 19)
}

/// MVMUL: `Dst[row..row + 8] += SrcB[8 rows] @ SrcA[16 rows]`, then the counters move as address modifier `modifier` says.
///
/// `release` tells which sources go back to their unpackers.
pub const fn multiply(dst_row: u32, modifier: u32, release: Release) -> Instruction {
    let flip = match release {
        Release::None => 0,
        Release::A => 1,
        Release::Both => 3,
    };
    word(0x26, flip << 22 | modifier << 15 | dst_row)
}

/// Sources that an MVMUL has used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    None,
    A,
    Both,
}

/// SETRWC: all counters of the matrix unit, with their carriage returns and the fidelity phase, to zero.
pub const fn clear_counters() -> Instruction {
    const A_B_DST_FIDELITY: u32 = 0xF;
    word(0x37, A_B_DST_FIDELITY)
}

/// PACR: packer 0 moves the datums of its X range from Dst to L1; the `last` one ends the run of output addresses.
pub const fn pack(last: bool) -> Instruction {
    const PACKER_0: u32 = 1;
    word(0x41, PACKER_0 << 8 | last as u32)
}

/// UNPACR: moves the next chunk from L1 into a source register, hands it to the matrix unit, and adds one to Z.
pub const fn unpack(unpacker: Unpacker) -> Instruction {
    const Z_INCREMENT: u32 = 1 << 15;
    const MULTI_CONTEXT: u32 = 1 << 7;
    const SET_VALID: u32 = 1 << 6;
    const LAST: u32 = 1;
    let which = match unpacker {
        Unpacker::A => 0,
        Unpacker::B => 1,
    };
    word(
        0x42,
        which << 23 | Z_INCREMENT | MULTI_CONTEXT | SET_VALID | LAST,
    )
}

/// The units whose address counters an instruction sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counters {
    Unpackers,
    Packers,
    All,
}

impl Counters {
    const fn mask(self) -> u32 {
        match self {
            Self::Unpackers => 3,
            Self::Packers => 4,
            Self::All => 7,
        }
    }
}

/// SETADCXY: X and Y of both channels to zero. It must come before [`set_x_range`], whose work it undoes.
pub const fn zero_xy(counters: Counters) -> Instruction {
    word(0x51, counters.mask() << 21 | 0xF)
}

/// SETADCZW: Z and W of both channels to zero.
pub const fn zero_zw(counters: Counters) -> Instruction {
    word(0x54, counters.mask() << 21 | 0xF)
}

/// SETADCXX: the X range `0..=last`.
pub const fn set_x_range(counters: Counters, last: u32) -> Instruction {
    word(0x5E, counters.mask() << 21 | last << 10)
}

/// STALLWAIT: packing waits until the matrix unit is idle.
pub const fn pack_after_math() -> Instruction {
    const PACKERS: u32 = 1 << 2;
    const MATH_IDLE: u32 = 1 << 7;
    word(0xA2, PACKERS << 15 | MATH_IDLE)
}

/// STALLWAIT: everything scalar waits until packer 0 is idle.
pub const fn wait_for_packer() -> Instruction {
    const SCALAR: u32 = 1;
    const PACKER_0_IDLE: u32 = 1 << 3;
    word(0xA2, SCALAR << 15 | PACKER_0_IDLE)
}

/// SETC16: one 16-bit word of the thread's configuration.
pub const fn set_thread_configuration(index: u32, value: u16) -> Instruction {
    word(0xB2, index << 16 | value as u32)
}

/// Address modifiers, by index, as [`multiply`] names them; see the matrix kernel for the walk that they make.
pub mod modifier {
    /// The other eight activation rows of the block.
    pub const NEXT_HALF: u32 = 0;
    /// The next 16 outputs, and the first half again.
    pub const NEXT_OUTPUTS: u32 = 1;
    /// All outputs again, in the next fidelity phase.
    pub const NEXT_PHASE: u32 = 2;
    /// The next 16 along K: the next chunk of weights, the next rows of activations.
    pub const NEXT_DEPTH: u32 = 3;

    const A_INCREMENT_16: u16 = 16;
    const B_RETURN: u16 = 1 << 14;
    const fn b_increment(rows: u16) -> u16 {
        rows << 8
    }
    const fn fidelity(increment: u16) -> u16 {
        increment << 13
    }

    /// Thread configuration words of a modifier: (index of its SrcA/SrcB word, value, index of its Dst word, value).
    ///
    /// SrcA has 64 rows and its counter six bits, so the fourth increment of 16 returns to zero.
    pub const fn words(modifier: u32, phases: u32) -> [(u32, u16); 2] {
        let next_phase = if phases == 2 { 2 } else { 1 };
        let (sources, dst) = match modifier {
            NEXT_HALF => (b_increment(8), 0),
            NEXT_OUTPUTS => (A_INCREMENT_16 | B_RETURN, 0),
            NEXT_PHASE => (A_INCREMENT_16 | B_RETURN, fidelity(next_phase)),
            _ => (
                A_INCREMENT_16 | b_increment(16) | B_RETURN,
                fidelity(next_phase),
            ),
        };
        [(7 + 2 * modifier, sources), (23 + modifier, dst)]
    }
}
