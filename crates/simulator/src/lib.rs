//! The whole market in one process, from one seed: the registry's and the jobs' cores, messages that
//! get lost, canisters that stall, and people of whom some lie.
//!
//! It refuses to know a wall clock or any randomness but the seed's, so the same seed gives the same
//! report, byte for byte. A step is one update or timer of the jobs canister; after each the log is
//! audited and what was answered is compared with a second opinion, and the whole state is checked.
//!
//! - [`Campaign`] runs many seeds; a [`Failure`] says how to see it again.
//! - [`capture`] measures how often colluding providers get a lie verified, and [`plot()`] draws it.
//! - [`Plan`] is what a seed decides; [`Simulation`] runs it.

mod bound;
mod campaign;
pub mod capture;
mod craft;
mod faults;
mod host;
mod kind;
mod message;
mod outcome;
mod plan;
mod plot;
mod probe;
mod refusals;
mod report;
mod requester;
mod schedule;
mod simulation;
mod truth;
mod watch;
mod worker;

pub use bound::{capture_bound, margin};
pub use campaign::{Campaign, Failure};
pub use faults::{Fault, Faults};
pub use kind::Kind;
pub use outcome::Outcome;
pub use plan::Plan;
pub use plot::plot;
pub use report::{Asked, Counts, Report, Worked};
pub use simulation::Simulation;
