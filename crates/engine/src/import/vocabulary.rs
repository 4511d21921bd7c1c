//! The vocabulary of a GGUF file, checked and rewritten as the `tokenizer.json` of the `tokenizers` library.
//!
//! Only byte-level BPE vocabularies are understood. The JSON is spelled out here, in one fixed way, because its bytes are
//! hashed into the model root.

use std::{collections::BTreeMap, fmt::Write as _};

use thiserror::Error;

use super::gguf::{Gguf, GgufError};
use crate::model::manifest::{END_TOKENS_MAX, VOCAB_MAX};

/// Longest text of one token, in bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 1_024;
/// Most tokens that are matched as a whole instead of being put together from pieces.
pub(crate) const ADDED_TOKENS_MAX: usize = 8_192;

/// Why a vocabulary cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VocabularyError {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(
        "tokenizer {found:?} cannot be converted yet; use a checkpoint whose tokenizer is \"gpt2\""
    )]
    Model { found: String },
    #[error("pre-tokenizer {found:?} cannot be converted yet; \"smollm\" and \"gpt-2\" can")]
    PreTokenizer { found: String },
    #[error("{found} tokens, expected 1 to {max}")]
    Count { found: usize, max: usize },
    #[error("{found} whole tokens, more than the limit of {max}")]
    AddedCount { found: usize, max: usize },
    #[error("token {id} is {found} bytes long, expected 1 to {max}")]
    TokenLength { id: usize, found: usize, max: usize },
    #[error("tokens {first} and {second} are the same text")]
    DuplicateToken { first: usize, second: usize },
    #[error("{found} token types for {expected} tokens")]
    TypeCount { found: usize, expected: usize },
    #[error("token {id} has type {found}, which is not known")]
    Type { id: usize, found: i64 },
    #[error("merge {index} does not join two tokens into a third")]
    Merge { index: usize },
    #[error("{key:?} is token {found}, the vocabulary ends at {len}")]
    SpecialToken {
        key: &'static str,
        found: u32,
        len: usize,
    },
    #[error("more than {max} tokens end a text")]
    EndTokens { max: usize },
}

/// What kind of text a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Put together from pieces.
    Normal,
    /// Steers the model; text from outside never becomes one.
    Control,
    /// Matched as a whole in any text.
    UserDefined,
}

/// How text is cut before pieces are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// As GPT-2 does.
    Gpt2,
    /// As GPT-2 does, after every digit has been set apart.
    Digits,
}

/// A checked vocabulary.
#[derive(Debug)]
pub(crate) struct Vocabulary<'a> {
    tokens: Vec<&'a str>,
    kinds: Vec<Kind>,
    merges: Vec<(&'a str, &'a str)>,
    cut: Cut,
    bos: Option<u32>,
    eos: Option<u32>,
    end_tokens: Vec<u32>,
}

/// Control tokens with one of these texts end a turn or a text, whether or not the metadata names them.
const END_TEXTS: &[&str] = &[
    "</s>",
    "<EOT>",
    "<end_of_turn>",
    "<|end_of_text|>",
    "<|end|>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|im_end|>",
];

impl<'a> Vocabulary<'a> {
    /// Reads and checks the vocabulary.
    pub(crate) fn read(gguf: &Gguf<'a>) -> Result<Self, VocabularyError> {
        let text = |key: &str| required(gguf.text(key)?, key);
        let model = text("tokenizer.ggml.model")?;
        if model != "gpt2" {
            return Err(VocabularyError::Model {
                found: model.chars().take(64).collect(),
            });
        }
        let cut = match text("tokenizer.ggml.pre")? {
            "smollm" => Cut::Digits,
            "gpt-2" => Cut::Gpt2,
            found => {
                return Err(VocabularyError::PreTokenizer {
                    found: found.chars().take(64).collect(),
                });
            }
        };
        let tokens = required(
            gguf.texts("tokenizer.ggml.tokens")?,
            "tokenizer.ggml.tokens",
        )?;
        let ids = index(&tokens)?;
        let kinds = kinds(gguf, tokens.len())?;
        let merges = required(
            gguf.texts("tokenizer.ggml.merges")?,
            "tokenizer.ggml.merges",
        )?;
        let merges = split_merges(&merges, &ids)?;
        let special = |key| special(gguf, key, tokens.len());
        let (bos, eos) = (
            special("tokenizer.ggml.bos_token_id")?,
            special("tokenizer.ggml.eos_token_id")?,
        );
        let named = [
            eos,
            special("tokenizer.ggml.eot_token_id")?,
            special("tokenizer.ggml.eom_token_id")?,
        ];
        let by_text = END_TEXTS.iter().filter_map(|text| ids.get(text).copied());
        let by_text = by_text
            .filter(|id| kinds[*id] == Kind::Control)
            .map(|id| id as u32);
        let mut end_tokens: Vec<u32> = named.into_iter().flatten().chain(by_text).collect();
        end_tokens.sort_unstable();
        end_tokens.dedup();
        if end_tokens.len() > END_TOKENS_MAX {
            return Err(VocabularyError::EndTokens {
                max: END_TOKENS_MAX,
            });
        }
        Ok(Self {
            tokens,
            kinds,
            merges,
            cut,
            bos,
            eos,
            end_tokens,
        })
    }

    /// How many tokens there are.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The token that begins a text.
    pub(crate) fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a text.
    pub(crate) fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// All tokens that end a generation, ascending.
    pub(crate) fn end_tokens(&self) -> Vec<u32> {
        self.end_tokens.clone()
    }

    /// The vocabulary as `tokenizer.json`.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        const BYTE_LEVEL: &str =
            r#"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"#;
        const DIGITS: &str = r#"{"type":"Digits","individual_digits":true}"#;
        let mut json =
            String::from(r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":["#);
        let whole = self
            .kinds
            .iter()
            .enumerate()
            .filter(|(_, kind)| **kind != Kind::Normal);
        list(&mut json, whole, |json, (id, kind)| {
            let (content, special) = (quoted(self.tokens[id]), *kind == Kind::Control);
            // Writing to a string cannot fail.
            let _ = write!(
                json,
                r#"{{"id":{id},"content":{content},"single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":{special}}}"#
            );
        });
        json.push_str(r#"],"normalizer":null,"pre_tokenizer":"#);
        match self.cut {
            Cut::Gpt2 => json.push_str(BYTE_LEVEL),
            Cut::Digits => {
                let _ = write!(
                    json,
                    r#"{{"type":"Sequence","pretokenizers":[{DIGITS},{BYTE_LEVEL}]}}"#
                );
            }
        }
        let _ = write!(
            json,
            r#","post_processor":null,"decoder":{BYTE_LEVEL},"model":{{"type":"BPE","dropout":null,"#
        );
        json.push_str(
            r#""unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"#,
        );
        json.push_str(r#""fuse_unk":false,"byte_fallback":false,"ignore_merges":false,"vocab":{"#);
        list(
            &mut json,
            self.tokens.iter().enumerate(),
            |json, (id, token)| {
                let _ = write!(json, "{}:{id}", quoted(token));
            },
        );
        json.push_str(r#"},"merges":["#);
        list(&mut json, self.merges.iter(), |json, (left, right)| {
            let _ = write!(json, "[{},{}]", quoted(left), quoted(right));
        });
        json.push_str("]}}");
        json.into_bytes()
    }
}

fn list<T>(json: &mut String, items: impl Iterator<Item = T>, mut put: impl FnMut(&mut String, T)) {
    for (i, item) in items.enumerate() {
        if i > 0 {
            json.push(',');
        }
        put(json, item);
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("BUG: text is always valid JSON")
}

fn required<T>(value: Option<T>, key: &str) -> Result<T, GgufError> {
    value.ok_or_else(|| GgufError::MissingKey { key: key.into() })
}

fn index<'a>(tokens: &[&'a str]) -> Result<BTreeMap<&'a str, usize>, VocabularyError> {
    if !(1..=VOCAB_MAX).contains(&tokens.len()) {
        return Err(VocabularyError::Count {
            found: tokens.len(),
            max: VOCAB_MAX,
        });
    }
    let mut ids = BTreeMap::new();
    for (id, token) in tokens.iter().enumerate() {
        if !(1..=TOKEN_BYTES_MAX).contains(&token.len()) {
            return Err(VocabularyError::TokenLength {
                id,
                found: token.len(),
                max: TOKEN_BYTES_MAX,
            });
        }
        if let Some(first) = ids.insert(*token, id) {
            return Err(VocabularyError::DuplicateToken { first, second: id });
        }
    }
    Ok(ids)
}

fn kinds(gguf: &Gguf<'_>, tokens: usize) -> Result<Vec<Kind>, VocabularyError> {
    let types = required(
        gguf.i32s("tokenizer.ggml.token_type")?,
        "tokenizer.ggml.token_type",
    )?;
    if types.len() != tokens {
        return Err(VocabularyError::TypeCount {
            found: types.len(),
            expected: tokens,
        });
    }
    let kind = |(id, found): (usize, i64)| match found {
        // Unused tokens fill the vocabulary up; no text becomes one.
        1 | 5 => Ok(Kind::Normal),
        2 | 3 => Ok(Kind::Control),
        4 => Ok(Kind::UserDefined),
        found => Err(VocabularyError::Type { id, found }),
    };
    let kinds = types
        .into_iter()
        .enumerate()
        .map(kind)
        .collect::<Result<Vec<_>, _>>()?;
    let found = kinds.iter().filter(|kind| **kind != Kind::Normal).count();
    if found > ADDED_TOKENS_MAX {
        return Err(VocabularyError::AddedCount {
            found,
            max: ADDED_TOKENS_MAX,
        });
    }
    Ok(kinds)
}

fn split_merges<'a>(
    merges: &[&'a str],
    ids: &BTreeMap<&'a str, usize>,
) -> Result<Vec<(&'a str, &'a str)>, VocabularyError> {
    let mut joined = String::new();
    let split = |(index, merge): (usize, &&'a str)| {
        let (left, right) = merge
            .split_once(' ')
            .ok_or(VocabularyError::Merge { index })?;
        joined.clear();
        joined.push_str(left);
        joined.push_str(right);
        let known =
            ids.contains_key(left) && ids.contains_key(right) && ids.contains_key(joined.as_str());
        if known {
            Ok((left, right))
        } else {
            Err(VocabularyError::Merge { index })
        }
    };
    merges.iter().enumerate().map(split).collect()
}

fn special(gguf: &Gguf<'_>, key: &'static str, len: usize) -> Result<Option<u32>, VocabularyError> {
    match gguf.u32(key)? {
        Some(found) if found as usize >= len => {
            Err(VocabularyError::SpecialToken { key, found, len })
        }
        found => Ok(found),
    }
}
