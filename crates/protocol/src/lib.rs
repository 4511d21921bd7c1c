//! What the canisters, the workers and the clients agree on: types, hashes, limits and prices.
//!
//! It refuses to know where it runs: no I/O, no clock, no randomness, no `ic-cdk`.
//!
//! Invariants: every hash here covers length-prefixed fields behind a domain name, so no two
//! different values share an encoding; every list and text has a limit in [`limits`]; every
//! amount is an exact integer.

pub mod canary;
pub mod chats;
pub mod events;
pub mod frontend;
pub mod hash;
pub mod ids;
pub mod job;
pub mod lease;
pub mod limits;
pub mod money;
pub mod price;
pub mod receipt;
pub mod registry;
pub mod request;
pub mod result;
pub mod store;
pub mod tool_calls;

pub use hash::{Hash32, Hasher};
pub use ids::{Cycles, JobId, LeaseId, ModelId, Moment, Timestamp, TransferId};
