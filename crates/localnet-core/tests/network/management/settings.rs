//! Settings: which are taken, what they cost, and what they do.

use assay_localnet_core::types::ErrorCode;
use candid::Principal;
use ic_management_canister_types as ic;

use super::{code_of, decoded, forward, forwarder, record, set};
use crate::harness::{Net, user};

const T: u128 = 1_000_000_000_000;

fn principals(count: u8) -> Vec<Principal> {
    (0..count)
        .map(|byte| Principal::from_slice(&[byte]))
        .collect()
}

fn variables(count: usize, bytes: usize) -> Vec<ic::EnvironmentVariable> {
    (0..count)
        .map(|number| ic::EnvironmentVariable {
            name: format!("{number:>bytes$}"),
            value: "v".repeat(bytes),
        })
        .collect()
}

#[test]
fn every_setting_has_its_limit() {
    type Case = (&'static str, ic::CanisterSettings, Option<ErrorCode>);
    let contract = Some(ErrorCode::CanisterContractViolation);
    let payload = Some(ErrorCode::InvalidManagementPayload);
    let empty = ic::CanisterSettings::default;
    let two = |power: u32| candid::Nat(candid::Nat::from(2u8).0.pow(power));
    let below = |power: u32| candid::Nat(two(power).0 - 1u8);
    let with_user = |count| {
        let mut all = principals(count);
        all[0] = user();
        all
    };
    let cases: Vec<Case> = vec![
        (
            "10 controllers",
            ic::CanisterSettings {
                controllers: Some(with_user(10)),
                ..empty()
            },
            None,
        ),
        (
            "11 controllers",
            ic::CanisterSettings {
                controllers: Some(with_user(11)),
                ..empty()
            },
            payload,
        ),
        (
            "compute 100",
            ic::CanisterSettings {
                compute_allocation: Some(100u8.into()),
                ..empty()
            },
            None,
        ),
        (
            "compute 101",
            ic::CanisterSettings {
                compute_allocation: Some(101u8.into()),
                ..empty()
            },
            contract,
        ),
        (
            "memory 1 GiB",
            ic::CanisterSettings {
                memory_allocation: Some(two(30)),
                ..empty()
            },
            None,
        ),
        (
            "memory 2 TiB + 1",
            ic::CanisterSettings {
                memory_allocation: Some(candid::Nat(two(41).0 + 1u8)),
                ..empty()
            },
            Some(ErrorCode::SubnetOversubscribed),
        ),
        (
            "memory 2^64",
            ic::CanisterSettings {
                memory_allocation: Some(two(64)),
                ..empty()
            },
            contract,
        ),
        (
            "reserved 2^128 - 1",
            ic::CanisterSettings {
                reserved_cycles_limit: Some(below(128)),
                ..empty()
            },
            None,
        ),
        (
            "reserved 2^128",
            ic::CanisterSettings {
                reserved_cycles_limit: Some(two(128)),
                ..empty()
            },
            contract,
        ),
        (
            "minimum 2^128",
            ic::CanisterSettings {
                minimum_incoming_canister_call_cycles: Some(two(128)),
                ..empty()
            },
            contract,
        ),
        (
            "heap 2^48",
            ic::CanisterSettings {
                wasm_memory_limit: Some(two(48)),
                ..empty()
            },
            None,
        ),
        (
            "heap 2^48 + 1",
            ic::CanisterSettings {
                wasm_memory_limit: Some(candid::Nat(two(48).0 + 1u8)),
                ..empty()
            },
            contract,
        ),
        (
            "threshold 2^48",
            ic::CanisterSettings {
                wasm_memory_threshold: Some(two(48)),
                ..empty()
            },
            None,
        ),
        (
            "threshold 2^48 + 1",
            ic::CanisterSettings {
                wasm_memory_threshold: Some(candid::Nat(two(48).0 + 1u8)),
                ..empty()
            },
            contract,
        ),
        (
            "log 2 MiB",
            ic::CanisterSettings {
                log_memory_limit: Some(two(21)),
                ..empty()
            },
            None,
        ),
        (
            "log 4095",
            ic::CanisterSettings {
                log_memory_limit: Some(below(12)),
                ..empty()
            },
            contract,
        ),
        (
            "10 log viewers",
            ic::CanisterSettings {
                log_visibility: Some(ic::LogVisibility::AllowedViewers(principals(10))),
                ..empty()
            },
            None,
        ),
        (
            "11 log viewers",
            ic::CanisterSettings {
                log_visibility: Some(ic::LogVisibility::AllowedViewers(principals(11))),
                ..empty()
            },
            payload,
        ),
        (
            "11 snapshot viewers",
            ic::CanisterSettings {
                snapshot_visibility: Some(ic::SnapshotVisibility::AllowedViewers(principals(11))),
                ..empty()
            },
            payload,
        ),
        (
            "11 status viewers",
            ic::CanisterSettings {
                status_visibility: Some(ic::StatusVisibility::AllowedViewers(principals(11))),
                ..empty()
            },
            payload,
        ),
        (
            "20 variables",
            ic::CanisterSettings {
                environment_variables: Some(variables(20, 128)),
                ..empty()
            },
            None,
        ),
        (
            "21 variables",
            ic::CanisterSettings {
                environment_variables: Some(variables(21, 2)),
                ..empty()
            },
            payload,
        ),
        (
            "long variable",
            ic::CanisterSettings {
                environment_variables: Some(variables(1, 129)),
                ..empty()
            },
            payload,
        ),
        (
            "freezing 2^64",
            ic::CanisterSettings {
                freezing_threshold: Some(two(64)),
                ..empty()
            },
            contract,
        ),
    ];
    let mut net = Net::new();
    let id = net.create_with(10_000 * T);
    for (name, settings, expected) in cases {
        let before = net.status_of(id);
        let result = set(&mut net, id, settings);
        let after = net.status_of(id);
        assert_eq!(code_of(result), expected, "{name}");
        if expected.is_some() {
            assert_eq!(before.settings, after.settings, "{name} changes nothing");
            assert_eq!(before.version, after.version, "{name}");
        } else {
            assert_eq!(before.version + 1, after.version, "{name}");
        }
        net.check_cycles();
    }
    let settings = net.status_of(id).settings;
    assert_eq!(settings.controllers.len(), 10);
    assert_eq!(settings.log_memory_limit, two(21));
    assert_eq!(settings.environment_variables.len(), 20);
}

#[test]
fn creation_takes_settings_and_refuses_bad_ones_without_cost() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let arg = |percent: u8| ic::CreateCanisterArgs {
        settings: Some(ic::CanisterSettings {
            compute_allocation: Some(percent.into()),
            controllers: Some(vec![user(), by]),
            freezing_threshold: Some(1u8.into()),
            ..Default::default()
        }),
        sender_canister_version: None,
    };
    let reply = forward(&mut net, by, "create_canister", &arg(7), 2 * T).unwrap();
    let id = decoded::<ic::CanisterIdRecord>(&reply).canister_id;
    let status = net.status_of(id);
    assert_eq!(status.settings.compute_allocation, 7u8);
    assert_eq!(status.settings.freezing_threshold, 1u8);
    assert!(status.cycles > 3 * T / 2 - T / 100 && status.cycles <= 3 * T / 2);
    let canisters = net.network.canisters().count();
    assert!(forward(&mut net, by, "create_canister", &arg(101), 2 * T).is_err());
    let (code, message) = forward(&mut net, by, "create_canister", &arg(7), T / 2 - 1).unwrap_err();
    assert_eq!(code, 4);
    assert_eq!(
        message,
        "Creating a canister requires a fee of 500_000_000_000 that is deducted from the canister's initial balance \
         but only 499_999_999_999 cycles were received with the create_canister request.\n\
         Try sending more cycles with the request. See documentation: \
         https://internetcomputer.org/docs/current/references/execution-errors#create-canister-not-enough-cycles"
    );
    assert_eq!(net.network.canisters().count(), canisters);
    net.check_cycles();
}

#[test]
fn allocations_must_be_affordable() {
    let mut net = Net::new();
    let id = net.create_with(T);
    let compute = |percent: u8| ic::CanisterSettings {
        compute_allocation: Some(percent.into()),
        ..Default::default()
    };
    let reject = set(&mut net, id, compute(100)).unwrap_err();
    assert_eq!(
        reject.error,
        Some(ErrorCode::InsufficientCyclesInComputeAllocation)
    );
    assert!(
        reject.message.starts_with(
            "Cannot increase compute allocation to 100% due to insufficient cycles. At least "
        ),
        "{}",
        reject.message
    );
    let memory = |bytes: u64| ic::CanisterSettings {
        memory_allocation: Some(bytes.into()),
        ..Default::default()
    };
    assert_eq!(
        code_of(set(&mut net, id, memory(100 << 30))),
        Some(ErrorCode::InsufficientCyclesInMemoryAllocation)
    );
    set(&mut net, id, memory(1 << 30)).unwrap();
    let status = net.status_of(id);
    assert_eq!(
        status.idle_cycles_burned_per_day,
        127_000u64 * 86_400,
        "the whole allocation is paid for"
    );
    assert!(status.memory_size < 10_000u32);
    net.check_cycles();
}

#[test]
fn the_status_breaks_memory_down() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    net.call(id, "bump", "").unwrap();
    net.call(id, "print", "a line").unwrap();
    let upload = ic::UploadChunkArgs {
        canister_id: id,
        chunk: vec![7; 10],
    };
    net.manage("upload_chunk", &upload).unwrap();
    let status = net.status_of(id);
    let metrics = status.memory_metrics;
    assert_eq!(metrics.wasm_memory_size, 80u32 * 65_536);
    assert_eq!(metrics.stable_memory_size, 65_536u32);
    assert_eq!(metrics.global_memory_size, 8u8);
    assert_eq!(metrics.wasm_binary_size, super::forwarder_module().len());
    assert_eq!(metrics.wasm_chunk_store_size, 1u32 << 20, "a whole chunk");
    assert_eq!(metrics.log_memory_store_size, 16u8 + 6);
    assert!(metrics.canister_history_size > 0u8);
    let sum = metrics.wasm_memory_size
        + metrics.stable_memory_size
        + metrics.global_memory_size
        + metrics.wasm_binary_size
        + metrics.custom_sections_size
        + metrics.canister_history_size
        + metrics.wasm_chunk_store_size
        + metrics.snapshots_size
        + metrics.log_memory_store_size;
    assert_eq!(status.memory_size, sum);
    assert!(!status.ready_for_migration);
    net.manage("stop_canister", &record(id)).unwrap();
    assert!(net.status_of(id).ready_for_migration);
    assert_eq!(status.reserved_cycles, 0u8);
}
