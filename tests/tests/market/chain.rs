//! The canisters on a network in this process: no socket, no clock but the one that tests move.

use std::{path::PathBuf, sync::Arc};

use assay_jobs_core::testing::{Fixture, funder, model_owner};
use assay_localnet_core::{
    network::{Network, NetworkConfig},
    system::SystemPlan,
    topology::Topology,
    types::{Ingress, IngressStatus, Query, Reject, RequestId, Time},
};
use assay_protocol::{
    Cycles, Hash32, JobId,
    job::{DepositError, Stats},
    receipt::{CertifiedReceipt, RECEIPTS_LABEL},
    registry::{
        Model, ModelFile, ModelManifest, Provider, ProviderArgs, Record, RegistryError, Worker,
        WorkerArgs,
    },
};
use candid::{
    CandidType, Decode, Principal, decode_args, encode_args, encode_one, utils::ArgumentEncoder,
};
use ic_agent::hash_tree::{HashTree, LookupResult};
use ic_management_canister_types as ic;
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

const SECOND: u64 = 1_000_000_000;
/// First second of the tests' clock.
const START: Time = Time(1_700_000_000 * SECOND);
/// Rounds after which a test has gone wrong.
const ROUNDS_MAX: usize = 1_000;
/// What a canister starts with.
const FIRST_CYCLES: u128 = 1_000_000_000_000_000;

/// The module of a canister.
pub(crate) fn module(name: &str) -> Vec<u8> {
    read(&format!("{name}.wasm"))
}

/// The module of a canister as it is shipped: packed, so that it fits into one message.
pub(crate) fn packed(name: &str) -> Vec<u8> {
    read(&format!("{name}.wasm.gz"))
}

fn read(file: &str) -> Vec<u8> {
    let folder = std::env::var_os("ASSAY_WASM_DIR")
        .expect("ASSAY_WASM_DIR is not set; build the canisters with cargo xtask wasm and name their folder");
    let path = PathBuf::from(folder).join(file);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; build it with cargo xtask wasm",
            path.display()
        )
    })
}

/// Install arguments of the jobs canister.
#[derive(Clone, Copy, Debug, Default, CandidType)]
pub(crate) struct JobsArgs {
    pub(crate) registry: Option<Principal>,
    pub(crate) fee_bps: Option<u16>,
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
    Unreachable(String),
    Other(String),
}

/// A network with the market on it.
pub(crate) struct Chain {
    network: Network,
    requests: u64,
    pub(crate) registry: Principal,
    pub(crate) jobs: Principal,
    pub(crate) purse: Principal,
}

/// Who controls every canister.
pub(crate) fn admin() -> Principal {
    funder()
}

impl Chain {
    /// A market with this fee, whose registry is empty.
    pub(crate) fn new(seed: u64, fee_bps: u16) -> Self {
        let mut chain = Self::bare(seed);
        chain.registry = chain.install("registry", &encode_one(None::<()>).unwrap());
        let args = JobsArgs {
            registry: Some(chain.registry),
            fee_bps: Some(fee_bps),
        };
        chain.jobs = chain.install("jobs", &encode_one(Some(args)).unwrap());
        chain.purse = chain.install("purse", &encode_args(()).unwrap());
        chain.settle();
        chain
    }

    /// A network without canisters.
    pub(crate) fn bare(seed: u64) -> Self {
        let config = NetworkConfig {
            seed: Sha256::digest(seed.to_le_bytes()).into(),
            start: START,
            topology: Arc::new(Topology::new(&[3; 32])),
            module_cache: Some(module_cache()),
            system: SystemPlan::none(),
        };
        let nobody = Principal::management_canister();
        Self {
            network: Network::new(config),
            requests: 0,
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
        let create = ic::ProvisionalCreateCanisterWithCyclesArgs {
            amount: Some(cycles.into()),
            ..Default::default()
        };
        let reply = self
            .manage(
                "provisional_create_canister_with_cycles",
                Principal::management_canister(),
                &create,
            )
            .unwrap();
        let id = Decode!(&reply, ic::CanisterIdRecord).unwrap().canister_id;
        self.install_code(id, ic::CanisterInstallMode::Install, name, arg)
            .unwrap();
        id
    }

    /// Installs the same code over what is there.
    pub(crate) fn upgrade(&mut self, id: Principal, name: &str, arg: &[u8]) -> Result<(), Reject> {
        self.install_code(id, ic::CanisterInstallMode::Upgrade(None), name, arg)
    }

    /// Upgrades every canister, as an operator does: stop, upgrade, start.
    pub(crate) fn upgrade_all(&mut self) {
        for (id, name) in [
            (self.registry, "registry"),
            (self.jobs, "jobs"),
            (self.purse, "purse"),
        ] {
            let record = ic::CanisterIdRecord { canister_id: id };
            self.manage("stop_canister", id, &record).unwrap();
            let arg = if name == "purse" {
                encode_args(())
            } else {
                encode_one(None::<()>)
            };
            self.upgrade(id, name, &arg.unwrap()).unwrap();
            self.manage("start_canister", id, &record).unwrap();
        }
    }

    fn install_code(
        &mut self,
        canister_id: Principal,
        mode: ic::CanisterInstallMode,
        name: &str,
        arg: &[u8],
    ) -> Result<(), Reject> {
        let args = ic::InstallCodeArgs {
            mode,
            canister_id,
            wasm_module: packed(name),
            arg: arg.to_vec(),
            sender_canister_version: None,
        };
        self.manage("install_code", canister_id, &args).map(drop)
    }

    fn manage(
        &mut self,
        method: &str,
        effective: Principal,
        arg: &impl CandidType,
    ) -> Result<Vec<u8>, Reject> {
        let arg = encode_one(arg).unwrap();
        self.update_raw(
            admin(),
            Principal::management_canister(),
            effective,
            method,
            arg,
        )
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
    ) -> Result<Vec<u8>, Reject> {
        self.update_raw(
            sender,
            canister,
            canister,
            method,
            encode_args(args).unwrap(),
        )
    }

    /// Calls an update with these bytes as its argument.
    pub(crate) fn update_raw(
        &mut self,
        sender: Principal,
        canister: Principal,
        effective_canister: Principal,
        method: &str,
        arg: Vec<u8>,
    ) -> Result<Vec<u8>, Reject> {
        self.requests += 1;
        let id = RequestId(Sha256::digest(self.requests.to_le_bytes()).into());
        let expiry = self.network.time().plus_nanos(240 * SECOND);
        self.network.submit(Ingress {
            id,
            sender,
            canister,
            effective_canister,
            method: method.to_owned(),
            arg,
            expiry,
        })?;
        for _ in 0..ROUNDS_MAX {
            match self.network.status(&id).map(|record| &record.status) {
                Some(IngressStatus::Replied(reply)) => return Ok(reply.clone()),
                Some(IngressStatus::Rejected(reject)) => return Err(reject.clone()),
                _ => self.network.round(),
            };
        }
        panic!("{method}: no answer after {ROUNDS_MAX} rounds");
    }

    /// Asks a query.
    pub(crate) fn query<R: CandidType + DeserializeOwned>(
        &mut self,
        sender: Principal,
        canister: Principal,
        method: &str,
        args: impl ArgumentEncoder,
    ) -> R {
        let query = Query {
            sender,
            canister,
            method: method.to_owned(),
            arg: encode_args(args).unwrap(),
        };
        // Whoever answers queries adds the subnet's certificate; here any bytes stand for it.
        let reply = self.network.query(&query, Some(b"certificate"));
        let reply = reply.unwrap_or_else(|reject| panic!("{method} was rejected: {reject:?}"));
        decode(method, &reply)
    }

    /// The time.
    pub(crate) fn time(&self) -> Time {
        self.network.time()
    }

    /// Moves the clock without letting anything run.
    pub(crate) fn skip(&mut self, seconds: u64) {
        let time = self.network.time().plus_nanos(seconds * SECOND);
        self.network.set_time(time);
    }

    /// Lets time pass second by second while timers run.
    pub(crate) fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.skip(1);
            self.settle();
        }
    }

    /// Runs all that can be done now.
    pub(crate) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if !self.network.round().more {
                return;
            }
        }
        panic!("not settled after {ROUNDS_MAX} rounds");
    }

    /// Runs all that can be done now and all that timers do in the next instant, so that the next message comes alone.
    pub(crate) fn rest(&mut self) {
        const INSTANT: u64 = 1_000_000;
        self.settle();
        while let Some(next) = self.network.next_timer()
            && next.0 < self.network.time().0 + INSTANT
        {
            self.network.set_time(next);
            self.settle();
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

    /// The jobs canister's numbers.
    pub(crate) fn stats(&mut self) -> Stats {
        self.query(admin(), self.jobs, "stats", ())
    }

    /// A canister's cycles.
    pub(crate) fn cycles(&mut self, canister_id: Principal) -> u128 {
        let reply = self
            .manage(
                "canister_status",
                canister_id,
                &ic::CanisterIdRecord { canister_id },
            )
            .unwrap();
        let status = Decode!(&reply, ic::CanisterStatusResult).unwrap();
        status.cycles.0.try_into().unwrap()
    }

    /// Checks a receipt's witness against the certified data, as a verifier does once the certificate is checked.
    pub(crate) fn check_witness(
        &self,
        job: JobId,
        certified: &CertifiedReceipt,
    ) -> Result<(), String> {
        let tree: HashTree<Vec<u8>> =
            serde_cbor::from_slice(&certified.witness).map_err(|error| error.to_string())?;
        let view = self
            .network
            .canister(&self.jobs)
            .ok_or("no jobs canister")?;
        if tree.digest() != view.certified_data {
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

    /// What must hold of all money, at any time.
    pub(crate) fn check_money(&mut self) -> Result<(), String> {
        let totals = self.network.cycles();
        if totals.minted != totals.held + totals.moving + totals.spent {
            return Err(format!("cycles were made or lost: {totals:?}"));
        }
        let Stats {
            deposited,
            free,
            held,
            fees,
            ..
        } = self.stats();
        if deposited.0 != free.0 + held.0 + fees.0 {
            return Err(format!(
                "{deposited} came in; {free} are free, {held} held, {fees} fees"
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

/// Compiled modules, shared by all tests of one build; the network finds them by content.
fn module_cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("modules")
}

fn decode<R: CandidType + DeserializeOwned>(method: &str, reply: &[u8]) -> R {
    let (value,) = decode_args::<(R,)>(reply)
        .unwrap_or_else(|error| panic!("{method} answers something else: {error}"));
    value
}
