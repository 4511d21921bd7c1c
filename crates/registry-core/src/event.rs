//! What has happened in the registry. The log of these is the truth; every table follows from it.
//!
//! Events are kept for ever: variants and fields may be added, never renamed or removed.

use assay_protocol::{
    ModelId, Timestamp,
    registry::{Model, Provider, Speed, Worker},
};
use candid::Principal;
use serde::{Deserialize, Serialize};

/// One change, with who made it and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// Who called.
    pub by: Principal,
    /// What changed.
    pub change: Change,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A new provider.
    ProviderRegistered(Provider),
    /// A provider's new name, contact or payout account.
    ProviderUpdated(Provider),
    /// A new worker.
    WorkerAdded(Worker),
    /// The worker of this operator takes nothing new.
    WorkerDrained(Principal),
    /// The worker of this operator is gone for good.
    WorkerRetired(Principal),
    /// A new model version.
    ModelRegistered(Model),
    /// A model takes no new jobs.
    ModelDeprecated(ModelId),
    /// The whole new list of jobs canisters, sorted.
    ShardsSet(Vec<Principal>),
    /// How fast the worker of this operator runs a model, as it measured.
    SpeedReported(Principal, ModelId, Speed),
}
