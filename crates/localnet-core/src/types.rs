//! Words that every part of the network shares: ids, time, rejects, messages and their status.
//!
//! Nothing here executes anything, and nothing here knows about sockets.

use std::{fmt, sync::Arc};

use candid::Principal;
use serde::{Deserialize, Serialize};

/// Nanoseconds since the Unix epoch, as canisters see them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Time(pub u64);

impl Time {
    /// The time in whole seconds.
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// This time plus `nanos`, saturating.
    pub const fn plus_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

/// Representation-independent hash of a request's content map (interface specification, "Request id").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Reject codes of the interface specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum RejectCode {
    /// The network cannot do it, and a retry will not help.
    SysFatal = 1,
    /// The network cannot do it now.
    SysTransient = 2,
    /// No such canister or account.
    DestinationInvalid = 3,
    /// The canister refused by `msg_reject`.
    CanisterReject = 4,
    /// The canister trapped or broke a rule.
    CanisterError = 5,
    /// A bounded-wait call whose outcome is not known.
    SysUnknown = 6,
}

/// Error codes as the official clients print them (`IC0503`); names and numbers follow the published enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u16)]
pub enum ErrorCode {
    /// The subnet has too much to do.
    SubnetOversubscribed = 101,
    /// The network holds as many canisters as it may.
    MaxNumberOfCanistersReached = 102,
    /// The canister's queue is full.
    CanisterQueueFull = 201,
    /// The ingress message expired before it was executed.
    IngressMessageTimeout = 202,
    /// Too many ingress messages are being kept.
    IngressHistoryFull = 204,
    /// The asked-for canister id is taken.
    CanisterIdAlreadyExists = 205,
    /// The canister did not stop in time.
    StopCanisterRequestTimeout = 206,
    /// The canister has too few cycles to go on.
    CanisterOutOfCycles = 207,
    /// No such canister.
    CanisterNotFound = 301,
    /// No such snapshot.
    CanisterSnapshotNotFound = 305,
    /// More memory than the canister may hold.
    InsufficientMemoryAllocation = 402,
    /// Fewer cycles attached than a new canister costs.
    InsufficientCyclesForCreateCanister = 403,
    /// No such subnet.
    SubnetNotFound = 404,
    /// The subnet does not host this canister id.
    CanisterNotHostedBySubnet = 405,
    /// The canister rejected the message before it was executed.
    CanisterRejectedMessage = 406,
    /// The management canister has no such method.
    UnknownManagementMessage = 407,
    /// The management canister could not use its argument.
    InvalidManagementPayload = 408,
    /// A snapshot that was taken, not uploaded, cannot be changed.
    CanisterSnapshotImmutable = 409,
    /// The caller does not administer the subnet.
    InvalidSubnetAdmin = 410,
    /// The canister trapped on its own.
    CanisterTrapped = 502,
    /// The canister called `ic0.trap`.
    CanisterCalledTrap = 503,
    /// The canister broke the System API's contract.
    CanisterContractViolation = 504,
    /// The Wasm module does not pass validation.
    CanisterInvalidWasm = 505,
    /// The canister ended without a reply.
    CanisterDidNotReply = 506,
    /// The canister ran out of memory.
    CanisterOutOfMemory = 507,
    /// The canister is stopped.
    CanisterStopped = 508,
    /// The canister is stopping.
    CanisterStopping = 509,
    /// The canister must be stopped first.
    CanisterNotStopped = 510,
    /// A stop was cancelled because the canister was started again.
    CanisterStoppingCancelled = 511,
    /// The caller does not control the canister.
    CanisterInvalidController = 512,
    /// The callback that a canister named is not in its table.
    CanisterFunctionNotFound = 513,
    /// The canister already has a module.
    CanisterNonEmpty = 514,
    /// More cycles attached to a call than the canister has.
    InsufficientCyclesInCall = 520,
    /// The Wasm engine could not compile or run the module.
    CanisterWasmEngineError = 521,
    /// More instructions than one message may use.
    CanisterInstructionLimitExceeded = 522,
    /// More stable memory touched than one message may touch.
    CanisterMemoryAccessLimitExceeded = 524,
    /// Composite queries nested too deeply.
    QueryCallGraphTooDeep = 525,
    /// A query and the queries that it called used too many instructions together.
    QueryCallGraphTotalInstructionLimitExceeded = 526,
    /// A composite query cannot answer an update call.
    CompositeQueryCalledInReplicatedMode = 527,
    /// Too few cycles to keep so much of a processor.
    InsufficientCyclesInComputeAllocation = 530,
    /// Too few cycles to keep so much memory.
    InsufficientCyclesInMemoryAllocation = 531,
    /// Too few cycles to hold more memory for as long as the freezing threshold says.
    InsufficientCyclesInMemoryGrow = 532,
    /// Setting so many cycles aside for memory is not allowed.
    ReservedCyclesLimitExceededInMemoryAllocation = 533,
    /// No exported method of this name and kind.
    CanisterMethodNotFound = 536,
    /// The canister has no module.
    CanisterWasmModuleNotFound = 537,
    /// The heap would pass the canister's own limit.
    CanisterWasmMemoryLimitExceeded = 539,
    /// More cycles are set aside for memory than the limit that was asked for.
    ReservedCyclesLimitIsTooLow = 540,
    /// The caller may not read the canister's status.
    CanisterStatusAccessDenied = 542,
    /// A bounded-wait call ran past its deadline.
    DeadlineExpired = 601,
}

impl ErrorCode {
    /// The class of refusal that this error belongs to.
    pub const fn class(self) -> RejectCode {
        match self as u16 / 100 {
            1 => RejectCode::SysFatal,
            2 => RejectCode::SysTransient,
            3 => RejectCode::DestinationInvalid,
            4 => RejectCode::CanisterReject,
            5 => RejectCode::CanisterError,
            _ => RejectCode::SysUnknown,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IC{:04}", *self as u16)
    }
}

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The specification's class of refusal.
    pub code: RejectCode,
    /// The precise error, where one is known.
    pub error: Option<ErrorCode>,
    /// What failed, for a person.
    pub message: String,
}

impl Reject {
    /// A refusal whose class follows from its error code.
    pub fn of(error: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code: error.class(),
            error: Some(error),
            message: message.into(),
        }
    }

    /// A refusal with a precise error code.
    pub fn new(code: RejectCode, error: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            error: Some(error),
            message: message.into(),
        }
    }
}

/// A user's call after its signature, expiry and form have been checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingress {
    /// Hash of the request's content.
    pub id: RequestId,
    /// Who signed it.
    pub sender: Principal,
    /// The callee; the management canister is the empty principal.
    pub canister: Principal,
    /// Where it is routed (interface specification, "effective canister id").
    pub effective_canister: Principal,
    /// The method's name.
    pub method: String,
    /// The Candid argument.
    #[serde(with = "serde_bytes")]
    pub arg: Vec<u8>,
    /// What a canister has signed about the sender.
    #[serde(with = "crate::image::shared")]
    pub info: Option<Arc<SenderInfo>>,
    /// After this time it must not start.
    pub expiry: Time,
    /// Bytes of the envelope in which it came, signatures included; they are what it costs.
    pub bytes: u64,
}

/// What has become of an ingress message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IngressStatus {
    /// Accepted, not yet started.
    Received,
    /// Started, no answer yet.
    Processing,
    /// Answered.
    Replied(#[serde(with = "serde_bytes")] Vec<u8>),
    /// Refused.
    Rejected(Reject),
    /// Answered or refused, and the answer is no longer kept.
    Done,
}

/// A query: as an ingress message, but answered at once and never committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Who asks.
    pub sender: Principal,
    /// The callee.
    pub canister: Principal,
    /// The method's name.
    pub method: String,
    /// The Candid argument.
    pub arg: Vec<u8>,
    /// What a canister has signed about who asks.
    pub info: Option<Arc<SenderInfo>>,
}

/// What a canister says about a user whose key it signs for (interface specification, "Update call", `sender_info`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderInfo {
    /// What it says; it means something to the callee only.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
    /// The canister.
    pub signer: Principal,
}
