//! Refusals as this interface writes them: codes by their names.

use assay_localnet_core::types::{ErrorCode, Reject, RejectCode};
use serde::Serialize;

use super::shapes::Blob;

/// What came of a call.
#[derive(Clone, Debug, Serialize)]
pub(super) enum CallResult {
    Ok(Blob),
    Err(RejectResponse),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct RejectResponse {
    pub(super) reject_code: &'static str,
    pub(super) reject_message: String,
    pub(super) error_code: String,
    pub(super) certified: bool,
}

impl RejectResponse {
    /// A refusal that is part of the certified state, or one that the network only told.
    pub(super) fn new(reject: Reject, certified: bool) -> Self {
        let error = reject.error.unwrap_or_else(|| usual(reject.code));
        Self {
            reject_code: class(reject.code),
            reject_message: reject.message,
            // Variants are named as the published enum names its own, which is what clients read.
            error_code: format!("{error:?}"),
            certified,
        }
    }
}

impl CallResult {
    pub(super) fn new(result: Result<Vec<u8>, Reject>, certified: bool) -> Self {
        match result {
            Ok(reply) => Self::Ok(Blob(reply)),
            Err(reject) => Self::Err(RejectResponse::new(reject, certified)),
        }
    }
}

const fn class(code: RejectCode) -> &'static str {
    match code {
        RejectCode::SysFatal => "SysFatal",
        RejectCode::SysTransient => "SysTransient",
        RejectCode::DestinationInvalid => "DestinationInvalid",
        RejectCode::CanisterReject => "CanisterReject",
        RejectCode::CanisterError => "CanisterError",
        RejectCode::SysUnknown => "SysUnknown",
    }
}

/// Clients require an error code; this is the plainest of each class.
const fn usual(code: RejectCode) -> ErrorCode {
    match code {
        RejectCode::SysFatal => ErrorCode::SubnetOversubscribed,
        RejectCode::SysTransient => ErrorCode::IngressMessageTimeout,
        RejectCode::DestinationInvalid => ErrorCode::CanisterNotFound,
        RejectCode::CanisterReject => ErrorCode::CanisterRejectedMessage,
        RejectCode::CanisterError => ErrorCode::CanisterTrapped,
        RejectCode::SysUnknown => ErrorCode::DeadlineExpired,
    }
}
