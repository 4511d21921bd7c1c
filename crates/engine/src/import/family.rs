//! What differs between the architectures that GGUF files hold: names of tensors, layout of rotated pairs, kinds of blocks.

use super::{ImportError, convert::required, gguf::Gguf};
use crate::{
    f32z,
    model::{Activation, Blocks, Rope, Shape, Window},
};

/// An architecture that can be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
}

/// Metadata of every architecture that is understood, after its name; all of it is used or checked.
const KNOWN_KEYS: &[&str] = &[
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_rms_epsilon",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.type",
    "vocab_size",
];
/// What Gemma 3 says besides.
const GEMMA_KEYS: &[&str] = &[
    "attention.sliding_window",
    "rope.scaling.factor",
    "rope.freq_base_swa",
];

const ROTATION_BASE_DEFAULT: f32 = 10_000.0;
/// Gemma 3: layer `i` sees everything when `i + 1` is a multiple of this (its report, arXiv 2503.19786, section 2).
const GEMMA_GLOBAL_EVERY: usize = 6;
/// The size of Gemma 3 whose scores are divided by the root of width / heads instead of that of the head width.
const GEMMA_LARGEST_LAYERS: usize = 62;

/// Angles of a rotation table: `position / factor * base^(-2i / head_dim)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Angles {
    pub(super) base: f32,
    pub(super) factor: f32,
}

impl Family {
    const ALL: [Self; 4] = [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Gemma3];

    /// The architecture with this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    /// Names of all, for people.
    pub(super) fn names() -> String {
        Self::ALL
            .map(|family| format!("{:?}", family.name()))
            .join(", ")
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma3 => "gemma3",
        }
    }

    /// llama.cpp reorders the query and key rows of Llama so that neighbours rotate together, and of no other.
    pub(super) fn rope(self) -> Rope {
        match self {
            Self::Llama => Rope::Interleaved,
            Self::Qwen2 | Self::Qwen3 | Self::Gemma3 => Rope::HalfSplit,
        }
    }

    /// Whether metadata of this name, after the architecture's, is understood.
    pub(super) fn knows(self, key: &str) -> bool {
        KNOWN_KEYS.contains(&key) || (self == Self::Gemma3 && GEMMA_KEYS.contains(&key))
    }

    /// What its blocks are made of.
    pub(super) fn blocks(self, gguf: &Gguf<'_>, shape: &Shape) -> Result<Blocks, ImportError> {
        let plain = Blocks::default();
        Ok(match self {
            Self::Llama => plain,
            Self::Qwen2 => Blocks {
                qkv_bias: true,
                ..plain
            },
            Self::Qwen3 => Blocks {
                qk_norm: true,
                ..plain
            },
            Self::Gemma3 => {
                let key = "gemma3.attention.sliding_window";
                let tokens = required(gguf.u32(key)?, key)? as usize;
                Blocks {
                    qk_norm: true,
                    post_norms: true,
                    activation: Activation::GeluTanh,
                    score_width: (shape.layers == GEMMA_LARGEST_LAYERS)
                        .then(|| shape.dim / shape.heads),
                    embedding_scale_bits: Some(f32z::sqrt(f32z::cvt(shape.dim as i32)).to_bits()),
                    // A model too shallow to have a layer that sees everything is none of theirs; the check of the manifest says so.
                    window: Some(Window {
                        tokens,
                        global_every: GEMMA_GLOBAL_EVERY,
                    }),
                    ..plain
                }
            }
        })
    }

    /// Angles of the layers that see everything, and of those that see a window.
    pub(super) fn angles(self, gguf: &Gguf<'_>) -> Result<(Angles, Angles), ImportError> {
        let float = |key: &str| gguf.f32(&format!("{}.{key}", self.name()));
        let (mut base, mut factor) = (
            float("rope.freq_base")?.unwrap_or(ROTATION_BASE_DEFAULT),
            1.0,
        );
        match (
            self,
            gguf.text(&format!("{}.rope.scaling.type", self.name()))?,
        ) {
            (_, None | Some("none")) => {}
            (Self::Gemma3, Some("linear")) => {
                let key = "gemma3.rope.scaling.factor";
                factor = required(gguf.f32(key)?, key)?;
            }
            (_, Some(found)) => {
                return Err(ImportError::Unsupported {
                    key: format!("{}.rope.scaling.type", self.name()),
                    found: found.chars().take(64).collect(),
                });
            }
        }
        if self == Self::Gemma3 && float("rope.freq_base")?.is_none() {
            base = 1_000_000.0;
        }
        let local = Angles {
            base: float("rope.freq_base_swa")?.unwrap_or(ROTATION_BASE_DEFAULT),
            factor: 1.0,
        };
        let everywhere = Angles { base, factor };
        for Angles { base, factor } in [everywhere, local] {
            if !(base > 1.0 && base.is_finite()) {
                return Err(ImportError::RotationBase { found: base });
            }
            if !(factor >= 1.0 && factor.is_finite()) {
                return Err(ImportError::RotationFactor { found: factor });
            }
        }
        Ok((everywhere, local))
    }
}

/// The name in a GGUF file of a part of the layers, by its name in the model file.
pub(super) fn layer_part(name: &str) -> &'static str {
    match name {
        "q" => "attn_q.weight",
        "k" => "attn_k.weight",
        "v" => "attn_v.weight",
        "o" => "attn_output.weight",
        "gate" => "ffn_gate.weight",
        "up" => "ffn_up.weight",
        "down" => "ffn_down.weight",
        "attn_norm" => "attn_norm.weight",
        "ffn_norm" => "ffn_norm.weight",
        "q_bias" => "attn_q.bias",
        "k_bias" => "attn_k.bias",
        "v_bias" => "attn_v.bias",
        "q_norm" => "attn_q_norm.weight",
        "k_norm" => "attn_k_norm.weight",
        "attn_post_norm" => "post_attention_norm.weight",
        "ffn_post_norm" => "post_ffw_norm.weight",
        other => unreachable!("BUG: layers have no part {other}"),
    }
}
