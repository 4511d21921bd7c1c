//! A model in memory: shapes, int8 matrices, norm gains and rotation tables.
//!
//! Refuses to know how a model is computed or where it came from.
//! Invariants: every `f32` here is an F32Z value; no weight is -128; every matrix has `rows * cols` weights and `rows` scales.

use alloc::vec::Vec;

pub mod tiny;

/// Sizes of a decoder-only transformer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub dim: usize,
    /// Query heads; a multiple of `kv_heads`.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Width of the gated feed-forward part.
    pub ff: usize,
    /// Token ids are below this.
    pub vocab: usize,
    /// Positions that the rotation tables cover: input and output tokens together, at most.
    pub context_max: usize,
    /// Bits of the F32Z constant added to the mean square in every RMSNorm.
    pub norm_eps_bits: u32,
}

/// Which elements of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rope {
    /// Elements `2i` and `2i + 1`.
    Interleaved,
    /// Elements `i` and `i + head_dim / 2`.
    HalfSplit,
}

/// Where weights live.
#[derive(Clone)]
pub enum Bytes {
    /// In our own memory.
    Owned(Vec<u8>),
    /// A part of a mapped file.
    #[cfg(feature = "std")]
    Mapped {
        /// The whole file.
        map: alloc::sync::Arc<memmap2::Mmap>,
        /// The bytes of this tensor within it; inside the map.
        range: core::ops::Range<usize>,
    },
}

impl Bytes {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            #[cfg(feature = "std")]
            Self::Mapped { map, range } => &map[range.clone()],
        }
    }
}

impl core::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let kind = match self {
            Self::Owned(_) => "Owned",
            #[cfg(feature = "std")]
            Self::Mapped { .. } => "Mapped",
        };
        write!(f, "{kind}({} bytes)", self.as_slice().len())
    }
}

/// An int8 matrix with one F32Z scale per row; a row makes one output element.
#[derive(Clone, Debug)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    weights: Bytes,   // (row, col) as i8, -128 excluded
    scales: Vec<f32>, // (row)
}

impl Matrix {
    /// Puts a matrix together; `None` when the lengths do not fit.
    pub fn new(rows: usize, cols: usize, weights: Bytes, scales: Vec<f32>) -> Option<Self> {
        let fits = rows.checked_mul(cols) == Some(weights.as_slice().len()) && scales.len() == rows;
        fits.then_some(Self { rows, cols, weights, scales })
    }

    /// Output elements.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input elements.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// All weights, row after row.
    pub fn weights(&self) -> &[i8] {
        let bytes = self.weights.as_slice();
        #[allow(unsafe_code, reason = "a view of the same bytes as signed; no safe cast between u8 and i8 slices exists")]
        // SAFETY: u8 and i8 have the same size and alignment and every bit pattern is valid for both; the lifetime is that of the borrow.
        unsafe {
            core::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len())
        }
    }

    /// The weights of one row.
    pub fn row(&self, row: usize) -> &[i8] {
        &self.weights()[row * self.cols..(row + 1) * self.cols]
    }

    /// One scale per row.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }
}

/// One block.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Gain before attention; `dim` long.
    pub attn_norm: Vec<f32>,
    /// Queries: (`heads * head_dim`, `dim`).
    pub q: Matrix,
    /// Keys: (`kv_heads * head_dim`, `dim`).
    pub k: Matrix,
    /// Values: (`kv_heads * head_dim`, `dim`).
    pub v: Matrix,
    /// Attention output: (`dim`, `heads * head_dim`).
    pub o: Matrix,
    /// Gain before the feed-forward part; `dim` long.
    pub ffn_norm: Vec<f32>,
    /// Gate: (`ff`, `dim`).
    pub gate: Matrix,
    /// Up: (`ff`, `dim`).
    pub up: Matrix,
    /// Down: (`dim`, `ff`).
    pub down: Matrix,
}

/// A whole model.
#[derive(Clone, Debug)]
pub struct Model {
    /// Sizes.
    pub shape: Shape,
    /// Layout of rotated pairs.
    pub rope: Rope,
    /// Token embeddings: (`vocab`, `dim`).
    pub embedding: Matrix,
    /// The blocks in order.
    pub layers: Vec<Layer>,
    /// Gain before the logits; `dim` long.
    pub final_norm: Vec<f32>,
    /// Logits: (`vocab`, `dim`); the embedding serves when absent.
    pub head: Option<Matrix>,
    /// Cosines: (`context_max`, `head_dim / 2`).
    pub rope_cos: Vec<f32>,
    /// Sines: (`context_max`, `head_dim / 2`).
    pub rope_sin: Vec<f32>,
    /// Tokens that end a generation.
    pub end_tokens: Vec<u32>,
    /// Root over manifest and rows.
    pub root: [u8; 32],
}

impl Model {
    /// The matrix that makes logits.
    pub fn logits_matrix(&self) -> &Matrix {
        self.head.as_ref().unwrap_or(&self.embedding)
    }
}
