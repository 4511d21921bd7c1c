//! Requests that must be refused: each with an error that names the thing, at the limit and just
//! past it, with nothing taken and nothing logged.

use assay_jobs_core::testing::{MODELS, Market, canister, ledger, messages, requester};
use assay_protocol::{
    Cycles, Hash32, JobId, ModelId,
    job::{DepositError, JobError, StreamArgs, SubmitArgs, SubmitError},
    limits,
    registry::{Record, SPEC_CLASS_1},
    request::{
        Assurance, Format, LogitBias, Message, MessageRole, ModelRef, Parameters, Sampling, Task,
        Tool, ToolCall,
    },
};
use candid::Principal;
use expect_test::expect;

use crate::bench::{Bench, request};

fn args() -> SubmitArgs {
    SubmitArgs {
        request: request(Assurance::Checked { checkers: 1 }),
        price_cap: Cycles(1_000_000_000_000),
        deadline_seconds: 60,
        idempotency_key: vec![1],
    }
}

fn user(content: String) -> Message {
    Message::new(MessageRole::User, content)
}

/// Submits something; if it is refused, nothing may have changed.
fn submit(
    bench: &mut Bench,
    from: Principal,
    args: &SubmitArgs,
    attached: u128,
) -> Result<JobId, SubmitError> {
    let before = (bench.market.jobs.log_len(), bench.market.jobs.stats());
    let result = bench.market.submit(from, args, Cycles(attached));
    if result.is_err() {
        assert_eq!(
            (bench.market.jobs.log_len(), bench.market.jobs.stats()),
            before,
            "a refused submit changes nothing"
        );
    }
    result.map(|(submitted, _)| submitted.job)
}

fn refused(change: impl FnOnce(&mut SubmitArgs)) -> String {
    let mut bench = Bench::new(4, 1);
    let mut args = args();
    change(&mut args);
    match submit(&mut bench, requester(0), &args, u128::from(u64::MAX)) {
        Ok(job) => format!("accepted as job {job}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_bad_field_is_named() {
    let cases: Vec<(&str, String)> = vec![
        (
            "no message",
            refused(|args| messages(&mut args.request).clear()),
        ),
        (
            "empty message",
            refused(|args| messages(&mut args.request)[0].content.clear()),
        ),
        (
            "blank message",
            refused(|args| messages(&mut args.request)[0].content = " \n".into()),
        ),
        (
            "last message of another",
            refused(|args| messages(&mut args.request)[0].role = MessageRole::Assistant),
        ),
        (
            "64 messages",
            refused(|args| *messages(&mut args.request) = vec![user("x".into()); 64]),
        ),
        (
            "65 messages",
            refused(|args| *messages(&mut args.request) = vec![user("x".into()); 65]),
        ),
        (
            "no tokens",
            refused(|args| args.request.parameters.max_tokens = 0),
        ),
        (
            "4096 tokens",
            refused(|args| args.request.parameters.max_tokens = 4_096),
        ),
        (
            "4097 tokens",
            refused(|args| args.request.parameters.max_tokens = 4_097),
        ),
        (
            "huge max_tokens",
            refused(|args| args.request.parameters.max_tokens = u32::MAX),
        ),
        (
            "hot",
            refused(|args| args.request.parameters.sampling.temperature_milli = 10_001),
        ),
        (
            "hot enough",
            refused(|args| args.request.parameters.sampling.temperature_milli = 10_000),
        ),
        (
            "no top_p",
            refused(|args| args.request.parameters.sampling.top_p_ppm = 0),
        ),
        (
            "much top_p",
            refused(|args| args.request.parameters.sampling.top_p_ppm = 1_000_001),
        ),
        (
            "no checker",
            refused(|args| args.request.assurance = Assurance::Checked { checkers: 0 }),
        ),
        (
            "5 checkers",
            refused(|args| args.request.assurance = Assurance::Checked { checkers: 5 }),
        ),
        (
            "6 checkers",
            refused(|args| args.request.assurance = Assurance::Checked { checkers: 6 }),
        ),
        (
            "1 replica",
            refused(|args| args.request.assurance = Assurance::Equality { total: 1 }),
        ),
        (
            "8 replicas",
            refused(|args| args.request.assurance = Assurance::Equality { total: 8 }),
        ),
        (
            "2 of 3",
            refused(|args| args.request.assurance = Assurance::Threshold { total: 3, min: 2 }),
        ),
        (
            "half of 4",
            refused(|args| args.request.assurance = Assurance::Threshold { total: 4, min: 2 }),
        ),
        (
            "4 of 3",
            refused(|args| args.request.assurance = Assurance::Threshold { total: 3, min: 4 }),
        ),
        (
            "5 of 8",
            refused(|args| args.request.assurance = Assurance::Threshold { total: 8, min: 5 }),
        ),
        (
            "refereed",
            refused(|args| args.request.assurance = Assurance::Refereed),
        ),
        (
            "unknown name",
            refused(|args| args.request.model = ModelRef::Name("gpt".into())),
        ),
        (
            "no name",
            refused(|args| args.request.model = ModelRef::Name(String::new())),
        ),
        (
            "long name",
            refused(|args| args.request.model = ModelRef::Name("x".repeat(65))),
        ),
        (
            "unknown version",
            refused(|args| args.request.model = ModelRef::Version(ModelId(Hash32([1; 32])))),
        ),
        ("no key", refused(|args| args.idempotency_key.clear())),
        (
            "64 bytes of key",
            refused(|args| args.idempotency_key = vec![0; 64]),
        ),
        (
            "65 bytes of key",
            refused(|args| args.idempotency_key = vec![0; 65]),
        ),
        ("29 seconds", refused(|args| args.deadline_seconds = 29)),
        ("30 seconds", refused(|args| args.deadline_seconds = 30)),
        ("a day", refused(|args| args.deadline_seconds = 86_400)),
        (
            "a day and a second",
            refused(|args| args.deadline_seconds = 86_401),
        ),
        ("no price", refused(|args| args.price_cap = Cycles(0))),
        (
            "price just too low",
            refused(|args| args.price_cap = Cycles(793)),
        ),
        (
            "price just enough",
            refused(|args| args.price_cap = Cycles(794)),
        ),
        (
            "highest price",
            refused(|args| args.price_cap = Cycles(limits::PRICE_CAP_CYCLES_MAX)),
        ),
        (
            "too high a price",
            refused(|args| args.price_cap = Cycles(limits::PRICE_CAP_CYCLES_MAX + 1)),
        ),
        (
            "all the money in the world",
            refused(|args| args.price_cap = Cycles(u128::MAX)),
        ),
    ];
    let told: String = cases
        .into_iter()
        .map(|(case, told)| format!("{case}: {told}\n"))
        .collect();
    expect![[r#"
        no message: messages: 0 messages, 1 to 64 are allowed
        empty message: messages: message 0 is empty; write something or leave it out
        blank message: messages: message 0 is empty; write something or leave it out
        last message of another: messages: the last message must be the user's or a tool's
        64 messages: accepted as job 1
        65 messages: messages: 65 messages, 1 to 64 are allowed
        no tokens: max_tokens: 0 tokens, 1 to 4096 are allowed
        4096 tokens: accepted as job 1
        4097 tokens: max_tokens: 4097 tokens, 1 to 4096 are allowed
        huge max_tokens: max_tokens: 4294967295 tokens, 1 to 4096 are allowed
        hot: temperature_milli: 10001, 0 to 10000 is allowed
        hot enough: accepted as job 1
        no top_p: top_p_ppm: 0, 1 to 1000000 is allowed
        much top_p: top_p_ppm: 1000001, 1 to 1000000 is allowed
        no checker: assurance: 0 checkers, 1 to 5 are allowed
        5 checkers: 4 providers offer this model, the assurance needs 6; ask for less assurance or wait for more workers
        6 checkers: assurance: 6 checkers, 1 to 5 are allowed
        1 replica: assurance: 1 replicas, 2 to 7 are allowed
        8 replicas: assurance: 8 replicas, 2 to 7 are allowed
        2 of 3: accepted as job 1
        half of 4: assurance: 2 of 4 replicas, 3 to 4 are allowed: more than half
        4 of 3: assurance: 4 of 3 replicas, 2 to 3 are allowed: more than half
        5 of 8: assurance: 8 replicas, 2 to 7 are allowed
        refereed: refereed assurance is not available yet
        unknown name: no model gpt; list the registered ones with models
        no name: model: 0 bytes, 1 to 64 are allowed
        long name: model: 65 bytes, 1 to 64 are allowed
        unknown version: no model 0101010101010101010101010101010101010101010101010101010101010101; list the registered ones with models
        no key: idempotency_key: 0 bytes, 1 to 64 are allowed
        64 bytes of key: accepted as job 1
        65 bytes of key: idempotency_key: 65 bytes, 1 to 64 are allowed
        29 seconds: deadline_seconds: 29 seconds, 30 to 86400 are allowed
        30 seconds: accepted as job 1
        a day: accepted as job 1
        a day and a second: deadline_seconds: 86401 seconds, 30 to 86400 are allowed
        no price: the price cap of 0 cycles is below the quote of 794; raise it or lower max_tokens
        price just too low: the price cap of 793 cycles is below the quote of 794; raise it or lower max_tokens
        price just enough: accepted as job 1
        highest price: accepted as job 1
        too high a price: price_cap: 10_000_000_000_000_000_001 cycles, at most 10_000_000_000_000_000_000 are allowed
        all the money in the world: price_cap: 340_282_366_920_938_463_463_374_607_431_768_211_455 cycles, at most 10_000_000_000_000_000_000 are allowed
    "#]].assert_eq(&told);
}

#[test]
fn a_prompt_at_the_byte_limit_is_accepted_where_the_context_holds_it() {
    let mut bench = Bench::new(4, 1);
    let mut model = bench.fixture.model(0).clone();
    model.manifest.name = "wide".into();
    model.manifest.context_max = limits::CONTEXT_TOKENS_MAX;
    model.id = model.manifest.id();
    bench.market.sync(&Record::Model(model.clone()));
    let offer = assay_protocol::lease::Offer {
        model: model.id,
        ask_input: Cycles(1),
        ask_output: Cycles(1),
    };
    for operator in bench.fixture.workers.clone() {
        bench
            .market
            .set_offers(operator, &[offer])
            .expect("workers may set prices");
    }
    let mut args = args();
    args.request.model = ModelRef::Version(model.id);
    *messages(&mut args.request) = vec![user("y".repeat(limits::REQUEST_BYTES_MAX))];
    assert_eq!(
        submit(&mut bench, requester(0), &args, args.price_cap.0),
        Ok(JobId(1))
    );

    args.idempotency_key = vec![2];
    *messages(&mut args.request) = vec![
        user("y".repeat(limits::REQUEST_BYTES_MAX)),
        user("z".into()),
    ];
    let error =
        submit(&mut bench, requester(0), &args, args.price_cap.0).expect_err("one byte too many");
    expect!["messages: 65537 bytes of text, at most 65536 are allowed"]
        .assert_eq(&error.to_string());
}

#[test]
fn prompt_and_answer_must_fit_into_the_context() {
    let mut bench = Bench::new(4, 1);
    let mut args = args();
    // The fixture's models hold 8,192 tokens; a message costs 8 and the template 48.
    args.request.parameters.max_tokens = 192;
    *messages(&mut args.request) = vec![user("y".repeat(8_000 - 56))];
    assert_eq!(
        submit(&mut bench, requester(0), &args, args.price_cap.0),
        Ok(JobId(1))
    );
    args.idempotency_key = vec![2];
    args.request.parameters.max_tokens = 193;
    let error =
        submit(&mut bench, requester(0), &args, args.price_cap.0).expect_err("one token too many");
    expect!["the prompt may take 8000 tokens and the answer 193, the model holds 8192; shorten one of them"].assert_eq(&error.to_string());
}

#[test]
fn anonymous_callers_are_refused_before_anything_else() {
    let mut bench = Bench::new(4, 1);
    let mut args = args();
    messages(&mut args.request).clear();
    assert_eq!(
        submit(&mut bench, Principal::anonymous(), &args, 0),
        Err(SubmitError::Anonymous)
    );
    let at = bench.market.at(requester(0));
    assert_eq!(
        bench
            .market
            .jobs
            .deposit(&at, Principal::anonymous(), Cycles(1)),
        Err(DepositError::Anonymous)
    );
    assert_eq!(
        bench.market.jobs.deposit(&at, requester(0), Cycles(0)),
        Err(DepositError::NothingAttached)
    );
    let past = Cycles(u128::MAX / 2 + 1);
    let told = bench.market.jobs.deposit(&at, requester(0), past);
    let problem = format!("{past} cycles are more than a market can count");
    assert_eq!(told, Err(DepositError::Other(problem)));
    let most = Cycles(u128::MAX / 2);
    let told = bench.market.jobs.deposit(&at, requester(0), most);
    assert_eq!(told, Ok(most));
}

#[test]
fn a_model_that_cannot_be_compared_is_only_for_single() {
    let mut bench = Bench::new(4, 1);
    let mut model = bench.fixture.model(0).clone();
    model.manifest.verifiable = false;
    bench.market.sync(&Record::Model(model));
    let error =
        submit(&mut bench, requester(0), &args(), 1_000_000).expect_err("checked is refused");
    expect!["assurance: answers of this model cannot be compared; ask for single"]
        .assert_eq(&error.to_string());
    let mut single = args();
    single.request.assurance = Assurance::Single;
    assert_eq!(
        submit(&mut bench, requester(0), &single, single.price_cap.0),
        Ok(JobId(1))
    );
}

#[test]
fn class_bound_answers_are_compared_with_each_other_and_never_run_again() {
    let mut bench = Bench::new(4, 1);
    let mut model = bench.fixture.model(0).clone();
    (model.manifest.verifiable, model.manifest.semantics) = (false, SPEC_CLASS_1.to_owned());
    bench.market.sync(&Record::Model(model));
    let error =
        submit(&mut bench, requester(0), &args(), 1_000_000).expect_err("checked is refused");
    expect!["assurance: nobody can run this model's answers again, only compare them; ask for equality, threshold or single"]
        .assert_eq(&error.to_string());
    for (i, assurance) in [
        Assurance::Single,
        Assurance::Equality { total: 2 },
        Assurance::Threshold { total: 3, min: 2 },
    ]
    .into_iter()
    .enumerate()
    {
        let mut args = args();
        args.request.assurance = assurance;
        args.price_cap = Cycles(1_000_000);
        args.idempotency_key = vec![i as u8];
        assert_eq!(
            submit(&mut bench, requester(0), &args, args.price_cap.0),
            Ok(JobId(i as u64 + 1)),
            "{assurance:?}"
        );
    }
}

#[test]
fn money_must_cover_the_cap_to_the_cycle() {
    let mut bench = Bench::new(4, 1);
    let mut args = args();
    args.price_cap = Cycles(1_000);
    bench.market.deposit(requester(0), Cycles(400));
    let error = submit(&mut bench, requester(0), &args, 599).expect_err("one cycle is missing");
    expect![
        "the job needs 1_000 cycles, the balance holds 400 and 599 were attached; deposit the rest"
    ]
    .assert_eq(&error.to_string());
    let (submitted, accepted) = bench
        .market
        .submit(requester(0), &args, Cycles(10_000))
        .expect("enough is there");
    assert_eq!(
        (submitted.escrow, accepted),
        (Cycles(1_000), Cycles(600)),
        "the balance goes first, the call gives only the rest"
    );
    assert_eq!(bench.market.balance(requester(0)), Cycles(0));
}

#[test]
fn a_requester_has_at_most_so_many_open_jobs() {
    let mut bench = Bench::new(4, 1);
    let mut args = args();
    for i in 0..limits::OPEN_JOBS_PER_REQUESTER_MAX {
        args.idempotency_key = vec![i as u8];
        submit(&mut bench, requester(0), &args, args.price_cap.0).expect("up to the limit");
    }
    args.idempotency_key = vec![200];
    let error =
        submit(&mut bench, requester(0), &args, args.price_cap.0).expect_err("one too many");
    expect!["32 of your jobs are open, at most 32 may be; wait for one to end or cancel it"]
        .assert_eq(&error.to_string());
    bench.run("cancel 1");
    submit(&mut bench, requester(0), &args, args.price_cap.0).expect("one has ended");
}

#[test]
fn the_market_has_at_most_so_many_open_jobs() {
    let mut bench = Bench::new(4, 1);
    let mut args = args();
    args.price_cap = Cycles(1_000);
    let person = |i: usize| Principal::self_authenticating((i as u64).to_le_bytes());
    for i in 0..limits::OPEN_JOBS_MAX {
        args.idempotency_key = (i as u64).to_le_bytes().to_vec();
        let from = person(i / limits::OPEN_JOBS_PER_REQUESTER_MAX);
        bench
            .market
            .submit(from, &args, args.price_cap)
            .expect("up to the limit");
    }
    args.idempotency_key = vec![1];
    assert_eq!(
        submit(&mut bench, requester(0), &args, 1_000),
        Err(SubmitError::QueueFull)
    );
    bench.market.check().expect("a full market is in order");

    // All of them expire in bounded sweeps.
    for _ in 0..5 {
        bench.market.stand_still(15_000_000_000);
        let now = bench.market.now();
        assert_eq!(bench.market.jobs.sweep(now, 0).handled, 0);
    }
    let (mut sweeps, now) = (0, bench.market.now());
    loop {
        let swept = bench.market.jobs.sweep(now, 500);
        assert!(swept.handled <= 500);
        sweeps += 1;
        if !swept.more {
            break;
        }
    }
    let (ended, all) = (bench.market.jobs.stats().expired, limits::OPEN_JOBS_MAX);
    assert_eq!((sweeps, ended), (all / 500, all as u64));
    assert_eq!(bench.market.balance(person(0)), Cycles(32_000));
    submit(&mut bench, requester(0), &args, 1_000).expect("there is room again");
}

#[test]
fn jobs_of_others_and_jobs_that_are_not_there() {
    let mut bench = Bench::new(4, 1);
    bench.run("submit checked1");
    for id in [JobId(0), JobId(2), JobId(u64::MAX)] {
        assert_eq!(
            bench.market.cancel(requester(0), id),
            Err(JobError::UnknownJob(id))
        );
        assert_eq!(
            bench.market.job(requester(0), id).map(drop),
            Err(JobError::UnknownJob(id))
        );
        assert_eq!(
            bench.market.receipt(id).map(drop),
            Err(JobError::UnknownJob(id))
        );
        assert_eq!(
            bench.market.jobs.request_for(requester(0), id).map(drop),
            Err(JobError::UnknownJob(id))
        );
        let stream = StreamArgs {
            job: id,
            round: 0,
            cursor: 0,
        };
        assert_eq!(
            bench.market.stream(requester(0), &stream),
            Err(JobError::UnknownJob(id))
        );
    }
    let id = JobId(1);
    assert_eq!(
        bench.market.cancel(requester(1), id),
        Err(JobError::NotYours(id))
    );
    assert_eq!(
        bench.market.jobs.request_for(requester(1), id).map(drop),
        Err(JobError::NotYours(id))
    );
    assert_eq!(
        bench.market.receipt(id).map(drop),
        Err(JobError::NoReceiptYet(id))
    );
    assert_eq!(MODELS[0], "tiny", "the scripts name the first model");
}

#[test]
fn nothing_is_accepted_before_randomness_has_come() {
    use assay_jobs_core::{Jobs, JobsConfig, Rules, store::Store, testing::canister};
    use assay_protocol::{Moment, Timestamp};

    let mut jobs = Jobs::open(
        Store::default(),
        Timestamp(1),
        JobsConfig {
            canister: canister(),
            fee_bps: 0,
            rules: Rules::default(),
            ledger: None,
        },
    )
    .expect("a good configuration");
    let at = Moment {
        caller: requester(0),
        now: Timestamp(2),
    };
    let error = jobs
        .submit(&at, &args(), Cycles(0))
        .expect_err("salts need a secret");
    expect!["the market is starting; try again in a few seconds"].assert_eq(&error.to_string());
    jobs.seed([5; 32]);
    assert_eq!(
        jobs.submit(&at, &args(), Cycles(0)),
        Err(SubmitError::UnknownModel("tiny".into()))
    );
}

#[test]
fn a_configuration_has_bounds_and_belongs_to_one_canister() {
    use assay_jobs_core::{ConfigError, Jobs, JobsConfig, Rules, store::Store, testing::canister};
    use assay_protocol::Timestamp;

    let open = |store, canister, fee_bps| {
        let config = JobsConfig {
            canister,
            fee_bps,
            rules: Rules::default(),
            ledger: None,
        };
        Jobs::open(store, Timestamp(1), config)
    };
    assert_eq!(
        open(Store::default(), canister(), 2_001).map(drop),
        Err(ConfigError::Fee(2_001))
    );
    assert_eq!(
        open(Store::default(), Principal::anonymous(), 0).map(drop),
        Err(ConfigError::Anonymous)
    );
    let store = open(Store::default(), canister(), 2_000)
        .expect("the highest fee")
        .into_store();
    let again = open(store, canister(), 1_000).expect("the fee may change");
    assert_eq!((again.config().fee_bps, again.log_len()), (1_000, 2));
    let other = open(again.into_store(), requester(0), 0).map(drop);
    assert_eq!(
        other,
        Err(ConfigError::OtherCanister {
            before: canister(),
            now: requester(0)
        })
    );
}

#[test]
fn nothing_is_deposited_for_those_who_could_never_take_it_out() {
    let mut bench = Bench::new(1, 1);
    let at = bench.market.at(requester(0));
    let before = (bench.market.jobs.log_len(), bench.market.jobs.stats());
    let nobody = [Principal::management_canister(), canister(), ledger()];
    let told = nobody.map(|nobody| {
        let told = bench.market.jobs.deposit(&at, nobody, Cycles(1));
        told.expect_err("nobody could take it out").to_string()
    });
    expect![[r#"
        beneficiary: aaaaa-aa is the management canister, which keeps nothing for anybody; name another one
        beneficiary: qjdve-lqaaa-aaaaa-aaaeq-cai is this market, which owns no balance in itself; name another one
        beneficiary: qoctq-giaaa-aaaaa-aaaea-cai is the ledger, which never asks for it back; name another one"#]]
    .assert_eq(&told.join("\n"));
    let after = (bench.market.jobs.log_len(), bench.market.jobs.stats());
    assert_eq!(after, before);
}

#[test]
fn a_key_stands_for_one_request_price_and_deadline() {
    let mut bench = Bench::new(4, 1);
    let first = args();
    assert_eq!(
        submit(&mut bench, requester(0), &first, first.price_cap.0),
        Ok(JobId(1))
    );
    let changes: [fn(&mut SubmitArgs); 3] = [
        |args| args.request.seed = Some(12),
        |args| args.price_cap.0 += 1,
        |args| args.deadline_seconds += 1,
    ];
    for change in changes {
        let mut other = args();
        change(&mut other);
        let told = submit(&mut bench, requester(0), &other, other.price_cap.0);
        assert_eq!(told, Err(SubmitError::KeyReused { job: JobId(1) }));
    }
}

/// Each case and what became of it.
fn list(cases: Vec<(&str, String)>) -> String {
    let line = |(case, told)| format!("{case}: {told}\n");
    cases.into_iter().map(line).collect()
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
    }
}

fn tool(name: &str) -> Tool {
    Tool {
        name: name.into(),
        description: None,
        parameters: None,
    }
}

/// A conversation in which the assistant made these calls.
fn called(calls: Vec<ToolCall>) -> String {
    refused(|args| {
        let mut first = Message::new(MessageRole::Assistant, "");
        first.tool_calls = Some(calls);
        *messages(&mut args.request) = vec![first, user("x".into())];
    })
}

fn offered(tools: Vec<Tool>) -> String {
    refused(|args| {
        if let Task::Chat(chat) = &mut args.request.task {
            chat.tools = Some(tools);
        }
    })
}

/// A tool's answer to a call with this id.
fn answered(id: String) -> String {
    refused(|args| {
        let mut last = Message::new(MessageRole::Tool, "sunny");
        last.tool_call_id = Some(id);
        messages(&mut args.request).push(last);
    })
}

fn parameters(change: impl FnOnce(&mut Parameters)) -> String {
    refused(|args| change(&mut args.request.parameters))
}

fn sampling(change: impl FnOnce(&mut Sampling)) -> String {
    parameters(|parameters| change(&mut parameters.sampling))
}

#[test]
fn each_bad_task_message_and_tool_is_named() {
    let long = "n".repeat(65);
    let most = "n".repeat(64);
    let prompt = |bytes: usize| {
        let prompt = "y".repeat(bytes);
        refused(|args| args.request.task = Task::Completion { prompt })
    };
    let numbered = |count: usize| (0..count).map(|i| tool(&format!("t{i}"))).collect();
    let schema = |text: &str| Tool {
        parameters: Some(text.into()),
        ..tool("f")
    };
    let training = Task::Training {
        checkpoint_root: Hash32([1; 32]),
    };
    let told = list(vec![
        ("empty prompt", prompt(0)),
        ("longest prompt", prompt(65_536)),
        ("too long a prompt", prompt(65_537)),
        ("training", refused(|args| args.request.task = training)),
        (
            "a NUL is text",
            refused(|args| messages(&mut args.request)[0].content = "a\0b".into()),
        ),
        (
            "the assistant may begin",
            refused(|args| {
                messages(&mut args.request).insert(0, Message::new(MessageRole::Assistant, "hi"));
            }),
        ),
        (
            "a user that calls",
            refused(|args| {
                messages(&mut args.request)[0].tool_calls = Some(vec![call("1", "f", "{}")]);
            }),
        ),
        (
            "a user that answers a call",
            refused(|args| messages(&mut args.request)[0].tool_call_id = Some("1".into())),
        ),
        ("64 calls", called(vec![call("1", "f", "{}"); 64])),
        ("65 calls", called(vec![call("1", "f", "{}"); 65])),
        ("call without a name", called(vec![call("1", "", "{}")])),
        ("call by 64 bytes", called(vec![call(&most, &most, "{}")])),
        ("call by a long name", called(vec![call("1", &long, "{}")])),
        ("call with a long id", called(vec![call(&long, "f", "{}")])),
        ("call with a list", called(vec![call("1", "f", "[]")])),
        (
            "call with half an object",
            called(vec![call("1", "f", "{")]),
        ),
        ("answer to 64 bytes", answered(most.clone())),
        ("answer to 65 bytes", answered(long.clone())),
        ("32 tools", offered(numbered(32))),
        ("33 tools", offered(numbered(33))),
        ("tool without a name", offered(vec![tool("")])),
        ("tool of 64 bytes", offered(vec![tool(&most)])),
        ("tool of 65 bytes", offered(vec![tool(&long)])),
        ("tool with a space", offered(vec![tool("a b")])),
        ("two of one name", offered(vec![tool("f"), tool("f")])),
        ("tool with a number", offered(vec![schema("3")])),
    ]);
    expect![[r#"
        empty prompt: prompt: the text is empty; write something
        longest prompt: the prompt may take 65584 tokens and the answer 20, the model holds 8192; shorten one of them
        too long a prompt: prompt: 65537 bytes of text, at most 65536 are allowed
        training: training is not available yet
        a NUL is text: accepted as job 1
        the assistant may begin: accepted as job 1
        a user that calls: messages: message 0 calls tools, which only the assistant does
        a user that answers a call: messages: message 0 names a call, which only a tool's answer does
        64 calls: accepted as job 1
        65 calls: messages: 65 calls of tools, at most 64 are allowed
        call without a name: messages: message 0 calls a tool whose name has not 1 to 64 bytes, or by an id of more than 64
        call by 64 bytes: accepted as job 1
        call by a long name: messages: message 0 calls a tool whose name has not 1 to 64 bytes, or by an id of more than 64
        call with a long id: messages: message 0 calls a tool whose name has not 1 to 64 bytes, or by an id of more than 64
        call with a list: messages: message 0 calls f with arguments that are no JSON object
        call with half an object: messages: message 0 calls f with arguments that are no JSON object
        answer to 64 bytes: accepted as job 1
        answer to 65 bytes: messages: message 1 answers a call with an id of more than 64 bytes
        32 tools: accepted as job 1
        33 tools: tools: 33 tools, at most 32 are allowed
        tool without a name: tools: the name of tool 0 must have 1 to 64 letters, digits, _ or -
        tool of 64 bytes: accepted as job 1
        tool of 65 bytes: tools: the name of tool 0 must have 1 to 64 letters, digits, _ or -
        tool with a space: tools: the name of tool 0 must have 1 to 64 letters, digits, _ or -
        two of one name: tools: tool 1 is called f like another
        tool with a number: tools: the parameters of f are no JSON object
    "#]].assert_eq(&told);
}

#[test]
fn each_bad_parameter_is_named() {
    let stops = |count: usize, bytes: usize| {
        parameters(|parameters| parameters.stop = Some(vec!["s".repeat(bytes); count]))
    };
    let schema =
        |text: String| parameters(|parameters| parameters.format = Some(Format::JsonSchema(text)));
    let quoted = |bytes: usize| schema(format!("\"{}\"", "x".repeat(bytes - 2)));
    let logprobs = |count| parameters(|parameters| parameters.logprobs = Some(count));
    let min_p = |ppm| sampling(|sampling| sampling.min_p_ppm = Some(ppm));
    let repetition = |milli| sampling(|sampling| sampling.repetition_penalty_milli = Some(milli));
    let window = |tokens| sampling(|sampling| sampling.repetition_window = Some(tokens));
    let presence = |milli| sampling(|sampling| sampling.presence_penalty_milli = Some(milli));
    let frequency = |milli| sampling(|sampling| sampling.frequency_penalty_milli = Some(milli));
    let biases = |tokens: Vec<u32>, milli: i32| {
        let bias = |token| LogitBias { token, milli };
        let biases = tokens.into_iter().map(bias).collect();
        sampling(|sampling| sampling.logit_bias = Some(biases))
    };
    let replicas = |total| refused(|args| args.request.assurance = Assurance::Equality { total });
    let told = list(vec![
        ("16 stops", stops(16, 256)),
        ("17 stops", stops(17, 1)),
        ("empty stop", stops(1, 0)),
        ("long stop", stops(1, 257)),
        ("longest schema", quoted(16_384)),
        ("too long a schema", quoted(16_385)),
        ("half a schema", schema("{".into())),
        ("20 alternatives", logprobs(20)),
        ("21 alternatives", logprobs(21)),
        ("least top_p", sampling(|sampling| sampling.top_p_ppm = 1)),
        ("most min_p", min_p(1_000_000)),
        ("more min_p", min_p(1_000_001)),
        ("no repetition", repetition(0)),
        ("least repetition", repetition(1)),
        ("most repetition", repetition(100_000)),
        ("more repetition", repetition(100_001)),
        ("longest window", window(1 << 20)),
        ("longer window", window((1 << 20) + 1)),
        ("most presence", presence(2_000)),
        ("more presence", presence(2_001)),
        ("less presence", presence(-2_001)),
        ("least frequency", frequency(-2_000)),
        ("more frequency", frequency(2_001)),
        ("less frequency", frequency(-2_001)),
        ("300 biases", biases((0..300).collect(), 100_000)),
        ("301 biases", biases((0..301).collect(), 1)),
        ("large bias", biases(vec![0], 100_001)),
        ("small bias", biases(vec![0], -100_001)),
        ("two biases of one token", biases(vec![7, 7], 1)),
        ("no replica", replicas(0)),
        ("7 replicas", replicas(7)),
    ]);
    expect![[r#"
        16 stops: accepted as job 1
        17 stops: stop: 17 stop strings, at most 16 are allowed
        empty stop: stop: 0 bytes, 1 to 256 are allowed
        long stop: stop: 257 bytes, 1 to 256 are allowed
        longest schema: accepted as job 1
        too long a schema: format: 16385 bytes of schema, at most 16384 are allowed
        half a schema: format: the schema is no JSON
        20 alternatives: accepted as job 1
        21 alternatives: logprobs: 21 alternatives, at most 20 are allowed
        least top_p: accepted as job 1
        most min_p: accepted as job 1
        more min_p: min_p_ppm: 1000001, 0 to 1000000 is allowed
        no repetition: repetition_penalty_milli: 0, 1 to 100000 is allowed
        least repetition: accepted as job 1
        most repetition: accepted as job 1
        more repetition: repetition_penalty_milli: 100001, 1 to 100000 is allowed
        longest window: accepted as job 1
        longer window: repetition_window: 1048577, 0 to 1048576 is allowed
        most presence: accepted as job 1
        more presence: presence_penalty_milli: 2001, -2000 to 2000 is allowed
        less presence: presence_penalty_milli: -2001, -2000 to 2000 is allowed
        least frequency: accepted as job 1
        more frequency: frequency_penalty_milli: 2001, -2000 to 2000 is allowed
        less frequency: frequency_penalty_milli: -2001, -2000 to 2000 is allowed
        300 biases: accepted as job 1
        301 biases: logit_bias: 301 tokens, at most 300 are allowed
        large bias: logit_bias: 100001, -100000 to 100000 is allowed
        small bias: logit_bias: -100001, -100000 to 100000 is allowed
        two biases of one token: logit_bias: token 7 has two; give one
        no replica: assurance: 0 replicas, 2 to 7 are allowed
        7 replicas: 4 providers offer this model, the assurance needs 7; ask for less assurance or wait for more workers
    "#]].assert_eq(&told);
}
