//! Text from tokens as they come.

use std::{string::String, vec::Vec};

use super::Tokenizer;
use crate::run::{StopScanner, StopStrings};

/// Decodes an answer token by token, holding back the bytes of a character that is not yet complete, and those that may still become a
/// stop string. Nothing of a stop string is let out, nor anything after it.
#[derive(Debug)]
pub struct Detokenizer<'a> {
    tokenizer: &'a Tokenizer,
    stops: StopStrings,
    scanner: StopScanner,
    /// Bytes that were not let out, at most three and a stop string.
    held: Vec<u8>,
    /// How many bytes were let out.
    told: usize,
}

impl<'a> Detokenizer<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer, stops: StopStrings) -> Self {
        Self {
            tokenizer,
            scanner: stops.scan(),
            stops,
            held: Vec::new(),
            told: 0,
        }
    }

    /// The text that this token completes; often empty in scripts whose characters take several tokens.
    pub fn push(&mut self, id: u32) -> String {
        if self.tokenizer.is_control(id) || self.stopped() {
            return String::new();
        }
        let piece = self.tokenizer.piece(id);
        self.held.extend_from_slice(piece);
        self.scanner.push(&self.stops, piece);
        let settled = &self.held[..self.scanner.settled() - self.told];
        let complete = match self.stopped() {
            true => settled.len(),
            false => complete_len(settled),
        };
        let text = String::from_utf8_lossy(&self.held[..complete]).into_owned();
        self.told += complete;
        match self.stopped() {
            true => self.held.clear(),
            false => drop(self.held.drain(..complete)),
        }
        text
    }

    /// Whether a stop string has come up.
    pub fn stopped(&self) -> bool {
        self.scanner.found().is_some()
    }

    /// What is left at the end: what might have become a stop string, and U+FFFD for a character that was never completed.
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
