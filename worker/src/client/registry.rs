//! The registry canister.

use assay_protocol::{
    Hash32, ModelId,
    limits::PAGE_MAX,
    registry::{
        HardwareCatalogue, Model, ModelManifest, ModelsArgs, Provider, ProviderArgs, RegistryError,
        SpeedArgs, Worker, WorkerArgs, WorkersArgs,
    },
};
use candid::Principal;

use super::{CallError, Network, Outcome};

type Answer<T> = Result<T, Outcome<RegistryError>>;

/// The registry canister.
#[derive(Clone, Debug)]
pub struct Registry {
    network: Network,
    /// Its id.
    pub id: Principal,
}

impl Registry {
    /// The registry canister `id` of this network.
    pub fn new(network: &Network, id: Principal) -> Self {
        Self {
            network: network.clone(),
            id,
        }
    }

    /// Makes the caller a provider.
    pub async fn register_provider(&self, args: &ProviderArgs) -> Answer<Provider> {
        Outcome::fold(
            self.network
                .update(self.id, "register_provider", (args,))
                .await,
        )
    }

    /// Adds a worker to the calling provider.
    pub async fn add_worker(&self, args: &WorkerArgs) -> Answer<Worker> {
        Outcome::fold(self.network.update(self.id, "add_worker", (args,)).await)
    }

    /// Notes how fast the calling worker runs a model.
    pub async fn report_speed(&self, args: &SpeedArgs) -> Answer<Worker> {
        Outcome::fold(self.network.update(self.id, "report_speed", (args,)).await)
    }

    /// What is known of hardware: a hint.
    pub async fn hardware_catalogue(&self) -> Result<HardwareCatalogue, CallError> {
        self.network.query(self.id, "hardware_catalogue", ()).await
    }

    /// Registers a model version.
    pub async fn register_model(&self, manifest: &ModelManifest) -> Answer<Model> {
        Outcome::fold(
            self.network
                .update(self.id, "register_model", (manifest,))
                .await,
        )
    }

    /// A page of models in the order of their ids: a hint.
    pub async fn models(&self, args: &ModelsArgs) -> Result<Vec<Model>, CallError> {
        self.network.query(self.id, "models", (args,)).await
    }

    /// A page of workers in the order of their operators: a hint.
    pub async fn workers(&self, args: &WorkersArgs) -> Result<Vec<Worker>, CallError> {
        self.network.query(self.id, "workers", (args,)).await
    }

    /// One worker: a hint.
    pub async fn worker(&self, operator: Principal) -> Result<Option<Worker>, CallError> {
        self.network.query(self.id, "worker", (operator,)).await
    }

    /// The jobs canisters. Asked as an update, so that the subnet certifies the list and not one node.
    pub async fn shards(&self) -> Result<Vec<Principal>, CallError> {
        self.network.update(self.id, "shards", ()).await
    }

    /// Replaces the list of jobs canisters; for controllers.
    pub async fn set_shards(&self, shards: &[Principal]) -> Answer<Vec<Principal>> {
        Outcome::fold(self.network.update(self.id, "set_shards", (shards,)).await)
    }

    /// The model version of this name whose weights have this root, or any version with that root when no name is
    /// given. The list is a hint, but an id that is not the hash of its manifest is passed over.
    pub async fn find_model(
        &self,
        root: &Hash32,
        name: Option<&str>,
    ) -> Result<Option<Model>, CallError> {
        let mut after: Option<ModelId> = None;
        loop {
            let page = self
                .models(&ModelsArgs {
                    after,
                    limit: PAGE_MAX,
                })
                .await?;
            let Some(last) = page.last().map(|model| model.id) else {
                return Ok(None);
            };
            let found = page.into_iter().find(|model| {
                model.manifest.model_root == *root
                    && model.manifest.id() == model.id
                    && name.is_none_or(|name| model.manifest.name == name)
            });
            if found.is_some() {
                return Ok(found);
            }
            // Ids only ever grow along the pages, so a node cannot keep this going for ever.
            if after.is_some_and(|before| last <= before) {
                return Ok(None);
            }
            after = Some(last);
        }
    }
}
