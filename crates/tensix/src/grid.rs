//! Which Tensix tiles a chip has: one or two of its ten rows are fused off in most products, and which ones differs.
//!
//! Where firmware translates coordinates, the rows in use come first in translated order, so their number is enough; it is in the
//! firmware's telemetry, which is read and never written. Without translation a chip is used only if it is whole.

use crate::isa::tile::niu;
use crate::noc::{Noc, NocError, Tile, read32};
use crate::window::alive;

/// Raw columns and rows of Tensix tiles.
const RAW_X: [u8; 8] = [1, 2, 3, 4, 6, 7, 8, 9];
const RAW_Y: [u8; 10] = [1, 2, 3, 4, 5, 7, 8, 9, 10, 11];
/// The first translated column and row.
const TRANSLATED: (u8, u8) = (18, 18);

/// The management processor, and where its address space begins on the NoC.
const ARC: Tile = Tile::new(0, 10);
const ARC_SPACE: u64 = 0x8_0000_0000;
/// Registers in which firmware leaves the addresses of its table of tags and of its values.
const TELEMETRY_TAGS: u64 = ARC_SPACE + 0x8003_01D0;
const TELEMETRY_VALUES: u64 = ARC_SPACE + 0x8003_01D4;
/// The configuration of that tile's own interface to NoC 0, as its peripherals show it.
const CONFIGURATION: u64 = ARC_SPACE + 0x8005_0000 + niu::CONFIGURATION as u64;
/// Memory of that processor in its own space: where both must be.
const ARC_MEMORY: std::ops::Range<u32> = 0x1000_0000..0x1008_0000;
/// Tag of the mask of rows that are fused off.
const HARVESTED_ROWS: u32 = 4;
/// No firmware has more tags.
const TAGS_MAX: u32 = 512;

/// Reads the grid of a chip.
pub(crate) fn discover(noc: &mut dyn Noc) -> Result<Vec<Tile>, NocError> {
    let firmware = |noc: &dyn Noc, what: &str| NocError::Firmware {
        name: noc.name().to_owned(),
        what: what.to_owned(),
    };
    let mask = match telemetry(noc, HARVESTED_ROWS)? {
        Some(mask) if mask < 1 << RAW_Y.len() => mask,
        Some(_) => return Err(firmware(noc, "more rows are fused off than there are")),
        None => return Err(firmware(noc, "it does not report which rows are fused off")),
    };
    let configuration = read32(noc, ARC, CONFIGURATION)?;
    let translates = alive(noc, ARC, CONFIGURATION, configuration)? & niu::TRANSLATES != 0;
    let rows = RAW_Y.len() - mask.count_ones() as usize;
    let tiles = match (translates, mask) {
        (true, _) => translated(rows),
        (false, 0) => raw(),
        (false, _) => {
            return Err(firmware(
                noc,
                "rows are fused off and coordinates are not translated",
            ));
        }
    };
    if tiles.is_empty() {
        return Err(firmware(noc, "every row is fused off"));
    }
    Ok(tiles)
}

fn translated(rows: usize) -> Vec<Tile> {
    let (x, y) = TRANSLATED;
    (0..rows as u8)
        .flat_map(|row| (0..RAW_X.len() as u8).map(move |column| Tile::new(x + column, y + row)))
        .collect()
}

fn raw() -> Vec<Tile> {
    RAW_Y
        .iter()
        .flat_map(|&y| RAW_X.iter().map(move |&x| Tile::new(x, y)))
        .collect()
}

/// One value of the firmware's telemetry, if it has that tag.
fn telemetry(noc: &mut dyn Noc, tag: u32) -> Result<Option<u32>, NocError> {
    let mut pointer = |address| -> Result<u32, NocError> {
        let value = read32(noc, ARC, address)?;
        let value = alive(noc, ARC, address, value)?;
        if !ARC_MEMORY.contains(&value) {
            return Err(NocError::Firmware {
                name: noc.name().to_owned(),
                what: format!("no telemetry ({value:#x})"),
            });
        }
        Ok(value)
    };
    let (tags, values) = (pointer(TELEMETRY_TAGS)?, pointer(TELEMETRY_VALUES)?);
    let at = |start: u32, word: u32| ARC_SPACE + u64::from(start) + 4 * u64::from(word);
    let count = read32(noc, ARC, at(tags, 1))?.min(TAGS_MAX);
    for entry in 0..count {
        let word = read32(noc, ARC, at(tags, 2 + entry))?;
        if word & 0xFFFF == tag {
            return read32(noc, ARC, at(values, word >> 16)).map(Some);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Words of some tiles; all others are zero.
    #[derive(Debug, Default)]
    struct Chip(BTreeMap<(Tile, u64), u32>);

    impl Chip {
        /// A chip with a mask of fused-off rows.
        fn new(mask: u32, translates: bool) -> Self {
            let mut chip = Self::default();
            for (address, value) in [
                (TELEMETRY_TAGS, 0x1000_0100),
                (TELEMETRY_VALUES, 0x1000_0200),
                (ARC_SPACE + 0x1000_0104, 2),
                (ARC_SPACE + 0x1000_0108, 1),
                (ARC_SPACE + 0x1000_010C, HARVESTED_ROWS | 1 << 16),
                (ARC_SPACE + 0x1000_0204, mask),
            ] {
                chip.0.insert((ARC, address), value);
            }
            let configuration = if translates { niu::TRANSLATES } else { 0 };
            chip.0.insert((ARC, CONFIGURATION), configuration);
            chip
        }
    }

    impl Noc for Chip {
        fn name(&self) -> &str {
            "chip"
        }
        fn read(&mut self, tile: Tile, address: u64, bytes: &mut [u8]) -> Result<(), NocError> {
            let word = self.0.get(&(tile, address)).copied().unwrap_or(0);
            bytes.copy_from_slice(&word.to_le_bytes());
            Ok(())
        }
        fn write(&mut self, tile: Tile, address: u64, _: &[u8]) -> Result<(), NocError> {
            unreachable!("discovery wrote to {tile} at {address:#x}")
        }
        fn idle(&mut self) -> Result<(), NocError> {
            Ok(())
        }
        fn workers(&mut self) -> Result<Vec<Tile>, NocError> {
            discover(self)
        }
        fn write_on_close(&mut self, _: Tile, _: u64, _: u32) -> Result<(), NocError> {
            Ok(())
        }
    }

    #[test]
    fn translated_rows_in_use_come_first() {
        for (mask, rows) in [(0, 10), (0b10_0000, 9), (0b10_0000_0001, 8)] {
            let tiles = Chip::new(mask, true).workers().unwrap();
            assert_eq!(tiles.len(), 8 * rows);
            assert_eq!(tiles[0], Tile::new(18, 18));
            assert_eq!(tiles[tiles.len() - 1], Tile::new(25, 17 + rows as u8));
        }
    }

    #[test]
    fn a_whole_chip_needs_no_translation() {
        let tiles = Chip::new(0, false).workers().unwrap();
        assert_eq!(tiles.len(), 80);
        assert_eq!((tiles[0], tiles[79]), (Tile::new(1, 1), Tile::new(9, 11)));
        assert!(tiles.iter().all(|tile| tile.x != 5 && tile.y != 6));
    }

    #[test]
    fn firmware_that_does_not_say_enough_is_refused() {
        let mut silent = Chip::new(0, true);
        silent
            .0
            .insert((ARC, ARC_SPACE + 0x1000_010C), HARVESTED_ROWS + 1);
        let mut without = Chip::new(0, true);
        without.0.insert((ARC, TELEMETRY_VALUES), 0);
        for (mut chip, says) in [
            (silent, "it does not report which rows are fused off"),
            (without, "no telemetry (0x0)"),
            (
                Chip::new(1, false),
                "rows are fused off and coordinates are not translated",
            ),
            (
                Chip::new(1 << 10, true),
                "more rows are fused off than there are",
            ),
            (Chip::new(0x3FF, true), "every row is fused off"),
        ] {
            let error = chip.workers().unwrap_err().to_string();
            assert_eq!(
                error,
                format!("chip: firmware: {says}; update it with tt-flash")
            );
        }
    }

    #[test]
    fn a_dead_link_is_no_grid() {
        let mut chip = Chip::new(0, true);
        chip.0.insert((ARC, TELEMETRY_TAGS), u32::MAX);
        let error = chip.workers().unwrap_err();
        assert!(matches!(error, NocError::Lost { tile: ARC, .. }), "{error}");
    }
}
