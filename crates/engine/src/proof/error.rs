//! Why nothing is proved.

use alloc::string::String;

use super::{ATTENTION_POSITIONS_MAX, Operator, PROOF_BYTES_MAX, Place};
use crate::model::ManifestError;

/// Why a proof proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Longer than any proof.
    #[error("proof has {found} bytes, at most {PROOF_BYTES_MAX} are read")]
    Length {
        /// Bytes, or what they would be.
        found: usize,
    },
    /// Not the beginning of a proof that this code knows.
    #[error("proof begins with another tag or version than CIS-1/proof/0001")]
    Version,
    /// The bytes end early or late.
    #[error("proof does not end where its {0} ends")]
    End(&'static str),
    /// The manifest is not text.
    #[error("manifest in the proof is not UTF-8")]
    ManifestText,
    /// The manifest describes no model.
    #[error("manifest in the proof: {0}")]
    Manifest(#[from] ManifestError),
    /// The manifest describes a model without these operators.
    #[error(
        "manifest in the proof is of a sentence encoder; operators are proved of decoders only"
    )]
    Encoder,
    /// A number that stands for no operator.
    #[error("proof names step {0}, which there is not")]
    Step(u32),
    /// A tile that there is not.
    #[error("the trace has no {0}")]
    Place(Place),
    /// More positions than the model takes.
    #[error("trace of {positions} positions, the model takes {max}")]
    Positions {
        /// Positions of the trace.
        positions: u32,
        /// The model's context.
        max: usize,
    },
    /// Attention that looks at too much.
    #[error(
        "{place} reads {found} earlier positions, too many for one proof of {ATTENTION_POSITIONS_MAX}"
    )]
    TooFar {
        /// The tile.
        place: Place,
        /// Earlier positions.
        found: usize,
    },
    /// Not as many bytes are opened as the place asks for.
    #[error("{place} does not open {found} bytes")]
    Opened {
        /// The tile.
        place: Place,
        /// Bytes in the proof.
        found: usize,
    },
    /// A token outside of the vocabulary.
    #[error("token {token} is outside the vocabulary of {vocab}")]
    Token {
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// Not as many hashes as the place asks for.
    #[error("proof has {0} hashes than its openings need")]
    Hashes(&'static str),
    /// Manifest or rows are not the model's.
    #[error("manifest and rows do not open to the model root")]
    ModelRoot,
    /// The position is not in the trace.
    #[error("positions do not open to the trace root")]
    TraceRoot,
    /// The tiles are not in level 2.
    #[error("operators do not open to the level-2 root")]
    Level2Root,
    /// Opened bytes of an input that no operator gives.
    #[error("tile {tile} of {operator} has bytes that no operator gives")]
    Value {
        /// The input.
        operator: Operator,
        /// Its tile.
        tile: u32,
    },
    /// Opened rows of an earlier position that no operator gives.
    #[error("position {position} has rows that no operator gives")]
    Before {
        /// The position.
        position: u32,
    },
    /// A row that no model may have.
    #[error("row {row} of {tensor} has values that no model may have")]
    Row {
        /// The tensor.
        tensor: String,
        /// Its row.
        row: u64,
    },
    /// Nothing of our own to prove the position with.
    #[error("position {position} is not in the record, or level 2 is of another; run it first")]
    Unrecorded {
        /// The position.
        position: u32,
    },
    /// A trace that gives more or fewer hashes than it must.
    #[error("the trace gives {found} {what}, the model has {expected}")]
    Posted {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// A draw was to be judged, but it is not known how the job draws.
    #[error("it is not known how the job draws tokens")]
    NoDraws,
    /// The token after this position is the input's.
    #[error("nothing is drawn after position {position}, the input has {input} tokens")]
    InputToken {
        /// The position.
        position: u32,
        /// Tokens of the input.
        input: u32,
    },
}

/// Why nothing can be proved of a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError {
    /// The manifest describes no model of which operators are proved.
    #[error(transparent)]
    Facts(#[from] ProofError),
    /// The manifest describes another model.
    #[error("manifest and model differ in tensor {0}; use the manifest of the model's file")]
    Tensor(String),
    /// The numbers are not those of the root.
    #[error("manifest and numbers do not give the model's root; fetch the model again")]
    Root,
}
