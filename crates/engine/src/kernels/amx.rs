//! AMX: tiles of bytes, multiplied 16 tokens by 16 rows by 64 columns at a time, for many tokens; fewer take [`super::avx512`]'s way.
//!
//! Regrouped weights of [`super::avx512`] are tiles as they lie: `tdpbsud` multiplies signed activations by weights offset to unsigned, adds in
//! 32 bits and wraps, as `vpdpbusd` does. The instructions are written out, since their intrinsics are not stable.

use std::{
    arch::{asm, x86_64::*},
    cell::RefCell,
};

use super::{
    avx512::{self, ROWS_PACKED},
    maps::Activations,
    matmul::Block,
};

/// Tokens of one tile.
const TOKENS: usize = 16;
/// Bytes of a row of a tile.
const LINE: usize = 64;
/// Bytes of a tile, and of one step of regrouped weights.
const TILE: usize = 1_024;

thread_local! {
    /// Regrouped weights: (half, group of four columns, row in half, column in group).
    static PACKED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Whether this process may use tiles: the processor has them, the system keeps their state, and it has granted it to this process.
///
/// Asking again changes nothing, and threads have what their process has.
pub(super) fn permitted() -> bool {
    let features = __cpuid_count(7, 0).edx;
    let (has_tiles, has_bytes) = (features & 1 << 24 != 0, features & 1 << 25 != 0);
    if !has_tiles || !has_bytes || __cpuid(1).ecx & 1 << 27 == 0 {
        return false;
    }
    // SAFETY: the bit just looked at says that the system has enabled this instruction.
    let states = unsafe { extended_states() };
    if states & 0b11 << 17 != 0b11 << 17 {
        return false;
    }
    // Palette 1: eight tiles of 16 rows of 64 bytes.
    let palette = __cpuid_count(0x1d, 1);
    palette.eax >> 16 == TILE as u32
        && palette.ebx == 8 << 16 | LINE as u32
        && palette.ecx & 0xffff == TOKENS as u32
        && granted()
}

/// The states that the system keeps for its threads.
///
/// # Safety
/// The system has enabled `xgetbv`.
unsafe fn extended_states() -> u32 {
    let low: u32;
    // SAFETY: by the caller's word the instruction is enabled; it reads a register and writes two.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack, preserves_flags));
    }
    low
}

/// Asks the system for the state of tiles: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`.
#[cfg(target_os = "linux")]
fn granted() -> bool {
    let mut result: i64 = 158;
    // SAFETY: this call of the system takes two numbers, touches no memory of ours and clobbers two registers.
    unsafe {
        asm!(
            "syscall",
            inout("rax") result,
            in("rdi") 0x1023_u64,
            in("rsi") 18_u64,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
fn granted() -> bool {
    false
}

/// Computes a block of rows for the first `tokens` tokens.
///
/// # Safety
/// [`permitted`] has said yes in this process.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn block(block: &Block<'_>, x: &Activations, tokens: usize) {
    let whole = tokens / TOKENS * TOKENS;
    if whole == 0 {
        return avx512::block(block, x, tokens);
    }
    PACKED.with_borrow_mut(|packed| {
        packed.resize(ROWS_PACKED * x.stride, 0);
        let mut sums = Sums([0; 4 * TILE / 4]);
        // SAFETY: by the caller's word this process may use tiles.
        let tiles = unsafe { Tiles::configure() };
        for row in (0..block.scales.len()).step_by(ROWS_PACKED) {
            let (first, second) = packed.split_at_mut(ROWS_PACKED / 2 * x.stride);
            avx512::pack_both(block, x.cols, row, first, second);
            for token in (0..whole).step_by(TOKENS) {
                tiles.multiply(x, token, first, second, &mut sums);
                finish(block, x, token, row, &sums);
            }
            avx512::tiles(block, x, row, whole..tokens, first, second);
        }
    });
}

/// What tiles leave behind: high plane times both halves of the rows, low plane times both; each (token, row in half).
#[repr(align(64))]
struct Sums([i32; 4 * TILE / 4]);

/// This thread's tiles, configured. Given back when dropped: a thread with tiles in use is slow to switch.
struct Tiles;

impl Tiles {
    /// All eight tiles with 16 rows of 64 bytes.
    ///
    /// # Safety
    /// This process may use tiles.
    unsafe fn configure() -> Self {
        #[repr(align(64))]
        struct Config([u8; 64]);
        let mut config = Config([0; 64]);
        config.0[0] = 1; // palette
        for tile in 0..8 {
            config.0[16 + 2 * tile] = LINE as u8;
            config.0[48 + tile] = TOKENS as u8;
        }
        // SAFETY: by the caller's word; the instruction reads 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const config.0, options(readonly, nostack)) };
        Self
    }

    /// 16 tokens from `token` on times 32 rows.
    #[inline]
    fn multiply(
        &self,
        x: &Activations,
        token: usize,
        first: &[u8],
        second: &[u8],
        sums: &mut Sums,
    ) {
        let rows = token * x.stride..(token + TOKENS) * x.stride;
        let (high, low) = (&x.high[rows.clone()], &x.low[rows]);
        let steps = x.stride / LINE;
        assert!(
            steps > 0 && first.len() >= steps * TILE && second.len() >= steps * TILE,
            "BUG: too few regrouped weights"
        );
        // SAFETY: tiles are configured as long as `self` lives. Step for step 16 rows of 64 bytes are read of either plane, which rows of
        // activations hold since they are padded, and a tile of either half of the weights; four tiles fit `sums`.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{high} + {stride}]",
                "tileloadd tmm6, [{first} + {line}]",
                "tdpbsud tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{second} + {line}]",
                "tdpbsud tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{low} + {stride}]",
                "tdpbsud tmm2, tmm5, tmm6",
                "tdpbsud tmm3, tmm5, tmm7",
                "add {high}, 64",
                "add {low}, 64",
                "add {first}, 1024",
                "add {second}, 1024",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{sums} + {line}], tmm0",
                "tilestored [{sums} + {line} + 1024], tmm1",
                "tilestored [{sums} + {line} + 2048], tmm2",
                "tilestored [{sums} + {line} + 3072], tmm3",
                high = inout(reg) high.as_ptr() => _,
                low = inout(reg) low.as_ptr() => _,
                first = inout(reg) first.as_ptr() => _,
                second = inout(reg) second.as_ptr() => _,
                steps = inout(reg) steps => _,
                stride = in(reg) x.stride,
                line = in(reg) LINE,
                sums = in(reg) sums.0.as_mut_ptr(),
                out("tmm0") _,
                out("tmm1") _,
                out("tmm2") _,
                out("tmm3") _,
                out("tmm4") _,
                out("tmm5") _,
                out("tmm6") _,
                out("tmm7") _,
                options(nostack),
            );
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: this thread has configured its tiles, so it may release them.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}

/// Writes the products of 16 tokens and 32 rows.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn finish(block: &Block<'_>, x: &Activations, token: usize, row: usize, sums: &Sums) {
    let (highs, lows) = sums.0.split_at(2 * TILE / 4);
    for half in 0..2 {
        let row = row + 16 * half;
        let rows = block.scales.len().saturating_sub(row).min(16);
        if rows == 0 {
            return;
        }
        let mask = (0xffff_u32 >> (16 - rows)) as __mmask16;
        // SAFETY: the mask covers the rows of this block that are left.
        let scales = unsafe { _mm512_maskz_loadu_ps(mask, block.scales[row..].as_ptr()) };
        let tile = half * TILE / 4..(half + 1) * TILE / 4;
        let lines = highs[tile.clone()]
            .chunks_exact(16)
            .zip(lows[tile].chunks_exact(16));
        for (t, (high, low)) in lines.enumerate() {
            // SAFETY: 16 integers lie in either.
            let (high, low) = unsafe {
                (
                    _mm512_loadu_si512(high.as_ptr().cast()),
                    _mm512_loadu_si512(low.as_ptr().cast()),
                )
            };
            avx512::finish(block, x, token + t, row, mask, scales, high, low);
        }
    }
}
