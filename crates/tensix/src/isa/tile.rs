//! Addresses within one Tensix tile, soft reset, and which baby core starts where.

/// Bytes of L1, from address zero on.
pub const L1_BYTES: u32 = 1464 * 1024;

/// The register that holds baby cores in reset.
pub const SOFT_RESET: u32 = 0xFFB1_21B0;

/// A baby core, by its bit in [`SOFT_RESET`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BabyCore {
    /// RISC-V B: here the weight reader.
    B,
    /// RISC-V T0: here the one that drives the matrix unit.
    T0,
    T1,
    T2,
    /// RISC-V NC.
    Nc,
}

impl BabyCore {
    pub const ALL: [Self; 5] = [Self::B, Self::T0, Self::T1, Self::T2, Self::Nc];

    /// The bit that holds this core in reset.
    pub const fn reset_bit(self) -> u32 {
        match self {
            Self::B => 1 << 11,
            Self::T0 => 1 << 12,
            Self::T1 => 1 << 13,
            Self::T2 => 1 << 14,
            Self::Nc => 1 << 18,
        }
    }
}

/// The soft-reset word that holds every baby core.
pub const ALL_HELD: u32 = BabyCore::B.reset_bit()
    | BabyCore::T0.reset_bit()
    | BabyCore::T1.reset_bit()
    | BabyCore::T2.reset_bit()
    | BabyCore::Nc.reset_bit();

/// The soft-reset word that lets only the reader and the matrix core run.
pub const RUNNING: u32 = ALL_HELD & !BabyCore::B.reset_bit() & !BabyCore::T0.reset_bit();

/// Where the reader starts after reset, and the bytes that its program may take.
pub const READER_START: u32 = 0;
pub const READER_BYTES_MAX: u32 = super::mailbox::MAILBOX - READER_START;

/// Where the matrix core starts after reset, and the bytes that its program may take.
pub const MATRIX_START: u32 = 0x6000;
pub const MATRIX_BYTES_MAX: u32 = 0x4000;

/// The network interface of NoC 0, as a baby core and the host see it.
pub const NIU: u32 = 0xFFB2_0000;

/// Registers of the network interface, relative to [`NIU`].
pub mod niu {
    pub const TARGET_LOW: u32 = 0x00;
    pub const TARGET_MID: u32 = 0x04;
    pub const RETURN_LOW: u32 = 0x0C;
    pub const RETURN_MID: u32 = 0x10;
    pub const PACKET_TAG: u32 = 0x18;
    pub const CONTROL: u32 = 0x1C;
    pub const LENGTH: u32 = 0x20;
    /// Bit 0: a request waits to be sent.
    pub const GO: u32 = 0x28;
    /// Own raw coordinates in the low twelve bits: x, then y, six bits each.
    pub const NODE_ID: u32 = 0x2C;
    /// Bit 14: coordinates of requests are translated.
    pub const CONFIGURATION: u32 = 0x100;
    /// Read responses that arrived, modulo 2^32.
    pub const READ_RESPONSES: u32 = 0x208;

    /// A read that is answered.
    pub const READ: u32 = 1 << 4;
    /// The most that one request may move.
    pub const REQUEST_BYTES_MAX: u32 = 8192;
    pub const TRANSLATES: u32 = 1 << 14;
}

/// A store there pushes one instruction into the core's own Tensix thread.
pub const INSTRUCTION_PUSH: u32 = 0xFFE4_0000;
/// A load there answers once all pushed instructions have ended.
pub const COPROCESSOR_DONE: u32 = 0xFFE8_0004;
/// Word-indexed configuration of the Tensix backend; not visible over the NoC.
pub const BACKEND_CONFIGURATION: u32 = 0xFFEF_0000;
