//! The events of the market and the log that chains them.
//!
//! Invariants: an entry carries its index and the hash of the entry before it, so a log cannot
//! lose, change or reorder one unseen; no entry carries a payload, a root or a nonce before the
//! verdict that makes it public.

use assay_protocol::{
    Cycles, Hash32, JobId, LeaseId, ModelId, Timestamp, TransferId,
    canary::CanaryOutcome,
    job::{JobState, Reason, Verdict},
    lease::{LeaseState, Offer, Role},
    money::TransferKind,
    price::Rates,
    receipt::ReceiptResult,
    registry::WorkerStatus,
    request::Assurance,
    result::Usage,
};
use candid::Principal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    config::JobsConfig,
    record::{Audit, Judgement, Live, ModelEntry},
};

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place, from 0.
    pub index: u64,
    /// [`Entry::hash`] of the line before; zero for the first.
    pub previous: Hash32,
    /// The canister's time.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

impl Entry {
    /// SHA-256 over the entry in CBOR, behind a domain.
    pub fn hash(&self) -> Hash32 {
        let mut writer = HashWriter(Sha256::new_with_prefix(b"assay-jobs-log-1"));
        ciborium::into_writer(self, &mut writer).expect("BUG: an event always encodes");
        Hash32(writer.0.finalize().into())
    }

    /// The entry in CBOR.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        ciborium::into_writer(self, &mut bytes).expect("BUG: an event always encodes");
        bytes
    }
}

/// What happened. New kinds are added at the end; none is changed or removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The market was installed or configured anew.
    Configured(JobsConfig),
    /// The canister stood still, and all deadlines moved on.
    Stalled {
        /// For how many nanoseconds.
        nanoseconds: u64,
    },
    /// The registry told of a model.
    ModelSynced(ModelEntry),
    /// The registry told of a provider.
    ProviderSynced {
        /// The owner.
        provider: Principal,
        /// The account that payouts go to.
        payout: Principal,
    },
    /// The registry told of a worker.
    WorkerSynced {
        /// The daemon.
        operator: Principal,
        /// Its owner.
        provider: Principal,
        /// Leases it can hold at once, committed ones included.
        slots: u16,
        /// Whether it takes work.
        status: WorkerStatus,
        /// Measured decode speed.
        tokens_per_second_milli: Option<u64>,
    },
    /// Registry changes were read up to here.
    CursorMoved {
        /// Where the next page begins.
        next: u64,
    },
    /// A worker set its prices, replacing all before.
    OffersSet {
        /// Who.
        worker: Principal,
        /// All its offers.
        offers: Vec<Offer>,
    },
    /// Cycles came in.
    Deposited {
        /// Whose balance grew.
        account: Principal,
        /// By how much.
        amount: Cycles,
    },
    /// A job was accepted.
    Submitted {
        /// Its id.
        job: JobId,
        /// All that is fixed from now on.
        terms: Box<Terms>,
    },
    /// A seed was drawn for a job that came without one.
    SeedDrawn {
        /// Which job.
        job: JobId,
        /// The seed.
        seed: u64,
    },
    /// The canister gave a lease to a worker.
    Granted {
        /// Its id.
        lease: LeaseId,
        /// Its job.
        job: JobId,
        /// What to do.
        role: Role,
        /// Who.
        worker: Principal,
        /// Whose.
        provider: Principal,
        /// The worker's asks.
        rates: Rates,
        /// Until when to claim it.
        claim_deadline: Live,
        /// Stake of its owner that stands behind it from now on, the bond included.
        stake: Cycles,
        /// What is lost of it if its commitment is never opened.
        bond: Cycles,
    },
    /// A worker took its lease up.
    Claimed {
        /// Which.
        lease: LeaseId,
        /// Until when it must be committed.
        run_deadline: Live,
    },
    /// A worker committed.
    Committed {
        /// Which lease.
        lease: LeaseId,
        /// The commitment.
        commitment: Hash32,
        /// Salted hash of a generator's claim.
        claim_hash: Option<Hash32>,
        /// Until when the round's claimed checkers may run, now that they can.
        checkers_until: Option<Live>,
        /// When the job ends in any case, now that it has a commitment.
        expiry: Live,
    },
    /// Commitments may be opened.
    RevealOpened {
        /// Which job's.
        job: JobId,
        /// Until when; the job ends no earlier from now on.
        deadline: Live,
    },
    /// A commitment was opened. What it hid is public with the verdict.
    Revealed {
        /// Which lease.
        lease: LeaseId,
    },
    /// A lease ended without a result.
    LeaseEnded {
        /// Which.
        lease: LeaseId,
        /// How.
        state: LeaseState,
        /// Why.
        reason: Reason,
        /// Its last deadline, in the canister's time.
        deadline: Timestamp,
    },
    /// What a lease revealed breaks the protocol.
    FoundMalformed {
        /// Which.
        lease: LeaseId,
        /// The root it revealed.
        root: Hash32,
        /// What is wrong.
        problem: String,
    },
    /// A job needs one more worker than planned.
    Extended {
        /// Which.
        job: JobId,
        /// Checkers this round needs now.
        checkers: u32,
        /// The lease that made it so, if one did.
        lease: Option<LeaseId>,
        /// Why.
        reason: Reason,
    },
    /// A job has begun, or goes on, to wait for a missing worker.
    Waiting {
        /// Which.
        job: JobId,
        /// Until when.
        until: Live,
    },
    /// A round has its verdict; what its leases revealed is public.
    Judged {
        /// Which job.
        job: JobId,
        /// Each lease that revealed.
        findings: Vec<Finding>,
    },
    /// A round ended without an answer, and the job is queued again.
    RoundEnded {
        /// Which job.
        job: JobId,
        /// The lease that ended it, if one did.
        lease: Option<LeaseId>,
        /// Why.
        reason: Reason,
    },
    /// A job ended: everything that moved money did so here.
    Ended {
        /// Which.
        job: JobId,
        /// How, and who got what.
        settlement: Box<Settlement>,
    },
    /// A requester's key may be used again.
    KeyForgotten {
        /// The job it stood for.
        job: JobId,
    },
    /// Cycles went from a balance into the treasury.
    TreasuryFunded {
        /// Whose balance.
        account: Principal,
        /// How much.
        amount: Cycles,
    },
    /// The treasury set cycles aside for the checks of a `single` job.
    Reserved {
        /// Which job.
        job: JobId,
        /// How much.
        amount: Cycles,
    },
    /// It was decided whether the answer of a `single` job is audited; or that chance shall decide.
    AuditDecided {
        /// Which job.
        job: JobId,
        /// What was decided.
        audit: Audit,
    },
    /// Cycles went from a balance into its owner's stake.
    Staked {
        /// Whose.
        account: Principal,
        /// How much.
        amount: Cycles,
    },
    /// Stake is on its way out.
    Unstaking {
        /// Whose.
        account: Principal,
        /// How much more.
        amount: Cycles,
        /// From when on all of it may be taken.
        until: Live,
    },
    /// Stake went back into its owner's balance.
    Unstaked {
        /// Whose.
        account: Principal,
        /// How much.
        amount: Cycles,
    },
    /// No new jobs are let in from now on, or they are again.
    PauseSet {
        /// Why; absent where they are.
        reason: Option<String>,
    },
    /// What was asked and answered is no longer kept.
    Pruned {
        /// In which job.
        job: JobId,
    },
    /// A bond was lost, because its commitment was never opened.
    BondLost {
        /// Which lease's.
        lease: LeaseId,
        /// Who gets it; what is left goes to the treasury.
        to: Vec<Payout>,
    },
    /// The ledger told what it takes for a transfer.
    LedgerFeeTold {
        /// How much.
        fee: Cycles,
    },
    /// Money is on its way; what leaves is no longer in the balance.
    TransferBegun {
        /// Its id.
        transfer: TransferId,
        /// Whose balance.
        account: Principal,
        /// Which way.
        kind: TransferKind,
        /// What arrives.
        amount: Cycles,
        /// The ledger's fee that comes out of the balance, too.
        fee: Cycles,
        /// When it is looked at next.
        next_try: Timestamp,
    },
    /// A transfer whose outcome nobody knew was tried again, in the same words.
    TransferTried {
        /// Which.
        transfer: TransferId,
        /// When it is looked at next.
        next_try: Timestamp,
    },
    /// A transfer happened.
    TransferDone {
        /// Which.
        transfer: TransferId,
        /// The ledger's block, as far as it told.
        block: Option<u64>,
    },
    /// A transfer did not happen, for certain.
    TransferFailed {
        /// Which.
        transfer: TransferId,
        /// Why.
        why: String,
    },
    /// Nobody can tell whether a transfer happened, and it can no longer be tried.
    TransferQuarantined {
        /// Which.
        transfer: TransferId,
    },
    /// Cycles went from a balance into the sponsor pool.
    SponsorFunded {
        /// Whose balance.
        account: Principal,
        /// How much.
        amount: Cycles,
    },
    /// A controller gave a canary and the money for it.
    CanaryAdded {
        /// Its number.
        number: u64,
        /// The account that asks it and holds its money.
        account: Principal,
        /// Whose balance that came from.
        payer: Principal,
        /// How much.
        amount: Cycles,
    },
    /// A canary has ended, or was taken back before it was asked.
    CanaryReturned {
        /// Which.
        number: u64,
        /// What was left of its money, and went back to who gave it.
        amount: Cycles,
        /// How it ended.
        outcome: CanaryOutcome,
    },
    /// A controller found out what became of a quarantined transfer.
    TransferResolved {
        /// Which.
        transfer: TransferId,
        /// Whether it happened.
        happened: bool,
    },
    /// Cycles went from one balance into another.
    Given {
        /// Whose they were.
        account: Principal,
        /// Whose they are.
        to: Principal,
        /// How much.
        amount: Cycles,
    },
}

/// All that is fixed when a job is accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
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
    /// Seed of the draws, if the requester gave one.
    pub seed: Option<u64>,
    /// Highest asks that may work on it.
    pub ceilings: Rates,
    /// Fee, in basis points.
    pub fee_bps: u16,
    /// Royalty, in basis points.
    pub royalty_bps: u16,
    /// Escrow taken from the balance.
    pub from_balance: Cycles,
    /// Escrow taken from the call.
    pub from_call: Cycles,
    /// Escrow taken from the sponsor pool.
    pub from_sponsor: Cycles,
    /// Seconds to the deadline.
    pub deadline_seconds: u32,
    /// The deadline.
    pub deadline: Live,
}

/// What a verdict says of one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which.
    pub lease: LeaseId,
    /// What it revealed.
    pub root: Hash32,
    /// What that is worth.
    pub judgement: Judgement,
    /// The work it is paid for, if it is.
    pub basis: Option<Usage>,
}

/// How a job ended, and who got what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settlement {
    /// The last state.
    pub state: JobState,
    /// What the comparison found.
    pub verdict: Option<Verdict>,
    /// Why.
    pub reason: Reason,
    /// The answer's fingerprint.
    pub result: Option<ReceiptResult>,
    /// The lease whose opening holds the answer.
    pub answer: Option<LeaseId>,
    /// To workers; no zero amounts.
    pub payouts: Vec<Payout>,
    /// To the market.
    pub fee: Cycles,
    /// To the model's owner.
    pub royalty: Cycles,
    /// Who that is.
    pub royalty_account: Principal,
    /// To the requester, what goes back to the sponsor pool first included.
    pub refund: Cycles,
    /// How much of the payouts the treasury pays.
    pub subsidy: Cycles,
}

/// One payment to a worker's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
    /// For which lease.
    pub lease: LeaseId,
    /// Into which account.
    pub account: Principal,
    /// How much.
    pub amount: Cycles,
}

struct HashWriter(Sha256);

impl std::io::Write for HashWriter {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        self.0.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
