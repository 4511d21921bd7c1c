//! The embedded network as the official `pocket-ic` client sees it: every test speaks to a server through it, and knows
//! nothing else of the network.

mod calls;
mod cycles;
mod determinism;
mod errors;
mod flexible_outcalls;
mod harness;
mod hostile;
mod instances;
mod lifecycle;
mod live;
mod management;
mod outcalls;
mod outcalls_made;
mod saved;
mod snapshot_folders;
mod stable;
mod subnets_changing;
mod time;
