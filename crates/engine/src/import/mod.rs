//! Turning a published checkpoint into a model file.
//!
//! Conversion is a function of the source bytes alone: the same checkpoint gives the same file, and so the same model
//! root, on every machine. Sources are read as hostile input. For now: GGUF files of the `llama` architecture with a
//! byte-level BPE vocabulary.

mod convert;
pub mod dequantize;
pub mod gguf;
mod vocabulary;

pub use self::{
    convert::{ImportError, Progress, convert_bytes, convert_file},
    gguf::GgufError,
    vocabulary::VocabularyError,
};
