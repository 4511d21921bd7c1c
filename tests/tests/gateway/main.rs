//! Canisters as web sites: real canisters, live networks of the official `pocket-ic` client with their gateways, plain
//! sockets. The texts of refusals are our gateway's own, so those cases say nothing of another server.

mod harness;
mod network;
mod pages;
mod refusals;
mod site;
