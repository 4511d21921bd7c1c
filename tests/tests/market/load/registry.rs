//! The registry with a crowd in it: no look at it takes more instructions than a query may.

use assay_jobs_core::testing::{Fixture, MODELS};
use assay_protocol::{
    ModelId,
    limits::PAGE_MAX,
    registry::{
        ChangesArgs, HardwareCatalogue, ModelsArgs, ProvidersArgs, RegistryError, Speed, SpeedArgs,
        Worker, WorkersArgs,
    },
};

use candid::utils::ArgumentEncoder;

use super::{Load, PAGES, SLOTS, check_queries, page_cost, query_cost_at};
use crate::chain::{Chain, admin};

/// What a query of the registry takes in instructions, and its name.
fn look<'a>(chain: &Chain, method: &'a str, args: impl ArgumentEncoder) -> (&'a str, u64) {
    let cost = query_cost_at(chain, chain.registry, admin(), method, args);
    (method, cost)
}

#[test]
fn no_look_at_a_crowded_registry_overtaxes_a_query() {
    let load = Load::asked();
    let mut chain = Chain::new(1, 0);
    let mut fixture = Fixture::crowd(load.workers, SLOTS);
    chain.register(&mut fixture);
    let registry = chain.registry;
    let models: Vec<ModelId> = (0..MODELS.len()).map(|i| fixture.model(i).id).collect();
    let speed = Speed {
        reads_milli: Some(900_000),
        writes_milli: Some(77_000),
        watts: None,
    };
    for &worker in &fixture.workers {
        for &model in &models {
            let args = SpeedArgs { model, speed };
            let told: Result<Worker, RegistryError> =
                chain.update(worker, registry, "report_speed", (args,));
            told.unwrap();
        }
    }
    let catalogue: HardwareCatalogue = chain.query(admin(), registry, "hardware_catalogue", ());
    assert_eq!(catalogue.measured.len(), models.len());
    for measured in catalogue.measured {
        assert_eq!(measured.workers, load.workers);
    }
    // Each worker's record has changed, and the jobs canister reads it once more.
    chain.sync().unwrap();
    assert_eq!(chain.stats().workers, u64::from(load.workers));

    let limit = PAGE_MAX;
    let providers = ProvidersArgs { after: None, limit };
    let named = ModelsArgs { after: None, limit };
    let workers = |provider| WorkersArgs {
        provider,
        after: None,
        limit,
    };
    let changes = ChangesArgs { from: 0, limit };
    let owner = fixture.worker(fixture.workers[0]).provider;
    let (operator, model) = (fixture.workers[0], models[0]);
    let looks = [
        look(&chain, "providers", (providers,)),
        look(&chain, "workers", (workers(None),)),
        look(&chain, "workers", (workers(Some(owner)),)),
        look(&chain, "models", (named,)),
        look(&chain, "changes", (changes,)),
        look(&chain, "provider", (owner,)),
        look(&chain, "worker", (operator,)),
        look(&chain, "model", (model,)),
        look(&chain, "model_named", (MODELS[0],)),
        look(&chain, "hardware_catalogue", ()),
        look(&chain, "shards", ()),
    ];
    check_queries(&looks);
    for url in PAGES {
        check_queries(&[(url, page_cost(&mut chain, registry, url))]);
    }
}
