//! Why a run gave nothing, and whose fault that is.

use assay_engine::{
    encoder::TextError,
    forward::SessionError,
    run::{RunError, StopError},
    sampler::constraint::ConstraintError,
    tokenizer::{TemplateError, TokenizerError},
};

use crate::openai::ServerError;

/// Why no model, or not this one, can do what an order asks for: a flaw of the request, not of the worker.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The messages could not be rendered.
    #[error(transparent)]
    Prompt(#[from] TemplateError),
    /// The text could not be read.
    #[error(transparent)]
    Text(#[from] TokenizerError),
    /// The text could not be read by an encoder.
    #[error(transparent)]
    Sentence(#[from] TextError),
    /// The schema cannot be followed.
    #[error("schema: {0}")]
    Schema(#[from] ConstraintError),
    /// A stop string cannot be looked for.
    #[error(transparent)]
    Stop(#[from] StopError),
    /// More tokens than the market allows for such a task.
    #[error("the task has {found} input tokens, the market allows {max} for it")]
    Input {
        /// Tokens that there are.
        found: usize,
        /// Tokens that there may be.
        max: u32,
    },
    /// The servers that have this model cannot do it, or would not do it to the letter.
    #[error("{0}")]
    Server(String),
    /// Another kind of task.
    #[error("this model cannot do that kind of task; ask {0}")]
    Kind(&'static str),
}

/// Why a run gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunFault {
    /// The request cannot be done.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The engine refused.
    #[error(transparent)]
    Run(RunError),
    /// The engine's encoder refused.
    #[error(transparent)]
    Embed(#[from] SessionError),
    /// A server failed.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Nobody can check answers of servers.
    #[error("answers of servers are compared with each other and never run again")]
    NotChecked,
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl From<RunError> for RunFault {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Cancelled => Self::Cancelled,
            other => Self::Run(other),
        }
    }
}

impl RunFault {
    /// Whether every honest worker with this model would find the same, because the request cannot be done.
    pub fn is_of_request(&self) -> bool {
        match self {
            Self::Unfit(_) => true,
            Self::Run(error) => match error {
                RunError::EmptyInput
                | RunError::NoTokensWanted
                | RunError::Context { .. }
                | RunError::Sampling(_)
                | RunError::BiasToken { .. }
                | RunError::Logprobs(_)
                | RunError::Stuck { .. } => true,
                RunError::Session(error) => refuses_request(error),
                _ => false,
            },
            Self::Embed(error) => refuses_request(error),
            Self::Server(_) | Self::NotChecked | Self::Cancelled => false,
        }
    }
}

fn refuses_request(error: &SessionError) -> bool {
    match error {
        SessionError::Context { .. } | SessionError::Token { .. } | SessionError::NoTokens => true,
        SessionError::Model(_) | SessionError::Option { .. } | SessionError::Kernels(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use assay_engine::forward::Kernels;

    use super::*;

    #[test]
    fn only_what_every_worker_would_find_counts_as_the_requests_fault() {
        let of_request = [
            RunFault::Unfit(Unfit::Input { found: 2, max: 1 }),
            RunFault::Unfit(Unfit::Server(String::new())),
            RunFault::Run(RunError::BiasToken { token: 9, vocab: 3 }),
            RunFault::Run(RunError::Stuck { position: 0 }),
            RunFault::Run(RunError::Session(SessionError::NoTokens)),
            RunFault::Embed(SessionError::Context {
                capacity: 1,
                wanted: 2,
            }),
        ];
        for fault in of_request {
            assert!(fault.is_of_request(), "{fault}");
        }
        let of_worker = [
            RunFault::Server(ServerError::Malformed(String::new())),
            RunFault::NotChecked,
            RunFault::Cancelled,
            RunFault::from(RunError::Cancelled),
            RunFault::Run(RunError::NoPieces),
            RunFault::Run(RunError::Session(SessionError::Kernels(Kernels::Auto))),
            RunFault::Embed(SessionError::Option {
                what: "threads",
                value: 0,
                max: 1,
            }),
        ];
        for fault in of_worker {
            assert!(!fault.is_of_request(), "{fault}");
        }
    }
}
