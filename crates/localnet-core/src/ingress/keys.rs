//! Users' public keys (DER) and their signatures: Ed25519, ECDSA over secp256k1 or P-256 as `r ‖ s`, and canisters'.

use thiserror::Error;

use super::canister::{CanisterKey, CanisterSignatureError};
use crate::topology::Topology;

/// Object identifiers, as they stand in DER.
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const SECP256K1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x0a];
const COSE: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x01];
const CANISTER_SIGNATURE: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x02];

const SEQUENCE: u8 = 0x30;
const OBJECT_ID: u8 = 0x06;
const BIT_STRING: u8 = 0x03;

/// Length of every signature here but canisters'.
const SIGNATURE_BYTES: usize = 64;

/// Why a public key is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not a key in DER at all.
    #[error("the public key is not a DER-encoded SubjectPublicKeyInfo")]
    NotDer,
    /// A key of a scheme that the Internet Computer does not know.
    #[error(
        "the public key's algorithm (object id {oid}) is none of Ed25519, ECDSA secp256k1, ECDSA P-256 and canister \
         signatures"
    )]
    UnknownAlgorithm {
        /// The object identifiers, hexadecimal.
        oid: String,
    },
    /// A WebAuthn key.
    #[error(
        "web authentication keys are not supported by this network yet; use an Ed25519 or ECDSA identity"
    )]
    WebAuthn,
    /// A canister's key that does not name one.
    #[error("the canister signature's public key names no canister")]
    CanisterSignature,
    /// The right scheme, but no point of its curve.
    #[error("the {scheme} public key is not a valid point")]
    InvalidPoint {
        /// The scheme's name.
        scheme: &'static str,
    },
}

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// Not as long as a signature is.
    #[error("the signature has {length} bytes instead of {SIGNATURE_BYTES}")]
    Length {
        /// Its length.
        length: usize,
    },
    /// It does not fit the message and the key.
    #[error("the signature does not verify")]
    Invalid,
    /// A canister's that does not hold.
    #[error(transparent)]
    Canister(#[from] CanisterSignatureError),
}

/// A user's public key.
#[derive(Clone, Debug)]
pub enum PublicKey {
    /// Ed25519.
    Ed25519(ic_ed25519::PublicKey),
    /// ECDSA over secp256k1 with SHA-256.
    Secp256k1(ic_secp256k1::PublicKey),
    /// ECDSA over P-256 with SHA-256.
    P256(ic_secp256r1::PublicKey),
    /// A canister's.
    Canister(CanisterKey),
}

impl PublicKey {
    /// Reads a key.
    ///
    /// # Errors
    /// Where it is no key, or one of another scheme.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let (algorithm, parameters) = algorithm(der).ok_or(KeyError::NotDer)?;
        match (algorithm, parameters) {
            (ED25519, None) => ic_ed25519::PublicKey::deserialize_rfc8410_der(der)
                .map(Self::Ed25519)
                .map_err(|_| KeyError::InvalidPoint { scheme: "Ed25519" }),
            (EC_PUBLIC_KEY, Some(SECP256K1)) => ic_secp256k1::PublicKey::deserialize_der(der)
                .map(Self::Secp256k1)
                .map_err(|_| KeyError::InvalidPoint {
                    scheme: "ECDSA secp256k1",
                }),
            (EC_PUBLIC_KEY, Some(P256)) => ic_secp256r1::PublicKey::deserialize_der(der)
                .map(Self::P256)
                .map_err(|_| KeyError::InvalidPoint {
                    scheme: "ECDSA P-256",
                }),
            (COSE, _) => Err(KeyError::WebAuthn),
            (CANISTER_SIGNATURE, None) => bits(der)
                .and_then(CanisterKey::from_bits)
                .map(Self::Canister)
                .ok_or(KeyError::CanisterSignature),
            (algorithm, parameters) => {
                let ids = [Some(algorithm), parameters]
                    .into_iter()
                    .flatten()
                    .map(hex::encode);
                Err(KeyError::UnknownAlgorithm {
                    oid: ids.collect::<Vec<_>>().join(" "),
                })
            }
        }
    }

    /// Checks a signature; those of canisters are good on their own network.
    ///
    /// # Errors
    /// Where it is none by this key over this message.
    pub fn verify(
        &self,
        message: &[u8],
        signature: &[u8],
        topology: &Topology,
    ) -> Result<(), SignatureError> {
        if let Self::Canister(key) = self {
            return Ok(key.verify(message, signature, topology)?);
        }
        if signature.len() != SIGNATURE_BYTES {
            return Err(SignatureError::Length {
                length: signature.len(),
            });
        }
        let valid = match self {
            Self::Ed25519(key) => key.verify_signature(message, signature).is_ok(),
            // Both values of s are taken: what is signed is known by the hash of its content, never by its signature.
            Self::Secp256k1(key) => {
                key.verify_ecdsa_signature_with_malleability(message, signature)
            }
            Self::P256(key) => key.verify_signature(message, signature),
            Self::Canister(_) => false,
        };
        if valid {
            Ok(())
        } else {
            Err(SignatureError::Invalid)
        }
    }
}

/// The algorithm of a SubjectPublicKeyInfo, and its parameters where they are an object identifier.
fn algorithm(der: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (info, b"") = element(der, SEQUENCE)? else {
        return None;
    };
    let (identifier, _) = element(info, SEQUENCE)?;
    let (algorithm, rest) = element(identifier, OBJECT_ID)?;
    match rest {
        b"" => Some((algorithm, None)),
        rest => match element(rest, OBJECT_ID) {
            Some((parameters, b"")) if parameters.len() <= 16 => {
                Some((algorithm, Some(parameters)))
            }
            _ => None,
        },
    }
    .filter(|(algorithm, _)| algorithm.len() <= 16)
}

/// The bits of a SubjectPublicKeyInfo's key, which must be whole bytes.
fn bits(der: &[u8]) -> Option<&[u8]> {
    let (info, b"") = element(der, SEQUENCE)? else {
        return None;
    };
    let (_, rest) = element(info, SEQUENCE)?;
    match element(rest, BIT_STRING)? {
        ([0, bits @ ..], b"") => Some(bits),
        _ => None,
    }
}

/// The content of the DER element with which the bytes begin, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => (
            usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])),
            &rest[2..],
        ),
        _ => return None,
    };
    rest.split_at_checked(length)
}
