//! Text to token ids and back, by the tokenizer and chat template inside a model file.
//!
//! Three rules hold for every model:
//! - Text from outside never becomes a control token. [`Tokenizer::encode`] treats control tokens as the characters
//!   they are written with; only the chat template's own become ids (the template's own module says how they are told apart).
//! - Decoding is a concatenation of bytes, so streamed pieces add up to the whole text; bytes that are not UTF-8 become
//!   U+FFFD in one defined way.
//! - A character that the vocabulary cannot express is read as U+FFFD, or as the unknown token where the vocabulary has one.

mod control;
mod python;
mod spelling;
mod stream;
mod template;

use std::{collections::BTreeMap, string::String, sync::OnceLock, vec::Vec};

use thiserror::Error;
use tokenizers::ModelWrapper;

use self::{control::ControlTexts, spelling::Spelling, template::ChatTemplate};
pub use self::{
    stream::Detokenizer,
    template::{
        ChatMessage, Conversation, MESSAGES_BYTES_MAX, MESSAGES_MAX, RENDERED_BYTES_MAX, Role,
        TOOL_CALLS_MAX, TOOLS_MAX, TemplateError, ToolCall,
    },
};
use crate::{
    model::Model,
    run::{StopFound, StopStrings},
    sampler::{PIECE_BYTES_MAX, Pieces},
};

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
    /// The token for what cannot be expressed.
    unknown: Option<u32>,
    /// What the model expects before and after a text.
    around: (Vec<u32>, Vec<u32>),
    /// The bytes that tokens add to an answer, made when first asked for.
    answer_pieces: OnceLock<Pieces>,
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
        let spelling = Spelling::of(&inner).ok_or_else(|| TokenizerError::Format {
            reason: "its decoder is not known".into(),
        })?;
        let unknown = match inner.get_model() {
            ModelWrapper::BPE(model) => model.unk_token.as_deref(),
            ModelWrapper::WordPiece(model) => Some(model.unk_token.as_str()),
            _ => None,
        };
        let unknown = unknown.and_then(|text| inner.token_to_id(text));
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
                pieces[at] = spelling.whole(&text);
                control[at] = token.special;
                if token.special {
                    texts.insert(text, id);
                }
            } else {
                pieces[at] = spelling.bytes(&text);
                if let [byte] = pieces[at][..] {
                    missing[usize::from(byte)] = false;
                }
            }
            if pieces[at].len() > PIECE_BYTES_MAX {
                return Err(TokenizerError::Format {
                    reason: format!("token {id} is longer than {PIECE_BYTES_MAX} bytes"),
                });
            }
        }
        if unknown.is_some() {
            missing = [false; 256];
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
        let around = around(&inner).map_err(reason)?;
        let control_texts = ControlTexts::new(texts);
        Ok(Self {
            inner,
            pieces,
            control,
            control_texts,
            missing,
            unknown,
            around,
            answer_pieces: OnceLock::new(),
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
        let stray = |id: &&u32| self.is_control(**id) && self.unknown != Some(**id);
        match ids.iter().find(stray) {
            Some(id) => Err(TokenizerError::ControlToken { id: *id }),
            None => Ok(ids),
        }
    }

    /// The ids of a whole text: its own, with the tokens around them that the model expects.
    pub fn text_tokens(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let (before, after) = &self.around;
        Ok([before, &self.encode(text)?[..], after].concat())
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
        self.answer_text_before(ids, None)
    }

    /// The answer that generated ids stand for where a stop string ended them: what comes before it.
    pub fn answer_text_before(&self, ids: &[u32], stop: Option<StopFound>) -> String {
        let spoken = ids.iter().filter(|id| !self.is_control(**id));
        let bytes = spoken.flat_map(|id| self.piece(*id)).copied();
        let bytes: Vec<u8> = bytes
            .take(stop.map_or(usize::MAX, |stop| stop.begin))
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Decodes an answer token by token; the pieces add up to [`Tokenizer::answer_text`].
    pub fn stream(&self) -> Detokenizer<'_> {
        Detokenizer::new(self, StopStrings::default())
    }

    /// Decodes an answer token by token up to a stop string; the pieces add up to [`Tokenizer::answer_text_before`].
    pub fn stream_until(&self, stops: StopStrings) -> Detokenizer<'_> {
        Detokenizer::new(self, stops)
    }

    /// The bytes that each token adds to an answer; control tokens add none.
    pub fn pieces(&self) -> &Pieces {
        self.answer_pieces.get_or_init(|| {
            let spoken = (0..self.pieces.len() as u32).map(|id| match self.is_control(id) {
                true => &[],
                false => self.piece(id),
            });
            Pieces::new(spoken).expect("BUG: lengths were checked when the tokenizer was read")
        })
    }

    /// The input of a chat: the messages as the model's template writes them, up to where the answer begins.
    pub fn prompt_tokens(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, TemplateError> {
        self.conversation_tokens(&Conversation {
            messages,
            tools: &[],
            add_generation_prompt: true,
        })
    }

    /// The input of a chat: messages and tools as the model's template writes them.
    pub fn conversation_tokens(
        &self,
        conversation: &Conversation<'_>,
    ) -> Result<Vec<u32>, TemplateError> {
        let template = self.template.as_ref().ok_or(TemplateError::NoTemplate)?;
        let (text, guard) = template.render(conversation, &self.control_texts)?;
        let mut ids = Vec::new();
        let mut rest = text.as_str();
        while let Some((at, len, id)) = self.control_texts.find(rest) {
            self.encode_guarded(&rest[..at], guard, &mut ids)?;
            ids.push(id);
            rest = &rest[at + len..];
        }
        self.encode_guarded(rest, guard, &mut ids)?;
        if ids.is_empty() {
            return Err(TemplateError::Empty);
        }
        // Most templates write the token that begins a text; where one does not, a model that expects it gets it all the same.
        let (before, _) = &self.around;
        if !ids.starts_with(before) {
            ids.splice(0..0, before.iter().copied());
        }
        Ok(ids)
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

/// The tokens that a tokenizer puts before and after a text.
fn around(inner: &tokenizers::Tokenizer) -> tokenizers::Result<(Vec<u32>, Vec<u32>)> {
    let ids = |text: &str, whole| {
        Ok::<_, tokenizers::Error>(inner.encode_fast(text, whole)?.get_ids().to_vec())
    };
    let (text, whole, bare) = (ids("a", false)?, ids("a", true)?, ids("", true)?);
    let split = (0..=bare.len()).find(|at| {
        let (before, after) = bare.split_at(*at);
        whole == [before, &text, after].concat()
    });
    let (before, after) = bare.split_at(split.unwrap_or(bare.len()));
    Ok((before.to_vec(), after.to_vec()))
}

/// The beginning of a library's message; it may quote text from the file.
fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
