//! An embedded Internet Computer: real canister Wasm, executed by one deterministic thread.

pub mod cert;
pub mod ingress;
pub mod network;
pub mod topology;
pub mod types;
