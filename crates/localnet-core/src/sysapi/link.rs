//! The System API as Wasm imports.
//!
//! Each function charges, checks its mode, moves bytes, and leaves the meaning to [`super::Message`].

use wasmtime::{Caller, Linker, Result};

use super::{
    Fault, Host, Message, TableCall,
    api::{self, Api},
    cost, memory,
    memory::{Pointer, charge, enter},
};
use crate::{cycles, limits, mem::StableError};

type Ic<'a> = Caller<'a, Host>;

/// Adds every function to the linker, for memories whose pointers are `P`.
pub(crate) fn link<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
    message::<P>(linker)?;
    identity::<P>(linker)?;
    calls::<P>(linker)?;
    cycles_functions::<P>(linker)?;
    stable::<P>(linker)?;
    certified::<P>(linker)?;
    environment::<P>(linker)?;
    costs::<P>(linker)?;
    debug::<P>(linker)?;
    legacy(linker)
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

/// A value that must fit into the 64 bits of an old function.
fn narrow(api: &Api, value: u128) -> Result<u64> {
    Ok(u64::try_from(value).map_err(|_| {
        Fault::Contract(format!(
            "ic0_{}: {value} cycles do not fit into 64 bits; use {}128",
            api.name, api.name
        ))
    })?)
}

fn message<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
    blob::<P>(
        linker,
        api::MSG_ARG_DATA_SIZE,
        api::MSG_ARG_DATA_COPY,
        |message| Ok(&message.arg),
    )?;
    blob::<P>(
        linker,
        api::MSG_CALLER_SIZE,
        api::MSG_CALLER_COPY,
        |message| Ok(message.caller.as_slice()),
    )?;
    // Only canister signatures carry more about their signer, and such senders are not admitted yet.
    blob::<P>(
        linker,
        api::MSG_CALLER_INFO_DATA_SIZE,
        api::MSG_CALLER_INFO_DATA_COPY,
        |_| Ok(&[]),
    )?;
    blob::<P>(
        linker,
        api::MSG_CALLER_INFO_SIGNER_SIZE,
        api::MSG_CALLER_INFO_SIGNER_COPY,
        |_| Ok(&[]),
    )?;
    blob::<P>(
        linker,
        api::MSG_REJECT_MSG_SIZE,
        api::MSG_REJECT_MSG_COPY,
        |message| Ok(message.reject_message()),
    )?;
    blob::<P>(
        linker,
        api::MSG_METHOD_NAME_SIZE,
        api::MSG_METHOD_NAME_COPY,
        |message| Ok(message.method.as_bytes()),
    )?;
    linker.func_wrap("ic0", "msg_reject_code", |mut ic: Ic<'_>| -> Result<u32> {
        enter(&mut ic, &api::MSG_REJECT_CODE, 0)?;
        Ok(ic.data().message.reject_code())
    })?;
    linker.func_wrap("ic0", "msg_deadline", |mut ic: Ic<'_>| -> Result<u64> {
        enter(&mut ic, &api::MSG_DEADLINE, 0)?;
        Ok(ic.data().message.deadline.map_or(0, |time| time.0))
    })?;
    linker.func_wrap(
        "ic0",
        "msg_reply_data_append",
        |mut ic: Ic<'_>, src: P, size: P| -> Result<()> {
            let api = &api::MSG_REPLY_DATA_APPEND;
            enter(&mut ic, api, size.wide().saturating_mul(api::PAYLOAD_BYTE))?;
            let bytes = memory::read(&ic, api, src.wide(), size.wide())?;
            Ok(ic.data_mut().message.append_reply(&bytes)?)
        },
    )?;
    linker.func_wrap("ic0", "msg_reply", |mut ic: Ic<'_>| -> Result<()> {
        enter(&mut ic, &api::MSG_REPLY, 0)?;
        Ok(ic.data_mut().message.reply()?)
    })?;
    linker.func_wrap(
        "ic0",
        "msg_reject",
        |mut ic: Ic<'_>, src: P, size: P| -> Result<()> {
            let api = &api::MSG_REJECT;
            enter(&mut ic, api, size.wide().saturating_mul(api::PAYLOAD_BYTE))?;
            let text = memory::read(&ic, api, src.wide(), size.wide())?;
            Ok(ic.data_mut().message.reject(text)?)
        },
    )?;
    linker.func_wrap("ic0", "accept_message", |mut ic: Ic<'_>| -> Result<()> {
        enter(&mut ic, &api::ACCEPT_MESSAGE, 0)?;
        let message = &mut ic.data_mut().message;
        if std::mem::replace(&mut message.accepted, true) {
            return Err(Fault::Contract(
                "ic0.accept_message: the function was already called.".into(),
            )
            .into());
        }
        Ok(())
    })?;
    Ok(())
}

fn identity<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
    blob::<P>(
        linker,
        api::CANISTER_SELF_SIZE,
        api::CANISTER_SELF_COPY,
        |message| Ok(message.facts().canister.as_slice()),
    )?;
    blob::<P>(
        linker,
        api::SUBNET_SELF_SIZE,
        api::SUBNET_SELF_COPY,
        |message| Ok(message.facts().subnet.id.as_slice()),
    )?;
    blob::<P>(linker, api::ROOT_KEY_SIZE, api::ROOT_KEY_COPY, |message| {
        Ok(&message.facts().subnet.root_key)
    })?;
    linker.func_wrap(
        "ic0",
        "subnet_self_node_count",
        |mut ic: Ic<'_>| -> Result<u32> {
            enter(&mut ic, &api::SUBNET_SELF_NODE_COUNT, 0)?;
            Ok(cycles::NODES)
        },
    )?;
    linker.func_wrap("ic0", "canister_status", |mut ic: Ic<'_>| -> Result<u32> {
        enter(&mut ic, &api::CANISTER_STATUS, 0)?;
        Ok(ic.data().message.facts().status)
    })?;
    linker.func_wrap("ic0", "canister_version", |mut ic: Ic<'_>| -> Result<u64> {
        enter(&mut ic, &api::CANISTER_VERSION, 0)?;
        Ok(ic.data().message.facts().version)
    })?;
    linker.func_wrap(
        "ic0",
        "is_controller",
        |mut ic: Ic<'_>, src: P, size: P| -> Result<u32> {
            let api = &api::IS_CONTROLLER;
            enter(&mut ic, api, size.wide())?;
            let bytes = memory::read(&ic, api, src.wide(), size.wide())?;
            let principal = candid::Principal::try_from(bytes.as_slice()).map_err(|error| {
                Fault::Contract(format!("ic0.is_controller: not a principal: {error}"))
            })?;
            Ok(ic
                .data()
                .message
                .facts()
                .settings
                .controllers
                .contains(&principal)
                .into())
        },
    )?;
    Ok(())
}

fn calls<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
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
            let callee = memory::read(&ic, api, callee.wide(), callee_len.wide())?;
            let name = memory::read(&ic, api, name.wide(), name_len.wide())?;
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
                .new_call(&callee, name, reply, reject)?)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "call_data_append",
        |mut ic: Ic<'_>, src: P, size: P| -> Result<()> {
            let api = &api::CALL_DATA_APPEND;
            enter(&mut ic, api, size.wide().saturating_mul(api::PAYLOAD_BYTE))?;
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
            Ok(ic.data_mut().message.add_call_cycles(wide(high, low))?)
        },
    )?;
    linker.func_wrap("ic0", "call_perform", |mut ic: Ic<'_>| -> Result<u32> {
        enter(&mut ic, &api::CALL_PERFORM, 0)?;
        Ok(ic.data_mut().message.perform_call()?)
    })?;
    Ok(())
}

fn cycles_functions<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
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

/// Writes to stable memory, charging for pages that become dirty.
fn stable_write(ic: &mut Ic<'_>, api: &Api, offset: u64, src: u64, size: u64) -> Result<()> {
    enter(ic, api, size)?;
    let fresh = ic.data().message.stable.fresh_pages(offset, size);
    charge(ic, fresh.saturating_mul(api::STABLE_DIRTY_PAGE))?;
    if size == 0 && ic.data().memory.is_none() {
        return Ok(());
    }
    let Some(heap) = ic.data().memory else {
        memory::read(ic, api, src, size)?;
        return Ok(());
    };
    let (heap, host) = heap.data_and_store_mut(ic);
    let from = memory::range(api, src, size, heap.len())?;
    host.message
        .stable
        .write(offset, &heap[from])
        .map_err(stable_fault)?;
    Ok(())
}

fn stable_read(ic: &mut Ic<'_>, api: &Api, dst: u64, offset: u64, size: u64) -> Result<()> {
    enter(ic, api, size)?;
    let Some(heap) = ic.data().memory else {
        return memory::read(ic, api, dst, size).map(|_| ());
    };
    let (heap, host) = heap.data_and_store_mut(ic);
    let to = memory::range(api, dst, size, heap.len())?;
    host.message
        .stable
        .read(offset, &mut heap[to])
        .map_err(stable_fault)?;
    Ok(())
}

fn stable_fault(error: StableError) -> Fault {
    match error {
        StableError::OutOfBounds => Fault::Trapped("stable memory out of bounds"),
        StableError::TooManyPages { .. } => Fault::MemoryAccess(error.to_string()),
    }
}

fn stable<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap("ic0", "stable64_size", |mut ic: Ic<'_>| -> Result<u64> {
        enter(&mut ic, &api::STABLE64_SIZE, 0)?;
        Ok(ic.data().message.stable.wasm_pages())
    })?;
    linker.func_wrap(
        "ic0",
        "stable64_grow",
        |mut ic: Ic<'_>, pages: u64| -> Result<u64> {
            enter(&mut ic, &api::STABLE64_GROW, 0)?;
            Ok(ic
                .data_mut()
                .message
                .stable
                .grow(pages, limits::STABLE_PAGES_MAX)
                .unwrap_or(u64::MAX))
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

fn certified<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
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

fn environment<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap("ic0", "time", |mut ic: Ic<'_>| -> Result<u64> {
        enter(&mut ic, &api::TIME, 0)?;
        Ok(ic.data().message.facts().time.0)
    })?;
    linker.func_wrap(
        "ic0",
        "global_timer_set",
        |mut ic: Ic<'_>, at: u64| -> Result<u64> {
            enter(&mut ic, &api::GLOBAL_TIMER_SET, 0)?;
            Ok(ic.data_mut().message.set_timer(at))
        },
    )?;
    linker.func_wrap(
        "ic0",
        "performance_counter",
        |mut ic: Ic<'_>, kind: u32| -> Result<u64> {
            enter(&mut ic, &api::PERFORMANCE_COUNTER, 0)?;
            let left = ic.get_fuel()?;
            let message = &ic.data().message;
            let used = message.limit.saturating_sub(left);
            match kind {
                0 => Ok(used),
                1 => Ok(message.used_before + used),
                _ => Err(
                    Fault::Contract(format!("Error getting performance counter type {kind}"))
                        .into(),
                ),
            }
        },
    )?;
    linker.func_wrap(
        "ic0",
        "in_replicated_execution",
        |mut ic: Ic<'_>| -> Result<u32> {
            enter(&mut ic, &api::IN_REPLICATED_EXECUTION, 0)?;
            Ok(ic.data().message.mode.replicated().into())
        },
    )?;
    linker.func_wrap("ic0", "env_var_count", |mut ic: Ic<'_>| -> Result<P> {
        enter(&mut ic, &api::ENV_VAR_COUNT, 0)?;
        Ok(P::narrow(
            ic.data().message.facts().settings.environment.len() as u64,
        ))
    })?;
    linker.func_wrap(
        "ic0",
        "env_var_name_size",
        |mut ic: Ic<'_>, index: P| -> Result<P> {
            enter(&mut ic, &api::ENV_VAR_NAME_SIZE, 0)?;
            Ok(P::narrow(
                ic.data().message.variable_name(index.wide())?.len() as u64,
            ))
        },
    )?;
    linker.func_wrap(
        "ic0",
        "env_var_name_copy",
        |mut ic: Ic<'_>, index: P, dst: P, offset: P, size: P| -> Result<()> {
            let api = &api::ENV_VAR_NAME_COPY;
            enter(&mut ic, api, size.wide())?;
            memory::copy(
                &mut ic,
                api,
                (dst.wide(), offset.wide(), size.wide()),
                |host| host.message.variable_name(index.wide()).map(str::as_bytes),
            )
        },
    )?;
    linker.func_wrap(
        "ic0",
        "env_var_name_exists",
        |mut ic: Ic<'_>, src: P, size: P| -> Result<u32> {
            let api = &api::ENV_VAR_NAME_EXISTS;
            let name = variable_name(&mut ic, api, src, size)?;
            Ok(ic.data().message.variable(&name)?.is_some().into())
        },
    )?;
    linker.func_wrap(
        "ic0",
        "env_var_value_size",
        |mut ic: Ic<'_>, src: P, size: P| -> Result<P> {
            let api = &api::ENV_VAR_VALUE_SIZE;
            let name = variable_name(&mut ic, api, src, size)?;
            let value = ic
                .data()
                .message
                .variable(&name)?
                .ok_or_else(|| no_variable(&name))?;
            Ok(P::narrow(value.len() as u64))
        },
    )?;
    linker.func_wrap(
        "ic0",
        "env_var_value_copy",
        |mut ic: Ic<'_>, src: P, len: P, dst: P, offset: P, size: P| -> Result<()> {
            let api = &api::ENV_VAR_VALUE_COPY;
            let name = variable_name(&mut ic, api, src, len)?;
            charge(&mut ic, size.wide())?;
            memory::copy(
                &mut ic,
                api,
                (dst.wide(), offset.wide(), size.wide()),
                |host| {
                    host.message
                        .variable(&name)?
                        .map(str::as_bytes)
                        .ok_or_else(|| no_variable(&name))
                },
            )
        },
    )?;
    Ok(())
}

fn variable_name<P: Pointer>(ic: &mut Ic<'_>, api: &Api, src: P, size: P) -> Result<Vec<u8>> {
    enter(ic, api, size.wide())?;
    if size.wide() > limits::ENVIRONMENT_VARIABLE_BYTES_MAX as u64 {
        return Err(Fault::Contract(format!(
            "ic0_{}: the name of an environment variable has at most {} bytes",
            api.name,
            limits::ENVIRONMENT_VARIABLE_BYTES_MAX
        ))
        .into());
    }
    memory::read(ic, api, src.wide(), size.wide())
}

fn no_variable(name: &[u8]) -> Fault {
    Fault::Contract(format!(
        "there is no environment variable {:?}",
        String::from_utf8_lossy(name)
    ))
}

fn costs<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "ic0",
        "cost_call",
        |mut ic: Ic<'_>, name: u64, payload: u64, dst: P| -> Result<()> {
            let api = &api::COST_CALL;
            enter(&mut ic, api, 0)?;
            put(
                &mut ic,
                api,
                dst,
                cycles::call_with_prepaid(name.saturating_add(payload)),
            )
        },
    )?;
    linker.func_wrap(
        "ic0",
        "cost_create_canister",
        |mut ic: Ic<'_>, dst: P| -> Result<()> {
            let api = &api::COST_CREATE_CANISTER;
            enter(&mut ic, api, 0)?;
            put(&mut ic, api, dst, cycles::CREATE_CANISTER)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "cost_http_request",
        |mut ic: Ic<'_>, request: u64, max: u64, dst: P| -> Result<()> {
            let api = &api::COST_HTTP_REQUEST;
            enter(&mut ic, api, 0)?;
            put(&mut ic, api, dst, cycles::http_request(request, max))
        },
    )?;
    for (api, curves) in [
        (api::COST_SIGN_WITH_ECDSA, 1),
        (api::COST_SIGN_WITH_SCHNORR, 2),
        (api::COST_VETKD_DERIVE_KEY, 1),
    ] {
        linker.func_wrap(
            "ic0",
            api.name,
            move |mut ic: Ic<'_>, src: P, size: P, curve: u32, dst: P| -> Result<u32> {
                enter(&mut ic, &api, size.wide())?;
                let key = memory::read(&ic, &api, src.wide(), size.wide())?;
                match cost::signature(&key, curve, curves)? {
                    Ok(price) => put(&mut ic, &api, dst, price).map(|()| 0),
                    Err(code) => Ok(code),
                }
            },
        )?;
    }
    Ok(())
}

fn debug<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "ic0",
        "debug_print",
        |mut ic: Ic<'_>, src: P, size: P| -> Result<()> {
            let api = &api::DEBUG_PRINT;
            let cost = ic.data().message.print_cost(size.wide());
            enter(&mut ic, api, cost)?;
            // A message out of bounds is printed as nothing: printing never changes what a canister does.
            if let Ok(text) = memory::read(
                &ic,
                api,
                src.wide(),
                size.wide().min(limits::LOG_BYTES_MAX as u64),
            ) {
                ic.data_mut().message.print(text);
            }
            Ok(())
        },
    )?;
    linker.func_wrap(
        "ic0",
        "trap",
        |mut ic: Ic<'_>, src: P, size: P| -> Result<()> {
            let api = &api::TRAP;
            let cost = ic.data().message.print_cost(size.wide());
            enter(&mut ic, api, cost.saturating_add(size.wide()))?;
            let text = match memory::read(
                &ic,
                api,
                src.wide(),
                size.wide().min(limits::REJECT_BYTES_MAX as u64),
            ) {
                Ok(text) => String::from_utf8_lossy(&text).into_owned(),
                Err(_) => "(trap message out of memory bounds)".into(),
            };
            ic.data_mut().message.print(text.clone().into_bytes());
            Err(Fault::CalledTrap(text).into())
        },
    )?;
    Ok(())
}

/// Functions that only modules with a 32-bit memory have.
fn legacy(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "ic0",
        "msg_cycles_available",
        |mut ic: Ic<'_>| -> Result<u64> {
            enter(&mut ic, &api::MSG_CYCLES_AVAILABLE, 0)?;
            narrow(&api::MSG_CYCLES_AVAILABLE, ic.data().message.available)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "msg_cycles_refunded",
        |mut ic: Ic<'_>| -> Result<u64> {
            enter(&mut ic, &api::MSG_CYCLES_REFUNDED, 0)?;
            narrow(&api::MSG_CYCLES_REFUNDED, ic.data().message.refunded)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "msg_cycles_accept",
        |mut ic: Ic<'_>, max: u64| -> Result<u64> {
            enter(&mut ic, &api::MSG_CYCLES_ACCEPT, 0)?;
            let taken = ic.data_mut().message.accept_cycles(max.into());
            narrow(&api::MSG_CYCLES_ACCEPT, taken)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "canister_cycle_balance",
        |mut ic: Ic<'_>| -> Result<u64> {
            enter(&mut ic, &api::CANISTER_CYCLE_BALANCE, 0)?;
            narrow(&api::CANISTER_CYCLE_BALANCE, ic.data().message.balance)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "call_cycles_add",
        |mut ic: Ic<'_>, amount: u64| -> Result<()> {
            enter(&mut ic, &api::CALL_CYCLES_ADD, 0)?;
            Ok(ic.data_mut().message.add_call_cycles(amount.into())?)
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
            let before = ic
                .data_mut()
                .message
                .stable
                .grow(pages.into(), limits::STABLE_PAGES_MAX_32);
            Ok(before.map_or(u32::MAX, u32::narrow))
        },
    )?;
    linker.func_wrap(
        "ic0",
        "stable_write",
        |mut ic: Ic<'_>, offset: u32, src: u32, size: u32| -> Result<()> {
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
        return Err(Fault::Contract(
            "32 bit stable memory api used on a memory larger than 4GB; use the stable64 functions"
                .into(),
        )
        .into());
    }
    Ok(pages as u32)
}
