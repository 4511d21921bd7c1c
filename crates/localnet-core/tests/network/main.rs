//! The embedded network with small canisters written in Wasm text.

mod harness;

mod calls;
mod cycles;
mod lifecycle;
mod limits;
mod metering;
mod modes;
mod modules;
mod state;
mod storm;
mod subnets;
mod time;
