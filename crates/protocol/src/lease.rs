//! Leases: the workers' side of the jobs canister.
//!
//! A worker announces with `ready` how many leases it will hold at once in all, committed ones
//! included; the canister assigns; `claim` hands the leases over. `work` is a query and so only a
//! hint. Roots and nonces appear in no answer before the round's verdict.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};

use crate::{
    Cycles, Hash32, Hasher, JobId, LeaseId, ModelId, Timestamp,
    job::{JobState, Reason},
    price::Rates,
    request::{Parameters, Task},
    result::{Finish, ResultBody},
};

/// What a lease does.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, CandidType, Serialize, Deserialize,
)]
pub enum Role {
    /// Generates the answer of a `single` or `checked` job.
    Generator,
    /// Checks the generator's transcript.
    Checker,
    /// Generates independently for an `equality` or `threshold` job.
    Replica,
}

/// Where a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum LeaseState {
    /// Granted; claimed or still to be claimed.
    Leased,
    /// Its commitment is in.
    Committed,
    /// Its commitment is open.
    Revealed,
    /// Its commitment came after the deadline; not punished.
    Late,
    /// The worker gave it back.
    Abandoned,
    /// Not claimed, or heartbeats stopped.
    Lost,
    /// Committed, and never opened.
    Silent,
    /// Ended without fault because the job or the round ended first.
    Released,
}

impl LeaseState {
    /// Whether the canister still waits for this lease.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Leased | Self::Committed)
    }
}

/// A worker's prices for one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Offer {
    /// Which version.
    pub model: ModelId,
    /// Cycles per 1,000 input tokens; a check costs this for all its tokens.
    pub ask_input: Cycles,
    /// Cycles per 1,000 generated tokens.
    pub ask_output: Cycles,
}

/// Stands for a worker's offers, in their order.
pub fn offers_hash(offers: &[Offer]) -> Hash32 {
    offers
        .iter()
        .fold(Hasher::new("assay-offers-1"), |hasher, offer| {
            hasher
                .hash(&offer.model.0)
                .u128(offer.ask_input.0)
                .u128(offer.ask_output.0)
        })
        .finish()
}

impl From<&Offer> for Rates {
    fn from(offer: &Offer) -> Self {
        Self {
            input: offer.ask_input,
            output: offer.ask_output,
        }
    }
}

/// What a worker must do for a lease. Certified, because it comes from an update.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Order {
    /// The lease.
    pub lease: LeaseId,
    /// Its job.
    pub job: JobId,
    /// Which generation of the job it belongs to, from 1.
    pub round: u32,
    /// What to do.
    pub role: Role,
    /// With which model.
    pub model: ModelId,
    /// The root of that model's weights.
    pub model_root: Hash32,
    /// What the model is to do.
    pub task: Task,
    /// How the answer is generated and when it ends.
    pub parameters: Parameters,
    /// Input tokens that the market allows for the task.
    pub input_tokens_max: u32,
    /// Seed of the draws.
    pub seed: u64,
    /// Until when the next step must come; heartbeats extend it.
    pub deadline: Timestamp,
    /// Until when the commitment must be in, heartbeats or not; for a checker it may become earlier when
    /// the generator commits.
    pub run_deadline: Timestamp,
    /// Provisional tokens that were shown for it already.
    pub streamed: u32,
}

/// A hint about a worker's leases and prices.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct WorkHint {
    /// Leases granted and not yet claimed.
    pub unclaimed: u32,
    /// Whether the announcement is of no slots, has lapsed or soon will, so that `ready` is due.
    pub announce: bool,
    /// [`offers_hash`] of the worker's standing offers. Where it has named others last, it names them again: an older
    /// call may have come late, or somebody has taken the place of one of them while the worker was silent.
    /// None from a canister that does not tell yet.
    pub offers: Option<Hash32>,
    /// The worker's claimed leases that are not ended.
    pub leases: Vec<LeaseHint>,
}

/// A hint about one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct LeaseHint {
    /// Which.
    pub lease: LeaseId,
    /// Where it stands.
    pub state: LeaseState,
    /// Whether the commitment may be opened now.
    pub reveal_open: bool,
    /// For a checker: whether the transcript is final, so that `transcript` answers.
    pub transcript_final: bool,
}

/// Provisional tokens of a generation, for its checkers: a hint, since it comes from a query.
#[derive(Clone, Debug, Default, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Follow {
    /// Tokens from the position asked for on.
    pub tokens: Vec<u32>,
    /// Whether these are all there will be.
    pub complete: bool,
}

/// A generator's final tokens, as it committed to them.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Claim {
    /// Generated token ids, without the input.
    pub output: Vec<u32>,
    /// Why generation ended.
    pub finish: Finish,
}

/// Provisional output of a generator.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct ProgressArgs {
    /// Which lease.
    pub lease: LeaseId,
    /// Position of the first token; must be the number of tokens sent before.
    pub from: u32,
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Their text, whole characters only.
    pub text: String,
}

/// What a heartbeat answers for one lease.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum Beat {
    /// Go on until this time.
    Continue(Timestamp),
    /// Stop: the lease has ended.
    Stop(Reason),
}

/// A commitment.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct CommitArgs {
    /// Which lease.
    pub lease: LeaseId,
    /// [`commitment`] of the root.
    pub commitment: Hash32,
    /// A generator's final tokens; absent for checkers and replicas.
    pub claim: Option<Claim>,
}

/// What a commitment hid.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum Opening {
    /// A generator's or replica's whole result; the canister recomputes its root.
    Result(ResultBody),
    /// A checker's root, equal to the generator's if it agrees.
    Agrees {
        /// The result root it found.
        root: Hash32,
    },
    /// A checker's disagreement.
    Mismatch(Mismatch),
}

/// Where a checker's own run leaves the transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Mismatch {
    /// Output position of the first wrong token (or of the end that should not be there).
    pub position: u32,
    /// Trace root over everything before that position.
    pub trace_root: Hash32,
}

impl Mismatch {
    /// The root a checker commits to when it disagrees.
    pub fn root(&self, job: JobId, round: u32) -> Hash32 {
        Hasher::new("assay-mismatch-1")
            .u64(job.0)
            .u64(u64::from(round))
            .u64(u64::from(self.position))
            .hash(&self.trace_root)
            .finish()
    }
}

/// An opened commitment.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct RevealArgs {
    /// Which lease.
    pub lease: LeaseId,
    /// The 32 random bytes that hid the root.
    pub nonce: Hash32,
    /// What was hidden.
    pub opening: Opening,
}

/// The hash that hides a root until it is revealed. It names the canister, the lease and the
/// worker, so a copied one opens for nobody else.
pub fn commitment(
    canister: &Principal,
    lease: LeaseId,
    worker: &Principal,
    nonce: &Hash32,
    root: &Hash32,
) -> Hash32 {
    Hasher::new("assay-commitment-1")
        .bytes(canister.as_slice())
        .u64(lease.0)
        .bytes(worker.as_slice())
        .hash(nonce)
        .hash(root)
        .finish()
}

/// Why a worker has, or has not, work.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum Idle {
    /// The registry does not know this operator, or this shard has not heard of it yet.
    UnknownWorker,
    /// The worker drains or is retired.
    NotActive,
    /// It has no offer for any model.
    NoOffer,
    /// It has not announced lately how many leases it will hold, or announced none.
    NotReady,
    /// Nothing is queued for its models.
    NoDemand,
    /// Its provider already works on every queued job.
    SameProvider,
    /// Its ask is above what the queued jobs may pay.
    TooDear,
    /// The queued jobs want workers with more confirmed results.
    Untrusted {
        /// Confirmed results it has in this class.
        valid: u64,
        /// How many are wanted.
        wanted: u32,
    },
    /// Its owner's stake that stands behind no lease is less than one more lease needs.
    StakeShort {
        /// What one more lease needs.
        needed: Cycles,
        /// What is free.
        free: Cycles,
    },
    /// It holds as many leases as it will.
    Busy {
        /// Live leases.
        leases: u32,
    },
    /// It would be matched now.
    Eligible,
    /// Something newer than this client.
    Other(String),
}

/// Earnings of one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Earnings {
    /// Paid out in all.
    pub paid: Cycles,
    /// Leases that were paid.
    pub leases: u64,
}

/// Why a worker's call was refused. Nothing changed, except that an overdue lease may have ended.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize, thiserror::Error)]
pub enum WorkerError {
    /// The registry does not know this operator.
    #[error(
        "{0} is not a registered worker here; add it with add_worker and wait for the shard to hear of it"
    )]
    UnknownWorker(Principal),
    /// The worker drains or is retired.
    #[error("worker {0} is not active")]
    NotActive(Principal),
    /// No such model.
    #[error("no model {0}; list the registered ones with models")]
    UnknownModel(ModelId),
    /// So many workers offer the model that no other offer fits in.
    #[error(
        "model {model} has {max} offers already, which is the most; offer another or try again later"
    )]
    TooManyOffers {
        /// Which.
        model: ModelId,
        /// The most there may be.
        max: u32,
    },
    /// No such lease.
    #[error("no lease {0}")]
    UnknownLease(LeaseId),
    /// The lease belongs to another worker.
    #[error("lease {0} belongs to another worker")]
    ForeignLease(LeaseId),
    /// The lease has ended, or its step is done already.
    #[error("lease {lease} is {state:?} and takes no such step")]
    WrongState {
        /// Which.
        lease: LeaseId,
        /// Where it stands.
        state: LeaseState,
    },
    /// The step came after its deadline; not punished.
    #[error("lease {lease} ended at {deadline}; the job went on without it")]
    TooLate {
        /// Which.
        lease: LeaseId,
        /// When it ended.
        deadline: Timestamp,
    },
    /// Commitments are not complete, so none may be opened yet.
    #[error("job {job} is {state:?}; reveal when all commitments are in")]
    NotRevealing {
        /// Which.
        job: JobId,
        /// Where it stands.
        state: JobState,
    },
    /// What was revealed does not open the commitment. The lease stays open until its deadline.
    #[error(
        "what lease {lease} reveals does not open its commitment: root {root} under this nonce gives another hash"
    )]
    WrongOpening {
        /// Which.
        lease: LeaseId,
        /// The root the canister computed.
        root: Hash32,
    },
    /// The transcript is not final.
    #[error("the transcript of lease {0} is not final; follow it until it is")]
    TranscriptNotFinal(LeaseId),
    /// A field is empty, too long or out of range.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which field.
        field: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// Something newer than this client.
    #[error("{0}")]
    Other(String),
}
