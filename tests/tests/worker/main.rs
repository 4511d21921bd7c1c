//! Worker processes on the embedded network: doing what is asked, killed, stopped, lied to by their network, and lying
//! themselves.
//!
//! Real daemons with real models. The programs, modules and models are found through the environment, as
//! `cargo xtask test` sets it.

mod alone;
mod dapps;
mod harness;
mod lies;
mod lives;
mod served;
mod servers;
mod shards;
mod tasks;
