//! `bench`: numbers, and nothing that passes or fails.

pub(crate) mod canbench;
pub(crate) mod engine;
pub(crate) mod localnet;
pub(crate) mod market;
pub(crate) mod metering;
