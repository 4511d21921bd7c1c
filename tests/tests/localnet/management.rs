//! Settings, status, logs and snapshots.

use candid::Nat;
use pocket_ic::{CanisterSettings, ErrorCode, RejectCode};
use serde_bytes::ByteBuf;

use crate::harness::{anybody, keep, network, probe, probe_wasm, query, read, refused, tell, user};

#[test]
fn settings_are_shown_as_they_were_set() {
    let network = network();
    let id = probe(&network);
    let settings = CanisterSettings {
        freezing_threshold: Some(Nat::from(1_000_000u64)),
        memory_allocation: Some(Nat::from(50_000_000u64)),
        compute_allocation: Some(Nat::from(1u64)),
        wasm_memory_limit: Some(Nat::from(1_000_000_000u64)),
        ..Default::default()
    };
    network
        .update_canister_settings(id, None, settings)
        .unwrap();
    let shown = network.canister_status(id, None).unwrap().settings;
    assert_eq!(shown.freezing_threshold, 1_000_000u64);
    assert_eq!(shown.memory_allocation, 50_000_000u64);
    assert_eq!(shown.compute_allocation, 1u64);
    assert_eq!(shown.wasm_memory_limit, 1_000_000_000u64);
    assert_eq!(shown.controllers, [anybody()]);
    let wrong = CanisterSettings {
        compute_allocation: Some(Nat::from(101u64)),
        ..Default::default()
    };
    assert!(network.update_canister_settings(id, None, wrong).is_err());
}

#[test]
fn a_status_tells_what_a_canister_is_and_has() {
    let network = network();
    let id = probe(&network);
    let status = network.canister_status(id, None).unwrap();
    assert_eq!(
        status.module_hash.map(|hash| hash.len()),
        Some(32),
        "the hash of the module as it was sent"
    );
    assert!(status.memory_size > 1_000_000u64, "{}", status.memory_size);
    assert!(status.cycles > 90_000_000_000_000u64, "{}", status.cycles);
    assert!(status.idle_cycles_burned_per_day > 0u64);
    refused(
        network.canister_status(id, Some(user(1))),
        RejectCode::CanisterError,
        ErrorCode::CanisterStatusAccessDenied,
        "status",
    );
}

#[test]
fn logs_tell_what_was_printed_and_why_it_trapped() {
    let network = network();
    let id = probe(&network);
    tell(&network, id, "print", ("first line",)).unwrap();
    let trapped = tell(&network, id, "trap_after_adding", (1u64, "the last straw"));
    assert!(trapped.is_err());
    let logs = network.fetch_canister_logs(id, anybody()).unwrap();
    let texts: Vec<_> = logs
        .iter()
        .map(|record| String::from_utf8_lossy(&record.content).into_owned())
        .collect();
    assert_eq!(texts[0], "first line");
    assert!(
        texts.last().unwrap().contains("the last straw"),
        "{texts:?}"
    );
    assert!(logs[1].idx > logs[0].idx);
    let strangers = network.fetch_canister_logs(id, user(1));
    assert!(strangers.is_err(), "logs are for controllers");
}

#[test]
fn a_snapshot_brings_everything_back() {
    let network = network();
    let id = probe(&network);
    tell(&network, id, "add", (5u64,)).unwrap();
    tell(
        &network,
        id,
        "stable_write",
        (0u64, ByteBuf::from(*b"kept")),
    )
    .unwrap();
    let snapshot = network.take_canister_snapshot(id, None, None).unwrap();
    tell(&network, id, "add", (100u64,)).unwrap();
    tell(
        &network,
        id,
        "stable_write",
        (0u64, ByteBuf::from(*b"lost")),
    )
    .unwrap();
    network.stop_canister(id, None).unwrap();
    network
        .load_canister_snapshot(id, None, snapshot.id.clone())
        .unwrap();
    network.start_canister(id, None).unwrap();
    assert_eq!(read(&network, id), 5);
    let bytes: ByteBuf = query(&network, id, "stable_read", (0u64, 4u64)).unwrap();
    assert_eq!(*bytes, *b"kept");

    let listed = network.list_canister_snapshots(id, None).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, snapshot.id);
    network
        .delete_canister_snapshot(id, None, snapshot.id.clone())
        .unwrap();
    assert!(
        network
            .list_canister_snapshots(id, None)
            .unwrap()
            .is_empty()
    );
    refused(
        network.load_canister_snapshot(id, None, snapshot.id),
        RejectCode::DestinationInvalid,
        ErrorCode::CanisterSnapshotNotFound,
        "",
    );
}

#[test]
fn the_version_counts_changes() {
    let network = network();
    let id = probe(&network);
    let version = || query::<u64>(&network, id, "version", ()).unwrap();
    let first = version();
    network
        .upgrade_canister(id, probe_wasm(), keep(), None)
        .unwrap();
    let second = version();
    assert!(second > first);
    network
        .update_canister_settings(id, None, CanisterSettings::default())
        .unwrap();
    assert!(version() > second);
}

#[test]
fn a_subnet_tells_how_busy_it_is() {
    let network = network();
    let subnet = network.topology().get_app_subnets()[0];
    probe(&network);
    let metrics = network.get_subnet_metrics(subnet).unwrap();
    assert_eq!(metrics.num_canisters, 1);
    assert!(metrics.canister_state_bytes > 0);
    network.create_canister();
    network.tick();
    assert_eq!(network.get_subnet_metrics(subnet).unwrap().num_canisters, 2);
    assert!(network.get_subnet_metrics(anybody()).is_none());
}
