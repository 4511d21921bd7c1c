//! Products of int8 matrices with A15 activations of several tokens.
//!
//! Work is cut into blocks of rows; a block reads its weights once for all tokens. The exact integer of every (token, row) is rounded once
//! and scaled, whichever kernel made it, or whichever device the matrix lies on.

use core::ops::Range;

use super::{Kind, Level, maps::Activations, pool::Pool};
use crate::{
    accelerator::PlaneBatch,
    f32z::{add, cvt64, mul},
    model::Matrix,
};

/// Rows that a block is a multiple of, save the last.
const ROWS_STEP: usize = 32;
/// Rows of the largest block: keeps its weights in the second-level cache for the widest common matrices.
const ROWS_MAX: usize = 256;

/// One matrix of a region and where its product goes.
pub(crate) struct Product<'a> {
    pub(crate) matrix: &'a Matrix,
    /// (token, row)
    pub(crate) out: &'a mut [f32],
}

/// What happens to a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// It replaces what was there.
    Store,
    /// It is added in F32Z: the residual stream.
    Add,
}

/// Multiplies the first `tokens` activations with every matrix.
pub(crate) fn multiply(
    level: Level,
    pool: &mut Pool,
    x: &Activations,
    tokens: usize,
    products: &mut [Product<'_>],
    write: Write,
) {
    for product in &*products {
        assert!(
            product.matrix.cols() == x.cols && tokens <= x.tokens.len(),
            "BUG: product of unequal shapes"
        );
    }
    let on_device = on_devices(pool, x, tokens, products, write);
    let here = |i: usize| on_device & 1 << i == 0;
    let total: usize = (products.iter().enumerate())
        .filter(|(i, _)| here(*i))
        .map(|(_, p)| p.matrix.rows())
        .sum();
    let per_block = rows_per_block(total, pool);
    let mut blocks = Vec::with_capacity(total / per_block + products.len());
    for (i, Product { matrix, out }) in products.iter_mut().enumerate() {
        if !here(i) {
            continue;
        }
        let all = 0..matrix.rows();
        cut(matrix, all, per_block, tokens, out, write, &mut blocks);
    }
    compute(level, pool, x, tokens, &blocks);
}

/// Multiplies the first `tokens` activations with some rows of a matrix; `out` is (token, row of these).
pub(crate) fn multiply_rows(
    level: Level,
    pool: &mut Pool,
    x: &Activations,
    tokens: usize,
    matrix: &Matrix,
    rows: Range<usize>,
    out: &mut [f32],
) {
    assert!(
        matrix.cols() == x.cols && tokens <= x.tokens.len(),
        "BUG: product of unequal shapes"
    );
    let per_block = rows_per_block(rows.len(), pool);
    let mut blocks = Vec::with_capacity(rows.len() / per_block + 1);
    cut(
        matrix,
        rows,
        per_block,
        tokens,
        out,
        Write::Store,
        &mut blocks,
    );
    compute(level, pool, x, tokens, &blocks);
}

/// Tokens that a device is given at once: what it works on, not the sums, which are kept until a product is whole.
const DEVICE_TOKENS: usize = 64;

/// Multiplies with those matrices that lie on a device; says which they were, one bit each, and leaves the others alone.
fn on_devices(
    pool: &mut Pool,
    x: &Activations,
    tokens: usize,
    products: &mut [Product<'_>],
    write: Write,
) -> u32 {
    let usable = |matrix: &Matrix| {
        matrix
            .resident()
            .is_some_and(|resident| resident.is_usable())
    };
    if !products.iter().any(|product| usable(product.matrix)) {
        return 0;
    }
    let planes = |plane: &[i8]| -> Vec<i8> {
        let rows = plane.chunks_exact(x.stride).take(tokens);
        rows.flat_map(|row| &row[..x.cols]).copied().collect()
    };
    let (high, low) = (planes(&x.high), planes(&x.low));
    let mut made = 0;
    for (i, Product { matrix, out }) in products.iter_mut().enumerate() {
        let Some(resident) = matrix.resident() else {
            continue;
        };
        let (rows, cols) = (matrix.rows(), matrix.cols());
        let mut batches = Vec::with_capacity(tokens.div_ceil(DEVICE_TOKENS));
        for first in (0..tokens).step_by(DEVICE_TOKENS) {
            let count = DEVICE_TOKENS.min(tokens - first);
            let part = first * cols..(first + count) * cols;
            let batch = PlaneBatch {
                tokens: count,
                high: &high[part.clone()],
                low: &low[part],
            };
            batches.extend(resident.multiply(&batch, rows));
        }
        // Nothing was written yet, so a device that failed halfway leaves the whole product to the host.
        if batches.len() < tokens.div_ceil(DEVICE_TOKENS) {
            continue;
        }
        let mut blocks = Vec::with_capacity(1);
        cut(matrix, 0..rows, rows, tokens, out, write, &mut blocks);
        let [block] = &blocks[..] else {
            unreachable!("BUG: one block of all rows")
        };
        pool.run(tokens, &|token| {
            let sums = &batches[token / DEVICE_TOKENS][token % DEVICE_TOKENS * rows..][..rows];
            block.finish(token, 0, x.tokens[token].scale, sums);
        });
        made |= 1 << i;
    }
    made
}

fn rows_per_block(total: usize, pool: &Pool) -> usize {
    (total / (8 * pool.threads()))
        .next_multiple_of(ROWS_STEP)
        .clamp(ROWS_STEP, ROWS_MAX)
}

/// Cuts rows of a matrix into blocks.
fn cut<'a>(
    matrix: &'a Matrix,
    rows: Range<usize>,
    per_block: usize,
    tokens: usize,
    out: &mut [f32],
    write: Write,
    blocks: &mut Vec<Block<'a>>,
) {
    assert!(
        out.len() == tokens * rows.len(),
        "BUG: product of unequal shapes"
    );
    let out = Out {
        start: out.as_mut_ptr(),
        stride: rows.len(),
        write,
    };
    let (cols, begin) = (matrix.cols(), rows.start);
    for first in rows.clone().step_by(per_block) {
        let last = rows.end.min(first + per_block);
        blocks.push(Block {
            weights: &matrix.weights()[first * cols..last * cols],
            scales: &matrix.scales()[first..last],
            first: first - begin,
            out,
        });
    }
}

fn compute(level: Level, pool: &mut Pool, x: &Activations, tokens: usize, blocks: &[Block<'_>]) {
    let shared = Shared::new(level, pool, x, tokens);
    pool.run(blocks.len(), &|i| {
        blocks[i].compute(level, x, tokens, &shared);
    });
}

/// What a level makes of the activations once for all blocks.
struct Shared {
    #[cfg(target_arch = "x86_64")]
    operands: Option<super::avx2::halves::Operands>,
}

impl Shared {
    #[allow(
        unused_variables,
        reason = "only one level makes something of the activations"
    )]
    fn new(level: Level, pool: &mut Pool, x: &Activations, tokens: usize) -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            operands: match level.0 {
                Kind::Avx2 => super::avx2::halves::Operands::new(pool, x, tokens),
                _ => None,
            },
        }
    }
}

/// Some rows of a matrix.
pub(super) struct Block<'a> {
    pub(super) weights: &'a [i8], // (row, col)
    pub(super) scales: &'a [f32],
    first: usize,
    out: Out,
}

/// Where blocks write: column ranges of one (token, row) array.
#[derive(Clone, Copy)]
struct Out {
    start: *mut f32,
    stride: usize,
    write: Write,
}

// SAFETY: threads write disjoint rows, or disjoint tokens of one block, so disjoint elements; the array outlives the region.
unsafe impl Sync for Block<'_> {}

impl Block<'_> {
    #[allow(unused_variables, reason = "only one level shares something")]
    fn compute(&self, level: Level, x: &Activations, tokens: usize, shared: &Shared) {
        match level.0 {
            Kind::Portable => portable(self, x, tokens),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level exists, so AVX2 was detected.
            Kind::Avx2 => unsafe { super::avx2::block(self, x, tokens, shared.operands.as_ref()) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level exists, so the AVX-512 features were detected.
            Kind::Avx512 => unsafe { super::avx512::block(self, x, tokens) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level exists, so the AVX-512 features were detected and tiles were granted.
            Kind::Amx => unsafe { super::amx::block(self, x, tokens) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: the level exists, so NEON was detected.
            Kind::Neon => unsafe { super::neon::block(self, x, tokens) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: the level exists, so NEON and its dot products were detected.
            Kind::NeonDot => unsafe { super::neon::dot::block(self, x, tokens) },
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Kind::Simd128 => super::wasm::block(self, x, tokens),
        }
    }

    /// Outputs of one token from row `row` of this block on.
    ///
    /// # Safety
    /// `token` is below the number of tokens, `row + len` is within the block, and no other borrow of these elements is alive.
    #[inline(always)]
    #[allow(
        clippy::mut_from_ref,
        reason = "blocks are shared between threads and own disjoint outputs"
    )]
    pub(super) unsafe fn outputs(&self, token: usize, row: usize, len: usize) -> &mut [f32] {
        debug_assert!(row + len <= self.scales.len());
        // SAFETY: inside the array by the check in `cut`; only this block touches these elements, once at a time by the caller's word.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.out
                    .start
                    .add(token * self.out.stride + self.first + row),
                len,
            )
        }
    }

    /// Finishes exact sums of consecutive rows.
    #[inline(always)]
    pub(super) fn finish(&self, token: usize, row: usize, scale: f32, sums: &[i64]) {
        assert!(
            row + sums.len() <= self.scales.len(),
            "BUG: more sums than rows"
        );
        // SAFETY: rows were checked just now, kernels stay below the token count, and the borrow ends with this function.
        let out = unsafe { self.outputs(token, row, sums.len()) };
        let write = self.out.write;
        for ((out, sum), row_scale) in out.iter_mut().zip(sums).zip(&self.scales[row..]) {
            let y = mul(cvt64(*sum), mul(scale, *row_scale));
            *out = if write == Write::Add { add(*out, y) } else { y };
        }
    }
}

#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_feature = "simd128"
))]
impl Block<'_> {
    /// `N` rows of weights from `row` on; missing rows repeat the last one.
    #[inline(always)]
    pub(super) fn lines<const N: usize>(&self, cols: usize, row: usize) -> [&[i8]; N] {
        let last = self.scales.len() - 1;
        let mut lines: [&[i8]; N] = [&[]; N];
        for (r, line) in lines.iter_mut().enumerate() {
            *line = &self.weights[(row + r).min(last) * cols..][..cols];
        }
        lines
    }

    pub(super) fn write(&self) -> Write {
        self.out.write
    }
}

/// The vectors of `N` tokens from `token` on. A loop and not [`std::array::from_fn`], which is compiled without the vector instructions
/// of its caller and therefore cannot be inlined there.
#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_feature = "simd128"
))]
#[inline(always)]
pub(super) fn vectors<T, const N: usize>(all: &[T], stride: usize, token: usize) -> [&[T]; N] {
    let mut vectors: [&[T]; N] = [&[]; N];
    for (t, vector) in vectors.iter_mut().enumerate() {
        *vector = &all[(token + t) * stride..][..stride];
    }
    vectors
}

/// Terms of 16-bit times 8-bit products that surely fit 32 bits: 16,319 * 127 * 1,036 < 2^31.
const SPAN: usize = 512;

fn portable(block: &Block<'_>, x: &Activations, tokens: usize) {
    for (row, weights) in block.weights.chunks_exact(x.cols).enumerate() {
        for token in 0..tokens {
            let values = &x.values[token * x.stride..][..x.cols];
            let sum = weights
                .chunks(SPAN)
                .zip(values.chunks(SPAN))
                .map(|(w, v)| i64::from(dot_span(v, w)))
                .sum();
            block.finish(token, row, x.tokens[token].scale, &[sum]);
        }
    }
}

#[inline(always)]
fn dot_span(values: &[i16], weights: &[i8]) -> i32 {
    // Wrapping arithmetic vectorises in every build; a span cannot wrap.
    values.iter().zip(weights).fold(0, |sum, (v, w)| {
        i32::wrapping_add(sum, i32::from(*v).wrapping_mul(i32::from(*w)))
    })
}
