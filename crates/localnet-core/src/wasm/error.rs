//! Why a module may not be installed.

use std::borrow::Cow;

use candid::Principal;
use thiserror::Error;

use crate::{
    help::{self, Help},
    types::{ErrorCode, Reject},
};

/// Why a module may not be installed. The texts are those that clients of the Internet Computer know.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidModule {
    /// It is longer than allowed, packed or unpacked.
    #[error("Wasm module size of {found} exceeds the maximum allowed size of {max}.")]
    TooLong {
        /// Its bytes, as far as they were counted.
        found: usize,
        /// The most bytes allowed.
        max: usize,
    },
    /// It begins like a gzip stream, but cannot be unpacked.
    #[error("Failed to decode wasm module: {reason}")]
    Compression {
        /// What the decoder said.
        reason: String,
    },
    /// It is not valid WebAssembly, or uses a proposal that canisters may not use.
    #[error(
        "Wasmtime failed to validate wasm module wasmtime::Module::validate() failed with {reason}"
    )]
    Invalid {
        /// What the validator said.
        reason: String,
    },
    /// Its code section is longer than allowed.
    #[error("Wasm module code section size of {found} exceeds the maximum allowed size of {max}.")]
    CodeTooLong {
        /// Bytes in the code section.
        found: usize,
        /// The most allowed.
        max: usize,
    },
    /// More of something than allowed.
    #[error("Wasm module defined {found} {what} which exceeds the maximum number allowed {max}.")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// The most allowed.
        max: usize,
    },
    /// More methods than allowed.
    #[error(
        "The number of exported functions called `canister_update <name>`, `canister_query <name>`, or \
         `canister_composite_query <name>` is {found} which exceeds {max}."
    )]
    TooManyMethods {
        /// How many there are.
        found: usize,
        /// The most allowed.
        max: usize,
    },
    /// The names of its methods are longer than allowed, all together.
    #[error(
        "The sum of `<name>` lengths in exported functions called `canister_update <name>`, \
         `canister_query <name>`, or `canister_composite_query <name>` is {found} which exceeds \
         the allowed limit of {max}."
    )]
    MethodNamesTooLong {
        /// Their bytes.
        found: usize,
        /// The most allowed.
        max: usize,
    },
    /// One function is too long.
    #[error(
        "Wasm module contains a function at index {index} of size {found} \
         that exceeds the maximum allowed size of {max}."
    )]
    FunctionTooLong {
        /// Its index among the defined functions.
        index: usize,
        /// Its instructions.
        found: usize,
        /// The most allowed.
        max: usize,
    },
    /// One function is too hard to compile.
    #[error(
        "Wasm module contains a function at index {index} with complexity {found} \
         which exceeds the maximum complexity allowed {max}."
    )]
    FunctionTooComplex {
        /// Its index among the defined functions.
        index: usize,
        /// The sum over its instructions.
        found: usize,
        /// The most allowed.
        max: usize,
    },
    /// An instruction that changes a table: tables are not kept between messages.
    #[error(
        "Wasm module contains a function at index {index} with unsupported instruction {name}."
    )]
    Instruction {
        /// The function's index among the defined functions.
        index: usize,
        /// The instruction.
        name: &'static str,
    },
    /// It imports something that the network does not provide.
    #[error("Wasm module has an invalid import section. {reason}")]
    Import {
        /// Which, and why not.
        reason: String,
    },
    /// A function that it imports or exports has the wrong type.
    #[error("Wasm module has an invalid function signature. {reason}")]
    Signature {
        /// Which, and what was expected.
        reason: String,
    },
    /// One method under two kinds.
    #[error(
        "Duplicate function '{name}' exported multiple times \
         with different call types: update, query, or composite_query."
    )]
    DuplicateMethod {
        /// The method's name.
        name: String,
    },
    /// An export whose name belongs to the network.
    #[error("Wasm module has an invalid export section. {reason}")]
    Export {
        /// Which, and why not.
        reason: String,
    },
    /// A custom section `icp:…` that is neither public nor private, exists twice, or is too long.
    #[error("Wasm module has an invalid custom section. {reason}")]
    Metadata {
        /// Which, and what is wrong.
        reason: String,
    },
    /// A data segment is placed by something other than a constant.
    #[error("Wasm module has an invalid data section. {reason}")]
    DataOffset {
        /// What places it.
        reason: String,
    },
    /// A data segment does not fit into the initial memory.
    #[error("Wasm module has invalid data segment of {len} bytes at {offset}")]
    DataOutOfBounds {
        /// Its bytes.
        len: usize,
        /// Where it would be.
        offset: u64,
    },
    /// It declares a larger memory than canisters may have.
    #[error("Wasm memory of {found} pages exceeds the maximum of {max} pages.")]
    MemoryTooLarge {
        /// Wasm pages that it declares.
        found: u64,
        /// The most allowed.
        max: u64,
    },
    /// A global that is not a number.
    #[error("Wasm module has an invalid global section. Unsupported global type: {found}")]
    Global {
        /// Its type.
        found: String,
    },
    /// The compiler refused it.
    #[error("Failed to compile wasm module: {reason}")]
    Compile {
        /// What the compiler said.
        reason: String,
    },
}

impl InvalidModule {
    /// What whoever wanted to install it in this canister is told.
    pub(crate) fn reject(&self, canister: &Principal) -> Reject {
        let what = match self {
            // Found by a later pass than all the others.
            Self::DataOutOfBounds { .. } => "Could not instrument wasm module of canister",
            _ => "Canister's Wasm module is not valid",
        };
        let text = format!("Error from Canister {canister}: {what}: {self}");
        Reject::of(
            ErrorCode::CanisterInvalidWasm,
            self.help().after_fault(text),
        )
    }

    /// What to do about it.
    fn help(&self) -> Cow<'static, Help> {
        Cow::Borrowed(match self {
            Self::TooLong { .. } => &help::MODULE_TOO_LARGE,
            Self::CodeTooLong { .. } => &help::CODE_TOO_LARGE,
            Self::TooMany { what, .. } => match *what {
                "functions" => &help::FUNCTIONS_TOO_MANY,
                "globals" => &help::GLOBALS_TOO_MANY,
                _ => &help::TOOLCHAIN,
            },
            Self::TooManyMethods { .. } => &help::METHODS_TOO_MANY,
            Self::MethodNamesTooLong { .. } => &help::METHOD_NAMES_TOO_LARGE,
            Self::FunctionTooLong { .. } => &help::FUNCTION_TOO_LARGE,
            Self::FunctionTooComplex { .. } => &help::FUNCTION_TOO_COMPLEX,
            Self::DuplicateMethod { name } => return Cow::Owned(Help::duplicate_method(name)),
            Self::Compression { .. }
            | Self::Invalid { .. }
            | Self::Instruction { .. }
            | Self::Import { .. }
            | Self::Signature { .. }
            | Self::Export { .. }
            | Self::Metadata { .. }
            | Self::DataOffset { .. }
            | Self::DataOutOfBounds { .. }
            | Self::MemoryTooLarge { .. }
            | Self::Global { .. } => &help::TOOLCHAIN,
            Self::Compile { .. } => &help::NONE,
        })
    }
}
