//! The chunk store: modules that are too long for one message.

use ic_management_canister_types::{CanisterIdRecord, ChunkHash, UploadChunkArgs};
use sha2::{Digest as _, Sha256};

use super::{Call, Outcome, decode, done, existing, reply};
use crate::{
    limits,
    network::Network,
    types::{ErrorCode, Reject},
};

pub(super) fn upload(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let UploadChunkArgs { canister_id, chunk } = decode(call.method, &call.arg)?;
    let canister = existing(network, &canister_id)?;
    if chunk.len() > limits::CHUNK_BYTES_MAX {
        return Err(refused(format!(
            "chunk has {} bytes, at most {} are allowed",
            chunk.len(),
            limits::CHUNK_BYTES_MAX
        )));
    }
    let hash: [u8; 32] = Sha256::digest(&chunk).into();
    if canister.chunks.len() >= limits::CHUNKS_MAX && !canister.chunks.contains_key(&hash) {
        return Err(refused(format!(
            "the chunk store of canister {canister_id} is full with {} chunks; clear it with clear_chunk_store",
            limits::CHUNKS_MAX
        )));
    }
    canister.chunks.insert(hash, chunk);
    Ok(Outcome::Reply(reply(&ChunkHash {
        hash: hash.to_vec(),
    })))
}

pub(super) fn stored(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let CanisterIdRecord { canister_id } = decode(call.method, &call.arg)?;
    let canister = existing(network, &canister_id)?;
    let hashes: Vec<_> = canister
        .chunks
        .keys()
        .map(|hash| ChunkHash {
            hash: hash.to_vec(),
        })
        .collect();
    Ok(Outcome::Reply(reply(&hashes)))
}

pub(super) fn clear(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let CanisterIdRecord { canister_id } = decode(call.method, &call.arg)?;
    existing(network, &canister_id)?.chunks.clear();
    done()
}

fn refused(reason: String) -> Reject {
    Reject::of(ErrorCode::CanisterContractViolation, reason)
}
