//! Canisters as web sites: real canisters, a real network, plain sockets.

mod harness;
mod network;
mod pages;
mod refusals;
mod site;
