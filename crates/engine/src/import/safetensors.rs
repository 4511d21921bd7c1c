//! Safetensors files, read as if their author were an enemy.
//!
//! Only the header is read: 8 bytes of its length, then JSON. Its length and every count are compared with a named limit before they are
//! believed, no name and no key may stand twice, sizes are multiplied in 128 bits, and the tensors must fill the rest of the
//! file one after another, without gap or overlap.
//!
//! What it refuses to know: what a tensor is for, and the values.

use core::fmt;
use std::collections::BTreeMap;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use thiserror::Error;

use super::{dequantize::DataType, tensor::Tensor};

/// Longest header, in bytes.
pub const HEADER_BYTES_MAX: u64 = 16 << 20;
/// Most tensors in one file.
pub const TENSORS_MAX: usize = 16_384;
/// Longest tensor name, in bytes.
pub const TENSOR_NAME_BYTES_MAX: usize = 256;
/// Most dimensions of one tensor.
pub const DIMENSIONS_MAX: usize = 8;
/// Most entries of the free text that a header may hold.
pub const METADATA_ENTRIES_MAX: usize = 4_096;

/// Why a file is not a safetensors file that can be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SafetensorsError {
    #[error("{what} needs {need} bytes, the file has {len}; fetch it again")]
    Truncated {
        what: &'static str,
        need: u64,
        len: u64,
    },
    #[error("header is {found} bytes long, more than the limit of {max}")]
    HeaderLength { found: u64, max: u64 },
    #[error("header cannot be read ({reason}); choose a .safetensors file")]
    Header { reason: String },
    #[error("tensor {tensor:?} has type {found:?}, which is not known")]
    TensorType { tensor: String, found: String },
    #[error("tensor {tensor:?} has an empty dimension")]
    EmptyDimension { tensor: String },
    #[error("tensor {tensor:?} is larger than any file can be")]
    TensorSize { tensor: String },
    #[error(
        "tensor {tensor:?} begins at {found}, expected {expected}: tensors must follow each other"
    )]
    TensorOffset {
        tensor: String,
        found: u64,
        expected: u64,
    },
    #[error("tensor {tensor:?} ends at {found}, its shape calls for {expected}")]
    TensorLength {
        tensor: String,
        found: u64,
        expected: u64,
    },
    #[error("tensor {tensor:?} ends at byte {end} of the data, which has {len}; fetch it again")]
    TensorOutside { tensor: String, end: u64, len: u64 },
    #[error("{found} bytes follow the last tensor")]
    TrailingBytes { found: u64 },
}

/// One tensor as it lies in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<'a> {
    /// As the file spells it.
    pub data_type: String,
    /// Slowest dimension first.
    pub shape: Vec<u64>,
    /// The encoded values.
    pub bytes: &'a [u8],
}

impl<'a> Stored<'a> {
    /// As rows of the fastest dimension; `None` where the encoding cannot be converted.
    pub fn tensor(&self, name: &'a str) -> Option<Tensor<'a>> {
        let data_type = match self.data_type.as_str() {
            "F32" => DataType::F32,
            "F16" => DataType::F16,
            "BF16" => DataType::Bf16,
            _ => return None,
        };
        let (columns, others) = self.shape.split_last().unwrap_or((&1, &[]));
        Some(Tensor {
            name,
            data_type,
            columns: *columns,
            // The product with the columns was checked, and no dimension is empty.
            rows: others.iter().product(),
            dimensions: self.shape.len() as u32,
            bytes: self.bytes,
        })
    }
}

/// A checked file.
#[derive(Debug, Clone)]
pub struct Safetensors<'a> {
    tensors: BTreeMap<String, Stored<'a>>,
}

impl<'a> Safetensors<'a> {
    /// Checks the whole header of `file`.
    pub fn parse(file: &'a [u8]) -> Result<Self, SafetensorsError> {
        let len = file.len() as u64;
        let truncated = |what, need| SafetensorsError::Truncated { what, need, len };
        let (prefix, rest) = file
            .split_first_chunk::<8>()
            .ok_or_else(|| truncated("header length", 8))?;
        let found = u64::from_le_bytes(*prefix);
        if found > HEADER_BYTES_MAX {
            return Err(SafetensorsError::HeaderLength {
                found,
                max: HEADER_BYTES_MAX,
            });
        }
        let (header, data) = rest
            .split_at_checked(found as usize)
            .ok_or_else(|| truncated("header", 8 + found))?;
        let Header(entries) =
            serde_json::from_slice(header).map_err(|error| SafetensorsError::Header {
                reason: error.to_string(),
            })?;
        Ok(Self {
            tensors: place(entries, data)?,
        })
    }

    /// The tensor called `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<&Stored<'a>> {
        self.tensors.get(name)
    }

    /// All tensors by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Stored<'a>)> {
        self.tensors
            .iter()
            .map(|(name, stored)| (name.as_str(), stored))
    }
}

/// Bytes of one value.
fn width(data_type: &str) -> Option<u64> {
    Some(match data_type {
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" => 1,
        "U16" | "I16" | "F16" | "BF16" => 2,
        "U32" | "I32" | "F32" => 4,
        "U64" | "I64" | "F64" => 8,
        _ => return None,
    })
}

/// Checks that the tensors fill the data one after another.
fn place(
    entries: BTreeMap<String, Entry>,
    data: &[u8],
) -> Result<BTreeMap<String, Stored<'_>>, SafetensorsError> {
    let mut sorted: Vec<(String, Entry)> = entries.into_iter().collect();
    sorted.sort_by(|(a, x), (b, y)| (x.data_offsets, a).cmp(&(y.data_offsets, b)));
    let len = data.len() as u64;
    let mut tensors = BTreeMap::new();
    let mut expected = 0u64;
    for (tensor, entry) in sorted {
        let Entry {
            dtype,
            shape: Shape(shape),
            data_offsets: [begin, end],
        } = entry;
        let Some(width) = width(&dtype) else {
            let found = dtype.chars().take(64).collect();
            return Err(SafetensorsError::TensorType { tensor, found });
        };
        if shape.contains(&0) {
            return Err(SafetensorsError::EmptyDimension { tensor });
        }
        let size = shape
            .iter()
            .try_fold(u128::from(width), |size, dimension| {
                size.checked_mul(u128::from(*dimension))
            })
            .and_then(|size| u64::try_from(size).ok())
            .filter(|size| *size <= i64::MAX as u64);
        let Some(size) = size else {
            return Err(SafetensorsError::TensorSize { tensor });
        };
        if begin != expected {
            let found = begin;
            return Err(SafetensorsError::TensorOffset {
                tensor,
                found,
                expected,
            });
        }
        // `begin` is at most the length of a file and `size` below 2^63, so the sum fits.
        expected = begin + size;
        if end != expected {
            let found = end;
            return Err(SafetensorsError::TensorLength {
                tensor,
                found,
                expected,
            });
        }
        if end > len {
            return Err(SafetensorsError::TensorOutside { tensor, end, len });
        }
        let stored = Stored {
            data_type: dtype,
            shape,
            bytes: &data[begin as usize..end as usize],
        };
        tensors.insert(tensor, stored);
    }
    match len - expected {
        0 => Ok(tensors),
        found => Err(SafetensorsError::TrailingBytes { found }),
    }
}

/// What the header says of one tensor.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Shape,
    data_offsets: [u64; 2],
}

/// Dimensions, no more than the limit.
struct Shape(Vec<u64>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dimensions;
        impl<'de> Visitor<'de> for Dimensions {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {DIMENSIONS_MAX} dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(dimension) = items.next_element()? {
                    if shape.len() == DIMENSIONS_MAX {
                        return Err(A::Error::custom(format_args!(
                            "a tensor with more than {DIMENSIONS_MAX} dimensions"
                        )));
                    }
                    shape.push(dimension);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Dimensions)
    }
}

/// All tensors by name; free text is checked and forgotten.
struct Header(BTreeMap<String, Entry>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut entries = BTreeMap::new();
                let mut metadata = None;
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        if metadata.replace(map.next_value::<Metadata>()?).is_some() {
                            return Err(A::Error::custom("__metadata__ is there twice"));
                        }
                        continue;
                    }
                    if entries.len() == TENSORS_MAX {
                        return Err(A::Error::custom(format_args!(
                            "more than {TENSORS_MAX} tensors"
                        )));
                    }
                    if !(1..=TENSOR_NAME_BYTES_MAX).contains(&name.len()) {
                        return Err(A::Error::custom(format_args!(
                            "a tensor name of {} bytes, expected 1 to {TENSOR_NAME_BYTES_MAX}",
                            name.len()
                        )));
                    }
                    let entry = map.next_value()?;
                    if let Some(Entry { .. }) = entries.insert(name.clone(), entry) {
                        return Err(A::Error::custom(format_args!(
                            "tensor {name:?} is there twice"
                        )));
                    }
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Free text about the file.
struct Metadata;

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("texts by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut count = 0;
                while map.next_entry::<String, String>()?.is_some() {
                    count += 1;
                    if count > METADATA_ENTRIES_MAX {
                        return Err(A::Error::custom(format_args!(
                            "more than {METADATA_ENTRIES_MAX} texts in __metadata__"
                        )));
                    }
                }
                Ok(Metadata)
            }
        }
        deserializer.deserialize_map(Texts)
    }
}
