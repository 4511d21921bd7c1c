//! Submits, quotes, jobs and their verdicts: the requester's side of the jobs canister.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};

use crate::{
    Cycles, Hash32, JobId, LeaseId, ModelId, Timestamp,
    lease::{LeaseState, Role},
    request::{Assurance, JobRequest},
    result::{Answer, Usage},
};

/// A request together with what it may cost and how it is told apart.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct SubmitArgs {
    /// What is asked.
    pub request: JobRequest,
    /// The most the job may cost, fee and extra checks included; held in escrow until it ends.
    pub price_cap: Cycles,
    /// Seconds after which the job expires.
    pub deadline_seconds: u32,
    /// 1 to 64 bytes; a repeated submit with the same key and content returns the same job.
    #[serde(with = "serde_bytes")]
    pub idempotency_key: Vec<u8>,
}

/// The answer to a submit.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Submitted {
    /// The job.
    pub job: JobId,
    /// Whether this key had been submitted before.
    pub duplicate: bool,
    /// What is held for it.
    pub escrow: Cycles,
}

/// What a request would cost at most.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Quote {
    /// The model version the name means now.
    pub model: ModelId,
    /// The least price cap a submit may carry now.
    pub price_max: Cycles,
    /// What it costs if all goes well and all tokens are used.
    pub price_expected: Cycles,
    /// Providers whose workers offer the model.
    pub providers: u32,
    /// Jobs of this model that wait for a worker.
    pub queued: u32,
    /// Seconds until an answer, by the workers' measured speed; absent when nothing was measured.
    pub wait_seconds: Option<u32>,
}

/// Where a job stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, CandidType, Serialize, Deserialize,
)]
pub enum JobState {
    /// Waits for workers.
    Queued,
    /// Workers run it.
    Running,
    /// All commitments are in and are being opened.
    Revealing,
    /// The comparison needs one more worker.
    Extended,
    /// Ended with a verdict.
    Settled,
    /// Ended by the requester.
    Cancelled,
    /// Ended by its deadline.
    Expired,
    /// Ended because it could not be done.
    Failed,
}

impl JobState {
    /// Whether the job has ended.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Settled | Self::Cancelled | Self::Expired | Self::Failed
        )
    }
}

/// What the comparison found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum Verdict {
    /// One worker answered and nobody compared.
    Unverified,
    /// All who had to agree did, byte for byte.
    Verified,
    /// They disagreed, and nothing more could be found out within the job's limits.
    Inconclusive,
}

/// Why a job or a lease changed: for machines first.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum Reason {
    /// The requester submitted it.
    Submitted,
    /// The canister gave it to a worker.
    Matched,
    /// A worker's lease was not claimed in time.
    NotClaimed,
    /// A worker's heartbeats stopped.
    HeartbeatLost,
    /// A worker's run took longer than allowed.
    RunTooLong,
    /// A worker gave the lease back.
    Abandoned(String),
    /// A worker found that its model cannot do what is asked, in its words.
    Declined(String),
    /// All commitments are in.
    AllCommitted,
    /// A commitment was not opened in time.
    NotRevealed,
    /// What was revealed does not open the commitment.
    CommitmentMismatch,
    /// What was revealed breaks a rule of the protocol.
    Malformed(String),
    /// The roots agree.
    RootsAgree,
    /// The roots differ.
    RootsDiffer,
    /// A checker disagrees, and another is asked.
    CheckerDisagrees,
    /// The market has an answer checked at its own cost.
    Audited,
    /// Checkers agree that the generation is wrong.
    GenerationRejected,
    /// Nobody had to compare it.
    NotCompared,
    /// No further worker could be found.
    NoMoreWorkers,
    /// A limit of the job is used up.
    LimitReached(String),
    /// The requester cancelled.
    CancelledByRequester,
    /// The job's deadline passed.
    DeadlinePassed,
    /// Another part of the job ended, and this was no longer needed.
    NoLongerNeeded,
    /// Something newer than this client.
    Other(String),
}

/// One change of a job's state.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// The state after it.
    pub state: JobState,
    /// Which lease caused it, if one did.
    pub lease: Option<LeaseId>,
    /// Why.
    pub reason: Reason,
}

/// What the public may see of a lease.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct LeaseView {
    /// Its id.
    pub id: LeaseId,
    /// Which generation of the job it belongs to, from 1.
    pub round: u32,
    /// What it does.
    pub role: Role,
    /// The daemon.
    pub worker: Principal,
    /// Its owner.
    pub provider: Principal,
    /// Where it stands.
    pub state: LeaseState,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// Until when the next step must come.
    pub deadline: Timestamp,
    /// Why it ended, once it has.
    pub reason: Option<Reason>,
    /// The root it revealed; only once the job has ended.
    pub root: Option<Hash32>,
    /// What it was paid; only after the round's verdict.
    pub paid: Cycles,
    /// The bond it lost because it never opened its commitment.
    pub forfeited: Cycles,
    /// What it got of a silent generator's bond.
    pub bonus: Cycles,
}

/// A job, as its requester and the public see it.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// Who asked.
    pub requester: Principal,
    /// The pinned model version.
    pub model: ModelId,
    /// How sure the answer must be.
    pub assurance: Assurance,
    /// Where it stands.
    pub state: JobState,
    /// What the comparison found, once it has.
    pub verdict: Option<Verdict>,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When it expires; once it has a commitment, up to two minutes later.
    pub deadline: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Until when its request and answer are kept, once it has ended; the receipt stays.
    pub kept_until: Option<Timestamp>,
    /// Held from submit until it ended.
    pub escrow: Cycles,
    /// How much of that the sponsor pool gave; a refund goes back there first.
    pub sponsored: Cycles,
    /// Paid to workers.
    pub paid: Cycles,
    /// Kept as fee and royalty.
    pub fee: Cycles,
    /// Given back.
    pub refund: Cycles,
    /// Paid to checkers by the market's treasury, beyond the escrow.
    pub subsidy: Cycles,
    /// The agreed root, once there is a verdict that names one.
    pub result_root: Option<Hash32>,
    /// Tokens used.
    pub usage: Option<Usage>,
    /// The answer; only for the requester.
    pub answer: Option<Answer>,
    /// Workers, in the order of their leases.
    pub leases: Vec<LeaseView>,
    /// Every change of state, oldest first.
    pub history: Vec<Transition>,
}

/// A page of jobs.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct JobsArgs {
    /// Only jobs of this requester.
    pub requester: Option<Principal>,
    /// Only jobs older than this one; newest first.
    pub before: Option<JobId>,
    /// At most this many; 0 counts as 1, more than [`crate::limits::PAGE_MAX`] as that.
    pub limit: u32,
}

/// One line of a list of jobs.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct JobLine {
    /// Its id.
    pub id: JobId,
    /// Who asked.
    pub requester: Principal,
    /// The pinned model version.
    pub model: ModelId,
    /// Where it stands.
    pub state: JobState,
    /// What the comparison found.
    pub verdict: Option<Verdict>,
    /// When it was submitted.
    pub submitted_at: Timestamp,
}

/// Numbers of one market, for everyone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Stats {
    /// Jobs waiting for workers.
    pub queued: u64,
    /// Jobs being run.
    pub running: u64,
    /// Jobs whose commitments are being opened.
    pub revealing: u64,
    /// Jobs that need one more worker.
    pub extended: u64,
    /// Jobs settled without comparison.
    pub unverified: u64,
    /// Jobs settled and agreed.
    pub verified: u64,
    /// Jobs settled and disagreed.
    pub inconclusive: u64,
    /// Jobs ended by their requesters.
    pub cancelled: u64,
    /// Jobs ended by their deadlines.
    pub expired: u64,
    /// Jobs that could not be done.
    pub failed: u64,
    /// Leases ever granted.
    pub leases: u64,
    /// Models known.
    pub models: u64,
    /// Providers known.
    pub providers: u64,
    /// Workers known.
    pub workers: u64,
    /// Cycles that ever came in.
    pub deposited: Cycles,
    /// Sum of all balances.
    pub free: Cycles,
    /// Sum of all escrow.
    pub held: Cycles,
    /// The treasury: fees kept, and what was given to it, less what audits cost.
    pub treasury: Cycles,
    /// Set aside in the treasury for checks that are under way.
    pub reserved: Cycles,
    /// What the sponsor pool holds for people without money.
    pub sponsor: Cycles,
    /// Sum of all stake, unbonding included.
    pub staked: Cycles,
    /// Cycles that left for good, ledger fees included.
    pub withdrawn: Cycles,
    /// Sum of all withdrawals without an end, ledger fees included.
    pub withdrawing: Cycles,
    /// How much of all that lies on the ledger.
    pub on_ledger: Cycles,
    /// Transfers ever begun.
    pub transfers: u64,
    /// Transfers that have no end yet.
    pub open_transfers: u64,
    /// How many of these a controller must decide on.
    pub quarantined: u64,
    /// Events in the log.
    pub events: u64,
}

/// Why a controller's call was refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize, thiserror::Error)]
pub enum ControlError {
    /// Only controllers may do this.
    #[error("{0} does not control this canister; only its controllers may do this")]
    NotAController(Principal),
    /// A field is out of its bounds.
    #[error("{0}")]
    Invalid(String),
    /// Something newer than this client.
    #[error("{0}")]
    Other(String),
}

/// What a reader of a stream asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct StreamArgs {
    /// Which job.
    pub job: JobId,
    /// Which generation the cursor belongs to; 0 at first.
    pub round: u32,
    /// Bytes of text already read.
    pub cursor: u64,
}

/// Provisional text. It is one worker's word until the verdict.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct StreamChunk {
    /// The generation this text belongs to; when it differs from the one asked, start over.
    pub round: u32,
    /// Text from the cursor on.
    pub text: String,
    /// The cursor after it.
    pub cursor: u64,
    /// Where the job stands.
    pub state: JobState,
}

/// Why a request was not accepted. Nothing was charged.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize, thiserror::Error)]
pub enum SubmitError {
    /// Anonymous callers hold no balance.
    #[error("anonymous callers cannot submit; sign the call with an identity")]
    Anonymous,
    /// No such model.
    #[error("no model {0}; list the registered ones with models")]
    UnknownModel(String),
    /// The model takes no new jobs.
    #[error("model {0} is deprecated; list the registered ones with models")]
    DeprecatedModel(String),
    /// A field is empty, too long or out of range.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which field.
        field: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// More tokens than the model can hold.
    #[error(
        "the prompt may take {input} tokens and the answer {output}, the model holds {max}; shorten one of them"
    )]
    ContextTooLong {
        /// Input tokens at worst.
        input: u32,
        /// Output tokens asked for.
        output: u32,
        /// What the model holds.
        max: u32,
    },
    /// Too few workers offer the model.
    #[error(
        "{providers} providers offer this model, the assurance needs {needed}; ask for less assurance or wait for more workers"
    )]
    NotEnoughProviders {
        /// Providers with an offer.
        providers: u32,
        /// Distinct providers the assurance needs.
        needed: u32,
    },
    /// Nobody's answer could go unchecked, and no check could be paid.
    #[error(
        "no worker of this model has {valid} confirmed answers yet, and the treasury or the providers do not suffice for a check; ask for checked assurance"
    )]
    NoTrustedWorker {
        /// Confirmed answers a worker needs.
        valid: u32,
    },
    /// The cap does not cover the quote.
    #[error(
        "the price cap of {cap} cycles is below the quote of {price_max}; raise it or lower max_tokens"
    )]
    PriceCapTooLow {
        /// What was offered.
        cap: Cycles,
        /// What the worst case costs now.
        price_max: Cycles,
    },
    /// Balance and attached cycles together are too little.
    #[error(
        "the job needs {needed} cycles, the balance holds {balance} and {attached} were attached; deposit the rest"
    )]
    InsufficientFunds {
        /// The price cap.
        needed: Cycles,
        /// The caller's balance.
        balance: Cycles,
        /// Cycles attached to the call.
        attached: Cycles,
    },
    /// The key was used for another request.
    #[error(
        "this idempotency key belongs to job {job}, whose content differs; use a new key for a new request"
    )]
    KeyReused {
        /// The job that holds the key.
        job: JobId,
    },
    /// The caller has too many open jobs.
    #[error("{open} of your jobs are open, at most {max} may be; wait for one to end or cancel it")]
    TooManyOpenJobs {
        /// How many are open.
        open: u32,
        /// How many may be.
        max: u32,
    },
    /// The market is full.
    #[error("the market's queue is full; try again in a minute")]
    QueueFull,
    /// The market's controllers let no new jobs in for now; those that are open go on.
    #[error("the market takes no new jobs for now: {0}")]
    Paused(String),
    /// The canister could not keep working for the money it would take in.
    #[error(
        "the market is low on cycles and takes no new jobs; try again later or on another shard"
    )]
    LowOnCycles,
    /// Named in the interface, not built yet.
    #[error("{0} is not available yet")]
    NotAvailableYet(String),
    /// Something newer than this client.
    #[error("{0}")]
    Other(String),
}

/// Why a job's requester or reader got no answer.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize, thiserror::Error)]
pub enum JobError {
    /// No such job.
    #[error("no job {0}")]
    UnknownJob(JobId),
    /// Only the requester may do this.
    #[error("job {0} belongs to somebody else")]
    NotYours(JobId),
    /// The job has ended.
    #[error("job {job} has ended already")]
    Ended {
        /// Which.
        job: JobId,
        /// How.
        state: JobState,
    },
    /// A part of the answer was shown or committed; it is too late to cancel.
    #[error(
        "a worker has shown or committed a part of the answer to job {0}, so it cannot be cancelled now"
    )]
    TooLate(JobId),
    /// The job has not ended, so there is no receipt; or receipts are being read again after an upgrade.
    #[error("job {0} has no receipt yet; ask again when it has ended")]
    NoReceiptYet(JobId),
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

/// What a call that waits for its answer gives.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum ChatReply {
    /// The job has ended, with an answer or without.
    Ended(Box<JobView>),
    /// The time to wait was over; the same call waits on, and `job` shows where it stands.
    Pending {
        /// Which.
        job: JobId,
    },
}

/// For whom attached cycles are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct DepositArgs {
    /// Whose balance they become.
    pub beneficiary: Principal,
}

/// Why a deposit was not taken. All cycles went back.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize, thiserror::Error)]
pub enum DepositError {
    /// Nothing was attached.
    #[error("no cycles were attached to the call")]
    NothingAttached,
    /// The anonymous principal holds no balance.
    #[error("the anonymous principal cannot hold a balance; name another beneficiary")]
    Anonymous,
    /// Whoever could never take it out again.
    #[error("beneficiary: {beneficiary} {problem}; name another one")]
    BadBeneficiary {
        /// Who was named.
        beneficiary: Principal,
        /// What is wrong with that.
        problem: String,
    },
    /// The canister could not keep working for the money it would take in.
    #[error(
        "the market is low on cycles and takes no deposits; try again later or on another shard"
    )]
    LowOnCycles,
    /// Something newer than this client.
    #[error("{0}")]
    Other(String),
}
