//! What is stored about jobs, leases, workers and money.
//!
//! Deadlines are in [`Live`] time, which stands still while the canister does: after a stall every
//! deadline has moved on with it, in one write. All other times are the canister's own.

use assay_protocol::{
    Cycles, Hash32, JobId, LeaseId, ModelId, Timestamp, TransferId,
    canary::CanaryOutcome,
    job::{JobState, Reason, Transition, Verdict},
    lease::{LeaseState, Offer, Opening, Role},
    money::{Destination, TransferKind, TransferState},
    price::Rates,
    receipt::ReceiptResult,
    registry::{WorkerStatus, is_class_bound},
    request::{Assurance, JobRequest},
    result::Usage,
};
use candid::Principal;
use serde::{Deserialize, Serialize};

use crate::config::JobsConfig;

/// Nanoseconds of the market's own time: the canister's, less all stalls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Live(pub u64);

impl Live {
    /// This time plus whole seconds, saturating.
    pub const fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000_000)))
    }
}

/// Configuration, counters and the sums of all money.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Absent until the first event.
    pub config: Option<JobsConfig>,
    /// Hash of the newest log entry; zero before the first.
    pub head: Hash32,
    /// The job number used last.
    pub last_job: u64,
    /// The lease number used last.
    pub last_lease: u64,
    /// Nanoseconds of all stalls together.
    pub stalled: u64,
    /// Where the next page of registry changes begins.
    pub cursor: u64,
    /// Cycles that ever came in.
    pub deposited: Cycles,
    /// Sum of all balances.
    pub free: Cycles,
    /// Sum of all escrow.
    pub held: Cycles,
    /// The treasury: fees kept, and what was given to it, less what audits cost.
    pub treasury: Cycles,
    /// Set aside in the treasury for checks that it pays.
    pub reserved: Cycles,
    /// Sum of all stake, unbonding included.
    pub staked: Cycles,
    /// Cycles that left for good, ledger fees included.
    pub withdrawn: Cycles,
    /// Sum of all withdrawals without an end, ledger fees included.
    pub withdrawing: Cycles,
    /// How much of that is to leave from the ledger.
    pub leaving_ledger: Cycles,
    /// What the market's account on the ledger holds, by all transfers that are certain.
    pub on_ledger: Cycles,
    /// What the ledger takes for a transfer, once it has told.
    pub ledger_fee: Option<Cycles>,
    /// The transfer number used last.
    pub last_transfer: u64,
    /// Transfers that a controller must decide on.
    pub quarantined: u64,
    /// Jobs by state.
    pub counts: Counts,
    /// What the sponsor pool holds.
    pub sponsor: Cycles,
    /// The day it paid for a job last, since 1970.
    pub sponsor_day: u64,
    /// What it paid on that day, less what came back.
    pub sponsor_spent: Cycles,
    /// Why no new jobs are let in, if none are.
    pub paused: Option<String>,
}

impl Meta {
    /// What lies in the canister itself by the books: all that came in and did not leave, less what the ledger has.
    pub fn on_canister(&self) -> Cycles {
        Cycles(self.deposited.0 - self.withdrawn.0 - self.on_ledger.0)
    }
}

/// Jobs by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Waiting for workers.
    pub queued: u64,
    /// Run by workers.
    pub running: u64,
    /// Being opened.
    pub revealing: u64,
    /// Waiting for one more worker.
    pub extended: u64,
    /// Settled without comparison.
    pub unverified: u64,
    /// Settled and agreed.
    pub verified: u64,
    /// Settled and disagreed.
    pub inconclusive: u64,
    /// Ended by the requester.
    pub cancelled: u64,
    /// Ended by their deadline.
    pub expired: u64,
    /// Could not be done.
    pub failed: u64,
}

impl Counts {
    /// Jobs that have not ended.
    pub const fn open(&self) -> u64 {
        self.queued + self.running + self.revealing + self.extended
    }

    /// The counter of a state.
    pub(crate) const fn of(&mut self, state: JobState, verdict: Option<Verdict>) -> &mut u64 {
        match (state, verdict) {
            (JobState::Queued, _) => &mut self.queued,
            (JobState::Running, _) => &mut self.running,
            (JobState::Revealing, _) => &mut self.revealing,
            (JobState::Extended, _) => &mut self.extended,
            (JobState::Settled, Some(Verdict::Unverified)) => &mut self.unverified,
            (JobState::Settled, Some(Verdict::Verified)) => &mut self.verified,
            (JobState::Settled, _) => &mut self.inconclusive,
            (JobState::Cancelled, _) => &mut self.cancelled,
            (JobState::Expired, _) => &mut self.expired,
            (JobState::Failed, _) => &mut self.failed,
        }
    }
}

/// What a principal holds and has earned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Balance.
    pub free: Cycles,
    /// Stake behind its workers.
    pub stake: Cycles,
    /// How much of it stands behind live leases.
    pub locked: Cycles,
    /// Stake on its way out, and when it may be taken.
    pub unbonding: Option<Unbonding>,
    /// Paid out for leases, in all.
    pub earned: Cycles,
    /// Leases that were paid.
    pub paid_leases: u64,
    /// Jobs it submitted that have not ended.
    pub open_jobs: u32,
    /// Its transfers that have no end yet.
    pub open_transfers: u32,
}

/// Stake on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unbonding {
    /// How much.
    pub amount: Cycles,
    /// From when on it may be taken.
    pub until: Live,
}

/// Money on its way in or out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Its id.
    pub id: TransferId,
    /// Whose balance it is about.
    pub account: Principal,
    /// Which way it goes.
    pub kind: TransferKind,
    /// What arrives.
    pub amount: Cycles,
    /// The ledger's fee that comes out of the balance, too.
    pub fee: Cycles,
    /// Where it stands.
    pub state: TransferState,
    /// How often it was tried; the first time when it was begun.
    pub tries: u32,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// When it is looked at next, while it is pending.
    pub next_try: Timestamp,
    /// When it came to its end.
    pub ended_at: Option<Timestamp>,
}

impl Transfer {
    /// What is taken out of the balance for it; nothing for a deposit.
    pub fn taken(&self) -> Cycles {
        match self.kind {
            TransferKind::Deposit { .. } => Cycles::ZERO,
            TransferKind::Withdrawal { .. } => Cycles(self.amount.0 + self.fee.0),
        }
    }

    /// Whether it goes to a canister: that can be tried once only, since nobody would notice a second time.
    pub const fn is_to_canister(&self) -> bool {
        matches!(
            self.kind,
            TransferKind::Withdrawal {
                to: Destination::Canister(_)
            }
        )
    }

    /// Its place among those without an end.
    pub const fn due(&self) -> (Timestamp, TransferId) {
        match self.state {
            TransferState::Quarantined => (Timestamp(u64::MAX), self.id),
            _ => (self.next_try, self.id),
        }
    }
}

/// Whether the market has a `single` job's answer checked at its own cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audit {
    /// Not decided in this round.
    #[default]
    Open,
    /// No: the worker is trusted, and the draw spared it.
    Spared,
    /// Yes: the draw hit a trusted worker. Without a checker the answer is accepted all the same.
    Drawn,
    /// Yes: the worker is not trusted yet. Without a checker there is no verdict.
    Required,
}

impl Audit {
    /// Whether there is a check.
    pub const fn is_checked(self) -> bool {
        matches!(self, Self::Drawn | Self::Required)
    }
}

/// A requester's idempotency key.
pub type Key = (Principal, Vec<u8>);

/// What an idempotency key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyHolder {
    /// The job it was used for.
    pub job: JobId,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Who asked.
    pub requester: Principal,
    /// The requester's key for it.
    pub key: Vec<u8>,
    /// The pinned model version.
    pub model: ModelId,
    /// Salted hash of the request.
    pub request_hash: Hash32,
    /// How sure the answer must be.
    pub assurance: Assurance,
    /// Tokens to generate at most.
    pub max_tokens: u32,
    /// Input tokens at worst.
    pub input_tokens_max: u32,
    /// Seed of the draws, once there is one.
    pub seed: Option<u64>,
    /// Highest asks that may work on it.
    pub ceilings: Rates,
    /// Fee at submit, in basis points.
    pub fee_bps: u16,
    /// Royalty at submit, in basis points.
    pub royalty_bps: u16,
    /// Taken at submit.
    pub escrow: Cycles,
    /// How much of that the sponsor pool gave.
    pub sponsored: Cycles,
    /// What is left of the escrow; zero once the job has ended.
    pub held: Cycles,
    /// Where it stands.
    pub state: JobState,
    /// What the comparison found.
    pub verdict: Option<Verdict>,
    /// Which generation it is at, from 1.
    pub round: u32,
    /// Checkers that this round needs by now; grows when they disagree.
    pub checkers: u32,
    /// Whether the treasury has this round of a `single` job checked.
    pub audit: Audit,
    /// Set aside in the treasury for that; zero once the job has ended.
    pub reserve: Cycles,
    /// What the treasury paid to its checkers.
    pub subsidy: Cycles,
    /// Every lease it ever granted.
    pub leases: Vec<LeaseId>,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// Seconds from submit to its deadline.
    pub deadline_seconds: u32,
    /// When it expires.
    pub deadline: Live,
    /// When it ends in any case: the deadline, or later while commitments that were in by then are
    /// checked and opened.
    pub expiry: Live,
    /// Until when it waits for a missing worker.
    pub wait: Option<Live>,
    /// When it ended, and how long all stalls were by then.
    pub ended: Option<Ended>,
    /// Whether its request, answer and tokens are gone.
    pub pruned: bool,
    /// Paid to workers.
    pub paid: Cycles,
    /// Kept as fee.
    pub fee: Cycles,
    /// Paid to the model's owner.
    pub royalty: Cycles,
    /// Given back.
    pub refund: Cycles,
    /// The answer's fingerprint.
    pub result: Option<ReceiptResult>,
    /// The lease whose opening holds the answer.
    pub answer: Option<LeaseId>,
    /// Every change of state, oldest first.
    pub history: Vec<Transition>,
}

/// The end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// Nanoseconds of all stalls by then.
    pub stalled: u64,
}

/// A lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// Its job.
    pub job: JobId,
    /// Which generation of the job it belongs to.
    pub round: u32,
    /// What it does.
    pub role: Role,
    /// The daemon.
    pub worker: Principal,
    /// Its owner.
    pub provider: Principal,
    /// The worker's asks when it was granted.
    pub rates: Rates,
    /// Where it stands.
    pub state: LeaseState,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// Until when it must be claimed.
    pub claim_deadline: Live,
    /// Until when it must be committed, heartbeats or not; absent until it is claimed.
    pub run_deadline: Option<Live>,
    /// Its commitment.
    pub commitment: Option<Hash32>,
    /// Until when it must be opened; absent while it may not be.
    pub reveal_deadline: Option<Live>,
    /// What it revealed; absent before the round's verdict.
    pub root: Option<Hash32>,
    /// What the verdict says of it.
    pub judgement: Option<Judgement>,
    /// The work it is paid for, if it is.
    pub basis: Option<Usage>,
    /// What it was paid.
    pub paid: Cycles,
    /// Stake of its owner behind it while it is live.
    pub stake: Cycles,
    /// How much of that is lost if its commitment is never opened.
    pub bond: Cycles,
    /// The bond it lost because it never opened its commitment.
    pub forfeited: Cycles,
    /// What it got of a silent generator's bond.
    pub bonus: Cycles,
    /// Why it ended.
    pub reason: Option<Reason>,
    /// Its last deadline in the canister's time, once it has ended.
    pub ended_deadline: Option<Timestamp>,
}

/// An opened commitment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// The nonce that hid it.
    pub nonce: Hash32,
    /// What was hidden.
    pub opening: Opening,
    /// Its root, as the canister computed it.
    pub root: Hash32,
}

/// What the sponsor pool has paid for a caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sponsored {
    /// The last day on which it did, since 1970.
    pub day: u64,
    /// How much on that day, less what came back.
    pub spent: Cycles,
}

/// A question with a known answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryEntry {
    /// The account that asks it.
    pub account: Principal,
    /// Who gave it, and gets back what is left of its money.
    pub payer: Principal,
    /// The job that asks it, once it is asked.
    pub job: Option<JobId>,
    /// How it ended, once it has.
    pub outcome: Option<CanaryOutcome>,
}

/// What a verdict says of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Judgement {
    /// On the side that the verdict found right: paid.
    Right,
    /// On the other side: unpaid, and trust is lost.
    Wrong,
    /// Accepted without comparison: paid.
    Accepted,
    /// Nobody could tell: unpaid, and nothing is held against it.
    Undecided,
}

/// What the market needs to know of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// Its version.
    pub id: ModelId,
    /// Its name.
    pub name: String,
    /// The semantics by which it runs.
    pub semantics: String,
    /// Whether it makes vectors of texts, and no texts.
    pub encoder: bool,
    /// The class in which its answers are compared.
    pub class: Hash32,
    /// Root of its weights.
    pub model_root: Hash32,
    /// Input and output tokens together, at most.
    pub context_max: u32,
    /// Share of payouts that goes to its owner.
    pub royalty_bps: u16,
    /// Whether answers can be run again on any machine, to the bit.
    pub verifiable: bool,
    /// Who registered it.
    pub owner: Principal,
    /// New jobs are refused.
    pub deprecated: bool,
}

impl ModelEntry {
    /// Whether answers can be compared with each other though nobody can run them again.
    pub(crate) fn is_class_bound(&self) -> bool {
        is_class_bound(&self.semantics, self.verifiable)
    }

    /// Input tokens that a request has at worst: an encoder reads no more than its context.
    pub(crate) fn input_tokens_max(&self, request: &JobRequest) -> u32 {
        let max = request.input_tokens_max();
        if self.encoder {
            max.min(self.context_max)
        } else {
            max
        }
    }
}

/// What the market needs to know of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerEntry {
    /// The daemon.
    pub operator: Principal,
    /// Its owner.
    pub provider: Principal,
    /// Leases it can hold at once, committed ones included.
    pub slots: u16,
    /// Whether it takes work.
    pub status: WorkerStatus,
    /// Measured decode speed, in thousandths of a token per second.
    pub tokens_per_second_milli: Option<u64>,
    /// Its offers, whether or not it is active.
    pub offers: Vec<Offer>,
    /// Leases it holds that are live.
    pub live: u32,
}

/// An offer of an active worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// The worker's owner.
    pub provider: Principal,
    /// Its prices.
    pub rates: Rates,
}

/// A worker (operator) in a determinism class.
pub type TrustKey = (Principal, Hash32);

/// What is known of a worker in a determinism class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// Results found right since the last one found wrong.
    pub valid: u64,
    /// Results found wrong.
    pub mismatches_lost: u64,
    /// Commitments never opened.
    pub silent: u64,
    /// Leases lost.
    pub lost: u64,
    /// Leases given back.
    pub abandoned: u64,
}

/// The last time seen, and the secret behind salts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vitals {
    /// The canister's time at the last update.
    pub seen: Timestamp,
    /// Absent until randomness has come.
    pub secret: Option<Hash32>,
}

/// Announced slots and signs of life of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// When it last called.
    pub seen: Timestamp,
    /// Leases it is ready to hold at once in all, committed ones included.
    pub slots: u16,
    /// Until when that counts.
    pub ready_until: Timestamp,
}

/// Until when a live lease lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// The deadline in force: claim, heartbeat, reveal or job.
    pub until: Live,
    /// Where its entry in the table of due things is; never after `until`.
    pub due: Live,
}

/// Something with a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Due {
    /// A lease.
    Lease(LeaseId),
    /// A job's deadline.
    Job(JobId),
    /// A job's wait for a missing worker.
    Wait(JobId),
    /// A job's idempotency key.
    Key(JobId),
    /// What was asked and answered in a job that ended long ago.
    Payload(JobId),
}

/// How much provisional output a lease has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamHead {
    /// Chunks.
    pub chunks: u32,
    /// Tokens.
    pub tokens: u32,
    /// Bytes of text.
    pub bytes: u64,
}

/// A piece of provisional output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Position of its first token.
    pub tokens_from: u32,
    /// Position of its first byte of text.
    pub bytes_from: u64,
    /// Token ids.
    pub tokens: Vec<u32>,
    /// Their text.
    pub text: String,
}
