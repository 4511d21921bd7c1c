use super::*;

#[test]
fn windows_follow_each_other_and_fill_496_mebibytes() {
    let mut end = (0, 0);
    for kind in WINDOW_KINDS {
        assert_eq!((kind.first, kind.offset), end);
        end = (
            kind.first + kind.count,
            kind.offset + (u64::from(kind.count) << kind.bytes_log2),
        );
    }
    assert_eq!(end, (186, 496 << 20));
}

#[test]
fn words_have_every_field_in_its_place() {
    let view = View {
        tile: Tile::new(1, 2),
        from: None,
        base: 0x300_0000,
    };
    assert_eq!(view.word(24), 3 | 1 << 12 | 2 << 18 | 1 << 38);
    assert_eq!(view.word(21), 24 | 1 << 15 | 2 << 21 | 1 << 41);
    assert_eq!(view.word(20), 48 | 1 << 16 | 2 << 22 | 1 << 42);
    // Registers at the top of a tile's 32-bit space, and the far end of 36 bits.
    let top = View {
        tile: Tile::new(63, 63),
        from: None,
        base: 0xF_FF00_0000,
    };
    assert_eq!(top.word(24), 0xFFF | 63 << 12 | 63 << 18 | 1 << 38);
    let rectangle = View {
        tile: Tile::new(25, 25),
        from: Some(Tile::new(18, 19)),
        base: 0,
    };
    assert_eq!(
        rectangle.word(24),
        25 << 12 | 25 << 18 | 18 << 24 | 19 << 30 | 1 << 37 | 1 << 38
    );
}

/// Memory of one tile behind a window of 4 KiB, with a record of where it was moved.
#[derive(Debug)]
struct Small {
    memory: Vec<u8>,
    base: usize,
    moves: Vec<View>,
}

impl Aperture for Small {
    fn name(&self) -> &str {
        "small"
    }
    fn bytes_log2(&self) -> u32 {
        12
    }
    fn show(&mut self, view: View) -> Result<(), NocError> {
        self.base = view.base as usize;
        self.moves.push(view);
        Ok(())
    }
    fn read(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), NocError> {
        assert!(offset as usize + bytes.len() <= 4096);
        bytes.copy_from_slice(&self.memory[self.base + offset as usize..][..bytes.len()]);
        Ok(())
    }
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), NocError> {
        assert!(offset as usize + bytes.len() <= 4096);
        self.memory[self.base + offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    fn idle(&mut self) -> Result<(), NocError> {
        Ok(())
    }
    fn write_on_close(&mut self, _: Tile, _: u64, _: u32) -> Result<(), NocError> {
        Ok(())
    }
}

#[test]
fn accesses_are_cut_at_the_edges_of_windows() {
    let mut noc = Windowed::new(Small {
        memory: vec![0; 4 * 4096],
        base: 0,
        moves: Vec::new(),
    });
    let tile = Tile::new(1, 1);
    let data: Vec<u8> = (0..9000u32).map(|i| i as u8).collect();
    noc.write(tile, 4000, &data).unwrap();
    assert_eq!(&noc.aperture.memory[4000..13_000], &data[..]);
    let bases: Vec<u64> = noc.aperture.moves.iter().map(|view| view.base).collect();
    assert_eq!(bases, [0, 4096, 8192, 12_288]);

    let mut back = vec![0; 9000];
    noc.read(tile, 4000, &mut back).unwrap();
    assert_eq!(back, data);
    // The window stays where it is while it serves.
    let moves = noc.aperture.moves.len();
    noc.read(tile, 12_288, &mut back[..8]).unwrap();
    assert_eq!(noc.aperture.moves.len(), moves);
    noc.read(Tile::new(1, 2), 12_288, &mut back[..8]).unwrap();
    assert_eq!(noc.aperture.moves.len(), moves + 1);
}
