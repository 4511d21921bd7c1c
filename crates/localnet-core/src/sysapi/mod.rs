//! The System API: everything that canister code can ask of the network.
//!
//! A [`Message`] is the whole world of one execution. Functions read it and leave their effects in it; nothing
//! outside changes until the executor has seen how the execution ended. So a trap rolls everything back by dropping
//! the message, and canister code cannot see other canisters at all.

mod api;
mod calls;
mod cost;
mod fault;
mod link;
mod memory;
mod message;
mod modes;
#[cfg(test)]
mod tests;

use wasmtime::{Memory, ResourceLimiter};

pub(crate) use api::{DIRTY_PAGE, WASM64_DIRTY_PAGE_FACTOR};
pub(crate) use calls::{OutgoingCall, TableCall};
pub(crate) use fault::Fault;
pub(crate) use link::{link32, link64};
pub(crate) use message::{Answer, Facts, Message, SubnetFacts};
pub(crate) use modes::Mode;

use crate::limits;

/// What wasmtime keeps beside an instance.
#[derive(Debug, Default)]
pub(crate) struct Host {
    /// The instance's memory, once there is one.
    pub(crate) memory: Option<Memory>,
    /// The message that is being executed.
    pub(crate) message: Message,
    /// How large the heap may become, in bytes.
    pub(crate) heap_max: u64,
    /// A lower limit that the canister set itself; passing it is a trap.
    pub(crate) heap_own_max: Option<u64>,
}

impl ResourceLimiter for Host {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let (current, wanted) = (current as u64, desired as u64);
        if wanted > self.heap_max {
            return Ok(false);
        }
        if let Some(max) = self.heap_own_max
            && wanted > max
        {
            return Err(Fault::HeapLimit { max, wanted }.into());
        }
        self.message.hold_more(wanted - current)?;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= limits::TABLE_ELEMENTS_MAX)
    }
}
