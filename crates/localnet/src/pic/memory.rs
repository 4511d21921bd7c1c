//! A canister's cycles and stable memory, changed without asking it.

use std::sync::Arc;

use assay_localnet_core::network::{Input, access::AccessError};
use axum::http::StatusCode;

use super::{
    answer::{Answer, ApiError, Outcome},
    blobs::Blobs,
    instances::Instance,
    limits::STABLE_BYTES_MAX,
    shapes::{AddCycles, Blob, CanisterId, RawCycles, SetStableMemory, StableMemory},
};

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        Self::bad(error.to_string())
    }
}

pub(super) async fn get_cycles(instance: Arc<Instance>, id: CanisterId) -> Outcome {
    let id = id.canister_id.0;
    let cycles = instance
        .network
        .run(move |actor| actor.network().balance(&id))
        .await?
        .ok_or(AccessError::NotFound { id })?;
    Ok(Answer::of(&RawCycles { cycles }))
}

/// Gives the new balance.
pub(super) async fn add_cycles(instance: Arc<Instance>, args: AddCycles) -> Outcome {
    let AddCycles {
        canister_id,
        amount,
    } = args;
    let cycles = instance
        .network
        .run(move |actor| {
            let canister = canister_id.0;
            actor.change(
                |network| network.add_cycles(&canister, amount),
                |_| Input::Cycles { canister, amount },
            )
        })
        .await??;
    Ok(Answer::of(&RawCycles { cycles }))
}

pub(super) async fn get_stable(instance: Arc<Instance>, id: CanisterId) -> Outcome {
    let id = id.canister_id.0;
    let blob = instance
        .network
        .run(move |actor| actor.network().stable_memory(&id))
        .await??;
    if blob.len() > STABLE_BYTES_MAX {
        return Err(ApiError(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the stable memory of canister {id} has {} bytes, and at most {STABLE_BYTES_MAX} are given",
                blob.len()
            ),
        ));
    }
    Ok(Answer::of(&StableMemory { blob: Blob(blob) }))
}

/// Replaces a canister's stable memory by a blob.
pub(super) async fn set_stable(
    instance: Arc<Instance>,
    blobs: &Blobs,
    args: SetStableMemory,
) -> Outcome {
    let SetStableMemory {
        canister_id,
        blob_id,
    } = args;
    let blob = blobs.get(&blob_id.0).ok_or_else(|| {
        ApiError::bad(format!(
            "there is no blob {}; send it to /blobstore first",
            hex::encode(&blob_id.0)
        ))
    })?;
    instance
        .network
        .run(move |actor| {
            let canister = canister_id.0;
            actor.change(
                |network| network.set_stable_memory(&canister, &blob),
                |_| Input::Stable {
                    canister,
                    bytes: blob.to_vec(),
                },
            )
        })
        .await??;
    Ok(Answer::null())
}
