//! Control tokens by their text, for finding them in other text.

use std::{collections::BTreeMap, string::String, vec::Vec};

/// The texts of a tokenizer's control tokens.
#[derive(Debug)]
pub(super) struct ControlTexts {
    /// Texts by first byte, longest first.
    by_first: BTreeMap<u8, Vec<(String, u32)>>,
    pub(super) longest: usize,
}

impl ControlTexts {
    pub(super) fn new(texts: BTreeMap<String, u32>) -> Self {
        let longest = texts.keys().map(String::len).max().unwrap_or(0);
        let mut by_first: BTreeMap<u8, Vec<(String, u32)>> = BTreeMap::new();
        for (text, id) in texts {
            if let Some(first) = text.bytes().next() {
                by_first.entry(first).or_default().push((text, id));
            }
        }
        for texts in by_first.values_mut() {
            texts.sort_by_key(|(text, _)| core::cmp::Reverse(text.len()));
        }
        Self { by_first, longest }
    }

    /// The first control token in `text`, the longest one there: position, length, id.
    pub(super) fn find(&self, text: &str) -> Option<(usize, usize, u32)> {
        (0..text.len()).find_map(|at| {
            self.at(&text.as_bytes()[at..])
                .map(|(len, id)| (at, len, id))
        })
    }

    /// The longest control token that `bytes` begins with: length, id.
    pub(super) fn at(&self, bytes: &[u8]) -> Option<(usize, u32)> {
        let texts = self.by_first.get(bytes.first()?)?;
        let found = texts
            .iter()
            .find(|(text, _)| bytes.starts_with(text.as_bytes()));
        found.map(|(text, id)| (text.len(), *id))
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.by_first
            .values()
            .flatten()
            .map(|(text, _)| text.as_str())
    }
}
