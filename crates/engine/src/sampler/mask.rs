//! Which tokens a draw may take.

use alloc::{vec, vec::Vec};

/// A set of token ids below a bound.
#[derive(Clone, PartialEq, Eq)]
pub struct Mask {
    words: Vec<u64>, // bit i % 64 of word i / 64 is token i
}

impl Mask {
    /// No token of a vocabulary.
    pub fn none(vocab: usize) -> Self {
        Self {
            words: vec![0; vocab.div_ceil(64)],
        }
    }

    /// Allows a token; one outside the vocabulary is passed over.
    pub fn allow(&mut self, token: u32) {
        if let Some(word) = self.words.get_mut(token as usize / 64) {
            *word |= 1 << (token % 64);
        }
    }

    /// Whether a token may be drawn.
    #[inline]
    pub fn allows(&self, token: u32) -> bool {
        let word = self.words.get(token as usize / 64).copied().unwrap_or(0);
        word >> (token % 64) & 1 == 1
    }

    /// How many tokens may be drawn.
    pub fn count(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }
}

impl core::fmt::Debug for Mask {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Mask of {} tokens", self.count())
    }
}
