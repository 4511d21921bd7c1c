//! Turning a published checkpoint into a model file.
//!
//! Conversion is a function of the source bytes alone: the same checkpoint gives the same file, and so the same model
//! root, on every machine. Sources are read as hostile input. GGUF files of the
//! Llama, Qwen 2, Qwen 3 and Gemma 3 families.

mod convert;
pub mod dequantize;
mod family;
pub mod float;
pub mod gguf;
mod vocabulary;

pub use self::{
    convert::{ImportError, Progress, convert_bytes, convert_file},
    gguf::GgufError,
    vocabulary::VocabularyError,
};
