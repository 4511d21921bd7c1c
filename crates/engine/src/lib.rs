//! Deterministic inference by the CIS-1 rules: the same model, tokens and parameters give the same bytes on every machine.
//!
//! Every reduction is an exact integer sum or an integer maximum; everything else is a map over single elements in [`f32z`]. So no result
//! depends on order, batching, threads or vector width, and [`run`] may check a generated transcript at the price of a prefill.
//!
//! - [`ops`] is the meaning: plain operators, readable from top to bottom. The kernels are tested equal to it.
//! - [`forward`] runs models, [`sampler`] draws tokens, [`trace`] commits to every state passed through.
//! - [`proof`] opens single operators of a trace and runs them again, for a referee.
//! - [`encoder`] makes vectors of texts, by the same rules.
//! - [`accelerator`] says what a device must do to take part; `offload` puts a model's matrices on one.
//! - [`run`] generates and checks whole jobs; [`model`] holds what they run.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;
#[cfg(all(test, not(feature = "std")))]
extern crate std;

pub mod accelerator;
pub mod bounds;
pub mod conformance;
pub mod encoder;
pub mod f32z;
pub mod forward;
#[cfg(feature = "import")]
pub mod import;
pub mod kat;
#[cfg(feature = "std")]
mod kernels;
pub mod measure;
pub mod model;
#[cfg(feature = "std")]
pub mod offload;
pub mod ops;
pub mod proof;
pub mod run;
pub mod sampler;
#[cfg(feature = "tokenizer")]
pub mod tokenizer;
pub mod trace;
