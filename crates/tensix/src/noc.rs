//! The network on chip, from the host: reading and writing the memory and registers of tiles.

use std::fmt;
use std::path::PathBuf;

/// Coordinates of a tile on NoC 0: raw ones (x 0-9, y 0-11), or translated ones (from 16 on) where firmware translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Column.
    pub x: u8,
    /// Row.
    pub y: u8,
}

impl Tile {
    /// A tile by its coordinates, below 64 each.
    pub const fn new(x: u8, y: u8) -> Self {
        Self { x, y }
    }

    /// Both in one word, as network interfaces and the mailbox have them.
    pub const fn word(self) -> u32 {
        self.x as u32 | (self.y as u32) << 6
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.x, self.y)
    }
}

/// One endpoint of each of the six GDDR channels; raw coordinates reach memory on every Wormhole, translated or not.
///
/// Every channel has three. These are the ones that silicon and both simulators serve.
pub const GDDR_CHANNELS: [Tile; 6] = [
    Tile::new(0, 1),
    Tile::new(0, 5),
    Tile::new(5, 1),
    Tile::new(5, 2),
    Tile::new(5, 3),
    Tile::new(5, 5),
];
/// Bytes of each channel.
pub const GDDR_CHANNEL_BYTES: u64 = 2 << 30;

/// A transport to one chip.
///
/// Addresses and lengths are multiples of four. A write is complete, for whatever the host does next, when the call returns.
pub trait Noc: Send {
    /// What this leads to, for messages: a device node, a library, a program.
    fn name(&self) -> &str;

    /// Reads memory of a tile, or one register (four bytes).
    fn read(&mut self, tile: Tile, address: u64, bytes: &mut [u8]) -> Result<(), NocError>;

    /// Writes memory of a tile, or one register (four bytes).
    fn write(&mut self, tile: Tile, address: u64, bytes: &[u8]) -> Result<(), NocError>;

    /// Writes the same memory of every Tensix tile that may be used: nothing that a running program reads.
    fn write_workers(&mut self, address: u64, bytes: &[u8]) -> Result<(), NocError> {
        for tile in self.workers()? {
            self.write(tile, address, bytes)?;
        }
        Ok(())
    }

    /// Gives the chip time while the host waits: a simulator runs, hardware needs nothing.
    fn idle(&mut self) -> Result<(), NocError>;

    /// The Tensix tiles that may be used, as this chip and its firmware report them.
    fn workers(&mut self) -> Result<Vec<Tile>, NocError>;

    /// Has a register written when this transport closes, however it does; a process that is killed cannot write itself.
    fn write_on_close(&mut self, tile: Tile, address: u64, value: u32) -> Result<(), NocError>;
}

/// Reads one register or word.
pub fn read32(noc: &mut dyn Noc, tile: Tile, address: u64) -> Result<u32, NocError> {
    let mut bytes = [0; 4];
    noc.read(tile, address, &mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Writes one register or word.
pub fn write32(noc: &mut dyn Noc, tile: Tile, address: u64, value: u32) -> Result<(), NocError> {
    noc.write(tile, address, &value.to_le_bytes())
}

/// What a dead PCIe link answers to every read.
pub const ALL_ONES: u32 = u32::MAX;

/// What can be wrong between the host and a chip.
#[derive(Debug, thiserror::Error)]
pub enum NocError {
    /// There is no such device, library or program.
    #[error("{name}: not found; {remedy}")]
    Missing {
        /// What was looked for.
        name: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The operating system denies the device to this user.
    #[error(
        "{path}: permission denied; add this user to the group that owns the node, or install the driver's udev rule"
    )]
    Permission {
        /// The device node.
        path: PathBuf,
    },
    /// Another program has the device.
    #[error("{path}: in use by {by}; stop that program, a chip has one owner")]
    Busy {
        /// The device node.
        path: PathBuf,
        /// Process ids, or another worker.
        by: String,
    },
    /// Another chip, or no chip of this maker.
    #[error(
        "{name}: PCI device {vendor:04x}:{device:04x} is no Wormhole (1e52:401e); choose another device"
    )]
    Board {
        /// The device.
        name: String,
        /// PCI vendor.
        vendor: u16,
        /// PCI device.
        device: u16,
    },
    /// A driver with another interface.
    #[error("{name}: driver interface {found}, needs {needed}; install a current tt-kmd")]
    Driver {
        /// The device.
        name: String,
        /// What it speaks.
        found: u32,
        /// What is needed.
        needed: u32,
    },
    /// Firmware that is too old or does not say what must be known.
    #[error("{name}: firmware: {what}; update it with tt-flash")]
    Firmware {
        /// The device.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// A simulator of another version, or one whose known defects have changed.
    #[error("{name}: {what}; the corrections in this crate are for another version")]
    Simulator {
        /// The simulator.
        name: String,
        /// What it said.
        what: String,
    },
    /// The chip answers nothing any more.
    #[error(
        "{name}: no answer from tile {tile} at {address:#x}: the card was unplugged, reset or lost its link; reset it with tt-smi -r, then start again"
    )]
    Lost {
        /// The device.
        name: String,
        /// Where the read was.
        tile: Tile,
        /// Where the read was.
        address: u64,
    },
    /// One call to the operating system or to a child process failed.
    #[error("{name}: cannot {what}: {source}")]
    Io {
        /// The device, library or program.
        name: String,
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl NocError {
    pub(crate) fn io(name: &str, what: &'static str, source: std::io::Error) -> Self {
        Self::Io {
            name: name.to_owned(),
            what,
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_six_bits_each() {
        assert_eq!(Tile::new(0, 1).word(), 0x40);
        assert_eq!(Tile::new(25, 27).word(), 25 | 27 << 6);
        assert_eq!(Tile::new(5, 11).to_string(), "(5, 11)");
    }
}
