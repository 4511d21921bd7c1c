//! Calls to other canisters, and cycles.

use wasmtime::{Linker, Result};

use super::{Ic, put, wide};
use crate::sysapi::{
    Host, Message, TableCall,
    api::{self, Api},
    calls::check_method_name,
    memory::{self, Pointer, enter},
};

pub(super) fn calls<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "ic0",
        "call_new",
        |mut ic: Ic<'_>,
         callee: P,
         callee_len: P,
         name: P,
         name_len: P,
         reply_fun: P,
         reply_env: P,
         reject_fun: P,
         reject_env: P|
         -> Result<()> {
            let api = &api::CALL_NEW;
            enter(
                &mut ic,
                api,
                callee_len.wide().saturating_add(name_len.wide()),
            )?;
            check_method_name(name_len.wide())?;
            let name = memory::read(&ic, api, name.wide(), name_len.wide())?;
            let callee = memory::read(&ic, api, callee.wide(), callee_len.wide())?;
            let reply = TableCall {
                index: reply_fun.wide(),
                env: reply_env.wide(),
            };
            let reject = TableCall {
                index: reject_fun.wide(),
                env: reject_env.wide(),
            };
            Ok(ic
                .data_mut()
                .message
                .new_call(&callee, &name, reply, reject)?)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "call_data_append",
        |mut ic: Ic<'_>, src: P, size: P| -> Result<()> {
            let api = &api::CALL_DATA_APPEND;
            enter(&mut ic, api, size.wide().saturating_mul(api::PAYLOAD_BYTE))?;
            ic.data_mut().message.check_call_room(size.wide())?;
            let bytes = memory::read(&ic, api, src.wide(), size.wide())?;
            Ok(ic.data_mut().message.append_call(&bytes)?)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "call_on_cleanup",
        |mut ic: Ic<'_>, fun: P, env: P| -> Result<()> {
            enter(&mut ic, &api::CALL_ON_CLEANUP, 0)?;
            Ok(ic.data_mut().message.set_cleanup(TableCall {
                index: fun.wide(),
                env: env.wide(),
            })?)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "call_with_best_effort_response",
        |mut ic: Ic<'_>, seconds: u32| -> Result<()> {
            enter(&mut ic, &api::CALL_WITH_BEST_EFFORT_RESPONSE, 0)?;
            Ok(ic.data_mut().message.set_timeout(seconds)?)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "call_cycles_add128",
        |mut ic: Ic<'_>, high: u64, low: u64| -> Result<()> {
            enter(&mut ic, &api::CALL_CYCLES_ADD128, 0)?;
            let message = &mut ic.data_mut().message;
            Ok(message.add_call_cycles("ic0_call_cycles_add128", wide(high, low))?)
        },
    )?;
    linker.func_wrap("ic0", "call_perform", |mut ic: Ic<'_>| -> Result<u32> {
        enter(&mut ic, &api::CALL_PERFORM, 0)?;
        Ok(ic.data_mut().message.perform_call()?)
    })?;
    Ok(())
}

pub(super) fn cycles_functions<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
    /// A function that writes one amount.
    fn amount<P: Pointer>(
        linker: &mut Linker<Host>,
        api: Api,
        of: fn(&Message) -> u128,
    ) -> Result<()> {
        linker.func_wrap(
            "ic0",
            api.name,
            move |mut ic: Ic<'_>, dst: P| -> Result<()> {
                enter(&mut ic, &api, 0)?;
                let value = of(&ic.data().message);
                put(&mut ic, &api, dst, value)
            },
        )?;
        Ok(())
    }
    /// A function that moves at most so much and writes how much it was.
    fn transfer<P: Pointer>(
        linker: &mut Linker<Host>,
        api: Api,
        run: fn(&mut Message, u128) -> u128,
    ) -> Result<()> {
        linker.func_wrap(
            "ic0",
            api.name,
            move |mut ic: Ic<'_>, high: u64, low: u64, dst: P| -> Result<()> {
                enter(&mut ic, &api, 0)?;
                let moved = run(&mut ic.data_mut().message, wide(high, low));
                put(&mut ic, &api, dst, moved)
            },
        )?;
        Ok(())
    }
    amount::<P>(linker, api::MSG_CYCLES_AVAILABLE128, |message| {
        message.available
    })?;
    amount::<P>(linker, api::MSG_CYCLES_REFUNDED128, |message| {
        message.refunded
    })?;
    amount::<P>(linker, api::CANISTER_CYCLE_BALANCE128, |message| {
        message.balance
    })?;
    amount::<P>(
        linker,
        api::CANISTER_LIQUID_CYCLE_BALANCE128,
        Message::liquid,
    )?;
    transfer::<P>(linker, api::MSG_CYCLES_ACCEPT128, Message::accept_cycles)?;
    transfer::<P>(linker, api::CYCLES_BURN128, Message::burn_cycles)
}
