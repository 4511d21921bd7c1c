//! Speeds that workers report, and the hardware catalogue.

use assay_protocol::{
    limits::{SPEED_MILLI_MAX, SPEEDS_READ_MAX, SPEEDS_SHOWN_MAX, WORKERS_PER_PROVIDER_MAX},
    registry::{MeasuredSpeed, RegistryError},
    store::Log,
};

use super::*;

/// A provider, some of its workers, and some models.
fn crowd(workers: usize, models: usize) -> (Registry<Memory>, Vec<Principal>, Vec<ModelId>) {
    let mut registry = empty();
    let operators: Vec<Principal> = (0..workers)
        .map(|n| Principal::self_authenticating((n as u64).to_be_bytes()))
        .collect();
    for (n, operator) in operators.iter().enumerate() {
        let owner = who((n / WORKERS_PER_PROVIDER_MAX) as u8 + 1);
        if n.is_multiple_of(WORKERS_PER_PROVIDER_MAX) {
            registry
                .register_provider(&at(owner, 1), provider_args("p"))
                .unwrap();
        }
        registry
            .add_worker(&at(owner, 1), worker_args(*operator))
            .unwrap();
    }
    let models = (0..models)
        .map(|n| {
            let manifest = manifest(&format!("model-{n}"));
            registry
                .register_model(&at(who(1), 2), manifest)
                .unwrap()
                .id
        })
        .collect();
    (registry, operators, models)
}

#[test]
fn a_workers_speed_is_known_and_those_who_follow_hear_of_it() {
    let (mut registry, workers, models) = crowd(1, 2);
    let end = registry.changes(&ChangesArgs { from: 0, limit: 9 }).next;
    let mut args = speed_args(models[0], 52_000);
    args.speed.watts = Some(70);
    let worker = registry.report_speed(&at(workers[0], 3), args).unwrap();
    let Hardware {
        tokens_per_second_milli,
        watts,
        ..
    } = worker.hardware;
    assert_eq!((tokens_per_second_milli, watts), (Some(52_000), Some(70)));
    let heard = registry.changes(&ChangesArgs {
        from: end,
        limit: 9,
    });
    assert_eq!(heard.records, [Record::Worker(worker.clone())]);

    // A report on another model is what the record shows then, until the first one comes again.
    let other = speed_args(models[1], 7_000);
    registry.report_speed(&at(workers[0], 3), other).unwrap();
    let worker = registry.report_speed(&at(workers[0], 3), args).unwrap();
    assert_eq!(worker.hardware.tokens_per_second_milli, Some(52_000));

    // The same again is no event.
    let events = registry.store().events.len();
    let again = registry.report_speed(&at(workers[0], 4), args).unwrap();
    assert_eq!((again, registry.store().events.len()), (worker, events));

    // An encoder's speed says nothing of writing; the record stays.
    let reads = SpeedArgs {
        model: models[1],
        speed: Speed {
            reads_milli: Some(9),
            writes_milli: None,
            watts: None,
        },
    };
    let worker = registry.report_speed(&at(workers[0], 5), reads).unwrap();
    assert_eq!(worker.hardware.tokens_per_second_milli, Some(52_000));
    assert_eq!(registry.store().speeds.len(), 2);
    check_invariants(registry.store());
}

#[test]
fn only_workers_that_are_not_retired_report_speeds_of_known_models() {
    let (mut registry, workers, models) = crowd(1, 1);
    let args = speed_args(models[0], 1);
    let operator = who(77);
    assert_eq!(
        registry.report_speed(&at(operator, 3), args),
        Err(RegistryError::UnknownWorker { operator })
    );
    let model = ModelId(Hash32([9; 32]));
    assert_eq!(
        registry.report_speed(&at(workers[0], 3), speed_args(model, 1)),
        Err(RegistryError::UnknownModel { model })
    );
    registry.retire_worker(&at(who(1), 4), workers[0]).unwrap();
    let operator = workers[0];
    assert_eq!(
        registry.report_speed(&at(operator, 5), args),
        Err(RegistryError::Retired { operator })
    );
}

#[test]
fn speeds_have_bounds() {
    let (mut registry, workers, models) = crowd(1, SPEEDS_PER_WORKER_MAX + 1);
    let mut field = |reads_milli, writes_milli| {
        let args = SpeedArgs {
            model: models[0],
            speed: Speed {
                reads_milli,
                writes_milli,
                watts: None,
            },
        };
        match registry.report_speed(&at(workers[0], 3), args) {
            Ok(_) => "ok".to_owned(),
            Err(RegistryError::Invalid { field, .. }) => field,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(field(None, None), "speed");
    assert_eq!(field(Some(0), None), "speed.reads_milli");
    assert_eq!(field(None, Some(0)), "speed.writes_milli");
    assert_eq!(field(Some(SPEED_MILLI_MAX), Some(1)), "ok");
    assert_eq!(
        field(Some(SPEED_MILLI_MAX + 1), Some(1)),
        "speed.reads_milli"
    );
    assert_eq!(
        field(Some(1), Some(SPEED_MILLI_MAX + 1)),
        "speed.writes_milli"
    );

    let (last, fit) = models.split_last().unwrap();
    for model in fit {
        registry
            .report_speed(&at(workers[0], 4), speed_args(*model, 5))
            .unwrap();
    }
    let past = registry.report_speed(&at(workers[0], 5), speed_args(*last, 5));
    let expected = RegistryError::Full {
        what: "speeds of one worker".to_owned(),
        max: SPEEDS_PER_WORKER_MAX as u64,
    };
    assert_eq!(past, Err(expected));
    // A model that takes no jobs any more makes room.
    registry.deprecate_model(&at(who(1), 5), models[3]).unwrap();
    registry
        .report_speed(&at(workers[0], 5), speed_args(*last, 5))
        .unwrap();
    let own = registry.store().speeds_of(workers[0]);
    assert!(own.contains(last) && !own.contains(&models[3]));
    assert_eq!(own.len(), SPEEDS_PER_WORKER_MAX);
    // What is known may still change.
    registry
        .report_speed(&at(workers[0], 6), speed_args(models[0], 6))
        .unwrap();
    check_invariants(registry.store());
}

#[test]
fn the_catalogue_has_medians_of_each_kind_of_machine() {
    let (mut registry, workers, models) = crowd(5, 2);
    for (worker, milli) in workers.iter().zip([30, 10, 20, 40, 99]) {
        registry
            .report_speed(&at(*worker, 3), speed_args(models[0], milli))
            .unwrap();
    }
    registry
        .report_speed(&at(workers[0], 3), speed_args(models[1], 7))
        .unwrap();
    registry.retire_worker(&at(who(1), 4), workers[4]).unwrap();
    let catalogue = registry.hardware_catalogue();
    let measured = |model, workers, writes| MeasuredSpeed {
        board: Board::WormholeN300,
        chips: 2,
        model,
        workers,
        reads_milli: None,
        writes_milli: Some(writes),
        watts: None,
    };
    let mut expected = [measured(models[0], 4, 20), measured(models[1], 1, 7)];
    expected.sort_by_key(|measured| measured.model);
    assert_eq!(catalogue.measured, expected);
    assert_eq!(
        registry.store().speeds.len(),
        5,
        "who is retired has no speed"
    );
}

#[test]
fn the_catalogue_has_what_is_published_of_wormhole_boards_and_no_price() {
    let boards = empty().hardware_catalogue().boards;
    let told: Vec<_> = boards
        .iter()
        .map(|board| {
            (
                board.board.clone(),
                board.chips,
                board.memory_bytes >> 30,
                board.bandwidth_bytes / 1_000_000_000,
                board.tiles,
                board.derived,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Board::WormholeN150, 1, 12, 288, Some(72), false),
            (Board::WormholeN300, 2, 24, 576, Some(128), false),
            (Board::WormholeT3000, 8, 96, 2_304, Some(512), true),
            (Board::WormholeGalaxy, 32, 384, 9_216, None, true),
        ]
    );
    for board in boards {
        assert_eq!(board.price, None);
        assert!(board.source.starts_with("https://docs.tenstorrent.com/"));
    }
}

#[test]
fn one_look_at_the_catalogue_reads_and_shows_only_so_much() {
    let (mut registry, workers, models) = crowd(SPEEDS_READ_MAX + 1, 1);
    for worker in &workers {
        registry
            .report_speed(&at(*worker, 3), speed_args(models[0], 5))
            .unwrap();
    }
    let measured = registry.hardware_catalogue().measured;
    assert_eq!(measured[0].workers as usize, SPEEDS_READ_MAX);

    let (mut registry, workers, models) = crowd(9, SPEEDS_PER_WORKER_MAX);
    let mut reported = 0;
    // Workers of nine kinds, so that there are more kinds and models than are shown.
    for (chips, worker) in (1..).zip(&workers) {
        registry.retire_worker(&at(who(1), 3), *worker).unwrap();
        let operator = Principal::self_authenticating([7, chips as u8]);
        let mut args = worker_args(operator);
        args.hardware.chips = chips;
        registry.add_worker(&at(who(1), 3), args).unwrap();
        for model in &models {
            registry
                .report_speed(&at(operator, 4), speed_args(*model, 5))
                .unwrap();
            reported += 1;
            let shown = registry.hardware_catalogue().measured.len();
            assert_eq!(shown, SPEEDS_SHOWN_MAX.min(reported));
        }
    }
    assert!(reported > SPEEDS_SHOWN_MAX);
}
