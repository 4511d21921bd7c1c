//! Signatures of canisters (interface specification, "Canister signatures"): a canister signs by certifying a tree that
//! has the message's hash in it.

use candid::Principal;
use ic_certification::{Certificate, HashTree, LookupResult};
use ic_verify_bls_signature::verify_bls_signature;
use serde::{Deserialize, de::DeserializeOwned};
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

#[derive(Deserialize)]
struct CanisterSignature {
    #[serde(with = "serde_bytes")]
    certificate: Vec<u8>,
    tree: HashTree,
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
        let CanisterSignature { certificate, tree } = decode(signature)?;
        let certificate: Certificate = decode(&certificate)?;
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
            .find(|subnet| subnet.id.as_slice() == delegation.subnet_id)
            .filter(|subnet| subnet.hosts(&signer) && subnet.kind != SubnetKind::CloudEngine)
            .ok_or(Error::Subnet { signer })?;
        let made: Certificate = decode(&delegation.certificate)?;
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

fn decode<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T, CanisterSignatureError> {
    match ciborium::from_reader(&mut bytes) {
        Ok(value) if bytes.is_empty() => Ok(value),
        _ => Err(CanisterSignatureError::Malformed),
    }
}
