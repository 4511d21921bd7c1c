//! Texts for an encoder: cut by the tokenizer inside its model file, with what the tokenizer puts around a text.
//!
//! Text from outside never becomes a control token, save the one that stands for what the vocabulary lacks. The tokenizer's own
//! wishes to cut or pad are not followed: a text that is too long is refused, never shortened in silence.

use std::{string::String, vec::Vec};

use thiserror::Error;

use crate::{model::Encoder, tokenizer::TEXT_BYTES_MAX};

/// Why a text could not become tokens.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TextError {
    #[error("model holds no tokenizer; convert it from a checkpoint that has one")]
    NoTokenizer,
    #[error("tokenizer cannot be read ({reason}); convert the model again")]
    Format { reason: String },
    #[error("text is {found} bytes long, more than the limit of {max}; shorten it")]
    Length { found: usize, max: usize },
    #[error("text cannot be cut into tokens: {reason}")]
    Encode { reason: String },
    #[error("text is {found} tokens long, the model reads {max}; shorten it or embed it in parts")]
    Tokens { found: usize, max: usize },
    #[error(
        "tokenizer gives token {id}, the model's vocabulary ends at {vocab}; convert the model again"
    )]
    Vocabulary { id: u32, vocab: usize },
    #[error("text would become control token {id}; this tokenizer cannot be used safely")]
    ControlToken { id: u32 },
}

/// The tokenizer of one encoder.
#[derive(Debug)]
pub struct SentenceTokenizer {
    inner: tokenizers::Tokenizer,
    /// Control tokens that no text may become, ascending.
    control: Vec<u32>,
    vocab: usize,
    tokens_max: usize,
}

impl SentenceTokenizer {
    /// Reads the tokenizer of an open model.
    pub fn from_encoder(encoder: &Encoder) -> Result<Self, TextError> {
        let package = encoder.package.as_ref().ok_or(TextError::NoTokenizer)?;
        let json = package.tokenizer.as_ref().ok_or(TextError::NoTokenizer)?;
        let format = |error: tokenizers::Error| TextError::Format {
            reason: shortened(&error.to_string()),
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(json.as_slice()).map_err(format)?;
        inner.with_truncation(None).map_err(format)?;
        inner.with_padding(None);
        inner.set_encode_special_tokens(true);
        let unknown = match inner.get_model() {
            tokenizers::ModelWrapper::WordPiece(model) => Some(model.unk_token.clone()),
            _ => None,
        };
        let mut control: Vec<u32> = inner
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| token.special && Some(&token.content) != unknown.as_ref())
            .map(|(id, _)| id)
            .collect();
        control.sort_unstable();
        Ok(Self {
            inner,
            control,
            vocab: encoder.shape.vocab,
            tokens_max: encoder.shape.context_max,
        })
    }

    /// The tokens of a whole text, what is put around it included.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(TextError::Length {
                found: text.len(),
                max: TEXT_BYTES_MAX,
            });
        }
        let encoding = self
            .inner
            .encode_fast(text, true)
            .map_err(|error| TextError::Encode {
                reason: shortened(&error.to_string()),
            })?;
        let ids = encoding.get_ids();
        let around = encoding.get_special_tokens_mask();
        for (id, around) in ids.iter().zip(around) {
            if *around == 0 && self.control.binary_search(id).is_ok() {
                return Err(TextError::ControlToken { id: *id });
            }
            if *id as usize >= self.vocab {
                return Err(TextError::Vocabulary {
                    id: *id,
                    vocab: self.vocab,
                });
            }
        }
        if ids.len() > self.tokens_max {
            return Err(TextError::Tokens {
                found: ids.len(),
                max: self.tokens_max,
            });
        }
        Ok(ids.to_vec())
    }
}

/// The beginning of a library's message; it may quote text from the file.
fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}
