//! Calls that wait for their answers: `chat`, and `v1_chat` as dapps call it.

use assay_jobs_core::testing::{Fixture, Market, requester, worker};
use assay_native::honest_work;
use assay_protocol::{
    Cycles, JobId,
    job::{
        ChatReply, ControlError, DepositError, JobState, SubmitArgs, SubmitError, Submitted,
        Verdict,
    },
    lease::{Offer, Order, RevealArgs, Role},
    limits,
    money::{DepositFromArgs, Destination, MoneyError, TransferState, TransferView, WithdrawArgs},
    request::{Assurance, ModelRef},
};
use candid::{CandidType, Principal};
use serde::Deserialize;

use crate::{
    authority::submit,
    chain::{FundError, admin},
    worker::CanisterMarket,
};

/// What the crate `ic-llm` sends, as far as these tests do.
#[derive(Clone, CandidType)]
pub(crate) struct V1Request {
    model: String,
    messages: Vec<V1Message>,
    /// None, of whatever kind.
    tools: Option<Vec<()>>,
}

#[derive(Clone, CandidType, Deserialize)]
enum V1Message {
    #[serde(rename = "user")]
    User { content: String },
}

#[derive(Debug, CandidType, Deserialize)]
struct V1Response {
    message: V1Reply,
}

#[derive(Debug, CandidType, Deserialize)]
struct V1Reply {
    content: Option<String>,
}

/// One message to a model.
pub(crate) fn ask(model: &str, content: &str) -> V1Request {
    V1Request {
        model: model.to_owned(),
        messages: vec![V1Message::User {
            content: content.to_owned(),
        }],
        tools: None,
    }
}

/// Two workers that offer the first model, and a requester with money.
pub(crate) fn market() -> CanisterMarket {
    let mut fixture = Fixture::new(2, 1, 2);
    let mut market = CanisterMarket::new(&mut fixture, 250, 1);
    let offer = Offer {
        model: fixture.model(0).id,
        ask_input: Cycles(1_000),
        ask_output: Cycles(9_000),
    };
    for &operator in &fixture.workers {
        market.set_offers(operator, &[offer]).unwrap();
    }
    market.deposit(requester(0), Cycles(1_000_000_000));
    market
}

pub(crate) fn args(market: &mut CanisterMarket) -> SubmitArgs {
    let mut args = submit(ModelRef::Name("tiny".to_owned()), 5);
    args.request.assurance = Assurance::Checked { checkers: 1 };
    args.deadline_seconds = 1_000;
    args.price_cap = market.quote(&args.request).unwrap().price_max;
    args
}

/// Both workers do what they are asked, honestly, until the job has ended.
fn work(market: &mut CanisterMarket) {
    let mut orders: Vec<(Principal, Order)> = Vec::new();
    for i in 0..2 {
        market.ready(worker(i), 2).unwrap();
    }
    market.tick();
    for i in 0..2 {
        let claimed = market.claim(worker(i), &[]).unwrap();
        orders.extend(claimed.into_iter().map(|order| (worker(i), order)));
    }
    orders.sort_by_key(|(_, order)| order.role != Role::Generator);
    let canister = market.canister();
    let mut reveals: Vec<(Principal, RevealArgs)> = Vec::new();
    for (operator, order) in &orders {
        let transcript = |lease| market.transcript(*operator, lease).unwrap();
        let (args, reveal) = honest_work(canister, *operator, order, transcript);
        market.commit(*operator, &args).unwrap();
        reveals.push((*operator, reveal));
    }
    for (operator, reveal) in reveals {
        market.reveal(operator, &reveal).unwrap();
    }
}

#[test]
fn a_chat_waits_for_the_verdict_and_gives_the_answer() {
    let mut market = market();
    let args = args(&mut market);
    let waits = market.chain.begin(requester(0), "chat", (&args,));
    work(&mut market);
    let told: Result<ChatReply, SubmitError> = market.chain.end(waits).unwrap();
    let Ok(ChatReply::Ended(view)) = told else {
        panic!("{told:?}");
    };
    assert_eq!(
        (view.state, view.verdict),
        (JobState::Settled, Some(Verdict::Verified))
    );
    assert!(view.answer.is_some(), "the caller is the requester");
    // The same again is answered at once.
    let told: Result<ChatReply, SubmitError> = market.update(requester(0), "chat", (&args,));
    let Ok(ChatReply::Ended(again)) = told else {
        panic!("{told:?}");
    };
    assert_eq!(again, view);
}

#[test]
fn a_chat_that_takes_too_long_names_its_job_and_can_be_gone_on_with() {
    let mut market = market();
    let args = args(&mut market);
    let waits = market.chain.begin(requester(0), "chat", (&args,));
    market.pass(limits::CHAT_SECONDS + 2);
    let told: Result<ChatReply, SubmitError> = market.chain.end(waits).unwrap();
    assert_eq!(told, Ok(ChatReply::Pending { job: JobId(1) }));
    let waits = market.chain.begin(requester(0), "chat", (&args,));
    work(&mut market);
    let told: Result<ChatReply, SubmitError> = market.chain.end(waits).unwrap();
    assert!(matches!(told, Ok(ChatReply::Ended(view)) if view.id == JobId(1)));
}

#[test]
fn a_chat_that_cannot_begin_says_why_and_takes_nothing() {
    let mut market = market();
    let mut poor = args(&mut market);
    let balance = market.balance(requester(0));
    poor.price_cap = Cycles(1);
    let told: Result<ChatReply, SubmitError> = market.update(requester(0), "chat", (&poor,));
    assert!(
        matches!(told, Err(SubmitError::PriceCapTooLow { .. })),
        "{told:?}"
    );
    let good = args(&mut market);
    let told: Result<ChatReply, SubmitError> = market.update(requester(1), "chat", (&good,));
    assert!(
        matches!(told, Err(SubmitError::InsufficientFunds { .. })),
        "{told:?}"
    );
    assert_eq!(market.balance(requester(0)), balance);
    market.check().unwrap();
}

#[test]
fn only_so_many_calls_wait_at_once() {
    let mut market = market();
    let args = args(&mut market);
    let waits: Vec<_> = (0..limits::CHATS_MAX)
        .map(|_| market.chain.begin(requester(0), "chat", (&args,)))
        .collect();
    market.tick();
    let told: Result<ChatReply, SubmitError> = market.update(requester(0), "chat", (&args,));
    assert_eq!(told, Err(SubmitError::QueueFull));
    market.pass(limits::CHAT_SECONDS + 2);
    for waits in waits {
        let told: Result<ChatReply, SubmitError> = market.chain.end(waits).unwrap();
        assert_eq!(
            told,
            Ok(ChatReply::Pending { job: JobId(1) }),
            "one key, one job"
        );
    }
    let waits = market.chain.begin(requester(0), "chat", (&args,));
    work(&mut market);
    let told: Result<ChatReply, SubmitError> = market.chain.end(waits).unwrap();
    assert!(
        matches!(told, Ok(ChatReply::Ended(_))),
        "there is room again: {told:?}"
    );
}

#[test]
fn v1_chat_answers_or_rejects_with_the_reason() {
    let mut market = market();
    let waits = market
        .chain
        .begin(requester(0), "v1_chat", (ask("tiny", "hello"),));
    work(&mut market);
    let told: V1Response = market.chain.end(waits).unwrap();
    let view = market.job(requester(0), JobId(1)).unwrap();
    assert_eq!(told.message.content, Some(view.answer.unwrap().text));

    let jobs = market.chain.jobs;
    let mut refused = |model: &str, content: &str| {
        let told = market
            .chain
            .try_update(requester(0), jobs, "v1_chat", (ask(model, content),));
        told.expect_err("this cannot be answered").reject_message
    };
    assert!(refused("nobody's", "hello").contains("no model nobody's"));
    assert!(refused("tiny", "").contains("message 0 is empty"));
    assert!(refused("tiny", &"x".repeat(limits::REQUEST_BYTES_MAX + 1)).contains("bytes of text"));
    assert!(refused("tiny", &"x".repeat(9_000)).contains("the model holds 8192"));

    let waits = market
        .chain
        .begin(requester(0), "v1_chat", (ask("tiny", "hello"),));
    market.pass(limits::CHAT_SECONDS + 2);
    let late = market
        .chain
        .end::<V1Response>(waits)
        .expect_err("nobody worked");
    assert!(
        late.reject_message.contains("job 2 is still under way"),
        "{late:?}"
    );
}

#[test]
fn controllers_close_the_market_for_new_jobs_and_open_it_again() {
    let mut market = market();
    let args = args(&mut market);
    let told: Result<Submitted, SubmitError> = market.update(requester(0), "submit", (&args,));
    told.unwrap();
    let told: Result<(), ControlError> = market.update(requester(0), "pause", ("mine now",));
    assert_eq!(told, Err(ControlError::NotAController(requester(0))));
    let told: Result<(), ControlError> = market.update(admin(), "pause", ("",));
    assert!(matches!(told, Err(ControlError::Invalid(_))), "{told:?}");
    let told: Result<(), ControlError> = market.update(admin(), "pause", ("upgrade at noon",));
    assert_eq!(told, Ok(()));
    let mut other = args.clone();
    other.idempotency_key = b"another".to_vec();
    let refused: Result<Submitted, SubmitError> = market.update(requester(0), "submit", (&other,));
    assert_eq!(refused, Err(SubmitError::Paused("upgrade at noon".into())));
    let known: Result<Submitted, SubmitError> = market.update(requester(0), "submit", (&args,));
    assert!(known.unwrap().duplicate, "a job that is there is told of");
    market.upgrade();
    let why: Option<String> = market.query(requester(0), "paused", ());
    assert_eq!(
        why.as_deref(),
        Some("upgrade at noon"),
        "an upgrade opens nothing"
    );
    work(&mut market);
    assert_eq!(
        market.job(requester(0), JobId(1)).unwrap().state,
        JobState::Settled
    );
    let told: Result<(), ControlError> = market.update(admin(), "resume", ());
    assert_eq!(told, Ok(()));
    let accepted: Result<Submitted, SubmitError> = market.update(requester(0), "submit", (&other,));
    accepted.unwrap();
}

#[test]
fn a_paused_market_lets_nobody_in_and_everybody_out() {
    let mut market = market();
    let args = args(&mut market);
    let told: Result<Submitted, SubmitError> = market.update(requester(0), "submit", (&args,));
    let job = told.unwrap().job;
    for bytes in [0, limits::REASON_BYTES_MAX + 1] {
        let told: Result<(), ControlError> = market.update(admin(), "pause", ("x".repeat(bytes),));
        let problem = format!("reason: {bytes} bytes, 1 to 256 are allowed");
        assert_eq!(told, Err(ControlError::Invalid(problem)));
    }
    let why = "x".repeat(limits::REASON_BYTES_MAX);
    let told: Result<(), ControlError> = market.update(admin(), "pause", (&why,));
    assert_eq!(told, Ok(()));

    let mut other = args.clone();
    other.idempotency_key = b"another".to_vec();
    let told: Result<ChatReply, SubmitError> = market.update(requester(0), "chat", (&other,));
    assert_eq!(told, Err(SubmitError::Paused(why.clone())));
    let (jobs, purse) = (market.chain.jobs, market.chain.purse);
    let told = market
        .chain
        .try_update(requester(0), jobs, "v1_chat", (ask("tiny", "hello"),));
    let told = told.expect_err("it is paused").reject_message;
    assert!(
        told.contains("the market takes no new jobs for now: xxx"),
        "{told}"
    );

    assert_eq!(market.cancel(requester(0), job), Ok(()));
    let out = WithdrawArgs {
        amount: Cycles(limits::TRANSFER_CYCLES_MIN),
        to: Destination::Canister(purse),
    };
    let told: Result<TransferView, MoneyError> = market.update(requester(0), "withdraw", (out,));
    assert_eq!(told.unwrap().state, TransferState::Done { block: None });
    market.deposit(requester(1), Cycles(5));
    market.check().unwrap();
}

#[test]
fn a_market_low_on_cycles_takes_nothing_new_and_ends_what_it_has() {
    let mut market = market();
    let args = args(&mut market);
    let told: Result<Submitted, SubmitError> = market.update(requester(0), "submit", (&args,));
    let job = told.unwrap().job;
    let (jobs, purse) = (market.chain.jobs, market.chain.purse);
    // What it keeps for its own work is a trillion, beside what it owes.
    market.chain.spare(jobs, Some(900_000_000_000));

    let told: Result<Submitted, SubmitError> = market.update(requester(0), "submit", (&args,));
    assert!(told.unwrap().duplicate, "a job that is there is told of");
    let mut other = args.clone();
    other.idempotency_key = b"another".to_vec();
    let told: Result<Submitted, SubmitError> = market.update(requester(0), "submit", (&other,));
    assert_eq!(told, Err(SubmitError::LowOnCycles));
    let told: Result<ChatReply, SubmitError> = market.update(requester(0), "chat", (&other,));
    assert_eq!(told, Err(SubmitError::LowOnCycles));
    let told = market
        .chain
        .try_update(requester(0), jobs, "v1_chat", (ask("tiny", "hello"),));
    let told = told.expect_err("it takes nothing new").reject_message;
    assert!(told.contains("low on cycles"), "{told}");
    let told = market.chain.fund(requester(1), 1_000);
    assert_eq!(told, Err(FundError::Refused(DepositError::LowOnCycles)));
    let from_ledger = DepositFromArgs {
        amount: Cycles(limits::TRANSFER_CYCLES_MIN),
        from_subaccount: None,
    };
    let told: Result<TransferView, MoneyError> =
        market.update(requester(0), "deposit_from", (from_ledger,));
    assert_eq!(told, Err(MoneyError::LowOnCycles));

    work(&mut market);
    let view = market.job(requester(0), job).unwrap();
    assert_eq!(view.state, JobState::Settled);
    let out = WithdrawArgs {
        amount: Cycles(limits::TRANSFER_CYCLES_MIN),
        to: Destination::Canister(purse),
    };
    let told: Result<TransferView, MoneyError> = market.update(requester(0), "withdraw", (out,));
    assert_eq!(told.unwrap().state, TransferState::Done { block: None });
    market.chain.spare(jobs, None);
    let told: Result<Submitted, SubmitError> = market.update(requester(0), "submit", (&other,));
    told.unwrap();
    market.check().unwrap();
}
