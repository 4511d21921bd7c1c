//! The files of a snapshot's folder.

use std::{
    io,
    path::{Path, PathBuf},
};

use ic_management_canister_types::{ReadCanisterSnapshotMetadataResult, SnapshotMetadataGlobal};
use sha2::{Digest as _, Sha256};
use tokio::{
    fs::{self, File},
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};

use crate::pic::{
    answer::ApiError,
    limits::{SNAPSHOT_CHUNK_BYTES_MAX, SNAPSHOT_METADATA_BYTES_MAX},
};

pub(super) const METADATA: &str = "metadata.json";
pub(super) const MODULE: &str = "wasm_module.bin";
pub(super) const HEAP: &str = "wasm_memory.bin";
pub(super) const STABLE: &str = "stable_memory.bin";
const CHUNKS: &str = "wasm_chunk_store";

fn failed(what: &str, path: &Path) -> impl Fn(io::Error) -> ApiError {
    let what = format!("cannot {what} {}", path.display());
    move |error| ApiError::bad(format!("{what}: {error}"))
}

/// Makes the folder, unless it is there and empty.
pub(super) async fn make_folder(path: &Path) -> Result<(), ApiError> {
    fs::create_dir_all(path)
        .await
        .map_err(failed("make the folder", path))?;
    let mut entries = fs::read_dir(path).await.map_err(failed("list", path))?;
    match entries.next_entry().await.map_err(failed("list", path))? {
        Some(_) => Err(ApiError::bad(format!(
            "the folder {} is not empty; name one that is empty or not there yet",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// Where a chunk of the chunk store is.
pub(super) fn chunk(folder: &Path, hash: &[u8]) -> PathBuf {
    folder
        .join(CHUNKS)
        .join(format!("{}.bin", hex::encode(hash)))
}

/// The metadata as it is written.
pub(super) fn json(metadata: &ReadCanisterSnapshotMetadataResult) -> Result<Vec<u8>, ApiError> {
    let numbers = metadata.globals.iter().flatten();
    let lost = numbers.into_iter().any(|global| match global {
        SnapshotMetadataGlobal::F32(value) => !value.is_finite(),
        SnapshotMetadataGlobal::F64(value) => !value.is_finite(),
        _ => false,
    });
    if lost {
        return Err(ApiError::bad(
            "a global of the canister is a floating-point number that is not finite, which JSON cannot say; read the \
             snapshot by the management canister's methods instead",
        ));
    }
    Ok(serde_json::to_vec_pretty(metadata).expect("BUG: metadata is plain data"))
}

/// Reads the metadata.
pub(super) async fn metadata(
    folder: &Path,
) -> Result<ReadCanisterSnapshotMetadataResult, ApiError> {
    let path = folder.join(METADATA);
    let bytes = read(&path, SNAPSHOT_METADATA_BYTES_MAX).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::bad(format!(
            "{} is not the metadata of a snapshot: {error}",
            path.display()
        ))
    })
}

/// Reads a chunk of the chunk store.
pub(super) async fn read_chunk(folder: &Path, hash: &[u8]) -> Result<Vec<u8>, ApiError> {
    let path = chunk(folder, hash);
    let bytes = read(&path, SNAPSHOT_CHUNK_BYTES_MAX).await?;
    if Sha256::digest(&bytes)[..] != *hash {
        return Err(ApiError::bad(format!(
            "{} does not hold what its name says",
            path.display()
        )));
    }
    Ok(bytes)
}

/// A whole file of at most so many bytes.
async fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, ApiError> {
    let file = File::open(path).await.map_err(failed("open", path))?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(failed("read", path))?;
    if bytes.len() as u64 > bytes_max {
        return Err(ApiError::bad(format!(
            "{} has more than {bytes_max} bytes",
            path.display()
        )));
    }
    Ok(bytes)
}

/// A file that is written piece by piece.
#[derive(Debug)]
pub(super) struct Writing {
    path: PathBuf,
    file: File,
}

impl Writing {
    pub(super) async fn begin(path: &Path) -> Result<Self, ApiError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)
                .await
                .map_err(failed("make the folder", folder))?;
        }
        let file = File::create_new(path)
            .await
            .map_err(failed("create", path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    pub(super) async fn add(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        let written = self.file.write_all(bytes).await;
        written.map_err(failed("write", &self.path))
    }

    pub(super) async fn end(mut self) -> Result<(), ApiError> {
        let written = self.file.flush().await;
        written.map_err(failed("write", &self.path))
    }
}

/// A file of a known size that is read piece by piece.
#[derive(Debug)]
pub(super) struct Reading {
    path: PathBuf,
    file: File,
}

impl Reading {
    pub(super) async fn begin(path: &Path, bytes: u64) -> Result<Self, ApiError> {
        let file = File::open(path).await.map_err(failed("open", path))?;
        let found = file.metadata().await.map_err(failed("read", path))?.len();
        if found != bytes {
            return Err(ApiError::bad(format!(
                "{} has {found} bytes, and {METADATA} says {bytes}",
                path.display()
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// The next bytes.
    pub(super) async fn next(&mut self, size: u64) -> Result<Vec<u8>, ApiError> {
        let mut bytes = vec![0; size as usize];
        let read = self.file.read_exact(&mut bytes).await;
        read.map_err(failed("read", &self.path))?;
        Ok(bytes)
    }
}
