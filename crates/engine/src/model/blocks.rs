//! What the blocks of a decoder are made of: the differences between the families.
//!
//! The plain block (Llama's) is the default and leaves no word in a manifest, so that manifests from before a family was
//! known keep their bytes. Each difference is an operator of its own; none changes what another means.

use super::Shape;

/// Differences from the plain block.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blocks {
    /// Constants are added to queries, keys and values (Qwen 2).
    #[serde(skip_serializing_if = "is_false")]
    pub qkv_bias: bool,
    /// Each query and key head is normed before it is rotated (Qwen 3, Gemma 3).
    #[serde(skip_serializing_if = "is_false")]
    pub qk_norm: bool,
    /// What attention and the feed-forward part give is normed before it is added (Gemma 3).
    #[serde(skip_serializing_if = "is_false")]
    pub post_norms: bool,
    /// How the gate is bent.
    #[serde(skip_serializing_if = "Activation::is_silu")]
    pub activation: Activation,
    /// Scores are divided by the square root of this; of the head width when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score_width: Option<usize>,
    /// Bits of the F32Z factor of every embedding (Gemma 3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_scale_bits: Option<u32>,
    /// Most layers see the last tokens only (Gemma 3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
}

/// Sliding windows. Layers that see one have rotation tables of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Positions that a windowed layer sees, the current one included.
    pub tokens: usize,
    /// Layer `i` sees everything when `i + 1` is a multiple of this.
    pub global_every: usize,
}

/// How the gate of the feed-forward part is bent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x / (1 + e^-x).
    #[default]
    Silu,
    /// The approximation of x times the normal distribution by a hyperbolic tangent.
    GeluTanh,
}

impl Activation {
    fn is_silu(&self) -> bool {
        *self == Self::Silu
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Blocks {
    /// Whether these are the plain blocks.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a layer sees a window only.
    pub fn is_local(&self, layer: usize) -> bool {
        self.window
            .is_some_and(|window| !(layer + 1).is_multiple_of(window.global_every))
    }

    /// The first position that a layer sees from `position`.
    pub fn first_seen(&self, layer: usize, position: usize) -> usize {
        match self.window {
            Some(window) if self.is_local(layer) => (position + 1).saturating_sub(window.tokens),
            _ => 0,
        }
    }

    /// Names and lengths of the vectors of a block, in the order of the file; those of length zero are absent.
    pub(crate) fn tables(&self, shape: &Shape) -> [(&'static str, usize); 9] {
        let when = |present, len| if present { len } else { 0 };
        let (queries, keys) = (
            shape.heads * shape.head_dim,
            shape.kv_heads * shape.head_dim,
        );
        [
            ("attn_norm", shape.dim),
            ("ffn_norm", shape.dim),
            ("q_bias", when(self.qkv_bias, queries)),
            ("k_bias", when(self.qkv_bias, keys)),
            ("v_bias", when(self.qkv_bias, keys)),
            ("q_norm", when(self.qk_norm, shape.head_dim)),
            ("k_norm", when(self.qk_norm, shape.head_dim)),
            ("attn_post_norm", when(self.post_norms, shape.dim)),
            ("ffn_post_norm", when(self.post_norms, shape.dim)),
        ]
    }
}
