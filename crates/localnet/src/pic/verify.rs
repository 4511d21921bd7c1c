//! Signatures that canisters make for others: checked for a client that cannot.

use axum::http::StatusCode;
use ic_signature_verification::verify_canister_sig;

use super::{
    answer::{Answer, ApiError, Body, Outcome, parse},
    shapes::VerifySignature,
};

/// Bytes of DER before the key itself in a root key.
const ROOT_KEY_PREFIX_BYTES: usize = 37;

/// Bytes of a root key.
const ROOT_KEY_BYTES: usize = 96;

/// Checks a canister signature under a root key.
pub(super) async fn verify(body: Body) -> Outcome {
    let VerifySignature {
        msg,
        sig,
        pubkey,
        root_pubkey,
    } = parse(body)?;
    // Pairings take milliseconds.
    let checked = tokio::task::spawn_blocking(move || {
        let root = root_pubkey
            .0
            .get(ROOT_KEY_PREFIX_BYTES..)
            .filter(|key| key.len() == ROOT_KEY_BYTES)
            .ok_or("the root key is not a DER-encoded BLS key")?;
        verify_canister_sig(&msg.0, &sig.0, &pubkey.0, root).map_err(|error| error.to_string())
    });
    let result: Result<(), String> = checked
        .await
        .map_err(|error| ApiError(StatusCode::INTERNAL_SERVER_ERROR, format!("BUG: {error}")))?;
    Ok(Answer::of(&result))
}
