//! The blob store: bytes that a later request names by their SHA-256.

use std::{collections::BTreeMap, io::Read as _, sync::Mutex};

use axum::{body::Bytes, http::StatusCode};
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};

use super::{answer::ApiError, limits};

/// The blobs of a server.
#[derive(Debug)]
pub(super) struct Blobs {
    kept: Mutex<Kept>,
    blob_bytes_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    blobs: BTreeMap<[u8; 32], Bytes>,
    bytes: usize,
}

impl Default for Blobs {
    fn default() -> Self {
        Self::with(limits::BLOB_BYTES_MAX, limits::BLOBS_BYTES_MAX)
    }
}

impl Blobs {
    pub(super) fn with(blob_bytes_max: usize, bytes_max: usize) -> Self {
        Self {
            kept: Mutex::default(),
            blob_bytes_max,
            bytes_max,
        }
    }

    /// Keeps a blob; gives its id.
    pub(super) fn put(&self, sent: Bytes, gzip: bool) -> Result<[u8; 32], ApiError> {
        let blob = if gzip { self.unpack(&sent)? } else { sent };
        if blob.len() > self.blob_bytes_max {
            return Err(self.too_large());
        }
        let id = Sha256::digest(&blob).into();
        let mut kept = self
            .kept
            .lock()
            .expect("BUG: nothing panics with the blobs");
        if kept.blobs.contains_key(&id) {
            return Ok(id);
        }
        if kept.bytes + blob.len() > self.bytes_max {
            return Err(ApiError(
                StatusCode::INSUFFICIENT_STORAGE,
                format!(
                    "the blob store holds {} bytes, and at most {} fit; start another server",
                    kept.bytes, self.bytes_max
                ),
            ));
        }
        kept.bytes += blob.len();
        kept.blobs.insert(id, blob);
        Ok(id)
    }

    pub(super) fn get(&self, id: &[u8]) -> Option<Bytes> {
        let id: [u8; 32] = id.try_into().ok()?;
        let kept = self
            .kept
            .lock()
            .expect("BUG: nothing panics with the blobs");
        kept.blobs.get(&id).cloned()
    }

    fn unpack(&self, packed: &[u8]) -> Result<Bytes, ApiError> {
        let mut blob = Vec::new();
        GzDecoder::new(packed)
            .take(self.blob_bytes_max as u64 + 1)
            .read_to_end(&mut blob)
            .map_err(|error| ApiError::bad(format!("the blob is not gzip: {error}")))?;
        Ok(blob.into())
    }

    fn too_large(&self) -> ApiError {
        ApiError(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the blob has more than {} bytes", self.blob_bytes_max),
        )
    }
}
