//! The registry's tables, and the one function that changes them.

use std::fmt::Debug;

use assay_protocol::{
    ModelId,
    limits::SPEEDS_PER_WORKER_MAX,
    registry::{Hardware, Model, Provider, Speed, Worker, WorkerStatus},
    store::{Log, MemoryLog, MemoryTable, Table},
};
use candid::Principal;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    event::{Change, Event},
    folded,
};

/// What may be a key of a table.
pub trait TableKey: Ord + Clone + Debug + Serialize + DeserializeOwned + 'static {}

impl<T: Ord + Clone + Debug + Serialize + DeserializeOwned + 'static> TableKey for T {}

/// What may be kept in a table or a log.
pub trait Stored: Clone + Debug + PartialEq + Serialize + DeserializeOwned + 'static {}

impl<T: Clone + Debug + PartialEq + Serialize + DeserializeOwned + 'static> Stored for T {}

/// A medium: the heap, or a canister's stable memory.
pub trait Backend {
    /// A map ordered by its keys.
    type Table<K: TableKey, V: Stored>: Table<K, V>;
    /// The event log.
    type Log: Log<Event>;
}

/// Every table of the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store<B: Backend> {
    /// Providers by owner.
    pub providers: B::Table<Principal, Provider>,
    /// Workers by operator.
    pub workers: B::Table<Principal, Worker>,
    /// Models by version.
    pub models: B::Table<ModelId, Model>,
    /// Index: the version that holds a name, folded to lower case.
    pub names: B::Table<String, ModelId>,
    /// Index: (provider, operator) of every worker.
    pub owned: B::Table<(Principal, Principal), ()>,
    /// The change feed: which record changed, by place.
    pub feed: B::Table<u64, RecordKey>,
    /// Index: a record's place in the feed.
    pub places: B::Table<RecordKey, u64>,
    /// Jobs canisters.
    pub shards: B::Table<Principal, ()>,
    /// How fast workers run models, by (operator, model).
    pub speeds: B::Table<(Principal, ModelId), Speed>,
    /// Everything that has happened, oldest first.
    pub events: B::Log,
}

/// Names a record of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RecordKey {
    /// The provider with this owner.
    Provider(Principal),
    /// The worker with this operator.
    Worker(Principal),
    /// The model of this version.
    Model(ModelId),
}

/// Tables on the heap, for tests and simulations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory;

impl Backend for Memory {
    type Table<K: TableKey, V: Stored> = MemoryTable<K, V>;
    type Log = MemoryLog<Event>;
}

impl<B: Backend> Store<B> {
    /// Changes the tables as an event says. Events were checked before they were made, so this refuses nothing.
    pub fn apply(&mut self, event: &Event) {
        match &event.change {
            Change::ProviderRegistered(provider) | Change::ProviderUpdated(provider) => {
                self.providers.insert(provider.id, provider.clone());
                self.moved(RecordKey::Provider(provider.id));
            }
            Change::WorkerAdded(worker) => {
                self.owned.insert((worker.provider, worker.operator), ());
                self.put_worker(worker.clone());
            }
            Change::WorkerDrained(operator) => self.set_status(operator, WorkerStatus::Draining),
            Change::WorkerRetired(operator) => {
                self.set_status(operator, WorkerStatus::Retired);
                for model in self.speeds_of(*operator) {
                    self.speeds.remove(&(*operator, model));
                }
            }
            Change::ModelRegistered(model) => {
                self.names.insert(folded(&model.manifest.name), model.id);
                self.put_model(model.clone());
            }
            Change::ModelDeprecated(id) => {
                if let Some(model) = self.models.get(id) {
                    self.put_model(Model {
                        deprecated: true,
                        ..model
                    });
                }
            }
            Change::ShardsSet(shards) => {
                let old: Vec<_> = self.shards.keys(..).collect();
                for shard in old {
                    self.shards.remove(&shard);
                }
                for shard in shards {
                    self.shards.insert(*shard, ());
                }
            }
            Change::SpeedReported(operator, model, speed) => {
                // A full list gives up a model that takes no jobs any more.
                let own = self.speeds_of(*operator);
                if own.len() >= SPEEDS_PER_WORKER_MAX && !own.contains(model) {
                    let old = own.into_iter().find(|model| self.is_deprecated(model));
                    if let Some(old) = old {
                        self.speeds.remove(&(*operator, old));
                    }
                }
                self.speeds.insert((*operator, *model), *speed);
                if let Some(worker) = self.workers.get(operator) {
                    let hardware = Hardware {
                        tokens_per_second_milli: speed
                            .writes_milli
                            .or(worker.hardware.tokens_per_second_milli),
                        watts: speed.watts.or(worker.hardware.watts),
                        ..worker.hardware.clone()
                    };
                    // Who follows the registry hears of it only where it changes the record.
                    if hardware != worker.hardware {
                        self.put_worker(Worker { hardware, ..worker });
                    }
                }
            }
        }
    }

    /// Models of which a worker has reported its speed.
    pub(crate) fn speeds_of(&self, operator: Principal) -> Vec<ModelId> {
        let own = self.speeds.keys((operator, ModelId::default())..);
        own.take_while(|(other, _)| *other == operator)
            .map(|(_, model)| model)
            .collect()
    }

    pub(crate) fn is_deprecated(&self, model: &ModelId) -> bool {
        self.models.get(model).is_some_and(|model| model.deprecated)
    }

    fn set_status(&mut self, operator: &Principal, status: WorkerStatus) {
        if let Some(worker) = self.workers.get(operator) {
            self.put_worker(Worker { status, ..worker });
        }
    }

    fn put_worker(&mut self, worker: Worker) {
        let operator = worker.operator;
        self.workers.insert(operator, worker);
        self.moved(RecordKey::Worker(operator));
    }

    fn put_model(&mut self, model: Model) {
        let id = model.id;
        self.models.insert(id, model);
        self.moved(RecordKey::Model(id));
    }

    /// Gives a record the next place in the feed, and takes its old one away.
    fn moved(&mut self, key: RecordKey) {
        // The newest change is never taken away without a newer one, so the last place is the highest ever given.
        let place = self.feed.keys(..).next_back().map_or(0, |last| last + 1);
        if let Some(old) = self.places.insert(key, place) {
            self.feed.remove(&old);
        }
        self.feed.insert(place, key);
    }
}
