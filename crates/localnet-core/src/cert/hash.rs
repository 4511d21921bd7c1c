//! Hashing hash trees: every kind of node under its own domain separator.

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

pub(super) fn leaf_hash(value: &[u8]) -> Hash {
    separated("ic-hashtree-leaf")
        .chain_update(value)
        .finalize()
        .into()
}

pub(super) fn labelled_hash(label: &[u8], content: &Hash) -> Hash {
    separated("ic-hashtree-labeled")
        .chain_update(label)
        .chain_update(content)
        .finalize()
        .into()
}

pub(super) fn fork_hash(left: &Hash, right: &Hash) -> Hash {
    separated("ic-hashtree-fork")
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

pub(super) fn empty_hash() -> Hash {
    separated("ic-hashtree-empty").finalize().into()
}

/// SHA-256 begun with a domain separator: its length in one byte, then itself.
pub(super) fn separated(domain: &str) -> Sha256 {
    let length = u8::try_from(domain.len()).expect("BUG: domain separators are short");
    Sha256::new().chain_update([length]).chain_update(domain)
}
