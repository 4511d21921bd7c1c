//! How an execution can end badly, and what its caller is told.

use candid::Principal;
use thiserror::Error;
use wasmtime::Trap;

use crate::{
    help::{self, Help},
    mem::StableError,
    types::{ErrorCode, Reject},
};

/// How an execution ended badly. The texts are those that clients of the Internet Computer know.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The machine trapped.
    #[error("Canister trapped: {0}")]
    Trapped(&'static str),
    /// The canister called `ic0.trap`.
    #[error("Canister called `ic0.trap` with message: '{0}'")]
    CalledTrap(String),
    /// A function of the System API was used wrongly, as only a toolchain does.
    #[error("Canister violated contract: {0}")]
    Contract(String),
    /// A function of the System API was used wrongly by whoever wrote the canister.
    #[error("Canister violated contract: {text}")]
    Misuse {
        /// What is wrong.
        text: String,
        /// What to do about it.
        help: &'static Help,
    },
    /// Bytes that are no principal.
    #[error("Canister provided invalid principal id")]
    Principal,
    /// Too many instructions.
    #[error("Canister exceeded the limit of {limit} instructions for single message execution.")]
    Instructions {
        /// The most allowed.
        limit: u64,
    },
    /// Too much stable memory touched.
    #[error("Canister exceeded memory access limits: {0}")]
    MemoryAccess(StableError),
    /// The heap would pass the canister's own limit.
    #[error(
        "Canister exceeded its current Wasm memory limit of {max} bytes. \
         The peak Wasm memory usage was {wanted} bytes. \
         If the canister reaches 4GiB, then it may stop functioning and may become unrecoverable. \
         Please reach out to the canister owner to investigate the reason for the increased memory usage. \
         It might be necessary to move data from the Wasm memory to the stable memory. \
         If such high Wasm memory usage is expected and safe, then the developer can increase \
         the Wasm memory limit in the canister settings."
    )]
    HeapLimit {
        /// The limit in its settings.
        max: u64,
        /// What the heap would have become.
        wanted: u64,
    },
    /// More memory than the canister could pay for, for as long as its freezing threshold says.
    #[error(
        "Canister cannot grow memory by {bytes} bytes due to insufficient cycles.{}",
        missing.map_or_else(String::new, |cycles| format!(
            " At least {cycles} additional cycles are required."
        ))
    )]
    GrowthUnpaid {
        /// How much more memory.
        bytes: u64,
        /// How many more cycles it would take, where a controller asks.
        missing: Option<u128>,
    },
    /// More cycles attached than there are.
    #[error("Canister {canister} is out of cycles")]
    Cycles {
        /// Who wanted to attach them.
        canister: Principal,
    },
    /// An environment variable that does not exist, by its place.
    #[error(
        "Environment variable index {index} is out of bounds. \
         The number of environment variables is {count}."
    )]
    VariableIndex {
        /// The place.
        index: u64,
        /// How many there are.
        count: usize,
    },
    /// An environment variable that does not exist, by its name.
    #[error("Environment variable {name} not found.")]
    Variable {
        /// Its name.
        name: String,
    },
    /// A callback that is not in the table, or is not a callback.
    #[error("Canister requested to invoke a non-existent Wasm function {index} from table 0")]
    NoCallback {
        /// Its place in the table.
        index: u64,
    },
    /// The engine failed.
    #[error("Canister encountered a Wasm engine error: {0}")]
    Engine(String),
}

impl Fault {
    /// What the engine's error means.
    pub(crate) fn from_engine(error: wasmtime::Error, limit: u64) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(fault) => return fault,
            Err(error) => error,
        };
        let Some(trap) = error.downcast_ref::<Trap>() else {
            return Self::Engine(format!("{error:#}"));
        };
        match trap {
            Trap::OutOfFuel => Self::Instructions { limit },
            Trap::BadSignature => {
                Self::Contract("function invocation does not match its signature".into())
            }
            Trap::StackOverflow => Self::Trapped("stack overflow"),
            Trap::MemoryOutOfBounds => Self::Trapped("heap out of bounds"),
            Trap::TableOutOfBounds => Self::Trapped("table out of bounds"),
            Trap::IntegerDivisionByZero => Self::Trapped("integer division by 0"),
            Trap::UnreachableCodeReached => Self::Trapped("unreachable"),
            _ => Self::Trapped("unknown"),
        }
    }

    /// The published number.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Trapped(_) => ErrorCode::CanisterTrapped,
            Self::CalledTrap(_) => ErrorCode::CanisterCalledTrap,
            Self::Contract(_)
            | Self::Misuse { .. }
            | Self::Principal
            | Self::Cycles { .. }
            | Self::VariableIndex { .. }
            | Self::Variable { .. } => ErrorCode::CanisterContractViolation,
            Self::Instructions { .. } => ErrorCode::CanisterInstructionLimitExceeded,
            Self::MemoryAccess(_) => ErrorCode::CanisterMemoryAccessLimitExceeded,
            Self::HeapLimit { .. } => ErrorCode::CanisterWasmMemoryLimitExceeded,
            Self::GrowthUnpaid { .. } => ErrorCode::InsufficientCyclesInMemoryGrow,
            Self::NoCallback { .. } => ErrorCode::CanisterFunctionNotFound,
            Self::Engine(_) => ErrorCode::CanisterWasmEngineError,
        }
    }

    /// What a controller reads of it in the canister's log.
    pub(crate) fn log_line(&self) -> Option<String> {
        match self {
            Self::Trapped(reason) => Some(format!("[TRAP]: {reason}")),
            Self::CalledTrap(text) if text.is_empty() => Some("[TRAP]: (no message)".into()),
            Self::CalledTrap(text) => Some(format!("[TRAP]: {text}")),
            _ => None,
        }
    }

    /// What to do about it.
    fn help(&self) -> &'static Help {
        match self {
            Self::Trapped(_) => &help::TRAPPED,
            Self::CalledTrap(_) => &help::TRAPPED_EXPLICITLY,
            Self::Contract(_) | Self::Principal | Self::NoCallback { .. } => &help::TOOLCHAIN,
            Self::Misuse { help, .. } => help,
            Self::Instructions { .. } => &help::INSTRUCTION_LIMIT,
            Self::MemoryAccess(_) => &help::MEMORY_ACCESS,
            Self::HeapLimit { .. } => &help::HEAP_LIMIT,
            Self::GrowthUnpaid { .. } => &help::MEMORY_UNPAID,
            Self::Cycles { .. }
            | Self::VariableIndex { .. }
            | Self::Variable { .. }
            | Self::Engine(_) => &help::NONE,
        }
    }

    /// What the caller of this canister is told.
    pub(crate) fn reject(&self, canister: &Principal) -> Reject {
        let text = format!("Error from Canister {canister}: {self}");
        Reject::of(self.code(), self.help().after_fault(text))
    }

    /// What it is told where the cleanup after this fault failed as well.
    pub(crate) fn reject_with_cleanup(&self, cleanup: &Self, canister: &Principal) -> Reject {
        Reject::of(
            self.code(),
            format!(
                "Error from Canister {canister}: {self}\n\ncall_on_cleanup also failed:\n\n{cleanup}"
            ),
        )
    }
}
