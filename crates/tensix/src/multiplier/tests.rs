//! The host's share of a product, on a chip that is nothing but memory and does each job by its definition, all at once.

use std::collections::BTreeMap;

use assay_engine::{bounds::TERMS_MAX, kat};
use proptest::prelude::*;

use super::*;
use crate::isa::mailbox::{self, CHUNK_BYTES, Progress, job, status};
use crate::isa::tile::{ALL_HELD, L1_BYTES, RUNNING, SOFT_RESET};

/// Memory of some tiles and of the channels, as far as it was written.
#[derive(Debug)]
struct Chip {
    workers: Vec<Tile>,
    memory: BTreeMap<Tile, Vec<u8>>,
    resets: BTreeMap<Tile, u32>,
}

impl Chip {
    fn new(tiles: u8) -> Self {
        let workers: Vec<Tile> = (0..tiles).map(|x| Tile::new(18 + x, 18)).collect();
        Self {
            memory: workers
                .iter()
                .map(|tile| (*tile, vec![0; L1_BYTES as usize]))
                .collect(),
            resets: workers.iter().map(|tile| (*tile, ALL_HELD)).collect(),
            workers,
        }
    }

    fn word(&self, tile: Tile, index: u32) -> u32 {
        let at = mailbox::address(index) as usize;
        u32::from_le_bytes(self.memory[&tile][at..at + 4].try_into().unwrap())
    }

    /// The job in a tile's mailbox, with the weights of two phases checked to be narrow.
    fn run(&mut self, tile: Tile) {
        let [
            blocks,
            columns,
            steps,
            activations,
            results,
            weights,
            stride,
        ] = [
            job::BLOCKS,
            job::COLUMNS,
            job::STEPS,
            job::ACTIVATIONS,
            job::RESULTS,
            job::WEIGHTS,
            job::STRIDE,
        ]
        .map(|index| self.word(tile, index) as usize);
        assert_eq!(self.word(tile, job::VERSION), mailbox::VERSION);
        assert!((1..=8).contains(&blocks) && columns > 0 && steps > 0);
        let narrow = self.word(tile, job::NARROW) == 1;
        let channel = self.word(tile, job::CHANNEL);
        let channel = Tile::new((channel & 0x3F) as u8, (channel >> 6) as u8);
        let value = |byte: u8| {
            let magnitude = i32::from(byte & 0x7F);
            if byte >> 7 == 1 {
                -magnitude
            } else {
                magnitude
            }
        };
        let mut out = vec![0i32; columns * blocks * 1024];
        for column in 0..columns {
            for chunk in 0..4 * steps {
                let at = weights + column * stride + chunk * CHUNK_BYTES as usize;
                let weights: Vec<i32> = self.memory[&channel][at..][..CHUNK_BYTES as usize]
                    .iter()
                    .map(|byte| value(*byte))
                    .collect();
                assert!(!narrow || weights.iter().all(|weight| weight.abs() <= 31));
                for block in 0..blocks {
                    let out = &mut out[(column * blocks + block) * 1024..][..1024];
                    let at = activations + (block * steps * 4 + chunk) * 256;
                    let rows = &self.memory[&tile][at..][..256];
                    for (i, sum) in out.iter_mut().enumerate() {
                        let (group, row, output) = (i / 256, i / 16 % 16, i % 16);
                        for k in 0..16 {
                            *sum +=
                                weights[group * 256 + k * 16 + output] * value(rows[row * 16 + k]);
                        }
                    }
                }
            }
        }
        let memory = self.memory.get_mut(&tile).unwrap();
        for (sum, word) in out.iter().zip(memory[results..].chunks_exact_mut(4)) {
            // Minus zero, which is legal, where the sum is zero.
            let sign = if *sum <= 0 { 1 << 31 } else { 0 };
            word.copy_from_slice(&(sum.unsigned_abs() | sign).to_le_bytes());
        }
        for index in [status::MATRIX, status::READER] {
            let at = mailbox::address(index) as usize;
            memory[at..at + 4].copy_from_slice(&Progress::Done.word().to_le_bytes());
        }
    }
}

impl Noc for Chip {
    fn name(&self) -> &str {
        "chip"
    }

    fn read(&mut self, tile: Tile, address: u64, bytes: &mut [u8]) -> Result<(), NocError> {
        if address == u64::from(SOFT_RESET) {
            bytes.copy_from_slice(&self.resets[&tile].to_le_bytes());
        } else {
            bytes.copy_from_slice(&self.memory[&tile][address as usize..][..bytes.len()]);
        }
        Ok(())
    }

    fn write(&mut self, tile: Tile, address: u64, bytes: &[u8]) -> Result<(), NocError> {
        if address == u64::from(SOFT_RESET) {
            let word = u32::from_le_bytes(bytes.try_into().unwrap());
            self.resets.insert(tile, word);
            if word == RUNNING {
                self.run(tile);
            }
            return Ok(());
        }
        let (start, end) = (address as usize, address as usize + bytes.len());
        let memory = self.memory.entry(tile).or_default();
        if self.workers.contains(&tile) {
            assert!(end <= memory.len(), "past the end of L1");
        } else if memory.len() < end {
            memory.resize(end, 0xFF);
        }
        memory[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn idle(&mut self) -> Result<(), NocError> {
        Ok(())
    }

    fn workers(&mut self) -> Result<Vec<Tile>, NocError> {
        Ok(self.workers.clone())
    }

    fn write_on_close(&mut self, _: Tile, _: u64, _: u32) -> Result<(), NocError> {
        Ok(())
    }
}

fn multiplier(tiles: u8) -> Multiplier {
    Multiplier::open(Box::new(Chip::new(tiles)), Duration::from_secs(60)).unwrap()
}

fn check(multiplier: &mut Multiplier, (rows, cols, tokens): (usize, usize, usize), seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let weights: Vec<i8> = (0..rows * cols).map(|_| random.i8(-127..=127)).collect();
    let high: Vec<i8> = (0..tokens * cols).map(|_| random.i8(-127..=127)).collect();
    let low: Vec<i8> = (0..tokens * cols).map(|_| random.i8(-64..=63)).collect();
    let x = PlaneBatch {
        tokens,
        high: &high,
        low: &low,
    };
    let mut expected = vec![0; tokens * rows];
    let mut host = assay_engine::accelerator::Host::default();
    let handle = host.load(rows, cols, &weights).unwrap();
    host.multiply(handle, &x, &mut expected).unwrap();
    let mut sums = vec![i64::MIN; tokens * rows];
    let handle = multiplier.load(rows, cols, &weights).unwrap();
    multiplier.multiply(handle, &x, &mut sums).unwrap();
    assert!(sums == expected, "{rows} x {cols}, {tokens} tokens");
}

#[test]
fn the_known_answers_come_out() {
    kat::run_accelerator(&mut multiplier(3), TERMS_MAX).unwrap();
}

#[test]
fn wide_and_long_products_are_cut_into_jobs_that_fit() {
    let mut multiplier = multiplier(2);
    // 64 tokens: more columns in a tile, then more steps along K, then both, than one job takes.
    check(&mut multiplier, (2_700, 70, 64), 1);
    check(&mut multiplier, (70, 12_000, 64), 2);
    check(&mut multiplier, (2_650, 5_200, 33), 3);
}

#[test]
fn every_activation_is_two_planes_of_eight_bits() {
    // The engine's split, for each of its values; the multiplier takes both planes as they are.
    for value in -16_319..=16_319i32 {
        let high = (value + 64) >> 7;
        let low = value - 128 * high;
        assert!((-127..=127).contains(&high) && (-64..=63).contains(&low));
        assert_eq!(128 * high + low, value);
    }
}

#[test]
fn wrong_sizes_and_values_are_refused() {
    let mut multiplier = multiplier(1);
    let refused = |what| Err(AcceleratorError::Shape { what });
    assert_eq!(multiplier.load(1, 2, &[1, -128]), refused("a matrix"));
    assert_eq!(multiplier.load(2, 2, &[1; 3]), refused("a matrix"));
    let matrix = multiplier.load(2, 3, &[1; 6]).unwrap();
    let mut multiply = |handle, tokens, high: &[i8], low: &[i8], sums: usize| {
        let x = PlaneBatch { tokens, high, low };
        multiplier
            .multiply(handle, &x, &mut vec![0; sums])
            .map(|()| Handle(0))
    };
    assert_eq!(
        multiply(Handle(1), 1, &[1; 3], &[1; 3], 2),
        refused("a handle")
    );
    assert_eq!(multiply(matrix, 2, &[1; 3], &[1; 3], 4), refused("vectors"));
    assert_eq!(multiply(matrix, 1, &[1; 3], &[1; 4], 2), refused("vectors"));
    assert_eq!(
        multiply(matrix, 1, &[1; 3], &[1; 3], 3),
        refused("room for sums")
    );
    assert_eq!(
        multiply(matrix, 1, &[1; 3], &[1, -128, 1], 2),
        refused("a vector")
    );
    assert!(multiply(matrix, 0, &[], &[], 0).is_ok());
    assert!(multiply(matrix, 1, &[1; 3], &[1; 3], 2).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products_of_any_shape_are_the_hosts(
        tiles in 1u8..6, rows in 1usize..200, cols in 1usize..200, tokens in 0usize..140, seed in any::<u64>(),
    ) {
        let mut multiplier = multiplier(tiles);
        check(&mut multiplier, (rows, cols, tokens), seed);
        // A second matrix does not disturb the first one's place, nor it the second's.
        check(&mut multiplier, (cols, rows, tokens.min(3)), seed ^ 1);
    }
}
