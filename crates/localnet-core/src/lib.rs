//! An embedded Internet Computer: real canister Wasm, executed by one deterministic thread.
//!
//! Messages go in through [`network::Network`], rounds execute them, and everything that a state tree shows can be
//! read back. [`ingress`] checks what users send, [`cert`] signs what they are answered, [`topology`] says who the
//! network is, and [`system`] holds the canisters that are there from the beginning. Nothing here opens a socket, reads a clock or starts a thread.

mod canister;
pub mod cert;
pub mod cycles;
mod exec;
#[doc(hidden)]
pub mod fuzzing;
mod help;
pub mod image;
pub mod ingress;
pub mod limits;
mod mem;
mod mgmt;
pub mod network;
mod round;
mod sysapi;
pub mod system;
pub mod topology;
pub mod types;
mod wasm;

pub use canister::LogLine;
pub use wasm::InvalidModule;
