//! Functions that only modules with a 32-bit memory have.

use wasmtime::{Linker, Result};

use super::{
    Ic,
    stable::{stable_read, stable_write},
};
use crate::{
    limits,
    sysapi::{
        Fault, Host, api,
        memory::{Pointer, enter},
    },
};

/// Functions that only modules with a 32-bit memory have.
pub(super) fn legacy(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "ic0",
        "msg_cycles_available",
        |mut ic: Ic<'_>| -> Result<u64> {
            enter(&mut ic, &api::MSG_CYCLES_AVAILABLE, 0)?;
            narrow(ic.data().message.available)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "msg_cycles_refunded",
        |mut ic: Ic<'_>| -> Result<u64> {
            enter(&mut ic, &api::MSG_CYCLES_REFUNDED, 0)?;
            narrow(ic.data().message.refunded)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "msg_cycles_accept",
        |mut ic: Ic<'_>, max: u64| -> Result<u64> {
            enter(&mut ic, &api::MSG_CYCLES_ACCEPT, 0)?;
            let taken = ic.data_mut().message.accept_cycles(max.into());
            narrow(taken)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "canister_cycle_balance",
        |mut ic: Ic<'_>| -> Result<u64> {
            enter(&mut ic, &api::CANISTER_CYCLE_BALANCE, 0)?;
            narrow(ic.data().message.balance)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "call_cycles_add",
        |mut ic: Ic<'_>, amount: u64| -> Result<()> {
            enter(&mut ic, &api::CALL_CYCLES_ADD, 0)?;
            let message = &mut ic.data_mut().message;
            Ok(message.add_call_cycles("ic0_call_cycles_add", amount.into())?)
        },
    )?;
    linker.func_wrap("ic0", "stable_size", |mut ic: Ic<'_>| -> Result<u32> {
        enter(&mut ic, &api::STABLE_SIZE, 0)?;
        small_stable(&ic)
    })?;
    linker.func_wrap(
        "ic0",
        "stable_grow",
        |mut ic: Ic<'_>, pages: u32| -> Result<u32> {
            enter(&mut ic, &api::STABLE_GROW, 0)?;
            small_stable(&ic)?;
            let message = &mut ic.data_mut().message;
            let before = message.grow_stable(pages.into(), limits::STABLE_PAGES_MAX_32)?;
            Ok(before.map_or(u32::MAX, u32::narrow))
        },
    )?;
    linker.func_wrap(
        "ic0",
        "stable_write",
        |mut ic: Ic<'_>, offset: u32, src: u32, size: u32| -> Result<()> {
            if size > 0 {
                small_stable(&ic)?;
            }
            stable_write(
                &mut ic,
                &api::STABLE_WRITE,
                offset.into(),
                src.into(),
                size.into(),
            )
        },
    )?;
    linker.func_wrap(
        "ic0",
        "stable_read",
        |mut ic: Ic<'_>, dst: u32, offset: u32, size: u32| -> Result<()> {
            if size > 0 {
                small_stable(&ic)?;
            }
            stable_read(
                &mut ic,
                &api::STABLE_READ,
                dst.into(),
                offset.into(),
                size.into(),
            )
        },
    )?;
    Ok(())
}

/// The size of a stable memory that 32-bit functions can address.
fn small_stable(ic: &Ic<'_>) -> Result<u32> {
    let pages = ic.data().message.stable.wasm_pages();
    if pages > limits::STABLE_PAGES_MAX_32 {
        return Err(
            Fault::Trapped("32 bit stable memory api used on a memory larger than 4GB").into(),
        );
    }
    Ok(pages as u32)
}

/// A value that must fit into the 64 bits of an old function.
fn narrow(value: u128) -> Result<u64> {
    Ok(u64::try_from(value)
        .map_err(|_| Fault::Trapped("cycles amount exceeds 64-bit representation"))?)
}
