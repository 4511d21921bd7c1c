//! Signatures of canisters (interface specification, "Canister signatures"): a canister signs by certifying a tree that
//! has the message's hash in it.

use candid::Principal;
use ciborium::Value;
use ic_certification::{
    HashTree, LookupResult,
    hash_tree::{empty, fork, label, leaf, pruned},
};
use ic_verify_bls_signature::verify_bls_signature;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::{
    cert::STATE_ROOT_DOMAIN,
    topology::{SubnetKey, SubnetKind, Topology},
};

/// Why a canister's signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CanisterSignatureError {
    /// Not a certificate and a tree.
    #[error("the canister signature is not a CBOR map with `certificate` and `tree`")]
    Malformed,
    /// By a subnet that is not there, or does not host the canister.
    #[error("the canister signature's certificate is not from the subnet of canister {signer}")]
    Subnet {
        /// Who should have signed.
        signer: Principal,
    },
    /// A certificate that is wrong.
    #[error("the canister signature's certificate does not verify")]
    Certificate,
    /// A tree that the canister has not certified.
    #[error("canister {signer} has not certified the canister signature's tree")]
    NotCertified {
        /// Who should have.
        signer: Principal,
    },
    /// A tree without the message.
    #[error("canister {signer} has not signed this message with this key")]
    NotSigned {
        /// Who should have.
        signer: Principal,
    },
}

/// A public key of a canister.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanisterKey {
    /// The canister.
    signer: Principal,
    /// Which of its keys.
    seed: Vec<u8>,
}

struct CanisterSignature {
    certificate: Vec<u8>,
    tree: HashTree,
}

struct Certificate {
    tree: HashTree,
    signature: Vec<u8>,
    delegation: Option<Delegation>,
}

struct Delegation {
    subnet: Vec<u8>,
    certificate: Vec<u8>,
}

impl CanisterKey {
    /// Reads a key from the bits of a SubjectPublicKeyInfo.
    pub(super) fn from_bits(bits: &[u8]) -> Option<Self> {
        let (length, rest) = bits.split_first()?;
        let (signer, seed) = rest.split_at_checked(usize::from(*length))?;
        Some(Self {
            signer: Principal::try_from_slice(signer).ok()?,
            seed: seed.to_vec(),
        })
    }

    /// The canister that signs.
    pub(super) fn signer(&self) -> Principal {
        self.signer
    }

    /// Checks a signature. Canisters of a network sign for that network only.
    pub(super) fn verify(
        &self,
        message: &[u8],
        signature: &[u8],
        topology: &Topology,
    ) -> Result<(), CanisterSignatureError> {
        use CanisterSignatureError as Error;
        let signer = self.signer;
        let CanisterSignature { certificate, tree } =
            read(signature, CanisterSignature::of).ok_or(Error::Malformed)?;
        let certificate = read(&certificate, Certificate::of).ok_or(Error::Malformed)?;
        let key = self.certifier(&certificate, topology)?;
        check(&certificate, key)?;
        let path = [b"canister", signer.as_slice(), b"certified_data"];
        if certificate.tree.lookup_path(path) != LookupResult::Found(&tree.digest()) {
            return Err(Error::NotCertified { signer });
        }
        let (seed, hash) = (Sha256::digest(&self.seed), Sha256::digest(message));
        match tree.lookup_path([b"sig".as_slice(), &seed, &hash]) {
            LookupResult::Found(b"") => Ok(()),
            _ => Err(Error::NotSigned { signer }),
        }
    }

    /// The key of the subnet that must have made a certificate.
    fn certifier<'a>(
        &self,
        certificate: &Certificate,
        topology: &'a Topology,
    ) -> Result<&'a SubnetKey, CanisterSignatureError> {
        use CanisterSignatureError as Error;
        let root = &topology.root().key;
        let Some(delegation) = &certificate.delegation else {
            return Ok(root);
        };
        let signer = self.signer;
        let subnet = topology
            .subnets()
            .iter()
            .find(|subnet| subnet.id.as_slice() == delegation.subnet)
            .filter(|subnet| subnet.hosts(&signer) && subnet.kind != SubnetKind::CloudEngine)
            .ok_or(Error::Subnet { signer })?;
        let made = read(&delegation.certificate, Certificate::of).ok_or(Error::Malformed)?;
        check(&made, root)?;
        let path = [b"subnet", subnet.id.as_slice(), b"public_key"];
        let named = made.tree.lookup_path(path) == LookupResult::Found(subnet.key.public_der());
        if made.delegation.is_none() && named {
            Ok(&subnet.key)
        } else {
            Err(Error::Certificate)
        }
    }
}

/// Whether the key has signed the certificate.
fn check(certificate: &Certificate, key: &SubnetKey) -> Result<(), CanisterSignatureError> {
    let message = [STATE_ROOT_DOMAIN, &certificate.tree.digest()].concat();
    verify_bls_signature(&certificate.signature, &message, key.public_bytes())
        .map_err(|()| CanisterSignatureError::Certificate)
}

impl CanisterSignature {
    fn of(value: &Value) -> Option<Self> {
        Some(Self {
            certificate: field(value, "certificate").and_then(bytes)?,
            tree: field(value, "tree").and_then(tree)?,
        })
    }
}

impl Certificate {
    fn of(value: &Value) -> Option<Self> {
        Some(Self {
            tree: field(value, "tree").and_then(tree)?,
            signature: field(value, "signature").and_then(bytes)?,
            delegation: match field(value, "delegation") {
                Some(value) => Some(Delegation::of(value)?),
                None => None,
            },
        })
    }
}

impl Delegation {
    fn of(value: &Value) -> Option<Self> {
        Some(Self {
            subnet: field(value, "subnet_id").and_then(bytes)?,
            certificate: field(value, "certificate").and_then(bytes)?,
        })
    }
}

/// Reads one CBOR value, of which the decoder bounds the nesting, with or without the self-describe tag.
fn read<T>(mut encoded: &[u8], of: impl Fn(&Value) -> Option<T>) -> Option<T> {
    let value: Value = ciborium::from_reader(&mut encoded).ok()?;
    match value {
        _ if !encoded.is_empty() => None,
        Value::Tag(_, value) => of(value.as_ref()),
        value => of(&value),
    }
}

fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    let (_, value) = map
        .as_map()?
        .iter()
        .find(|(key, _)| key.as_text() == Some(name))?;
    Some(value)
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    value.as_bytes().cloned()
}

fn tree(value: &Value) -> Option<HashTree> {
    let (kind, parts) = value.as_array()?.split_first()?;
    match (u8::try_from(kind.as_integer()?).ok()?, parts) {
        (0, []) => Some(empty()),
        (1, [left, right]) => Some(fork(tree(left)?, tree(right)?)),
        (2, [name, below]) => Some(label(bytes(name)?, tree(below)?)),
        (3, [value]) => Some(leaf(bytes(value)?)),
        (4, [hash]) => Some(pruned(<[u8; 32]>::try_from(bytes(hash)?).ok()?)),
        _ => None,
    }
}
