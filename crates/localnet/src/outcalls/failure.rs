//! Why an outcall has no response, and how its canister is told.

use std::{error::Error, net::IpAddr, time::Duration};

use assay_localnet_core::{network::access::OutcallAnswer, types::RejectCode};
use thiserror::Error;

use super::{limits, policy::POLICY_VARIABLE};

/// Why an outcall has no response.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Failure {
    /// The URL leads nowhere; a sentence says why.
    #[error("{0}")]
    Url(String),
    /// A header cannot be sent.
    #[error("Failed to parse header {part} {reason}")]
    Header {
        /// The name or the value.
        part: &'static str,
        reason: String,
    },
    /// The target is where outcalls may not go.
    #[error(
        "outcall refused: {host} has the address {address}, and canisters of this network reach this machine only; to \
         let them reach everything, start the network with --allow-outcalls any or with {POLICY_VARIABLE}=any"
    )]
    Refused { host: String, address: IpAddr },
    /// The name has no address.
    #[error("cannot find the address of {host}: {reason}")]
    Resolve { host: String, reason: String },
    /// No address could be connected to.
    #[error("Connecting to {host} failed: {reason}")]
    Connect { host: String, reason: String },
    /// The machine has nothing to check certificates with.
    #[error(
        "no secure connection to {host} can be made: {reason}; this machine needs certificates of authorities \
         (SSL_CERT_FILE names a file of them)"
    )]
    NoAuthorities { host: String, reason: String },
    /// The server did not prove who it is.
    #[error("no secure connection to {host} could be made: {reason}")]
    Tls { host: String, reason: String },
    /// The request did not get through, or the response did not get here.
    #[error("the exchange with {host} failed: {reason}")]
    Http { host: String, reason: String },
    /// A header of the response is no text.
    #[error("Failed to parse headers: {name} holds bytes that are no visible text")]
    ResponseHeader { name: String },
    /// The response was not there in time.
    #[error("{host} has not answered within {time:?}")]
    Slow { host: String, time: Duration },
    /// Other outcalls took all the time.
    #[error(
        "the outcall had no turn in time: {max} others were being made, and at most so many are at once",
        max = limits::OUTCALLS_AT_ONCE_MAX
    )]
    NoTurn,
}

impl Failure {
    /// What kind of failure it is: one that comes again, or one that may pass.
    const fn code(&self) -> RejectCode {
        match self {
            Self::Url(_) | Self::Header { .. } | Self::Refused { .. } => RejectCode::SysFatal,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::NoAuthorities { .. }
            | Self::Tls { .. }
            | Self::Http { .. }
            | Self::ResponseHeader { .. }
            | Self::Slow { .. }
            | Self::NoTurn => RejectCode::SysTransient,
        }
    }
}

impl From<Failure> for OutcallAnswer {
    fn from(failure: Failure) -> Self {
        let mut message = failure.to_string();
        // As much as a node of the public network tells.
        let mut end = message.len().min(limits::REJECT_BYTES_MAX);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        Self::Reject {
            code: failure.code() as u8,
            message,
        }
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
