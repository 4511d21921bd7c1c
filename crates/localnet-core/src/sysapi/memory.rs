//! Between canister memory and the host: bounds checks and charges.

use wasmtime::{Caller, Result, WasmTy};

use super::{Fault, Host, api::Api};

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
    charge(caller, api.cost.saturating_add(bytes))?;
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
    let len = memory.data_size(caller);
    let range = range(src, size, len).ok_or_else(|| {
        let what = match api.name {
            "msg_reply_data_append" => "msg.reply".into(),
            name => format!("ic0.{name}"),
        };
        outside(&what, src, size, len)
    })?;
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
    let (size, len) = (bytes.len() as u64, memory.data_size(&*caller));
    let range = range(dst, size, len).ok_or_else(|| {
        Fault::Contract(format!(
            "ic0_{} failed because dst + size is out of bounds.\
             Found dst = {dst} and size = {size} while must be <= {len}",
            api.name
        ))
    })?;
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
    let to = range(dst, size, bytes.len())
        .ok_or_else(|| outside(&format!("ic0.{} heap", api.name), dst, size, bytes.len()))?;
    let from = range(offset, size, source.len()).ok_or_else(|| {
        outside(
            &format!("ic0.{} payload", api.name),
            offset,
            size,
            source.len(),
        )
    })?;
    bytes[to].copy_from_slice(&source[from]);
    Ok(())
}

/// The bytes `at..at + size` of something `len` long, where it has them.
pub(super) fn range(at: u64, size: u64, len: usize) -> Option<std::ops::Range<usize>> {
    let end = at.checked_add(size).filter(|end| *end <= len as u64)?;
    Some(at as usize..end as usize)
}

fn outside(what: &str, at: u64, size: u64, len: usize) -> Fault {
    Fault::Contract(if at.checked_add(size).is_some() {
        format!("{what}: src={at} + length={size} exceeds the slice size={len}")
    } else {
        format!("{what}: src={at} + length={size} is an invalid address")
    })
}

fn no_memory() -> Fault {
    Fault::Contract("WebAssembly module must define memory".into())
}
