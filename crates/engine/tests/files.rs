//! Files from outside: GGUF checkpoints, folders as Hugging Face publishes them, their conversion, model files, tokenizers and chat templates.
#![cfg(all(feature = "import", feature = "tokenizer"))]

#[path = "files/bert.rs"]
mod bert;
#[path = "files/builder.rs"]
mod builder;
#[path = "files/convert.rs"]
mod convert;
#[path = "files/folder.rs"]
mod folder;
#[path = "files/gguf.rs"]
mod gguf;
#[path = "files/hostile.rs"]
mod hostile;
#[path = "files/huggingface.rs"]
mod huggingface;
#[path = "files/model_file.rs"]
mod model_file;
#[path = "files/safetensors.rs"]
mod safetensors;
#[path = "files/templates.rs"]
mod templates;
#[path = "files/text.rs"]
mod text;
#[path = "files/vocabulary.rs"]
mod vocabulary;
