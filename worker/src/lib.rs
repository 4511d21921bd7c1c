//! The worker daemon: takes leases from a jobs canister, runs the engine, commits and reveals.
//!
//! It refuses to know how jobs are matched, priced or judged: the canister decides, and every
//! decision it acts on comes from an update, whose answer is certified. Queries are hints.
//!
//! Invariants: what runs is the claimed order; the nonce and the whole result are on disk before
//! their commitment is sent; two different commitments are never sent for one lease.

pub mod backend;
pub mod backoff;
pub mod bench;
pub mod cheat;
pub mod cli;
pub mod client;
pub mod config;
pub mod doctor;
pub mod exit;
pub mod identity;
pub mod journal;
pub mod log;
pub mod model;
pub mod openai;
pub mod registration;
pub mod run;
pub mod setup;
