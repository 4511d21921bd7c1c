//! Turning a published checkpoint into a model file.
//!
//! Conversion is a function of the source bytes alone: the same checkpoint gives the same file, and so the same model
//! root, on every machine. Sources are read as hostile input: GGUF files, and folders as Hugging Face publishes them, of the
//! Llama, Qwen 2, Qwen 3 and Gemma 3 families; folders also of BERT as a sentence encoder.

use std::path::Path;

use crate::model::root::Hash;

mod bert;
mod convert;
pub mod dequantize;
mod error;
mod family;
pub mod float;
mod folder;
pub mod gguf;
mod huggingface;
mod json;
mod plan;
mod round;
pub mod safetensors;
mod tensor;
mod vocabulary;

pub use self::{
    convert::{convert_bytes, convert_file},
    error::ImportError,
    folder::{CONFIG_BYTES_MAX, SHARDS_MAX},
    gguf::GgufError,
    huggingface::convert_folder,
    safetensors::SafetensorsError,
    tensor::Tensor,
    vocabulary::VocabularyError,
};

/// How far a conversion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Weights converted so far.
    pub done: u64,
    /// Weights in the whole model.
    pub total: u64,
}

/// Converts a checkpoint, which is a GGUF file or a folder, into a model file at `target`, which appears only when it is complete.
/// Returns the model root.
pub fn convert(
    source: impl AsRef<Path>,
    target: impl AsRef<Path>,
    progress: impl FnMut(Progress),
) -> Result<Hash, ImportError> {
    match source.as_ref().is_dir() {
        true => convert_folder(source, target, progress),
        false => convert_file(source, target, progress),
    }
}
