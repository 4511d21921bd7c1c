//! A model in memory: shapes, int8 matrices, norm gains and rotation tables; and its file.
//!
//! Refuses to know how a model is computed or where it came from.
//! Invariants: every `f32` here is an F32Z value; no weight is -128; every matrix has `rows * cols` weights and `rows` scales.
//! A model that came from a file has a [`Package`]; one made in memory has none.

#[cfg(feature = "std")]
use alloc::sync::Arc;
use alloc::{format, string::String, vec::Vec};
#[cfg(feature = "std")]
use std::{fs::File, io};

#[cfg(feature = "std")]
use crate::offload::Resident;
use crate::{f32z, ops};

mod blocks;
pub(crate) mod encoder;
#[cfg(feature = "std")]
pub mod file;
#[cfg(feature = "std")]
pub(crate) mod layout;
pub mod manifest;
pub mod root;
pub(crate) mod tensors;
pub mod tiny;
#[cfg(feature = "std")]
pub mod write;

pub use self::{
    blocks::{Activation, Blocks, Window},
    encoder::{Encoder, EncoderLayer, Norm},
    manifest::{Manifest, ManifestError},
};
#[cfg(feature = "std")]
pub use self::{
    file::ModelError,
    write::{Assets, WriteError},
};

/// Sizes of a decoder-only transformer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// A part of a file.
    #[cfg(feature = "std")]
    Part {
        /// The whole file.
        file: Arc<FileBytes>,
        /// The bytes of this part; inside the file.
        range: core::ops::Range<usize>,
    },
}

/// A whole model file.
#[cfg(feature = "std")]
#[derive(Debug)]
pub enum FileBytes {
    /// Left on disk and paged in on use.
    #[cfg(not(target_family = "wasm"))]
    Mapped(memmap2::Mmap),
    /// Read into our own memory.
    Heap(Vec<u8>),
}

#[cfg(feature = "std")]
impl FileBytes {
    /// The whole of a file that nobody changes in place: mapped where there is such a thing, read otherwise.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        #[allow(
            unsafe_code,
            reason = "mapping keeps files of any size out of the heap and shares them between processes"
        )]
        // SAFETY: the map is read-only and owns its pages; files are replaced by renaming, never written in place.
        unsafe { memmap2::Mmap::map(file) }.map(Self::Mapped)
    }

    /// The whole of a file that nobody changes in place: mapped where there is such a thing, read otherwise.
    #[cfg(target_family = "wasm")]
    pub(crate) fn of(mut file: &File) -> io::Result<Self> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes)?;
        Ok(Self::Heap(bytes))
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Self::Mapped(map) => map,
            Self::Heap(bytes) => bytes,
        }
    }
}

impl Bytes {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            #[cfg(feature = "std")]
            Self::Part { file, range } => &file.as_slice()[range.clone()],
        }
    }
}

impl core::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let kind = match self {
            Self::Owned(_) => "Owned",
            #[cfg(feature = "std")]
            Self::Part { .. } => "Part",
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
    /// Where it lies on a device as well.
    #[cfg(feature = "std")]
    resident: Option<Resident>,
}

impl Matrix {
    /// Puts a matrix together; `None` when the lengths do not fit.
    pub fn new(rows: usize, cols: usize, weights: Bytes, scales: Vec<f32>) -> Option<Self> {
        let fits = rows.checked_mul(cols) == Some(weights.as_slice().len()) && scales.len() == rows;
        fits.then_some(Self {
            rows,
            cols,
            weights,
            scales,
            #[cfg(feature = "std")]
            resident: None,
        })
    }

    /// Where it lies on a device, if it does.
    #[cfg(feature = "std")]
    pub(crate) fn resident(&self) -> Option<&Resident> {
        self.resident.as_ref()
    }

    #[cfg(feature = "std")]
    pub(crate) fn set_resident(&mut self, resident: Resident) {
        self.resident = Some(resident);
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
        #[allow(
            unsafe_code,
            reason = "a view of the same bytes as signed; no safe cast between u8 and i8 slices exists"
        )]
        // SAFETY: u8 and i8 have the same size and alignment and every bit pattern is valid for both; the lifetime is that of the borrow.
        unsafe {
            core::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len())
        }
    }

    /// The weights of one row.
    pub fn row(&self, row: usize) -> &[i8] {
        &self.weights()[row * self.cols..(row + 1) * self.cols]
    }

    /// The weights of one row as stored: each byte a two's complement number.
    pub fn row_bytes(&self, row: usize) -> &[u8] {
        &self.weights.as_slice()[row * self.cols..(row + 1) * self.cols]
    }

    /// One scale per row.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }
}

/// One block. A vector that the model's [`Blocks`] do not ask for is empty.
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
    /// Added to the queries; `heads * head_dim` long.
    pub q_bias: Vec<f32>,
    /// Added to the keys; `kv_heads * head_dim` long.
    pub k_bias: Vec<f32>,
    /// Added to the values; `kv_heads * head_dim` long.
    pub v_bias: Vec<f32>,
    /// Gain of each query head; `head_dim` long.
    pub q_norm: Vec<f32>,
    /// Gain of each key head; `head_dim` long.
    pub k_norm: Vec<f32>,
    /// Gain of what attention adds; `dim` long.
    pub attn_post_norm: Vec<f32>,
    /// Gain of what the feed-forward part adds; `dim` long.
    pub ffn_post_norm: Vec<f32>,
}

impl Layer {
    /// All vectors, those of every model first, in the order of [`Blocks::tables`].
    pub(crate) fn tables(&self) -> [&Vec<f32>; 9] {
        let Self {
            attn_norm,
            q: _,
            k: _,
            v: _,
            o: _,
            ffn_norm,
            gate: _,
            up: _,
            down: _,
            q_bias,
            k_bias,
            v_bias,
            q_norm,
            k_norm,
            attn_post_norm,
            ffn_post_norm,
        } = self;
        [
            attn_norm,
            ffn_norm,
            q_bias,
            k_bias,
            v_bias,
            q_norm,
            k_norm,
            attn_post_norm,
            ffn_post_norm,
        ]
    }
}

/// A whole model.
#[derive(Clone, Debug)]
pub struct Model {
    /// Sizes.
    pub shape: Shape,
    /// Layout of rotated pairs.
    pub rope: Rope,
    /// What the blocks are made of.
    pub blocks: Blocks,
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
    /// Cosines of the layers that see a window; empty when no layer does.
    pub local_cos: Vec<f32>,
    /// Sines of the layers that see a window; empty when no layer does.
    pub local_sin: Vec<f32>,
    /// Tokens that end a generation.
    pub end_tokens: Vec<u32>,
    /// Root over manifest and rows.
    pub root: [u8; 32],
    /// What came with the numbers in a model file.
    #[cfg(feature = "std")]
    pub package: Option<Arc<Package>>,
}

/// What a model file holds beside its numbers.
#[cfg(feature = "std")]
#[derive(Debug)]
pub struct Package {
    /// What the file says about itself.
    pub manifest: Manifest,
    /// The tokenizer, as `tokenizer.json` of the `tokenizers` library.
    pub tokenizer: Option<Bytes>,
    /// The chat template, in Jinja.
    pub template: Option<String>,
}

impl Model {
    /// Root over manifest and rows; the name of the model.
    pub fn root(&self) -> [u8; 32] {
        self.root
    }

    /// The matrix that makes logits.
    pub fn logits_matrix(&self) -> &Matrix {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// Cosines and sines by which a layer rotates what is at `position`.
    pub(crate) fn rotation(&self, layer: usize, position: usize) -> (&[f32], &[f32]) {
        let half = self.shape.head_dim / 2;
        let row = position * half..(position + 1) * half;
        let (cos, sin) = match self.blocks.is_local(layer) {
            true => (&self.local_cos, &self.local_sin),
            false => (&self.rope_cos, &self.rope_sin),
        };
        (&cos[row.clone()], &sin[row])
    }

    /// The factor of every score: log2(e) / sqrt(score width).
    pub(crate) fn score_factor(&self) -> f32 {
        ops::score_factor(self.blocks.score_width.unwrap_or(self.shape.head_dim))
    }

    /// The factor of a token's embedding.
    pub(crate) fn embedding_factor(&self, token: u32) -> f32 {
        let scale = self.embedding.scales()[token as usize];
        match self.blocks.embedding_scale_bits {
            Some(bits) => f32z::mul(scale, f32::from_bits(bits)),
            None => scale,
        }
    }
}

#[cfg(feature = "std")]
impl Model {
    /// What the model's file says about itself.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.package.as_ref().map(|package| &package.manifest)
    }
}

impl Model {
    /// All matrices with their names, in the order of the file.
    pub(crate) fn matrices(&self) -> Vec<(String, &Matrix)> {
        let mut matrices = Vec::new();
        matrices.push(("embedding".into(), &self.embedding));
        for (i, layer) in self.layers.iter().enumerate() {
            let Layer {
                q,
                k,
                v,
                o,
                gate,
                up,
                down,
                ..
            } = layer;
            let named = [
                ("q", q),
                ("k", k),
                ("v", v),
                ("o", o),
                ("gate", gate),
                ("up", up),
                ("down", down),
            ];
            matrices.extend(named.map(|(name, matrix)| (format!("layers.{i}.{name}"), matrix)));
        }
        matrices.extend(self.head.as_ref().map(|head| ("head".into(), head)));
        matrices
    }

    /// All tables with their names and row lengths, in the order of the file.
    pub(crate) fn tables(&self) -> Vec<(String, usize, &[f32])> {
        let mut tables: Vec<(String, usize, &[f32])> = Vec::new();
        let of_layer = self.blocks.tables(&self.shape);
        for (i, layer) in self.layers.iter().enumerate() {
            for ((name, len), values) in of_layer.iter().zip(layer.tables()) {
                if *len > 0 {
                    tables.push((format!("layers.{i}.{name}"), *len, values));
                }
            }
        }
        tables.push(("final_norm".into(), self.shape.dim, &self.final_norm));
        let half = self.shape.head_dim / 2;
        tables.push(("rope.cos".into(), half, &self.rope_cos));
        tables.push(("rope.sin".into(), half, &self.rope_sin));
        if self.blocks.window.is_some() {
            tables.push(("rope.local.cos".into(), half, &self.local_cos));
            tables.push(("rope.local.sin".into(), half, &self.local_sin));
        }
        tables
    }
}
