//! Signing keys of subnets (BLS12-381) and nodes (Ed25519), with their public halves in DER.

use std::fmt;

use ic_verify_bls_signature::PrivateKey as BlsKey;
use sha2::{Digest, Sha256};

/// DER of a BLS12-381 public key in G2, before the 96 bytes of the point.
const BLS_DER_PREFIX: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05,
    0x03, 0x01, 0x02, 0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03,
    0x02, 0x01, 0x03, 0x61, 0x00,
];

/// A subnet's signing key.
#[derive(Clone)]
pub struct SubnetKey {
    secret: BlsKey,
    public_der: Vec<u8>,
}

impl SubnetKey {
    pub(super) fn derive(seed: &[u8; 32], subnet: &str) -> Self {
        let mut scalar = secret(seed, &["subnet", subnet]);
        // Two bits less than the group order has, so that every hash is a scalar.
        scalar[0] &= 0x3f;
        let secret =
            BlsKey::deserialize(&scalar).expect("BUG: a 254-bit number is below the group order");
        let public_der = [&BLS_DER_PREFIX[..], &secret.public_key().serialize()].concat();
        Self { secret, public_der }
    }

    /// The public key, DER, 133 bytes.
    pub fn public_der(&self) -> &[u8] {
        &self.public_der
    }

    /// The public key's point, 96 bytes.
    pub(crate) fn public_bytes(&self) -> &[u8] {
        &self.public_der[BLS_DER_PREFIX.len()..]
    }

    /// Signs; 48 bytes. Takes about a millisecond.
    pub fn sign(&self, message: &[u8]) -> [u8; 48] {
        self.secret.sign(message).serialize()
    }
}

impl fmt::Debug for SubnetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubnetKey({})", hex::encode(self.public_bytes()))
    }
}

/// A node's signing key.
#[derive(Clone)]
pub struct NodeKey {
    secret: ic_ed25519::PrivateKey,
    public_der: Vec<u8>,
}

impl NodeKey {
    pub(super) fn derive(seed: &[u8; 32], subnet: &str, index: usize) -> Self {
        let secret = ic_ed25519::PrivateKey::deserialize_raw_32(&secret(
            seed,
            &["node", subnet, &index.to_string()],
        ));
        let public_der = secret.public_key().serialize_rfc8410_der();
        Self { secret, public_der }
    }

    /// The public key, DER, 44 bytes.
    pub fn public_der(&self) -> &[u8] {
        &self.public_der
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.secret.sign_message(message)
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "NodeKey({})",
            hex::encode(self.secret.public_key().serialize_raw())
        )
    }
}

/// What a subnet is said to be made from; no key follows from it.
pub(super) fn subnet_seed(seed: &[u8; 32], subnet: &str) -> [u8; 32] {
    secret(seed, &["seed", subnet])
}

fn secret(seed: &[u8; 32], purpose: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new()
        .chain_update("assay-localnet/key/1")
        .chain_update(seed);
    for word in purpose {
        hash = hash
            .chain_update((word.len() as u64).to_be_bytes())
            .chain_update(word);
    }
    hash.finalize().into()
}
