//! The two memories of a canister, both in pages that copies share until one of them writes.
//!
//! Invariant: what a message wrote is in neither memory until it is committed.

mod heap;
mod stable;

pub(crate) use heap::Heap;
pub(crate) use stable::{Stable, StableError, StableSession};
