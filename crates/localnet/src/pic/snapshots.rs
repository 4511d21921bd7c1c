//! Snapshots of canisters as folders on disk.
//!
//! A snapshot is read and made by the management canister's own methods, called as the client who asks, so whoever may
//! not do that may not do this. The folder is laid out as PocketIC's servers do it: `metadata.json`, the module and the
//! memories in files of their own where they are not empty, and every chunk of the chunk store in a file named for its
//! hash.

mod files;

use std::{path::Path, sync::Arc};

use candid::{CandidType, Principal, decode_one, encode_one};
use ic_management_canister_types::{
    DeleteCanisterSnapshotArgs, ReadCanisterSnapshotDataArgs, ReadCanisterSnapshotDataResult,
    ReadCanisterSnapshotMetadataArgs, ReadCanisterSnapshotMetadataResult, SnapshotDataKind,
    SnapshotDataOffset, UploadCanisterSnapshotMetadataArgs, UploadCanisterSnapshotMetadataResult,
};
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use self::files::{Reading, Writing};
use super::{
    answer::{Answer, ApiError, Outcome},
    calls,
    instances::Instance,
    limits::SNAPSHOT_PIECE_BYTES,
    shapes::{Blob, Id, PrincipalId, SnapshotDownload, SnapshotId, SnapshotUpload},
};

/// Who asks for which canister.
struct Manager {
    instance: Arc<Instance>,
    sender: Principal,
    canister: Principal,
}

/// The argument of `upload_canister_snapshot_data`, whose bytes are written at once.
#[derive(CandidType)]
struct Piece {
    canister_id: Principal,
    snapshot_id: ByteBuf,
    kind: SnapshotDataOffset,
    chunk: ByteBuf,
}

impl Manager {
    fn new(instance: Arc<Instance>, sender: PrincipalId, canister: Id) -> Self {
        Self {
            instance,
            sender: sender.0,
            canister: canister.0,
        }
    }

    async fn call(&self, method: &str, args: &impl CandidType) -> Result<Vec<u8>, ApiError> {
        let args = encode_one(args).expect("BUG: arguments are plain data");
        let call = calls::Managed {
            sender: self.sender,
            canister: self.canister,
            method: method.to_owned(),
            args,
        };
        calls::manage(self.instance.clone(), call)
            .await?
            .map_err(|reject| ApiError::bad(format!("{method}: {}", reject.message)))
    }

    async fn ask<T: CandidType + DeserializeOwned>(
        &self,
        method: &str,
        args: &impl CandidType,
    ) -> Result<T, ApiError> {
        let reply = self.call(method, args).await?;
        decode_one(&reply).map_err(|error| ApiError::bad(format!("{method}: {error}")))
    }

    async fn read(&self, snapshot: &[u8], kind: SnapshotDataKind) -> Result<Vec<u8>, ApiError> {
        let args = ReadCanisterSnapshotDataArgs {
            canister_id: self.canister,
            snapshot_id: snapshot.to_vec(),
            kind,
        };
        let read: ReadCanisterSnapshotDataResult =
            self.ask("read_canister_snapshot_data", &args).await?;
        Ok(read.chunk)
    }

    async fn write(
        &self,
        snapshot: &[u8],
        kind: SnapshotDataOffset,
        chunk: Vec<u8>,
    ) -> Result<(), ApiError> {
        let piece = Piece {
            canister_id: self.canister,
            snapshot_id: ByteBuf::from(snapshot),
            kind,
            chunk: ByteBuf::from(chunk),
        };
        self.call("upload_canister_snapshot_data", &piece).await?;
        Ok(())
    }
}

/// Writes a snapshot into a folder that is empty or not there yet.
pub(super) async fn download(instance: Arc<Instance>, args: SnapshotDownload) -> Outcome {
    let SnapshotDownload {
        sender,
        canister_id,
        snapshot_id: Blob(snapshot),
        snapshot_dir,
    } = args;
    let manager = Manager::new(instance, sender, canister_id.canister_id);
    let metadata: ReadCanisterSnapshotMetadataResult = manager
        .ask(
            "read_canister_snapshot_metadata",
            &ReadCanisterSnapshotMetadataArgs {
                canister_id: manager.canister,
                snapshot_id: snapshot.clone(),
            },
        )
        .await?;
    let json = files::json(&metadata)?;
    files::make_folder(&snapshot_dir).await?;
    for part in Part::all(&metadata) {
        let mut file = Writing::begin(&snapshot_dir.join(part.file)).await?;
        for (offset, size) in pieces(part.bytes) {
            let piece = manager.read(&snapshot, (part.kind)(offset, size)).await?;
            file.add(&piece).await?;
        }
        file.end().await?;
    }
    for chunk in &metadata.wasm_chunk_store {
        let path = files::chunk(&snapshot_dir, &chunk.hash);
        let mut file = Writing::begin(&path).await?;
        let hash = chunk.hash.clone();
        let kind = SnapshotDataKind::WasmChunk { hash };
        file.add(&manager.read(&snapshot, kind).await?).await?;
        file.end().await?;
    }
    // Last, so that a folder with it is whole.
    let mut file = Writing::begin(&snapshot_dir.join(files::METADATA)).await?;
    file.add(&json).await?;
    file.end().await?;
    Ok(Answer::null())
}

/// Makes a snapshot from a folder; gives its id.
pub(super) async fn upload(instance: Arc<Instance>, args: SnapshotUpload) -> Outcome {
    let SnapshotUpload {
        sender,
        canister_id,
        replace_snapshot,
        snapshot_dir,
    } = args;
    let manager = Manager::new(instance, sender, canister_id.canister_id);
    let metadata = files::metadata(&snapshot_dir).await?;
    let parts = Part::all(&metadata);
    // What is missing is found before anything is made.
    for part in &parts {
        Reading::begin(&snapshot_dir.join(part.file), part.bytes).await?;
    }
    for chunk in &metadata.wasm_chunk_store {
        files::read_chunk(&snapshot_dir, &chunk.hash).await?;
    }
    let replaced = replace_snapshot.map(
        |SnapshotId {
             snapshot_id: Blob(id),
         }| id,
    );
    let made: UploadCanisterSnapshotMetadataResult = manager
        .ask(
            "upload_canister_snapshot_metadata",
            &UploadCanisterSnapshotMetadataArgs {
                canister_id: manager.canister,
                replace_snapshot: replaced,
                wasm_module_size: metadata.wasm_module_size,
                globals: metadata.globals.iter().flatten().cloned().collect(),
                wasm_memory_size: metadata.wasm_memory_size,
                stable_memory_size: metadata.stable_memory_size,
                certified_data: metadata.certified_data.clone(),
                global_timer: metadata.global_timer.clone(),
                on_low_wasm_memory_hook_status: metadata.on_low_wasm_memory_hook_status.clone(),
            },
        )
        .await?;
    let snapshot = made.snapshot_id;
    if let Err(error) = fill(&manager, &snapshot, &snapshot_dir, &metadata, &parts).await {
        let half = DeleteCanisterSnapshotArgs {
            canister_id: manager.canister,
            snapshot_id: snapshot,
        };
        // What failed matters more than whether this does too.
        let _ = manager.call("delete_canister_snapshot", &half).await;
        return Err(error);
    }
    Ok(Answer::of(&SnapshotId {
        snapshot_id: Blob(snapshot),
    }))
}

async fn fill(
    manager: &Manager,
    snapshot: &[u8],
    folder: &Path,
    metadata: &ReadCanisterSnapshotMetadataResult,
    parts: &[Part],
) -> Result<(), ApiError> {
    for part in parts {
        let mut file = Reading::begin(&folder.join(part.file), part.bytes).await?;
        for (offset, size) in pieces(part.bytes) {
            let piece = file.next(size).await?;
            manager.write(snapshot, (part.place)(offset), piece).await?;
        }
    }
    for chunk in &metadata.wasm_chunk_store {
        let bytes = files::read_chunk(folder, &chunk.hash).await?;
        manager
            .write(snapshot, SnapshotDataOffset::WasmChunk, bytes)
            .await?;
    }
    Ok(())
}

/// What has a file of its own.
struct Part {
    file: &'static str,
    bytes: u64,
    /// A piece of it, to be read.
    kind: fn(u64, u64) -> SnapshotDataKind,
    /// A place in it, to be written to.
    place: fn(u64) -> SnapshotDataOffset,
}

impl Part {
    /// Those that are not empty.
    fn all(metadata: &ReadCanisterSnapshotMetadataResult) -> Vec<Self> {
        let parts = [
            Self {
                file: files::MODULE,
                bytes: metadata.wasm_module_size,
                kind: |offset, size| SnapshotDataKind::WasmModule { offset, size },
                place: |offset| SnapshotDataOffset::WasmModule { offset },
            },
            Self {
                file: files::HEAP,
                bytes: metadata.wasm_memory_size,
                kind: |offset, size| SnapshotDataKind::WasmMemory { offset, size },
                place: |offset| SnapshotDataOffset::WasmMemory { offset },
            },
            Self {
                file: files::STABLE,
                bytes: metadata.stable_memory_size,
                kind: |offset, size| SnapshotDataKind::StableMemory { offset, size },
                place: |offset| SnapshotDataOffset::StableMemory { offset },
            },
        ];
        parts.into_iter().filter(|part| part.bytes > 0).collect()
    }
}

/// Where pieces begin, and how large they are.
fn pieces(bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..bytes.div_ceil(SNAPSHOT_PIECE_BYTES)).map(move |number| {
        let offset = number * SNAPSHOT_PIECE_BYTES;
        (offset, SNAPSHOT_PIECE_BYTES.min(bytes - offset))
    })
}
