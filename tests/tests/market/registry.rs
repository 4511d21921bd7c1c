//! How a jobs canister follows the registry.

use assay_jobs_core::testing::{Fixture, model_owner, worker};
use assay_protocol::{
    Cycles,
    job::{Quote, SubmitError},
    lease::{Idle, Offer, WorkerError},
    registry::{
        Changes, ChangesArgs, HardwareCatalogue, Model, Provider, ProviderArgs, Record,
        RegistryError, Speed, SpeedArgs, Worker,
    },
    request::ModelRef,
};
use candid::Principal;

use crate::{
    authority::request,
    chain::{Chain, SyncError, admin, registrable},
};

#[test]
fn more_records_than_a_page_holds_are_all_read() {
    let mut chain = Chain::new(1, 0);
    let registry = chain.registry;
    let owner = |n: u32| Principal::self_authenticating(n.to_le_bytes());
    for n in 0..130 {
        let args = ProviderArgs {
            name: format!("provider {n}"),
            contact: String::new(),
            payout: None,
        };
        let told: Result<Provider, RegistryError> =
            chain.update(owner(n), registry, "register_provider", (args,));
        told.unwrap();
    }
    let mut fixture = Fixture::new(3, 2, 1);
    chain.register(&mut fixture);
    let stats = chain.stats();
    assert_eq!((stats.providers, stats.workers, stats.models), (133, 6, 2));

    let events = stats.events;
    assert_eq!(chain.sync(), Ok(()));
    assert_eq!(
        chain.stats().events,
        events,
        "nothing new, nothing recorded"
    );

    let page: Changes = chain.query(
        admin(),
        registry,
        "changes",
        (ChangesArgs {
            from: 0,
            limit: 1_000,
        },),
    );
    assert_eq!((page.records.len(), page.more), (100, true));
}

#[test]
fn a_speed_that_a_worker_reports_is_in_the_catalogue_and_reaches_the_jobs_canister() {
    let mut chain = Chain::new(1, 0);
    let mut fixture = Fixture::new(2, 1, 1);
    chain.register(&mut fixture);
    let registry = chain.registry;
    let model = fixture.model(0).id;
    let speed = Speed {
        reads_milli: Some(900_000),
        writes_milli: Some(77_000),
        watts: None,
    };
    let args = SpeedArgs { model, speed };
    let stranger: Result<Worker, RegistryError> =
        chain.update(admin(), registry, "report_speed", (args,));
    let operator = admin();
    assert_eq!(stranger, Err(RegistryError::UnknownWorker { operator }));
    let told: Result<Worker, RegistryError> =
        chain.update(worker(0), registry, "report_speed", (args,));
    let told = told.unwrap();
    assert_eq!(told.hardware.tokens_per_second_milli, Some(77_000));

    let catalogue: HardwareCatalogue = chain.query(admin(), registry, "hardware_catalogue", ());
    assert_eq!(catalogue.boards.len(), 4);
    let [measured] = &catalogue.measured[..] else {
        panic!("{catalogue:?}")
    };
    assert_eq!(
        (measured.workers, measured.model, measured.writes_milli),
        (1, model, Some(77_000))
    );
    // The jobs canister reads it with the next page, and nothing new the second time.
    let events = chain.stats().events;
    assert_eq!(chain.sync(), Ok(()));
    let read = chain.stats().events;
    assert!(read > events);
    assert_eq!(chain.sync(), Ok(()));
    assert_eq!(chain.stats().events, read);
}

#[test]
fn changes_come_by_themselves_within_ten_seconds() {
    let mut chain = Chain::new(1, 0);
    let mut fixture = Fixture::new(2, 1, 1);
    chain.register(&mut fixture);
    let (registry, jobs) = (chain.registry, chain.jobs);
    let offer = Offer {
        model: fixture.model(0).id,
        ask_input: Cycles(1),
        ask_output: Cycles(1),
    };
    let told: Result<(), WorkerError> = chain.update(worker(0), jobs, "set_offers", (vec![offer],));
    told.unwrap();

    let Record::Worker(args) = fixture.records.last().unwrap().clone() else {
        panic!("workers come last")
    };
    let told: Result<Worker, RegistryError> =
        chain.update(args.provider, registry, "retire_worker", (args.operator,));
    told.unwrap();
    let id = fixture.model(1).id;
    let told: Result<Model, RegistryError> =
        chain.update(model_owner(), registry, "deprecate_model", (id,));
    told.unwrap();
    chain.pass(11);

    assert_eq!(
        chain.query::<Idle>(admin(), jobs, "explain", (args.operator,)),
        Idle::NotActive
    );
    let asked = request(ModelRef::Version(id));
    let quote: Result<Quote, SubmitError> = chain.query(admin(), jobs, "quote", (asked,));
    assert!(
        matches!(quote, Err(SubmitError::DeprecatedModel(_))),
        "{quote:?}"
    );
}

#[test]
fn a_model_registered_twice_is_one_version() {
    let mut chain = Chain::new(1, 0);
    let registry = chain.registry;
    let manifest = registrable(Fixture::new(1, 1, 1).model(0).manifest.clone());
    let mut register = |caller: Principal| -> Result<Model, RegistryError> {
        chain.update(caller, registry, "register_model", (manifest.clone(),))
    };
    let first = register(model_owner()).unwrap();
    assert_eq!(register(model_owner()), Ok(first.clone()));
    let taken = register(worker(0));
    assert_eq!(
        taken,
        Err(RegistryError::NameTaken {
            name: first.manifest.name.clone(),
            model: first.id
        })
    );
    assert_eq!(
        chain.query::<Option<Model>>(admin(), registry, "model_named", ("TINY",)),
        Some(first)
    );
}

#[test]
fn a_registry_that_is_being_read_is_not_read_a_second_time() {
    let mut chain = Chain::new(1, 0);
    let calls = [0, 1].map(|_| chain.begin(admin(), "sync_registry", ()));
    let told: Vec<Result<(), SyncError>> = calls
        .into_iter()
        .map(|call| chain.end(call).unwrap())
        .collect();
    let busy = told.iter().filter(|told| **told == Err(SyncError::Busy));
    assert_eq!(busy.count(), 1, "{told:?}");
    assert!(told.contains(&Ok(())), "{told:?}");
    assert_eq!(chain.sync(), Ok(()), "and again when that is over");
}
