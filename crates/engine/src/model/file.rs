//! Opening a model file.
//!
//! The header must be, byte for byte, the one that its manifest calls for; then every weight, scale and table value is
//! checked and the root recomputed, so a corrupt or forged file never reaches the forward pass. The weights stay in
//! the mapped file.
//!
//! A mapped file must not be changed in place; writers here always replace files by renaming.

use std::{
    fs::File,
    io,
    ops::Range,
    path::Path,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use serde::Deserialize;
use thiserror::Error;

use super::{
    Bytes, FileBytes, Layer, Matrix, Model, Package,
    layout::{HEADER_BYTES_MAX, Layout, MatrixPlace, TablePlace, hex},
    manifest::{Asset, Manifest, ManifestError},
    root::{Hash, Hashes},
};
use crate::f32z;

/// Why a model file cannot be used. `place` is its path.
#[derive(Debug, Error)]
pub enum ModelError {
    #[error("{place}: cannot be opened")]
    Open { place: String, source: io::Error },
    #[error("{place}: ends after {len} bytes, before its header does; convert the model again")]
    HeaderTruncated { place: String, len: u64 },
    #[error(
        "{place}: header is {found} bytes long, more than the limit of {max}; this is not a model file of ours"
    )]
    HeaderLength { place: String, found: u64, max: u64 },
    #[error(
        "{place}: header cannot be read ({reason}); this is not a model file of ours, convert it first"
    )]
    HeaderSyntax { place: String, reason: String },
    #[error("{place}: {reason}")]
    Manifest {
        place: String,
        reason: ManifestError,
    },
    #[error("{place}: header is not the one that its manifest calls for; convert the model again")]
    Header { place: String },
    #[error("{place}: is {found} bytes long, expected {expected}; convert the model again")]
    Length {
        place: String,
        found: u64,
        expected: u64,
    },
    #[error(
        "{place}: tensor {tensor} row {row} holds the weight -128, which is not allowed; convert the model again"
    )]
    Weight {
        place: String,
        tensor: String,
        row: usize,
    },
    #[error(
        "{place}: tensor {tensor} row {row} has a scale that is not allowed; convert the model again"
    )]
    Scale {
        place: String,
        tensor: String,
        row: usize,
    },
    #[error(
        "{place}: tensor {tensor} row {row} holds a number that is not allowed; convert the model again"
    )]
    Value {
        place: String,
        tensor: String,
        row: usize,
    },
    #[error("{place}: {asset} does not have the SHA-256 in the manifest; convert the model again")]
    Asset { place: String, asset: &'static str },
    #[error("{place}: chat template is not UTF-8 text; convert the model again")]
    TemplateText { place: String },
    #[error("{place}: root is {found}, the file says {expected}; convert the model again")]
    Root {
        place: String,
        expected: String,
        found: String,
    },
    #[error("{place}: has no manifest, so there is no root to check")]
    NoManifest { place: String },
    #[error(
        "{place}: is a sentence encoder, which generates no text; use it for embeddings, or a decoder for text"
    )]
    IsEncoder { place: String },
    #[error(
        "{place}: is a decoder, which makes no embeddings; use it to generate text, or a sentence encoder for embeddings"
    )]
    IsDecoder { place: String },
}

impl Model {
    /// Maps a model file and checks all of it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        Self::of(Opened::map(path.as_ref(), Family::Decoder)?)
    }

    /// Checks a model file that is already in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, ModelError> {
        Self::of(Opened::heap(bytes, Family::Decoder)?)
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

    fn of(opened: Opened) -> Result<Self, ModelError> {
        let model = opened.parts().model(&opened)?;
        check_root(
            &model.matrices(),
            &model.tables(),
            &opened.manifest_text,
            &opened.root,
            &opened.place,
        )?;
        Ok(model)
    }
}

/// What a model file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Decoder,
    Encoder,
}

/// A file whose header is the one that its manifest calls for, and whose length is that of its layout.
pub(super) struct Opened {
    file: Arc<FileBytes>,
    /// Where the data begins.
    data: usize,
    pub(super) place: String,
    pub(super) manifest: Manifest,
    pub(super) manifest_text: String,
    pub(super) layout: Layout,
    /// What the header says; not yet compared with the data.
    pub(super) root: Hash,
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    manifest: String,
    root: String,
}

impl Opened {
    /// Maps a file of this family.
    pub(super) fn map(path: &Path, family: Family) -> Result<Self, ModelError> {
        let place = path.display().to_string();
        let failed = |source| ModelError::Open {
            place: place.clone(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            )));
        }
        Self::read(FileBytes::of(&file).map_err(failed)?, place, family)
    }

    /// Takes a file of this family that is already in memory.
    pub(super) fn heap(bytes: Vec<u8>, family: Family) -> Result<Self, ModelError> {
        Self::read(FileBytes::Heap(bytes), "model bytes".to_string(), family)
    }

    fn read(file: FileBytes, place: String, family: Family) -> Result<Self, ModelError> {
        let bytes = file.as_slice();
        let len = bytes.len() as u64;
        let truncated = || ModelError::HeaderTruncated {
            place: place.clone(),
            len,
        };
        let (prefix, rest) = bytes.split_first_chunk::<8>().ok_or_else(truncated)?;
        let header_len = u64::from_le_bytes(*prefix);
        if header_len > HEADER_BYTES_MAX {
            return Err(ModelError::HeaderLength {
                place,
                found: header_len,
                max: HEADER_BYTES_MAX,
            });
        }
        let json = rest.get(..header_len as usize).ok_or_else(truncated)?;
        let Header { metadata } =
            serde_json::from_slice(json).map_err(|error| ModelError::HeaderSyntax {
                place: place.clone(),
                reason: error.to_string(),
            })?;
        let invalid = |reason| ModelError::Manifest {
            place: place.clone(),
            reason,
        };
        let manifest = Manifest::parse(&metadata.manifest).map_err(invalid)?;
        match (family, &manifest.encoder) {
            (Family::Decoder, Some(_)) => return Err(ModelError::IsEncoder { place }),
            (Family::Encoder, None) => return Err(ModelError::IsDecoder { place }),
            _ => {}
        }
        let layout = Layout::new(&manifest).map_err(invalid)?;
        let root = parse_root(&metadata.root).ok_or_else(|| ModelError::Header {
            place: place.clone(),
        })?;
        let header = layout.header(&metadata.manifest, &root);
        if bytes.get(..header.len()) != Some(&header[..]) {
            return Err(ModelError::Header { place });
        }
        let expected = header.len() as u64 + layout.len;
        if len != expected {
            return Err(ModelError::Length {
                place,
                found: len,
                expected,
            });
        }
        Ok(Self {
            file: Arc::new(file),
            data: header.len(),
            place,
            manifest,
            manifest_text: metadata.manifest,
            layout,
            root,
        })
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        Parts {
            file: &self.file,
            data: self.data,
            place: &self.place,
        }
    }
}

/// A file whose length has been checked against its layout.
pub(super) struct Parts<'a> {
    file: &'a Arc<FileBytes>,
    data: usize,
    place: &'a str,
}

impl Parts<'_> {
    fn model(&self, opened: &Opened) -> Result<Model, ModelError> {
        let (layout, manifest) = (&opened.layout, &opened.manifest);
        let mut matrices = layout.matrices.iter().map(|place| self.matrix(place));
        let mut matrix = || matrices.next().expect("BUG: the layout has every matrix");
        let mut tables = layout.tables.iter().map(|place| self.table(place));
        let mut table_if = |present: bool| match present {
            true => tables.next().expect("BUG: the layout has every table"),
            false => Vec::new(),
        };
        let blocks = manifest.blocks.clone();

        let embedding = matrix();
        let layers = (0..manifest.shape.layers)
            .map(|_| Layer {
                attn_norm: table_if(true),
                q: matrix(),
                k: matrix(),
                v: matrix(),
                o: matrix(),
                ffn_norm: table_if(true),
                gate: matrix(),
                up: matrix(),
                down: matrix(),
                q_bias: table_if(blocks.qkv_bias),
                k_bias: table_if(blocks.qkv_bias),
                v_bias: table_if(blocks.qkv_bias),
                q_norm: table_if(blocks.qk_norm),
                k_norm: table_if(blocks.qk_norm),
                attn_post_norm: table_if(blocks.post_norms),
                ffn_post_norm: table_if(blocks.post_norms),
            })
            .collect();
        let head = (!manifest.tied_head).then(&mut matrix);
        let [final_norm, rope_cos, rope_sin] = [true; 3].map(&mut table_if);
        let [local_cos, local_sin] = [blocks.window.is_some(); 2].map(&mut table_if);
        Ok(Model {
            shape: manifest.shape.clone(),
            rope: manifest.rope,
            blocks,
            embedding,
            layers,
            final_norm,
            head,
            rope_cos,
            rope_sin,
            local_cos,
            local_sin,
            end_tokens: manifest.end_tokens.clone(),
            root: opened.root,
            package: Some(Arc::new(self.package(opened)?)),
        })
    }

    /// What the file holds beside its numbers.
    pub(super) fn package(&self, opened: &Opened) -> Result<Package, ModelError> {
        let (layout, manifest) = (&opened.layout, &opened.manifest);
        let tokenizer = self.asset(
            layout.tokenizer.clone(),
            manifest.tokenizer.as_ref(),
            "tokenizer",
        )?;
        let template = self.asset(
            layout.template.clone(),
            manifest.chat_template.as_ref(),
            "chat template",
        )?;
        let template = match template {
            None => None,
            Some(bytes) => Some(String::from_utf8(bytes.as_slice().to_vec()).map_err(|_| {
                ModelError::TemplateText {
                    place: self.place.to_string(),
                }
            })?),
        };
        Ok(Package {
            manifest: manifest.clone(),
            tokenizer,
            template,
        })
    }

    fn bytes(&self, range: &Range<u64>) -> Bytes {
        // The whole layout lies inside the file, so both ends fit a `usize`.
        let (begin, end) = (
            self.data + range.start as usize,
            self.data + range.end as usize,
        );
        Bytes::Part {
            file: self.file.clone(),
            range: begin..end,
        }
    }

    fn values(&self, range: &Range<u64>) -> Vec<f32> {
        let bytes = self.bytes(range);
        let words = bytes.as_slice().chunks_exact(4);
        words
            .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect()
    }

    pub(super) fn matrix(&self, place: &MatrixPlace) -> Matrix {
        Matrix::new(
            place.rows,
            place.cols,
            self.bytes(&place.weights),
            self.values(&place.scales),
        )
        .expect("BUG: the layout gives each matrix its size")
    }

    pub(super) fn table(&self, place: &TablePlace) -> Vec<f32> {
        self.values(&place.values)
    }

    fn asset(
        &self,
        range: Option<Range<u64>>,
        expected: Option<&Asset>,
        asset: &'static str,
    ) -> Result<Option<Bytes>, ModelError> {
        let Some(range) = range else { return Ok(None) };
        let bytes = self.bytes(&range);
        if expected != Some(&Asset::of(bytes.as_slice())) {
            return Err(ModelError::Asset {
                place: self.place.to_string(),
                asset,
            });
        }
        Ok(Some(bytes))
    }
}

/// Checks every number of a model, hashes all of it, and compares the root.
pub(super) fn check_root(
    matrices: &[(String, &Matrix)],
    tables: &[(String, usize, &[f32])],
    manifest_text: &str,
    expected: &Hash,
    place: &str,
) -> Result<(), ModelError> {
    let found = compute_root(matrices, tables, manifest_text, place)?;
    if found != *expected {
        return Err(ModelError::Root {
            place: place.to_string(),
            expected: hex(expected),
            found: hex(&found),
        });
    }
    Ok(())
}

fn compute_root(
    matrices: &[(String, &Matrix)],
    tables: &[(String, usize, &[f32])],
    manifest_text: &str,
    place: &str,
) -> Result<Hash, ModelError> {
    let hashes = Hashes::default();
    let mut root = hashes.tree();
    root.push(hashes.manifest(manifest_text));
    for (name, matrix) in matrices {
        let at = |row| (place.to_string(), name.clone(), row);
        let mut tree = hashes.tree();
        for (row, scale) in matrix.scales().iter().enumerate() {
            if matrix.row(row).contains(&-128) {
                let (place, tensor, row) = at(row);
                return Err(ModelError::Weight { place, tensor, row });
            }
            if !is_f32z(*scale) || scale.is_sign_negative() {
                let (place, tensor, row) = at(row);
                return Err(ModelError::Scale { place, tensor, row });
            }
            tree.push(hashes.weight_row(matrix.row_bytes(row), *scale));
        }
        let tree = tree.root().expect("BUG: a checked shape has rows");
        root.push(hashes.tensor(name, matrix.rows() as u64, matrix.cols() as u64, &tree));
    }
    let mut bytes = Vec::new();
    for (name, cols, values) in tables {
        let bound = if name.starts_with("rope.") {
            1.0
        } else {
            f32::INFINITY
        };
        let mut tree = hashes.tree();
        for (row, values) in values.chunks_exact(*cols).enumerate() {
            if values
                .iter()
                .any(|value| !is_f32z(*value) || value.abs() > bound)
            {
                return Err(ModelError::Value {
                    place: place.to_string(),
                    tensor: name.clone(),
                    row,
                });
            }
            bytes.clear();
            bytes.extend(
                values
                    .iter()
                    .flat_map(|value| value.to_bits().to_le_bytes()),
            );
            tree.push(hashes.table_row(&bytes));
        }
        let tree = tree.root().expect("BUG: a checked shape has rows");
        root.push(hashes.tensor(name, (values.len() / cols) as u64, *cols as u64, &tree));
    }
    Ok(root.root().expect("BUG: the manifest is a leaf"))
}

fn is_f32z(value: f32) -> bool {
    f32z::z(value).to_bits() == value.to_bits()
}

fn parse_root(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    if digits.len() != 64
        || !digits
            .iter()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    {
        return None;
    }
    let mut root = [0; 32];
    for (byte, pair) in root.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |digit: u8| {
            if digit < b'a' {
                digit - b'0'
            } else {
                digit - b'a' + 10
            }
        };
        *byte = 16 * digit(pair[0]) + digit(pair[1]);
    }
    Some(root)
}
