//! How the files of the web app come into the frontend canister.
//!
//! Files are staged piece by piece; what was published before is served until all of them are published at once.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};

/// Most files of one site.
pub const FILES_MAX: usize = 2_000;
/// Longest path.
pub const PATH_BYTES_MAX: usize = 256;
/// Largest piece of a file.
pub const PIECE_BYTES_MAX: usize = 1_900_000;
/// Bytes of one file. Certifying it copies it once for every two megabytes, so that the cost grows with its square.
pub const FILE_BYTES_MAX: u64 = 160_000_000;
/// Bytes of all files of one site.
pub const SITE_BYTES_MAX: u64 = 200_000_000;
/// The file that says how the others are served; it is not served itself.
pub const RULES_FILE: &str = "/assets.json";

/// A piece of a staged file. Pieces of one file come in order.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct PieceArgs {
    /// Where it is served, beginning with `/`. One that ends with `.gz` is the packed form of the file without that ending.
    pub path: String,
    /// Bytes of this file that are staged already.
    pub offset: u64,
    /// The bytes.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// What is published now, the rules among it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Published {
    /// Files, packed forms included.
    pub files: u32,
    /// Bytes of all of them.
    pub bytes: u64,
    /// How often something was published; whoever lost an answer sees by it what became of the call.
    pub generation: u64,
}

/// Why the frontend canister refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize, thiserror::Error)]
pub enum FrontendError {
    /// Others may only look.
    #[error("{caller} does not control the frontend canister; only its controllers publish")]
    NotAController {
        /// Who called.
        caller: Principal,
    },
    /// A path or a file is not as it must be.
    #[error("{path}: {problem}")]
    Invalid {
        /// Which file.
        path: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// A piece does not follow the one before.
    #[error(
        "{path}: the piece begins at {offset}, {staged} bytes are staged; begin the file again at 0, or go on from there"
    )]
    Gap {
        /// Which file.
        path: String,
        /// Where the piece begins.
        offset: u64,
        /// Where it would have to.
        staged: u64,
    },
    /// A limit is reached.
    #[error("{what} reached the limit of {max}")]
    Full {
        /// What.
        what: String,
        /// The limit.
        max: u64,
    },
    /// Something newer than this client.
    #[error("{0}")]
    Other(String),
}
