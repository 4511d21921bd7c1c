//! Methods of the Internet Computer that this network does not have, and what their callers are told.

use candid::{CandidType, Principal};
use ic_management_canister_types::{
    EcdsaCurve, EcdsaKeyId, SchnorrAlgorithm, SchnorrKeyId, VetKDCurve, VetKDKeyId,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::decode;
use crate::types::{ErrorCode, Reject, RejectCode};

/// The part of an argument that names a key.
#[derive(CandidType, Deserialize)]
struct WithKey<K> {
    key_id: K,
}

/// Why there is no such method.
pub(super) fn reject(name: &str, arg: &[u8]) -> Reject {
    match name {
        "ecdsa_public_key" | "sign_with_ecdsa" => no_key(name, arg, ecdsa),
        "schnorr_public_key" | "sign_with_schnorr" => no_key(name, arg, schnorr),
        "vetkd_public_key" | "vetkd_derive_key" => no_key(name, arg, vetkd),
        "bitcoin_get_balance"
        | "bitcoin_get_block_headers"
        | "bitcoin_get_current_fee_percentiles"
        | "bitcoin_get_utxos"
        | "bitcoin_send_transaction" => Reject::of(
            ErrorCode::CanisterNotFound,
            format!(
                "Unable to route management canister request {name}: this network has no Bitcoin canister, because it \
                 follows no Bitcoin chain"
            ),
        ),
        "rename_canister" => missing(name, "canisters of this network keep their ids"),
        _ => Reject::of(
            ErrorCode::CanisterMethodNotFound,
            format!("Management canister has no method '{}'", shown(name)),
        ),
    }
}

/// A name that comes from outside, cut to a reasonable length.
pub(super) fn shown(name: &str) -> &str {
    let mut end = name.len().min(64);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

fn missing(name: &str, why: &str) -> Reject {
    Reject::of(
        ErrorCode::CanisterMethodNotFound,
        format!("Management canister has no method '{name}': {why}"),
    )
}

fn no_key<K: CandidType + DeserializeOwned>(
    method: &str,
    arg: &[u8],
    show: impl Fn(K) -> String,
) -> Reject {
    let key = match decode(arg) {
        Ok(WithKey { key_id }) => show(key_id),
        Err(reject) => return reject,
    };
    let what = if method.ends_with("_public_key") {
        format!("Requested unknown threshold key: {key}, existing keys: []")
    } else {
        format!(
            "Requested unknown or signing disabled threshold key: {key}, existing keys with signing enabled: []"
        )
    };
    Reject {
        code: RejectCode::DestinationInvalid,
        error: None,
        message: format!(
            "Unable to route management canister request {method}: ChainKeyError(\"{what}\"); \
             this network holds no threshold keys"
        ),
    }
}

fn ecdsa(key: EcdsaKeyId) -> String {
    let curve = match key.curve {
        EcdsaCurve::Secp256k1 => "Secp256k1",
        EcdsaCurve::Secp256r1 => "Secp256r1",
    };
    format!("ecdsa:{curve}:{}", shown(&key.name))
}

fn schnorr(key: SchnorrKeyId) -> String {
    let algorithm = match key.algorithm {
        SchnorrAlgorithm::Bip340secp256k1 => "Bip340Secp256k1",
        SchnorrAlgorithm::Ed25519 => "Ed25519",
    };
    format!("schnorr:{algorithm}:{}", shown(&key.name))
}

fn vetkd(key: VetKDKeyId) -> String {
    let VetKDCurve::Bls12_381_G2 = key.curve;
    format!("vetkd:Bls12_381_G2:{}", shown(&key.name))
}

/// Where a call to a subnet that does not exist ends.
pub(super) fn no_subnet(id: &Principal) -> Reject {
    Reject::of(
        ErrorCode::SubnetNotFound,
        format!("Subnet {id} not found: it is not a subnet of this network"),
    )
}
