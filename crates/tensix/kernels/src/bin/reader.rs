//! Core B: streams the weights of a job from GDDR into the ring, one slot ahead of the matrix core.
#![no_std]
#![no_main]

#[path = "../baby.rs"]
mod baby;
#[path = "../../../src/isa/mod.rs"]
mod isa;

use baby::{answer, mail, read, write};
use isa::mailbox::{self, Progress, SLOT_BYTES, SLOT_STEPS, SLOTS, STEP_BYTES, job, status};
use isa::tile::{NIU, niu};

baby::start!("0xFFB00FF0");

#[unsafe(no_mangle)]
extern "C" fn main() {
    if !baby::job_is_sound() {
        answer(status::READER, Progress::Refused.word());
        return;
    }
    answer(status::READER, Progress::Running.word());
    let channel = mail(job::CHANNEL);
    let mut column = mail(job::WEIGHTS);
    let mut filled = 0u32;
    for _ in 0..mail(job::COLUMNS) {
        let mut source = column;
        let mut steps = mail(job::STEPS);
        while steps > 0 {
            let now = if steps < SLOT_STEPS {
                steps
            } else {
                SLOT_STEPS
            };
            // A slot is free once the matrix core has used what was there before.
            while filled.wrapping_sub(mail(status::DRAINED)) >= SLOTS {}
            let slot = mailbox::RING + (filled % SLOTS) * SLOT_BYTES;
            fetch(channel, source, slot, now * STEP_BYTES);
            filled = filled.wrapping_add(1);
            answer(status::FILLED, filled);
            source += now * STEP_BYTES;
            steps -= now;
        }
        column = column.wrapping_add(mail(job::STRIDE));
    }
    answer(status::READER, Progress::Done.word());
}

/// Reads from GDDR into L1 and waits for all of it.
fn fetch(channel: u32, mut source: u32, mut target: u32, mut bytes: u32) {
    let own = read(NIU + niu::NODE_ID) & 0xFFF;
    let before = read(NIU + niu::READ_RESPONSES);
    let mut requests = 0u32;
    while bytes > 0 {
        let now = if bytes < niu::REQUEST_BYTES_MAX {
            bytes
        } else {
            niu::REQUEST_BYTES_MAX
        };
        while read(NIU + niu::GO) & 1 != 0 {}
        write(NIU + niu::TARGET_LOW, source);
        write(NIU + niu::TARGET_MID, channel << 4);
        write(NIU + niu::RETURN_LOW, target);
        write(NIU + niu::RETURN_MID, own << 4);
        write(NIU + niu::PACKET_TAG, 0);
        write(NIU + niu::CONTROL, niu::READ);
        write(NIU + niu::LENGTH, now);
        write(NIU + niu::GO, 1);
        requests += 1;
        source += now;
        target += now;
        bytes -= now;
    }
    while read(NIU + niu::READ_RESPONSES).wrapping_sub(before) != requests {}
}
