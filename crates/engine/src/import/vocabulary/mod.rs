//! The vocabulary of a GGUF file, checked and rewritten as the `tokenizer.json` of the `tokenizers` library.
//!
//! Three kinds are understood: byte-level BPE (`gpt2`) with the ways of cutting text that [`Cut`] lists, SentencePiece BPE (`llama`), whose
//! merges follow from its scores, and WordPiece (`bert`). The JSON is spelled out in one fixed way, because its bytes are hashed into the
//! model root.

use std::collections::BTreeMap;

use thiserror::Error;

use super::gguf::{Gguf, GgufError};
use crate::model::manifest::{END_TOKENS_MAX, VOCAB_MAX};

mod json;
mod merges;

/// Longest text of one token, in bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 1_024;
/// Most tokens that are matched as a whole instead of being put together from pieces.
pub(crate) const ADDED_TOKENS_MAX: usize = 8_192;
/// Most bytes of the merges that follow from scores.
pub(crate) const MERGES_BYTES_MAX: usize = 48 << 20;

/// Why a vocabulary cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VocabularyError {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(
        "tokenizer {found:?} cannot be converted yet; use a checkpoint whose tokenizer is \"gpt2\", \"llama\" or \"bert\""
    )]
    Model { found: String },
    #[error(
        "pre-tokenizer {found:?} cannot be converted yet; \"default\", \"gpt-2\", \"smollm\", \"llama-bpe\", \"qwen2\" and \"deepseek-r1-qwen\" can"
    )]
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
    #[error("token {id} stands for a byte, but is not written like <0x0A>")]
    Byte { id: usize },
    #[error("{found} token scores for {expected} tokens")]
    ScoreCount { found: usize, expected: usize },
    #[error("token {id} has a score that is no number")]
    Score { id: usize },
    #[error("merge {index} does not join two tokens into a third")]
    Merge { index: usize },
    #[error("merges that follow from the scores take more than {max} bytes")]
    MergeBytes { max: usize },
    #[error("{key:?} is token {found}, the vocabulary ends at {len}")]
    SpecialToken {
        key: &'static str,
        found: u32,
        len: usize,
    },
    #[error("token {text:?} is missing; this is no WordPiece vocabulary")]
    MissingToken { text: &'static str },
    #[error("more than {max} tokens end a text")]
    EndTokens { max: usize },
}

/// What kind of text a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Put together from pieces.
    Normal,
    /// Fills the vocabulary up; no text becomes one.
    Unused,
    /// One byte that no other token expresses.
    Byte,
    /// Steers the model; text from outside never becomes one.
    Control,
    /// Matched as a whole in any text.
    UserDefined,
}

impl Kind {
    fn is_whole(self) -> bool {
        matches!(self, Self::Control | Self::UserDefined)
    }
}

/// How text is cut before bytes are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// `gpt-2`: as GPT-2 does.
    Gpt2,
    /// `smollm`: as GPT-2 does, after every digit has been set apart.
    Digits,
    /// `llama-bpe`: as Llama 3 does, digits by threes; whole tokens before merges.
    Llama3,
    /// `qwen2`: as Qwen 2 does, digits alone, after composing characters (NFC).
    Qwen2,
    /// `deepseek-r1-qwen`: as Qwen 2 does, on characters as they are.
    DeepSeekQwen,
    /// `default`: punctuation apart, then as GPT-2 does, then digits by threes.
    Default,
}

/// How text becomes tokens.
#[derive(Debug)]
enum Model<'a> {
    ByteLevel {
        cut: Cut,
        merges: Vec<(&'a str, &'a str)>,
    },
    SentencePiece {
        merges: Vec<(&'a str, &'a str)>,
        /// Whether a text begins as a word after a space does.
        space_first: bool,
        unknown: Option<u32>,
    },
    WordPiece {
        unknown: u32,
    },
}

/// A checked vocabulary.
#[derive(Debug)]
pub(crate) struct Vocabulary<'a> {
    tokens: Vec<std::borrow::Cow<'a, str>>,
    kinds: Vec<Kind>,
    model: Model<'a>,
    bos: Option<u32>,
    eos: Option<u32>,
    /// What the model expects before and after a text.
    around: (Option<u32>, Option<u32>),
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

const TOKENS: &str = "tokenizer.ggml.tokens";

impl<'a> Vocabulary<'a> {
    /// Reads and checks the vocabulary.
    pub(crate) fn read(gguf: &Gguf<'a>) -> Result<Self, VocabularyError> {
        let name = required(gguf.text("tokenizer.ggml.model")?, "tokenizer.ggml.model")?;
        let tokens = || required(gguf.texts(TOKENS)?, TOKENS);
        match name {
            "gpt2" => Self::byte_level(gguf, tokens()?),
            "llama" => Self::sentence_piece(gguf, tokens()?),
            "bert" => Self::word_piece(gguf, tokens()?),
            _ => Err(VocabularyError::Model {
                found: name.chars().take(64).collect(),
            }),
        }
    }

    fn byte_level(gguf: &Gguf<'a>, tokens: Vec<&'a str>) -> Result<Self, VocabularyError> {
        let name = required(gguf.text("tokenizer.ggml.pre")?, "tokenizer.ggml.pre")?;
        let cut = match name {
            "smollm" => Cut::Digits,
            "gpt-2" => Cut::Gpt2,
            "default" => Cut::Default,
            "llama-bpe" => Cut::Llama3,
            "qwen2" => Cut::Qwen2,
            "deepseek-r1-qwen" => Cut::DeepSeekQwen,
            found => {
                return Err(VocabularyError::PreTokenizer {
                    found: found.chars().take(64).collect(),
                });
            }
        };
        let ids = index(&tokens)?;
        let kinds = kinds(gguf, tokens.len(), false)?;
        let merges = required(
            gguf.texts("tokenizer.ggml.merges")?,
            "tokenizer.ggml.merges",
        )?;
        let merges = merges::given(&merges, &ids)?;
        let specials = Specials::read(gguf, tokens.len())?;
        let end_tokens = specials.end_tokens(gguf, &ids, &kinds)?;
        Ok(Self {
            around: specials.around(cut == Cut::Llama3, false),
            model: Model::ByteLevel { cut, merges },
            tokens: tokens.into_iter().map(Into::into).collect(),
            kinds,
            bos: specials.bos,
            eos: specials.eos,
            end_tokens,
        })
    }

    fn sentence_piece(gguf: &Gguf<'a>, tokens: Vec<&'a str>) -> Result<Self, VocabularyError> {
        let ids = index(&tokens)?;
        let kinds = kinds(gguf, tokens.len(), true)?;
        for (id, token) in tokens.iter().enumerate() {
            if kinds[id] == Kind::Byte && byte_of(token).is_none() {
                return Err(VocabularyError::Byte { id });
            }
        }
        let scores = required(gguf.f32s("tokenizer.ggml.scores")?, "tokenizer.ggml.scores")?;
        if scores.len() != tokens.len() {
            return Err(VocabularyError::ScoreCount {
                found: scores.len(),
                expected: tokens.len(),
            });
        }
        if let Some(id) = scores.iter().position(|score| !score.is_finite()) {
            return Err(VocabularyError::Score { id });
        }
        let specials = Specials::read(gguf, tokens.len())?;
        let end_tokens = specials.end_tokens(gguf, &ids, &kinds)?;
        Ok(Self {
            around: specials.around(true, false),
            model: Model::SentencePiece {
                merges: merges::from_scores(&tokens, &kinds, &scores, &ids)?,
                space_first: gguf
                    .bool("tokenizer.ggml.add_space_prefix")?
                    .unwrap_or(true),
                unknown: special(gguf, "tokenizer.ggml.unknown_token_id", tokens.len())?,
            },
            tokens: tokens.into_iter().map(Into::into).collect(),
            kinds,
            bos: specials.bos,
            eos: specials.eos,
            end_tokens,
        })
    }

    fn word_piece(gguf: &Gguf<'a>, tokens: Vec<&'a str>) -> Result<Self, VocabularyError> {
        // In GGUF files a word begins with a space; in the vocabulary a continuation begins with marks.
        let mut words = Vec::with_capacity(tokens.len());
        for token in &tokens {
            words.push(match token.strip_prefix('\u{2581}') {
                Some(word) => word.to_owned(),
                None if token.starts_with('[') && token.ends_with(']') => (*token).to_owned(),
                None => format!("##{token}"),
            });
        }
        let texts: Vec<&str> = words.iter().map(String::as_str).collect();
        let ids = index(&texts)?;
        let mut kinds = kinds(gguf, tokens.len(), false)?;
        let named = |text: &'static str| {
            let id = ids.get(text).copied();
            id.ok_or(VocabularyError::MissingToken { text })
        };
        let (unknown, first, last) = (named("[UNK]")?, named("[CLS]")?, named("[SEP]")?);
        for id in [unknown, first, last] {
            kinds[id] = Kind::Control;
        }
        let specials = Specials::read(gguf, tokens.len())?;
        let end_tokens = specials.end_tokens(gguf, &ids, &kinds)?;
        Ok(Self {
            around: (Some(first as u32), Some(last as u32)),
            model: Model::WordPiece {
                unknown: unknown as u32,
            },
            tokens: words.into_iter().map(Into::into).collect(),
            kinds,
            bos: specials.bos,
            eos: specials.eos,
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
}

/// Tokens that the metadata names.
struct Specials {
    bos: Option<u32>,
    eos: Option<u32>,
    add_bos: Option<bool>,
    add_eos: Option<bool>,
}

impl Specials {
    fn read(gguf: &Gguf<'_>, len: usize) -> Result<Self, VocabularyError> {
        Ok(Self {
            bos: special(gguf, "tokenizer.ggml.bos_token_id", len)?,
            eos: special(gguf, "tokenizer.ggml.eos_token_id", len)?,
            add_bos: gguf.bool("tokenizer.ggml.add_bos_token")?,
            add_eos: gguf.bool("tokenizer.ggml.add_eos_token")?,
        })
    }

    /// What the model expects around a text, by the metadata or else by the habit of its kind.
    fn around(&self, bos: bool, eos: bool) -> (Option<u32>, Option<u32>) {
        (
            self.bos.filter(|_| self.add_bos.unwrap_or(bos)),
            self.eos.filter(|_| self.add_eos.unwrap_or(eos)),
        )
    }

    fn end_tokens(
        &self,
        gguf: &Gguf<'_>,
        ids: &BTreeMap<&str, usize>,
        kinds: &[Kind],
    ) -> Result<Vec<u32>, VocabularyError> {
        let named = [
            self.eos,
            special(gguf, "tokenizer.ggml.eot_token_id", kinds.len())?,
            special(gguf, "tokenizer.ggml.eom_token_id", kinds.len())?,
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
        Ok(end_tokens)
    }
}

/// The byte that a token like `<0x0A>` stands for.
fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let canonical = digits.len() == 2
        && digits
            .bytes()
            .all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
    u8::from_str_radix(digits, 16).ok().filter(|_| canonical)
}

fn required<T>(value: Option<T>, key: &str) -> Result<T, GgufError> {
    value.ok_or_else(|| GgufError::MissingKey { key: key.into() })
}

fn index<'t>(tokens: &[&'t str]) -> Result<BTreeMap<&'t str, usize>, VocabularyError> {
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

fn kinds(gguf: &Gguf<'_>, tokens: usize, bytes: bool) -> Result<Vec<Kind>, VocabularyError> {
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
        1 => Ok(Kind::Normal),
        2 | 3 => Ok(Kind::Control),
        4 => Ok(Kind::UserDefined),
        5 => Ok(Kind::Unused),
        6 if bytes => Ok(Kind::Byte),
        found => Err(VocabularyError::Type { id, found }),
    };
    let kinds = types
        .into_iter()
        .enumerate()
        .map(kind)
        .collect::<Result<Vec<_>, _>>()?;
    let found = kinds.iter().filter(|kind| kind.is_whole()).count();
    if found > ADDED_TOKENS_MAX {
        return Err(VocabularyError::AddedCount {
            found,
            max: ADDED_TOKENS_MAX,
        });
    }
    Ok(kinds)
}

fn special(gguf: &Gguf<'_>, key: &'static str, len: usize) -> Result<Option<u32>, VocabularyError> {
    match gguf.u32(key)? {
        Some(found) if found as usize >= len => {
            Err(VocabularyError::SpecialToken { key, found, len })
        }
        found => Ok(found),
    }
}
