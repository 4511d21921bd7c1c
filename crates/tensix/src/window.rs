//! Address windows: how PCIe reaches a tile on a card and on a simulator that presents one.
//!
//! A window is a stretch of BAR 0 that shows some aligned stretch of one tile's addresses. [`Windowed`] moves one window about and
//! cuts every access at its edges; how a window is moved and touched is an [`Aperture`]'s business.

use crate::grid;
use crate::noc::{ALL_ONES, Noc, NocError, Tile};

/// Windows of one size in BAR 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowKind {
    /// Base-2 logarithm of the bytes that one shows.
    pub bytes_log2: u32,
    /// Index of the first, among all windows.
    pub first: u32,
    /// How many there are.
    pub count: u32,
    /// Where the first begins in BAR 0.
    pub offset: u64,
}

/// 1 MiB, 2 MiB and 16 MiB. The last of all belongs to the kernel driver.
pub const WINDOW_KINDS: [WindowKind; 3] = [
    WindowKind {
        bytes_log2: 20,
        first: 0,
        count: 156,
        offset: 0,
    },
    WindowKind {
        bytes_log2: 21,
        first: 156,
        count: 10,
        offset: 0x9C0_0000,
    },
    WindowKind {
        bytes_log2: 24,
        first: 166,
        count: 20,
        offset: 0xB00_0000,
    },
];

/// Where the configurations of all windows begin in BAR 0, eight bytes each.
pub const WINDOW_CONFIGURATIONS: u64 = 0x1FC0_0000;

/// What a window shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Whose addresses; the far corner of a rectangle, if `from` is its near one.
    pub tile: Tile,
    /// Where a rectangle begins whose Tensix tiles all take what is written. It cannot be read.
    pub from: Option<Tile>,
    /// First address, a multiple of the window's size.
    pub base: u64,
}

impl View {
    /// The configuration of a window of this size: NoC 0, and accesses that stay in order.
    pub const fn word(self, bytes_log2: u32) -> u64 {
        const STRICT_ORDER: u64 = 1;
        // The local offset has what 36 bits of address leave above the window's own.
        let offset_bits = 36 - bytes_log2;
        let (start, multicast) = match self.from {
            Some(from) => (from.word() as u64, 1),
            None => (0, 0),
        };
        // Then x and y of the end, x and y of the start, six bits each; one for the NoC and one for multicast, two for order.
        self.base >> bytes_log2
            | (self.tile.word() as u64) << offset_bits
            | start << (offset_bits + 12)
            | multicast << (offset_bits + 25)
            | STRICT_ORDER << (offset_bits + 26)
    }
}

/// One window that can be moved, read and written.
pub trait Aperture: Send {
    /// What this leads to, for messages.
    fn name(&self) -> &str;
    /// Base-2 logarithm of the window's bytes.
    fn bytes_log2(&self) -> u32;
    /// Shows something else from now on.
    fn show(&mut self, view: View) -> Result<(), NocError>;
    /// Reads at an offset in the window; offset and length are multiples of four.
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), NocError>;
    /// Writes at an offset in the window, and has it arrive before anything later; where a rectangle is shown, before the next read.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), NocError>;
    /// Gives a simulated chip time.
    fn idle(&mut self) -> Result<(), NocError>;
    /// See [`Noc::write_on_close`].
    fn write_on_close(&mut self, tile: Tile, address: u64, value: u32) -> Result<(), NocError>;
}

/// A transport through one window.
#[derive(Debug)]
pub struct Windowed<A> {
    aperture: A,
    shown: Option<View>,
    /// The corners of the rectangle that holds all workers, once they were asked for.
    workers: Option<(Tile, Tile)>,
}

impl<A: Aperture> Windowed<A> {
    /// A transport whose window shows nothing yet.
    pub fn new(aperture: A) -> Self {
        Self {
            aperture,
            shown: None,
            workers: None,
        }
    }

    /// Shows `address` and returns its offset and the bytes from there to the window's end.
    fn reach(
        &mut self,
        tile: Tile,
        from: Option<Tile>,
        address: u64,
    ) -> Result<(u64, usize), NocError> {
        let bytes = 1u64 << self.aperture.bytes_log2();
        let view = View {
            tile,
            from,
            base: address & !(bytes - 1),
        };
        if self.shown != Some(view) {
            // Forgotten first, so that a failure leaves no belief behind.
            self.shown = None;
            self.aperture.show(view)?;
            self.shown = Some(view);
        }
        let offset = address - view.base;
        Ok((offset, (bytes - offset) as usize))
    }

    fn write_cut(
        &mut self,
        tile: Tile,
        from: Option<Tile>,
        mut address: u64,
        mut bytes: &[u8],
    ) -> Result<(), NocError> {
        while !bytes.is_empty() {
            let (offset, room) = self.reach(tile, from, address)?;
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.aperture.write(offset, now)?;
            address += now.len() as u64;
            bytes = rest;
        }
        Ok(())
    }
}

impl<A: Aperture> Noc for Windowed<A> {
    fn name(&self) -> &str {
        self.aperture.name()
    }

    fn read(&mut self, tile: Tile, mut address: u64, mut bytes: &mut [u8]) -> Result<(), NocError> {
        while !bytes.is_empty() {
            let (offset, room) = self.reach(tile, None, address)?;
            let (now, rest) = bytes.split_at_mut(room.min(bytes.len()));
            self.aperture.read(offset, now)?;
            address += now.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    fn write(&mut self, tile: Tile, address: u64, bytes: &[u8]) -> Result<(), NocError> {
        self.write_cut(tile, None, address, bytes)
    }

    fn write_workers(&mut self, address: u64, bytes: &[u8]) -> Result<(), NocError> {
        if self.workers.is_none() {
            self.workers()?;
        }
        let Some((first, last)) = self.workers else {
            return Ok(());
        };
        self.write_cut(last, Some(first), address, bytes)?;
        // A read on the same way follows the writes, and so shows that they arrived.
        self.read(last, address, &mut [0; 4])
    }

    fn idle(&mut self) -> Result<(), NocError> {
        self.aperture.idle()
    }

    fn workers(&mut self) -> Result<Vec<Tile>, NocError> {
        let tiles = grid::discover(self)?;
        self.workers = tiles.first().copied().zip(tiles.last().copied());
        Ok(tiles)
    }

    fn write_on_close(&mut self, tile: Tile, address: u64, value: u32) -> Result<(), NocError> {
        self.aperture.write_on_close(tile, address, value)
    }
}

/// Fails if a register reads as a dead link does; only for registers that cannot be all ones.
pub(crate) fn alive(noc: &dyn Noc, tile: Tile, address: u64, value: u32) -> Result<u32, NocError> {
    if value == ALL_ONES {
        return Err(NocError::Lost {
            name: noc.name().to_owned(),
            tile,
            address,
        });
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
