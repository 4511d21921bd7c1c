//! The registry's tables, and the one function that changes them.

use assay_protocol::{
    ModelId,
    registry::{Model, Provider, Worker, WorkerStatus},
    store::{Log, MemoryLog, MemoryTable, Table},
};
use candid::Principal;
use serde::{Deserialize, Serialize};

use crate::{
    event::{Change, Event},
    folded,
};

/// Where each table of the registry is kept.
pub trait Backend {
    /// See [`Store::providers`].
    type Providers: Table<Principal, Provider>;
    /// See [`Store::workers`].
    type Workers: Table<Principal, Worker>;
    /// See [`Store::models`].
    type Models: Table<ModelId, Model>;
    /// See [`Store::names`].
    type Names: Table<String, ModelId>;
    /// See [`Store::owned`].
    type Owned: Table<(Principal, Principal), ()>;
    /// See [`Store::feed`].
    type Feed: Table<u64, RecordKey>;
    /// See [`Store::places`].
    type Places: Table<RecordKey, u64>;
    /// See [`Store::shards`].
    type Shards: Table<Principal, ()>;
    /// See [`Store::events`].
    type Events: Log<Event>;
}

/// Every table of the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store<B: Backend> {
    /// Providers by owner.
    pub providers: B::Providers,
    /// Workers by operator.
    pub workers: B::Workers,
    /// Models by version.
    pub models: B::Models,
    /// Index: the version that holds a name, folded to lower case.
    pub names: B::Names,
    /// Index: (provider, operator) of every worker.
    pub owned: B::Owned,
    /// The change feed: which record changed, by place.
    pub feed: B::Feed,
    /// Index: a record's place in the feed.
    pub places: B::Places,
    /// Jobs canisters.
    pub shards: B::Shards,
    /// Everything that has happened, oldest first.
    pub events: B::Events,
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
    type Providers = MemoryTable<Principal, Provider>;
    type Workers = MemoryTable<Principal, Worker>;
    type Models = MemoryTable<ModelId, Model>;
    type Names = MemoryTable<String, ModelId>;
    type Owned = MemoryTable<(Principal, Principal), ()>;
    type Feed = MemoryTable<u64, RecordKey>;
    type Places = MemoryTable<RecordKey, u64>;
    type Shards = MemoryTable<Principal, ()>;
    type Events = MemoryLog<Event>;
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
            Change::WorkerRetired(operator) => self.set_status(operator, WorkerStatus::Retired),
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
        }
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
