//! What both programs need of a baby core: its start, its registers, and the mailbox.

use core::ptr;

use crate::isa::mailbox;

/// Reads a 32-bit word or register.
pub fn read(address: u32) -> u32 {
    // SAFETY: every address that the programs name is L1 or a register of this tile, aligned to four bytes, and no Rust object.
    unsafe { ptr::read_volatile(address as *const u32) }
}

/// Writes a 32-bit word or register.
pub fn write(address: u32, value: u32) {
    // SAFETY: as for `read`; the programs write only to the mailbox and to registers.
    unsafe { ptr::write_volatile(address as *mut u32, value) }
}

/// One word of the mailbox.
pub fn mail(index: u32) -> u32 {
    read(mailbox::address(index))
}

/// Answers in the mailbox.
pub fn answer(index: u32, value: u32) {
    write(mailbox::address(index), value);
}

/// What a status word is made of before the work starts: a job of this version with every count in range.
pub fn job_is_sound() -> bool {
    let in_range = |index, max| (1..=max).contains(&mail(index));
    mail(mailbox::job::VERSION) == mailbox::VERSION
        && in_range(mailbox::job::BLOCKS, mailbox::BLOCKS_MAX)
        && in_range(mailbox::job::COLUMNS, 1 << 16)
        && in_range(mailbox::job::STEPS, 1 << 16)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Sets the stack at the top of the core's local memory, runs `main`, and stays.
///
/// The reset leaves registers zero. `jal` reaches all of a program this small.
macro_rules! start {
    ($stack:literal) => {
        core::arch::global_asm!(
            ".section .text.start",
            ".globl start",
            "start:",
            concat!("li sp, ", $stack),
            "jal main",
            "1: j 1b",
        );
    };
}
pub(crate) use start;
