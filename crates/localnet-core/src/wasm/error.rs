//! Why a module may not be installed.

use thiserror::Error;

/// Why a module may not be installed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidModule {
    /// It is longer than allowed, packed or unpacked.
    #[error("module is longer than {max} bytes")]
    TooLong {
        /// The most bytes allowed.
        max: usize,
    },
    /// It begins like a gzip stream, but cannot be unpacked.
    #[error("cannot decompress the module: {reason}")]
    Compression {
        /// What the decoder said.
        reason: String,
    },
    /// It is not valid WebAssembly, or uses a proposal that canisters may not use.
    #[error("wasm validation failed: {reason}")]
    Invalid {
        /// What the validator said.
        reason: String,
    },
    /// Its code section is longer than allowed.
    #[error("code section has {found} bytes, at most {max} are allowed")]
    CodeTooLong {
        /// Bytes in the code section.
        found: usize,
        /// The most allowed.
        max: usize,
    },
    /// More of something than allowed.
    #[error("module has {found} {what}, at most {max} are allowed")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// The most allowed.
        max: usize,
    },
    /// One function is too long.
    #[error("function {index} has {found} instructions, at most {max} are allowed")]
    FunctionTooLong {
        /// Its index among the defined functions.
        index: usize,
        /// Its instructions.
        found: usize,
        /// The most allowed.
        max: usize,
    },
    /// It imports something that the network does not provide.
    #[error(
        "import {module}.{name} is not available; canisters may import functions of the IC System API (ic0) only"
    )]
    UnknownImport {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// It imports a function of the System API with the wrong type.
    #[error("an import does not have the type that the System API gives it: {reason}")]
    ImportType {
        /// Which, and what was expected.
        reason: String,
    },
    /// An entry point takes or returns something.
    #[error("exported function {name} must have no parameters and no results")]
    ExportType {
        /// The export's name.
        name: String,
    },
    /// One method under two kinds.
    #[error(
        "method {name} is exported more than once; a method is an update, a query or a composite query"
    )]
    DuplicateMethod {
        /// The method's name.
        name: String,
    },
    /// An export whose name belongs to the network.
    #[error("exported name {name} is reserved")]
    ReservedExport {
        /// The export's name.
        name: String,
    },
    /// A custom section `icp:…` that is neither public nor private, or exists twice.
    #[error("custom section {name}: {reason}")]
    Metadata {
        /// The section's whole name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A data segment is placed by something other than a constant.
    #[error("data segment {index} is not placed by a constant")]
    DataOffset {
        /// Which data segment.
        index: usize,
    },
    /// A data segment does not fit into the initial memory.
    #[error("data segment {index} ends at byte {end}, the initial memory has {memory}")]
    DataOutOfBounds {
        /// Which data segment.
        index: usize,
        /// Where it ends.
        end: u64,
        /// Bytes in the initial memory.
        memory: u64,
    },
    /// It uses a 64-bit memory.
    #[error("64-bit memories are not available on this network yet; build the module for wasm32")]
    Memory64,
    /// A mutable global that cannot be kept between messages.
    #[error("mutable global {index} holds a reference; only numbers can be kept between messages")]
    ReferenceGlobal {
        /// Which global.
        index: u32,
    },
    /// The compiler refused it.
    #[error("cannot compile the module: {reason}")]
    Compile {
        /// What the compiler said.
        reason: String,
    },
}
