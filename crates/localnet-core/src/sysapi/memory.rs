//! Between canister memory and the host: bounds checks and charges.

use wasmtime::{Caller, Result, WasmTy};

use super::{Fault, Host, api::Api};
use crate::wasm::FUNCTION_ENTRY;

/// A pointer or size of canister code; 32 bits wide, or 64 where the memory is.
pub(crate) trait Pointer: WasmTy + Copy + 'static {
    /// Always fits.
    fn wide(self) -> u64;
    /// Sizes of things that fit into a memory always fit.
    fn narrow(size: u64) -> Self;
}

impl Pointer for u32 {
    fn wide(self) -> u64 {
        self.into()
    }

    fn narrow(size: u64) -> Self {
        Self::try_from(size).unwrap_or(Self::MAX)
    }
}

impl Pointer for u64 {
    fn wide(self) -> u64 {
        self
    }

    fn narrow(size: u64) -> Self {
        size
    }
}

/// What every function of the System API does first: charge, then check the mode.
pub(super) fn enter(caller: &mut Caller<'_, Host>, api: &Api, bytes: u64) -> Result<()> {
    // The engine charges one unit less for a call, because it takes one when a function of the module is entered;
    // functions of the host are not, so it is taken here.
    charge(
        caller,
        api.cost
            .saturating_add(bytes)
            .saturating_add(FUNCTION_ENTRY),
    )?;
    caller.data().message.allow(api)?;
    Ok(())
}

/// Takes instructions from what is left.
pub(super) fn charge(caller: &mut Caller<'_, Host>, instructions: u64) -> Result<()> {
    let left = caller.get_fuel()?;
    if left < instructions {
        caller.set_fuel(0)?;
        let limit = caller.data().message.limit;
        return Err(Fault::Instructions { limit }.into());
    }
    caller.set_fuel(left - instructions)
}

/// Copies bytes out of canister memory.
pub(super) fn read(caller: &Caller<'_, Host>, api: &Api, src: u64, size: u64) -> Result<Vec<u8>> {
    if size == 0 && caller.data().memory.is_none() {
        return Ok(Vec::new());
    }
    let memory = caller.data().memory.ok_or_else(no_memory)?;
    let range = range(api, src, size, memory.data_size(caller))?;
    Ok(memory.data(caller)[range].to_vec())
}

/// Copies bytes into canister memory.
pub(super) fn write(
    caller: &mut Caller<'_, Host>,
    api: &Api,
    dst: u64,
    bytes: &[u8],
) -> Result<()> {
    if bytes.is_empty() && caller.data().memory.is_none() {
        return Ok(());
    }
    let memory = caller.data().memory.ok_or_else(no_memory)?;
    let range = range(api, dst, bytes.len() as u64, memory.data_size(&*caller))?;
    memory.data_mut(caller)[range].copy_from_slice(bytes);
    Ok(())
}

/// Copies a part of something that the host holds into canister memory.
pub(super) fn copy<'a>(
    caller: &'a mut Caller<'_, Host>,
    api: &Api,
    (dst, offset, size): (u64, u64, u64),
    source: impl FnOnce(&'a Host) -> std::result::Result<&'a [u8], Fault>,
) -> Result<()> {
    let Some(memory) = caller.data().memory else {
        return if size == 0 {
            Ok(())
        } else {
            Err(no_memory().into())
        };
    };
    let (bytes, host) = memory.data_and_store_mut(caller);
    let source = source(host)?;
    let to = range(api, dst, size, bytes.len())?;
    let from = range(api, offset, size, source.len())?;
    bytes[to].copy_from_slice(&source[from]);
    Ok(())
}

/// The bytes `at..at + size` of something `len` long.
pub(super) fn range(
    api: &Api,
    at: u64,
    size: u64,
    len: usize,
) -> std::result::Result<std::ops::Range<usize>, Fault> {
    match at.checked_add(size) {
        Some(end) if end <= len as u64 => Ok(at as usize..end as usize),
        _ => Err(Fault::Contract(format!(
            "ic0_{}: src={at} + length={size} exceeds the slice size={len}",
            api.name
        ))),
    }
}

fn no_memory() -> Fault {
    Fault::Contract("WebAssembly module must define memory".into())
}
