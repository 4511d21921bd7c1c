mod behaviour;
mod bounds;
mod random;
mod speeds;

use std::collections::BTreeMap;

use assay_protocol::{
    Hash32, ModelId, Moment, Timestamp,
    limits::SPEEDS_PER_WORKER_MAX,
    registry::{
        Board, ChangesArgs, Hardware, Model, ModelFile, ModelManifest, ProviderArgs, Record, Speed,
        SpeedArgs, WorkerArgs,
    },
    store::Table,
};
use candid::Principal;

use crate::{
    Registry, folded,
    store::{Backend, Memory, RecordKey, Store},
};

fn empty() -> Registry<Memory> {
    Registry::new(Store::default())
}

fn who(n: u8) -> Principal {
    Principal::self_authenticating([n])
}

fn at(caller: Principal, second: u64) -> Moment {
    Moment {
        caller,
        now: Timestamp(second * 1_000_000_000),
    }
}

fn provider_args(name: &str) -> ProviderArgs {
    ProviderArgs {
        name: name.to_owned(),
        contact: "ops@example.org".to_owned(),
        payout: None,
    }
}

fn worker_args(operator: Principal) -> WorkerArgs {
    WorkerArgs {
        operator,
        hardware: Hardware {
            board: Board::WormholeN300,
            chips: 2,
            memory_bytes: 24 << 30,
            driver: "ttkmd 2.0, fw 18.4".to_owned(),
            tokens_per_second_milli: Some(31_500),
            watts: Some(160),
        },
        backends: vec!["cpu".to_owned()],
        region: "Zürich".to_owned(),
        slots: 1,
    }
}

/// A worker's report on a model, of writing alone.
fn speed_args(model: ModelId, writes_milli: u64) -> SpeedArgs {
    SpeedArgs {
        model,
        speed: Speed {
            reads_milli: None,
            writes_milli: Some(writes_milli),
            watts: None,
        },
    }
}

fn manifest(name: &str) -> ModelManifest {
    ModelManifest {
        name: name.to_owned(),
        architecture: "llama".to_owned(),
        semantics: "CIS-1".to_owned(),
        files: vec![ModelFile {
            name: "model.gguf".to_owned(),
            bytes: 98_362_432,
            sha256: Hash32([1; 32]),
            urls: vec!["https://models.example.org/model.gguf".to_owned()],
        }],
        model_root: Hash32([2; 32]),
        tokenizer_sha256: Hash32([3; 32]),
        template_sha256: Hash32([4; 32]),
        context_max: 8_192,
        license: "Apache-2.0".to_owned(),
        royalty_bps: 100,
        verifiable: true,
    }
}

fn key(record: &Record) -> RecordKey {
    match record {
        Record::Provider(provider) => RecordKey::Provider(provider.id),
        Record::Worker(worker) => RecordKey::Worker(worker.operator),
        Record::Model(model) => RecordKey::Model(model.id),
    }
}

/// What a jobs canister holds that has read the feed from `from` to its end; gives where to go on.
fn follow(
    registry: &Registry<Memory>,
    known: &mut BTreeMap<RecordKey, Record>,
    mut from: u64,
    limit: u32,
) -> u64 {
    loop {
        let page = registry.changes(&ChangesArgs { from, limit });
        assert!(page.records.len() <= limit.max(1) as usize);
        assert!(
            !page.more || page.next > from,
            "a page that promises more must lead on"
        );
        known.extend(
            page.records
                .into_iter()
                .map(|record| (key(&record), record)),
        );
        from = page.next;
        if !page.more {
            return from;
        }
    }
}

/// Every record, by its key.
fn records(store: &Store<Memory>) -> BTreeMap<RecordKey, Record> {
    let providers = store
        .providers
        .range(..)
        .map(|(_, provider)| Record::Provider(provider));
    let workers = store
        .workers
        .range(..)
        .map(|(_, worker)| Record::Worker(worker));
    let models = store
        .models
        .range(..)
        .map(|(_, model)| Record::Model(model));
    providers
        .chain(workers)
        .chain(models)
        .map(|record| (key(&record), record))
        .collect()
}

/// What must hold after every step.
fn check_invariants<B: Backend>(store: &Store<B>) {
    for (id, provider) in store.providers.range(..) {
        assert_eq!(id, provider.id);
    }
    for (operator, worker) in store.workers.range(..) {
        assert_eq!(operator, worker.operator);
        assert!(
            store.providers.contains(&worker.provider),
            "a worker's provider is registered"
        );
        assert!(
            store.owned.contains(&(worker.provider, operator)),
            "a worker is indexed"
        );
    }
    assert_eq!(
        store.owned.len(),
        store.workers.len(),
        "no index entry without a worker"
    );

    let mut speeds: BTreeMap<Principal, usize> = BTreeMap::new();
    for ((operator, model), _) in store.speeds.range(..) {
        assert!(
            store.workers.contains(&operator) && store.models.contains(&model),
            "a speed is of a worker and a model"
        );
        *speeds.entry(operator).or_default() += 1;
    }
    assert!(
        speeds.values().all(|count| *count <= SPEEDS_PER_WORKER_MAX),
        "a worker's speeds have a limit"
    );

    let mut names: BTreeMap<String, ModelId> = BTreeMap::new();
    for (
        id,
        Model {
            id: named,
            manifest,
            ..
        },
    ) in store.models.range(..)
    {
        assert_eq!(
            (id, id),
            (named, manifest.id()),
            "a model's id is its manifest's hash"
        );
        assert_eq!(
            names.insert(folded(&manifest.name), id),
            None,
            "names are unique"
        );
    }
    assert_eq!(
        store.names.range(..).collect::<BTreeMap<_, _>>(),
        names,
        "every name is indexed"
    );

    for (place, key) in store.feed.range(..) {
        assert_eq!(
            store.places.get(&key),
            Some(place),
            "the feed and its index agree"
        );
    }
    let all = store.providers.len() + store.workers.len() + store.models.len();
    assert_eq!(
        (store.feed.len(), store.places.len()),
        (all, all),
        "the feed holds every record once"
    );
}
