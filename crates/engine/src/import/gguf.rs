//! GGUF files, versions 2 and 3, read as if their author were an enemy.
//!
//! Only the header is walked. Every count is compared with a named limit before it is believed, every
//! position is checked against the file, sizes are multiplied in 128 bits, and nothing is allocated that
//! is not backed by bytes already seen. Values borrow from the file; arrays stay undecoded until asked for.
//!
//! What it refuses to know: architectures, tokenizers, what any key means (except the alignment).

use core::fmt;
use std::collections::BTreeMap;

use thiserror::Error;

use super::{dequantize::DataType, tensor::Tensor};

/// Most metadata entries in one file.
pub const METADATA_ENTRIES_MAX: u64 = 4_096;
/// Most tensors in one file.
pub const TENSORS_MAX: u64 = 16_384;
/// Longest metadata key, in bytes.
pub const KEY_BYTES_MAX: u64 = 256;
/// Longest text value, in bytes.
pub const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Most elements of one metadata array.
pub const ARRAY_ELEMENTS_MAX: u64 = 1 << 20;
/// Longest tensor name, in bytes.
pub const TENSOR_NAME_BYTES_MAX: u64 = 63;
/// Most dimensions of one tensor.
pub const DIMENSIONS_MAX: u32 = 4;
/// Most bytes before the tensor data.
pub const HEADER_BYTES_MAX: u64 = 64 << 20;
/// Smallest and largest tensor alignment, powers of two.
pub const ALIGNMENT_RANGE: core::ops::RangeInclusive<u32> = 8..=4_096;

const ALIGNMENT_DEFAULT: u32 = 32;

/// Why a file is not a GGUF file that can be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GgufError {
    #[error("not a GGUF file: it begins with {found:02x?}; choose a .gguf file")]
    Magic { found: Vec<u8> },
    #[error(
        "GGUF version {found} is not known (2 and 3 are); convert the file with a current tool"
    )]
    Version { found: u32 },
    #[error("{what} at byte {at} needs {need} bytes, the file ends at {len}; fetch the file again")]
    Truncated {
        what: &'static str,
        at: u64,
        need: u64,
        len: u64,
    },
    #[error("{what} at byte {at} is {found}, more than the limit of {max}")]
    Limit {
        what: &'static str,
        at: u64,
        found: u64,
        max: u64,
    },
    #[error("{what} at byte {at} is empty")]
    Empty { what: &'static str, at: u64 },
    #[error("{what} at byte {at} is not UTF-8 text")]
    Text { what: &'static str, at: u64 },
    #[error("value type {found} at byte {at} is not known")]
    ValueType { at: u64, found: u32 },
    #[error("array inside an array at byte {at}")]
    NestedArray { at: u64 },
    #[error("truth value at byte {at} is {found}, neither 0 nor 1")]
    Bool { at: u64, found: u8 },
    #[error("metadata key {key:?} is there twice")]
    DuplicateKey { key: String },
    #[error("metadata key {key:?} is missing")]
    MissingKey { key: String },
    #[error("metadata key {key:?} holds {found}, expected {expected}")]
    WrongType {
        key: String,
        expected: &'static str,
        found: &'static str,
    },
    #[error("alignment {found} is not a power of two between 8 and 4096")]
    Alignment { found: u32 },
    #[error("tensor {tensor:?} is there twice")]
    DuplicateTensor { tensor: String },
    #[error("tensor {tensor:?} has {found} dimensions, expected 1 to 4")]
    Dimensions { tensor: String, found: u32 },
    #[error("tensor {tensor:?} has an empty dimension")]
    EmptyDimension { tensor: String },
    #[error("tensor {tensor:?} has type {found}, which this version cannot convert")]
    TensorType { tensor: String, found: u32 },
    #[error(
        "tensor {tensor:?} has rows of {columns} values, not a multiple of the {block} values in one block"
    )]
    PartialBlock {
        tensor: String,
        columns: u64,
        block: u64,
    },
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
    #[error("tensor {tensor:?} ends at byte {end}, the file has {len}; fetch the file again")]
    TensorOutside { tensor: String, end: u64, len: u64 },
    #[error("{found} bytes follow the last tensor, more than padding")]
    TrailingBytes { found: u64 },
}

/// One metadata value, borrowed from the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    U64(u64),
    I64(i64),
    F64(f64),
    Bool(bool),
    Text(&'a str),
    Array(Array<'a>),
}

/// An array of scalars or texts whose bytes were walked once and found whole.
#[derive(Clone, Copy, PartialEq)]
pub struct Array<'a> {
    kind: u32,
    count: usize,
    bytes: &'a [u8],
}

/// A checked file.
#[derive(Debug, Clone)]
pub struct Gguf<'a> {
    metadata: BTreeMap<&'a str, Value<'a>>,
    tensors: BTreeMap<&'a str, Tensor<'a>>,
}

const KIND_U32: u32 = 4;
const KIND_I32: u32 = 5;
const KIND_F32: u32 = 6;
const KIND_TEXT: u32 = 8;
const KIND_ARRAY: u32 = 9;

impl<'a> Gguf<'a> {
    /// Checks the whole header of `file`.
    pub fn parse(file: &'a [u8]) -> Result<Self, GgufError> {
        let mut cursor = Cursor::new(file);
        let magic = cursor.take("magic", 4)?;
        if magic != b"GGUF" {
            return Err(GgufError::Magic {
                found: magic.to_vec(),
            });
        }
        let version = cursor.u32("version")?;
        if !(2..=3).contains(&version) {
            return Err(GgufError::Version { found: version });
        }
        let tensor_count = cursor.count("tensor count", TENSORS_MAX)?;
        let entry_count = cursor.count("metadata count", METADATA_ENTRIES_MAX)?;

        let mut metadata = BTreeMap::new();
        for _ in 0..entry_count {
            let key = cursor.text("metadata key", KEY_BYTES_MAX)?;
            let kind = cursor.u32("value type")?;
            let value = cursor.value(kind)?;
            if metadata.insert(key, value).is_some() {
                return Err(GgufError::DuplicateKey { key: key.into() });
            }
        }
        let alignment = alignment(&metadata)?;

        let mut placed = Vec::new();
        for _ in 0..tensor_count {
            placed.push(cursor.tensor()?);
        }
        let tensors = place(&placed, file, cursor.at, alignment)?;
        Ok(Self { metadata, tensors })
    }

    /// The value under `key`, if there is one.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.metadata.get(key).copied()
    }

    /// All metadata keys, ascending.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.metadata.keys().copied()
    }

    /// A 32-bit count, or `None` where the key is absent. Any other type is an error.
    pub fn u32(&self, key: &str) -> Result<Option<u32>, GgufError> {
        self.typed(key, "u32", |value| {
            if let Value::U32(found) = value {
                Some(found)
            } else {
                None
            }
        })
    }

    /// A 32-bit float, or `None` where the key is absent.
    pub fn f32(&self, key: &str) -> Result<Option<f32>, GgufError> {
        self.typed(key, "f32", |value| {
            if let Value::F32(found) = value {
                Some(found)
            } else {
                None
            }
        })
    }

    /// A truth value, or `None` where the key is absent.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.typed(key, "bool", |value| {
            if let Value::Bool(found) = value {
                Some(found)
            } else {
                None
            }
        })
    }

    /// A text, or `None` where the key is absent.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, GgufError> {
        self.typed(key, "text", |value| {
            if let Value::Text(found) = value {
                Some(found)
            } else {
                None
            }
        })
    }

    /// An array of texts, or `None` where the key is absent.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>, GgufError> {
        self.typed(key, "array of text", |value| match value {
            Value::Array(array) => array.texts(),
            _ => None,
        })
    }

    /// An array of 32-bit integers of either sign, or `None` where the key is absent.
    pub fn i32s(&self, key: &str) -> Result<Option<Vec<i64>>, GgufError> {
        self.typed(key, "array of 32-bit integers", |value| match value {
            Value::Array(array) => array.integers(),
            _ => None,
        })
    }

    /// An array of 32-bit floats, or `None` where the key is absent.
    pub fn f32s(&self, key: &str) -> Result<Option<Vec<f32>>, GgufError> {
        self.typed(key, "array of f32", |value| match value {
            Value::Array(array) => array.floats(),
            _ => None,
        })
    }

    /// The tensor called `name`, if there is one.
    pub fn tensor(&self, name: &str) -> Option<&Tensor<'a>> {
        self.tensors.get(name)
    }

    /// All tensors by name.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor<'a>> {
        self.tensors.values()
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match read(value) {
            Some(found) => Ok(Some(found)),
            None => Err(GgufError::WrongType {
                key: key.into(),
                expected,
                found: value.kind_name(),
            }),
        }
    }
}

impl Value<'_> {
    fn kind_name(&self) -> &'static str {
        match self {
            Self::U8(_) => "u8",
            Self::I8(_) => "i8",
            Self::U16(_) => "u16",
            Self::I16(_) => "i16",
            Self::U32(_) => "u32",
            Self::I32(_) => "i32",
            Self::F32(_) => "f32",
            Self::U64(_) => "u64",
            Self::I64(_) => "i64",
            Self::F64(_) => "f64",
            Self::Bool(_) => "bool",
            Self::Text(_) => "text",
            Self::Array(array) if array.kind == KIND_TEXT => "array of text",
            Self::Array(_) => "array",
        }
    }
}

impl<'a> Array<'a> {
    fn texts(self) -> Option<Vec<&'a str>> {
        if self.kind != KIND_TEXT {
            return None;
        }
        let mut cursor = Cursor::new(self.bytes);
        (0..self.count)
            .map(|_| cursor.long_text("array text").ok())
            .collect()
    }

    fn floats(self) -> Option<Vec<f32>> {
        let chunks = self.bytes.chunks_exact(4);
        (self.kind == KIND_F32).then(|| {
            chunks
                .map(|chunk| f32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]))
                .collect()
        })
    }

    fn integers(self) -> Option<Vec<i64>> {
        let chunks = self
            .bytes
            .chunks_exact(4)
            .map(|chunk| [chunk[0], chunk[1], chunk[2], chunk[3]]);
        match self.kind {
            KIND_U32 => Some(
                chunks
                    .map(|bytes| i64::from(u32::from_le_bytes(bytes)))
                    .collect(),
            ),
            KIND_I32 => Some(
                chunks
                    .map(|bytes| i64::from(i32::from_le_bytes(bytes)))
                    .collect(),
            ),
            _ => None,
        }
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Array {{ kind: {}, count: {} }}", self.kind, self.count)
    }
}

fn alignment(metadata: &BTreeMap<&str, Value<'_>>) -> Result<u32, GgufError> {
    match metadata.get("general.alignment") {
        None => Ok(ALIGNMENT_DEFAULT),
        Some(&Value::U32(found)) if found.is_power_of_two() && ALIGNMENT_RANGE.contains(&found) => {
            Ok(found)
        }
        Some(&Value::U32(found)) => Err(GgufError::Alignment { found }),
        Some(other) => Err(GgufError::WrongType {
            key: "general.alignment".into(),
            expected: "u32",
            found: other.kind_name(),
        }),
    }
}

/// A tensor as the header describes it, not yet compared with the file.
struct Described<'a> {
    name: &'a str,
    data_type: DataType,
    columns: u64,
    rows: u64,
    dimensions: u32,
    offset: u64,
    len: u64,
}

/// Checks that the tensors fill the data section one after another, with nothing but padding between.
fn place<'a>(
    described: &[Described<'a>],
    file: &'a [u8],
    header_end: u64,
    alignment: u32,
) -> Result<BTreeMap<&'a str, Tensor<'a>>, GgufError> {
    let alignment = u64::from(alignment);
    let file_len = file.len() as u64;
    let data_start = header_end.next_multiple_of(alignment);
    let mut tensors = BTreeMap::new();
    let mut expected = 0u64;
    let mut end = header_end;
    for tensor in described {
        let name = || tensor.name.to_owned();
        if tensor.offset != expected {
            return Err(GgufError::TensorOffset {
                tensor: name(),
                found: tensor.offset,
                expected,
            });
        }
        let begin = data_start + tensor.offset;
        end = begin
            .checked_add(tensor.len)
            .ok_or_else(|| GgufError::TensorSize { tensor: name() })?;
        let bytes = usize::try_from(begin)
            .ok()
            .zip(usize::try_from(end).ok())
            .and_then(|(begin, end)| file.get(begin..end))
            .ok_or_else(|| GgufError::TensorOutside {
                tensor: name(),
                end,
                len: file_len,
            })?;
        // The tensor is inside the file, so rounding its end up cannot overflow.
        expected = (tensor.offset + tensor.len).next_multiple_of(alignment);
        let placed = Tensor {
            name: tensor.name,
            data_type: tensor.data_type,
            columns: tensor.columns,
            rows: tensor.rows,
            dimensions: tensor.dimensions,
            bytes,
        };
        if tensors.insert(tensor.name, placed).is_some() {
            return Err(GgufError::DuplicateTensor { tensor: name() });
        }
    }
    let trailing = file_len.saturating_sub(end);
    if trailing >= alignment {
        return Err(GgufError::TrailingBytes { found: trailing });
    }
    Ok(tensors)
}

/// Reads forward only; never past the end of the file or the header limit.
struct Cursor<'a> {
    file: &'a [u8],
    at: u64,
}

impl<'a> Cursor<'a> {
    fn new(file: &'a [u8]) -> Self {
        Self { file, at: 0 }
    }

    fn take(&mut self, what: &'static str, need: u64) -> Result<&'a [u8], GgufError> {
        let len = self.file.len() as u64;
        let Some(end) = self.at.checked_add(need).filter(|end| *end <= len) else {
            return Err(GgufError::Truncated {
                what,
                at: self.at,
                need,
                len,
            });
        };
        if end > HEADER_BYTES_MAX {
            return Err(GgufError::Limit {
                what: "header length",
                at: self.at,
                found: end,
                max: HEADER_BYTES_MAX,
            });
        }
        // `end <= len`, so both positions fit a `usize`.
        let bytes = &self.file[self.at as usize..end as usize];
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(what, N as u64)?);
        Ok(out)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    fn count(&mut self, what: &'static str, max: u64) -> Result<u64, GgufError> {
        let at = self.at;
        let found = self.u64(what)?;
        if found > max {
            return Err(GgufError::Limit {
                what,
                at,
                found,
                max,
            });
        }
        Ok(found)
    }

    /// A text that must not be empty.
    fn text(&mut self, what: &'static str, max: u64) -> Result<&'a str, GgufError> {
        let at = self.at;
        let len = self.count(what, max)?;
        if len == 0 {
            return Err(GgufError::Empty { what, at });
        }
        self.utf8(what, at, len)
    }

    /// A text value, empty or not.
    fn long_text(&mut self, what: &'static str) -> Result<&'a str, GgufError> {
        let at = self.at;
        let len = self.count(what, TEXT_BYTES_MAX)?;
        self.utf8(what, at, len)
    }

    fn utf8(&mut self, what: &'static str, at: u64, len: u64) -> Result<&'a str, GgufError> {
        core::str::from_utf8(self.take(what, len)?).map_err(|_| GgufError::Text { what, at })
    }

    fn value(&mut self, kind: u32) -> Result<Value<'a>, GgufError> {
        let at = self.at;
        Ok(match kind {
            0 => Value::U8(self.array::<1>("u8")?[0]),
            1 => Value::I8(i8::from_le_bytes(self.array("i8")?)),
            2 => Value::U16(u16::from_le_bytes(self.array("u16")?)),
            3 => Value::I16(i16::from_le_bytes(self.array("i16")?)),
            KIND_U32 => Value::U32(self.u32("u32")?),
            KIND_I32 => Value::I32(i32::from_le_bytes(self.array("i32")?)),
            6 => Value::F32(f32::from_le_bytes(self.array("f32")?)),
            7 => Value::Bool(self.truth()?),
            KIND_TEXT => Value::Text(self.long_text("text")?),
            KIND_ARRAY => Value::Array(self.array_value()?),
            10 => Value::U64(self.u64("u64")?),
            11 => Value::I64(i64::from_le_bytes(self.array("i64")?)),
            12 => Value::F64(f64::from_le_bytes(self.array("f64")?)),
            found => return Err(GgufError::ValueType { at, found }),
        })
    }

    fn truth(&mut self) -> Result<bool, GgufError> {
        let at = self.at;
        match self.array::<1>("truth value")?[0] {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(GgufError::Bool { at, found }),
        }
    }

    fn array_value(&mut self) -> Result<Array<'a>, GgufError> {
        let at = self.at;
        let kind = self.u32("array type")?;
        let count = self.count("array length", ARRAY_ELEMENTS_MAX)?;
        let begin = self.at as usize;
        match kind {
            KIND_ARRAY => return Err(GgufError::NestedArray { at }),
            KIND_TEXT => {
                for _ in 0..count {
                    self.long_text("array text")?;
                }
            }
            7 => {
                for _ in 0..count {
                    self.truth()?;
                }
            }
            _ => {
                let width = match kind {
                    0 | 1 => 1,
                    2 | 3 => 2,
                    KIND_U32 | KIND_I32 | 6 => 4,
                    10..=12 => 8,
                    found => return Err(GgufError::ValueType { at, found }),
                };
                self.take("array", count * width)?;
            }
        }
        Ok(Array {
            kind,
            count: count as usize,
            bytes: &self.file[begin..self.at as usize],
        })
    }

    fn tensor(&mut self) -> Result<Described<'a>, GgufError> {
        let name = self.text("tensor name", TENSOR_NAME_BYTES_MAX)?;
        let tensor = || name.to_owned();
        let dimensions = self.u32("tensor dimensions")?;
        if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
            return Err(GgufError::Dimensions {
                tensor: tensor(),
                found: dimensions,
            });
        }
        let columns = self.u64("tensor shape")?;
        let mut rows = 1u128;
        for _ in 1..dimensions {
            // Three factors below 2^64 can pass 128 bits.
            rows = rows
                .checked_mul(u128::from(self.u64("tensor shape")?))
                .ok_or_else(|| GgufError::TensorSize { tensor: tensor() })?;
        }
        if columns == 0 || rows == 0 {
            return Err(GgufError::EmptyDimension { tensor: tensor() });
        }
        let found = self.u32("tensor type")?;
        let data_type = DataType::from_id(found).ok_or_else(|| GgufError::TensorType {
            tensor: tensor(),
            found,
        })?;
        let (block, block_bytes) = data_type.block();
        let (block, block_bytes) = (block as u64, block_bytes as u64);
        if !columns.is_multiple_of(block) {
            return Err(GgufError::PartialBlock {
                tensor: tensor(),
                columns,
                block,
            });
        }
        let len = u128::from(columns / block)
            .checked_mul(u128::from(block_bytes))
            .and_then(|row| row.checked_mul(rows))
            .and_then(|len| u64::try_from(len).ok())
            .filter(|len| *len <= i64::MAX as u64)
            .ok_or_else(|| GgufError::TensorSize { tensor: tensor() })?;
        let offset = self.u64("tensor offset")?;
        // A row is at least two bytes, so `rows` fits where the whole length does.
        Ok(Described {
            name,
            data_type,
            columns,
            rows: rows as u64,
            dimensions,
            offset,
            len,
        })
    }
}
