//! Sentence encoders: one vector of length one for each text.
//!
//! A text is read whole and in both directions: every token attends to all. In operators, with `+` of F32Z and `product` of A15 inputs:
//!
//! ```text
//! x    = layer_norm(embed(token) + positions[i])
//! then for each layer:
//!   q  = product(q, x) + q_bias, the same for k and v; k and v are kept as int8 rows, not rotated
//!   a  = attend(q, all positions), score factor log2(e) / sqrt(head_dim)
//!   x  = layer_norm(x + (product(o, a) + o_bias))
//!   f  = product(down, gelu(product(up, x) + up_bias)) + down_bias
//!   x  = layer_norm(x + f)
//! vector = normalise(mean_rows(x of all positions))
//! ```
//!
//! Invariant: vector and trace depend on the tokens only, not on chunks, threads or kernels.

use alloc::vec::Vec;

use crate::{
    bounds,
    forward::{Kernels, Options, PREFILL_CHUNK_MAX, SessionError, THREADS_MAX},
    model::Encoder,
    ops,
    trace::{Trace, embedding_root},
};

#[cfg(feature = "std")]
mod fast;
mod reference;
#[cfg(test)]
mod tests;
#[cfg(feature = "tokenizer")]
mod text;

#[cfg(feature = "tokenizer")]
pub use self::text::{SentenceTokenizer, TextError};

/// What an encoder makes of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Of length one, or all zeros; F32Z.
    pub vector: Vec<f32>,
    /// Commitment to every state and the vector; see [`crate::trace`].
    pub trace_root: [u8; 32],
}

/// Makes the vector of a text. `tokens` are all of it, with what the tokenizer puts around a text.
pub fn embed(
    encoder: &Encoder,
    tokens: &[u32],
    options: &Options,
) -> Result<Embedding, SessionError> {
    bounds::check_encoder(encoder)?;
    admit(encoder, tokens, options)?;
    let mut trace = Trace::default();
    let mean = match options.kernels {
        Kernels::Reference => reference::mean(encoder, tokens, &mut trace),
        #[cfg(not(feature = "std"))]
        Kernels::Auto => reference::mean(encoder, tokens, &mut trace),
        #[cfg(not(feature = "std"))]
        other => return Err(SessionError::Kernels(other)),
        #[cfg(feature = "std")]
        other => {
            let level = crate::kernels::Level::choose(other).ok_or(SessionError::Kernels(other))?;
            fast::mean(encoder, tokens, options, level, &mut trace)
        }
    };
    let vector = ops::normalise(&mean);
    let trace_root = embedding_root(&trace.root(tokens.len()), &vector);
    Ok(Embedding { vector, trace_root })
}

/// Refuses tokens and options before anything is computed.
fn admit(encoder: &Encoder, tokens: &[u32], options: &Options) -> Result<(), SessionError> {
    let Options {
        threads,
        prefill_chunk,
        kernels: _,
    } = *options;
    for (what, value, max) in [
        ("threads", threads, THREADS_MAX),
        ("prefill_chunk", prefill_chunk, PREFILL_CHUNK_MAX),
    ] {
        if value == 0 || value > max {
            return Err(SessionError::Option { what, value, max });
        }
    }
    let (vocab, capacity) = (encoder.shape.vocab, encoder.shape.context_max);
    if tokens.is_empty() {
        return Err(SessionError::NoTokens);
    }
    if tokens.len() > capacity {
        return Err(SessionError::Context {
            capacity,
            wanted: tokens.len(),
        });
    }
    match tokens.iter().find(|t| **t as usize >= vocab) {
        Some(token) => Err(SessionError::Token {
            token: *token,
            vocab,
        }),
        None => Ok(()),
    }
}
