//! How the tokens of a vocabulary are written, and so which bytes they stand for.

use std::{collections::BTreeMap, vec::Vec};

use tokenizers::{DecoderWrapper, Tokenizer};

/// The ways that are understood.
#[derive(Debug)]
pub(super) enum Spelling {
    /// Every byte is written as one character.
    ByteLevel(BTreeMap<char, u8>),
    /// Spaces are written as U+2581, single bytes as `<0x0A>`.
    SentencePiece,
    /// Words stand alone, continuations begin with `##`.
    WordPiece,
}

impl Spelling {
    /// That of a tokenizer, by how it decodes.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        match tokenizer.get_decoder()? {
            DecoderWrapper::ByteLevel(_) => Some(Self::ByteLevel(byte_alphabet())),
            DecoderWrapper::Sequence(_) => Some(Self::SentencePiece),
            DecoderWrapper::WordPiece(_) => Some(Self::WordPiece),
            _ => None,
        }
    }

    /// The bytes of a token that text is put together from.
    pub(super) fn bytes(&self, text: &str) -> Vec<u8> {
        match self {
            Self::ByteLevel(alphabet) => bytes_from(text, alphabet),
            Self::SentencePiece => match byte_of(text) {
                Some(byte) => Vec::from([byte]),
                None => self.whole(text),
            },
            Self::WordPiece => match text.strip_prefix("##") {
                Some(rest) => rest.as_bytes().to_vec(),
                None => [b" ", text.as_bytes()].concat(),
            },
        }
    }

    /// The bytes of a token that is matched as a whole.
    pub(super) fn whole(&self, text: &str) -> Vec<u8> {
        match self {
            Self::SentencePiece => text.replace('\u{2581}', " ").into_bytes(),
            _ => text.as_bytes().to_vec(),
        }
    }
}

/// The byte that a token like `<0x0A>` stands for.
fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let plain = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| plain)
}

/// The characters with which byte-level vocabularies write bytes: printable ones stand for themselves, the others
/// follow from U+0100 on.
fn byte_alphabet() -> BTreeMap<char, u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let others = (0..=255u8)
        .filter(|byte| !printable(*byte))
        .zip('\u{100}'..);
    let others = others.map(|(byte, c)| (c, byte));
    (0..=255u8)
        .filter(|byte| printable(*byte))
        .map(|byte| (char::from(byte), byte))
        .chain(others)
        .collect()
}

/// The bytes that a token is written for; characters outside the alphabet stand for themselves.
fn bytes_from(text: &str, alphabet: &BTreeMap<char, u8>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match alphabet.get(&c) {
            Some(byte) => bytes.push(*byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}
