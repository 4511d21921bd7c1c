//! Installing and removing code.

use candid::{CandidType, Principal};
use ic_management_canister_types::{
    CanisterInstallMode, InstallChunkedCodeArgs, UninstallCodeArgs, WasmMemoryPersistence,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Call, Method, Outcome, controlled, decode, done, existing};
use crate::{
    canister::{CanisterId, Origin},
    exec::{InstallMode, Installation},
    limits,
    mem::Stable,
    network::Network,
    types::{ErrorCode, Reject},
};

/// As the published type, but the module is read in one piece.
#[derive(CandidType, Deserialize)]
struct InstallCode {
    mode: CanisterInstallMode,
    canister_id: Principal,
    #[serde(with = "serde_bytes")]
    wasm_module: Vec<u8>,
    #[serde(with = "serde_bytes")]
    arg: Vec<u8>,
}

pub(super) fn install(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let InstallCode {
        mode,
        canister_id,
        wasm_module,
        arg,
    } = decode(call.method, &call.arg)?;
    let order = Installation {
        canister: canister_id,
        mode: install_mode(mode),
        module: &wasm_module,
        arg,
        caller: call.caller,
    };
    network.install(order)?;
    done()
}

pub(super) fn install_chunked(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let InstallChunkedCodeArgs {
        mode,
        target_canister,
        store_canister,
        chunk_hashes_list,
        wasm_module_hash,
        arg,
        sender_canister_version: _,
    } = decode(call.method, &call.arg)?;
    let store = store_canister.unwrap_or(target_canister);
    let canister = if store == call.caller {
        existing(network, &store)?
    } else {
        controlled(network, &store, &call.caller, Method::InstallChunkedCode)?
    };
    let mut module = Vec::new();
    for hash in &chunk_hashes_list {
        let chunk = <[u8; 32]>::try_from(hash.hash.as_slice())
            .ok()
            .and_then(|hash| canister.chunks.get(&hash))
            .ok_or_else(|| {
                invalid(format!(
                    "chunk {} is not in the chunk store of canister {store}",
                    hex::encode(&hash.hash)
                ))
            })?;
        if module.len() + chunk.len() > limits::MODULE_BYTES_MAX {
            return Err(invalid(format!(
                "the chunks make more than {} bytes",
                limits::MODULE_BYTES_MAX
            )));
        }
        module.extend_from_slice(chunk);
    }
    let found: [u8; 32] = Sha256::digest(&module).into();
    if found.as_slice() != wasm_module_hash {
        return Err(invalid(format!(
            "the chunks make a module with hash {}, not {}",
            hex::encode(found),
            hex::encode(&wasm_module_hash)
        )));
    }
    let order = Installation {
        canister: target_canister,
        mode: install_mode(mode),
        module: &module,
        arg,
        caller: call.caller,
    };
    network.install(order)?;
    done()
}

pub(super) fn uninstall(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let UninstallCodeArgs {
        canister_id: id,
        sender_canister_version: _,
    } = decode(call.method, &call.arg)?;
    uninstall_code(network, &id)?;
    done()
}

/// Removes code and state; whoever waits for the code is told so.
pub(crate) fn uninstall_code(network: &mut Network, id: &CanisterId) -> Result<(), Reject> {
    let canister = existing(network, id)?;
    canister.code = None;
    canister.stable = Stable::default();
    canister.certified_data = Vec::new();
    canister.timer = None;
    canister.version += 1;
    canister.changes += 1;
    let mut waiting: Vec<(Origin, u128)> = Vec::new();
    for context in canister.contexts.values_mut() {
        context.deleted = true;
        if !std::mem::replace(&mut context.answered, true) {
            waiting.push((
                context.origin.clone(),
                std::mem::take(&mut context.available),
            ));
        }
    }
    network.executor.forget(id);
    for (origin, cycles) in waiting {
        let reject = Reject::of(
            ErrorCode::CanisterRejectedMessage,
            format!("Canister {id} has been uninstalled."),
        );
        network.respond(origin, Err(reject), cycles);
    }
    Ok(())
}

fn install_mode(mode: CanisterInstallMode) -> InstallMode {
    match mode {
        CanisterInstallMode::Install => InstallMode::Install,
        CanisterInstallMode::Reinstall => InstallMode::Reinstall,
        CanisterInstallMode::Upgrade(flags) => InstallMode::Upgrade {
            skip_pre_upgrade: flags
                .and_then(|flags| flags.skip_pre_upgrade)
                .unwrap_or(false),
            keep_heap: flags
                .and_then(|flags| flags.wasm_memory_persistence)
                .map(|persistence| persistence == WasmMemoryPersistence::Keep),
        },
    }
}

fn invalid(reason: String) -> Reject {
    Reject::of(ErrorCode::InvalidManagementPayload, reason)
}
