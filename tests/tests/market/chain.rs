//! The canisters on a network of their own, whose clock only the tests move.

use std::time::Duration;

use assay_jobs_core::{
    Rules,
    testing::{Fixture, funder, model_owner},
};
use assay_protocol::{
    Cycles, Hash32, JobId,
    job::{DepositError, Stats},
    receipt::{CertifiedReceipt, HashedReceipt, RECEIPTS_LABEL, ReceiptsPage},
    registry::{
        Model, ModelFile, ModelManifest, Provider, ProviderArgs, Record, RegistryError, Worker,
        WorkerArgs,
    },
};
use assay_tests::{networks, packed};
use candid::{
    CandidType, Nat, Principal, decode_args, encode_args, encode_one, utils::ArgumentEncoder,
};
use ic_agent::{
    Certificate,
    hash_tree::{HashTree, LookupResult},
};
use pocket_ic::{
    CanisterSettings, CreateCanisterParams, PocketIc, RejectResponse, Time,
    common::rest::RawMessageId,
};
use serde::{Deserialize, de::DeserializeOwned};

/// The beginning of the tests' clock.
pub(crate) const START: Time = Time::from_nanos_since_unix_epoch(1_700_000_000 * 1_000_000_000);
/// Rounds after which nothing is left to do: a timer's call, random bytes, and the calls and timers that come of them,
/// take a round each at most.
const RESTING_ROUNDS: usize = 8;
/// The canisters' most frequent timers run this often.
const TIMER_SECONDS: u64 = 2;
/// What a canister starts with.
const FIRST_CYCLES: u128 = 1_000_000_000_000_000;

/// Install arguments of the jobs canister.
#[derive(Clone, Copy, Debug, Default, CandidType)]
pub(crate) struct JobsArgs {
    pub(crate) registry: Option<Principal>,
    pub(crate) fee_bps: Option<u16>,
    pub(crate) rules: Option<Rules>,
}

/// The purse's argument and error, as its interface writes them.
#[derive(Clone, Copy, Debug, CandidType)]
pub(crate) struct FundArgs {
    pub(crate) jobs: Principal,
    pub(crate) beneficiary: Principal,
    pub(crate) amount: u128,
}

#[derive(Clone, Debug, PartialEq, CandidType, Deserialize)]
pub(crate) enum FundError {
    NotAController { caller: Principal },
    Amount { amount: Cycles, max: Cycles },
    InsufficientFunds { amount: Cycles, available: Cycles },
    Refused(DepositError),
    Unreachable(String),
    OutcomeUnknown(String),
    Other(String),
}

#[derive(Clone, Debug, PartialEq, CandidType, Deserialize)]
pub(crate) enum SyncError {
    NoRegistry,
    Busy,
    Anonymous,
    Unreachable(String),
    Other(String),
}

#[derive(CandidType)]
struct HttpRequest {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What a canister answers to a browser.
#[derive(CandidType, Deserialize)]
pub(crate) struct HttpResponse {
    pub(crate) status_code: u16,
    pub(crate) headers: Vec<(String, String)>,
    #[serde(with = "serde_bytes")]
    pub(crate) body: Vec<u8>,
}

/// A call whose answer is still to come.
pub(crate) struct Begun {
    id: RawMessageId,
    method: &'static str,
}

/// A network with the market on it.
pub(crate) struct Chain {
    network: PocketIc,
    /// Every canister here, and the cycles that all of them began with.
    canisters: Vec<Principal>,
    given: u128,
    pub(crate) registry: Principal,
    pub(crate) jobs: Principal,
    pub(crate) purse: Principal,
}

/// Who controls every canister.
pub(crate) fn admin() -> Principal {
    funder()
}

impl Chain {
    /// A market with this fee and without audits and stake, whose registry is empty.
    pub(crate) fn new(seed: u64, fee_bps: u16) -> Self {
        Self::with_rules(seed, fee_bps, Rules::LAX)
    }

    /// The same under these rules.
    pub(crate) fn with_rules(seed: u64, fee_bps: u16, rules: Rules) -> Self {
        let mut chain = Self::bare(seed);
        chain.registry = chain.install("registry", &encode_one(None::<()>).unwrap());
        let args = JobsArgs {
            registry: Some(chain.registry),
            fee_bps: Some(fee_bps),
            rules: Some(rules),
        };
        chain.jobs = chain.install("jobs", &encode_one(Some(args)).unwrap());
        chain.purse = chain.install("purse", &encode_args(()).unwrap());
        chain.rest();
        chain
    }

    /// A network without canisters.
    pub(crate) fn bare(seed: u64) -> Self {
        let network = networks()
            .with_application_subnet()
            .with_initial_time(START)
            .build();
        Self::on(network, seed)
    }

    /// The same on a network that is there.
    pub(crate) fn on(network: PocketIc, seed: u64) -> Self {
        // Random bytes follow from the round in which they are drawn, so this gives each seed others.
        for _ in 0..seed {
            network.tick();
        }
        let nobody = Principal::management_canister();
        Self {
            network,
            canisters: Vec::new(),
            given: 0,
            registry: nobody,
            jobs: nobody,
            purse: nobody,
        }
    }

    /// A new canister of the administrator's with this code.
    pub(crate) fn install(&mut self, name: &str, arg: &[u8]) -> Principal {
        self.install_with(name, arg, FIRST_CYCLES)
    }

    /// The same, with so many cycles.
    pub(crate) fn install_with(&mut self, name: &str, arg: &[u8], cycles: u128) -> Principal {
        let params = CreateCanisterParams {
            cycles: Some(cycles),
            ..CreateCanisterParams::default()
        };
        let id = self
            .network
            .create_canister_with_params(Some(admin()), params)
            .unwrap();
        self.network
            .install_canister(id, packed(name), arg.to_vec(), Some(admin()));
        self.canisters.push(id);
        self.given += cycles;
        id
    }

    /// Lets the network's clock run and answers over HTTP, and gives the address.
    pub(crate) fn go_live(&mut self) -> String {
        self.network.make_live(None).into()
    }

    /// The network itself.
    pub(crate) fn network(&self) -> &PocketIc {
        &self.network
    }

    /// Installs the same code over what is there.
    pub(crate) fn upgrade(
        &mut self,
        id: Principal,
        name: &str,
        arg: &[u8],
    ) -> Result<(), RejectResponse> {
        self.network
            .upgrade_canister(id, packed(name), arg.to_vec(), Some(admin()))
    }

    /// Upgrades every canister, as an operator does: stop, upgrade, start.
    pub(crate) fn upgrade_all(&mut self) {
        for (id, name) in [
            (self.registry, "registry"),
            (self.jobs, "jobs"),
            (self.purse, "purse"),
        ] {
            let arg = if name == "purse" {
                encode_args(())
            } else {
                encode_one(None::<()>)
            };
            self.upgrade_stopped(id, name, &arg.unwrap());
        }
    }

    /// Upgrades one of them in that way.
    pub(crate) fn upgrade_stopped(&mut self, id: Principal, name: &str, arg: &[u8]) {
        self.network.stop_canister(id, Some(admin())).unwrap();
        self.upgrade(id, name, arg).unwrap();
        self.network.start_canister(id, Some(admin())).unwrap();
    }

    /// Calls an update and waits for its answer.
    pub(crate) fn update<R: CandidType + DeserializeOwned>(
        &mut self,
        sender: Principal,
        canister: Principal,
        method: &str,
        args: impl ArgumentEncoder,
    ) -> R {
        let reply = self.try_update(sender, canister, method, args);
        let reply = reply.unwrap_or_else(|reject| panic!("{method} was rejected: {reject:?}"));
        decode(method, &reply)
    }

    /// Calls an update that may be rejected.
    pub(crate) fn try_update(
        &mut self,
        sender: Principal,
        canister: Principal,
        method: &str,
        args: impl ArgumentEncoder,
    ) -> Result<Vec<u8>, RejectResponse> {
        self.update_raw(sender, canister, method, encode_args(args).unwrap())
    }

    /// Calls an update with these bytes as its argument.
    pub(crate) fn update_raw(
        &mut self,
        sender: Principal,
        canister: Principal,
        method: &str,
        arg: Vec<u8>,
    ) -> Result<Vec<u8>, RejectResponse> {
        self.network.update_call(canister, sender, method, arg)
    }

    /// Sends an update of the jobs canister, whose answer may wait for what others do.
    pub(crate) fn begin(
        &mut self,
        sender: Principal,
        method: &'static str,
        args: impl ArgumentEncoder,
    ) -> Begun {
        let arg = encode_args(args).unwrap();
        let id = self.network.submit_call(self.jobs, sender, method, arg);
        Begun {
            id: id.unwrap(),
            method,
        }
    }

    /// Waits for its answer.
    pub(crate) fn end<R: CandidType + DeserializeOwned>(
        &mut self,
        Begun { id, method }: Begun,
    ) -> Result<R, RejectResponse> {
        let reply = self.network.await_call(id)?;
        Ok(decode(method, &reply))
    }

    /// Asks a query.
    pub(crate) fn query<R: CandidType + DeserializeOwned>(
        &mut self,
        sender: Principal,
        canister: Principal,
        method: &str,
        args: impl ArgumentEncoder,
    ) -> R {
        let arg = encode_args(args).unwrap();
        let reply = self.network.query_call(canister, sender, method, arg);
        let reply = reply.unwrap_or_else(|reject| panic!("{method} was rejected: {reject:?}"));
        decode(method, &reply)
    }

    /// The time, in nanoseconds.
    pub(crate) fn time(&self) -> u64 {
        self.network.get_time().as_nanos_since_unix_epoch()
    }

    /// Moves the clock without letting anything run.
    pub(crate) fn skip(&mut self, seconds: u64) {
        self.network.advance_time(Duration::from_secs(seconds));
    }

    /// Lets time pass while timers run, and everything that they began come to its end.
    pub(crate) fn pass(&mut self, seconds: u64) {
        // Asked once; each round moves the clock by a nanosecond.
        let (mut now, mut rest) = (self.time(), seconds);
        while rest > 0 {
            let part = rest.min(TIMER_SECONDS);
            now += part * 1_000_000_000 + 1;
            self.network
                .set_time(Time::from_nanos_since_unix_epoch(now));
            self.network.tick();
            rest -= part;
        }
        self.rest();
    }

    /// Runs all that can be done now, timers that are due included, so that the next message comes alone.
    pub(crate) fn rest(&mut self) {
        for _ in 0..RESTING_ROUNDS {
            self.network.tick();
        }
    }

    /// Registers everything in a fixture, and lets the jobs canister read it. The registry wants each model to have
    /// a file, so models get one, and with it another id.
    pub(crate) fn register(&mut self, fixture: &mut Fixture) {
        let registry = self.registry;
        for record in &mut fixture.records {
            match record {
                Record::Provider(Provider {
                    id,
                    name,
                    contact,
                    payout,
                    ..
                }) => {
                    let args = ProviderArgs {
                        name: name.clone(),
                        contact: contact.clone(),
                        payout: Some(*payout),
                    };
                    let told: Result<Provider, RegistryError> =
                        self.update(*id, registry, "register_provider", (args,));
                    told.unwrap();
                }
                Record::Worker(worker) => {
                    let told: Result<Worker, RegistryError> = self.update(
                        worker.provider,
                        registry,
                        "add_worker",
                        (worker_args(worker),),
                    );
                    told.unwrap();
                }
                Record::Model(model) => {
                    model.manifest = registrable(model.manifest.clone());
                    model.id = model.manifest.id();
                    let told: Result<Model, RegistryError> = self.update(
                        model_owner(),
                        registry,
                        "register_model",
                        (model.manifest.clone(),),
                    );
                    assert_eq!(told.unwrap().id, model.id);
                }
            }
        }
        self.sync().unwrap();
    }

    /// Lets the jobs canister read the registry now.
    pub(crate) fn sync(&mut self) -> Result<(), SyncError> {
        self.update(admin(), self.jobs, "sync_registry", ())
    }

    /// Deposits cycles of the purse.
    pub(crate) fn fund(
        &mut self,
        beneficiary: Principal,
        amount: u128,
    ) -> Result<Cycles, FundError> {
        let args = FundArgs {
            jobs: self.jobs,
            beneficiary,
            amount,
        };
        self.update(admin(), self.purse, "fund", (args,))
    }

    /// What a canister answers to a browser.
    pub(crate) fn http(&mut self, canister: Principal, method: &str, url: &str) -> HttpResponse {
        let request = HttpRequest {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        self.query(admin(), canister, "http_request", (request,))
    }

    /// A page of a canister, which must be there.
    pub(crate) fn page(&mut self, canister: Principal, url: &str) -> String {
        let response = self.http(canister, "GET", url);
        assert_eq!(response.status_code, 200, "{url}");
        String::from_utf8(response.body).unwrap()
    }

    /// The jobs canister's numbers.
    pub(crate) fn stats(&mut self) -> Stats {
        self.query(admin(), self.jobs, "stats", ())
    }

    /// A canister's cycles.
    pub(crate) fn cycles(&mut self, canister: Principal) -> u128 {
        self.network.cycle_balance(canister)
    }

    /// Lets a canister use only so many of its cycles, and none if zero; `None` gives it all again.
    pub(crate) fn spare(&mut self, canister: Principal, cycles: Option<u128>) {
        const USUAL_SECONDS: u128 = 30 * 86_400;
        let seconds = cycles.map_or(USUAL_SECONDS, |cycles| {
            let status = self
                .network
                .canister_status(canister, Some(admin()))
                .unwrap();
            let burned: u128 = status.idle_cycles_burned_per_day.0.try_into().unwrap();
            let kept = self.network.cycle_balance(canister) - cycles;
            // One more, so that it lacks something.
            kept * 86_400 / burned + 1
        });
        let settings = CanisterSettings {
            freezing_threshold: Some(Nat::from(seconds)),
            ..CanisterSettings::default()
        };
        self.network
            .update_canister_settings(canister, Some(admin()), settings)
            .unwrap();
    }

    /// Checks a receipt's witness against the certified data, as a verifier does once the certificate is checked.
    pub(crate) fn check_witness(
        &self,
        job: JobId,
        certified: &CertifiedReceipt,
    ) -> Result<(), String> {
        let certificate: Certificate =
            serde_cbor::from_slice(&certified.certificate).map_err(|error| error.to_string())?;
        let path = [
            b"canister".as_slice(),
            self.jobs.as_slice(),
            b"certified_data",
        ];
        let LookupResult::Found(certified_data) = certificate.tree.lookup_path(path) else {
            return Err(format!(
                "the certificate of job {job} has no certified data"
            ));
        };
        let tree: HashTree<Vec<u8>> =
            serde_cbor::from_slice(&certified.witness).map_err(|error| error.to_string())?;
        if tree.digest() != certified_data {
            return Err(format!(
                "the witness of job {job} does not lead to the certified data"
            ));
        }
        let Hash32(hash) = certified.receipt.hash();
        match tree.lookup_path([RECEIPTS_LABEL, &job.0.to_be_bytes()]) {
            LookupResult::Found(leaf) if leaf == hash => Ok(()),
            other => Err(format!("the witness of job {job} shows {other:?}")),
        }
    }

    /// Checks that one witness leads to every receipt of a page, in the same way.
    pub(crate) fn check_page(&self, page: &ReceiptsPage) -> Result<(), String> {
        for HashedReceipt { hash, receipt } in &page.receipts {
            let certified = CertifiedReceipt {
                receipt: receipt.clone(),
                certificate: page.certificate.clone(),
                witness: page.witness.clone(),
                request: None,
            };
            self.check_witness(receipt.job, &certified)?;
            if *hash != receipt.hash() {
                return Err(format!("the hash of job {} is another", receipt.job));
            }
        }
        Ok(())
    }

    /// What must hold of all money, at any time. (That the network makes and loses no cycles its own tests check after
    /// every message; from outside it can only be seen that the canisters never have more than they were given.)
    pub(crate) fn check_money(&mut self) -> Result<(), String> {
        let there: u128 = self
            .canisters
            .iter()
            .map(|canister| self.network.cycle_balance(*canister))
            .sum();
        if there > self.given {
            return Err(format!(
                "cycles were made: {there} are there, and {} were given",
                self.given
            ));
        }
        let Stats {
            deposited,
            free,
            held,
            treasury,
            reserved,
            sponsor,
            staked,
            withdrawn,
            withdrawing,
            ..
        } = self.stats();
        let ours = treasury.0 + reserved.0 + sponsor.0;
        let there = free.0 + held.0 + ours + staked.0 + withdrawing.0;
        if deposited.0 != there + withdrawn.0 {
            return Err(format!(
                "{deposited} came in and {withdrawn} left; {free} are free, {held} held, {treasury} and {reserved} the \
                 treasury's, {sponsor} the sponsor pool's, {staked} staked, {withdrawing} on their way"
            ));
        }
        Ok(())
    }
}

/// The same model with a file.
pub(crate) fn registrable(manifest: ModelManifest) -> ModelManifest {
    let file = ModelFile {
        name: "model.bin".to_owned(),
        bytes: 1,
        sha256: manifest.model_root,
        urls: Vec::new(),
    };
    ModelManifest {
        files: vec![file],
        ..manifest
    }
}

/// What adds this worker.
pub(crate) fn worker_args(worker: &Worker) -> WorkerArgs {
    WorkerArgs {
        operator: worker.operator,
        hardware: worker.hardware.clone(),
        backends: worker.backends.clone(),
        region: worker.region.clone(),
        slots: worker.slots,
    }
}

pub(crate) fn decode<R: CandidType + DeserializeOwned>(method: &str, reply: &[u8]) -> R {
    let (value,) = decode_args::<(R,)>(reply)
        .unwrap_or_else(|error| panic!("{method} answers something else: {error}"));
    value
}
