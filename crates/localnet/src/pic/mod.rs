//! The PocketIC server interface: any number of networks in one process, made and driven over REST.
//!
//! It speaks as the `pocket-ic` clients of Rust, JavaScript and Python expect (version 16.1; older ones too). Requests
//! are JSON, byte strings in it are base64, and everything else about a network — messages, rounds, certificates — is
//! its thread's (see `actor`). An instance stands still until it is asked to tick or to go live; below
//! `/instances/<id>/` it also serves the IC HTTP interface.
//!
//! Invariants: an answer is `null`, a boolean, an object or an array, and an error is an object with a `message`,
//! because clients choke on anything else; an operation that takes long is answered with 202 and read later.

mod answer;
mod blobs;
mod calls;
mod create;
pub(crate) mod fuzzing;
mod gateways;
mod instances;
mod limits;
mod live;
mod memory;
mod operations;
mod outcalls;
mod plan;
mod reject;
mod router;
mod routes;
mod server;
mod shapes;
mod snapshots;
mod state;
#[cfg(test)]
mod tests;
mod verify;

pub use self::server::{PicConfig, PicServer};
