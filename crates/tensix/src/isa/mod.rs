//! What host and kernels agree on: addresses in a Tensix tile, instruction words, and the mailbox between them.
//!
//! The kernels' own workspace includes this folder by path, so that neither side can drift. Hence no `std`, no `alloc`, and
//! nothing but constants and `const fn`. Numbers are those of the Wormhole B0 instruction set documentation.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared by three programs, each of which uses a part"
)]

pub mod instruction;
pub mod mailbox;
pub mod tile;

#[cfg(test)]
mod tests;
