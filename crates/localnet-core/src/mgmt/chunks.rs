//! The chunk store: modules that are too long for one message.

use std::collections::BTreeMap;

use ic_management_canister_types::{CanisterIdRecord, ChunkHash, UploadChunkArgs};
use sha2::{Digest as _, Sha256};

use super::{Call, Outcome, charge, check_growth, done, existing, reply};
use crate::{
    help, limits,
    network::Network,
    types::{ErrorCode, Reject},
};

/// What storing a chunk costs, in instructions.
const UPLOAD_INSTRUCTIONS: u64 = 2_000_000;

pub(super) fn upload(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let UploadChunkArgs { canister_id, chunk } = call.decode()?;
    let canister = existing(network, &canister_id)?;
    let hash = Sha256::digest(&chunk).into();
    if !canister.chunks.contains_key(&hash) {
        check(&canister.chunks, &chunk)?;
        check_growth(canister, limits::CHUNK_BYTES_MAX as u64)?;
        charge(network, &canister_id, UPLOAD_INSTRUCTIONS, &call.caller).map_err(|reject| {
            refused(format!(
                "Error charging for 'upload_chunk': {}",
                reject.message
            ))
        })?;
        existing(network, &canister_id)?.chunks.insert(hash, chunk);
    }
    Ok(Outcome::Reply(reply(&ChunkHash {
        hash: hash.to_vec(),
    })))
}

pub(super) fn stored(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let CanisterIdRecord { canister_id } = call.decode()?;
    let canister = existing(network, &canister_id)?;
    Ok(Outcome::Reply(reply(&hashes(&canister.chunks))))
}

pub(super) fn clear(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let CanisterIdRecord { canister_id } = call.decode()?;
    existing(network, &canister_id)?.chunks.clear();
    done()
}

/// What a store holds, as clients see it.
pub(super) fn hashes(chunks: &BTreeMap<[u8; 32], Vec<u8>>) -> Vec<ChunkHash> {
    chunks
        .keys()
        .map(|hash| ChunkHash {
            hash: hash.to_vec(),
        })
        .collect()
}

/// Whether a store takes another chunk.
pub(super) fn check(chunks: &BTreeMap<[u8; 32], Vec<u8>>, chunk: &[u8]) -> Result<(), Reject> {
    if chunk.len() > limits::CHUNK_BYTES_MAX {
        return Err(refused(format!(
            "Wasm chunk size {} exceeds the maximum chunk size of {}",
            chunk.len(),
            limits::CHUNK_BYTES_MAX
        )));
    }
    if chunks.len() >= limits::CHUNKS_MAX {
        return Err(refused(format!(
            "Wasm chunk store has already reached maximum capacity of {} chunks; empty it with clear_chunk_store",
            limits::CHUNKS_MAX
        )));
    }
    Ok(())
}

/// What goes wrong with chunks.
pub(super) fn refused(reason: String) -> Reject {
    help::CHUNK_STORE.reject(
        ErrorCode::CanisterContractViolation,
        format!("Error from Wasm chunk store: {reason}."),
    )
}
