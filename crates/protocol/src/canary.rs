//! Canaries: jobs of the market's own whose right answers are known beforehand.
//!
//! A controller gives them with the money for them. The market asks them among the jobs of others, from accounts that
//! nothing distinguishes from a requester's, so that no worker knows which answers are looked at.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};

use crate::{Cycles, Hash32, JobId, job::SubmitError, limits, request::JobRequest};

/// A question whose right answer is known.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Canary {
    /// What is asked: with a seed, for `single` assurance, of a model whose answers can be compared.
    pub request: JobRequest,
    /// The result root of the right answer, as the receipt of a verified job shows it.
    pub root: Hash32,
    /// What may be paid for it; comes from the controller's balance, and what is left goes back there.
    pub price_cap: Cycles,
}

/// How a canary ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum CanaryOutcome {
    /// The worker gave the known answer.
    Right,
    /// A worker gave another answer, and checkers rejected it.
    Caught,
    /// A worker gave another answer, and a checker confirmed that: the known answer is wrong, or they collude.
    Refuted,
    /// There was no answer, or nobody could tell.
    Unanswered,
    /// The controller took it back before it was asked.
    TakenBack,
}

/// A canary, as controllers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct CanaryView {
    /// Its number, from 1.
    pub number: u64,
    /// The job that asks it, once it is asked.
    pub job: Option<JobId>,
    /// How it ended, once it has.
    pub outcome: Option<CanaryOutcome>,
}

/// A page of canaries.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct CanaryPage {
    /// Newest first.
    pub canaries: Vec<CanaryView>,
    /// How many wait to be asked, all pages together.
    pub waiting: u32,
}

/// Why canaries were not taken.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize, thiserror::Error)]
pub enum CanaryError {
    /// Only controllers know of canaries.
    #[error("{0} does not control this canister; only its controllers may do this")]
    NotAController(Principal),
    /// None, or too many at once.
    #[error("{got} canaries, 1 to {most} can be given at once", most = limits::CANARIES_PER_CALL_MAX)]
    Count {
        /// How many were given.
        got: u32,
    },
    /// No room for them.
    #[error("{waiting} canaries wait already, at most {most} may; wait until some are asked", most = limits::CANARIES_MAX)]
    Full {
        /// How many wait.
        waiting: u32,
    },
    /// One of them could not be asked; none was taken.
    #[error("canary {index}: {error}")]
    Request {
        /// Its place in the list, from 0.
        index: u32,
        /// What is wrong.
        error: SubmitError,
    },
    /// The controller's balance is too low.
    #[error("the balance holds {balance} cycles, {needed} are needed; deposit the rest")]
    InsufficientFunds {
        /// All price caps together.
        needed: Cycles,
        /// What is there.
        balance: Cycles,
    },
    /// No such canary waits.
    #[error("canary {number} does not wait to be asked")]
    NotWaiting {
        /// Its number.
        number: u64,
    },
    /// Something newer than this client.
    #[error("{0}")]
    Other(String),
}
