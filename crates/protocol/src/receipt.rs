//! Receipts: what the canister certifies about a job that has ended.
//!
//! The certified data of a jobs canister is the root of a hash tree with the path
//! `receipts / <job id, eight big-endian bytes>`, whose leaf is [`Receipt::hash`].

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};

use crate::{
    Cycles, Hash32, Hasher, JobId, LeaseId, ModelId, Timestamp,
    job::{JobState, Verdict},
    lease::{LeaseState, Role},
    request::{Assurance, JobRequest},
    result::{Finish, Usage},
};

/// The label above all receipts in the certified tree.
pub const RECEIPTS_LABEL: &[u8] = b"receipts";

/// What happened to a job.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Receipt {
    /// The jobs canister.
    pub canister: Principal,
    /// The job.
    pub job: JobId,
    /// [`JobRequest::salted_hash`] of what was asked.
    pub request_hash: Hash32,
    /// The pinned model version.
    pub model: ModelId,
    /// Root of its weights.
    pub model_root: Hash32,
    /// The determinism class in which answers were compared.
    pub class: Hash32,
    /// Seed of the draws; absent if the job ended before one was drawn.
    pub seed: Option<u64>,
    /// How sure the answer had to be.
    pub assurance: Assurance,
    /// How it ended.
    pub state: JobState,
    /// What the comparison found.
    pub verdict: Option<Verdict>,
    /// The answer's fingerprint, if there is an answer.
    pub result: Option<ReceiptResult>,
    /// Every lease of the job.
    pub leases: Vec<ReceiptLease>,
    /// Held at submit.
    pub escrow: Cycles,
    /// Kept as fee.
    pub fee: Cycles,
    /// Paid to the model's owner.
    pub royalty: Cycles,
    /// Given back.
    pub refund: Cycles,
    /// Paid to checkers by the market's treasury, beyond the escrow.
    pub subsidy: Cycles,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// The answer's fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct ReceiptResult {
    /// The agreed result root.
    pub root: Hash32,
    /// SHA-256 of the answer's bytes.
    pub answer_sha256: Hash32,
    /// Root over every activation.
    pub trace_root: Hash32,
    /// Why generation ended.
    pub finish: Finish,
    /// Tokens used.
    pub usage: Usage,
}

/// One lease in a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct ReceiptLease {
    /// Its id.
    pub lease: LeaseId,
    /// Which generation of the job it belonged to.
    pub round: u32,
    /// What it did.
    pub role: Role,
    /// The daemon.
    pub worker: Principal,
    /// Its owner.
    pub provider: Principal,
    /// How it ended.
    pub state: LeaseState,
    /// The root it revealed.
    pub root: Option<Hash32>,
    /// What it was paid.
    pub paid: Cycles,
    /// The bond it lost because it never opened its commitment.
    pub forfeited: Cycles,
    /// What it got of a silent generator's bond.
    pub bonus: Cycles,
}

impl Receipt {
    /// The certified hash: covers every field.
    pub fn hash(&self) -> Hash32 {
        let Self {
            canister,
            job,
            request_hash,
            model,
            model_root,
            class,
            seed,
            assurance,
            state,
            verdict,
            result,
            leases,
            escrow,
            fee,
            royalty,
            refund,
            subsidy,
            submitted_at,
            ended_at,
        } = self;
        let mut hasher = Hasher::new("assay-receipt-1")
            .bytes(canister.as_slice())
            .u64(job.0)
            .hash(request_hash)
            .hash(&model.0)
            .hash(model_root)
            .hash(class)
            .bytes(&seed.map_or_else(Vec::new, |seed| seed.to_le_bytes().to_vec()));
        hasher = assurance
            .hash_into(hasher)
            .bytes(state_name(*state))
            .bytes(verdict.map_or(b"none", verdict_name));
        hasher = match result {
            None => hasher.bytes(b"no result"),
            Some(ReceiptResult {
                root,
                answer_sha256,
                trace_root,
                finish,
                usage,
            }) => hasher
                .bytes(b"result")
                .hash(root)
                .hash(answer_sha256)
                .hash(trace_root)
                .bytes(match finish {
                    Finish::Stop => b"stop",
                    Finish::Length => b"length",
                })
                .u64(u64::from(usage.input_tokens))
                .u64(u64::from(usage.output_tokens)),
        };
        hasher = hasher.u64(leases.len() as u64);
        for ReceiptLease {
            lease,
            round,
            role,
            worker,
            provider,
            state,
            root,
            paid,
            forfeited,
            bonus,
        } in leases
        {
            hasher = hasher
                .u64(lease.0)
                .u64(u64::from(*round))
                .bytes(match role {
                    Role::Generator => b"generator",
                    Role::Checker => b"checker",
                    Role::Replica => b"replica",
                })
                .bytes(worker.as_slice())
                .bytes(provider.as_slice())
                .bytes(lease_state_name(*state))
                .bytes(root.as_ref().map_or(&[][..], |root| &root.0[..]))
                .u128(paid.0)
                .u128(forfeited.0)
                .u128(bonus.0);
        }
        hasher
            .u128(escrow.0)
            .u128(fee.0)
            .u128(royalty.0)
            .u128(refund.0)
            .u128(subsidy.0)
            .u64(submitted_at.0)
            .u64(ended_at.0)
            .finish()
    }
}

/// A receipt with the proof that the canister certifies it.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct CertifiedReceipt {
    /// What happened.
    pub receipt: Receipt,
    /// The subnet's certificate over the canister's certified data, in CBOR.
    #[serde(with = "serde_bytes")]
    pub certificate: Vec<u8>,
    /// The hash tree from that data to the receipt, in CBOR.
    #[serde(with = "serde_bytes")]
    pub witness: Vec<u8>,
    /// The request and its salt; only for the requester, who may pass them on.
    pub request: Option<SaltedRequest>,
}

/// A page of the receipts of ended jobs, in the order of the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct ReceiptsArgs {
    /// The first job that may be on it; absent is the very first. What [`ReceiptsPage::next`] said goes on from there.
    pub from: Option<JobId>,
    /// At most this many; 0 counts as 1, more than [`PAGE_MAX`](crate::limits::PAGE_MAX) as that.
    pub limit: u32,
}

/// A receipt beside its certified hash.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct HashedReceipt {
    /// The leaf in the certified tree.
    pub hash: Hash32,
    /// What happened; its [`Receipt::hash`] is that.
    pub receipt: Receipt,
}

/// Receipts, and one proof for all of them. It has nothing but salted hashes of what was asked, so everybody may read
/// it.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct ReceiptsPage {
    /// In the order of the jobs. A job that is still open is not among them, and has its place once it has ended.
    pub receipts: Vec<HashedReceipt>,
    /// Where the next page begins; absent when there were no more.
    pub next: Option<JobId>,
    /// The subnet's certificate over the canister's certified data, in CBOR.
    #[serde(with = "serde_bytes")]
    pub certificate: Vec<u8>,
    /// The hash tree from that data to every one of these receipts, in CBOR.
    #[serde(with = "serde_bytes")]
    pub witness: Vec<u8>,
}

/// A request with the salt of its hash.
#[derive(Clone, Debug, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct SaltedRequest {
    /// What was asked.
    pub request: JobRequest,
    /// The salt.
    pub salt: Hash32,
}

fn state_name(state: JobState) -> &'static [u8] {
    match state {
        JobState::Queued => b"queued",
        JobState::Running => b"running",
        JobState::Revealing => b"revealing",
        JobState::Extended => b"extended",
        JobState::Settled => b"settled",
        JobState::Cancelled => b"cancelled",
        JobState::Expired => b"expired",
        JobState::Failed => b"failed",
    }
}

fn verdict_name(verdict: Verdict) -> &'static [u8] {
    match verdict {
        Verdict::Unverified => b"unverified",
        Verdict::Verified => b"verified",
        Verdict::Inconclusive => b"inconclusive",
    }
}

fn lease_state_name(state: LeaseState) -> &'static [u8] {
    match state {
        LeaseState::Leased => b"leased",
        LeaseState::Committed => b"committed",
        LeaseState::Revealed => b"revealed",
        LeaseState::Late => b"late",
        LeaseState::Abandoned => b"abandoned",
        LeaseState::Lost => b"lost",
        LeaseState::Silent => b"silent",
        LeaseState::Released => b"released",
    }
}
