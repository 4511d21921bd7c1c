//! Results and their roots: what workers compare without showing it.

use candid::CandidType;
use serde::{Deserialize, Serialize};

use crate::{Hash32, Hasher, request::Parameters};

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum Finish {
    /// The model ended its turn, a stop string came up, or the format admits nothing more.
    Stop,
    /// `max_tokens` was reached.
    Length,
}

impl Finish {
    /// Whether so many generated tokens can end this way: all that are allowed at [`Finish::Length`], fewer at [`Finish::Stop`]. Where
    /// a text or a format can end the answer, the last token that is allowed may do so.
    pub fn fits(self, output_tokens: usize, parameters: &Parameters) -> bool {
        let max = parameters.max_tokens as usize;
        match self {
            Self::Stop if parameters.is_steered() => output_tokens <= max,
            Self::Stop => output_tokens < max,
            Self::Length => output_tokens == max,
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
    /// For each output token, where they were asked for.
    pub logprobs: Option<Vec<TokenLogprobs>>,
    /// The vector of an embedding: binary32 numbers of four little-endian bytes.
    pub embedding: Option<serde_bytes::ByteBuf>,
}

impl Answer {
    /// What its hash in the receipt covers: the text, or an embedding's numbers.
    pub fn bytes(&self) -> &[u8] {
        match &self.embedding {
            Some(numbers) => numbers,
            None => self.text.as_bytes(),
        }
    }
}

/// How likely the model found an output token, and what else it thought of.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct TokenLogprobs {
    /// The token itself.
    pub drawn: Logprob,
    /// The likeliest tokens, best first, as many as were asked for.
    pub top: Vec<Logprob>,
}

/// A token and its log-probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Logprob {
    /// The token.
    pub token: u32,
    /// Natural logarithm of its probability, in millionths; zero or negative.
    pub micro_nats: i64,
}

/// What a generation gives: everything that the result root covers and the request does not hold.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct ResultBody {
    /// Token ids the model read: the rendered conversation.
    pub input_tokens: Vec<u32>,
    /// Token ids it generated, the ending one not included.
    pub output_tokens: Vec<u32>,
    /// The answer's bytes: the decoded text up to a stop string, or an embedding's numbers.
    #[serde(with = "serde_bytes")]
    pub answer: Vec<u8>,
    /// For each output token, where they were asked for.
    pub logprobs: Option<Vec<TokenLogprobs>>,
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
    /// How the answer is generated and when it ends.
    pub parameters: &'a Parameters,
    /// Seed of the draws.
    pub seed: u64,
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
            parameters,
            seed,
        } = context;
        let usage = self.usage();
        let hasher = Hasher::new("assay-result-1")
            .bytes(spec.as_bytes())
            .hash(model_root)
            .tokens(&self.input_tokens);
        let mut hasher = parameters
            .hash_into(hasher)
            .u64(*seed)
            .tokens(&self.output_tokens);
        if let Some(logprobs) = &self.logprobs {
            hasher = hasher.bytes(&encoded(logprobs));
        }
        hasher
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

/// Log-probabilities as one field: token after token how many alternatives, the drawn one, and these.
fn encoded(logprobs: &[TokenLogprobs]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for TokenLogprobs { drawn, top } in logprobs {
        bytes.extend((top.len() as u64).to_le_bytes());
        for Logprob { token, micro_nats } in [drawn].into_iter().chain(top) {
            bytes.extend(token.to_le_bytes());
            bytes.extend(micro_nats.to_le_bytes());
        }
    }
    bytes
}
