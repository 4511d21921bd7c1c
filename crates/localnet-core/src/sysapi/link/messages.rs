//! Arguments, answers and who is talking.

use wasmtime::{Linker, Result};

use super::{Ic, blob};
use crate::sysapi::{
    Fault, Host, api,
    memory::{self, Pointer, enter},
};

pub(super) fn message<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
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
    blob::<P>(
        linker,
        api::MSG_CALLER_INFO_DATA_SIZE,
        api::MSG_CALLER_INFO_DATA_COPY,
        |message| {
            let info = message.caller_info.as_deref();
            Ok(info.map_or(&[][..], |info| &info.data))
        },
    )?;
    blob::<P>(
        linker,
        api::MSG_CALLER_INFO_SIGNER_SIZE,
        api::MSG_CALLER_INFO_SIGNER_COPY,
        |message| {
            let info = message.caller_info.as_deref();
            Ok(info.map_or(&[][..], |info| info.signer.as_slice()))
        },
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

pub(super) fn identity<P: Pointer>(linker: &mut Linker<Host>) -> Result<()> {
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
            Ok(ic.data().message.facts().subnet.prices.nodes())
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
            let principal =
                candid::Principal::try_from(bytes.as_slice()).map_err(|_| Fault::Principal)?;
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
