//! 32-byte hashes and the one way in which this project feeds SHA-256.
//!
//! Invariant: an encoding is a domain followed by fields, each preceded by its length as eight
//! little-endian bytes. Two different lists of fields never give the same bytes.

use std::{fmt, str::FromStr};

use candid::{
    CandidType,
    types::{Serializer, Type},
};
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

/// A 32-byte hash: `blob` in Candid, lowercase hex in text.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash32(pub [u8; 32]);

/// Why a text or a blob is not a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Not 32 bytes.
    #[error("a hash has 32 bytes, this has {0}")]
    Length(usize),
    /// Not hexadecimal.
    #[error("a hash is written as 64 hexadecimal digits")]
    NotHex,
}

impl Hash32 {
    /// SHA-256 of `bytes`, without a domain: for files and answers, whose hashes others compute too.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight hexadecimal digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl fmt::Display for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash32({self})")
    }
}

impl FromStr for Hash32 {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let bytes = hex::decode(text).map_err(|_| HashError::NotHex)?;
        Self::try_from(bytes.as_slice())
    }
}

impl TryFrom<&[u8]> for Hash32 {
    type Error = HashError;

    fn try_from(bytes: &[u8]) -> Result<Self, HashError> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| HashError::Length(bytes.len()))
    }
}

impl From<[u8; 32]> for Hash32 {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl CandidType for Hash32 {
    fn _ty() -> Type {
        serde_bytes::ByteBuf::ty()
    }

    fn idl_serialize<S: Serializer>(&self, serializer: S) -> Result<(), S::Error> {
        serializer.serialize_blob(&self.0)
    }
}

impl Serialize for Hash32 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hash32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
        Self::try_from(bytes.as_slice()).map_err(serde::de::Error::custom)
    }
}

/// SHA-256 over a domain and length-prefixed fields.
#[derive(Clone, Debug)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Starts an encoding of its own kind.
    pub fn new(domain: &str) -> Self {
        Self(Sha256::new()).bytes(domain.as_bytes())
    }

    /// Adds a field of any length.
    pub fn bytes(mut self, field: &[u8]) -> Self {
        self.0.update((field.len() as u64).to_le_bytes());
        self.0.update(field);
        self
    }

    /// Adds a number as eight little-endian bytes.
    pub fn u64(self, field: u64) -> Self {
        self.bytes(&field.to_le_bytes())
    }

    /// Adds a signed number as eight little-endian bytes.
    pub fn i64(self, field: i64) -> Self {
        self.bytes(&field.to_le_bytes())
    }

    /// Adds an amount as sixteen little-endian bytes.
    pub fn u128(self, field: u128) -> Self {
        self.bytes(&field.to_le_bytes())
    }

    /// Adds a hash.
    pub fn hash(self, field: &Hash32) -> Self {
        self.bytes(&field.0)
    }

    /// Adds token ids, four little-endian bytes each, as one field.
    pub fn tokens(self, field: &[u32]) -> Self {
        let bytes: Vec<u8> = field.iter().flat_map(|token| token.to_le_bytes()).collect();
        self.bytes(&bytes)
    }

    /// The hash of all that was added.
    pub fn finish(self) -> Hash32 {
        Hash32(self.0.finalize().into())
    }
}
