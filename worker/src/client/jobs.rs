//! A jobs canister.

use assay_protocol::{
    Cycles, JobId, LeaseId, TransferId,
    canary::{Canary, CanaryError, CanaryPage},
    events::{EventPage, EventsError},
    job::{
        JobError, JobLine, JobView, JobsArgs, Quote, Stats, StreamArgs, StreamChunk, SubmitArgs,
        SubmitError, Submitted,
    },
    lease::{
        Beat, Claim, CommitArgs, Earnings, Follow, Idle, Offer, Order, ProgressArgs, RevealArgs,
        WorkHint, WorkerError,
    },
    money::{
        DepositFromArgs, GiveArgs, Holdings, LedgerView, MoneyError, TransferView, TransfersArgs,
        WithdrawArgs,
    },
    receipt::{CertifiedReceipt, ReceiptsArgs, ReceiptsPage},
    request::JobRequest,
};
use candid::{CandidType, Principal};
use serde::Deserialize;

use super::{CallError, Network, Outcome};

type Submit<T> = Result<T, Outcome<SubmitError>>;
type Read<T> = Result<T, Outcome<JobError>>;
type Money<T> = Result<T, Outcome<MoneyError>>;
type Work<T> = Result<T, Outcome<WorkerError>>;

/// Why the registry was not read.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize, thiserror::Error)]
pub enum SyncError {
    /// No registry is set.
    #[error("the jobs canister knows no registry; its controller names one by an upgrade")]
    NoRegistry,
    /// It is being read already.
    #[error("the registry is being read already; what changed just now may come a moment later")]
    Busy,
    /// The call is not signed.
    #[error("anonymous callers cannot make the jobs canister read the registry; sign the call")]
    Anonymous,
    /// The registry did not answer.
    #[error("the registry did not answer: {0}; the jobs canister tries again by itself")]
    Unreachable(String),
    /// Something newer than this client.
    #[error("{0}")]
    Other(String),
}

/// A jobs canister.
#[derive(Clone, Debug)]
pub struct Jobs {
    network: Network,
    /// Its id.
    pub id: Principal,
}

impl Jobs {
    /// The jobs canister `id` of this network.
    pub fn new(network: &Network, id: Principal) -> Self {
        Self {
            network: network.clone(),
            id,
        }
    }

    /// The connection below.
    pub fn network(&self) -> &Network {
        &self.network
    }

    // The requester's side.

    /// What a request would cost at most.
    pub async fn quote(&self, request: &JobRequest) -> Submit<Quote> {
        Outcome::fold(self.network.query(self.id, "quote", (request,)).await)
    }

    /// Submits a job.
    pub async fn submit(&self, args: &SubmitArgs) -> Submit<Submitted> {
        Outcome::fold(self.network.update(self.id, "submit", (args,)).await)
    }

    /// A job as this caller may see it: a hint.
    pub async fn job(&self, job: JobId) -> Read<JobView> {
        Outcome::fold(self.network.query(self.id, "job", (job,)).await)
    }

    /// A page of jobs, newest first.
    pub async fn jobs(&self, args: &JobsArgs) -> Result<Vec<JobLine>, CallError> {
        self.network.query(self.id, "jobs", (args,)).await
    }

    /// Provisional text from a cursor on.
    pub async fn stream(&self, args: StreamArgs) -> Read<StreamChunk> {
        Outcome::fold(self.network.query(self.id, "stream", (args,)).await)
    }

    /// Cancels a job.
    pub async fn cancel(&self, job: JobId) -> Read<()> {
        Outcome::fold(self.network.update(self.id, "cancel", (job,)).await)
    }

    /// A receipt with its proof.
    pub async fn receipt(&self, job: JobId) -> Read<CertifiedReceipt> {
        Outcome::fold(self.network.query(self.id, "receipt", (job,)).await)
    }

    /// A page of receipts with one proof for all of them.
    pub async fn receipts(&self, args: &ReceiptsArgs) -> Read<ReceiptsPage> {
        Outcome::fold(self.network.query(self.id, "receipts", (args,)).await)
    }

    /// A balance; the caller's own when `owner` is absent.
    pub async fn balance(&self, owner: Option<Principal>) -> Result<Cycles, CallError> {
        self.network.query(self.id, "balance", (owner,)).await
    }

    /// Balance and stake; the caller's own when `owner` is absent: a hint.
    pub async fn holdings(&self, owner: Option<Principal>) -> Result<Holdings, CallError> {
        self.network.query(self.id, "holdings", (owner,)).await
    }

    /// Moves a part of the caller's balance into another's.
    pub async fn give(&self, args: &GiveArgs) -> Money<Holdings> {
        Outcome::fold(self.network.update(self.id, "give", (args,)).await)
    }

    /// Puts a part of the caller's balance behind its workers.
    pub async fn stake(&self, amount: Cycles) -> Money<Holdings> {
        Outcome::fold(self.network.update(self.id, "stake", (amount,)).await)
    }

    /// Begins to take stake out.
    pub async fn unstake(&self, amount: Cycles) -> Money<Holdings> {
        Outcome::fold(self.network.update(self.id, "unstake", (amount,)).await)
    }

    /// Takes stake that has waited long enough into the balance.
    pub async fn release_stake(&self) -> Money<Holdings> {
        Outcome::fold(self.network.update(self.id, "release_stake", ()).await)
    }

    /// Gives a part of the caller's balance to the treasury, and tells what it holds.
    pub async fn fund_treasury(&self, amount: Cycles) -> Money<Cycles> {
        Outcome::fold(
            self.network
                .update(self.id, "fund_treasury", (amount,))
                .await,
        )
    }

    /// Gives a part of the caller's balance to the sponsor pool, and tells what it holds.
    pub async fn fund_sponsor(&self, amount: Cycles) -> Money<Cycles> {
        Outcome::fold(
            self.network
                .update(self.id, "fund_sponsor", (amount,))
                .await,
        )
    }

    /// The market's ledger, if it has one: a hint.
    pub async fn ledger(&self) -> Result<Option<LedgerView>, CallError> {
        self.network.query(self.id, "ledger", ()).await
    }

    /// Takes cycles from the caller's account on the ledger, which must have approved it.
    pub async fn deposit_from(&self, args: &DepositFromArgs) -> Money<TransferView> {
        Outcome::fold(self.network.update(self.id, "deposit_from", (args,)).await)
    }

    /// Takes cycles out of the caller's balance.
    pub async fn withdraw(&self, args: &WithdrawArgs) -> Money<TransferView> {
        Outcome::fold(self.network.update(self.id, "withdraw", (args,)).await)
    }

    /// One transfer: a hint.
    pub async fn transfer(&self, id: TransferId) -> Result<Option<TransferView>, CallError> {
        self.network.query(self.id, "transfer", (id,)).await
    }

    /// A page of transfers, newest first: a hint.
    pub async fn transfers(&self, args: &TransfersArgs) -> Result<Vec<TransferView>, CallError> {
        self.network.query(self.id, "transfers", (args,)).await
    }

    /// Gives canaries, for controllers: all or none.
    pub async fn add_canaries(&self, canaries: &[Canary]) -> Result<(), Outcome<CanaryError>> {
        Outcome::fold(
            self.network
                .update(self.id, "add_canaries", (canaries,))
                .await,
        )
    }

    /// Takes a canary back that was not asked yet, for controllers.
    pub async fn take_canary_back(&self, number: u64) -> Result<(), Outcome<CanaryError>> {
        Outcome::fold(
            self.network
                .update(self.id, "take_canary_back", (number,))
                .await,
        )
    }

    /// A page of canaries, newest first, for controllers: a hint.
    pub async fn canaries(&self, before: Option<u64>) -> Result<CanaryPage, Outcome<CanaryError>> {
        Outcome::fold(self.network.query(self.id, "canaries", (before,)).await)
    }

    /// A page of the event log, for controllers: a hint.
    pub async fn events(&self, from: u64) -> Result<EventPage, Outcome<EventsError>> {
        Outcome::fold(self.network.query(self.id, "events", (from,)).await)
    }

    /// The same as the whole network agrees on.
    pub async fn agreed_events(&self, from: u64) -> Result<EventPage, Outcome<EventsError>> {
        Outcome::fold(self.network.update(self.id, "events", (from,)).await)
    }

    /// The market's numbers: a hint.
    pub async fn stats(&self) -> Result<Stats, CallError> {
        self.network.query(self.id, "stats", ()).await
    }

    /// Reads the registry's changes now instead of at the next turn.
    pub async fn sync_registry(&self) -> Result<(), Outcome<SyncError>> {
        Outcome::fold(self.network.update(self.id, "sync_registry", ()).await)
    }

    // The worker's side.

    /// What awaits this worker: a hint.
    pub async fn work(&self) -> Work<WorkHint> {
        Outcome::fold(self.network.query(self.id, "work", ()).await)
    }

    /// Why a worker has no work: a hint.
    pub async fn explain(&self, worker: Principal) -> Result<Idle, CallError> {
        self.network.query(self.id, "explain", (worker,)).await
    }

    /// What an account has earned.
    pub async fn earnings(&self, account: Principal) -> Result<Earnings, CallError> {
        self.network.query(self.id, "earnings", (account,)).await
    }

    /// Names this worker's prices, replacing those it had.
    pub async fn set_offers(&self, offers: &[Offer]) -> Work<()> {
        Outcome::fold(self.network.update(self.id, "set_offers", (offers,)).await)
    }

    /// Announces how many leases this worker will hold at once in all, committed ones included.
    pub async fn ready(&self, slots: u16) -> Work<()> {
        Outcome::fold(self.network.update(self.id, "ready", (slots,)).await)
    }

    /// Takes over the leases that this worker was granted, except those that it knows.
    pub async fn claim(&self, known: &[LeaseId]) -> Work<Vec<Order>> {
        Outcome::fold(self.network.update(self.id, "claim", (known,)).await)
    }

    /// Keeps leases alive.
    pub async fn heartbeat(&self, leases: &[LeaseId]) -> Work<Vec<(LeaseId, Beat)>> {
        Outcome::fold(self.network.update(self.id, "heartbeat", (leases,)).await)
    }

    /// Publishes provisional tokens; counts as a heartbeat.
    pub async fn progress(&self, args: &ProgressArgs) -> Work<Beat> {
        Outcome::fold(self.network.update(self.id, "progress", (args,)).await)
    }

    /// Provisional tokens of the generation that this checker's lease checks: a hint.
    pub async fn follow(&self, lease: LeaseId, from: u32) -> Work<Follow> {
        Outcome::fold(self.network.query(self.id, "follow", (lease, from)).await)
    }

    /// The final tokens of the generation that this checker's lease checks.
    pub async fn transcript(&self, lease: LeaseId) -> Work<Claim> {
        Outcome::fold(self.network.update(self.id, "transcript", (lease,)).await)
    }

    /// Commits to a root.
    pub async fn commit(&self, args: &CommitArgs) -> Work<()> {
        Outcome::fold(self.network.update(self.id, "commit", (args,)).await)
    }

    /// Opens a commitment.
    pub async fn reveal(&self, args: &RevealArgs) -> Work<()> {
        Outcome::fold(self.network.update(self.id, "reveal", (args,)).await)
    }

    /// Gives a lease back.
    pub async fn abandon(&self, lease: LeaseId, why: &str) -> Work<()> {
        Outcome::fold(self.network.update(self.id, "abandon", (lease, why)).await)
    }

    /// Gives a lease back because the model cannot do what is asked.
    pub async fn decline(&self, lease: LeaseId, why: &str) -> Work<()> {
        Outcome::fold(self.network.update(self.id, "decline", (lease, why)).await)
    }
}
