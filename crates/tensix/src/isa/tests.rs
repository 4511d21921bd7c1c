//! Words and addresses, spelled out.

use super::instruction::{self, Counters, Instruction, Release, Unpacker, modifier};
use super::mailbox::{self, Progress};
use super::tile::{self, BabyCore};

#[test]
fn soft_reset_words_hold_what_they_say() {
    assert_eq!(tile::ALL_HELD, 0x4_7800);
    assert_eq!(tile::RUNNING, 0x4_6000);
    let bits = BabyCore::ALL.map(BabyCore::reset_bit);
    assert_eq!(bits, [1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 18]);
}

#[test]
fn instructions_are_the_documented_words() {
    for (found, expected) in [
        (instruction::zero_dst(), 0x1018_0000),
        (instruction::multiply(0, 0, Release::None), 0x2600_0000),
        (
            instruction::multiply(504, modifier::NEXT_PHASE, Release::None),
            0x2601_01F8,
        ),
        (
            instruction::multiply(8, modifier::NEXT_DEPTH, Release::A),
            0x2641_8008,
        ),
        (
            instruction::multiply(8, modifier::NEXT_DEPTH, Release::Both),
            0x26C1_8008,
        ),
        (instruction::clear_counters(), 0x3700_000F),
        (instruction::pack(false), 0x4100_0100),
        (instruction::pack(true), 0x4100_0101),
        (instruction::unpack(Unpacker::A), 0x4200_80C1),
        (instruction::unpack(Unpacker::B), 0x4280_80C1),
        (instruction::zero_xy(Counters::All), 0x51E0_000F),
        (instruction::zero_zw(Counters::All), 0x54E0_000F),
        (
            instruction::set_x_range(Counters::Unpackers, 1023),
            0x5E6F_FC00,
        ),
        (
            instruction::set_x_range(Counters::Packers, 255),
            0x5E83_FC00,
        ),
        (instruction::pack_after_math(), 0xA202_0080),
        (instruction::wait_for_packer(), 0xA200_8008),
        (instruction::set_thread_configuration(3, 4), 0xB203_0004),
    ] {
        assert_eq!(found, Instruction(expected), "{found:08x?}");
    }
}

/// The matrix unit's counters, as address modifiers move them.
#[derive(Default)]
struct Walk {
    a: u16,
    b: u16,
    b_return: u16,
    phase: u16,
}

impl Walk {
    fn apply(&mut self, index: u32, phases: u32) {
        let [(sources_at, sources), (dst_at, dst)] = modifier::words(index, phases);
        assert_eq!((sources_at, dst_at), (7 + 2 * index, 23 + index));
        self.a = (self.a + (sources & 0x3F)) & 0x3F;
        let b = sources >> 8 & 0x3F;
        if sources >> 14 & 1 == 1 {
            self.b_return = (self.b_return + b) & 0x3F;
            self.b = self.b_return;
        } else {
            self.b = (self.b + b) & 0x3F;
        }
        self.phase = (self.phase + (dst >> 13)) & 3;
    }
}

#[test]
fn one_step_visits_every_place_once_in_every_phase_and_returns() {
    for (phases, base, visited) in [(4, 0, vec![0, 1, 2, 3]), (2, 1, vec![1, 3])] {
        let mut walk = Walk::default();
        let mut seen = Vec::new();
        // As the matrix kernel does: four chunks, phases, four groups of outputs, two halves.
        for chunk in 0..4u16 {
            for phase in 0..phases {
                for outputs in 0..4u16 {
                    for half in 0..2u16 {
                        assert_eq!(walk.a, 16 * outputs);
                        assert_eq!(walk.b, 16 * chunk + 8 * half);
                        seen.push((base + walk.phase) & 3);
                        let then = match (half, outputs) {
                            (0, _) => modifier::NEXT_HALF,
                            (_, 3) if phase == phases - 1 => modifier::NEXT_DEPTH,
                            (_, 3) => modifier::NEXT_PHASE,
                            _ => modifier::NEXT_OUTPUTS,
                        };
                        walk.apply(then, phases);
                    }
                }
            }
        }
        assert_eq!((walk.a, walk.b, walk.b_return, walk.phase), (0, 0, 0, 0));
        seen.dedup();
        assert_eq!(
            seen,
            [visited.clone(), visited.clone(), visited.clone(), visited].concat()
        );
    }
}

#[test]
fn progress_words_are_told_from_anything_else() {
    for progress in [
        Progress::Idle,
        Progress::Running,
        Progress::Done,
        Progress::Refused,
    ] {
        assert_eq!(Progress::from_word(progress.word()), Some(progress));
    }
    for word in [1, 0xA55A_0004, u32::MAX] {
        assert_eq!(Progress::from_word(word), None);
    }
}

#[test]
fn regions_of_l1_do_not_overlap() {
    const { assert!(tile::READER_START + tile::READER_BYTES_MAX <= mailbox::MAILBOX) };
    const { assert!(mailbox::address(mailbox::status::END) <= tile::MATRIX_START) };
    const { assert!(mailbox::job::WORDS <= mailbox::status::MATRIX) };
    const { assert!(tile::MATRIX_START + tile::MATRIX_BYTES_MAX <= mailbox::RING) };
    const { assert!(mailbox::ARENA < tile::L1_BYTES) };
    // A slot's chunks are counted in eight bits, and so are the 16-row groups that are packed.
    const { assert!(mailbox::SLOT_STEPS * mailbox::STEP_CHUNKS <= 256) };
    const { assert!(mailbox::BLOCKS_MAX * 64 <= 512) };
}
