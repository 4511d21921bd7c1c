//! A sentence encoder in memory, and its file: a transformer that reads a text in both directions and has no logits.
//!
//! Blocks are those of BERT: norms follow what they norm, every product has a bias, positions are learnt. A text has one
//! part, so the row that marks the first part is added to every position when a checkpoint is converted.
//! The invariants are those of decoders.

use alloc::vec::Vec;
#[cfg(feature = "std")]
use alloc::{format, string::String, sync::Arc};

#[cfg(feature = "std")]
use super::Package;
use super::{Matrix, Shape};

/// Gain and bias of a LayerNorm; each `dim` long.
#[derive(Clone, Debug)]
pub struct Norm {
    /// Factor of each normed element.
    pub gain: Vec<f32>,
    /// Added to each after the factor.
    pub bias: Vec<f32>,
}

/// One block of an encoder.
#[derive(Clone, Debug)]
pub struct EncoderLayer {
    /// Queries: (`heads * head_dim`, `dim`).
    pub q: Matrix,
    /// Keys: (`heads * head_dim`, `dim`).
    pub k: Matrix,
    /// Values: (`heads * head_dim`, `dim`).
    pub v: Matrix,
    /// Attention output: (`dim`, `heads * head_dim`).
    pub o: Matrix,
    /// Up: (`ff`, `dim`).
    pub up: Matrix,
    /// Down: (`dim`, `ff`).
    pub down: Matrix,
    /// Added to the queries; `heads * head_dim` long.
    pub q_bias: Vec<f32>,
    /// Added to the keys; `heads * head_dim` long.
    pub k_bias: Vec<f32>,
    /// Added to the values; `heads * head_dim` long.
    pub v_bias: Vec<f32>,
    /// Added to what attention gives; `dim` long.
    pub o_bias: Vec<f32>,
    /// After attention is added.
    pub attn_norm: Norm,
    /// Added to what is bent; `ff` long.
    pub up_bias: Vec<f32>,
    /// Added to what the feed-forward part gives; `dim` long.
    pub down_bias: Vec<f32>,
    /// After the feed-forward part is added.
    pub ffn_norm: Norm,
}

/// A whole encoder.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// Sizes; there are as many key heads as query heads.
    pub shape: Shape,
    /// Token embeddings: (`vocab`, `dim`).
    pub embedding: Matrix,
    /// Added to the embedding of what stands at a position: (`context_max`, `dim`).
    pub positions: Vec<f32>,
    /// Before the first block.
    pub embedding_norm: Norm,
    /// The blocks in order.
    pub layers: Vec<EncoderLayer>,
    /// Root over manifest and rows.
    pub root: [u8; 32],
    /// What came with the numbers in a model file.
    #[cfg(feature = "std")]
    pub package: Option<Arc<Package>>,
}

/// Names and lengths of the vectors of a block, in the order of the file.
pub(crate) fn layer_tables(shape: &Shape) -> [(&'static str, usize); 10] {
    let (heads, dim) = (shape.heads * shape.head_dim, shape.dim);
    [
        ("q_bias", heads),
        ("k_bias", heads),
        ("v_bias", heads),
        ("o_bias", dim),
        ("attn_norm.gain", dim),
        ("attn_norm.bias", dim),
        ("up_bias", shape.ff),
        ("down_bias", dim),
        ("ffn_norm.gain", dim),
        ("ffn_norm.bias", dim),
    ]
}

/// Names and sizes, rows and columns, of the matrices of a block, in the order of the file.
pub(crate) fn layer_matrices(shape: &Shape) -> [(&'static str, usize, usize); 6] {
    let (heads, dim, ff) = (shape.heads * shape.head_dim, shape.dim, shape.ff);
    [
        ("q", heads, dim),
        ("k", heads, dim),
        ("v", heads, dim),
        ("o", dim, heads),
        ("up", ff, dim),
        ("down", dim, ff),
    ]
}

impl EncoderLayer {
    /// All matrices, in the order of [`layer_matrices`].
    pub(crate) fn matrices(&self) -> [&Matrix; 6] {
        let Self {
            q,
            k,
            v,
            o,
            up,
            down,
            ..
        } = self;
        [q, k, v, o, up, down]
    }

    /// All vectors, in the order of [`layer_tables`].
    pub(crate) fn tables(&self) -> [&Vec<f32>; 10] {
        let Self {
            q: _,
            k: _,
            v: _,
            o: _,
            up: _,
            down: _,
            q_bias,
            k_bias,
            v_bias,
            o_bias,
            attn_norm,
            up_bias,
            down_bias,
            ffn_norm,
        } = self;
        [
            q_bias,
            k_bias,
            v_bias,
            o_bias,
            &attn_norm.gain,
            &attn_norm.bias,
            up_bias,
            down_bias,
            &ffn_norm.gain,
            &ffn_norm.bias,
        ]
    }
}

impl Encoder {
    /// Root over manifest and rows; the name of the model.
    pub fn root(&self) -> [u8; 32] {
        self.root
    }

    /// What is added to the embedding of what stands at `position`.
    pub(crate) fn position(&self, position: usize) -> &[f32] {
        &self.positions[position * self.shape.dim..(position + 1) * self.shape.dim]
    }
}

#[cfg(feature = "std")]
mod file {
    use std::{io, io::Cursor, path::Path};

    use super::{
        super::{
            Manifest, ModelError, WriteError,
            file::{Family, Opened, check_root},
            write::{AtomicFile, write_parts},
        },
        *,
    };

    impl Encoder {
        /// Maps a model file and checks all of it.
        pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
            Self::of(Opened::map(path.as_ref(), Family::Encoder)?)
        }

        /// Checks a model file that is already in memory.
        pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, ModelError> {
            Self::of(Opened::heap(bytes, Family::Encoder)?)
        }

        /// Checks every number again and compares the root with the manifest's.
        pub fn verify(&self) -> Result<(), ModelError> {
            let place = "model";
            let package = self.package.as_ref();
            let package = package.ok_or_else(|| ModelError::NoManifest {
                place: place.into(),
            })?;
            let text = package.manifest.to_text();
            check_root(&self.matrices(), &self.tables(), &text, &self.root, place)
        }

        /// What the model's file says about itself.
        pub fn manifest(&self) -> Option<&Manifest> {
            self.package.as_ref().map(|package| &package.manifest)
        }

        /// The bytes of the model's file, exactly as they were read or would be converted.
        pub fn to_bytes(&self) -> Result<Vec<u8>, WriteError> {
            Ok(self.write(Cursor::new(Vec::new()))?.into_inner())
        }

        /// Writes the model's file; it appears under its name only when it is complete.
        pub fn save(&self, path: impl AsRef<Path>) -> Result<(), WriteError> {
            let (file, out) = AtomicFile::create(path.as_ref())?;
            file.commit(self.write(out)?)
        }

        fn write<W: io::Write + io::Seek>(&self, out: W) -> Result<W, WriteError> {
            let package = self.package.as_ref().ok_or(WriteError::NoManifest)?;
            write_parts(out, package, &self.matrices(), &self.tables())
        }

        fn of(opened: Opened) -> Result<Self, ModelError> {
            let parts = opened.parts();
            let mut matrices = opened.layout.matrices.iter().map(|p| parts.matrix(p));
            let mut matrix = || matrices.next().expect("BUG: the layout has every matrix");
            let mut tables = opened.layout.tables.iter().map(|p| parts.table(p));
            let mut table = || tables.next().expect("BUG: the layout has every table");

            let shape = opened.manifest.shape.clone();
            let embedding = matrix();
            let positions = table();
            // Fields are read in the order in which they are written here, which is that of the file.
            let embedding_norm = Norm {
                gain: table(),
                bias: table(),
            };
            let layers = (0..shape.layers)
                .map(|_| EncoderLayer {
                    q: matrix(),
                    k: matrix(),
                    v: matrix(),
                    o: matrix(),
                    up: matrix(),
                    down: matrix(),
                    q_bias: table(),
                    k_bias: table(),
                    v_bias: table(),
                    o_bias: table(),
                    attn_norm: Norm {
                        gain: table(),
                        bias: table(),
                    },
                    up_bias: table(),
                    down_bias: table(),
                    ffn_norm: Norm {
                        gain: table(),
                        bias: table(),
                    },
                })
                .collect();
            let package = parts.package(&opened)?;
            let encoder = Self {
                shape,
                embedding,
                positions,
                embedding_norm,
                layers,
                root: opened.root,
                package: Some(Arc::new(package)),
            };
            check_root(
                &encoder.matrices(),
                &encoder.tables(),
                &opened.manifest_text,
                &opened.root,
                &opened.place,
            )?;
            Ok(encoder)
        }

        /// All matrices with their names, in the order of the file.
        fn matrices(&self) -> Vec<(String, &Matrix)> {
            let mut matrices = Vec::new();
            matrices.push(("embedding".into(), &self.embedding));
            for (i, layer) in self.layers.iter().enumerate() {
                let named = layer_matrices(&self.shape)
                    .into_iter()
                    .zip(layer.matrices());
                matrices.extend(
                    named.map(|((name, _, _), matrix)| (format!("layers.{i}.{name}"), matrix)),
                );
            }
            matrices
        }

        /// All tables with their names and row lengths, in the order of the file.
        fn tables(&self) -> Vec<(String, usize, &[f32])> {
            let dim = self.shape.dim;
            let mut tables: Vec<(String, usize, &[f32])> = Vec::new();
            tables.push(("positions".into(), dim, &self.positions));
            tables.push(("embedding_norm.gain".into(), dim, &self.embedding_norm.gain));
            tables.push(("embedding_norm.bias".into(), dim, &self.embedding_norm.bias));
            for (i, layer) in self.layers.iter().enumerate() {
                for ((name, len), values) in
                    layer_tables(&self.shape).into_iter().zip(layer.tables())
                {
                    tables.push((format!("layers.{i}.{name}"), len, values));
                }
            }
            tables
        }
    }
}
