//! What a model's shape must satisfy so that no exact sum can overflow and no index can miss.
//!
//! Checked before a model is used; only sizes are looked at, never weights.

use alloc::string::{String, ToString};

use crate::{
    f32z,
    model::{
        Blocks, Encoder, Matrix, Model, Norm,
        encoder::{layer_matrices, layer_tables},
    },
};

/// Most terms of one int8 plane's dot product: 127 * 127 * 133,144 < 2^31.
pub const TERMS_MAX: usize = 133_144;
/// Longest context: weighted sums of values are such dot products too.
pub const CONTEXT_MAX: usize = TERMS_MAX;
/// Widest head: an A15 score over it, 16,319 * 127 * 1,024, fits 32 bits.
pub const HEAD_DIM_MAX: usize = 1_024;
/// Widest LayerNorm: the number of terms times the sum of their squares, 65,536^2 * 32,767^2, fits 63 bits.
pub const LAYER_NORM_MAX: usize = 1 << 16;
/// Largest vocabulary.
pub const VOCAB_MAX: usize = 1 << 20;
/// Most layers.
pub const LAYERS_MAX: usize = 1_024;

/// A model that the engine cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoundsError {
    /// A size is zero or too large.
    #[error("model: {what} is {value}, must be 1 to {max}; convert the model again")]
    Size {
        /// Which size.
        what: &'static str,
        /// What the model says.
        value: usize,
        /// The limit.
        max: usize,
    },
    /// The head width is odd, so its elements cannot be rotated in pairs.
    #[error("model: head width {0} is odd; only even widths can be rotated")]
    OddHead(usize),
    /// Query heads cannot share key heads evenly.
    #[error("model: {heads} heads cannot share {kv_heads} key heads evenly")]
    Groups {
        /// Query heads.
        heads: usize,
        /// Key and value heads.
        kv_heads: usize,
    },
    /// A tensor has another size than the shape says.
    #[error("model: {tensor} is {found}, must be {expected}; convert the model again")]
    Tensor {
        /// Which tensor.
        tensor: String,
        /// Its size.
        found: String,
        /// The size that the shape asks for.
        expected: String,
    },
    /// The norm's constant is not a positive F32Z value.
    #[error("model: norm epsilon {0:#010x} is no positive F32Z value; convert the model again")]
    Epsilon(u32),
    /// The factor of embeddings is not a positive F32Z value.
    #[error("model: embedding scale {0:#010x} is no positive F32Z value; convert the model again")]
    EmbeddingScale(u32),
    /// An end token that is no token.
    #[error(
        "model: end token {token} is outside the vocabulary of {vocab}; convert the model again"
    )]
    EndToken {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        vocab: usize,
    },
}

/// Checks every size of a model.
pub fn check(model: &Model) -> Result<(), BoundsError> {
    let shape = &model.shape;
    let q_dim = shape.heads.saturating_mul(shape.head_dim);
    let kv_dim = shape.kv_heads.saturating_mul(shape.head_dim);
    for (what, value, max) in [
        ("layers", shape.layers, LAYERS_MAX),
        ("width", shape.dim, TERMS_MAX),
        ("heads", shape.heads, TERMS_MAX),
        ("key heads", shape.kv_heads, TERMS_MAX),
        ("head width", shape.head_dim, HEAD_DIM_MAX),
        ("width of all heads", q_dim, TERMS_MAX),
        ("feed-forward width", shape.ff, TERMS_MAX),
        ("vocabulary", shape.vocab, VOCAB_MAX),
        ("context", shape.context_max, CONTEXT_MAX),
    ] {
        if value == 0 || value > max {
            return Err(BoundsError::Size { what, value, max });
        }
    }
    if !shape.head_dim.is_multiple_of(2) {
        return Err(BoundsError::OddHead(shape.head_dim));
    }
    if !shape.heads.is_multiple_of(shape.kv_heads) {
        return Err(BoundsError::Groups {
            heads: shape.heads,
            kv_heads: shape.kv_heads,
        });
    }
    epsilon(shape.norm_eps_bits)?;
    if let Some(token) = model
        .end_tokens
        .iter()
        .find(|t| **t as usize >= shape.vocab)
    {
        return Err(BoundsError::EndToken {
            token: *token,
            vocab: shape.vocab,
        });
    }

    count("layers", model.layers.len(), shape.layers)?;
    matrix("embedding", &model.embedding, shape.vocab, shape.dim)?;
    if let Some(head) = &model.head {
        matrix("head", head, shape.vocab, shape.dim)?;
    }
    count("final_norm", model.final_norm.len(), shape.dim)?;
    let rotations = shape.context_max * (shape.head_dim / 2);
    count("rope_cos", model.rope_cos.len(), rotations)?;
    count("rope_sin", model.rope_sin.len(), rotations)?;
    let local = if model.blocks.window.is_some() {
        rotations
    } else {
        0
    };
    count("local_cos", model.local_cos.len(), local)?;
    count("local_sin", model.local_sin.len(), local)?;
    blocks(&model.blocks)?;
    let of_layer = model.blocks.tables(shape);
    for layer in &model.layers {
        for ((name, len), values) in of_layer.iter().zip(layer.tables()) {
            count(name, values.len(), *len)?;
        }
        matrix("q", &layer.q, q_dim, shape.dim)?;
        matrix("k", &layer.k, kv_dim, shape.dim)?;
        matrix("v", &layer.v, kv_dim, shape.dim)?;
        matrix("o", &layer.o, shape.dim, q_dim)?;
        matrix("gate", &layer.gate, shape.ff, shape.dim)?;
        matrix("up", &layer.up, shape.ff, shape.dim)?;
        matrix("down", &layer.down, shape.dim, shape.ff)?;
    }
    Ok(())
}

/// Checks every size of an encoder.
pub fn check_encoder(encoder: &Encoder) -> Result<(), BoundsError> {
    let shape = &encoder.shape;
    let heads = shape.heads.saturating_mul(shape.head_dim);
    for (what, value, max) in [
        ("layers", shape.layers, LAYERS_MAX),
        ("width", shape.dim, LAYER_NORM_MAX),
        ("heads", shape.heads, TERMS_MAX),
        ("head width", shape.head_dim, HEAD_DIM_MAX),
        ("width of all heads", heads, TERMS_MAX),
        ("feed-forward width", shape.ff, TERMS_MAX),
        ("vocabulary", shape.vocab, VOCAB_MAX),
        ("context", shape.context_max, CONTEXT_MAX),
    ] {
        if value == 0 || value > max {
            return Err(BoundsError::Size { what, value, max });
        }
    }
    if shape.kv_heads != shape.heads {
        return Err(BoundsError::Groups {
            heads: shape.heads,
            kv_heads: shape.kv_heads,
        });
    }
    epsilon(shape.norm_eps_bits)?;
    count("layers", encoder.layers.len(), shape.layers)?;
    matrix("embedding", &encoder.embedding, shape.vocab, shape.dim)?;
    let positions = shape.context_max * shape.dim;
    count("positions", encoder.positions.len(), positions)?;
    let Norm { gain, bias } = &encoder.embedding_norm;
    count("embedding_norm.gain", gain.len(), shape.dim)?;
    count("embedding_norm.bias", bias.len(), shape.dim)?;
    for layer in &encoder.layers {
        for ((name, rows, cols), found) in layer_matrices(shape).into_iter().zip(layer.matrices()) {
            matrix(name, found, rows, cols)?;
        }
        for ((name, len), values) in layer_tables(shape).into_iter().zip(layer.tables()) {
            count(name, values.len(), len)?;
        }
    }
    Ok(())
}

fn epsilon(bits: u32) -> Result<(), BoundsError> {
    let eps = f32::from_bits(bits);
    if f32z::z(eps).to_bits() != bits || eps <= 0.0 {
        return Err(BoundsError::Epsilon(bits));
    }
    Ok(())
}

fn blocks(blocks: &Blocks) -> Result<(), BoundsError> {
    let size = |what, value: Option<usize>, max| match value {
        Some(value) if value == 0 || value > max => Err(BoundsError::Size { what, value, max }),
        _ => Ok(()),
    };
    size("score width", blocks.score_width, TERMS_MAX)?;
    size("window", blocks.window.map(|w| w.tokens), CONTEXT_MAX)?;
    size(
        "window period",
        blocks.window.map(|w| w.global_every),
        LAYERS_MAX,
    )?;
    match blocks.embedding_scale_bits {
        Some(bits)
            if f32z::z(f32::from_bits(bits)).to_bits() != bits || f32::from_bits(bits) <= 0.0 =>
        {
            Err(BoundsError::EmbeddingScale(bits))
        }
        _ => Ok(()),
    }
}

fn count(tensor: &str, found: usize, expected: usize) -> Result<(), BoundsError> {
    if found == expected {
        return Ok(());
    }
    Err(BoundsError::Tensor {
        tensor: tensor.to_string(),
        found: found.to_string(),
        expected: expected.to_string(),
    })
}

fn matrix(tensor: &str, found: &Matrix, rows: usize, cols: usize) -> Result<(), BoundsError> {
    if found.rows() == rows && found.cols() == cols {
        return Ok(());
    }
    let size = |rows, cols| alloc::format!("{rows} x {cols}");
    Err(BoundsError::Tensor {
        tensor: tensor.to_string(),
        found: size(found.rows(), found.cols()),
        expected: size(rows, cols),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Model)) -> String {
        let mut model = Model::tiny(1);
        change(&mut model);
        check(&model).map_or_else(|e| e.to_string(), |()| "accepted".to_string())
    }

    #[test]
    fn a_consistent_model_is_accepted() {
        assert_eq!(refusal(|_| ()), "accepted");
    }

    #[test]
    fn sizes_are_refused_just_past_their_limits() {
        assert_eq!(
            refusal(|m| m.shape.ff = TERMS_MAX + 1),
            "model: feed-forward width is 133145, must be 1 to 133144; convert the model again"
        );
        // At the limit the size itself passes and the first tensor is named instead.
        assert!(refusal(|m| m.shape.ff = TERMS_MAX).starts_with("model: gate is 100 x 72"));
        assert!(
            refusal(|m| m.shape.context_max = CONTEXT_MAX + 1)
                .starts_with("model: context is 133145")
        );
        assert!(
            refusal(|m| m.shape.head_dim = HEAD_DIM_MAX + 2)
                .starts_with("model: head width is 1026")
        );
        assert!(refusal(|m| m.shape.vocab = VOCAB_MAX + 1).starts_with("model: vocabulary"));
        assert!(refusal(|m| m.shape.layers = 0).starts_with("model: layers is 0"));
        assert!(refusal(|m| m.shape.heads = usize::MAX).starts_with("model: heads"));
    }

    fn encoder_refusal(change: impl FnOnce(&mut Encoder)) -> String {
        let mut encoder = Encoder::tiny(1);
        change(&mut encoder);
        check_encoder(&encoder).map_or_else(|e| e.to_string(), |()| "accepted".to_string())
    }

    #[test]
    fn encoders_are_refused_just_past_their_limits() {
        assert_eq!(encoder_refusal(|_| ()), "accepted");
        assert_eq!(
            encoder_refusal(|e| e.shape.dim = LAYER_NORM_MAX + 1),
            "model: width is 65537, must be 1 to 65536; convert the model again"
        );
        // At the limit the size itself passes and the first tensor is named instead.
        assert!(
            encoder_refusal(|e| e.shape.dim = LAYER_NORM_MAX)
                .starts_with("model: embedding is 211 x 72")
        );
        assert!(
            encoder_refusal(|e| e.shape.context_max = CONTEXT_MAX + 1)
                .starts_with("model: context is 133145")
        );
        assert!(encoder_refusal(|e| e.shape.ff = 0).starts_with("model: feed-forward width is 0"));
        assert_eq!(
            encoder_refusal(|e| e.shape.kv_heads = 3),
            "model: 6 heads cannot share 3 key heads evenly"
        );
        assert!(encoder_refusal(|e| e.shape.norm_eps_bits = 0).starts_with("model: norm epsilon"));
        assert!(
            encoder_refusal(|e| e.layers.truncate(1)).starts_with("model: layers is 1, must be 2")
        );
        for change in [
            (|e| e.positions.clear()) as fn(&mut Encoder),
            |e| e.embedding_norm.bias.clear(),
            |e| e.layers[1].o_bias.clear(),
            |e| e.layers[0].ffn_norm.gain.clear(),
            |e| e.layers[1].down = e.layers[1].up.clone(),
        ] {
            assert!(encoder_refusal(change).starts_with("model: "));
            assert!(encoder_refusal(change).ends_with("; convert the model again"));
        }
    }

    #[test]
    fn inconsistent_shapes_are_refused() {
        assert_eq!(
            refusal(|m| m.shape.head_dim = 13),
            "model: head width 13 is odd; only even widths can be rotated"
        );
        assert_eq!(
            refusal(|m| m.shape.kv_heads = 4),
            "model: 6 heads cannot share 4 key heads evenly"
        );
        assert!(
            refusal(|m| m.shape.norm_eps_bits = 0).starts_with("model: norm epsilon 0x00000000")
        );
        assert!(
            refusal(|m| m.shape.norm_eps_bits = 0x7fc0_0000).starts_with("model: norm epsilon")
        );
        assert!(refusal(|m| m.end_tokens.push(307)).starts_with("model: end token 307"));
        assert!(refusal(|m| m.layers.truncate(1)).starts_with("model: layers is 1, must be 2"));
        assert!(
            refusal(|m| {
                m.rope_sin.pop();
            })
            .starts_with("model: rope_sin")
        );
        assert!(
            refusal(|m| m.layers[1].down = m.layers[1].gate.clone())
                .starts_with("model: down is 100 x 72, must be 72 x 100")
        );
    }
}
