//! Reading what a canister is, and changing what its controllers decide.

use candid::Nat;
use ic_management_canister_types::{
    CanisterIdRecord, CanisterInfoArgs, CanisterInfoResult, CanisterStatusResult,
    CanisterStatusType, MemoryMetrics, QueryStats, UpdateSettingsArgs,
};

use super::{Call, Outcome, decode, done, existing, reply};
use crate::{
    canister::Canister,
    limits,
    network::{Network, RunState},
    types::{ErrorCode, Reject},
};

pub(super) fn update(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let UpdateSettingsArgs {
        canister_id,
        settings,
        sender_canister_version: _,
    } = decode(call.method, &call.arg)?;
    let canister = existing(network, &canister_id)?;
    let changed = canister
        .settings
        .with(settings)
        .map_err(|error| Reject::of(ErrorCode::InvalidManagementPayload, error.to_string()))?;
    let changes = u64::from(changed.controllers != canister.settings.controllers);
    network.change_settings(&canister_id, changed)?;
    let canister = existing(network, &canister_id)?;
    canister.changes += changes;
    canister.version += 1;
    if canister.watch_memory() {
        network.ready.insert(canister_id);
    }
    done()
}

pub(super) fn status(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let CanisterIdRecord { canister_id } = decode(call.method, &call.arg)?;
    let canister = existing(network, &canister_id)?;
    let memory = canister.memory_bytes();
    let result = CanisterStatusResult {
        status: match canister.state {
            RunState::Running => CanisterStatusType::Running,
            RunState::Stopping => CanisterStatusType::Stopping,
            RunState::Stopped => CanisterStatusType::Stopped,
        },
        ready_for_migration: canister.state == RunState::Stopped && canister.inbox.is_empty(),
        version: canister.version,
        settings: canister.settings.definite(),
        module_hash: canister.code.as_ref().map(|code| code.module.hash.to_vec()),
        memory_size: memory.into(),
        memory_metrics: metrics(canister),
        cycles: canister.balance.into(),
        reserved_cycles: canister.reserved.into(),
        idle_cycles_burned_per_day: canister.idle_day().into(),
        query_stats: QueryStats {
            num_calls_total: zero(),
            num_instructions_total: zero(),
            request_payload_bytes_total: zero(),
            response_payload_bytes_total: zero(),
        },
    };
    Ok(Outcome::Reply(reply(&result)))
}

pub(super) fn info(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let CanisterInfoArgs {
        canister_id,
        num_requested_changes: _,
    } = decode(call.method, &call.arg)?;
    let canister = existing(network, &canister_id)?;
    let result = CanisterInfoResult {
        total_num_changes: canister.changes,
        // The network keeps no history of changes, only their number.
        recent_changes: Vec::new(),
        module_hash: canister.code.as_ref().map(|code| code.module.hash.to_vec()),
        controllers: canister.settings.controllers.clone(),
    };
    Ok(Outcome::Reply(reply(&result)))
}

fn metrics(canister: &Canister) -> MemoryMetrics {
    let (heap, globals, module) = canister.code.as_ref().map_or((0, 0, 0), |code| {
        (
            code.heap.len(),
            code.globals.len() * size_of::<u64>(),
            code.module.info.len,
        )
    });
    let chunks: usize = canister.chunks.values().map(Vec::len).sum();
    let size = |bytes: usize| Nat::from(bytes as u64);
    MemoryMetrics {
        wasm_memory_size: size(heap),
        stable_memory_size: (canister.stable.wasm_pages() * limits::WASM_PAGE_BYTES as u64).into(),
        global_memory_size: size(globals),
        wasm_binary_size: size(module),
        custom_sections_size: size(canister.code.as_ref().map_or(0, |code| {
            code.module
                .info
                .metadata
                .iter()
                .map(|section| section.name.len() + section.content.len())
                .sum()
        })),
        canister_history_size: zero(),
        wasm_chunk_store_size: size(chunks),
        snapshots_size: zero(),
        log_memory_store_size: size(canister.log.lines().map(|line| line.content.len()).sum()),
    }
}

fn zero() -> Nat {
    Nat::from(0u8)
}
