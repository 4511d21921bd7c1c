//! Why a checkpoint could not be converted.

use std::{io, path::PathBuf};

use thiserror::Error;

use super::{gguf::GgufError, safetensors::SafetensorsError, vocabulary::VocabularyError};
use crate::model::{ManifestError, WriteError};

/// Why a checkpoint could not be converted.
#[derive(Debug, Error)]
pub enum ImportError {
    #[error("{path}: cannot be read")]
    Source { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error("{path}: {reason}")]
    Safetensors {
        path: PathBuf,
        reason: SafetensorsError,
    },
    #[error("{path}: is longer than the limit of {max} bytes")]
    FileLength { path: PathBuf, max: u64 },
    #[error("{path}: is not what it should be ({reason}); fetch the file again")]
    Json { path: PathBuf, reason: String },
    #[error("{path}: is not UTF-8 text")]
    Text { path: PathBuf },
    #[error("architecture {found:?} cannot be converted; use a checkpoint of one of {known}")]
    Architecture { found: String, known: String },
    #[error(
        "metadata key {key:?} is not known and might change the results; this checkpoint cannot be converted yet"
    )]
    UnknownKey { key: String },
    #[error("metadata key {key:?} is missing")]
    MissingKey { key: String },
    #[error("metadata key {key:?} holds {found}, expected {expected}")]
    KeyType {
        key: String,
        expected: &'static str,
        found: &'static str,
    },
    #[error("{key:?} is {found:?}, which cannot be converted yet")]
    Unsupported { key: String, found: String },
    #[error("metadata key {key:?} is {found}, expected {expected}")]
    Disagrees {
        key: String,
        found: u64,
        expected: u64,
    },
    #[error("{key:?} holds {found} token ids, more than the limit of {max}")]
    EndTokens {
        key: String,
        found: usize,
        max: usize,
    },
    #[error("rotation base {found} is not a number above 1")]
    RotationBase { found: f32 },
    #[error("rotation factor {found} is not a number of at least 1")]
    RotationFactor { found: f32 },
    #[error("rotation slowed between {low} and {high} turns; expected 0 < the first < the second")]
    RotationRange { low: f32, high: f32 },
    #[error("tensor {tensor:?} is missing; fetch the file again")]
    TensorMissing { tensor: String },
    #[error(
        "tensor {tensor:?} is not known and might change the results; this checkpoint cannot be converted yet"
    )]
    TensorUnknown { tensor: String },
    #[error(
        "tensor {tensor:?} has {rows} rows of {columns}, expected {expected_rows} of {expected_columns}"
    )]
    TensorShape {
        tensor: String,
        rows: u64,
        columns: u64,
        expected_rows: usize,
        expected_columns: usize,
    },
    #[error("tensor {tensor:?} has {found} dimensions, expected {expected}")]
    TensorDimensions {
        tensor: String,
        found: u32,
        expected: u32,
    },
    #[error("tensor {tensor:?} has type {found:?}; F32, F16 and BF16 can be converted")]
    TensorType { tensor: String, found: String },
    #[error("tensor {tensor:?} row {row} holds a value that is not a finite number")]
    NotFinite { tensor: String, row: usize },
    #[error("tensor {tensor:?} differs from {other:?}, which the configuration says it is")]
    NotTied { tensor: String, other: String },
    #[error("{found} weight files, expected 1 to {max}")]
    ShardCount { found: usize, max: usize },
    #[error("weight file name {found:?} is not a plain name that ends with .safetensors")]
    ShardName { found: String },
    #[error("tensor {tensor:?} is not in {shard:?}, where the index has it; fetch the files again")]
    ShardTensor { tensor: String, shard: String },
    #[error("tensor {tensor:?} in {shard:?} is not in the index; fetch the files again")]
    NotIndexed { tensor: String, shard: String },
    #[error("checkpoint cannot be a model: {reason}")]
    Manifest { reason: ManifestError },
    #[error("vocabulary: {reason}")]
    Vocabulary { reason: VocabularyError },
    #[error("tokenizer.json cannot be read ({reason}); fetch the file again")]
    Tokenizer { reason: String },
    #[error("tokenizer.json has token {id}, the model's vocabulary ends at {vocab}")]
    TokenizerVocabulary { id: u32, vocab: usize },
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<ManifestError> for ImportError {
    fn from(reason: ManifestError) -> Self {
        Self::Manifest { reason }
    }
}

impl From<VocabularyError> for ImportError {
    fn from(reason: VocabularyError) -> Self {
        Self::Vocabulary { reason }
    }
}
