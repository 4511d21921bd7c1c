//! Deterministic inference by the CIS-1 rules: the same model, tokens and parameters give the same bytes on every machine.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod f32z;
#[cfg(feature = "import")]
pub mod import;
pub mod model;
#[cfg(feature = "tokenizer")]
pub mod tokenizer;
