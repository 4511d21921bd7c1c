//! How long envelopes are that nobody sent: those of callers who are believed without a signature.
//!
//! What a message costs depends on the length of its envelope. PocketIC makes one without signatures where a test calls
//! without them, so that is what such a call costs.

use super::cbor::Value;

/// The self-describe tag.
const TAG_BYTES: u64 = 3;
/// Begin and end of a map whose length is not told ahead, as PocketIC writes contents.
const OPEN_MAP_BYTES: u64 = 2;

/// Bytes of the envelope that holds this content and no signature.
pub fn unsigned_bytes(content: &[(&str, Value<'_>)]) -> u64 {
    TAG_BYTES + head(1) + text("content") + OPEN_MAP_BYTES + pairs(content)
}

fn pairs(pairs: &[(&str, Value<'_>)]) -> u64 {
    pairs
        .iter()
        .map(|(name, value)| text(name) + of(value))
        .sum()
}

fn of(value: &Value<'_>) -> u64 {
    match value {
        Value::Nat(number) => head(u64::try_from(*number).unwrap_or(u64::MAX)),
        Value::Bytes(bytes) => head(bytes.len() as u64) + bytes.len() as u64,
        Value::Text(value) => text(value),
        Value::Array(items) => head(items.len() as u64) + items.iter().map(of).sum::<u64>(),
        Value::Map(map) => head(map.len() as u64) + pairs(map),
    }
}

fn text(text: &str) -> u64 {
    head(text.len() as u64) + text.len() as u64
}

/// Bytes of a head: a kind and a number, or a kind and the length of what follows.
fn head(number: u64) -> u64 {
    match number {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        0x1_0000..0x1_0000_0000 => 5,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that are counted, but for the open map, are those of a real encoder.
    #[test]
    fn envelopes_are_as_long_as_they_would_be() {
        for (arg, heads) in [(0, 1), (23, 1), (24, 2), (255, 2), (256, 3), (65_536, 5)] {
            let arg = vec![7; arg];
            let content = [
                ("request_type", Value::Text("call")),
                ("sender", Value::Bytes(&[4])),
                ("canister_id", Value::Bytes(&[0, 0, 0, 0, 0, 0, 0, 7, 1, 1])),
                ("method_name", Value::Text("hello")),
                ("arg", Value::Bytes(&arg)),
                ("ingress_expiry", Value::Nat(1_700_000_000_000_000_000)),
                ("nonce", Value::Bytes(&[0; 8])),
            ];
            // Names with their heads, and what they stand for.
            let fields = (13 + 5) + (7 + 2) + (12 + 11) + (12 + 6) + (15 + 9) + (6 + 9);
            let argument = 4 + heads + arg.len() as u64;
            assert_eq!(
                unsigned_bytes(&content),
                3 + 1 + 8 + 2 + fields + argument,
                "{}",
                arg.len()
            );
        }
    }

    #[test]
    fn lists_and_maps_count_what_is_in_them() {
        let list = Value::Array(vec![Value::Nat(23), Value::Nat(24)]);
        assert_eq!(of(&list), 1 + 1 + 2);
        let map = Value::Map(vec![("a", list)]);
        assert_eq!(of(&map), 1 + 2 + 4);
    }
}
