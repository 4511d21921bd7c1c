//! The System API as Wasm imports.
//!
//! Each function charges, checks its mode, moves bytes, and leaves the meaning to [`super::Message`].

mod calls;
mod environment;
mod legacy;
mod messages;
mod stable;

use wasmtime::{Caller, Linker, Result};

use super::{
    Fault, Host, Message,
    api::Api,
    memory::{self, Pointer, enter},
};

type Ic<'a> = Caller<'a, Host>;

/// Adds every function that modules with a 32-bit memory, or with none, may import.
pub(crate) fn link32(linker: &mut Linker<Host>) -> Result<()> {
    link::<u32>(linker)?;
    legacy::legacy(linker)
}

/// Adds every function that modules with a 64-bit memory may import.
pub(crate) fn link64(linker: &mut Linker<Host>) -> Result<()> {
    link::<u64>(linker)
}

/// Adds the functions that all modules may import, with pointers that are `P`.
fn link<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
    messages::message::<P>(linker)?;
    messages::identity::<P>(linker)?;
    calls::calls::<P>(linker)?;
    calls::cycles_functions::<P>(linker)?;
    stable::stable::<P>(linker)?;
    stable::certified::<P>(linker)?;
    environment::environment::<P>(linker)?;
    environment::costs::<P>(linker)?;
    environment::debug::<P>(linker)
}

/// Adds `…_size` and `…_copy` for bytes that the host holds.
fn blob<P: Pointer>(
    linker: &mut Linker<Host>,
    size: Api,
    copy: Api,
    source: fn(&Message) -> std::result::Result<&[u8], Fault>,
) -> Result<()> {
    linker.func_wrap("ic0", size.name, move |mut ic: Ic<'_>| -> Result<P> {
        enter(&mut ic, &size, 0)?;
        Ok(P::narrow(source(&ic.data().message)?.len() as u64))
    })?;
    linker.func_wrap(
        "ic0",
        copy.name,
        move |mut ic: Ic<'_>, dst: P, offset: P, len: P| -> Result<()> {
            enter(&mut ic, &copy, len.wide())?;
            memory::copy(
                &mut ic,
                &copy,
                (dst.wide(), offset.wide(), len.wide()),
                |host| source(&host.message),
            )
        },
    )?;
    Ok(())
}

/// Writes 128 bits, little-endian.
fn put<P: Pointer>(ic: &mut Ic<'_>, api: &Api, dst: P, value: u128) -> Result<()> {
    memory::write(ic, api, dst.wide(), &value.to_le_bytes())
}

/// 128 bits from their halves.
fn wide(high: u64, low: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}
