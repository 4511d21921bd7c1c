//! The jobs canister: reads caller, time and cycles, asks the core, answers.
//!
//! Its state lies in stable memory, so an upgrade has nothing to save; what is on the heap can be
//! made again from it. It calls three canisters: the registry, to follow its changes; the ledger, for
//! deposits and withdrawals; and the management canister, for randomness and for cycles that leave. No
//! call is awaited between reading money and moving it: a transfer is in the journal before its call.

mod certification;
mod guard;
mod http;
mod ledger;
mod lifecycle;
mod matching;
mod memory;
mod sync;
mod timers;
mod vault;

use assay_canister_kit::{HttpRequest, HttpResponse};
use assay_jobs_core::Jobs;
use assay_protocol::{
    Cycles, JobId, LeaseId, Moment, Timestamp, TransferId,
    job::{
        DepositArgs, DepositError, JobError, JobLine, JobView, JobsArgs, Quote, Stats, StreamArgs,
        StreamChunk, SubmitArgs, SubmitError, Submitted,
    },
    lease::{
        Beat, Claim, CommitArgs, Earnings, Follow, Idle, Offer, Order, ProgressArgs, RevealArgs,
        WorkHint, WorkerError,
    },
    money::{DepositFromArgs, LedgerView, MoneyError, TransferView, TransfersArgs, WithdrawArgs},
    receipt::CertifiedReceipt,
    request::JobRequest,
};
use candid::Principal;
use ic_cdk::{
    api::{msg_caller, msg_cycles_accept, msg_cycles_available},
    query, update,
};

use crate::{
    memory::{Stable, with_jobs, with_jobs_mut},
    sync::SyncError,
};

// The requester's side.

#[query]
fn quote(request: JobRequest) -> Result<Quote, SubmitError> {
    with_jobs(|jobs| jobs.quote(now(), &request))
}

#[update]
fn submit(args: SubmitArgs) -> Result<Submitted, SubmitError> {
    let open = guard::intake().is_ok();
    act(|jobs, at| {
        // A repeated submit takes no money, and must hear of its job even now.
        if !open && !jobs.holds_key(at.caller, &args.idempotency_key) {
            return Err(SubmitError::LowOnCycles);
        }
        let (submitted, missing) = jobs.submit(at, &args, Cycles(msg_cycles_available()))?;
        accept(missing);
        Ok(submitted)
    })
}

#[query]
fn job(job: JobId) -> Result<JobView, JobError> {
    with_jobs(|jobs| jobs.job(msg_caller(), job))
}

#[query]
fn jobs(args: JobsArgs) -> Vec<JobLine> {
    with_jobs(|jobs| jobs.jobs(&args))
}

#[query]
fn stream(args: StreamArgs) -> Result<StreamChunk, JobError> {
    with_jobs(|jobs| jobs.stream(msg_caller(), &args))
}

#[update]
fn cancel(job: JobId) -> Result<(), JobError> {
    act(|jobs, at| jobs.cancel(at, job))
}

#[query]
fn receipt(job: JobId) -> Result<CertifiedReceipt, JobError> {
    let caller = msg_caller();
    let (receipt, request) = with_jobs(|jobs| {
        let receipt = jobs.receipt(job)?;
        // Whoever is not the requester gets the receipt alone.
        Ok((receipt, jobs.request_for(caller, job).ok()))
    })?;
    let (certificate, witness) = certification::proof(job)?;
    Ok(CertifiedReceipt {
        receipt,
        certificate,
        witness,
        request,
    })
}

#[update]
fn deposit(args: DepositArgs) -> Result<Cycles, DepositError> {
    guard::intake().map_err(|_| DepositError::LowOnCycles)?;
    let attached = Cycles(msg_cycles_available());
    act(|jobs, at| {
        let balance = jobs.deposit(at, args.beneficiary, attached)?;
        accept(attached);
        Ok(balance)
    })
}

#[query]
fn balance(owner: Option<Principal>) -> Cycles {
    with_jobs(|jobs| jobs.balance(owner.unwrap_or_else(msg_caller)))
}

#[update]
async fn deposit_from(args: DepositFromArgs) -> Result<TransferView, MoneyError> {
    vault::deposit_from(&args).await
}

#[update]
async fn withdraw(args: WithdrawArgs) -> Result<TransferView, MoneyError> {
    vault::withdraw(&args).await
}

#[query]
fn transfer(id: TransferId) -> Option<TransferView> {
    with_jobs(|jobs| jobs.transfer(id))
}

#[query]
fn transfers(args: TransfersArgs) -> Vec<TransferView> {
    with_jobs(|jobs| jobs.transfers(&args))
}

#[query]
fn ledger() -> Option<LedgerView> {
    with_jobs(Jobs::ledger)
}

#[update]
fn resolve_transfer(id: TransferId, happened: bool) -> Result<TransferView, MoneyError> {
    vault::resolve(id, happened)
}

// The worker's side.

#[update]
fn set_offers(offers: Vec<Offer>) -> Result<(), WorkerError> {
    act(|jobs, at| jobs.set_offers(at, &offers))
}

#[update]
fn ready(slots: u16) -> Result<(), WorkerError> {
    act(|jobs, at| jobs.ready(at, slots))
}

#[query]
fn work() -> Result<WorkHint, WorkerError> {
    with_jobs(|jobs| jobs.work(msg_caller(), now()))
}

#[update]
fn claim(known: Vec<LeaseId>) -> Result<Vec<Order>, WorkerError> {
    act(|jobs, at| jobs.claim(at, &known))
}

#[update]
fn heartbeat(leases: Vec<LeaseId>) -> Result<Vec<(LeaseId, Beat)>, WorkerError> {
    act(|jobs, at| jobs.heartbeat(at, &leases))
}

#[update]
fn progress(args: ProgressArgs) -> Result<Beat, WorkerError> {
    act(|jobs, at| jobs.progress(at, &args))
}

#[query]
fn follow(lease: LeaseId, from: u32) -> Result<Follow, WorkerError> {
    with_jobs(|jobs| jobs.follow(msg_caller(), lease, from))
}

#[update]
fn transcript(lease: LeaseId) -> Result<Claim, WorkerError> {
    act(|jobs, at| jobs.transcript(at, lease))
}

#[update]
fn commit(args: CommitArgs) -> Result<(), WorkerError> {
    act(|jobs, at| jobs.commit(at, &args))
}

#[update]
fn reveal(args: RevealArgs) -> Result<(), WorkerError> {
    act(|jobs, at| jobs.reveal(at, &args))
}

#[update]
fn abandon(lease: LeaseId, why: String) -> Result<(), WorkerError> {
    act(|jobs, at| jobs.abandon(at, lease, &why))
}

#[update]
fn decline(lease: LeaseId, why: String) -> Result<(), WorkerError> {
    act(|jobs, at| jobs.decline(at, lease, &why))
}

#[query]
fn explain(operator: Principal) -> Idle {
    with_jobs(|jobs| jobs.explain(operator, now()))
}

#[query]
fn earnings(account: Principal) -> Earnings {
    with_jobs(|jobs| jobs.earnings(account))
}

// Anyone.

#[update]
async fn sync_registry() -> Result<(), SyncError> {
    sync::run().await
}

#[query]
fn stats() -> Stats {
    with_jobs(Jobs::stats)
}

#[query]
fn get_api_doc() -> String {
    include_str!("api.md").to_owned()
}

#[query]
fn http_request(request: HttpRequest) -> HttpResponse {
    http::answer(&request)
}

/// Runs one command, then does what may follow from any command.
fn act<R>(command: impl FnOnce(&mut Jobs<Stable>, &Moment) -> R) -> R {
    let at = Moment {
        caller: msg_caller(),
        now: now(),
    };
    let result = with_jobs_mut(|jobs| command(jobs, &at));
    settle();
    result
}

/// What may follow from any change: receipts to certify, workers to match.
fn settle() {
    certification::update();
    matching::wake();
}

/// Takes cycles that the core has already counted; the rest of what is attached goes back by itself.
fn accept(amount: Cycles) {
    let accepted = msg_cycles_accept(amount.0);
    // A trap undoes what the core has counted.
    assert_eq!(
        accepted, amount.0,
        "BUG: fewer cycles were attached than the core counted"
    );
}

fn now() -> Timestamp {
    Timestamp(ic_cdk::api::time())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candid_parser::utils::{CandidSource, service_equal};

    use super::*;
    use crate::lifecycle::InstallArgs;

    candid::export_service!();

    #[test]
    fn the_exported_interface_is_the_written_one() {
        let code = __export_service();
        let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../candid/jobs.did");
        if let Err(error) = service_equal(CandidSource::Text(&code), CandidSource::File(&written)) {
            panic!("candid/jobs.did differs from the code: {error}\nthe code exports:\n{code}");
        }
    }
}
