//! Files from outside: GGUF checkpoints, their conversion, model files, tokenizers and chat templates.
#![cfg(all(feature = "import", feature = "tokenizer"))]

#[path = "files/builder.rs"]
mod builder;
#[path = "files/convert.rs"]
mod convert;
#[path = "files/gguf.rs"]
mod gguf;
#[path = "files/hostile.rs"]
mod hostile;
#[path = "files/model_file.rs"]
mod model_file;
#[path = "files/templates.rs"]
mod templates;
#[path = "files/text.rs"]
mod text;
#[path = "files/vocabulary.rs"]
mod vocabulary;
