//! Who may do what, and what the canisters say to those who may not: a typed error, never a trap.

use assay_jobs_core::{
    Rules,
    testing::{Fixture, messages, requester, stranger, worker},
};
use assay_protocol::{
    Cycles, Hash32, JobId, LeaseId, ModelId,
    canary::{Canary, CanaryError},
    events::{EventPage, EventsError},
    job::{
        ChatReply, ControlError, DepositArgs, DepositError, JobError, Quote, SubmitArgs,
        SubmitError, Submitted,
    },
    lease::{
        Beat, Claim, CommitArgs, Offer, Opening, Order, ProgressArgs, RevealArgs, WorkHint,
        WorkerError,
    },
    limits,
    money::{GiveArgs, Holdings, MoneyError},
    registry::{Model, Provider, ProviderArgs, RegistryError, Worker},
    request::{Assurance, JobRequest, ModelRef, Parameters, Sampling, Task},
};
use candid::{CandidType, Principal, encode_one};
use expect_test::expect;

use crate::chain::{Chain, FundArgs, FundError, JobsArgs, SyncError, admin, worker_args};

pub(crate) fn request(model: ModelRef) -> JobRequest {
    JobRequest {
        model,
        task: Task::question("Why is the sky blue?"),
        parameters: Parameters::new(40, Sampling::GREEDY),
        seed: Some(1),
        assurance: Assurance::Checked { checkers: 1 },
    }
}

pub(crate) fn submit(model: ModelRef, key: u8) -> SubmitArgs {
    SubmitArgs {
        request: request(model),
        price_cap: Cycles(1_000_000_000),
        deadline_seconds: 300,
        idempotency_key: vec![key],
    }
}

#[test]
fn anonymous_callers_are_told_so_by_every_update() {
    let mut chain = Chain::new(1, 0);
    let mut fixture = Fixture::new(2, 1, 1);
    chain.register(&mut fixture);
    let nobody = Principal::anonymous();
    let jobs = chain.jobs;
    let events = chain.stats().events;
    let hash = Hash32([1; 32]);
    let lease = LeaseId(1);

    let told: Result<Submitted, SubmitError> = chain.update(
        nobody,
        jobs,
        "submit",
        (submit(ModelRef::Name("tiny".to_owned()), 1),),
    );
    assert_eq!(told, Err(SubmitError::Anonymous));
    let told: Result<(), JobError> = chain.update(nobody, jobs, "cancel", (JobId(1),));
    assert_eq!(told, Err(JobError::UnknownJob(JobId(1))));
    let told: Result<Cycles, DepositError> = chain.update(
        nobody,
        jobs,
        "deposit",
        (DepositArgs {
            beneficiary: nobody,
        },),
    );
    assert_eq!(told, Err(DepositError::Anonymous));

    let commit = CommitArgs {
        lease,
        commitment: hash,
        claim: None,
    };
    let reveal = RevealArgs {
        lease,
        nonce: hash,
        opening: Opening::Agrees { root: hash },
    };
    let progress = ProgressArgs {
        lease,
        from: 0,
        tokens: vec![1],
        text: String::new(),
    };
    let refused: Vec<Option<WorkerError>> = vec![
        chain
            .update::<Result<(), _>>(nobody, jobs, "set_offers", (Vec::<Offer>::new(),))
            .err(),
        chain
            .update::<Result<(), _>>(nobody, jobs, "ready", (1u16,))
            .err(),
        chain
            .update::<Result<Vec<Order>, _>>(nobody, jobs, "claim", (vec![lease],))
            .err(),
        chain
            .update::<Result<Vec<(LeaseId, Beat)>, _>>(nobody, jobs, "heartbeat", (vec![lease],))
            .err(),
        chain
            .update::<Result<Beat, _>>(nobody, jobs, "progress", (progress,))
            .err(),
        chain
            .update::<Result<Claim, _>>(nobody, jobs, "transcript", (lease,))
            .err(),
        chain
            .update::<Result<(), _>>(nobody, jobs, "commit", (commit,))
            .err(),
        chain
            .update::<Result<(), _>>(nobody, jobs, "reveal", (reveal,))
            .err(),
        chain
            .update::<Result<(), _>>(nobody, jobs, "abandon", (lease, "why"))
            .err(),
        chain
            .update::<Result<(), _>>(nobody, jobs, "decline", (lease, "why"))
            .err(),
        chain
            .query::<Result<WorkHint, _>>(nobody, jobs, "work", ())
            .err(),
    ];
    for (i, error) in refused.into_iter().enumerate() {
        let known = matches!(error, Some(WorkerError::UnknownWorker(who)) if who == nobody)
            || error == Some(WorkerError::UnknownLease(lease));
        assert!(known, "call {i}: {error:?}");
    }
    assert_eq!(chain.stats().events, events, "nothing was recorded");

    let registry = chain.registry;
    let args = ProviderArgs {
        name: "x".to_owned(),
        contact: String::new(),
        payout: None,
    };
    let refused: Vec<Option<RegistryError>> = vec![
        chain
            .update::<Result<Provider, _>>(nobody, registry, "register_provider", (args.clone(),))
            .err(),
        chain
            .update::<Result<Provider, _>>(nobody, registry, "update_provider", (args,))
            .err(),
        chain
            .update::<Result<Worker, _>>(
                nobody,
                registry,
                "add_worker",
                (worker_args(fixture.worker(worker(0))),),
            )
            .err(),
        chain
            .update::<Result<Worker, _>>(nobody, registry, "drain_worker", (worker(0),))
            .err(),
        chain
            .update::<Result<Worker, _>>(nobody, registry, "retire_worker", (worker(0),))
            .err(),
        chain
            .update::<Result<Model, _>>(
                nobody,
                registry,
                "register_model",
                (fixture.model(0).manifest.clone(),),
            )
            .err(),
        chain
            .update::<Result<Model, _>>(nobody, registry, "deprecate_model", (ModelId(hash),))
            .err(),
    ];
    assert!(
        refused
            .iter()
            .all(|error| *error == Some(RegistryError::Anonymous)),
        "{refused:?}"
    );
}

#[test]
fn only_controllers_set_shards_and_spend_from_the_purse() {
    let mut chain = Chain::new(1, 0);
    let (registry, purse, jobs) = (chain.registry, chain.purse, chain.jobs);
    for caller in [stranger(), Principal::anonymous()] {
        let told: Result<Vec<Principal>, RegistryError> =
            chain.update(caller, registry, "set_shards", (vec![jobs],));
        assert_eq!(told, Err(RegistryError::NotAController { caller }));
        let args = FundArgs {
            jobs,
            beneficiary: caller,
            amount: 1,
        };
        let told: Result<Cycles, FundError> = chain.update(caller, purse, "fund", (args,));
        assert_eq!(told, Err(FundError::NotAController { caller }));
    }
    let told: Result<Vec<Principal>, RegistryError> =
        chain.update(admin(), registry, "set_shards", (vec![jobs],));
    assert_eq!(told, Ok(vec![jobs]));
    assert_eq!(
        chain.query::<Vec<Principal>>(stranger(), registry, "shards", ()),
        vec![jobs]
    );
}

#[test]
fn the_purse_deposits_to_the_cycle_and_says_why_it_does_not() {
    let mut chain = Chain::new(1, 0);
    let (purse, jobs) = (chain.purse, chain.jobs);
    assert_eq!(chain.fund(requester(0), 7_000), Ok(Cycles(7_000)));
    assert_eq!(chain.fund(requester(0), 1), Ok(Cycles(7_001)));
    assert_eq!(
        chain.query::<Cycles>(requester(0), jobs, "balance", (None::<Principal>,)),
        Cycles(7_001)
    );
    assert_eq!(chain.stats().deposited, Cycles(7_001));

    let max = 100_000_000_000_000;
    for amount in [0, max + 1] {
        let refused = FundError::Amount {
            amount: Cycles(amount),
            max: Cycles(max),
        };
        assert_eq!(chain.fund(requester(0), amount), Err(refused));
    }
    let before = chain.cycles(jobs);
    let told = chain.fund(Principal::anonymous(), max);
    assert_eq!(told, Err(FundError::Refused(DepositError::Anonymous)));
    assert!(chain.cycles(jobs) < before + max, "refused cycles go back");

    // A registry takes no deposits, and nobody lives at an address that was never given out.
    for nobody in [
        chain.registry,
        Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 1]),
    ] {
        let args = FundArgs {
            jobs: nobody,
            beneficiary: requester(0),
            amount: 5,
        };
        let told: Result<Cycles, FundError> = chain.update(admin(), purse, "fund", (args,));
        assert!(matches!(told, Err(FundError::Unreachable(_))), "{told:?}");
    }
    chain.check_money().unwrap();

    let spendable: Cycles = chain.query(admin(), purse, "balance", ());
    while chain.fund(requester(1), max).is_ok() {}
    let left: Cycles = chain.query(admin(), purse, "balance", ());
    assert!(left.0 < max && left < spendable);
    let told = chain.fund(requester(1), max);
    assert!(
        matches!(told, Err(FundError::InsufficientFunds { amount, available }) if amount.0 == max && available <= left),
        "{told:?}"
    );
}

#[test]
fn bad_requests_are_refused_by_name_and_cost_nothing() {
    let mut chain = Chain::new(1, 0);
    let mut fixture = Fixture::new(2, 1, 1);
    chain.register(&mut fixture);
    let jobs = chain.jobs;
    let asker = requester(0);
    chain.fund(asker, 5_000_000_000).unwrap();
    for operator in fixture.workers.clone() {
        let offer = Offer {
            model: fixture.model(0).id,
            ask_input: Cycles(1_000),
            ask_output: Cycles(10_000),
        };
        let told: Result<(), WorkerError> =
            chain.update(operator, jobs, "set_offers", (vec![offer],));
        told.unwrap();
    }
    let tiny = || ModelRef::Name("tiny".to_owned());
    let events = chain.stats().events;

    let with = |change: fn(&mut SubmitArgs)| {
        let mut args = submit(ModelRef::Name("tiny".to_owned()), 1);
        change(&mut args);
        args
    };
    let bad = [
        with(|args| args.request.model = ModelRef::Name("nobody's".to_owned())),
        with(|args| messages(&mut args.request).clear()),
        with(|args| messages(&mut args.request)[0].content.clear()),
        with(|args| messages(&mut args.request)[0].content = "x".repeat(65_537)),
        with(|args| args.request.parameters.max_tokens = 0),
        with(|args| args.request.parameters.max_tokens = u32::MAX),
        with(|args| args.request.parameters.sampling.top_p_ppm = 0),
        with(|args| args.request.assurance = Assurance::Refereed),
        with(|args| args.request.assurance = Assurance::Checked { checkers: 2 }),
        with(|args| args.price_cap = Cycles(0)),
        with(|args| args.price_cap = Cycles(u128::MAX)),
        with(|args| args.price_cap = Cycles(5_000_000_001)),
        with(|args| args.deadline_seconds = 0),
        with(|args| args.idempotency_key = vec![]),
        with(|args| args.idempotency_key = vec![0; 65]),
    ];
    let told: Vec<String> = bad
        .iter()
        .map(|args| {
            let told: Result<Submitted, SubmitError> = chain.update(asker, jobs, "submit", (args,));
            told.expect_err("a bad request").to_string()
        })
        .collect();
    expect![[r#"
        no model nobody's; list the registered ones with models
        messages: 0 messages, 1 to 64 are allowed
        messages: message 0 is empty; write something or leave it out
        messages: 65537 bytes of text, at most 65536 are allowed
        max_tokens: 0 tokens, 1 to 4096 are allowed
        max_tokens: 4294967295 tokens, 1 to 4096 are allowed
        top_p_ppm: 0, 1 to 1000000 is allowed
        refereed assurance is not available yet
        2 providers offer this model, the assurance needs 3; ask for less assurance or wait for more workers
        the price cap of 0 cycles is below the quote of 1_109; raise it or lower max_tokens
        price_cap: 340_282_366_920_938_463_463_374_607_431_768_211_455 cycles, at most 10_000_000_000_000_000_000 are allowed
        the job needs 5_000_000_001 cycles, the balance holds 5_000_000_000 and 0 were attached; deposit the rest
        deadline_seconds: 0 seconds, 30 to 86400 are allowed
        idempotency_key: 0 bytes, 1 to 64 are allowed
        idempotency_key: 65 bytes, 1 to 64 are allowed"#]].assert_eq(&told.join("\n"));
    assert_eq!(chain.stats().events, events);
    assert_eq!(
        chain.query::<Cycles>(asker, jobs, "balance", (None::<Principal>,)),
        Cycles(5_000_000_000)
    );

    // A repeated submit gives the same job; another content under the same key does not.
    let quote: Result<Quote, SubmitError> = chain.query(asker, jobs, "quote", (request(tiny()),));
    let mut args = submit(tiny(), 1);
    args.price_cap = quote.unwrap().price_max;
    let first: Result<Submitted, SubmitError> = chain.update(asker, jobs, "submit", (&args,));
    let first = first.unwrap();
    let again: Result<Submitted, SubmitError> = chain.update(asker, jobs, "submit", (&args,));
    assert_eq!(
        again,
        Ok(Submitted {
            duplicate: true,
            ..first.clone()
        })
    );
    args.request.parameters.max_tokens -= 1;
    let other: Result<Submitted, SubmitError> = chain.update(asker, jobs, "submit", (&args,));
    assert_eq!(other, Err(SubmitError::KeyReused { job: first.job }));
    chain.check_money().unwrap();
}

#[test]
fn a_market_needs_a_registry_and_keeps_the_one_it_has() {
    let mut chain = Chain::bare(1);
    chain.jobs = chain.install("jobs", &encode_one(None::<JobsArgs>).unwrap());
    chain.rest();
    assert_eq!(chain.sync(), Err(SyncError::NoRegistry));

    // One that never answers: no canister is there.
    let absent = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    chain.jobs = chain.install(
        "jobs",
        &encode_one(Some(JobsArgs {
            registry: Some(absent),
            fee_bps: None,
            rules: None,
        }))
        .unwrap(),
    );
    chain.rest();
    assert!(matches!(chain.sync(), Err(SyncError::Unreachable(_))));

    let jobs = chain.jobs;
    let mut upgrade =
        |args: JobsArgs| chain.upgrade(jobs, "jobs", &encode_one(Some(args)).unwrap());
    upgrade(JobsArgs {
        registry: Some(absent),
        fee_bps: Some(100),
        rules: None,
    })
    .unwrap();
    upgrade(JobsArgs::default()).unwrap();
    for refused in [
        JobsArgs {
            registry: Some(Principal::from_slice(&[7])),
            fee_bps: None,
            rules: None,
        },
        JobsArgs {
            registry: None,
            fee_bps: Some(10_001),
            rules: None,
        },
        JobsArgs {
            registry: None,
            fee_bps: None,
            rules: Some(Rules {
                stake_factor: limits::STAKE_FACTOR_MAX + 1,
                ..Rules::default()
            }),
        },
    ] {
        let reject = upgrade(refused).unwrap_err();
        assert!(
            reject.reject_message.contains("install arguments: "),
            "{reject:?}"
        );
    }
}

#[test]
fn a_canister_that_could_not_go_on_working_takes_no_new_money() {
    let mut chain = Chain::new(1, 0);
    let registry = Some(chain.registry);
    let args = encode_one(Some(JobsArgs {
        registry,
        fee_bps: None,
        rules: None,
    }))
    .unwrap();
    // What it keeps for its own work is a trillion.
    chain.jobs = chain.install_with("jobs", &args, 1_000_000_000_000);
    chain.rest();
    assert_eq!(chain.sync(), Ok(()), "it goes on with what it has");
    let told = chain.fund(requester(0), 1_000);
    assert_eq!(told, Err(FundError::Refused(DepositError::LowOnCycles)));
    let jobs = chain.jobs;
    let args = submit(ModelRef::Name("tiny".to_owned()), 1);
    let told: Result<Submitted, SubmitError> = chain.update(requester(0), jobs, "submit", (args,));
    assert_eq!(told, Err(SubmitError::LowOnCycles));
}

#[test]
fn anonymous_callers_have_no_money_to_move_and_no_answer_to_wait_for() {
    let mut chain = Chain::new(1, 0);
    let (jobs, nobody) = (chain.jobs, Principal::anonymous());
    let events = chain.stats().events;
    let to = requester(0);
    let gift = GiveArgs {
        to,
        amount: Cycles(1),
    };
    let held: [Result<Holdings, MoneyError>; 4] = [
        chain.update(nobody, jobs, "give", (gift,)),
        chain.update(nobody, jobs, "stake", (Cycles(1),)),
        chain.update(nobody, jobs, "unstake", (Cycles(1),)),
        chain.update(nobody, jobs, "release_stake", ()),
    ];
    assert!(
        held.iter().all(|told| *told == Err(MoneyError::Anonymous)),
        "{held:?}"
    );
    for method in ["fund_sponsor", "fund_treasury"] {
        let told: Result<Cycles, MoneyError> = chain.update(nobody, jobs, method, (Cycles(1),));
        assert_eq!(told, Err(MoneyError::Anonymous), "{method}");
    }
    let args = submit(ModelRef::Name("tiny".to_owned()), 1);
    let told: Result<ChatReply, SubmitError> = chain.update(nobody, jobs, "chat", (args,));
    assert_eq!(told, Err(SubmitError::Anonymous));
    let told: Result<(), SyncError> = chain.update(nobody, jobs, "sync_registry", ());
    assert_eq!(told, Err(SyncError::Anonymous));
    assert_eq!(chain.stats().events, events, "nothing was recorded");
}

#[test]
fn only_controllers_set_rules_pause_resume_and_keep_canaries() {
    let mut chain = Chain::new(1, 0);
    let jobs = chain.jobs;
    let events = chain.stats().events;
    for caller in [stranger(), Principal::anonymous()] {
        let refused: [Result<(), ControlError>; 3] = [
            chain.update(caller, jobs, "set_rules", (Rules::default(),)),
            chain.update(caller, jobs, "pause", ("mine now",)),
            chain.update(caller, jobs, "resume", ()),
        ];
        let not_theirs = Err(ControlError::NotAController(caller));
        assert!(
            refused.iter().all(|told| *told == not_theirs),
            "{refused:?}"
        );
        let refused: [Result<(), CanaryError>; 2] = [
            chain.update(caller, jobs, "add_canaries", (Vec::<Canary>::new(),)),
            chain.update(caller, jobs, "take_canary_back", (1u64,)),
        ];
        let not_theirs = Err(CanaryError::NotAController(caller));
        assert!(
            refused.iter().all(|told| *told == not_theirs),
            "{refused:?}"
        );
        let refused: Result<EventPage, EventsError> = chain.query(caller, jobs, "events", (0u64,));
        assert_eq!(refused, Err(EventsError::NotAController(caller)));
    }
    // Who controls it hears what is wrong.
    let wild = Rules {
        stake_factor: limits::STAKE_FACTOR_MAX + 1,
        ..Rules::LAX
    };
    let told: Result<(), ControlError> = chain.update(admin(), jobs, "set_rules", (wild,));
    let problem = "stake_factor: 101, at most 100 is allowed".to_owned();
    assert_eq!(told, Err(ControlError::Invalid(problem)));
    let told: Result<(), CanaryError> = chain.update(admin(), jobs, "take_canary_back", (1u64,));
    assert_eq!(told, Err(CanaryError::NotWaiting { number: 1 }));
    let rules: Rules = chain.query(admin(), jobs, "rules", ());
    assert_eq!((rules, chain.stats().events), (Rules::LAX, events));
}

#[test]
fn cycles_that_a_method_does_not_take_go_back() {
    const SENT: u128 = 10_000_000_000_000;
    let mut chain = Chain::new(1, 0);
    let probe = chain.install("probe", &encode_one(None::<u64>).unwrap());
    let (jobs, registry) = (chain.jobs, chain.registry);
    for (canister, method) in [
        (jobs, "release_stake"),
        (jobs, "resume"),
        (jobs, "sync_registry"),
        (jobs, "stats"),
        (registry, "shards"),
    ] {
        let (ours, theirs) = (chain.cycles(probe), chain.cycles(canister));
        let told: Result<Cycles, String> =
            chain.update(stranger(), probe, "send_cycles", (canister, method, SENT));
        assert!(told.is_err(), "{method} answers with no amount: {told:?}");
        assert!(ours - chain.cycles(probe) < SENT / 100, "{method}");
        assert!(chain.cycles(canister) <= theirs, "{method}");
    }
    assert_eq!(chain.stats().deposited, Cycles::ZERO);
    chain.check_money().unwrap();
}

#[test]
fn bad_install_arguments_are_named_and_leave_everything_as_it_was() {
    #[derive(CandidType)]
    struct RegistryArgs {
        shards: Option<Vec<Principal>>,
    }
    let mut chain = Chain::new(1, 250);
    let (registry, jobs) = (chain.registry, chain.jobs);
    let before = [registry, jobs].map(|canister| chain.page(canister, "/logs"));
    let many = (0..=limits::SHARDS_MAX as u64).map(|i| Principal::from_slice(&i.to_be_bytes()));
    for (shards, says) in [
        (
            vec![jobs, Principal::anonymous()],
            "shards[1]: is the anonymous principal, which belongs to everybody",
        ),
        (many.collect(), "limit reached: jobs canisters, at most 64"),
    ] {
        let args = RegistryArgs {
            shards: Some(shards),
        };
        let arg = encode_one(Some(args)).unwrap();
        let reject = chain.upgrade(registry, "registry", &arg).unwrap_err();
        let says = format!("install arguments: {says}");
        assert!(reject.reject_message.contains(&says), "{reject:?}");
    }
    let none = JobsArgs::default();
    let wild = Rules {
        stake_factor: limits::STAKE_FACTOR_MAX + 1,
        ..Rules::LAX
    };
    for (args, says) in [
        (
            JobsArgs {
                registry: Some(stranger()),
                ..none
            },
            "registry: this market follows ",
        ),
        (
            JobsArgs {
                fee_bps: Some(limits::FEE_BPS_MAX + 1),
                ..none
            },
            "fee_bps: 2001 basis points, at most 2000 are allowed",
        ),
        (
            JobsArgs {
                rules: Some(wild),
                ..none
            },
            "stake_factor: 101, at most 100 is allowed",
        ),
    ] {
        let arg = encode_one(Some(args)).unwrap();
        let reject = chain.upgrade(jobs, "jobs", &arg).unwrap_err();
        let says = format!("install arguments: {says}");
        assert!(reject.reject_message.contains(&says), "{reject:?}");
    }
    for (canister, name) in [(registry, "registry"), (jobs, "jobs")] {
        chain.upgrade(canister, name, b"no arguments").unwrap_err();
    }
    // What lies on the heap would be gone if any of them had been upgraded.
    let after = [registry, jobs].map(|canister| chain.page(canister, "/logs"));
    assert_eq!(after, before);
    let most = JobsArgs {
        fee_bps: Some(limits::FEE_BPS_MAX),
        ..none
    };
    let arg = encode_one(Some(most)).unwrap();
    chain.upgrade(jobs, "jobs", &arg).unwrap();
}
