//! Requests that must be refused: each with an error that names the thing, at the limit and just
//! past it, with nothing taken and nothing logged.

use assay_jobs_core::testing::{MODELS, Market, messages, requester};
use assay_protocol::{
    Cycles, Hash32, JobId, ModelId,
    job::{DepositError, JobError, SubmitArgs, SubmitError},
    limits,
    registry::Record,
    request::{Assurance, Message, MessageRole, ModelRef},
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
    assert!(
        bench
            .market
            .jobs
            .deposit(&at, requester(0), Cycles(u128::MAX))
            .is_err()
    );
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
    assert_eq!((sweeps, bench.market.jobs.stats().expired), (20, 10_000));
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
