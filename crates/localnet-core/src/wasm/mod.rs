//! Canister modules: what may be installed, how it is rewritten, and how it is compiled.
//!
//! A module arrives as bytes and leaves as a [`Compiled`], which knows its methods, its mutable globals and the heap
//! that it starts with. Nothing here runs canister code.
//!
//! Invariant: a compiled module depends only on the bytes that were sent, never on who installs it or when.

mod effort;
mod engine;
mod error;
mod limit;
mod meter;
mod prepare;
mod rewrite;
mod signature;

pub(crate) use effort::{compiling, refusing};
pub(crate) use engine::{Compiled, Compiler, Instantiate};
pub use error::InvalidModule;
pub(crate) use prepare::MethodKind;

/// One thing for modules with a 32-bit memory, or with none, and one for those with a 64-bit memory.
#[derive(Debug)]
struct Widths<T> {
    narrow: T,
    wide: T,
}

impl<T> Widths<T> {
    fn get(&self, wide: bool) -> &T {
        if wide { &self.wide } else { &self.narrow }
    }
}

/// Name under which a rewritten module exports its memory.
pub(crate) const MEMORY_EXPORT: &str = "localnet memory";
/// Name under which a rewritten module exports its first table.
pub(crate) const TABLE_EXPORT: &str = "localnet table";
/// Name under which a rewritten module exports its `(start)` function.
pub(crate) const START_EXPORT: &str = "localnet start";
/// Beginning of every name that only this network may export.
const RESERVED_PREFIX: &str = "localnet ";

/// Name under which a rewritten module exports the mutable global of this index.
fn global_export(index: u32) -> String {
    format!("localnet global {index}")
}
