//! The jobs canister: reads caller, time and cycles, asks the core, answers.
//!
//! Its state lies in stable memory, so an upgrade has nothing to save; what is on the heap can be
//! made again from it. It calls three canisters: the registry, to follow its changes; the ledger, for
//! deposits and withdrawals; and the management canister, for randomness and for cycles that leave. No
//! call is awaited between reading money and moving it: a transfer is in the journal before its call.

mod certification;
mod chat;
mod guard;
mod http;
mod ledger;
mod lifecycle;
mod logs;
mod matching;
pub mod memory;
mod meter;
mod sync;
mod timers;
mod v1_chat;
mod vault;

use std::marker::PhantomData;

use assay_canister_kit::{HttpRequest, HttpResponse};
use assay_jobs_core::{Jobs, Rules};
use assay_protocol::{
    Cycles, JobId, LeaseId, Moment, Timestamp, TransferId,
    canary::{Canary, CanaryError, CanaryPage},
    events::{EventPage, EventsError},
    job::{
        ChatReply, ControlError, DepositArgs, DepositError, JobError, JobLine, JobView, JobsArgs,
        Quote, Stats, StreamArgs, StreamChunk, SubmitArgs, SubmitError, Submitted,
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
use candid::Principal;
use ic_cdk::{
    api::{msg_caller, msg_cycles_accept, msg_cycles_available},
    query, update,
};

use crate::{
    chat::Place,
    memory::{Stable, with_jobs, with_jobs_mut},
    meter::Meter,
    sync::SyncError,
    v1_chat::{V1Request, V1Response},
};

// The requester's side.

#[query]
fn quote(request: JobRequest) -> Result<Quote, SubmitError> {
    with_jobs(|jobs| jobs.quote(now(), &request))
}

#[update]
fn submit(args: SubmitArgs) -> Result<Submitted, SubmitError> {
    take("submit", &args)
}

/// Submits, and waits for the end inside this call.
#[update]
async fn chat(args: SubmitArgs) -> Result<ChatReply, SubmitError> {
    let caller = msg_caller();
    let place = Place::new().ok_or(SubmitError::QueueFull)?;
    let Submitted { job, .. } = take("chat", &args)?;
    Ok(place.wait_for(caller, job).await)
}

/// What the crate `ic-llm` calls.
#[update(manual_reply = true)]
async fn v1_chat(request: V1Request) -> PhantomData<V1Response> {
    match answer_v1(request).await {
        Ok(response) => ic_cdk::api::msg_reply(
            candid::encode_one(response).expect("BUG: an answer always encodes"),
        ),
        Err(problem) => ic_cdk::api::msg_reject(problem),
    }
    PhantomData
}

async fn answer_v1(request: V1Request) -> Result<V1Response, String> {
    let caller = msg_caller();
    let refused = |error: SubmitError| error.to_string();
    let place = Place::new()
        .ok_or(SubmitError::QueueFull)
        .map_err(refused)?;
    let price = |request: &JobRequest| with_jobs(|jobs| Ok(jobs.quote(now(), request)?.price_max));
    let args = v1_chat::job(request, now(), price).map_err(refused)?;
    let Submitted { job, .. } = take("v1_chat", &args).map_err(refused)?;
    v1_chat::response(place.wait_for(caller, job).await, &v1_chat::offered(&args))
}

/// Accepts a job, and what it needs of the attached cycles.
fn take(method: &'static str, args: &SubmitArgs) -> Result<Submitted, SubmitError> {
    let open = guard::intake().is_ok();
    act(method, |jobs, at| {
        // A repeated submit takes no money, and must hear of its job even now.
        if !open && !jobs.holds_key(at.caller, &args.idempotency_key) {
            return Err(SubmitError::LowOnCycles);
        }
        let (submitted, missing) = jobs.submit(at, args, Cycles(msg_cycles_available()))?;
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
    act("cancel", |jobs, at| jobs.cancel(at, job))
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

/// Everybody may page through receipts: of what was asked they have salted hashes only.
#[query]
fn receipts(args: ReceiptsArgs) -> Result<ReceiptsPage, JobError> {
    let (receipts, next) = with_jobs(|jobs| jobs.receipts(&args));
    let first = args.from.unwrap_or(JobId(0));
    let last = receipts.last().map_or(first, |last| last.receipt.job);
    let (certificate, witness) = certification::proof_of_range(first, last)?;
    Ok(ReceiptsPage {
        receipts,
        next,
        certificate,
        witness,
    })
}

#[update]
fn deposit(args: DepositArgs) -> Result<Cycles, DepositError> {
    guard::intake().map_err(|_| DepositError::LowOnCycles)?;
    let attached = Cycles(msg_cycles_available());
    act("deposit", |jobs, at| {
        let balance = jobs.deposit(at, args.beneficiary, attached)?;
        accept(attached);
        Ok(balance)
    })
}

#[query]
fn balance(owner: Option<Principal>) -> Cycles {
    with_jobs(|jobs| jobs.balance(owner.unwrap_or_else(msg_caller)))
}

#[query]
fn holdings(owner: Option<Principal>) -> Holdings {
    with_jobs(|jobs| jobs.holdings(owner.unwrap_or_else(msg_caller), now()))
}

#[update]
fn give(args: GiveArgs) -> Result<Holdings, MoneyError> {
    act("give", |jobs, at| jobs.give(at, &args))
}

#[update]
fn stake(amount: Cycles) -> Result<Holdings, MoneyError> {
    act("stake", |jobs, at| jobs.stake(at, amount))
}

#[update]
fn unstake(amount: Cycles) -> Result<Holdings, MoneyError> {
    act("unstake", |jobs, at| jobs.unstake(at, amount))
}

#[update]
fn release_stake() -> Result<Holdings, MoneyError> {
    act("release_stake", |jobs, at| jobs.release_stake(at))
}

#[update]
fn fund_sponsor(amount: Cycles) -> Result<Cycles, MoneyError> {
    act("fund_sponsor", |jobs, at| jobs.fund_sponsor(at, amount))
}

#[update]
fn fund_treasury(amount: Cycles) -> Result<Cycles, MoneyError> {
    act("fund_treasury", |jobs, at| jobs.fund_treasury(at, amount))
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
    act("set_offers", |jobs, at| jobs.set_offers(at, &offers))
}

#[update]
fn ready(slots: u16) -> Result<(), WorkerError> {
    act("ready", |jobs, at| jobs.ready(at, slots))
}

#[query]
fn work() -> Result<WorkHint, WorkerError> {
    with_jobs(|jobs| jobs.work(msg_caller(), now()))
}

#[update]
fn claim(known: Vec<LeaseId>) -> Result<Vec<Order>, WorkerError> {
    act("claim", |jobs, at| jobs.claim(at, &known))
}

#[update]
fn heartbeat(leases: Vec<LeaseId>) -> Result<Vec<(LeaseId, Beat)>, WorkerError> {
    act("heartbeat", |jobs, at| jobs.heartbeat(at, &leases))
}

#[update]
fn progress(args: ProgressArgs) -> Result<Beat, WorkerError> {
    act("progress", |jobs, at| jobs.progress(at, &args))
}

#[query]
fn follow(lease: LeaseId, from: u32) -> Result<Follow, WorkerError> {
    with_jobs(|jobs| jobs.follow(msg_caller(), lease, from))
}

#[update]
fn transcript(lease: LeaseId) -> Result<Claim, WorkerError> {
    act("transcript", |jobs, at| jobs.transcript(at, lease))
}

#[update]
fn commit(args: CommitArgs) -> Result<(), WorkerError> {
    act("commit", |jobs, at| jobs.commit(at, &args))
}

#[update]
fn reveal(args: RevealArgs) -> Result<(), WorkerError> {
    act("reveal", |jobs, at| jobs.reveal(at, &args))
}

#[update]
fn abandon(lease: LeaseId, why: String) -> Result<(), WorkerError> {
    act("abandon", |jobs, at| jobs.abandon(at, lease, &why))
}

#[update]
fn decline(lease: LeaseId, why: String) -> Result<(), WorkerError> {
    act("decline", |jobs, at| jobs.decline(at, lease, &why))
}

#[query]
fn explain(operator: Principal) -> Idle {
    with_jobs(|jobs| jobs.explain(operator, now()))
}

#[query]
fn earnings(account: Principal) -> Earnings {
    with_jobs(|jobs| jobs.earnings(account))
}

// Controllers.

#[update]
fn set_rules(rules: Rules) -> Result<(), ControlError> {
    guard::controller()?;
    act("set_rules", |jobs, at| jobs.set_rules(at.now, rules))
        .map_err(|error| ControlError::Invalid(error.to_string()))?;
    lifecycle::tell_rules(&rules);
    Ok(())
}

#[update]
fn pause(reason: String) -> Result<(), ControlError> {
    guard::controller()?;
    act("pause", |jobs, at| {
        jobs.set_pause(at.now, Some(reason.clone()))
    })
    .map_err(ControlError::Invalid)?;
    logs::warn(format_args!("paused: {reason}"));
    Ok(())
}

#[update]
fn resume() -> Result<(), ControlError> {
    guard::controller()?;
    act("resume", |jobs, at| jobs.set_pause(at.now, None)).map_err(ControlError::Invalid)?;
    logs::info("resumed");
    Ok(())
}

#[update]
fn add_canaries(canaries: Vec<Canary>) -> Result<(), CanaryError> {
    canary_keeper()?;
    act("add_canaries", |jobs, at| jobs.add_canaries(at, &canaries))
}

#[update]
fn take_canary_back(number: u64) -> Result<(), CanaryError> {
    canary_keeper()?;
    act("take_canary_back", |jobs, at| {
        jobs.take_canary_back(at, number)
    })
}

#[query]
fn canaries(before: Option<u64>) -> Result<CanaryPage, CanaryError> {
    canary_keeper()?;
    Ok(with_jobs(|jobs| jobs.canaries(before)))
}

fn canary_keeper() -> Result<(), CanaryError> {
    guard::controller().map_err(|_| CanaryError::NotAController(msg_caller()))
}

#[query]
fn events(from: u64) -> Result<EventPage, EventsError> {
    guard::controller().map_err(|_| EventsError::NotAController(msg_caller()))?;
    Ok(with_jobs(|jobs| jobs.events(from)))
}

// Anyone.

#[query]
fn rules() -> Rules {
    with_jobs(|jobs| jobs.config().rules)
}

/// Why no new jobs are let in, if controllers have closed the market.
#[query]
fn paused() -> Option<String> {
    with_jobs(|jobs| jobs.pause())
}

#[update]
async fn sync_registry() -> Result<(), SyncError> {
    if msg_caller() == Principal::anonymous() {
        return Err(SyncError::Anonymous);
    }
    drop(Meter::new("sync_registry"));
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

/// Runs one command of a method, then does what may follow from any command.
fn act<R>(method: &'static str, command: impl FnOnce(&mut Jobs<Stable>, &Moment) -> R) -> R {
    let _meter = Meter::new(method);
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
