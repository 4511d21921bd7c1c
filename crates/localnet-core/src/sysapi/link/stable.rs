//! Stable memory and certified data.

use wasmtime::{Linker, Result};

use super::{Ic, blob};
use crate::{
    limits,
    mem::StableError,
    sysapi::{
        Fault, Host, Message,
        api::{self, Api},
        memory::{self, Pointer, charge, enter},
    },
};

/// Writes to stable memory, charging for pages that become dirty.
pub(super) fn stable_write(
    ic: &mut Ic<'_>,
    api: &Api,
    offset: u64,
    src: u64,
    size: u64,
) -> Result<()> {
    enter(ic, api, size)?;
    // Nothing is written nowhere, however far out.
    if size == 0 {
        return Ok(());
    }
    let fresh = ic.data().message.stable.fresh_pages(offset, size);
    let fresh = fresh.map_err(stable_fault)?;
    charge(ic, fresh * api::DIRTY_PAGE)?;
    let Some(heap) = ic.data().memory else {
        memory::read(ic, api, src, size)?;
        return Ok(());
    };
    let (heap, host) = heap.data_and_store_mut(ic);
    let from = memory::range(src, size, heap.len()).ok_or(OUTSIDE)?;
    host.message
        .stable
        .write(offset, &heap[from])
        .map_err(stable_fault)?;
    Ok(())
}

pub(super) fn stable_read(
    ic: &mut Ic<'_>,
    api: &Api,
    dst: u64,
    offset: u64,
    size: u64,
) -> Result<()> {
    enter(ic, api, size)?;
    if size == 0 {
        return Ok(());
    }
    let Some(heap) = ic.data().memory else {
        return memory::read(ic, api, dst, size).map(|_| ());
    };
    let (heap, host) = heap.data_and_store_mut(ic);
    let to = memory::range(dst, size, heap.len()).ok_or(OUTSIDE)?;
    host.message
        .stable
        .read(offset, &mut heap[to])
        .map_err(stable_fault)?;
    Ok(())
}

/// Copies between the memories fail like the machine's own.
const OUTSIDE: Fault = Fault::Trapped("heap out of bounds");

fn stable_fault(error: StableError) -> Fault {
    match error {
        StableError::OutOfBounds => Fault::Trapped("stable memory out of bounds"),
        StableError::TooManyWritten | StableError::TooManyRead => Fault::MemoryAccess(error),
    }
}

pub(super) fn stable<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap("ic0", "stable64_size", |mut ic: Ic<'_>| -> Result<u64> {
        enter(&mut ic, &api::STABLE64_SIZE, 0)?;
        Ok(ic.data().message.stable.wasm_pages())
    })?;
    linker.func_wrap(
        "ic0",
        "stable64_grow",
        |mut ic: Ic<'_>, pages: u64| -> Result<u64> {
            enter(&mut ic, &api::STABLE64_GROW, 0)?;
            let message = &mut ic.data_mut().message;
            let before = message.grow_stable(pages, limits::STABLE_PAGES_MAX)?;
            Ok(before.unwrap_or(u64::MAX))
        },
    )?;
    linker.func_wrap(
        "ic0",
        "stable64_write",
        |mut ic: Ic<'_>, offset: u64, src: u64, size: u64| -> Result<()> {
            stable_write(&mut ic, &api::STABLE64_WRITE, offset, src, size)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "stable64_read",
        |mut ic: Ic<'_>, dst: u64, offset: u64, size: u64| -> Result<()> {
            stable_read(&mut ic, &api::STABLE64_READ, dst, offset, size)
        },
    )?;
    Ok(())
}

pub(super) fn certified<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
    blob::<P>(
        linker,
        api::DATA_CERTIFICATE_SIZE,
        api::DATA_CERTIFICATE_COPY,
        Message::certificate,
    )?;
    linker.func_wrap(
        "ic0",
        "data_certificate_present",
        |mut ic: Ic<'_>| -> Result<u32> {
            enter(&mut ic, &api::DATA_CERTIFICATE_PRESENT, 0)?;
            Ok(ic.data().message.certificate.is_some().into())
        },
    )?;
    linker.func_wrap(
        "ic0",
        "certified_data_set",
        |mut ic: Ic<'_>, src: P, size: P| -> Result<()> {
            let api = &api::CERTIFIED_DATA_SET;
            enter(&mut ic, api, size.wide())?;
            let data = memory::read(&ic, api, src.wide(), size.wide())?;
            Ok(ic.data_mut().message.certify(data)?)
        },
    )?;
    Ok(())
}
