//! Tools for tests, simulations and auditors: invariants, replay, a reader of the log that trusts nothing, and a market full
//! of honest and lying actors that any jobs canister can be put under.
//!
//! [`World`] knows a market only through [`Market`], so the same seeded sequence of actions runs
//! against the core in memory and against a canister.

mod asking;
mod audit;
mod fault_ledger;
mod fixture;
mod hidden;
mod invariants;
mod log_reader;
mod memory;
mod money;
mod oracle;
mod replay;
mod vault;
mod world;

pub use asking::{random_request, spoil};
pub use audit::Auditor;
pub use fault_ledger::FaultLedger;
pub use fixture::{
    Fixture, MODELS, canister, funder, ledger, model_owner, payout, provider, requester, stranger,
    worker,
};
pub use hidden::{check_hidden, ensure};
pub use invariants::check_invariants;
pub use log_reader::{LogReader, LogState};
pub use memory::MemoryMarket;
pub use money::{Ledger, Worked};
pub use oracle::{Lie, body_root, honest_body, honest_opening, messages, opening_by, right_root};
pub use replay::logged_difference;
pub use vault::VaultWorld;
pub use world::{Market, Plan, World};
