//! Reading a snapshot piece by piece, and making one from pieces.

use assay_localnet_core::types::ErrorCode;
use candid::Principal;
use ic_management_canister_types as ic;

use super::{
    code_of, decoded, forwarder, forwarder_module, record,
    snapshots::{counts, load, take},
};
use crate::harness::Net;

fn metadata(
    net: &mut Net,
    canister_id: Principal,
    snapshot_id: &[u8],
) -> ic::ReadCanisterSnapshotMetadataResult {
    let arg = ic::ReadCanisterSnapshotMetadataArgs {
        canister_id,
        snapshot_id: snapshot_id.to_vec(),
    };
    decoded(&net.manage("read_canister_snapshot_metadata", &arg).unwrap())
}

fn read(
    net: &mut Net,
    canister_id: Principal,
    snapshot_id: &[u8],
    kind: ic::SnapshotDataKind,
) -> Result<Vec<u8>, assay_localnet_core::types::Reject> {
    let arg = ic::ReadCanisterSnapshotDataArgs {
        canister_id,
        snapshot_id: snapshot_id.to_vec(),
        kind,
    };
    let reply = net.manage("read_canister_snapshot_data", &arg)?;
    Ok(decoded::<ic::ReadCanisterSnapshotDataResult>(&reply).chunk)
}

fn write(
    net: &mut Net,
    canister_id: Principal,
    snapshot_id: &[u8],
    kind: ic::SnapshotDataOffset,
    chunk: &[u8],
) -> Result<Vec<u8>, assay_localnet_core::types::Reject> {
    let arg = ic::UploadCanisterSnapshotDataArgs {
        canister_id,
        snapshot_id: snapshot_id.to_vec(),
        kind,
        chunk: chunk.to_vec(),
    };
    net.manage("upload_canister_snapshot_data", &arg)
}

fn upload(
    canister_id: Principal,
    from: &ic::ReadCanisterSnapshotMetadataResult,
) -> ic::UploadCanisterSnapshotMetadataArgs {
    ic::UploadCanisterSnapshotMetadataArgs {
        canister_id,
        replace_snapshot: None,
        wasm_module_size: from.wasm_module_size,
        globals: from.globals.iter().flatten().cloned().collect(),
        wasm_memory_size: from.wasm_memory_size,
        stable_memory_size: from.stable_memory_size,
        certified_data: from.certified_data.clone(),
        global_timer: from.global_timer.clone(),
        on_low_wasm_memory_hook_status: None,
    }
}

#[test]
fn a_snapshot_travels_to_another_network() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    net.call(id, "bump", "").unwrap();
    let chunk = ic::UploadChunkArgs {
        canister_id: id,
        chunk: b"a chunk".to_vec(),
    };
    net.manage("upload_chunk", &chunk).unwrap();
    let snapshot = take(&mut net, id, None).id;
    let meta = metadata(&mut net, id, &snapshot);
    assert_eq!(meta.wasm_module_size, forwarder_module().len() as u64);
    assert_eq!(meta.wasm_memory_size, 80 * 65_536);
    assert_eq!(meta.stable_memory_size, 65_536);
    assert_eq!(meta.certified_data, 8u64.to_le_bytes());
    assert_eq!(meta.globals.len(), 1);
    assert!(matches!(
        meta.globals[0],
        Some(ic::SnapshotMetadataGlobal::I64(8))
    ));
    assert!(matches!(
        meta.global_timer,
        Some(ic::CanisterTimer::Inactive)
    ));
    assert_eq!(meta.wasm_chunk_store.len(), 1);

    let mut other = Net::new();
    let to = other.create();
    let reply = other
        .manage("upload_canister_snapshot_metadata", &upload(to, &meta))
        .unwrap();
    let made = decoded::<ic::UploadCanisterSnapshotMetadataResult>(&reply).snapshot_id;
    assert!(matches!(
        metadata(&mut other, to, &made).source,
        Some(ic::SnapshotSource::MetadataUpload(_))
    ));
    let empty = load(&mut other, to, made.clone()).unwrap_err();
    assert_eq!(
        empty.error,
        Some(ErrorCode::CanisterInvalidWasm),
        "no module yet"
    );

    let size = meta.wasm_module_size;
    let module = read(
        &mut net,
        id,
        &snapshot,
        ic::SnapshotDataKind::WasmModule { offset: 0, size },
    )
    .unwrap();
    let (first, second) = module.split_at(100);
    write(
        &mut other,
        to,
        &made,
        ic::SnapshotDataOffset::WasmModule { offset: 100 },
        second,
    )
    .unwrap();
    write(
        &mut other,
        to,
        &made,
        ic::SnapshotDataOffset::WasmModule { offset: 0 },
        first,
    )
    .unwrap();
    let mut at = 0;
    while at < meta.wasm_memory_size {
        let size = (meta.wasm_memory_size - at).min(1_000_001);
        let kind = ic::SnapshotDataKind::WasmMemory { offset: at, size };
        let piece = read(&mut net, id, &snapshot, kind).unwrap();
        assert_eq!(piece.len() as u64, size);
        write(
            &mut other,
            to,
            &made,
            ic::SnapshotDataOffset::WasmMemory { offset: at },
            &piece,
        )
        .unwrap();
        at += size;
    }
    let kind = ic::SnapshotDataKind::StableMemory {
        offset: 0,
        size: 65_536,
    };
    let stable = read(&mut net, id, &snapshot, kind).unwrap();
    write(
        &mut other,
        to,
        &made,
        ic::SnapshotDataOffset::StableMemory { offset: 0 },
        &stable,
    )
    .unwrap();
    let hash = meta.wasm_chunk_store[0].hash.clone();
    let piece = read(
        &mut net,
        id,
        &snapshot,
        ic::SnapshotDataKind::WasmChunk { hash },
    )
    .unwrap();
    assert_eq!(piece, b"a chunk");
    write(
        &mut other,
        to,
        &made,
        ic::SnapshotDataOffset::WasmChunk,
        &piece,
    )
    .unwrap();

    load(&mut other, to, made).unwrap();
    assert_eq!(counts(&mut other, to), [8, 8, 8]);
    let chunks = other.manage("stored_chunks", &record(to)).unwrap();
    assert_eq!(
        decoded::<Vec<ic::ChunkHash>>(&chunks),
        meta.wasm_chunk_store
    );
    assert_eq!(
        other.network.canister(&to).unwrap().module_hash,
        net.network.canister(&id).unwrap().module_hash
    );
    net.check_cycles();
    other.check_cycles();
}

#[test]
fn pieces_lie_inside_and_fit_into_a_message() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    let snapshot = take(&mut net, id, None).id;
    let heap = |offset, size| ic::SnapshotDataKind::WasmMemory { offset, size };
    let end = 80 * 65_536;
    assert_eq!(
        read(&mut net, id, &snapshot, heap(end - 3, 3)),
        Ok(vec![0; 3])
    );
    assert_eq!(read(&mut net, id, &snapshot, heap(end, 0)), Ok(vec![]));
    assert_eq!(
        read(&mut net, id, &snapshot, heap(0, 2_000_000)).map(|piece| piece.len()),
        Ok(2_000_000)
    );
    for (kind, message) in [
        (
            heap(end - 3, 4),
            "Invalid subslice into wasm module / main memory / stable memory: offset: 5242877, size: 4",
        ),
        (
            heap(u64::MAX, 2),
            "Invalid subslice into wasm module / main memory / stable memory: offset: 18446744073709551615, size: 2",
        ),
        (
            heap(0, 2_000_001),
            "Requested slice too large: 2000001 > 2000000",
        ),
        (
            ic::SnapshotDataKind::StableMemory { offset: 0, size: 1 },
            "Invalid subslice into wasm module / main memory / stable memory: offset: 0, size: 1",
        ),
    ] {
        let reject = read(&mut net, id, &snapshot, kind).unwrap_err();
        assert_eq!(
            (reject.error, reject.message.as_str()),
            (Some(ErrorCode::InvalidManagementPayload), message)
        );
    }
    let missing = ic::SnapshotDataKind::WasmChunk { hash: vec![1; 32] };
    assert!(read(&mut net, id, &snapshot, missing).is_err());
    assert_eq!(
        code_of(write(
            &mut net,
            id,
            &snapshot,
            ic::SnapshotDataOffset::WasmModule { offset: 0 },
            b"x"
        )),
        Some(ErrorCode::CanisterSnapshotImmutable),
        "a taken snapshot stays as it is"
    );
}

#[test]
fn metadata_that_cannot_be_is_refused() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    let snapshot = take(&mut net, id, None).id;
    let good = metadata(&mut net, id, &snapshot);
    let mut attempt = |change: &dyn Fn(&mut ic::UploadCanisterSnapshotMetadataArgs)| {
        let mut arg = upload(id, &good);
        change(&mut arg);
        net.manage("upload_canister_snapshot_metadata", &arg)
    };
    assert!(attempt(&|_| {}).is_ok());
    let refused: [&dyn Fn(&mut ic::UploadCanisterSnapshotMetadataArgs); 6] = [
        &|arg| arg.wasm_module_size = (100 << 20) + 1,
        &|arg| arg.wasm_memory_size = 65_537,
        &|arg| arg.wasm_memory_size = u64::MAX - 65_535,
        &|arg| arg.stable_memory_size = 1,
        &|arg| arg.stable_memory_size = (500 << 30) + 65_536,
        &|arg| arg.certified_data = vec![0; 33],
    ];
    for (number, change) in refused.iter().enumerate() {
        assert_eq!(
            code_of(attempt(change)),
            Some(ErrorCode::InvalidManagementPayload),
            "{number}"
        );
    }
    assert_eq!(
        code_of(attempt(&|arg| arg.stable_memory_size = 500 << 30)),
        Some(ErrorCode::InsufficientCyclesInMemoryGrow),
        "it fits, and nobody can pay for it"
    );
}

#[test]
fn globals_and_memory_must_fit_the_module() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    let snapshot = take(&mut net, id, None).id;
    let good = metadata(&mut net, id, &snapshot);
    let module = forwarder_module();
    let mut attempt = |change: &dyn Fn(&mut ic::UploadCanisterSnapshotMetadataArgs)| {
        let mut arg = upload(id, &good);
        change(&mut arg);
        let reply = net
            .manage("upload_canister_snapshot_metadata", &arg)
            .unwrap();
        let made = decoded::<ic::UploadCanisterSnapshotMetadataResult>(&reply).snapshot_id;
        write(
            &mut net,
            id,
            &made,
            ic::SnapshotDataOffset::WasmModule { offset: 0 },
            &module,
        )
        .unwrap();
        load(&mut net, id, made)
    };
    assert!(attempt(&|_| {}).is_ok());
    for change in [
        &(|arg: &mut ic::UploadCanisterSnapshotMetadataArgs| arg.globals.clear())
            as &dyn Fn(&mut ic::UploadCanisterSnapshotMetadataArgs),
        &|arg| arg.globals = vec![ic::SnapshotMetadataGlobal::I32(1)],
        &|arg| arg.wasm_memory_size = 65_536,
    ] {
        assert_eq!(
            code_of(attempt(change)),
            Some(ErrorCode::InvalidManagementPayload)
        );
    }
}
