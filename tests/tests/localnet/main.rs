//! The embedded network as the official `pocket-ic` client sees it: every test speaks to a server through it, and knows
//! nothing else of the network.

mod calls;
mod cycles;
mod determinism;
mod errors;
mod harness;
mod instances;
mod lifecycle;
mod live;
mod management;
mod outcalls;
mod saved;
mod stable;
mod time;
