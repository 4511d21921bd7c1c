//! The market at its limits: however much waits, works or ends at once, no message takes more instructions than it may.

mod growth;
mod others;
mod plot;
mod registry;

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    io::{self, Write as _},
    time::Duration,
};

use assay_jobs_core::{
    Rules,
    testing::{Fixture, MODELS, honest_body},
};
use assay_native::{Native, honest_work, requester};
use assay_protocol::{
    Cycles, JobId, LeaseId, Timestamp,
    job::{JobError, JobView, JobsArgs, StreamArgs, SubmitArgs, SubmitError, Submitted},
    lease::{Beat, Claim, Offer, Order, ProgressArgs, Role, WorkerError},
    limits::{LEASE_SECONDS, OPEN_JOBS_MAX, PAGE_MAX},
    money::TransfersArgs,
    receipt::{CertifiedReceipt, ReceiptsArgs},
    request::{JobRequest, ModelRef},
};
use candid::{
    IDLArgs, IDLValue, Principal, encode_args, encode_one, idl_hash, utils::ArgumentEncoder,
};
use pocket_ic::common::rest::BlobCompression;

use crate::{
    authority::{request, submit},
    chain::{Chain, admin},
    meter::{INSTRUCTIONS_MAX, samples},
    vault::Bank,
};

/// One worker of each provider in a crowd.
const PROVIDERS_APART: usize = 200;
const SLOTS: u16 = 10;
/// Set to run with a full queue and ten thousand leases, and not with a tenth of that.
const FULL_VARIABLE: &str = "ASSAY_LOAD_FULL";
/// Bytes of memory that go to the network as one blob.
const BLOB_BYTES: usize = 256 << 20;
/// What no query of the market may pass.
const QUERY_INSTRUCTIONS_MAX: u64 = 500_000_000;
/// What a canister shows to browsers.
const PAGES: [&str; 3] = ["/", "/metrics", "/logs"];
/// Rounds in which everything that is due has ended.
const ROUNDS_MAX: usize = 1_000;
/// Matches that are looked at while the whole queue waits for free workers.
const MATCHES: u64 = 3;

/// Shows a number to whoever runs this with `--nocapture`.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    // Who closes the pipe wants no more of it.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// What the fixtures' workers ask for each model.
pub(crate) fn offers(fixture: &Fixture) -> Vec<Offer> {
    let offer = |i| Offer {
        model: fixture.model(i).id,
        ask_input: Cycles(1_000),
        ask_output: Cycles(9_000),
    };
    (0..MODELS.len()).map(offer).collect()
}

/// The dearest run of each kind of work since the last upgrade, in instructions.
pub(crate) fn dearest(chain: &mut Chain) -> BTreeMap<String, u64> {
    let metrics = chain.page(chain.jobs, "/metrics");
    let highest = samples(&metrics, "jobs_method_highest_instructions");
    let owned = highest
        .into_iter()
        .map(|(work, most)| (work.to_owned(), most));
    owned.collect()
}

/// Asks a query of the jobs canister, and gives the instructions it took.
pub(crate) fn query_cost(
    chain: &mut Chain,
    caller: Principal,
    method: &str,
    args: impl ArgumentEncoder,
) -> u64 {
    query_cost_at(chain, chain.jobs, caller, method, args)
}

/// The same of any canister.
fn query_cost_at(
    chain: &Chain,
    canister: Principal,
    caller: Principal,
    method: &str,
    args: impl ArgumentEncoder,
) -> u64 {
    let before = queried(chain, canister);
    let arg = encode_args(args).unwrap();
    let answer = chain.network().query_call(canister, caller, method, arg);
    let answer = answer.unwrap_or_else(|reject| panic!("{method} was rejected: {reject:?}"));
    let values = IDLArgs::from_bytes(&answer).unwrap();
    let refused = values.args.iter().any(
        |value| matches!(value, IDLValue::Variant(told) if told.0.id.get_id() == idl_hash("Err")),
    );
    assert!(!refused, "{method} was refused: {values}");
    queried(chain, canister) - before
}

/// Asks for a page of a canister, and gives the instructions it took.
fn page_cost(chain: &mut Chain, canister: Principal, url: &str) -> u64 {
    let before = queried(chain, canister);
    chain.page(canister, url);
    queried(chain, canister) - before
}

/// What the queries about one job, and the pages that hold it, take in instructions, by name.
pub(crate) fn query_costs(
    chain: &mut Chain,
    caller: Principal,
    job: JobId,
    request: &JobRequest,
) -> BTreeMap<String, u64> {
    let page = JobsArgs {
        requester: None,
        before: None,
        limit: PAGE_MAX,
    };
    let receipts = ReceiptsArgs {
        from: None,
        limit: PAGE_MAX,
    };
    let costs = [
        ("job", query_cost(chain, caller, "job", (job,))),
        ("jobs", query_cost(chain, caller, "jobs", (page,))),
        ("quote", query_cost(chain, caller, "quote", (request,))),
        ("receipt", query_cost(chain, caller, "receipt", (job,))),
        (
            "receipts",
            query_cost(chain, caller, "receipts", (receipts,)),
        ),
    ];
    let named = costs.map(|(name, cost)| (format!("{name} (query)"), cost));
    named.into()
}

/// Two workers bring a checked job to its verdict, with the leases that they have.
pub(crate) fn finish(chain: &mut Chain, job: JobId, workers: &[Principal]) {
    let canister = chain.jobs;
    let mut orders = Vec::new();
    for &operator in workers {
        let claimed: Result<Vec<Order>, WorkerError> =
            chain.update(operator, canister, "claim", (Vec::<LeaseId>::new(),));
        let own = claimed
            .unwrap()
            .into_iter()
            .filter(|order| order.job == job);
        orders.extend(own.map(|order| (operator, order)));
    }
    assert_eq!(orders.len(), 2);
    // The generator first: the checker waits for what it claims.
    orders.sort_by_key(|(_, order)| order.role != Role::Generator);
    let mut reveals = Vec::new();
    for (operator, order) in &orders {
        if order.role == Role::Generator {
            let progress = ProgressArgs {
                lease: order.lease,
                from: 0,
                tokens: honest_body(order).output_tokens,
                text: "some text".to_owned(),
            };
            let told: Result<Beat, WorkerError> =
                chain.update(*operator, canister, "progress", (progress,));
            told.unwrap();
        }
        let transcript = |lease| {
            let told: Result<Claim, WorkerError> =
                chain.update(*operator, canister, "transcript", (lease,));
            told.unwrap()
        };
        let (commit, reveal) = honest_work(canister, *operator, order, transcript);
        let done: Result<(), WorkerError> = chain.update(*operator, canister, "commit", (commit,));
        done.unwrap();
        reveals.push((*operator, reveal));
    }
    for (operator, reveal) in reveals {
        let done: Result<(), WorkerError> = chain.update(operator, canister, "reveal", (reveal,));
        done.unwrap();
    }
}

/// Instructions of all queries that a canister ever answered.
fn queried(chain: &Chain, canister: Principal) -> u64 {
    let status = chain.network().canister_status(canister, Some(admin()));
    let total = status.unwrap().query_stats.num_instructions_total;
    total.0.try_into().unwrap()
}

/// Takes the jobs canister's memory out of the network, lets `live` go on with it natively, and gives it back as an
/// upgrade to the same code.
pub(crate) fn natively(chain: &mut Chain, live: impl FnOnce(&mut Native<'_>)) {
    let (network, jobs) = (chain.network(), chain.jobs);
    network.stop_canister(jobs, Some(admin())).unwrap();
    let bytes = network.get_stable_memory(jobs);
    // A network that nobody asks anything for a minute is given up.
    let awake = || {
        network.get_time();
    };
    let mut native = Native::new(bytes, jobs, Timestamp(chain.time()), &awake);
    live(&mut native);
    let (bytes, now) = native.end();
    let passed = now.since(Timestamp(chain.time()));
    network.advance_time(Duration::from_nanos(passed));
    give_memory(chain, bytes);
    chain.upgrade_stopped(jobs, "jobs", &encode_one(None::<()>).unwrap());
}

/// Replaces the memory of the jobs canister, which is stopped.
fn give_memory(chain: &mut Chain, bytes: Vec<u8>) {
    let (network, jobs) = (chain.network(), chain.jobs);
    if bytes.len() <= BLOB_BYTES {
        network.set_stable_memory(jobs, bytes, BlobCompression::NoCompression);
        return;
    }
    // A snapshot on the disk holds whatever a canister may.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let taken = network
        .take_canister_snapshot(jobs, Some(admin()), None)
        .unwrap();
    network.canister_snapshot_download(jobs, admin(), taken.id.clone(), path.clone());
    let metadata = path.join("metadata.json");
    let told = fs::read_to_string(&metadata).unwrap();
    let mut told: serde_json::Value = serde_json::from_str(&told).unwrap();
    told["stable_memory_size"] = bytes.len().into();
    fs::write(metadata, told.to_string()).unwrap();
    fs::write(path.join("stable_memory.bin"), bytes).unwrap();
    let made = network.canister_snapshot_upload(jobs, admin(), Some(taken.id), path);
    network
        .load_canister_snapshot(jobs, Some(admin()), made)
        .unwrap();
}

/// How large the market is.
#[derive(Clone, Copy, Debug)]
struct Load {
    /// Jobs that are open.
    jobs: usize,
    workers: u32,
}

impl Load {
    const FULL: Self = Self {
        jobs: OPEN_JOBS_MAX - 1,
        workers: 1_000,
    };
    const TENTH: Self = Self {
        jobs: OPEN_JOBS_MAX / 10 - 1,
        workers: 401,
    };

    fn asked() -> Self {
        match env::var_os(FULL_VARIABLE) {
            Some(_) => Self::FULL,
            None => Self::TENTH,
        }
    }

    fn leases(self) -> u64 {
        u64::from(self.workers) * u64::from(SLOTS)
    }
}

/// That many open jobs, on which all workers are at work with all their slots.
fn crowded(load: Load, fixture: &Fixture) -> (Chain, SubmitArgs) {
    let mut chain = Chain::with_rules(1, 250, Rules::LAX);
    let offers = offers(fixture);
    let asked = SubmitArgs {
        deadline_seconds: 3_600,
        ..submit(ModelRef::Name(MODELS[0].to_owned()), 1)
    };
    natively(&mut chain, |native| {
        native.sync(fixture);
        // While the queue grows few offer anything, so that each quote is quick.
        let few = fixture.workers.iter().step_by(PROVIDERS_APART);
        native.offer(&few.copied().collect::<Vec<_>>(), &offers);
        native.submit(load.jobs, &asked);
        native.offer(&fixture.workers, &offers);
        native.ready(&fixture.workers, SLOTS);
        native.match_all();
        let claimed = native.claim(&fixture.workers).len();
        assert_eq!(claimed as u64, load.leases());
        native.ready(&fixture.workers, 0);
    });
    (chain, asked)
}

/// The generator that a checker waits for shows as many tokens as the job may have.
fn stream_all(chain: &mut Chain, checker: &Order) {
    let view: Result<JobView, JobError> = chain.query(admin(), chain.jobs, "job", (checker.job,));
    let view = view.unwrap();
    let generator = view
        .leases
        .iter()
        .find(|lease| lease.role == Role::Generator);
    let generator = generator.expect("somebody generates");
    let progress = ProgressArgs {
        lease: generator.id,
        from: 0,
        tokens: vec![7; checker.parameters.max_tokens as usize],
        text: "some text".to_owned(),
    };
    let told: Result<Beat, WorkerError> =
        chain.update(generator.worker, chain.jobs, "progress", (progress,));
    told.unwrap();
}

/// Shows what queries took, none of which may take too much.
fn check_queries(queries: &[(&str, u64)]) {
    for (method, instructions) in queries {
        say(format_args!("{method} {instructions}"));
        assert!(
            *instructions < QUERY_INSTRUCTIONS_MAX,
            "{method}: {instructions}"
        );
    }
}

/// The receipt of a job, once it is certified.
pub(crate) fn receipt(chain: &mut Chain, job: JobId) -> Option<CertifiedReceipt> {
    let told: Result<CertifiedReceipt, JobError> =
        chain.query(admin(), chain.jobs, "receipt", (job,));
    told.ok()
}

#[test]
fn a_long_queue_and_all_leases_expiring_together_overtax_no_message() {
    let load = Load::asked();
    let fixture = Fixture::crowd(load.workers, SLOTS);
    let (chain, asked) = crowded(load, &fixture);
    let mut bank = Bank::beside(chain);
    let chain = &mut bank.chain;
    let (jobs, leases) = (chain.jobs, load.leases());
    let worker = fixture.workers[0];
    let someone = requester(1);

    let page = JobsArgs {
        requester: None,
        before: None,
        limit: PAGE_MAX,
    };
    let own = JobsArgs {
        requester: Some(someone),
        ..page
    };
    let stream = StreamArgs {
        job: JobId(1),
        round: 0,
        cursor: 0,
    };
    let queries = [
        (
            "quote",
            query_cost(
                chain,
                someone,
                "quote",
                (request(asked.request.model.clone()),),
            ),
        ),
        ("events", query_cost(chain, admin(), "events", (0u64,))),
        ("job", query_cost(chain, someone, "job", (JobId(1),))),
        ("jobs", query_cost(chain, someone, "jobs", (page,))),
        ("jobs of one", query_cost(chain, someone, "jobs", (own,))),
        ("stream", query_cost(chain, someone, "stream", (stream,))),
        (
            "balance",
            query_cost(chain, someone, "balance", (None::<Principal>,)),
        ),
        (
            "holdings",
            query_cost(chain, someone, "holdings", (None::<Principal>,)),
        ),
        ("work", query_cost(chain, worker, "work", ())),
        ("explain", query_cost(chain, worker, "explain", (worker,))),
        ("earnings", query_cost(chain, worker, "earnings", (worker,))),
        ("stats", query_cost(chain, worker, "stats", ())),
    ];
    check_queries(&queries);

    // The last place is taken, and nobody comes in after it.
    let mut last = asked;
    last.idempotency_key = b"last".to_vec();
    chain.fund(admin(), last.price_cap.0).unwrap();
    let told: Result<Submitted, SubmitError> = chain.update(admin(), jobs, "submit", (&last,));
    let newest = told.unwrap().job;
    assert_eq!(newest, JobId(load.jobs as u64 + 1));
    last.idempotency_key = b"too late".to_vec();
    if load.jobs + 1 == OPEN_JOBS_MAX {
        let full: Result<Submitted, SubmitError> = chain.update(admin(), jobs, "submit", (&last,));
        assert_eq!(full, Err(SubmitError::QueueFull));
    }
    let set: Result<(), WorkerError> =
        chain.update(worker, jobs, "set_offers", (offers(&fixture),));
    set.unwrap();
    let claimed: Result<Vec<Order>, WorkerError> =
        chain.update(worker, jobs, "claim", (Vec::<LeaseId>::new(),));
    let claimed = claimed.unwrap();
    let leased: Vec<LeaseId> = claimed.iter().map(|order| order.lease).collect();
    let beats: Result<Vec<(LeaseId, Beat)>, WorkerError> =
        chain.update(worker, jobs, "heartbeat", (&leased,));
    assert_eq!(beats.unwrap().len(), usize::from(SLOTS));
    let told: Result<(), WorkerError> = chain.update(worker, jobs, "ready", (0_u16,));
    told.unwrap();

    // One job comes to its verdict, and what may be asked for beside that is done once.
    let view: Result<JobView, JobError> = chain.query(someone, jobs, "job", (JobId(1),));
    let view = view.unwrap();
    let holders: Vec<Principal> = view.leases.iter().map(|lease| lease.worker).collect();
    finish(chain, JobId(1), &holders);
    let told: Result<(), JobError> = chain.update(admin(), jobs, "cancel", (newest,));
    told.unwrap();
    others::ask_for_them(&mut bank, &last, newest);
    let chain = &mut bank.chain;
    let idle = fixture.workers[1];
    let told: Result<Vec<Order>, WorkerError> =
        chain.update(idle, jobs, "claim", (Vec::<LeaseId>::new(),));
    let [first, second, ..] = &told.unwrap()[..] else {
        panic!("every worker has all its slots full");
    };
    for (method, lease) in [("abandon", first.lease), ("decline", second.lease)] {
        let told: Result<(), WorkerError> =
            chain.update(idle, jobs, method, (lease, "no room for it"));
        told.unwrap();
    }
    chain.sync().unwrap();
    let mut rounds = 0;
    while receipt(chain, JobId(1)).is_none() {
        chain.network().tick();
        rounds += 1;
        assert!(rounds < ROUNDS_MAX, "{:?}", chain.stats());
    }
    let checks = |order: &&Order| order.role == Role::Checker && order.job != JobId(1);
    let checker = claimed
        .iter()
        .find(checks)
        .expect("one of ten leases checks");
    stream_all(chain, checker);
    let queries = [
        (
            "transfers",
            query_cost(
                chain,
                admin(),
                "transfers",
                (TransfersArgs {
                    account: None,
                    open: false,
                    before: None,
                    limit: PAGE_MAX,
                },),
            ),
        ),
        (
            "canaries",
            query_cost(chain, admin(), "canaries", (None::<u64>,)),
        ),
        ("rules", query_cost(chain, someone, "rules", ())),
        ("ledger", query_cost(chain, someone, "ledger", ())),
        (
            "follow",
            query_cost(chain, worker, "follow", (checker.lease, 0u32)),
        ),
    ];
    check_queries(&queries);
    let costs = query_costs(chain, someone, JobId(1), &last.request);
    for (method, instructions) in &costs {
        check_queries(&[(method, *instructions)]);
    }
    for url in PAGES {
        check_queries(&[(url, page_cost(chain, jobs, url))]);
    }

    // All leases lose their heartbeat in the same moment.
    let before = chain.stats();
    assert_eq!(before.leases, leases);
    // One has ended, and two may wait for somebody else.
    assert!(before.running + 3 >= leases / 2, "{before:?}");
    for _ in 0..LEASE_SECONDS + 2 {
        chain.skip(1);
        chain.network().tick();
    }
    let mut rounds = 0;
    while chain.stats().running > 0 {
        chain.network().tick();
        rounds += 1;
        assert!(rounds < ROUNDS_MAX, "{:?}", chain.stats());
    }
    let after = chain.stats();
    assert_eq!(
        after.queued,
        load.jobs as u64 - 1,
        "every job is asked again but the cancelled and the verified one"
    );
    let expiring = dearest(chain);

    // Everybody is free, and everything waits.
    natively(chain, |native| native.ready(&fixture.workers, SLOTS));
    let mut rounds = 0;
    let matched = |chain: &mut Chain| {
        let metrics = chain.page(jobs, "/metrics");
        samples(&metrics, "jobs_method_calls_total")
            .get("match")
            .copied()
    };
    while matched(chain).is_none_or(|matches| matches < MATCHES) {
        chain.network().tick();
        rounds += 1;
        assert!(rounds < ROUNDS_MAX, "{:?}", chain.stats());
    }
    assert!(chain.stats().running > 0);

    for costs in [expiring, dearest(chain)] {
        for (work, instructions) in costs {
            say(format_args!("{work} {instructions}"));
            assert!(instructions < INSTRUCTIONS_MAX, "{work}: {instructions}");
        }
    }
    chain.check_money().unwrap();
}
