//! What a model file says about itself, and the limits that every model must keep.
//!
//! The manifest is JSON text in one fixed spelling; its bytes are the first leaf of the model root. Reading
//! accepts that spelling only, so one model has one manifest.

use alloc::{format, string::String, vec::Vec};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Blocks, Rope, Shape};
use crate::{bounds::LAYER_NORM_MAX, f32z};

/// The semantics that this crate implements.
pub const SPEC: &str = "CIS-1";
/// Version of the rules by which a source checkpoint becomes a model file; any change of bytes raises it.
pub const CONVERTER: u32 = 2;

/// Most blocks.
pub const LAYERS_MAX: usize = 512;
/// Longest row of any matrix: an exact int8 dot product of this length fits 32 bits.
pub const COLUMNS_MAX: usize = 133_144;
/// Most query heads.
pub const HEADS_MAX: usize = 1_024;
/// Widest head.
pub const HEAD_DIM_MAX: usize = 1_024;
/// Most tokens in a vocabulary.
pub const VOCAB_MAX: usize = 1 << 20;
/// Most positions: the weighted sum over values of this length fits 32 bits per plane.
pub const CONTEXT_MAX: usize = 133_144;
/// Most values in one rotation table, so that a small file cannot ask for a large one.
pub const ROTATIONS_MAX: usize = CONTEXT_MAX * 128;
/// Most tokens that end a generation.
pub const END_TOKENS_MAX: usize = 64;
/// Longest name, architecture or other text in a manifest, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest manifest text, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 1 << 16;
/// Longest tokenizer, in bytes.
pub const TOKENIZER_BYTES_MAX: u64 = 64 << 20;
/// Longest chat template, in bytes.
pub const TEMPLATE_BYTES_MAX: u64 = 1 << 16;

/// Everything about a model but its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Semantics, [`SPEC`].
    pub spec: String,
    /// Family of the source checkpoint, as GGUF names it.
    pub architecture: String,
    /// Name that the source gave itself; for people.
    pub name: String,
    /// Sizes.
    pub shape: Shape,
    /// Layout of rotated pairs.
    pub rope: Rope,
    /// What the blocks are made of.
    #[serde(default, skip_serializing_if = "Blocks::is_plain")]
    pub blocks: Blocks,
    /// What makes this a sentence encoder; a decoder has none, and leaves no word of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<EncoderKind>,
    /// Format of all weight matrices.
    pub weights: WeightFormat,
    /// Precision of the inputs of each matrix product.
    pub planes: Planes,
    /// Whether the embedding also makes the logits; if not there is a tensor `head`.
    pub tied_head: bool,
    /// Tokens that end a generation, ascending.
    pub end_tokens: Vec<u32>,
    /// Token that begins a text, as the source names it.
    pub bos_token: Option<u32>,
    /// Token that ends a text, as the source names it.
    pub eos_token: Option<u32>,
    /// The tokenizer inside the file.
    pub tokenizer: Option<Asset>,
    /// The chat template inside the file.
    pub chat_template: Option<Asset>,
    /// The file that this model was made from.
    pub source: Option<Asset>,
    /// Rules of the conversion, [`CONVERTER`].
    pub converter: u32,
}

/// What is particular to a sentence encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderKind {
    /// How the feed-forward part bends.
    pub activation: Bend,
    /// How the states of all tokens become one vector.
    pub pooling: Pooling,
}

/// How an encoder's feed-forward part bends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bend {
    /// x times the normal distribution of x.
    Gelu,
}

/// How the states of all tokens become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Their mean, scaled to length one.
    NormalisedMean,
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WeightFormat {
    /// int8 in -127..=127, one scale per row.
    W8,
}

/// Precision of activations at the input of each operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planes {
    /// Input of the query, key and value products.
    pub attention_in: Plane,
    /// Queries against the cached keys.
    pub queries: Plane,
    /// Input of the attention output product.
    pub attention_out: Plane,
    /// Input of the gate and up products.
    pub ffn_in: Plane,
    /// Input of the down product.
    pub ffn_out: Plane,
    /// Input of the logits product.
    pub logits: Plane,
}

impl Default for Planes {
    fn default() -> Self {
        let plane = Plane::A15;
        Self {
            attention_in: plane,
            queries: plane,
            attention_out: plane,
            ffn_in: plane,
            ffn_out: plane,
            logits: plane,
        }
    }
}

/// One precision of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plane {
    /// Two int8 planes, -16319..=16319.
    A15,
}

/// Bytes known by length and SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asset {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, 64 lowercase hexadecimal digits.
    pub sha256: String,
}

/// Why a manifest, or a shape, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
    #[error("manifest is {found} bytes long, more than the limit of {max}")]
    Length { found: usize, max: usize },
    #[error("manifest cannot be read: {reason}")]
    Syntax { reason: String },
    #[error("manifest is not in canonical form; convert the model again")]
    NotCanonical,
    #[error("model follows {found:?}, this engine {SPEC:?}; use an engine of that version")]
    Spec { found: String },
    #[error("{field} is {found} bytes long, more than the limit of {max}")]
    Text {
        field: &'static str,
        found: usize,
        max: usize,
    },
    #[error("{field} is {found}, expected {min} to {max}")]
    Range {
        field: &'static str,
        found: u64,
        min: u64,
        max: u64,
    },
    #[error("{field} is {found}, not a multiple of {of} ({what})")]
    Multiple {
        field: &'static str,
        found: u64,
        of: u64,
        what: &'static str,
    },
    #[error("{field} holds token {found}, the vocabulary ends at {vocab}")]
    Token {
        field: &'static str,
        found: u32,
        vocab: u64,
    },
    #[error("end tokens are not ascending and distinct")]
    EndTokenOrder,
    #[error("{field} has a SHA-256 that is not 64 lowercase hexadecimal digits")]
    Sha256 { field: &'static str },
    #[error("embedding scale has bits {found:08x}, not those of a positive F32Z number")]
    EmbeddingScale { found: u32 },
    #[error("encoder has {what}, which only decoders have")]
    Encoder { what: &'static str },
    #[error("norm epsilon has bits {found:08x}, not those of a number between 0 and 1")]
    Epsilon { found: u32 },
}

impl Manifest {
    /// Reads the canonical text.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::Length {
                found: text.len(),
                max: MANIFEST_BYTES_MAX,
            });
        }
        let manifest: Self = serde_json::from_str(text).map_err(|error| ManifestError::Syntax {
            reason: format!("{error}"),
        })?;
        manifest.check()?;
        if manifest.to_text() != text {
            return Err(ManifestError::NotCanonical);
        }
        Ok(manifest)
    }

    /// The canonical text.
    pub fn to_text(&self) -> String {
        // No map has keys other than strings and no writer can fail.
        serde_json::to_string(self).expect("BUG: a manifest is always valid JSON")
    }

    /// Checks every limit.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.spec != SPEC {
            return Err(ManifestError::Spec {
                found: self.spec.chars().take(32).collect(),
            });
        }
        for (field, text) in [("architecture", &self.architecture), ("name", &self.name)] {
            if text.len() > NAME_BYTES_MAX {
                return Err(ManifestError::Text {
                    field,
                    found: text.len(),
                    max: NAME_BYTES_MAX,
                });
            }
        }
        self.shape.check()?;
        self.blocks.check(&self.shape)?;
        self.check_encoder()?;
        self.check_tokens()?;
        let assets = [
            ("tokenizer", &self.tokenizer, TOKENIZER_BYTES_MAX),
            ("chat template", &self.chat_template, TEMPLATE_BYTES_MAX),
            ("source", &self.source, u64::MAX),
        ];
        for (field, asset, max) in assets {
            let Some(asset) = asset else { continue };
            range(field, asset.bytes, 1, max)?;
            let digits = asset
                .sha256
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if asset.sha256.len() != 64 || !digits {
                return Err(ManifestError::Sha256 { field });
            }
        }
        Ok(())
    }

    /// What an encoder does not have is spelled in one way, so that one encoder has one manifest.
    fn check_encoder(&self) -> Result<(), ManifestError> {
        if self.encoder.is_none() {
            return Ok(());
        }
        let Shape {
            dim,
            heads,
            kv_heads,
            ..
        } = self.shape;
        range("width of norms", dim as u64, 1, LAYER_NORM_MAX as u64)?;
        let strange = [
            (!self.blocks.is_plain(), "blocks of a family"),
            (self.rope != Rope::HalfSplit, "rotated neighbours"),
            (kv_heads != heads, "key heads that are shared"),
            (!self.tied_head, "a logits matrix"),
            (!self.end_tokens.is_empty(), "end tokens"),
            (self.chat_template.is_some(), "a chat template"),
        ];
        match strange.into_iter().find(|(found, _)| *found) {
            Some((_, what)) => Err(ManifestError::Encoder { what }),
            None => Ok(()),
        }
    }

    fn check_tokens(&self) -> Result<(), ManifestError> {
        let vocab = self.shape.vocab as u64;
        range(
            "number of end tokens",
            self.end_tokens.len() as u64,
            0,
            END_TOKENS_MAX as u64,
        )?;
        if !self.end_tokens.is_sorted_by(|a, b| a < b) {
            return Err(ManifestError::EndTokenOrder);
        }
        let tokens = self
            .end_tokens
            .iter()
            .map(|id| ("end tokens", *id))
            .chain(self.bos_token.map(|id| ("begin token", id)))
            .chain(self.eos_token.map(|id| ("end-of-text token", id)));
        for (field, found) in tokens {
            if u64::from(found) >= vocab {
                return Err(ManifestError::Token {
                    field,
                    found,
                    vocab,
                });
            }
        }
        Ok(())
    }
}

impl Shape {
    /// Checks that every size keeps its limit, so that no exact sum overflows and no product of sizes wraps.
    pub fn check(&self) -> Result<(), ManifestError> {
        let Self {
            layers,
            dim,
            heads,
            kv_heads,
            head_dim,
            ff,
            vocab,
            context_max,
            norm_eps_bits,
        } = *self;
        let fields = [
            ("layers", layers, 1, LAYERS_MAX),
            ("embedding width", dim, 1, COLUMNS_MAX),
            ("heads", heads, 1, HEADS_MAX),
            ("key heads", kv_heads, 1, heads.min(HEADS_MAX)),
            ("head width", head_dim, 2, HEAD_DIM_MAX),
            (
                "width of all heads",
                heads.saturating_mul(head_dim),
                2,
                COLUMNS_MAX,
            ),
            ("feed-forward width", ff, 1, COLUMNS_MAX),
            ("vocabulary", vocab, 1, VOCAB_MAX),
            ("context", context_max, 1, CONTEXT_MAX),
            (
                "rotation table",
                context_max.saturating_mul(head_dim / 2),
                1,
                ROTATIONS_MAX,
            ),
        ];
        for (field, found, min, max) in fields {
            range(field, found as u64, min as u64, max as u64)?;
        }
        let multiples = [
            ("heads", heads, kv_heads, "the number of key heads"),
            ("head width", head_dim, 2, "elements rotate in pairs"),
        ];
        for (field, found, of, what) in multiples {
            if found % of != 0 {
                return Err(ManifestError::Multiple {
                    field,
                    found: found as u64,
                    of: of as u64,
                    what,
                });
            }
        }
        // 2^-100 is the smallest number of F32Z.
        if !(0x0d80_0000..0x3f80_0000).contains(&norm_eps_bits) {
            return Err(ManifestError::Epsilon {
                found: norm_eps_bits,
            });
        }
        Ok(())
    }
}

impl Blocks {
    /// Checks the limits of what is there.
    pub fn check(&self, shape: &Shape) -> Result<(), ManifestError> {
        let Self {
            qkv_bias: _,
            qk_norm: _,
            post_norms: _,
            activation: _,
            score_width,
            embedding_scale_bits,
            window,
        } = self;
        if let Some(width) = score_width {
            range("score width", *width as u64, 1, COLUMNS_MAX as u64)?;
        }
        if let Some(found) = *embedding_scale_bits {
            let scale = f32::from_bits(found);
            if f32z::z(scale).to_bits() != found || scale <= 0.0 {
                return Err(ManifestError::EmbeddingScale { found });
            }
        }
        if let Some(window) = window {
            range("window", window.tokens as u64, 1, CONTEXT_MAX as u64)?;
            let layers = shape.layers as u64;
            // One would mean that no layer sees a window.
            range(
                "layers from one that sees everything to the next",
                window.global_every as u64,
                2,
                layers.max(2),
            )?;
        }
        Ok(())
    }
}

fn range(field: &'static str, found: u64, min: u64, max: u64) -> Result<(), ManifestError> {
    if (min..=max).contains(&found) {
        Ok(())
    } else {
        Err(ManifestError::Range {
            field,
            found,
            min,
            max,
        })
    }
}
