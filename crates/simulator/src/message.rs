//! What people say to the jobs canister, and what it answers.

use assay_protocol::{
    Cycles, JobId, LeaseId,
    job::{JobError, Quote, SubmitArgs, SubmitError, Submitted},
    lease::{
        Beat, Claim, CommitArgs, Offer, Order, ProgressArgs, RevealArgs, WorkHint, WorkerError,
    },
    money::{Holdings, MoneyError},
    request::JobRequest,
};
use candid::Principal;

/// Somebody who calls: the place of a worker or a requester in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Worker(usize),
    Requester(usize),
}

/// A call.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    SetOffers(Vec<Offer>),
    Ready(u16),
    Work,
    Claim(Vec<LeaseId>),
    Heartbeat(Vec<LeaseId>),
    Progress(ProgressArgs),
    Transcript(LeaseId),
    Commit(CommitArgs),
    Reveal(Box<RevealArgs>),
    Abandon(LeaseId),
    Decline(LeaseId),
    /// Ends somebody else's lease.
    Meddle(LeaseId),
    Deposit(Cycles),
    Stake(Cycles),
    Unstake(Cycles),
    ReleaseStake,
    FundTreasury(Cycles),
    FundSponsor(Cycles),
    Quote(Box<JobRequest>),
    Submit {
        args: Box<SubmitArgs>,
        attached: Cycles,
        /// Breaks a rule, so that it must be refused; who calls.
        malformed: Option<Principal>,
    },
    Cancel(JobId),
}

impl Call {
    /// A query changes nothing.
    pub(crate) const fn is_query(&self) -> bool {
        matches!(self, Self::Work | Self::Quote(_))
    }

    /// Carries cycles as canisters do, whose messages are delivered once.
    pub(crate) const fn is_guaranteed(&self) -> bool {
        matches!(self, Self::Deposit(_))
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Offered(Result<(), WorkerError>),
    Announced(Result<(), WorkerError>),
    Hint(Result<WorkHint, WorkerError>),
    Orders(Result<Vec<Order>, WorkerError>),
    Beats(Result<Vec<(LeaseId, Beat)>, WorkerError>),
    Transcript(LeaseId, Result<Claim, WorkerError>),
    /// To every other step of a lease.
    Step(LeaseId, Result<(), WorkerError>),
    Deposited,
    /// To every call about stake and the treasury.
    Holdings(Result<Holdings, MoneyError>),
    Quote(Result<Quote, SubmitError>),
    /// With what was accepted of the cycles attached.
    Submitted(Result<(Submitted, Cycles), SubmitError>),
    Cancelled(Result<(), JobError>),
    /// The canister is stopped.
    Unavailable,
}
