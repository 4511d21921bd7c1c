//! Core T0: drives unpackers, matrix unit and packer through one job.
//!
//! For each column of 64 outputs, Dst holds all blocks of 16 activation rows: block `b`, outputs `16 * n ..` from row
//! `64 * b + 16 * n` on. A chunk of weights (16 along K by 64 outputs) thus feeds eight different places of Dst per fidelity
//! phase, and the matrix unit never waits for the sum that it has just begun.
#![no_std]
#![no_main]

#[path = "../baby.rs"]
mod baby;
#[path = "../../../src/isa/mod.rs"]
mod isa;

use baby::{answer, mail, read, write};
use isa::instruction::{self, Counters, Instruction, Release, Unpacker, modifier};
use isa::mailbox::{
    self, CHUNK_BYTES, Progress, RESULT_BYTES, SLOT_BYTES, SLOT_STEPS, SLOTS, STEP_CHUNKS, job,
    status,
};
use isa::tile::{BACKEND_CONFIGURATION, COPROCESSOR_DONE, INSTRUCTION_PUSH};

baby::start!("0xFFB007F0");

#[unsafe(no_mangle)]
extern "C" fn main() {
    if !baby::job_is_sound() {
        answer(status::MATRIX, Progress::Refused.word());
        return;
    }
    answer(status::MATRIX, Progress::Running.word());
    let phases = if mail(job::NARROW) == 1 { 2 } else { 4 };
    configure(phases);
    let (blocks, steps) = (mail(job::BLOCKS), mail(job::STEPS));
    let mut results = mail(job::RESULTS);
    let mut drained = 0u32;
    for _ in 0..mail(job::COLUMNS) {
        push(instruction::zero_dst());
        let mut first = 0;
        while first < steps {
            let now = if steps - first < SLOT_STEPS {
                steps - first
            } else {
                SLOT_STEPS
            };
            while mail(status::FILLED) == drained {}
            let slot = mailbox::RING + (drained % SLOTS) * SLOT_BYTES;
            for block in 0..blocks {
                let activations = mail(job::ACTIVATIONS) + (block * steps + first) * CHUNK_BYTES;
                accumulate(slot, activations, block, now, phases);
            }
            wait_for_coprocessor();
            drained = drained.wrapping_add(1);
            answer(status::DRAINED, drained);
            first += now;
        }
        store(results, blocks);
        results += blocks * RESULT_BYTES;
    }
    answer(status::MATRIX, Progress::Done.word());
}

/// Adds `steps` steps of one block to its part of Dst.
fn accumulate(weights: u32, activations: u32, block: u32, steps: u32, phases: u32) {
    // The unpackers read their base addresses while they work, so they must be idle.
    wait_for_coprocessor();
    set_address(64, weights);
    set_address(104, activations);
    push(instruction::zero_zw(Counters::All));
    push(instruction::clear_counters());
    for _ in 0..steps {
        push(instruction::unpack(Unpacker::B));
        for chunk in 0..STEP_CHUNKS {
            push(instruction::unpack(Unpacker::A));
            let used = if chunk == STEP_CHUNKS - 1 {
                Release::Both
            } else {
                Release::A
            };
            for phase in 0..phases {
                let last = phase == phases - 1;
                multiply_all(64 * block, last, if last { used } else { Release::None });
            }
        }
    }
}

/// One fidelity phase of one chunk: four groups of 16 outputs, two halves of the block each.
#[inline(always)]
fn multiply_all(row: u32, last_phase: bool, used: Release) {
    for outputs in 0..4 {
        let (then, used) = match (outputs, last_phase) {
            (3, true) => (modifier::NEXT_DEPTH, used),
            (3, false) => (modifier::NEXT_PHASE, Release::None),
            _ => (modifier::NEXT_OUTPUTS, Release::None),
        };
        let row = row + 16 * outputs;
        push(instruction::multiply(
            row,
            modifier::NEXT_HALF,
            Release::None,
        ));
        push(instruction::multiply(row + 8, then, used));
    }
}

/// Packs all blocks of the column, one after another, to L1.
fn store(results: u32, blocks: u32) {
    wait_for_coprocessor();
    set_address(57, results);
    push(instruction::zero_zw(Counters::All));
    push(instruction::pack_after_math());
    let packs = 4 * blocks;
    for pack in 1..=packs {
        push(instruction::pack(pack == packs));
    }
    push(instruction::wait_for_packer());
    wait_for_coprocessor();
}

/// Formats, shapes and counters that stay the same for the whole job.
fn configure(phases: u32) {
    const INT8: u32 = 14;
    const INT32: u32 = 8;
    // Source and accumulator formats, integer arithmetic on.
    configuration(1, INT8 << 17 | INT8 << 21 | INT32 << 25 | 1 << 31);
    configuration(2, 0);
    // The packer reads Dst in 32 bits; Z moves it by 16 rows of 16 datums.
    configuration(8, 0);
    configuration(9, 16 * 16 * 4);
    configuration(14, 1);
    configuration(16, 0);
    configuration(20, 0xFFFF);
    for word in 24..28 {
        configuration(word, 16 << 8);
    }
    for word in [41, 44, 45, 47, 80] {
        configuration(word, 0);
    }
    // Both unpackers: uncompressed rows of one chunk.
    for unpacker in [52, 92] {
        configuration(unpacker, INT8 | 1 << 4 | CHUNK_BYTES << 16);
        configuration(unpacker + 1, 1 | 1 << 16);
        configuration(unpacker + 8, INT8 | 2 << 4);
        configuration(unpacker + 9, 0xF);
    }
    configuration(72, 64 | 64 << 16);
    configuration(74, CHUNK_BYTES | CHUNK_BYTES << 16);
    for packer in [56, 84, 96, 124] {
        configuration(packer, 0);
        configuration(packer + 2, 1 | INT32 << 4 | INT32 << 8);
        configuration(packer + 3, 0);
    }
    settle(127);

    for word in [0, 1, 2, 5, 39, 48, 49, 50, 51] {
        push(instruction::set_thread_configuration(word, 0));
    }
    // SrcA rows are placed by address.
    push(instruction::set_thread_configuration(3, 4));
    // Two phases are the first and third after the base.
    push(instruction::set_thread_configuration(
        6,
        if phases == 2 { 1 } else { 0 },
    ));
    for index in 0..4 {
        for (word, value) in modifier::words(index, phases) {
            push(instruction::set_thread_configuration(word, value));
        }
    }
    // The packer's Z counter moves on after each PACR.
    push(instruction::set_thread_configuration(31, 1 << 12));
    push(instruction::zero_xy(Counters::All));
    push(instruction::set_x_range(
        Counters::Unpackers,
        CHUNK_BYTES - 1,
    ));
    push(instruction::set_x_range(Counters::Packers, 255));
    push(instruction::zero_zw(Counters::All));
}

fn push(instruction: Instruction) {
    write(INSTRUCTION_PUSH, instruction.0);
}

fn configuration(word: u32, value: u32) {
    write(BACKEND_CONFIGURATION + 4 * word, value);
}

/// An address in L1, in units of 16 bytes less the tile header that the units skip.
fn set_address(word: u32, address: u32) {
    configuration(word, address / 16 - 1);
    settle(word);
}

/// Waits until a configuration word, and so all that were written before it, can be read back.
fn settle(word: u32) {
    use_up(read(BACKEND_CONFIGURATION + 4 * word));
}

/// Waits until every instruction that was pushed has ended.
fn wait_for_coprocessor() {
    write(COPROCESSOR_DONE, 0);
    use_up(read(COPROCESSOR_DONE));
}

/// Makes the core wait for a value that it loaded.
fn use_up(value: u32) {
    // SAFETY: it moves a register to itself.
    unsafe {
        core::arch::asm!("mv {0}, {0}", inout(reg) value => _, options(nomem, nostack));
    }
}
