//! An embedded Internet Computer: real canister Wasm, executed by one deterministic thread.

pub mod network;
pub mod types;
