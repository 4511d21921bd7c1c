//! The market's canisters, as the Wasm that is shipped, on the embedded network.

mod agent;
mod authority;
mod chain;
mod crowd;
mod interface;
mod random;
mod registry;
mod upgrade;
mod worker;
