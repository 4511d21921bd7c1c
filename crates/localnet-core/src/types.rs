//! Words that every part of the network shares: ids, time, rejects, messages and their status.
//!
//! Nothing here executes anything, and nothing here knows about sockets.

use std::fmt;

use candid::Principal;

/// Nanoseconds since the Unix epoch, as canisters see them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub [u8; 32]);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Reject codes of the interface specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// Error codes as the official clients print them (`IC0503`); numbers follow the published enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum ErrorCode {
    /// The subnet has too much to do.
    SubnetOversubscribed = 101,
    /// The canister's queue is full.
    CanisterQueueFull = 201,
    /// The ingress message expired before it was executed.
    IngressMessageTimeout = 202,
    /// The canister has too few cycles to go on.
    CanisterOutOfCycles = 207,
    /// No such canister.
    CanisterNotFound = 301,
    /// The management canister has no such method.
    CanisterMethodNotFound = 302,
    /// The canister has no module.
    CanisterWasmModuleNotFound = 305,
    /// The canister already has a module.
    CanisterNonEmpty = 307,
    /// The canister has cycles left and may not be deleted so.
    CanisterNotEmpty = 402,
    /// The caller may not do this.
    CanisterInvalidController = 512,
    /// The management canister could not decode its argument.
    InvalidManagementPayload = 446,
    /// The canister rejected the message itself.
    CanisterRejectedMessage = 406,
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
    /// A call to the canister was cancelled because it stops.
    CanisterStoppingCancelled = 511,
    /// More instructions than one message may use.
    CanisterInstructionLimitExceeded = 522,
    /// No exported method of this name and kind.
    CanisterFunctionNotFound = 536,
    /// A bounded-wait call ran past its deadline.
    DeadlineExpired = 610,
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IC{:04}", *self as u16)
    }
}

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The specification's class of refusal.
    pub code: RejectCode,
    /// The precise error, where one is known.
    pub error: Option<ErrorCode>,
    /// What failed, for a person.
    pub message: String,
}

impl Reject {
    /// A refusal with a precise error code.
    pub fn new(code: RejectCode, error: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, error: Some(error), message: message.into() }
    }
}

/// A user's call after its signature, expiry and form have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub arg: Vec<u8>,
    /// After this time it must not start.
    pub expiry: Time,
}

/// What has become of an ingress message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressStatus {
    /// Accepted, not yet started.
    Received,
    /// Started, no answer yet.
    Processing,
    /// Answered.
    Replied(Vec<u8>),
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
}
