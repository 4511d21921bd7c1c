//! Blocks as ICRC-3 shows them, and the hash that chains them.

use std::collections::BTreeMap;

use candid::{CandidType, Int, Nat};
use serde::Deserialize;
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};

use super::account::Account;

/// A generic value (ICRC-3, "Value").
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(super) enum Value {
    /// An integer.
    Int(Int),
    /// Named values, in order of names.
    Map(Vec<(String, Value)>),
    /// A natural number.
    Nat(Nat),
    /// A natural number below 2^64.
    Nat64(u64),
    /// Bytes.
    Blob(ByteBuf),
    /// Text.
    Text(String),
    /// Values in order.
    Array(Vec<Value>),
}

impl Value {
    pub(super) fn nat(number: impl Into<Nat>) -> Self {
        Self::Nat(number.into())
    }

    pub(super) fn blob(bytes: &[u8]) -> Self {
        Self::Blob(ByteBuf::from(bytes.to_vec()))
    }

    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn account(account: &Account) -> Self {
        let mut parts = vec![Self::blob(account.owner.as_slice())];
        parts.extend(account.subaccount.map(|bytes| Self::blob(&bytes)));
        Self::Array(parts)
    }

    pub(super) fn map(entries: BTreeMap<&str, Self>) -> Self {
        let named = |(name, value): (&str, Self)| (name.to_owned(), value);
        Self::Map(entries.into_iter().map(named).collect())
    }

    /// The representation-independent hash (ICRC-3, "Value hash").
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut sink = Vec::new();
        match self {
            Self::Int(number) => number.encode(&mut sink).expect("BUG: a vector grows"),
            Self::Nat(number) => number.encode(&mut sink).expect("BUG: a vector grows"),
            Self::Nat64(number) => Nat::from(*number)
                .encode(&mut sink)
                .expect("BUG: a vector grows"),
            Self::Blob(bytes) => sink.extend_from_slice(bytes),
            Self::Text(text) => sink.extend_from_slice(text.as_bytes()),
            Self::Array(values) => values
                .iter()
                .for_each(|value| sink.extend_from_slice(&value.hash())),
            Self::Map(entries) => {
                let mut pairs: Vec<[u8; 64]> = entries
                    .iter()
                    .map(|(name, value)| {
                        let mut pair = [0; 64];
                        pair[..32].copy_from_slice(&Sha256::digest(name.as_bytes()));
                        pair[32..].copy_from_slice(&value.hash());
                        pair
                    })
                    .collect();
                pairs.sort_unstable();
                pairs.iter().for_each(|pair| sink.extend_from_slice(pair));
            }
        }
        Sha256::digest(&sink).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples in the text of ICRC-3.
    #[test]
    fn hashes_are_those_of_the_standard() {
        let cases = [
            (
                Value::nat(42_u8),
                "684888c0ebb17f374298b65ee2807526c066094c701bcc7ebbe1c1095f494fc1",
            ),
            (
                Value::Int(Int::from(-42)),
                "de5a6f78116eca62d7fc5ce159d23ae6b889b365a1739ad2cf36f925a140d0cc",
            ),
            (
                Value::text("Hello, World!"),
                "dffd6021bb2bd5b0af676290809ec3a53191dd81c7f70a4b28688a362182986f",
            ),
            (
                Value::blob(&[1, 2, 3, 4]),
                "9f64a747e1b97f131fabb6b447296c9b6f0201e79fb3c5356e6c77e89b6a806a",
            ),
            (
                Value::Array(vec![
                    Value::nat(3_u8),
                    Value::text("foo"),
                    Value::blob(&[5, 6]),
                ]),
                "514a04011caa503990d446b7dec5d79e19c221ae607fb08b2848c67734d468d6",
            ),
        ];
        for (value, hash) in cases {
            assert_eq!(hex::encode(value.hash()), hash, "{value:?}");
        }
    }
}
