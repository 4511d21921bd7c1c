//! The market's canisters, as the Wasm that is shipped, on networks of the official `pocket-ic` client.

mod agent;
mod authority;
mod canaries;
mod chain;
mod crowd;
mod encoding;
mod images;
mod interface;
mod load;
mod logs;
mod meter;
mod money;
mod page;
mod random;
mod receipts;
mod registry;
mod rounds;
mod shards;
mod upgrade;
mod vault;
mod waiting;
mod worker;
