//! Text from tokens as they come.

use std::{string::String, vec::Vec};

use super::Tokenizer;

/// Decodes an answer token by token, holding back the bytes of a character that is not yet complete.
#[derive(Debug)]
pub struct Detokenizer<'a> {
    tokenizer: &'a Tokenizer,
    /// At most three bytes: the beginning of one character.
    held: Vec<u8>,
}

impl<'a> Detokenizer<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            held: Vec::new(),
        }
    }

    /// The text that this token completes; often empty in scripts whose characters take several tokens.
    pub fn push(&mut self, id: u32) -> String {
        if self.tokenizer.is_control(id) {
            return String::new();
        }
        self.held.extend_from_slice(self.tokenizer.piece(id));
        let complete = complete_len(&self.held);
        let text = String::from_utf8_lossy(&self.held[..complete]).into_owned();
        self.held.drain(..complete);
        text
    }

    /// What is left at the end: U+FFFD for a character that was never completed.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.held).into_owned()
    }
}

/// How many leading bytes do not depend on what follows.
fn complete_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Err(error) = core::str::from_utf8(&bytes[at..]) {
        at += error.valid_up_to();
        match error.error_len() {
            Some(wrong) => at += wrong,
            None => return at,
        }
    }
    bytes.len()
}
