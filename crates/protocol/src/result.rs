//! Results and their roots: what workers compare without showing it.

use candid::CandidType;
use serde::{Deserialize, Serialize};

use crate::{Hash32, Hasher, job::Sampling};

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum Finish {
    /// The model ended its turn.
    Stop,
    /// `max_tokens` was reached.
    Length,
}

impl Finish {
    /// Whether so many generated tokens can end this way: all of them at [`Finish::Length`], fewer at [`Finish::Stop`].
    pub const fn fits(self, output_tokens: usize, max_tokens: u32) -> bool {
        match self {
            Self::Stop => output_tokens < max_tokens as usize,
            Self::Length => output_tokens == max_tokens as usize,
        }
    }
}

/// Tokens used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    pub input_tokens: u32,
    /// Tokens generated.
    pub output_tokens: u32,
}

/// An answer, as the requester reads it.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
    /// The token ids the model read.
    pub input_tokens: Vec<u32>,
    /// The token ids it generated.
    pub output_tokens: Vec<u32>,
    /// The root over every activation of the run.
    pub trace_root: Hash32,
}

/// What a generation gives: everything that the result root covers and the request does not hold.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct ResultBody {
    /// Token ids the model read: the rendered conversation.
    pub input_tokens: Vec<u32>,
    /// Token ids it generated, the ending one not included.
    pub output_tokens: Vec<u32>,
    /// The answer's bytes: the decoded text.
    #[serde(with = "serde_bytes")]
    pub answer: Vec<u8>,
    /// Why it ended.
    pub finish: Finish,
    /// The root over every activation of the run.
    pub trace_root: Hash32,
}

/// What the result root takes from the order rather than from the worker.
#[derive(Clone, Copy, Debug)]
pub struct ResultContext<'a> {
    /// Semantics by which the model runs, for example `CIS-1`.
    pub spec: &'a str,
    /// Root of the model's weights.
    pub model_root: &'a Hash32,
    /// How tokens are drawn.
    pub sampling: &'a Sampling,
    /// Seed of the draws.
    pub seed: u64,
    /// Tokens to generate at most.
    pub max_tokens: u32,
}

impl ResultBody {
    /// Tokens used.
    pub fn usage(&self) -> Usage {
        Usage {
            input_tokens: u32::try_from(self.input_tokens.len()).unwrap_or(u32::MAX),
            output_tokens: u32::try_from(self.output_tokens.len()).unwrap_or(u32::MAX),
        }
    }

    /// The result root: equal roots mean equal model, input, parameters, answer and trace.
    pub fn root(&self, context: &ResultContext<'_>) -> Hash32 {
        let ResultContext {
            spec,
            model_root,
            sampling,
            seed,
            max_tokens,
        } = context;
        let Sampling {
            temperature_milli,
            top_p_ppm,
            top_k,
        } = sampling;
        let usage = self.usage();
        Hasher::new("assay-result-1")
            .bytes(spec.as_bytes())
            .hash(model_root)
            .tokens(&self.input_tokens)
            .u64(u64::from(*temperature_milli))
            .u64(u64::from(*top_p_ppm))
            .u64(u64::from(*top_k))
            .u64(*seed)
            .u64(u64::from(*max_tokens))
            .tokens(&self.output_tokens)
            .hash(&Hash32::sha256(&self.answer))
            .bytes(match self.finish {
                Finish::Stop => b"stop",
                Finish::Length => b"length",
            })
            .u64(u64::from(usage.input_tokens))
            .u64(u64::from(usage.output_tokens))
            .hash(&self.trace_root)
            .finish()
    }
}
