//! Installing and removing code.

use std::{collections::BTreeMap, sync::Arc};

use candid::{CandidType, Principal};
use ic_management_canister_types::{
    CanisterInstallMode, ChangeDetails, ChangeOrigin, ChunkHash, CodeDeploymentMode,
    CodeDeploymentRecord, InstallChunkedCodeArgs, UninstallCodeArgs, WasmMemoryPersistence,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Call, Outcome, chunks, done, existing, history, not_a_controller};
use crate::{
    canister::{CanisterId, ModuleBytes, Origin},
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
    sender_canister_version: Option<u64>,
}

pub(super) fn install(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let InstallCode {
        mode,
        canister_id,
        wasm_module,
        arg,
        sender_canister_version,
    } = call.decode()?;
    let origin = history::origin(network, call, sender_canister_version)?;
    let order = Installation {
        canister: canister_id,
        mode: install_mode(mode),
        module: &wasm_module,
        arg,
        caller: call.caller,
    };
    carry_out(network, order, origin)?;
    let canister = existing(network, &canister_id)?;
    canister.module = ModuleBytes(Arc::new(wasm_module));
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
        sender_canister_version,
    } = call.decode()?;
    let origin = history::origin(network, call, sender_canister_version)?;
    let store = store_canister.unwrap_or(target_canister);
    let canister = existing(network, &store)?;
    if store != call.caller && !canister.is_controlled_by(&call.caller) {
        return Err(not_a_controller(canister, &call.caller));
    }
    let module = assemble(&canister.chunks, &chunk_hashes_list)?;
    let found: [u8; 32] = Sha256::digest(&module).into();
    if found.as_slice() != wasm_module_hash {
        return Err(chunks::refused(format!(
            "Wasm module hash {} does not match given hash {}",
            hex::encode(found),
            hex::encode(&wasm_module_hash[..wasm_module_hash.len().min(32)])
        )));
    }
    let order = Installation {
        canister: target_canister,
        mode: install_mode(mode),
        module: &module,
        arg,
        caller: call.caller,
    };
    carry_out(network, order, origin)?;
    let canister = existing(network, &target_canister)?;
    canister.module = ModuleBytes(Arc::new(module));
    done()
}

/// Puts the chunks of a module together.
fn assemble(chunks: &BTreeMap<[u8; 32], Vec<u8>>, hashes: &[ChunkHash]) -> Result<Vec<u8>, Reject> {
    let mut module = Vec::new();
    for hash in hashes {
        let hash = <[u8; 32]>::try_from(hash.hash.as_slice())
            .map_err(|_| chunks::refused("Chunk hash is invalid. The length is not 32".into()))?;
        let chunk = chunks.get(&hash).ok_or_else(|| {
            chunks::refused(format!("Chunk hash {} was not found", hex::encode(hash)))
        })?;
        if module.len() + chunk.len() > limits::MODULE_BYTES_MAX {
            return Err(chunks::refused(format!(
                "the chunks make more than {} bytes",
                limits::MODULE_BYTES_MAX
            )));
        }
        module.extend_from_slice(chunk);
    }
    Ok(module)
}

/// Installs, and writes it down.
fn carry_out(
    network: &mut Network,
    order: Installation<'_>,
    origin: ChangeOrigin,
) -> Result<(), Reject> {
    let (id, module) = (order.canister, order.module);
    let mode = match order.mode {
        InstallMode::Install => CodeDeploymentMode::Install,
        InstallMode::Reinstall => CodeDeploymentMode::Reinstall,
        InstallMode::Upgrade { .. } => CodeDeploymentMode::Upgrade,
    };
    let next_line = existing(network, &id)?.log.next_index();
    network.install(order)?;
    let now = network.time;
    let canister = existing(network, &id)?;
    if mode == CodeDeploymentMode::Reinstall {
        canister.log.forget_before(next_line);
    }
    let details = ChangeDetails::CodeDeployment(CodeDeploymentRecord {
        mode,
        module_hash: Sha256::digest(module).to_vec(),
    });
    history::record(canister, origin, now, details);
    Ok(())
}

pub(super) fn uninstall(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let UninstallCodeArgs {
        canister_id: id,
        sender_canister_version,
    } = call.decode()?;
    let origin = history::origin(network, call, sender_canister_version)?;
    recorded_uninstall(network, &id, origin)?;
    done()
}

/// Removes code and state, and writes down on whose order.
pub(super) fn recorded_uninstall(
    network: &mut Network,
    id: &CanisterId,
    origin: ChangeOrigin,
) -> Result<(), Reject> {
    uninstall_code(network, id)?;
    let now = network.time;
    let canister = existing(network, id)?;
    history::record(canister, origin, now, ChangeDetails::CodeUninstall);
    Ok(())
}

/// Ends what a canister can no longer pay for: code, state, snapshots and the history that it holds.
pub(crate) fn run_dry(network: &mut Network, id: &CanisterId) -> Result<(), Reject> {
    uninstall_code(network, id)?;
    let canister = existing(network, id)?;
    canister.snapshots.clear();
    canister.changes.forget();
    Ok(())
}

/// Removes code and state; whoever waits for the code is told so. Snapshots stay.
pub(crate) fn uninstall_code(network: &mut Network, id: &CanisterId) -> Result<(), Reject> {
    let canister = existing(network, id)?;
    canister.code = None;
    canister.module = ModuleBytes::default();
    canister.stable = Stable::default();
    canister.chunks.clear();
    canister.certified_data = Vec::new();
    canister.timer = None;
    canister.log.forget_before(u64::MAX);
    canister.version += 1;
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
