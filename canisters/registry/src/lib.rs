//! The registry canister: reads the caller and the time, asks the core, answers.
//!
//! Everything it knows lies in stable memory, so an upgrade has nothing to save. It calls nobody.

mod guard;
mod http;
mod lifecycle;
mod logs;
mod memory;

use assay_canister_kit::{HttpRequest, HttpResponse};
use assay_protocol::{
    ModelId, Moment, Timestamp,
    registry::{
        Changes, ChangesArgs, HardwareCatalogue, Model, ModelManifest, ModelsArgs, Provider,
        ProviderArgs, ProvidersArgs, RegistryError, SpeedArgs, Worker, WorkerArgs, WorkersArgs,
    },
};
use candid::Principal;
use ic_cdk::{query, update};

use crate::memory::{with_registry, with_registry_mut};

#[update]
fn register_provider(args: ProviderArgs) -> Result<Provider, RegistryError> {
    with_registry_mut(|registry| registry.register_provider(&moment(), args))
}

#[update]
fn update_provider(args: ProviderArgs) -> Result<Provider, RegistryError> {
    with_registry_mut(|registry| registry.update_provider(&moment(), args))
}

#[update]
fn add_worker(args: WorkerArgs) -> Result<Worker, RegistryError> {
    with_registry_mut(|registry| registry.add_worker(&moment(), args))
}

#[update]
fn drain_worker(operator: Principal) -> Result<Worker, RegistryError> {
    with_registry_mut(|registry| registry.drain_worker(&moment(), operator))
}

#[update]
fn retire_worker(operator: Principal) -> Result<Worker, RegistryError> {
    with_registry_mut(|registry| registry.retire_worker(&moment(), operator))
}

#[update]
fn report_speed(args: SpeedArgs) -> Result<Worker, RegistryError> {
    with_registry_mut(|registry| registry.report_speed(&moment(), args))
}

#[update]
fn register_model(manifest: ModelManifest) -> Result<Model, RegistryError> {
    with_registry_mut(|registry| registry.register_model(&moment(), manifest))
}

#[update]
fn deprecate_model(id: ModelId) -> Result<Model, RegistryError> {
    with_registry_mut(|registry| registry.deprecate_model(&moment(), id))
}

#[update]
fn set_shards(shards: Vec<Principal>) -> Result<Vec<Principal>, RegistryError> {
    guard::controller()?;
    let set = with_registry_mut(|registry| registry.set_shards(&moment(), shards))?;
    lifecycle::tell_shards(&set);
    Ok(set)
}

#[query]
fn provider(owner: Principal) -> Option<Provider> {
    with_registry(|registry| registry.provider(&owner))
}

#[query]
fn providers(args: ProvidersArgs) -> Vec<Provider> {
    with_registry(|registry| registry.providers(&args))
}

#[query]
fn worker(operator: Principal) -> Option<Worker> {
    with_registry(|registry| registry.worker(&operator))
}

#[query]
fn workers(args: WorkersArgs) -> Vec<Worker> {
    with_registry(|registry| registry.workers(&args))
}

#[query]
fn model(id: ModelId) -> Option<Model> {
    with_registry(|registry| registry.model(&id))
}

#[query]
fn model_named(name: String) -> Option<Model> {
    with_registry(|registry| registry.model_named(&name))
}

#[query]
fn models(args: ModelsArgs) -> Vec<Model> {
    with_registry(|registry| registry.models(&args))
}

#[query]
fn changes(args: ChangesArgs) -> Changes {
    with_registry(|registry| registry.changes(&args))
}

#[query]
fn hardware_catalogue() -> HardwareCatalogue {
    with_registry(|registry| registry.hardware_catalogue())
}

#[query]
fn shards() -> Vec<Principal> {
    with_registry(|registry| registry.shards())
}

#[query]
fn get_api_doc() -> String {
    include_str!("api.md").to_owned()
}

#[query]
fn http_request(request: HttpRequest) -> HttpResponse {
    http::answer(&request)
}

fn moment() -> Moment {
    Moment {
        caller: ic_cdk::api::msg_caller(),
        now: Timestamp(ic_cdk::api::time()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use assay_canister_kit::{HttpRequest, HttpResponse};
    use candid_parser::utils::{CandidSource, service_equal};

    use super::*;
    use crate::lifecycle::InstallArgs;

    candid::export_service!();

    #[test]
    fn the_exported_interface_is_the_written_one() {
        let code = __export_service();
        let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../candid/registry.did");
        if let Err(error) = service_equal(CandidSource::Text(&code), CandidSource::File(&written)) {
            panic!("candid/registry.did differs from the code: {error}\nthe code exports:\n{code}");
        }
    }
}
