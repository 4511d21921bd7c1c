//! In a full market, once each: what requesters, sponsors and controllers ask for less often.

use assay_jobs_core::{
    Rules,
    testing::{MODELS, requester},
};
use assay_protocol::{
    Cycles, Hash32, JobId,
    canary::{Canary, CanaryError},
    job::{ChatReply, ControlError, JobError, JobState, SubmitArgs, SubmitError},
    limits::{CANARIES_PER_CALL_MAX, TRANSFER_CYCLES_MIN},
    money::{
        Destination, GiveArgs, Holdings, MoneyError, TransferState, TransferView, WithdrawArgs,
    },
    request::{Assurance, JobRequest},
};
use candid::Reserved;

use crate::{
    chain::{Chain, admin},
    vault::Bank,
    waiting::ask,
};

/// One place of the queue is free, `newest` was the last job to have it, and the administrator can pay for one more.
pub(super) fn ask_for_them(bank: &mut Bank, asked: &SubmitArgs, newest: JobId) {
    let chain = &mut bank.chain;
    let jobs = chain.jobs;
    let asked = SubmitArgs {
        idempotency_key: b"chat".to_vec(),
        ..asked.clone()
    };
    let waits = chain.begin(admin(), "chat", (&asked,));
    cancel(chain, JobId(newest.0 + 1));
    let told: Result<ChatReply, SubmitError> = chain.end(waits).unwrap();
    assert!(
        matches!(&told, Ok(ChatReply::Ended(view)) if view.state == JobState::Cancelled),
        "{told:?}"
    );
    let waits = chain.begin(admin(), "v1_chat", (ask(MODELS[0], "hello"),));
    cancel(chain, JobId(newest.0 + 2));
    let told = chain.end::<Reserved>(waits).expect_err("it was cancelled");
    assert!(
        told.reject_message.contains("CancelledByRequester"),
        "{told:?}"
    );

    let amount = Cycles(TRANSFER_CYCLES_MIN);
    chain.fund(admin(), 6 * amount.0).unwrap();
    let gift = GiveArgs {
        to: requester(1),
        amount,
    };
    let held: [Result<Holdings, MoneyError>; 3] = [
        chain.update(admin(), jobs, "give", (gift,)),
        chain.update(admin(), jobs, "stake", (amount,)),
        chain.update(admin(), jobs, "unstake", (amount,)),
    ];
    assert!(held.iter().all(Result::is_ok), "{held:?}");
    let held: Result<Holdings, MoneyError> = chain.update(admin(), jobs, "release_stake", ());
    assert!(
        matches!(held, Err(MoneyError::NotUnbonded { .. })),
        "{held:?}"
    );
    for method in ["fund_sponsor", "fund_treasury"] {
        let told: Result<Cycles, MoneyError> = chain.update(admin(), jobs, method, (amount,));
        told.unwrap();
    }
    let out = WithdrawArgs {
        amount,
        to: Destination::Canister(chain.purse),
    };
    let told: Result<TransferView, MoneyError> = chain.update(admin(), jobs, "withdraw", (out,));
    assert_eq!(told.unwrap().state, TransferState::Done { block: None });
    bank.approve(amount.0);
    let told = bank.deposit(amount.0).unwrap();
    assert!(
        matches!(told.state, TransferState::Done { block: Some(_) }),
        "{told:?}"
    );

    let chain = &mut bank.chain;
    let canary = |seed| Canary {
        request: JobRequest {
            seed: Some(seed),
            assurance: Assurance::Single,
            ..asked.request.clone()
        },
        root: Hash32([5; 32]),
        price_cap: Cycles(1_000),
    };
    let canaries: Vec<Canary> = (0..CANARIES_PER_CALL_MAX as u64).map(canary).collect();
    let told: Result<(), CanaryError> = chain.update(admin(), jobs, "add_canaries", (canaries,));
    told.unwrap();
    let told: Result<(), CanaryError> = chain.update(admin(), jobs, "take_canary_back", (1_u64,));
    told.unwrap();
    let told: [Result<(), ControlError>; 3] = [
        chain.update(admin(), jobs, "set_rules", (Rules::LAX,)),
        chain.update(admin(), jobs, "pause", ("full",)),
        chain.update(admin(), jobs, "resume", ()),
    ];
    assert_eq!(told, [Ok(()), Ok(()), Ok(())]);
}

/// Ends the administrator's job, which was asked just now.
fn cancel(chain: &mut Chain, job: JobId) {
    chain.network().tick();
    let told: Result<(), JobError> = chain.update(admin(), chain.jobs, "cancel", (job,));
    told.unwrap();
}
