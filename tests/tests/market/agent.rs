//! The whole way as outsiders go it: to a live network over HTTP, with `ic-agent` and every one of its checks on.

use std::time::{Duration, Instant};

use assay_jobs_core::testing::{Fixture, body_root, honest_body, honest_opening};
use assay_protocol::{
    Cycles, Hash32, JobId, LeaseId,
    job::{JobError, JobState, JobView, Quote, SubmitError, Submitted, Verdict},
    lease::{
        Claim, CommitArgs, Offer, Opening, Order, RevealArgs, Role, WorkHint, WorkerError,
        commitment,
    },
    receipt::{CertifiedReceipt, RECEIPTS_LABEL},
    registry::{Model, Provider, ProviderArgs, RegistryError, Worker},
    request::ModelRef,
};
use assay_tests::{block_on, networks, packed};
use candid::{CandidType, Principal, decode_args, encode_args, encode_one, utils::ArgumentEncoder};
use ic_agent::{
    Agent, Certificate,
    hash_tree::{HashTree, LookupResult},
};
use ic_management_canister_types as ic;
use serde::de::DeserializeOwned;

use crate::{
    authority::submit,
    chain::{FundArgs, FundError, JobsArgs, SyncError, registrable, worker_args},
};

/// How long anything may take before the test has gone wrong.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what others must do first.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What everybody knows of the network.
struct Address {
    url: String,
    root_key: Vec<u8>,
    /// The effective canister id for creating canisters.
    anywhere: Principal,
}

/// Somebody with a key of their own.
struct Person {
    agent: Agent,
    id: Principal,
}

impl Person {
    fn new(network: &Address, key: u8) -> Self {
        let agent = assay_tests::agent(&network.url, network.root_key.clone(), key);
        let id = agent.get_principal().unwrap();
        Self { agent, id }
    }

    async fn update<R: CandidType + DeserializeOwned>(
        &self,
        canister: Principal,
        method: &str,
        args: impl ArgumentEncoder,
    ) -> R {
        let call = self
            .agent
            .update(&canister, method)
            .with_arg(encode_args(args).unwrap());
        let reply = call
            .call_and_wait()
            .await
            .unwrap_or_else(|error| panic!("{method}: {error}"));
        decode_args::<(R,)>(&reply).unwrap().0
    }

    async fn query<R: CandidType + DeserializeOwned>(
        &self,
        canister: Principal,
        method: &str,
        args: impl ArgumentEncoder,
    ) -> R {
        let call = self
            .agent
            .query(&canister, method)
            .with_arg(encode_args(args).unwrap());
        let reply = call
            .call_with_verification()
            .await
            .unwrap_or_else(|error| panic!("{method}: {error}"));
        decode_args::<(R,)>(&reply).unwrap().0
    }

    async fn manage(&self, method: &str, target: Principal, arg: &impl CandidType) -> Vec<u8> {
        let call = self
            .agent
            .update(&Principal::management_canister(), method)
            .with_effective_canister_id(target)
            .with_arg(encode_one(arg).unwrap());
        call.call_and_wait()
            .await
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    async fn install(&self, network: &Address, name: &str, arg: Vec<u8>) -> Principal {
        let create = ic::ProvisionalCreateCanisterWithCyclesArgs {
            amount: Some(1_000_000_000_000_000u128.into()),
            ..Default::default()
        };
        let reply = self
            .manage(
                "provisional_create_canister_with_cycles",
                network.anywhere,
                &create,
            )
            .await;
        let (record,) = decode_args::<(ic::CanisterIdRecord,)>(&reply).unwrap();
        self.put(
            record.canister_id,
            ic::CanisterInstallMode::Install,
            name,
            arg,
        )
        .await;
        record.canister_id
    }

    async fn upgrade(&self, canister_id: Principal, name: &str) {
        let record = ic::CanisterIdRecord { canister_id };
        self.manage("stop_canister", canister_id, &record).await;
        let arg = encode_one(None::<()>).unwrap();
        self.put(
            canister_id,
            ic::CanisterInstallMode::Upgrade(None),
            name,
            arg,
        )
        .await;
        self.manage("start_canister", canister_id, &record).await;
    }

    async fn put(
        &self,
        canister_id: Principal,
        mode: ic::CanisterInstallMode,
        name: &str,
        arg: Vec<u8>,
    ) {
        let args = ic::InstallCodeArgs {
            mode,
            canister_id,
            wasm_module: packed(name),
            arg,
            sender_canister_version: None,
        };
        self.manage("install_code", canister_id, &args).await;
    }

    /// Takes over the one lease that the canister gives this worker.
    async fn claim(&self, jobs: Principal) -> Order {
        let start = Instant::now();
        loop {
            let hint: Result<WorkHint, WorkerError> = self.query(jobs, "work", ()).await;
            if hint.unwrap().unclaimed > 0 {
                let orders: Result<Vec<Order>, WorkerError> =
                    self.update(jobs, "claim", (Vec::<LeaseId>::new(),)).await;
                return orders.unwrap().remove(0);
            }
            assert!(start.elapsed() < PATIENCE, "no lease came");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Finds what an honest worker finds, and commits to it.
    async fn commit(&self, jobs: Principal, order: &Order) -> RevealArgs {
        let body = honest_body(order);
        let (opening, claim) = if order.role == Role::Checker {
            let claim: Result<Claim, WorkerError> =
                self.update(jobs, "transcript", (order.lease,)).await;
            (honest_opening(order, &claim.unwrap()), None)
        } else {
            let claim = Claim {
                output: body.output_tokens.clone(),
                finish: body.finish,
            };
            (Opening::Result(body.clone()), Some(claim))
        };
        let nonce = Hash32::sha256(self.id.as_slice());
        let root = body_root(order, &body);
        let commitment = commitment(&jobs, order.lease, &self.id, &nonce, &root);
        let args = CommitArgs {
            lease: order.lease,
            commitment,
            claim,
        };
        let told: Result<(), WorkerError> = self.update(jobs, "commit", (args,)).await;
        told.unwrap();
        RevealArgs {
            lease: order.lease,
            nonce,
            opening,
        }
    }
}

#[test]
fn a_job_is_asked_worked_upgraded_over_settled_and_proved() {
    let mut network = networks()
        .with_nns_subnet()
        .with_application_subnet()
        .build();
    let anywhere = network.topology().default_effective_canister_id.canister_id;
    let address = Address {
        url: network.make_live(None).into(),
        root_key: network.root_key().unwrap(),
        anywhere: Principal::from_slice(&anywhere),
    };
    block_on(ask_work_and_prove(&address));
}

async fn ask_work_and_prove(network: &Address) {
    let admin = Person::new(network, 1);
    let asker = Person::new(network, 2);
    let workers = [Person::new(network, 3), Person::new(network, 4)];
    let owners = [Person::new(network, 5), Person::new(network, 6)];

    let registry = admin
        .install(network, "registry", encode_one(None::<()>).unwrap())
        .await;
    let args = JobsArgs {
        registry: Some(registry),
        fee_bps: Some(250),
        rules: None,
    };
    let jobs = admin
        .install(network, "jobs", encode_one(Some(args)).unwrap())
        .await;
    let purse = admin
        .install(network, "purse", encode_args(()).unwrap())
        .await;

    // Register: a model, and two providers with a worker each.
    let manifest = registrable(Fixture::new(1, 1, 1).model(0).manifest.clone());
    let model: Result<Model, RegistryError> =
        admin.update(registry, "register_model", (manifest,)).await;
    let model = model.unwrap();
    for (owner, worker) in owners.iter().zip(&workers) {
        let args = ProviderArgs {
            name: "provider".to_owned(),
            contact: String::new(),
            payout: None,
        };
        let told: Result<Provider, RegistryError> =
            owner.update(registry, "register_provider", (args,)).await;
        told.unwrap();
        let fixture = Fixture::new(1, 1, 1);
        let mut args = worker_args(fixture.worker(fixture.workers[0]));
        args.operator = worker.id;
        let told: Result<Worker, RegistryError> =
            owner.update(registry, "add_worker", (args,)).await;
        told.unwrap();
    }
    // Another reading may be under way, begun before the last change: then this asks again.
    let start = Instant::now();
    loop {
        let told: Result<(), SyncError> = admin.update(jobs, "sync_registry", ()).await;
        match told {
            Ok(()) => break,
            Err(SyncError::Busy) => assert!(start.elapsed() < PATIENCE),
            Err(error) => panic!("{error:?}"),
        }
    }
    for worker in &workers {
        let offer = Offer {
            model: model.id,
            ask_input: Cycles(1_000),
            ask_output: Cycles(10_000),
        };
        let told: Result<(), WorkerError> = worker.update(jobs, "set_offers", (vec![offer],)).await;
        told.unwrap();
        let told: Result<(), WorkerError> = worker.update(jobs, "ready", (1u16,)).await;
        told.unwrap();
    }

    // Ask.
    let funds = FundArgs {
        jobs,
        beneficiary: asker.id,
        amount: 1_000_000_000,
    };
    let told: Result<Cycles, FundError> = admin.update(purse, "fund", (funds,)).await;
    assert_eq!(told, Ok(Cycles(1_000_000_000)));
    let mut args = submit(ModelRef::Name(model.manifest.name.clone()), 1);
    let quote: Result<Quote, SubmitError> = asker.query(jobs, "quote", (&args.request,)).await;
    args.price_cap = quote.unwrap().price_max;
    let submitted: Result<Submitted, SubmitError> = asker.update(jobs, "submit", (&args,)).await;
    let job = submitted.unwrap().job;

    // Work: both have a lease, the generator commits, everything is upgraded, the checker commits, both reveal.
    let orders = [workers[0].claim(jobs).await, workers[1].claim(jobs).await];
    let generator = usize::from(orders[1].role == Role::Generator);
    let mut reveals = Vec::new();
    for (turn, i) in [generator, 1 - generator].into_iter().enumerate() {
        if turn == 1 {
            admin.upgrade(jobs, "jobs").await;
            admin.upgrade(registry, "registry").await;
        }
        reveals.push((i, workers[i].commit(jobs, &orders[i]).await));
    }
    for (i, reveal) in reveals {
        let told: Result<(), WorkerError> = workers[i].update(jobs, "reveal", (reveal,)).await;
        told.unwrap();
    }

    // The verdict, as the requester and as others see it.
    let view: Result<JobView, JobError> = asker.query(jobs, "job", (job,)).await;
    let view = view.unwrap();
    assert_eq!(
        (view.state, view.verdict),
        (JobState::Settled, Some(Verdict::Verified))
    );
    let body = honest_body(&orders[0]);
    assert_eq!(
        view.answer.as_ref().map(|answer| answer.text.as_bytes()),
        Some(&body.answer[..])
    );
    assert_eq!(view.result_root, Some(body_root(&orders[0], &body)));
    let public: Result<JobView, JobError> = admin.query(jobs, "job", (job,)).await;
    assert_eq!(public.unwrap().answer, None);

    // The receipt, checked with nothing but the root key.
    let certified: Result<CertifiedReceipt, JobError> = asker.query(jobs, "receipt", (job,)).await;
    let certified = certified.unwrap();
    prove(&asker.agent, jobs, job, &certified);
    let salted = certified.request.unwrap();
    assert_eq!(salted.request, args.request);
    assert_eq!(
        salted.request.salted_hash(&salted.salt),
        certified.receipt.request_hash
    );

    // The money.
    let paid: u128 = certified
        .receipt
        .leases
        .iter()
        .map(|lease| lease.paid.0)
        .sum();
    for (owner, worker) in owners.iter().zip(&workers) {
        let balance: Cycles = owner.query(jobs, "balance", (None::<Principal>,)).await;
        let lease = certified
            .receipt
            .leases
            .iter()
            .find(|lease| lease.worker == worker.id)
            .unwrap();
        assert_eq!(balance, lease.paid);
        assert!(balance > Cycles::ZERO);
    }
    let balance: Cycles = asker.query(jobs, "balance", (None::<Principal>,)).await;
    let spent = paid + certified.receipt.fee.0 + certified.receipt.royalty.0;
    assert_eq!(balance.0, 1_000_000_000 - spent);
}

/// Checks a receipt as anybody can who trusts the root key.
fn prove(agent: &Agent, jobs: Principal, job: JobId, certified: &CertifiedReceipt) {
    let certificate: Certificate = serde_cbor::from_slice(&certified.certificate).unwrap();
    agent.verify(&certificate, jobs).unwrap();
    let path = [b"canister".as_slice(), jobs.as_slice(), b"certified_data"];
    let LookupResult::Found(certified_data) = certificate.tree.lookup_path(path) else {
        panic!("the certificate has no certified data")
    };
    let witness: HashTree<Vec<u8>> = serde_cbor::from_slice(&certified.witness).unwrap();
    assert_eq!(witness.digest(), certified_data);
    let Hash32(hash) = certified.receipt.hash();
    let leaf = witness.lookup_path([RECEIPTS_LABEL, &job.0.to_be_bytes()]);
    assert_eq!(leaf, LookupResult::Found(&hash));
    assert_eq!(
        (certified.receipt.canister, certified.receipt.job),
        (jobs, job)
    );
}
