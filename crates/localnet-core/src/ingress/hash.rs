//! The representation-independent hash of structured data (interface specification), and the request id that it makes.

use sha2::{Digest, Sha256};

use super::cbor::Value;

/// The hash of a map: over its names and values in whatever order.
pub fn hash_of_map(pairs: &[(&str, Value<'_>)]) -> [u8; 32] {
    let mut hashes: Vec<[u8; 64]> = pairs
        .iter()
        .map(|(name, value)| {
            let mut pair = [0; 64];
            pair[..32].copy_from_slice(&Sha256::digest(name));
            pair[32..].copy_from_slice(&hash_of(value));
            pair
        })
        .collect();
    hashes.sort_unstable();
    Sha256::digest(hashes.concat()).into()
}

fn hash_of(value: &Value<'_>) -> [u8; 32] {
    match value {
        Value::Nat(number) => Sha256::digest(leb128(*number)).into(),
        Value::Bytes(bytes) => Sha256::digest(bytes).into(),
        Value::Text(text) => Sha256::digest(text).into(),
        Value::Array(items) => {
            let hashes: Vec<_> = items.iter().map(hash_of).collect();
            Sha256::digest(hashes.concat()).into()
        }
        Value::Map(pairs) => hash_of_map(pairs),
    }
}

fn leb128(mut number: u128) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
