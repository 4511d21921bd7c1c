//! The market's jobs: who asked, who works, who is right, who is paid.
//!
//! It refuses to know where it runs: time, caller and randomness are arguments, storage is a
//! [`store::Backend`]. A command is checked first and changes nothing if it is refused; then it
//! records events, and applying events is the only way logged state changes, so the log rebuilds
//! it.
//!
//! Invariants: what came in equals balances, escrow and fees; a job that has ended holds nothing;
//! a lease is paid at most once and only by a verdict; roots and nonces are visible to nobody
//! before the verdict of their round; every live lease and open job has a deadline;
//! a withdrawal's money leaves at most once, whatever is lost on the way.

pub mod config;
pub mod event;
pub mod record;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

mod apply;
mod asked;
mod audit;
mod canary;
mod give;
mod leases;
mod market;
mod matching;
mod pricing;
mod provisional;
mod query;
mod queue;
mod receipt;
mod requests;
mod reveal;
mod sponsor;
mod stake;
mod sweep;
mod sync;
mod vault;
mod verdict;
mod worker;

pub use config::{ConfigError, JobsConfig, Rules};
pub use market::{Horizon, Jobs};
pub use sweep::Swept;
pub use vault::{DueTransfers, Move, Outcome, TransferCall};
