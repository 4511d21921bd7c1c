//! A market of one's own: the embedded network, the canisters, and workers as separate processes.
//!
//! Invariant: dropping a [`LocalMarket`] stops everything that it started.

mod deploy;
mod fleet;
mod modules;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use assay_localnet::{CYCLES_LEDGER, Localnet, LocalnetConfig, seed_from_text};
use assay_protocol::{
    Cycles,
    frontend::Published,
    registry::{Board, Hardware, Model, ProviderArgs, WorkerArgs},
};
use assay_worker::{
    backend::TensixFile,
    cheat::Cheat,
    client::{Jobs, Network, Outcome, Registry, SyncError},
    config::RootKey,
    identity::{self, Key},
    model::LocalModel,
};
use candid::Principal;
use tokio::time::sleep;

pub use self::{
    deploy::Canisters,
    fleet::{Asks, Fleet, Launcher, Process},
    modules::Modules,
};
use crate::{
    Failure,
    home::private_dir,
    ledger::Ledger,
    page,
    show::{short, step},
};

/// What a market is made from.
#[derive(Clone, Debug)]
pub struct MarketOptions {
    /// Folder of canister modules.
    pub wasm_dir: PathBuf,
    /// Converted model file.
    pub model: PathBuf,
    /// How worker processes are started.
    pub launcher: Launcher,
    /// Threads of each worker.
    pub threads: u16,
    /// Port of the network; 0 takes a free one.
    pub port: u16,
    /// Folder for keys, settings and logs.
    pub dir: PathBuf,
    /// Folder for compiled modules.
    pub module_cache: Option<PathBuf>,
}

/// Somebody with a worker.
#[derive(Clone, Debug)]
pub struct ProviderPlan {
    /// Shown to people.
    pub name: String,
    /// The worker's prices.
    pub asks: Asks,
    /// A deliberate misbehaviour of the worker.
    pub cheat: Option<Cheat>,
    /// Chips that make the worker's products.
    pub tensix: Option<TensixFile>,
}

impl ProviderPlan {
    /// `count` honest providers with ordinary prices.
    pub fn honest(count: u16) -> Vec<Self> {
        const NAMES: [&str; 8] = [
            "Amber", "Birch", "Cedar", "Delta", "Ember", "Fjord", "Grove", "Heron",
        ];
        (0..usize::from(count))
            .map(|i| {
                let round = i / NAMES.len();
                let name = if round == 0 {
                    NAMES[i].to_owned()
                } else {
                    format!("{} {}", NAMES[i % NAMES.len()], round + 1)
                };
                Self {
                    name,
                    asks: Asks::ordinary(i),
                    cheat: None,
                    tensix: None,
                }
            })
            .collect()
    }
}

const OPERATOR_FILE: &str = "operator.pem";
/// Cycles that the operator holds on the network's cycles ledger.
const ON_LEDGER: u128 = 1_000_000_000_000_000;

/// A running market.
#[derive(Debug)]
pub struct LocalMarket {
    /// The canisters.
    pub canisters: Canisters,
    /// The registered model.
    pub model: Model,
    /// The worker processes.
    pub fleet: Fleet,
    /// Whoever controls the canisters.
    pub operator: Key,
    url: String,
    root_key: Vec<u8>,
    dir: PathBuf,
    // Last: the workers go before the network does.
    _localnet: Localnet,
}

impl LocalMarket {
    /// Starts the network, deploys the canisters and registers the model; no worker yet.
    pub async fn start(options: &MarketOptions) -> Result<Self, Failure> {
        // What is missing on this machine is told before anything is started.
        let modules = Modules::load(&options.wasm_dir)?;
        options.launcher.check()?;
        private_dir(&options.dir)?;
        if let Some(cache) = &options.module_cache {
            private_dir(cache)?;
        }
        let model_path = options.model.clone();
        let model = step("model", async {
            let model = tokio::task::spawn_blocking(move || LocalModel::open(&model_path))
                .await
                .expect("BUG: opening a model panicked")?;
            let found = format!(
                "{}, root {}",
                model_name(&options.model),
                model.root().short()
            );
            Ok((model, found))
        })
        .await?;

        let operator = new_key(&options.dir, OPERATOR_FILE)?;
        let localnet = step("network", async {
            let config = LocalnetConfig {
                port: options.port,
                seed: seed_from_text("assay local market"),
                module_cache: options.module_cache.clone(),
                ..LocalnetConfig::with_ledger(&[(operator.principal, ON_LEDGER)])
            };
            let localnet = tokio::task::spawn_blocking(move || Localnet::start(config))
                .await
                .expect("BUG: starting a network panicked")?;
            let found = localnet.url();
            Ok((localnet, found))
        })
        .await?;
        let (url, root_key) = (localnet.url(), localnet.root_key());

        let network =
            Network::connect(&url, Some(&operator), &RootKey::Given(root_key.clone())).await?;
        let canisters = step("canisters", async {
            let canisters =
                deploy::deploy(&network, localnet.default_effective_canister(), &modules).await?;
            let found = format!(
                "registry {}, jobs {}, purse {}",
                short(&canisters.registry),
                short(&canisters.jobs),
                short(&canisters.purse)
            );
            Ok((canisters, found))
        })
        .await?;

        let registry = Registry::new(&network, canisters.registry);
        let name = model_name(&options.model);
        let registration = {
            let (model, name) = (model.clone(), name.clone());
            tokio::task::spawn_blocking(move || model.registration(&name, "Apache-2.0"))
                .await
                .expect("BUG: hashing a file panicked")?
        };
        let registered = registry.register_model(&registration).await?;
        let fleet = Fleet::new(options, &url, &root_key, &canisters, &name);
        Ok(Self {
            canisters,
            model: registered,
            fleet,
            operator,
            url,
            root_key,
            dir: options.dir.clone(),
            _localnet: localnet,
        })
    }

    /// The file with the key of whoever controls the canisters.
    pub(crate) fn operator_file(&self) -> PathBuf {
        self.dir.join(OPERATOR_FILE)
    }

    /// Where the network answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The network's root key, DER.
    pub fn root_key(&self) -> &[u8] {
        &self.root_key
    }

    /// Upgrades the registry and the jobs canister, one after the other, while everything goes on.
    pub async fn upgrade(&self, modules: &Modules) -> Result<(), Failure> {
        let network = self.connect(&self.operator).await?;
        deploy::upgrade(&network, self.canisters.registry, &modules.registry).await?;
        Ok(deploy::upgrade(&network, self.canisters.jobs, &modules.jobs).await?)
    }

    /// Puts the web app of a built folder into a canister of its own, with the market's model for those who run it on their device.
    /// Gives the canister, and what it serves. People sign in at Internet Identity, unless another provider is named.
    pub async fn publish_page(
        &self,
        module: &[u8],
        folder: &Path,
        model: &Path,
        identity_provider: Option<&str>,
    ) -> Result<(Principal, Published), Failure> {
        let network = self.connect(&self.operator).await?;
        let canister = deploy::page(&network, &self.canisters, module, identity_provider).await?;
        let more = [(self.model_path(), model.to_owned())];
        let published = page::publish(&network, canister, folder, &more).await?;
        Ok((canister, published))
    }

    /// Where a page finds the market's model.
    pub fn model_path(&self) -> String {
        format!("/models/{}.assay", self.model.manifest.name)
    }

    /// Where a gateway of this network serves a canister.
    pub fn page_url(&self, page: &Principal) -> String {
        let port = self.url.rsplit(':').next().unwrap_or_default();
        format!("http://{page}.localhost:{port}/")
    }

    /// Adds another jobs canister and lists it in the registry. Workers that are configured from now on serve it, too.
    pub async fn add_shard(&mut self, modules: &Modules) -> Result<Principal, Failure> {
        let network = self.connect(&self.operator).await?;
        let shard = deploy::shard(&network, &self.canisters, modules).await?;
        let registry = Registry::new(&network, self.canisters.registry);
        let mut shards = registry.shards().await?;
        shards.push(shard);
        registry.set_shards(&shards).await?;
        self.fleet.add_shard(shard);
        Ok(shard)
    }

    /// A connection under a key.
    pub async fn connect(&self, key: &Key) -> Result<Network, Failure> {
        Ok(Network::connect(&self.url, Some(key), &RootKey::Given(self.root_key.clone())).await?)
    }

    /// Registers providers, each with a key and a worker of its own, and starts the workers.
    pub async fn add_workers(&mut self, plans: &[ProviderPlan]) -> Result<(), Failure> {
        for plan in plans {
            let place = self.fleet.place(&plan.name);
            private_dir(&place)?;
            let provider = new_key(&place, "provider.pem")?;
            let worker = new_key(&place, "worker.pem")?;
            let registry = Registry::new(&self.connect(&provider).await?, self.canisters.registry);
            registry
                .register_provider(&ProviderArgs {
                    name: plan.name.clone(),
                    contact: String::new(),
                    payout: None,
                })
                .await?;
            registry
                .add_worker(&WorkerArgs {
                    operator: worker.principal,
                    hardware: Hardware {
                        board: Board::Cpu,
                        chips: 1,
                        memory_bytes: 0,
                        driver: String::new(),
                        tokens_per_second_milli: None,
                        watts: None,
                    },
                    backends: vec!["cpu".to_owned()],
                    region: "this machine".to_owned(),
                    slots: 1,
                })
                .await?;
            self.fleet.add(plan, provider.principal, worker.principal)?;
        }
        self.sync().await?;
        for plan in plans {
            self.fleet.start(&plan.name)?;
        }
        Ok(())
    }

    /// Waits until the named workers would be given work.
    pub async fn wait_until_ready(&mut self, names: &[String]) -> Result<(), Failure> {
        let jobs = self.jobs().await?;
        self.fleet.wait_until_ready(&jobs, names).await
    }

    /// The jobs canister, under the operator's key.
    pub async fn jobs(&self) -> Result<Jobs, Failure> {
        Ok(Jobs::new(
            &self.connect(&self.operator).await?,
            self.canisters.jobs,
        ))
    }

    /// Makes a requester whose balance comes out of the purse.
    pub async fn fund(&self, file: &str, amount: Cycles) -> Result<(Key, PathBuf), Failure> {
        let key = new_key(&self.dir, file)?;
        self.fund_at(self.canisters.jobs, key.principal, amount)
            .await?;
        Ok((key, self.dir.join(file)))
    }

    /// Lets the market pay for people without money: out of a pool that the purse fills, so much in a day.
    pub async fn sponsor(
        &self,
        pool: Cycles,
        caller_daily: Cycles,
        daily: Cycles,
    ) -> Result<(), Failure> {
        let network = self.connect(&self.operator).await?;
        let id = self.canisters.jobs;
        deploy::sponsor(&network, id, caller_daily, daily).await?;
        self.fund_at(id, self.operator.principal, pool).await?;
        Jobs::new(&network, id).fund_sponsor(pool).await?;
        Ok(())
    }

    /// Sends somebody so much of what the operator holds on the market's ledger.
    pub(crate) async fn send_on_ledger(
        &self,
        to: Principal,
        amount: Cycles,
    ) -> Result<(), Failure> {
        let ledger = Ledger::new(&self.connect(&self.operator).await?, CYCLES_LEDGER);
        ledger.transfer(to, amount).await?;
        Ok(())
    }

    /// Gives the market so much for audits, out of the purse.
    pub async fn endow(&self, treasury: Cycles) -> Result<(), Failure> {
        let id = self.canisters.jobs;
        self.fund_at(id, self.operator.principal, treasury).await?;
        let network = self.connect(&self.operator).await?;
        Jobs::new(&network, id).fund_treasury(treasury).await?;
        Ok(())
    }

    /// Lets the purse pay into somebody's balance in one jobs canister.
    pub async fn fund_at(
        &self,
        jobs: Principal,
        beneficiary: Principal,
        amount: Cycles,
    ) -> Result<(), Failure> {
        let network = self.connect(&self.operator).await?;
        deploy::fund(&network, self.canisters.purse, jobs, beneficiary, amount).await
    }

    /// Lets the jobs canister read the registry now.
    async fn sync(&self) -> Result<(), Failure> {
        let jobs = self.jobs().await?;
        for _ in 0..50 {
            match jobs.sync_registry().await {
                Ok(()) => return Ok(()),
                Err(Outcome::Call(error)) => return Err(Failure::Call(error)),
                Err(Outcome::Refused(SyncError::Busy)) => sleep(Duration::from_millis(100)).await,
                Err(Outcome::Refused(_)) => break,
            }
        }
        // The canister reads it by itself soon; the workers wait for that.
        Ok(())
    }
}

/// A key in a new file of this folder.
fn new_key(dir: &Path, file: &str) -> Result<Key, Failure> {
    Ok(identity::create(&dir.join(file))?)
}

/// The name under which a model file is registered: its file name without the ending, and without the hash and the
/// converter's version (`-0123abcd-c1`) by which converted files are told apart.
fn model_name(file: &Path) -> String {
    let stem = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    let is_version = |part: &str| {
        part.strip_prefix('c')
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    let is_hash = |part: &str| part.len() >= 8 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let name = match stem.rsplit_once('-') {
        Some((rest, version)) if is_version(version) => match rest.rsplit_once('-') {
            Some((name, hash)) if is_hash(hash) => name,
            _ => rest,
        },
        _ => &stem,
    };
    machine_name(name)
}

/// A name as the registry takes it: lowercase letters, digits and dashes.
fn machine_name(name: &str) -> String {
    let mut machine = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            machine.push(c);
        } else if !machine.is_empty() && !machine.ends_with('-') {
            machine.push('-');
        }
    }
    machine.truncate(assay_protocol::limits::NAME_BYTES_MAX);
    let machine = machine.trim_end_matches('-');
    if machine.is_empty() {
        "model".to_owned()
    } else {
        machine.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_converted_file_gives_its_model_the_name_without_hash_and_version() {
        let name = |file: &str| model_name(Path::new(file));
        assert_eq!(
            name("/cache/models/smollm2-135m-instruct-b179c952-c1.assay"),
            "smollm2-135m-instruct"
        );
        assert_eq!(name("smollm2.assay"), "smollm2");
        assert_eq!(name("a-c1.assay"), "a");
        assert_eq!(name("deadbeef-c12"), "deadbeef");
        assert_eq!(name("/"), "model");
    }

    #[test]
    fn model_names_become_names_for_machines() {
        assert_eq!(
            machine_name("SmolLM2 135M Instruct"),
            "smollm2-135m-instruct"
        );
        assert_eq!(machine_name("  --Über/α--  "), "ber");
        assert_eq!(machine_name("日本"), "model");
        assert_eq!(
            machine_name(&"x".repeat(99)).len(),
            assay_protocol::limits::NAME_BYTES_MAX
        );
    }

    #[test]
    fn provider_names_never_repeat() {
        let plans = ProviderPlan::honest(32);
        let names: std::collections::BTreeSet<_> = plans.iter().map(|plan| &plan.name).collect();
        assert_eq!(names.len(), 32);
    }
}
