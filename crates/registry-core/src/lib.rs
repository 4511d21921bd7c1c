//! The registry's state machine: who provides, with which workers, and which models exist.
//!
//! A command is checked against the state and gives one [`Event`] or a typed error; applying events
//! is the only way in which the state changes, so the log alone rebuilds it. It refuses to know that
//! it runs in a canister: who calls and when are arguments, and storage is behind [`Store`].
//!
//! Invariants, asserted by the tests after every step:
//! - a model's manifest never changes, and its id is the manifest's hash;
//! - a model name, folded to lower case, and an operator key belong to one record for ever;
//! - every index entry resolves, and every record is indexed;
//! - the change feed holds every record once, at the place of its newest change.

mod catalogue;
pub mod event;
mod feed;
pub mod store;
mod validate;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    ops::{Bound, RangeBounds},
};

use assay_protocol::{
    ModelId, Moment,
    limits::{
        MODELS_MAX, PAGE_BYTES_MAX, PAGE_MAX, PROVIDERS_MAX, SHARDS_MAX, SPEEDS_PER_WORKER_MAX,
        WORKERS_MAX, WORKERS_PER_PROVIDER_MAX,
    },
    registry::{
        Model, ModelManifest, ModelsArgs, Provider, ProviderArgs, ProvidersArgs, RegistryError,
        Speed, SpeedArgs, Worker, WorkerArgs, WorkerStatus, WorkersArgs,
    },
    store::{Log, Table},
};
use candid::Principal;

use crate::{
    event::{Change, Event},
    store::{Backend, Store},
};

/// The registry over some storage.
pub struct Registry<B: Backend> {
    store: Store<B>,
}

impl<B: Backend> fmt::Debug for Registry<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl<B: Backend> Registry<B> {
    /// The registry that this storage holds.
    pub fn new(store: Store<B>) -> Self {
        Self { store }
    }

    /// The storage, to read.
    pub fn store(&self) -> &Store<B> {
        &self.store
    }

    /// Makes the caller a provider.
    pub fn register_provider(
        &mut self,
        at: &Moment,
        args: ProviderArgs,
    ) -> Result<Provider, RegistryError> {
        let caller = signed(at)?;
        validate::provider(&args, &self.store.shards)?;
        if self.store.providers.contains(&caller) {
            return Err(RegistryError::ProviderExists { provider: caller });
        }
        room(self.store.providers.len(), PROVIDERS_MAX, "providers")?;
        let ProviderArgs {
            name,
            contact,
            payout,
        } = args;
        let provider = Provider {
            id: caller,
            name,
            contact,
            payout: payout.unwrap_or(caller),
            registered_at: at.now,
        };
        self.commit(at, Change::ProviderRegistered(provider.clone()));
        Ok(provider)
    }

    /// Changes what the calling provider shows, and where it is paid from now on.
    pub fn update_provider(
        &mut self,
        at: &Moment,
        args: ProviderArgs,
    ) -> Result<Provider, RegistryError> {
        let caller = signed(at)?;
        validate::provider(&args, &self.store.shards)?;
        let old = self.calling_provider(caller)?;
        let ProviderArgs {
            name,
            contact,
            payout,
        } = args;
        let provider = Provider {
            name,
            contact,
            payout: payout.unwrap_or(caller),
            ..old.clone()
        };
        if provider != old {
            self.commit(at, Change::ProviderUpdated(provider.clone()));
        }
        Ok(provider)
    }

    /// Adds a worker to the calling provider.
    pub fn add_worker(&mut self, at: &Moment, args: WorkerArgs) -> Result<Worker, RegistryError> {
        let caller = signed(at)?;
        validate::worker(&args)?;
        self.calling_provider(caller)?;
        let WorkerArgs {
            operator,
            hardware,
            backends,
            region,
            slots,
        } = args;
        if let Some(Worker { provider, .. }) = self.store.workers.get(&operator) {
            return Err(RegistryError::OperatorTaken { operator, provider });
        }
        let owned = self
            .store
            .owned
            .keys(of_provider(caller, None))
            .take(WORKERS_PER_PROVIDER_MAX)
            .count();
        room(
            owned as u64,
            WORKERS_PER_PROVIDER_MAX,
            "workers of one provider, retired ones included",
        )?;
        room(
            self.store.workers.len(),
            WORKERS_MAX,
            "workers, retired ones included",
        )?;
        let worker = Worker {
            operator,
            provider: caller,
            hardware,
            backends,
            region,
            slots,
            status: WorkerStatus::Active,
            added_at: at.now,
        };
        self.commit(at, Change::WorkerAdded(worker.clone()));
        Ok(worker)
    }

    /// Lets a worker of the caller finish what it has and take nothing new. Again changes nothing.
    pub fn drain_worker(
        &mut self,
        at: &Moment,
        operator: Principal,
    ) -> Result<Worker, RegistryError> {
        let worker = self.own_worker(at, operator)?;
        match worker.status {
            WorkerStatus::Active => {
                self.commit(at, Change::WorkerDrained(operator));
                Ok(Worker {
                    status: WorkerStatus::Draining,
                    ..worker
                })
            }
            WorkerStatus::Draining => Ok(worker),
            WorkerStatus::Retired => Err(RegistryError::Retired { operator }),
        }
    }

    /// Takes a worker of the caller away for good. Again changes nothing.
    pub fn retire_worker(
        &mut self,
        at: &Moment,
        operator: Principal,
    ) -> Result<Worker, RegistryError> {
        let worker = self.own_worker(at, operator)?;
        if worker.status == WorkerStatus::Retired {
            return Ok(worker);
        }
        self.commit(at, Change::WorkerRetired(operator));
        Ok(Worker {
            status: WorkerStatus::Retired,
            ..worker
        })
    }

    /// Notes how fast the calling worker runs a model, as it measured. The same again changes nothing.
    pub fn report_speed(&mut self, at: &Moment, args: SpeedArgs) -> Result<Worker, RegistryError> {
        let operator = signed(at)?;
        let SpeedArgs { model, speed } = args;
        validate::speed(&speed)?;
        let worker = self
            .store
            .workers
            .get(&operator)
            .ok_or(RegistryError::UnknownWorker { operator })?;
        if worker.status == WorkerStatus::Retired {
            return Err(RegistryError::Retired { operator });
        }
        if !self.store.models.contains(&model) {
            return Err(RegistryError::UnknownModel { model });
        }
        match self.store.speeds.get(&(operator, model)) {
            // The worker's record has its last report, which may have been on another model.
            Some(known) if known == speed && shows(&worker, &speed) => return Ok(worker),
            Some(_) => {}
            None => {
                let own = self.store.speeds_of(operator).into_iter();
                let kept = own.filter(|model| !self.store.is_deprecated(model));
                let count = kept.count() as u64;
                room(count, SPEEDS_PER_WORKER_MAX, "speeds of one worker")?;
            }
        }
        self.commit(at, Change::SpeedReported(operator, model, speed));
        Ok(self.store.workers.get(&operator).unwrap_or(worker))
    }

    /// Registers a model version. The same manifest again, by the same owner, gives the same version.
    pub fn register_model(
        &mut self,
        at: &Moment,
        manifest: ModelManifest,
    ) -> Result<Model, RegistryError> {
        let caller = signed(at)?;
        validate::model(&manifest)?;
        let id = manifest.id();
        if let Some(holder) = self.store.names.get(&folded(&manifest.name)) {
            return match self.store.models.get(&holder) {
                Some(model) if holder == id && model.owner == caller => Ok(model),
                _ => Err(RegistryError::NameTaken {
                    name: manifest.name,
                    model: holder,
                }),
            };
        }
        room(self.store.models.len(), MODELS_MAX, "models")?;
        let model = Model {
            id,
            manifest,
            owner: caller,
            registered_at: at.now,
            deprecated: false,
        };
        self.commit(at, Change::ModelRegistered(model.clone()));
        Ok(model)
    }

    /// Ends new jobs for a model of the caller. Again changes nothing.
    pub fn deprecate_model(&mut self, at: &Moment, id: ModelId) -> Result<Model, RegistryError> {
        let caller = signed(at)?;
        let model = self
            .store
            .models
            .get(&id)
            .ok_or(RegistryError::UnknownModel { model: id })?;
        if model.owner != caller {
            return Err(RegistryError::NotTheOwner { owner: model.owner });
        }
        if !model.deprecated {
            self.commit(at, Change::ModelDeprecated(id));
        }
        Ok(Model {
            deprecated: true,
            ..model
        })
    }

    /// Replaces the list of jobs canisters. That the caller controls the registry was settled before.
    pub fn set_shards(
        &mut self,
        at: &Moment,
        shards: Vec<Principal>,
    ) -> Result<Vec<Principal>, RegistryError> {
        validate::shards(&shards)?;
        if shards.len() > SHARDS_MAX {
            return Err(RegistryError::Full {
                what: "jobs canisters".to_owned(),
                max: SHARDS_MAX as u64,
            });
        }
        let mut sorted = shards;
        sorted.sort();
        sorted.dedup();
        if sorted != self.shards() {
            self.commit(at, Change::ShardsSet(sorted.clone()));
        }
        Ok(sorted)
    }

    /// One provider.
    pub fn provider(&self, id: &Principal) -> Option<Provider> {
        self.store.providers.get(id)
    }

    /// One worker.
    pub fn worker(&self, operator: &Principal) -> Option<Worker> {
        self.store.workers.get(operator)
    }

    /// One model version.
    pub fn model(&self, id: &ModelId) -> Option<Model> {
        self.store.models.get(id)
    }

    /// The model version that a name means, upper and lower case alike.
    pub fn model_named(&self, name: &str) -> Option<Model> {
        self.store.models.get(&self.store.names.get(&folded(name))?)
    }

    /// A page of providers.
    pub fn providers(&self, args: &ProvidersArgs) -> Vec<Provider> {
        let ProvidersArgs { after, limit } = args;
        let records = self
            .store
            .providers
            .range((past(after), Bound::Unbounded))
            .map(|(_, provider)| provider);
        page(records, *limit, Provider::size_bytes)
    }

    /// A page of workers.
    pub fn workers(&self, args: &WorkersArgs) -> Vec<Worker> {
        let WorkersArgs {
            provider,
            after,
            limit,
        } = args;
        match provider {
            None => {
                let records = self
                    .store
                    .workers
                    .range((past(after), Bound::Unbounded))
                    .map(|(_, worker)| worker);
                page(records, *limit, Worker::size_bytes)
            }
            Some(provider) => {
                let operators = self.store.owned.keys(of_provider(*provider, *after));
                let records = operators
                    .take_while(|(owner, _)| owner == provider)
                    .filter_map(|(_, operator)| self.store.workers.get(&operator));
                page(records, *limit, Worker::size_bytes)
            }
        }
    }

    /// A page of models.
    pub fn models(&self, args: &ModelsArgs) -> Vec<Model> {
        let ModelsArgs { after, limit } = args;
        let records = self
            .store
            .models
            .range((past(after), Bound::Unbounded))
            .map(|(_, model)| model);
        page(records, *limit, Model::size_bytes)
    }

    /// Every jobs canister, in the order of their principals.
    pub fn shards(&self) -> Vec<Principal> {
        self.store.shards.keys(..).collect()
    }

    /// The only way in which the state changes.
    fn commit(&mut self, at: &Moment, change: Change) {
        let event = Event {
            at: at.now,
            by: at.caller,
            change,
        };
        self.store.apply(&event);
        self.store.events.append(&event);
    }

    fn calling_provider(&self, caller: Principal) -> Result<Provider, RegistryError> {
        self.store
            .providers
            .get(&caller)
            .ok_or(RegistryError::NotAProvider { caller })
    }

    fn own_worker(&self, at: &Moment, operator: Principal) -> Result<Worker, RegistryError> {
        let caller = signed(at)?;
        let worker = self
            .store
            .workers
            .get(&operator)
            .ok_or(RegistryError::UnknownWorker { operator })?;
        if worker.provider == caller {
            Ok(worker)
        } else {
            Err(RegistryError::NotTheOwner {
                owner: worker.provider,
            })
        }
    }
}

/// The form in which names are compared: two that differ only in case are one.
fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Whether a worker's record has a report already.
fn shows(worker: &Worker, speed: &Speed) -> bool {
    let hardware = &worker.hardware;
    let same = |told: Option<u64>, shown| told.is_none() || told == shown;
    same(speed.writes_milli, hardware.tokens_per_second_milli)
        && same(speed.watts.map(u64::from), hardware.watts.map(u64::from))
}

fn signed(at: &Moment) -> Result<Principal, RegistryError> {
    if at.caller == Principal::anonymous() {
        Err(RegistryError::Anonymous)
    } else {
        Ok(at.caller)
    }
}

fn room(taken: u64, max: usize, what: &str) -> Result<(), RegistryError> {
    let max = max as u64;
    if taken < max {
        Ok(())
    } else {
        Err(RegistryError::Full {
            what: what.to_owned(),
            max,
        })
    }
}

fn past<K: Copy>(after: &Option<K>) -> Bound<K> {
    after.map_or(Bound::Unbounded, Bound::Excluded)
}

/// The index entries of one provider's workers; the management canister's principal comes before all others.
fn of_provider(
    provider: Principal,
    after: Option<Principal>,
) -> impl RangeBounds<(Principal, Principal)> {
    let last = Principal::from_slice(&[0xff; Principal::MAX_LENGTH_IN_BYTES]);
    let start = match after {
        None => Bound::Included((provider, Principal::management_canister())),
        Some(after) => Bound::Excluded((provider, after)),
    };
    (start, Bound::Included((provider, last)))
}

/// Takes records until the page is full, by their number or by their bytes; at least one if there is one.
fn page<T>(
    records: impl Iterator<Item = T>,
    limit: u32,
    size_bytes: impl Fn(&T) -> usize,
) -> Vec<T> {
    let mut page = Vec::new();
    let mut bytes = 0;
    for record in records.take(limit.clamp(1, PAGE_MAX) as usize) {
        bytes += size_bytes(&record);
        if bytes > PAGE_BYTES_MAX && !page.is_empty() {
            break;
        }
        page.push(record);
    }
    page
}
