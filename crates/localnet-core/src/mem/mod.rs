//! The two memories of a canister, both in pages that copies share until one of them writes.
//!
//! Invariant: what a message wrote is in neither memory until it is committed.

mod heap;
#[cfg(target_os = "linux")]
mod region;
#[cfg(not(target_os = "linux"))]
#[path = "region_elsewhere.rs"]
mod region;
mod stable;
mod tracked;

pub(crate) use heap::Heap;
pub(crate) use region::{Region, Regions};
pub(crate) use stable::{Stable, StableError, StableSession};
pub(crate) use tracked::{Changes, Tracked};
