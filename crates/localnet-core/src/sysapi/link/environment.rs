//! Time, counters, variables, prices and printing.

use wasmtime::{Linker, Result};

use super::{Ic, put};
use crate::{
    cycles::Prices,
    help, limits,
    sysapi::{
        Facts, Fault, Host,
        api::{self, Api},
        cost,
        memory::{self, Pointer, charge, enter},
    },
};

pub(super) fn environment<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
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
                _ => Err(Fault::Misuse {
                    text: format!("Error getting performance counter type {kind}"),
                    help: &help::NONE,
                }
                .into()),
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
            Ok(ic.data().message.variable(&name).is_some().into())
        },
    )?;
    linker.func_wrap(
        "ic0",
        "env_var_value_size",
        |mut ic: Ic<'_>, src: P, size: P| -> Result<P> {
            let api = &api::ENV_VAR_VALUE_SIZE;
            let name = variable_name(&mut ic, api, src, size)?;
            match ic.data().message.variable(&name) {
                Some(value) => Ok(P::narrow(value.len() as u64)),
                None => Err(Fault::Variable { name }.into()),
            }
        },
    )?;
    linker.func_wrap(
        "ic0",
        "env_var_value_copy",
        |mut ic: Ic<'_>, src: P, len: P, dst: P, offset: P, size: P| -> Result<()> {
            let api = &api::ENV_VAR_VALUE_COPY;
            charge(&mut ic, size.wide())?;
            let name = variable_name(&mut ic, api, src, len)?;
            memory::copy(
                &mut ic,
                api,
                (dst.wide(), offset.wide(), size.wide()),
                |host| {
                    host.message
                        .variable(&name)
                        .map(str::as_bytes)
                        .ok_or(Fault::Variable { name })
                },
            )
        },
    )?;
    Ok(())
}

/// Reads a variable's name; its bytes are free of charge.
fn variable_name<P: Pointer>(ic: &mut Ic<'_>, api: &Api, src: P, size: P) -> Result<String> {
    enter(ic, api, 0)?;
    if size.wide() > limits::ENVIRONMENT_VARIABLE_BYTES_MAX as u64 {
        let text = format!("ic0.{}: Variable name is too large.", api.name);
        let help = &help::NONE;
        return Err(Fault::Misuse { text, help }.into());
    }
    let name = memory::read(ic, api, src.wide(), size.wide())?;
    Ok(String::from_utf8(name).map_err(|_| Fault::Misuse {
        text: format!(
            "ic0.{}: Variable name is not a valid UTF-8 string.",
            api.name
        ),
        help: &help::VARIABLE_NAME_NO_TEXT,
    })?)
}

pub(super) fn costs<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "ic0",
        "cost_call",
        |mut ic: Ic<'_>, name: u64, payload: u64, dst: P| -> Result<()> {
            let api = &api::COST_CALL;
            enter(&mut ic, api, 0)?;
            let Facts { subnet, wide, .. } = ic.data().message.facts();
            let cost = subnet.call_with_prepaid(name.saturating_add(payload), *wide);
            put(&mut ic, api, dst, cost)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "cost_create_canister",
        |mut ic: Ic<'_>, dst: P| -> Result<()> {
            let api = &api::COST_CREATE_CANISTER;
            enter(&mut ic, api, 0)?;
            let cost = prices(&ic).create_canister();
            put(&mut ic, api, dst, cost)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "cost_http_request",
        |mut ic: Ic<'_>, request: u64, max: u64, dst: P| -> Result<()> {
            let api = &api::COST_HTTP_REQUEST;
            enter(&mut ic, api, 0)?;
            let cost = prices(&ic).http_request(request, max);
            put(&mut ic, api, dst, cost)
        },
    )?;
    linker.func_wrap(
        "ic0",
        "cost_http_request_v2",
        |mut ic: Ic<'_>, src: P, size: P, dst: P| -> Result<()> {
            let api = &api::COST_HTTP_REQUEST_V2;
            enter(&mut ic, api, 0)?;
            let params = memory::read(&ic, api, src.wide(), size.wide())?;
            let price = cost::http_request_v2(ic.data().message.facts().subnet.prices, &params)?;
            put(&mut ic, api, dst, price)
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
                match cost::signature(prices(&ic), &key, curve, curves)? {
                    Ok(price) => put(&mut ic, &api, dst, price).map(|()| 0),
                    Err(code) => Ok(code),
                }
            },
        )?;
    }
    Ok(())
}

fn prices(ic: &Ic<'_>) -> Prices {
    ic.data().message.facts().subnet.prices
}

pub(super) fn debug<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
    linker.func_wrap(
        "ic0",
        "debug_print",
        |mut ic: Ic<'_>, src: P, size: P| -> Result<()> {
            let api = &api::DEBUG_PRINT;
            let cost = ic.data().message.print_cost(size.wide());
            enter(&mut ic, api, cost)?;
            // Printing never ends a message, wherever its text may lie.
            let size = size.wide();
            let text = memory::read(&ic, api, src.wide(), size.min(limits::LOG_BYTES_MAX as u64))
                .unwrap_or_else(|_| b"(debug_print message out of memory bounds)".to_vec());
            ic.data_mut().message.print(text);
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
                size.wide().min(limits::TRAP_BYTES_MAX as u64),
            ) {
                Ok(text) => String::from_utf8_lossy(&text).into_owned(),
                Err(_) => "(trap message out of memory bounds)".into(),
            };
            Err(Fault::CalledTrap(text).into())
        },
    )?;
    Ok(())
}
