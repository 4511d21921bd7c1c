//! Random commands, with everything that must hold checked after each.

use proptest::{collection::vec, prelude::*};

use assay_protocol::{registry::RegistryError, store::Log};

use super::*;

#[derive(Clone, Debug)]
enum Step {
    RegisterProvider {
        by: u8,
        name: u8,
    },
    UpdateProvider {
        by: u8,
        name: u8,
    },
    AddWorker {
        by: u8,
        operator: u8,
    },
    DrainWorker {
        by: u8,
        operator: u8,
    },
    RetireWorker {
        by: u8,
        operator: u8,
    },
    RegisterModel {
        by: u8,
        name: u8,
        context: u32,
    },
    DeprecateModel {
        by: u8,
        name: u8,
        context: u32,
    },
    SetShards {
        count: u8,
    },
    ReportSpeed {
        by: u8,
        name: u8,
        context: u32,
        milli: u64,
    },
    /// A jobs canister reads the feed from where it stopped.
    Follow {
        limit: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    // Callers 0 to 3, of which 0 is anonymous; operators from a pool that callers share.
    let by = || 0..4u8;
    let operator = || 10..16u8;
    let name = || 0..6u8;
    prop_oneof![
        3 => (by(), name()).prop_map(|(by, name)| Step::RegisterProvider { by, name }),
        2 => (by(), name()).prop_map(|(by, name)| Step::UpdateProvider { by, name }),
        4 => (by(), operator()).prop_map(|(by, operator)| Step::AddWorker { by, operator }),
        2 => (by(), operator()).prop_map(|(by, operator)| Step::DrainWorker { by, operator }),
        2 => (by(), operator()).prop_map(|(by, operator)| Step::RetireWorker { by, operator }),
        4 => (by(), name(), 0..3u32).prop_map(|(by, name, context)| Step::RegisterModel { by, name, context }),
        2 => (by(), name(), 0..3u32).prop_map(|(by, name, context)| Step::DeprecateModel { by, name, context }),
        1 => (0..4u8).prop_map(|count| Step::SetShards { count }),
        3 => (operator(), name(), 0..3u32, 0..3u64).prop_map(|(by, name, context, milli)| {
            Step::ReportSpeed { by, name, context, milli }
        }),
        2 => (0..5u32).prop_map(|limit| Step::Follow { limit }),
    ]
}

fn caller(n: u8) -> Principal {
    if n == 0 {
        Principal::anonymous()
    } else {
        who(n)
    }
}

/// Names in two cases of the same letters, so that folding matters; a context of 0 is invalid.
fn model(name: u8, context: u32) -> ModelManifest {
    let text = if name.is_multiple_of(2) {
        format!("model-{}", name / 2)
    } else {
        format!("MODEL-{}", name / 2)
    };
    ModelManifest {
        context_max: context,
        ..manifest(&text)
    }
}

fn run(registry: &mut Registry<Memory>, step: &Step, second: u64) -> Result<(), RegistryError> {
    match *step {
        Step::RegisterProvider { by, name } => registry
            .register_provider(&at(caller(by), second), provider_args(&format!("p{name}")))
            .map(drop),
        Step::UpdateProvider { by, name } => registry
            .update_provider(&at(caller(by), second), provider_args(&format!("p{name}")))
            .map(drop),
        Step::AddWorker { by, operator } => registry
            .add_worker(&at(caller(by), second), worker_args(who(operator)))
            .map(drop),
        Step::DrainWorker { by, operator } => registry
            .drain_worker(&at(caller(by), second), who(operator))
            .map(drop),
        Step::RetireWorker { by, operator } => registry
            .retire_worker(&at(caller(by), second), who(operator))
            .map(drop),
        Step::RegisterModel { by, name, context } => registry
            .register_model(&at(caller(by), second), model(name, context))
            .map(drop),
        Step::DeprecateModel { by, name, context } => registry
            .deprecate_model(&at(caller(by), second), model(name, context).id())
            .map(drop),
        Step::SetShards { count } => registry
            .set_shards(&at(who(1), second), (0..count).map(who).collect())
            .map(drop),
        Step::ReportSpeed {
            by,
            name,
            context,
            milli,
        } => {
            let args = speed_args(model(name, context).id(), milli);
            registry.report_speed(&at(who(by), second), args).map(drop)
        }
        Step::Follow { .. } => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_asked_the_registry_stays_whole(steps in vec(step(), 1..300)) {
        let mut registry = empty();
        let mut known = BTreeMap::new();
        let mut cursor = 0;
        for (second, step) in steps.iter().enumerate() {
            let before = registry.store().clone();
            match run(&mut registry, step, second as u64) {
                Err(error) => {
                    prop_assert!(registry.store() == &before, "refused with {}, yet changed", error);
                    prop_assert!(!error.to_string().ends_with('.'));
                }
                Ok(()) => {
                    for (id, model) in before.models.range(..) {
                        prop_assert_eq!(registry.model(&id).map(|model| model.manifest), Some(model.manifest));
                    }
                }
            }
            if let Step::Follow { limit } = step {
                cursor = follow(&registry, &mut known, cursor, *limit);
                prop_assert_eq!(&known, &records(registry.store()));
            }
            check_invariants(registry.store());
        }

        follow(&registry, &mut known, cursor, 3);
        prop_assert_eq!(&known, &records(registry.store()), "who follows from time to time knows all");
        let mut fresh = BTreeMap::new();
        follow(&registry, &mut fresh, 0, 7);
        prop_assert_eq!(&fresh, &known, "who reads from the beginning knows the same");

        let mut replayed = Store::<Memory>::default();
        for event in registry.store().events.entries() {
            replayed.apply(event);
            replayed.events.append(event);
        }
        prop_assert!(&replayed == registry.store(), "the log alone rebuilds the state");
    }
}
