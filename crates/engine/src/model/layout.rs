//! Where everything lies in a model file. The manifest alone decides it, so the header of a file is known before it is read.
//!
//! A model file is a safetensors file: 8 bytes header length, JSON header padded with spaces so that the data begins at
//! a multiple of 64, then without gaps: all int8 matrices, all scales, the tables, the tokenizer, the chat template.
//! Matrix `x` is the two tensors `x.weight` (I8) and `x.scale` (F32); `__metadata__` holds the manifest text and the root.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{fmt::Write as _, ops::Range};

use super::{
    manifest::{Manifest, ManifestError},
    root::Hash,
    tensors::{matrix_shapes, table_shapes},
};

/// The data begins at a multiple of this, so that rows of usual widths are aligned for every vector unit.
const DATA_ALIGNMENT: usize = 64;
/// Longest header of any model that keeps the limits: 512 layers of 23 tensors, and the manifest.
pub(crate) const HEADER_BYTES_MAX: u64 = 2 << 20;

/// One int8 matrix.
#[derive(Debug, Clone)]
pub(crate) struct MatrixPlace {
    pub(crate) name: String,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Bytes from the beginning of the data.
    pub(crate) weights: Range<u64>,
    pub(crate) scales: Range<u64>,
}

/// One vector or table of f32 values.
#[derive(Debug, Clone)]
pub(crate) struct TablePlace {
    pub(crate) name: String,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) values: Range<u64>,
}

/// The whole data section, in file order.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) matrices: Vec<MatrixPlace>,
    pub(crate) tables: Vec<TablePlace>,
    pub(crate) tokenizer: Option<Range<u64>>,
    pub(crate) template: Option<Range<u64>>,
    /// Bytes of the data section.
    pub(crate) len: u64,
}

impl Layout {
    /// Lays a model out, after checking that its manifest keeps every limit.
    pub(crate) fn new(manifest: &Manifest) -> Result<Self, ManifestError> {
        manifest.check()?;
        let mut at = 0u64;
        // The limits keep the sum of all tensors below 2^50.
        let mut take = |bytes: u64| {
            let begin = at;
            at += bytes;
            begin..at
        };
        let mut matrices: Vec<MatrixPlace> = matrix_shapes(manifest)
            .into_iter()
            .map(|(name, rows, cols)| {
                let weights = take(rows as u64 * cols as u64);
                MatrixPlace {
                    name,
                    rows,
                    cols,
                    weights,
                    scales: 0..0,
                }
            })
            .collect();
        for matrix in &mut matrices {
            matrix.scales = take(4 * matrix.rows as u64);
        }
        let tables = table_shapes(manifest)
            .into_iter()
            .map(|(name, rows, cols)| {
                let values = take(4 * rows as u64 * cols as u64);
                TablePlace {
                    name,
                    rows,
                    cols,
                    values,
                }
            })
            .collect();
        let tokenizer = manifest.tokenizer.as_ref().map(|asset| take(asset.bytes));
        let template = manifest
            .chat_template
            .as_ref()
            .map(|asset| take(asset.bytes));
        Ok(Self {
            matrices,
            tables,
            tokenizer,
            template,
            len: at,
        })
    }

    /// The bytes before the data: length, JSON, padding.
    pub(crate) fn header(&self, manifest_text: &str, root: &Hash) -> Vec<u8> {
        let mut json = format!(
            "{{\"__metadata__\":{{\"manifest\":{},\"root\":\"{}\"}}",
            json_text(manifest_text),
            hex(root)
        );
        let mut tensor = |name: &str, kind: &str, shape: &[usize], range: &Range<u64>| {
            let shape = shape
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(",");
            let (begin, end) = (range.start, range.end);
            let entry = format!(
                ",\"{name}\":{{\"dtype\":\"{kind}\",\"shape\":[{shape}],\"data_offsets\":[{begin},{end}]}}"
            );
            json.push_str(&entry);
        };
        for place in &self.matrices {
            tensor(
                &format!("{}.weight", place.name),
                "I8",
                &[place.rows, place.cols],
                &place.weights,
            );
        }
        for place in &self.matrices {
            tensor(
                &format!("{}.scale", place.name),
                "F32",
                &[place.rows],
                &place.scales,
            );
        }
        for place in &self.tables {
            let shape = [place.rows, place.cols];
            let shape = if place.rows == 1 {
                &shape[1..]
            } else {
                &shape[..]
            };
            tensor(&place.name, "F32", shape, &place.values);
        }
        for (name, range) in [
            ("tokenizer", &self.tokenizer),
            ("chat_template", &self.template),
        ] {
            if let Some(range) = range {
                tensor(name, "U8", &[(range.end - range.start) as usize], range);
            }
        }
        json.push('}');
        let padded = (8 + json.len()).next_multiple_of(DATA_ALIGNMENT);
        let mut header = ((padded - 8) as u64).to_le_bytes().to_vec();
        header.extend_from_slice(json.as_bytes());
        header.resize(padded, b' ');
        header
    }
}

/// Lowercase hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn json_text(text: &str) -> String {
    serde_json::to_string(text).expect("BUG: text is always valid JSON")
}
