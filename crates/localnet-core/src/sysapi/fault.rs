//! How an execution can end badly, and what its caller is told.

use candid::Principal;
use thiserror::Error;
use wasmtime::Trap;

use crate::types::{ErrorCode, Reject};

/// How an execution ended badly. The texts are those that clients of the Internet Computer know.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The machine trapped.
    #[error("Canister trapped: {0}")]
    Trapped(&'static str),
    /// The canister called `ic0.trap`.
    #[error("Canister called `ic0.trap` with message: '{0}'")]
    CalledTrap(String),
    /// A function of the System API was used wrongly.
    #[error("Canister violated contract: {0}")]
    Contract(String),
    /// Too many instructions.
    #[error("Canister exceeded the limit of {limit} instructions for single message execution.")]
    Instructions {
        /// The most allowed.
        limit: u64,
    },
    /// Too much stable memory touched.
    #[error("Canister exceeded memory access limits: {0}")]
    MemoryAccess(String),
    /// The heap would pass the canister's own limit.
    #[error(
        "Canister exceeded its current Wasm memory limit of {max} bytes. \
         The peak Wasm memory usage should be kept below the limit; raise wasm_memory_limit in its settings"
    )]
    HeapLimit {
        /// The limit in its settings.
        max: u64,
    },
    /// More cycles attached than there are.
    #[error("Canister tried to attach {wanted} cycles to a call, but has {available}")]
    Cycles {
        /// What was to be attached.
        wanted: u128,
        /// What it has.
        available: u128,
    },
    /// A callback that is not in the table, or is not a callback.
    #[error("Canister's callback {index} is not a function in its table that takes one pointer")]
    NoCallback {
        /// Its place in the table.
        index: u64,
    },
    /// The engine failed.
    #[error("Wasm engine error: {0}")]
    Engine(String),
}

impl Fault {
    /// What the engine's error means.
    pub(crate) fn from_engine(error: wasmtime::Error, limit: u64) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(fault) => return fault,
            Err(error) => error,
        };
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Self::Instructions { limit },
            Some(Trap::StackOverflow) => Self::Trapped("stack overflow"),
            Some(Trap::MemoryOutOfBounds) => Self::Trapped("heap out of bounds"),
            Some(Trap::TableOutOfBounds) => Self::Trapped("table out of bounds"),
            Some(Trap::IndirectCallToNull) => Self::Trapped("indirect call to null"),
            Some(Trap::BadSignature) => Self::Trapped("indirect call type mismatch"),
            Some(Trap::IntegerOverflow) => Self::Trapped("integer overflow"),
            Some(Trap::IntegerDivisionByZero) => Self::Trapped("integer divide by 0"),
            Some(Trap::BadConversionToInteger) => Self::Trapped("invalid conversion to integer"),
            Some(Trap::UnreachableCodeReached) => Self::Trapped("unreachable"),
            _ => Self::Engine(format!("{error:#}")),
        }
    }

    /// The published number.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Trapped(_) => ErrorCode::CanisterTrapped,
            Self::CalledTrap(_) => ErrorCode::CanisterCalledTrap,
            Self::Contract(_) => ErrorCode::CanisterContractViolation,
            Self::Instructions { .. } => ErrorCode::CanisterInstructionLimitExceeded,
            Self::MemoryAccess(_) => ErrorCode::CanisterMemoryAccessLimitExceeded,
            Self::HeapLimit { .. } => ErrorCode::CanisterWasmMemoryLimitExceeded,
            Self::Cycles { .. } => ErrorCode::InsufficientCyclesInCall,
            Self::NoCallback { .. } => ErrorCode::CanisterFunctionNotFound,
            Self::Engine(_) => ErrorCode::CanisterWasmEngineError,
        }
    }

    /// What the caller of this canister is told.
    pub(crate) fn reject(&self, canister: &Principal) -> Reject {
        Reject::of(
            self.code(),
            format!("Error from Canister {canister}: {self}"),
        )
    }
}
