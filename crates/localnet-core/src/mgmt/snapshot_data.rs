//! What is in a snapshot, piece by piece: read from one, or uploaded into one.

use std::sync::Arc;

use candid::Nat;
use ic_management_canister_types::{
    CanisterTimer, OnLowWasmMemoryHookStatus, ReadCanisterSnapshotDataArgs,
    ReadCanisterSnapshotDataResult, ReadCanisterSnapshotMetadataArgs,
    ReadCanisterSnapshotMetadataResult, SnapshotDataKind, SnapshotDataOffset,
    SnapshotMetadataGlobal, UploadCanisterSnapshotDataArgs, UploadCanisterSnapshotMetadataArgs,
    UploadCanisterSnapshotMetadataResult,
};
use sha2::{Digest as _, Sha256};

use super::{
    Call, Outcome, charge, check_growth, chunks, done, existing, reply,
    snapshots::{self, unpaid},
};
use crate::{
    canister::{CanisterId, Code, GlobalValue, LowMemory, ModuleBytes, Snapshot, Source, Timer},
    limits::{self, WASM_PAGE_BYTES},
    mem::{Heap, Stable},
    network::Network,
    types::{ErrorCode, Reject, Time},
};

/// What a piece costs, in instructions, before its first byte.
const BASE_INSTRUCTIONS: u64 = 2_000_000;

pub(super) fn read_metadata(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let ReadCanisterSnapshotMetadataArgs {
        canister_id,
        snapshot_id,
    } = call.decode()?;
    let canister = existing(network, &canister_id)?;
    let (_, snapshot) = snapshots::own(canister, &snapshot_id)?;
    Ok(Outcome::Reply(reply(&ReadCanisterSnapshotMetadataResult {
        source: Some(snapshots::source(snapshot.source)),
        taken_at_timestamp: snapshot.taken.0,
        wasm_module_size: snapshot.module.0.len() as u64,
        globals: snapshot
            .globals
            .iter()
            .map(|global| Some(shown_global(*global)))
            .collect(),
        wasm_memory_size: snapshot.heap.len() as u64,
        stable_memory_size: stable_bytes(snapshot),
        wasm_chunk_store: chunks::hashes(&snapshot.chunks),
        canister_version: snapshot.version,
        certified_data: snapshot.certified_data.clone(),
        global_timer: snapshot.timer.map(|timer| match timer {
            Timer::Inactive => CanisterTimer::Inactive,
            Timer::Active(time) => CanisterTimer::Active(time.0),
        }),
        on_low_wasm_memory_hook_status: snapshot.low_memory.map(|low| match low {
            LowMemory::Enough => OnLowWasmMemoryHookStatus::ConditionNotSatisfied,
            LowMemory::Due => OnLowWasmMemoryHookStatus::Ready,
            LowMemory::Told => OnLowWasmMemoryHookStatus::Executed,
        }),
    })))
}

pub(super) fn read_data(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let ReadCanisterSnapshotDataArgs {
        canister_id,
        snapshot_id,
        kind,
    } = call.decode()?;
    let canister = existing(network, &canister_id)?;
    let (_, snapshot) = snapshots::own(canister, &snapshot_id)?;
    let chunk = match kind {
        SnapshotDataKind::WasmModule { offset, size } => {
            let module = &snapshot.module.0;
            let at = slice(offset, size, module.len() as u64)?;
            module[at..at + size as usize].to_vec()
        }
        SnapshotDataKind::WasmMemory { offset, size } => {
            let at = slice(offset, size, snapshot.heap.len() as u64)?;
            read_heap(&snapshot.heap, at, size as usize)
        }
        SnapshotDataKind::StableMemory { offset, size } => {
            slice(offset, size, stable_bytes(snapshot))?;
            let mut bytes = vec![0; size as usize];
            snapshot
                .stable
                .session(u64::MAX)
                .read(offset, &mut bytes)
                .map_err(|_| out_of_range(offset, size))?;
            bytes
        }
        SnapshotDataKind::WasmChunk { hash } => <[u8; 32]>::try_from(hash.as_slice())
            .ok()
            .and_then(|hash| snapshot.chunks.get(&hash))
            .cloned()
            .ok_or_else(|| {
                chunks::refused(format!(
                    "Chunk hash {} was not found in the snapshot",
                    hex::encode(&hash[..hash.len().min(32)])
                ))
            })?,
    };
    let instructions = BASE_INSTRUCTIONS + chunk.len() as u64;
    charge(network, &canister_id, instructions, &call.caller).map_err(unpaid)?;
    Ok(Outcome::Reply(reply(&ReadCanisterSnapshotDataResult {
        chunk,
    })))
}

pub(super) fn upload_metadata(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let UploadCanisterSnapshotMetadataArgs {
        canister_id,
        replace_snapshot,
        wasm_module_size,
        globals,
        wasm_memory_size,
        stable_memory_size,
        certified_data,
        global_timer,
        on_low_wasm_memory_hook_status,
    } = call.decode()?;
    at_most(
        "wasm module size",
        wasm_module_size,
        limits::MODULE_BYTES_MAX as u64,
    )?;
    at_most(
        "number of globals",
        globals.len() as u64,
        limits::MODULE_GLOBALS_MAX as u64,
    )?;
    at_most(
        "certified data size",
        certified_data.len() as u64,
        limits::CERTIFIED_DATA_BYTES_MAX as u64,
    )?;
    let heap_pages = pages("wasm memory size", wasm_memory_size)?;
    at_most(
        "wasm memory size",
        wasm_memory_size,
        limits::HEAP_BYTES_MAX_64,
    )?;
    let stable_pages = pages("stable memory size", stable_memory_size)?;
    let stable = sized_stable(stable_pages).ok_or_else(|| {
        inconsistent(format!(
            "stable memory size {stable_memory_size} exceeds {} bytes",
            limits::STABLE_PAGES_MAX * WASM_PAGE_BYTES as u64
        ))
    })?;
    let now = network.time;
    let canister = existing(network, &canister_id)?;
    let snapshot = Snapshot {
        source: Source::Uploaded,
        taken: now,
        version: canister.version,
        module: ModuleBytes(Arc::new(vec![0; wasm_module_size as usize])),
        heap: Heap::new(heap_pages),
        globals: globals
            .into_iter()
            .map(stored_global)
            .collect::<Result<_, _>>()?,
        stable,
        certified_data,
        chunks: std::collections::BTreeMap::new(),
        timer: global_timer.map(|timer| match timer {
            CanisterTimer::Inactive => Timer::Inactive,
            CanisterTimer::Active(time) => Timer::Active(Time(time)),
        }),
        low_memory: on_low_wasm_memory_hook_status.map(|status| match status {
            OnLowWasmMemoryHookStatus::ConditionNotSatisfied => LowMemory::Enough,
            OnLowWasmMemoryHookStatus::Ready => LowMemory::Due,
            OnLowWasmMemoryHookStatus::Executed => LowMemory::Told,
        }),
    };
    let id = snapshots::keep(
        network,
        canister_id,
        &call.caller,
        replace_snapshot,
        snapshot,
    )?;
    Ok(Outcome::Reply(reply(
        &UploadCanisterSnapshotMetadataResult {
            snapshot_id: id.to_bytes(),
        },
    )))
}

pub(super) fn upload_data(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let UploadCanisterSnapshotDataArgs {
        canister_id,
        snapshot_id,
        kind,
        chunk,
    } = call.decode()?;
    let canister = existing(network, &canister_id)?;
    let (id, snapshot) = snapshots::own(canister, &snapshot_id)?;
    if snapshot.source == Source::Taken {
        return Err(Reject::of(
            ErrorCode::CanisterSnapshotImmutable,
            "Only canister snapshots created by metadata upload can be mutated.",
        ));
    }
    let size = chunk.len() as u64;
    match &kind {
        SnapshotDataOffset::WasmModule { offset } => {
            slice(*offset, size, snapshot.module.0.len() as u64)?;
        }
        SnapshotDataOffset::WasmMemory { offset } => {
            slice(*offset, size, snapshot.heap.len() as u64)?;
        }
        SnapshotDataOffset::StableMemory { offset } => {
            slice(*offset, size, stable_bytes(snapshot))?;
        }
        SnapshotDataOffset::WasmChunk => {
            chunks::check(&snapshot.chunks, &chunk)?;
            check_growth(canister, limits::CHUNK_BYTES_MAX as u64)?;
        }
    }
    charge(
        network,
        &canister_id,
        BASE_INSTRUCTIONS + size,
        &call.caller,
    )
    .map_err(unpaid)?;
    let canister = existing(network, &canister_id)?;
    let snapshot = canister
        .snapshots
        .get_mut(id)
        .ok_or_else(|| snapshots::not_found(&canister_id, &snapshot_id))?;
    match kind {
        SnapshotDataOffset::WasmModule { offset } => {
            let at = offset as usize;
            Arc::make_mut(&mut snapshot.module.0)[at..at + chunk.len()].copy_from_slice(&chunk);
        }
        SnapshotDataOffset::WasmMemory { offset } => snapshot.heap.write(offset, &chunk),
        SnapshotDataOffset::StableMemory { offset } => {
            let mut session = snapshot.stable.session(u64::MAX);
            session
                .write(offset, &chunk)
                .map_err(|_| out_of_range(offset, size))?;
            session.commit_to(&mut snapshot.stable);
        }
        SnapshotDataOffset::WasmChunk => {
            let hash = Sha256::digest(&chunk).into();
            snapshot.chunks.insert(hash, chunk);
        }
    }
    done()
}

/// The code of a snapshot, ready to run; an uploaded one may not fit together.
pub(super) fn code(
    network: &mut Network,
    canister: &CanisterId,
    snapshot: &Snapshot,
) -> Result<Code, Reject> {
    let module = network
        .compiler
        .compile(&snapshot.module.0)
        .map_err(|error| error.reject(canister))?;
    let mut code = network
        .executor
        .fresh(&module)
        .map_err(|fault| inconsistent(fault.to_string()))?;
    let kind = std::mem::discriminant::<GlobalValue>;
    let same = code.globals.len() == snapshot.globals.len()
        && std::iter::zip(&code.globals, &snapshot.globals)
            .all(|(new, old)| kind(new) == kind(old));
    if !same {
        return Err(inconsistent(
            "Wasm exported globals of canister module and snapshot metadata do not match".into(),
        ));
    }
    if snapshot.heap.len() < code.heap.len() {
        return Err(inconsistent(format!(
            "Wasm memory of {} bytes is smaller than the module's initial memory of {} bytes",
            snapshot.heap.len(),
            code.heap.len()
        )));
    }
    code.globals.clone_from(&snapshot.globals);
    code.heap = snapshot.heap.clone();
    Ok(code)
}

/// A stable memory of zeros; nothing where it would be too large.
pub(crate) fn sized_stable(pages: u64) -> Option<Stable> {
    let mut stable = Stable::default();
    let mut session = stable.session(0);
    session.grow(pages, limits::STABLE_PAGES_MAX)?;
    session.commit_to(&mut stable);
    Some(stable)
}

fn stable_bytes(snapshot: &Snapshot) -> u64 {
    snapshot.stable.wasm_pages() * WASM_PAGE_BYTES as u64
}

fn read_heap(heap: &Heap, at: usize, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size);
    let mut within = at % WASM_PAGE_BYTES;
    for page in heap.chunks().skip(at / WASM_PAGE_BYTES) {
        let now = (size - bytes.len()).min(page.len() - within);
        bytes.extend_from_slice(&page[within..within + now]);
        within = 0;
        if bytes.len() == size {
            break;
        }
    }
    bytes
}

/// Checks that a piece lies inside, and is not too large for a message; gives where it begins.
fn slice(offset: u64, size: u64, len: u64) -> Result<usize, Reject> {
    if size > limits::SNAPSHOT_SLICE_BYTES_MAX {
        return Err(Reject::of(
            ErrorCode::InvalidManagementPayload,
            format!(
                "Requested slice too large: {size} > {}",
                limits::SNAPSHOT_SLICE_BYTES_MAX
            ),
        ));
    }
    match offset.checked_add(size) {
        Some(end) if end <= len => Ok(offset as usize),
        _ => Err(out_of_range(offset, size)),
    }
}

fn out_of_range(offset: u64, size: u64) -> Reject {
    Reject::of(
        ErrorCode::InvalidManagementPayload,
        format!(
            "Invalid subslice into wasm module / main memory / stable memory: offset: {offset}, size: {size}"
        ),
    )
}

fn inconsistent(message: String) -> Reject {
    Reject::of(ErrorCode::InvalidManagementPayload, message)
}

fn at_most(what: &str, found: u64, max: u64) -> Result<(), Reject> {
    if found > max {
        return Err(inconsistent(format!("{what} {found} exceeds {max}")));
    }
    Ok(())
}

fn pages(what: &str, bytes: u64) -> Result<u64, Reject> {
    if !bytes.is_multiple_of(WASM_PAGE_BYTES as u64) {
        return Err(inconsistent(format!(
            "{what} {bytes} is not a multiple of the Wasm page size {WASM_PAGE_BYTES}"
        )));
    }
    Ok(bytes / WASM_PAGE_BYTES as u64)
}

fn shown_global(global: GlobalValue) -> SnapshotMetadataGlobal {
    match global {
        GlobalValue::I32(value) => SnapshotMetadataGlobal::I32(value),
        GlobalValue::I64(value) => SnapshotMetadataGlobal::I64(value),
        GlobalValue::F32(bits) => SnapshotMetadataGlobal::F32(f32::from_bits(bits)),
        GlobalValue::F64(bits) => SnapshotMetadataGlobal::F64(f64::from_bits(bits)),
        GlobalValue::V128(value) => SnapshotMetadataGlobal::V128(value.into()),
    }
}

fn stored_global(global: SnapshotMetadataGlobal) -> Result<GlobalValue, Reject> {
    Ok(match global {
        SnapshotMetadataGlobal::I32(value) => GlobalValue::I32(value),
        SnapshotMetadataGlobal::I64(value) => GlobalValue::I64(value),
        SnapshotMetadataGlobal::F32(value) => GlobalValue::F32(value.to_bits()),
        SnapshotMetadataGlobal::F64(value) => GlobalValue::F64(value.to_bits()),
        SnapshotMetadataGlobal::V128(Nat(value)) => GlobalValue::V128(
            u128::try_from(&value)
                .map_err(|_| inconsistent("a v128 global exceeds 128 bits".into()))?,
        ),
    })
}
