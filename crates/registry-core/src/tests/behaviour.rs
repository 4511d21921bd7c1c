use assay_protocol::{
    registry::{ChangesArgs, ModelsArgs, ProvidersArgs, RegistryError, WorkerStatus, WorkersArgs},
    store::Log,
};

use super::*;

#[test]
fn anonymous_callers_own_nothing() {
    let mut registry = empty();
    let at = at(Principal::anonymous(), 1);
    let refused = [
        registry.register_provider(&at, provider_args("x")).err(),
        registry.update_provider(&at, provider_args("x")).err(),
        registry.add_worker(&at, worker_args(who(9))).err(),
        registry.drain_worker(&at, who(9)).err(),
        registry.retire_worker(&at, who(9)).err(),
        registry.register_model(&at, manifest("m")).err(),
        registry.deprecate_model(&at, ModelId::default()).err(),
        registry
            .report_speed(&at, speed_args(ModelId::default(), 1))
            .err(),
    ];
    assert!(
        refused
            .iter()
            .all(|error| *error == Some(RegistryError::Anonymous)),
        "{refused:?}"
    );
    assert_eq!(registry.store(), empty().store());
}

#[test]
fn a_provider_registers_once_and_is_paid_to_its_own_account_unless_it_names_another() {
    let mut registry = empty();
    let own = registry
        .register_provider(&at(who(1), 1), provider_args("One"))
        .unwrap();
    assert_eq!(
        (own.id, own.payout, own.registered_at),
        (who(1), who(1), Timestamp(1_000_000_000))
    );

    let again = registry.register_provider(&at(who(1), 2), provider_args("Two"));
    assert_eq!(
        again,
        Err(RegistryError::ProviderExists { provider: who(1) })
    );

    let elsewhere = ProviderArgs {
        payout: Some(who(7)),
        ..provider_args("Two")
    };
    let updated = registry.update_provider(&at(who(1), 3), elsewhere).unwrap();
    assert_eq!(
        (updated.payout, updated.registered_at),
        (who(7), own.registered_at)
    );
    assert_eq!(registry.provider(&who(1)), Some(updated));
}

#[test]
fn only_providers_add_workers_and_an_operator_key_belongs_to_one_worker_for_ever() {
    let mut registry = empty();
    let stranger = registry.add_worker(&at(who(1), 1), worker_args(who(9)));
    assert_eq!(
        stranger,
        Err(RegistryError::NotAProvider { caller: who(1) })
    );

    for n in [1, 2] {
        registry
            .register_provider(&at(who(n), 1), provider_args("p"))
            .unwrap();
    }
    registry
        .add_worker(&at(who(1), 2), worker_args(who(9)))
        .unwrap();
    registry.retire_worker(&at(who(1), 3), who(9)).unwrap();
    for n in [1, 2] {
        let taken = registry.add_worker(&at(who(n), 4), worker_args(who(9)));
        assert_eq!(
            taken,
            Err(RegistryError::OperatorTaken {
                operator: who(9),
                provider: who(1)
            })
        );
    }
}

#[test]
fn a_worker_drains_and_retires_by_its_owner_alone_and_never_comes_back() {
    let mut registry = empty();
    for n in [1, 2] {
        registry
            .register_provider(&at(who(n), 1), provider_args("p"))
            .unwrap();
    }
    registry
        .add_worker(&at(who(1), 2), worker_args(who(9)))
        .unwrap();

    let unknown = registry.drain_worker(&at(who(1), 3), who(8));
    assert_eq!(
        unknown,
        Err(RegistryError::UnknownWorker { operator: who(8) })
    );
    for other in [who(2), who(9)] {
        let foreign = registry.retire_worker(&at(other, 3), who(9));
        assert_eq!(foreign, Err(RegistryError::NotTheOwner { owner: who(1) }));
    }

    let drained = registry.drain_worker(&at(who(1), 4), who(9)).unwrap();
    assert_eq!(drained.status, WorkerStatus::Draining);
    let events = registry.store().events.len();
    assert_eq!(
        registry.drain_worker(&at(who(1), 5), who(9)).unwrap(),
        drained
    );
    assert_eq!(
        registry.store().events.len(),
        events,
        "draining again changes nothing"
    );

    let retired = registry.retire_worker(&at(who(1), 6), who(9)).unwrap();
    assert_eq!(retired.status, WorkerStatus::Retired);
    assert_eq!(
        registry.retire_worker(&at(who(1), 7), who(9)).unwrap(),
        retired
    );
    assert_eq!(
        registry.drain_worker(&at(who(1), 8), who(9)),
        Err(RegistryError::Retired { operator: who(9) })
    );
    assert_eq!(registry.worker(&who(9)), Some(retired));
}

#[test]
fn a_model_version_is_its_manifest_and_registering_it_again_gives_the_same_version() {
    let mut registry = empty();
    let model = registry
        .register_model(&at(who(1), 1), manifest("SmolLM2-135M"))
        .unwrap();
    assert_eq!(model.id, manifest("SmolLM2-135M").id());
    assert_eq!(
        registry.register_model(&at(who(1), 2), manifest("SmolLM2-135M")),
        Ok(model.clone())
    );
    assert_eq!(registry.store().events.len(), 1);
    assert_eq!(registry.model_named("smollm2-135m"), Some(model));
}

#[test]
fn a_model_name_goes_to_the_first_whatever_its_case() {
    let mut registry = empty();
    let first = registry
        .register_model(&at(who(1), 1), manifest("Smol"))
        .unwrap();
    let other = ModelManifest {
        context_max: 2_048,
        ..manifest("Smol")
    };
    for (caller, manifest) in [
        (who(1), other),
        (who(2), manifest("Smol")),
        (who(2), manifest("SMOL")),
    ] {
        let name = manifest.name.clone();
        let taken = registry.register_model(&at(caller, 2), manifest);
        assert_eq!(
            taken,
            Err(RegistryError::NameTaken {
                name,
                model: first.id
            })
        );
    }
}

#[test]
fn a_model_is_deprecated_by_its_owner_alone_and_keeps_its_manifest() {
    let mut registry = empty();
    let model = registry
        .register_model(&at(who(1), 1), manifest("m"))
        .unwrap();
    let unknown = registry.deprecate_model(&at(who(1), 2), ModelId::default());
    assert_eq!(
        unknown,
        Err(RegistryError::UnknownModel {
            model: ModelId::default()
        })
    );
    let foreign = registry.deprecate_model(&at(who(2), 2), model.id);
    assert_eq!(foreign, Err(RegistryError::NotTheOwner { owner: who(1) }));

    let deprecated = Model {
        deprecated: true,
        ..model
    };
    assert_eq!(
        registry.deprecate_model(&at(who(1), 3), deprecated.id),
        Ok(deprecated.clone())
    );
    assert_eq!(
        registry.deprecate_model(&at(who(1), 4), deprecated.id),
        Ok(deprecated.clone())
    );
    assert_eq!(registry.model(&deprecated.id), Some(deprecated));
    assert_eq!(registry.store().events.len(), 2);
}

#[test]
fn the_list_of_jobs_canisters_is_replaced_as_a_whole() {
    let mut registry = empty();
    let [a, b] = [Principal::from_slice(&[1]), Principal::from_slice(&[2])];
    assert_eq!(
        registry.set_shards(&at(who(1), 1), vec![b, a, b]),
        Ok(vec![a, b])
    );
    assert_eq!(registry.set_shards(&at(who(1), 2), vec![b]), Ok(vec![b]));
    assert_eq!(registry.set_shards(&at(who(1), 3), vec![b]), Ok(vec![b]));
    assert_eq!(
        (registry.shards(), registry.store().events.len()),
        (vec![b], 2)
    );
}

#[test]
fn lists_go_on_after_the_last_record_of_the_page_before() {
    let mut registry = empty();
    for n in 1..=5 {
        registry
            .register_provider(&at(who(n), 1), provider_args("p"))
            .unwrap();
        registry
            .add_worker(&at(who(n), 1), worker_args(who(100 + n)))
            .unwrap();
        registry
            .add_worker(&at(who(n), 1), worker_args(who(200 + n)))
            .unwrap();
        registry
            .register_model(&at(who(n), 1), manifest(&format!("m{n}")))
            .unwrap();
    }
    let mut providers = Vec::new();
    while let page = registry.providers(&ProvidersArgs {
        after: providers.last().copied(),
        limit: 2,
    }) && !page.is_empty()
    {
        providers.extend(page.into_iter().map(|provider| provider.id));
    }
    assert!(providers.is_sorted() && providers.len() == 5);

    for provider in [None, Some(who(3))] {
        let mut operators = Vec::new();
        while let page = registry.workers(&WorkersArgs {
            provider,
            after: operators.last().copied(),
            limit: 1,
        }) && !page.is_empty()
        {
            assert!(provider.is_none_or(|provider| page[0].provider == provider));
            operators.extend(page.into_iter().map(|worker| worker.operator));
        }
        assert!(operators.is_sorted());
        assert_eq!(operators.len(), if provider.is_none() { 10 } else { 2 });
    }

    let mut models = Vec::new();
    while let page = registry.models(&ModelsArgs {
        after: models.last().copied(),
        limit: 3,
    }) && !page.is_empty()
    {
        models.extend(page.into_iter().map(|model| model.id));
    }
    assert!(models.is_sorted() && models.len() == 5);
}

#[test]
fn a_changed_record_moves_to_the_end_of_the_feed_and_is_there_once() {
    let mut registry = empty();
    for n in 1..=3 {
        registry
            .register_provider(&at(who(n), 1), provider_args("p"))
            .unwrap();
    }
    registry
        .update_provider(&at(who(1), 2), provider_args("new"))
        .unwrap();

    let feed = registry.changes(&ChangesArgs {
        from: 0,
        limit: 100,
    });
    let names: Vec<_> = feed
        .records
        .iter()
        .map(|record| match record {
            Record::Provider(provider) => (provider.id, provider.name.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, [(who(2), "p"), (who(3), "p"), (who(1), "new")]);
    assert_eq!((feed.next, feed.more), (4, false));

    let past = registry.changes(&ChangesArgs {
        from: u64::MAX,
        limit: 100,
    });
    assert_eq!(
        (past.records.len(), past.next, past.more),
        (0, u64::MAX, false)
    );
}

#[test]
fn a_worker_cannot_change_where_its_owner_is_paid() {
    let mut registry = empty();
    registry
        .register_provider(&at(who(1), 1), provider_args("p"))
        .unwrap();
    registry
        .add_worker(&at(who(1), 2), worker_args(who(9)))
        .unwrap();
    let before = registry.provider(&who(1));
    let mine = ProviderArgs {
        payout: Some(who(9)),
        ..provider_args("p")
    };
    let told = registry.update_provider(&at(who(9), 3), mine);
    assert_eq!(told, Err(RegistryError::NotAProvider { caller: who(9) }));
    assert_eq!(registry.provider(&who(1)), before);
}
