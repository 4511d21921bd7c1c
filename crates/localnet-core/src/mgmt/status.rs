//! What a canister is, for those who may know.

use ic_management_canister_types::{
    CanisterIdRecord, CanisterMetricsResult, CanisterStatusResult, CanisterStatusType,
    MemoryMetrics, QueryStats,
};

use super::{decode, existing, reply};
use crate::{
    canister::{Canister, MemoryUse, QueryCounts},
    network::{Network, RunState},
    types::Reject,
};

pub(super) fn reply_for(network: &mut Network, arg: &[u8]) -> Result<Vec<u8>, Reject> {
    let CanisterIdRecord { canister_id } = decode(arg)?;
    let canister = existing(network, &canister_id)?;
    Ok(reply(&status(canister)))
}

/// What a canister's cycles were consumed for.
pub(super) fn metrics_for(network: &mut Network, arg: &[u8]) -> Result<Vec<u8>, Reject> {
    let CanisterIdRecord { canister_id } = decode(arg)?;
    let canister = existing(network, &canister_id)?;
    Ok(reply(&CanisterMetricsResult {
        cycles_consumed: canister.consumed.shown(),
    }))
}

fn status(canister: &Canister) -> CanisterStatusResult {
    let memory = canister.memory();
    CanisterStatusResult {
        status: match canister.state {
            RunState::Running => CanisterStatusType::Running,
            RunState::Stopping => CanisterStatusType::Stopping,
            RunState::Stopped => CanisterStatusType::Stopped,
        },
        ready_for_migration: canister.state == RunState::Stopped && canister.inbox.is_empty(),
        version: canister.version,
        settings: canister.settings.definite(),
        module_hash: canister.code.as_ref().map(|code| code.module.hash.to_vec()),
        memory_size: memory.total().into(),
        memory_metrics: metrics(memory),
        cycles: canister.balance.into(),
        reserved_cycles: canister.reserved.into(),
        idle_cycles_burned_per_day: canister.idle_day().into(),
        query_stats: query_stats(canister.queries),
    }
}

fn metrics(memory: MemoryUse) -> MemoryMetrics {
    let MemoryUse {
        heap,
        stable,
        globals,
        module,
        sections,
        changes,
        chunks,
        snapshots,
        log,
    } = memory;
    MemoryMetrics {
        wasm_memory_size: heap.into(),
        stable_memory_size: stable.into(),
        global_memory_size: globals.into(),
        wasm_binary_size: module.into(),
        custom_sections_size: sections.into(),
        canister_history_size: changes.into(),
        wasm_chunk_store_size: chunks.into(),
        snapshots_size: snapshots.into(),
        log_memory_store_size: log.into(),
    }
}

fn query_stats(counts: QueryCounts) -> QueryStats {
    let QueryCounts {
        calls,
        instructions,
        request_bytes,
        response_bytes,
    } = counts;
    QueryStats {
        num_calls_total: calls.into(),
        num_instructions_total: instructions.into(),
        request_payload_bytes_total: request_bytes.into(),
        response_payload_bytes_total: response_bytes.into(),
    }
}
