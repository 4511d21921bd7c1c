//! The embedded network with small canisters written in Wasm text.

mod harness;

mod calls;
mod cycles;
mod determinism;
mod errors;
mod fees;
mod hostile;
mod image;
mod installing;
mod lifecycle;
mod limits;
mod low_memory;
mod management;
mod metering;
mod modes;
mod modules;
mod state;
mod storm;
mod subnets;
mod subnets_changing;
mod system;
mod time;
mod values;
mod wide;
