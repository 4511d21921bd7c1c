//! Text to token ids and back, by the tokenizer and chat template inside a model file.
//!
//! Three rules hold for every model:
//! - Text from outside never becomes a control token. [`Tokenizer::encode`] treats control tokens as the characters
//!   they are written with; only the chat template's own become ids (the template's own module says how they are told apart).
//! - Decoding is a concatenation of bytes, so streamed pieces add up to the whole text; bytes that are not UTF-8 become
//!   U+FFFD in one defined way.
//! - A character that the vocabulary cannot express is read as U+FFFD.

mod stream;
mod template;

use std::{collections::BTreeMap, string::String, vec::Vec};

use thiserror::Error;

use self::template::ChatTemplate;
pub use self::{
    stream::Detokenizer,
    template::{
        ChatMessage, MESSAGES_BYTES_MAX, MESSAGES_MAX, RENDERED_BYTES_MAX, Role, TemplateError,
    },
};
use crate::model::Model;

/// Longest text encoded at once, in bytes.
pub const TEXT_BYTES_MAX: usize = 512 << 10;

/// Why text could not become tokens.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenizerError {
    #[error("model holds no tokenizer; convert it from a checkpoint that has one")]
    NoTokenizer,
    #[error("tokenizer cannot be read ({reason}); convert the model again")]
    Format { reason: String },
    #[error(
        "tokenizer has token {id}, the model's vocabulary ends at {vocab}; convert the model again"
    )]
    Vocabulary { id: u32, vocab: usize },
    #[error("tokenizer cannot express replacement characters, so not every text can be encoded")]
    Alphabet,
    #[error("text is {found} bytes long, more than the limit of {max}; shorten it")]
    TextLength { found: usize, max: usize },
    #[error("text cannot be encoded: {reason}")]
    Encode { reason: String },
    #[error("text would become control token {id}; this tokenizer cannot be used safely")]
    ControlToken { id: u32 },
}

/// The tokenizer of one model.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The bytes that each id stands for; control tokens stand for the text they are written with.
    pieces: Vec<Vec<u8>>,
    /// Whether an id is a control token.
    control: Vec<bool>,
    /// Control tokens by their text.
    control_texts: ControlTexts,
    /// Bytes that no token expresses.
    missing: [bool; 256],
    template: Option<ChatTemplate>,
}

impl Tokenizer {
    /// Reads the tokenizer and chat template of an open model.
    pub fn from_model(model: &Model) -> Result<Self, TokenizerError> {
        let package = model.package.as_ref().ok_or(TokenizerError::NoTokenizer)?;
        let json = package
            .tokenizer
            .as_ref()
            .ok_or(TokenizerError::NoTokenizer)?;
        let mut tokenizer = Self::from_json(json.as_slice(), model.shape.vocab)?;
        let text = |id: Option<u32>| id.map(|id| tokenizer.decode(&[id])).unwrap_or_default();
        let (bos, eos) = (
            text(package.manifest.bos_token),
            text(package.manifest.eos_token),
        );
        tokenizer.template = package
            .template
            .clone()
            .map(|source| ChatTemplate::new(source, bos, eos));
        Ok(tokenizer)
    }

    /// Reads a `tokenizer.json` for a model with `vocab` tokens.
    fn from_json(json: &[u8], vocab: usize) -> Result<Self, TokenizerError> {
        let reason = |error: tokenizers::Error| TokenizerError::Format {
            reason: shortened(&error.to_string()),
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(reason)?;
        // Control tokens are found here, not by the library, so that only the template's own count.
        inner.set_encode_special_tokens(true);

        let added = inner.get_added_tokens_decoder();
        let last = inner.get_vocab(true).into_values().max().unwrap_or(0);
        if last as usize >= vocab {
            return Err(TokenizerError::Vocabulary { id: last, vocab });
        }
        let bytes_of = byte_alphabet();
        let mut missing = [true; 256];
        let mut pieces = vec![Vec::new(); vocab];
        let mut control = vec![false; vocab];
        let mut texts = BTreeMap::new();
        for id in 0..vocab as u32 {
            let Some(text) = inner.id_to_token(id) else {
                continue;
            };
            let at = id as usize;
            if let Some(token) = added.get(&id) {
                pieces[at] = text.clone().into_bytes();
                control[at] = token.special;
                if token.special {
                    texts.insert(text, id);
                }
                continue;
            }
            pieces[at] = bytes_from(&text, &bytes_of);
            if let [byte] = pieces[at][..] {
                missing[usize::from(byte)] = false;
            }
        }
        let any_missing = missing.iter().any(|missing| *missing);
        if any_missing
            && '\u{fffd}'
                .to_string()
                .bytes()
                .any(|byte| missing[usize::from(byte)])
        {
            return Err(TokenizerError::Alphabet);
        }
        let control_texts = ControlTexts::new(texts);
        Ok(Self {
            inner,
            pieces,
            control,
            control_texts,
            missing,
            template: None,
        })
    }

    /// The ids of a text. Nothing in it is taken for a control token.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(TokenizerError::TextLength {
                found: text.len(),
                max: TEXT_BYTES_MAX,
            });
        }
        let expressible = |c: char| {
            c.encode_utf8(&mut [0; 4])
                .bytes()
                .all(|byte| !self.missing[usize::from(byte)])
        };
        let replaced: String;
        let text = if text.chars().all(expressible) {
            text
        } else {
            replaced = text
                .chars()
                .map(|c| if expressible(c) { c } else { '\u{fffd}' })
                .collect();
            &replaced
        };
        let encoding =
            self.inner
                .encode_fast(text, false)
                .map_err(|error| TokenizerError::Encode {
                    reason: shortened(&error.to_string()),
                })?;
        let ids = encoding.get_ids().to_vec();
        match ids.iter().find(|id| self.is_control(**id)) {
            Some(id) => Err(TokenizerError::ControlToken { id: *id }),
            None => Ok(ids),
        }
    }

    /// The text of a sequence of ids, control tokens included.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| self.piece(*id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The answer that generated ids stand for: their text without control tokens.
    ///
    /// Its UTF-8 bytes are what results are hashed over.
    pub fn answer_text(&self, ids: &[u32]) -> String {
        let spoken = ids.iter().filter(|id| !self.is_control(**id));
        let bytes: Vec<u8> = spoken.flat_map(|id| self.piece(*id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Decodes an answer token by token; the pieces add up to [`Tokenizer::answer_text`].
    pub fn stream(&self) -> Detokenizer<'_> {
        Detokenizer::new(self)
    }

    /// The input of a chat: the messages as the model's template writes them, up to where the answer begins.
    pub fn prompt_tokens(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, TemplateError> {
        let template = self.template.as_ref().ok_or(TemplateError::NoTemplate)?;
        let (text, guard) = template.render(messages, &self.control_texts)?;
        let mut ids = Vec::new();
        let mut rest = text.as_str();
        while let Some((at, len, id)) = self.control_texts.find(rest) {
            self.encode_guarded(&rest[..at], guard, &mut ids)?;
            ids.push(id);
            rest = &rest[at + len..];
        }
        self.encode_guarded(rest, guard, &mut ids)?;
        if ids.is_empty() {
            Err(TemplateError::Empty)
        } else {
            Ok(ids)
        }
    }

    /// Whether an id is a control token.
    pub fn is_control(&self, id: u32) -> bool {
        self.control.get(id as usize).copied().unwrap_or(false)
    }

    fn encode_guarded(
        &self,
        text: &str,
        guard: char,
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let text: String = text.chars().filter(|c| *c != guard).collect();
        ids.extend(self.encode(&text)?);
        Ok(())
    }

    /// The bytes of one id; an id outside the vocabulary is a character that cannot be shown.
    fn piece(&self, id: u32) -> &[u8] {
        self.pieces
            .get(id as usize)
            .map_or("\u{fffd}".as_bytes(), Vec::as_slice)
    }
}

/// Control tokens by their text, for finding them in other text.
#[derive(Debug)]
struct ControlTexts {
    /// Texts by first byte, longest first.
    by_first: BTreeMap<u8, Vec<(String, u32)>>,
    longest: usize,
}

impl ControlTexts {
    fn new(texts: BTreeMap<String, u32>) -> Self {
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
    fn find(&self, text: &str) -> Option<(usize, usize, u32)> {
        (0..text.len()).find_map(|at| {
            self.at(&text.as_bytes()[at..])
                .map(|(len, id)| (at, len, id))
        })
    }

    /// The longest control token that `bytes` begins with: length, id.
    fn at(&self, bytes: &[u8]) -> Option<(usize, u32)> {
        let texts = self.by_first.get(bytes.first()?)?;
        let found = texts
            .iter()
            .find(|(text, _)| bytes.starts_with(text.as_bytes()));
        found.map(|(text, id)| (text.len(), *id))
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.by_first
            .values()
            .flatten()
            .map(|(text, _)| text.as_str())
    }
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

/// The beginning of a library's message; it may quote text from the file.
fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
