//! Why a call gave no answer, and whether asking again can help.

use ic_agent::{AgentError, agent::RejectCode, agent::agent_error::TransportError};

/// A call that gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("{method} at {url}: {fault}")]
pub struct CallError {
    /// Which network.
    pub url: String,
    /// What was called.
    pub method: &'static str,
    /// What went wrong.
    pub fault: CallFault,
}

/// What went wrong with a call.
#[derive(Debug, thiserror::Error)]
pub enum CallFault {
    /// Nobody answers at this address.
    #[error("cannot reach the network ({0}); is it running, and is the address right?")]
    Unreachable(String),
    /// The server answered with an HTTP error.
    #[error("the server answered HTTP {status}: {text}")]
    Http {
        /// The status code.
        status: u16,
        /// The body, shortened.
        text: String,
    },
    /// No answer in time; the call may still have been carried out.
    #[error("no answer within {seconds} s; the call may still have been carried out")]
    Timeout {
        /// How long was waited.
        seconds: u64,
    },
    /// The network or the canister rejected the call.
    #[error("rejected ({code:?}): {message}")]
    Rejected {
        /// Kind of rejection.
        code: RejectCode,
        /// In words.
        message: String,
    },
    /// The answer does not prove where it comes from.
    #[error("the answer could not be verified ({0}); is this the right network and root key?")]
    Untrusted(String),
    /// The answer is too old, or the call was made too late, by this machine's clock.
    #[error("{0}; set this machine's clock")]
    Clock(String),
    /// Arguments or answer do not have the expected shape.
    #[error("unexpected data: {0}; are client and canister of the same release?")]
    Encoding(String),
    /// The call could not be made.
    #[error("{0}")]
    Other(String),
}

impl CallError {
    pub(crate) fn new(url: &str, method: &'static str, error: AgentError) -> Self {
        Self {
            url: url.to_owned(),
            method,
            fault: CallFault::from(error),
        }
    }

    /// Whether nobody answered at all.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.fault, CallFault::Unreachable(_))
    }

    /// Whether the same call may succeed later without anybody changing anything here.
    pub fn is_passing(&self) -> bool {
        match &self.fault {
            CallFault::Unreachable(_) | CallFault::Timeout { .. } => true,
            CallFault::Http { status, .. } => matches!(status, 408 | 429 | 500..=599),
            // A stopped canister (an upgrade) rejects too, and comes back.
            CallFault::Rejected { code, message } => {
                matches!(code, RejectCode::SysTransient)
                    || message.contains("stopped")
                    || message.contains("stopping")
            }
            CallFault::Untrusted(_)
            | CallFault::Clock(_)
            | CallFault::Encoding(_)
            | CallFault::Other(_) => false,
        }
    }
}

impl From<AgentError> for CallFault {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::TransportError(TransportError::Reqwest(error)) => {
                Self::Unreachable(root_cause(&error))
            }
            AgentError::TransportError(TransportError::Generic(text)) => Self::Unreachable(text),
            AgentError::HttpError(error) => {
                let text: String = String::from_utf8_lossy(&error.content)
                    .chars()
                    .take(200)
                    .collect();
                if text.contains("expiry") {
                    Self::Clock(text)
                } else {
                    Self::Http {
                        status: error.status,
                        text,
                    }
                }
            }
            AgentError::TimeoutWaitingForResponse() => Self::Timeout { seconds: 300 },
            AgentError::CertifiedReject { reject, .. }
            | AgentError::UncertifiedReject { reject, .. } => {
                if reject.reject_message.contains("ingress_expiry") {
                    Self::Clock(reject.reject_message)
                } else {
                    Self::Rejected {
                        code: reject.reject_code,
                        message: reject.reject_message,
                    }
                }
            }
            AgentError::CertificateOutdated(_) => Self::Clock(error.to_string()),
            AgentError::CertificateVerificationFailed()
            | AgentError::QuerySignatureVerificationFailed
            | AgentError::CertificateNotAuthorized()
            | AgentError::CertificateHasTooManyDelegations
            | AgentError::MissingSignature
            | AgentError::MalformedSignature
            | AgentError::MalformedPublicKey
            | AgentError::TooManySignatures { .. }
            | AgentError::DerKeyLengthMismatch { .. }
            | AgentError::DerPrefixMismatch { .. } => Self::Untrusted(error.to_string()),
            AgentError::CandidError(_) | AgentError::InvalidCborData(_) => {
                Self::Encoding(error.to_string())
            }
            other => Self::Other(other.to_string()),
        }
    }
}

/// The innermost reason: `Connection refused` rather than the chain that leads to it.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// What a call to a canister gave instead of a value.
#[derive(Debug, thiserror::Error)]
pub enum Outcome<E: std::error::Error> {
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The canister refused, and says why.
    #[error("{0}")]
    Refused(E),
}

impl<E: std::error::Error> Outcome<E> {
    /// Folds the two layers of a call's answer into one.
    pub(crate) fn fold<T>(answer: Result<Result<T, E>, CallError>) -> Result<T, Self> {
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(refusal)) => Err(Self::Refused(refusal)),
            Err(error) => Err(Self::Call(error)),
        }
    }

    /// Whether asking again may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_passing())
    }
}
