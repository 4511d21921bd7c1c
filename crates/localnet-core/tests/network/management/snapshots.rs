//! Taking, loading, listing and deleting snapshots.

use assay_localnet_core::{network::RunState, types::ErrorCode};
use candid::Principal;
use ic_management_canister_types as ic;

use super::{code_of, decoded, forward, forwarder, forwarder_module, record};
use crate::harness::{Net, plain, user};

pub(super) fn take(
    net: &mut Net,
    canister_id: Principal,
    replace: Option<Vec<u8>>,
) -> ic::Snapshot {
    let arg = ic::TakeCanisterSnapshotArgs {
        canister_id,
        replace_snapshot: replace,
        uninstall_code: None,
        sender_canister_version: None,
    };
    decoded(&net.manage("take_canister_snapshot", &arg).unwrap())
}

fn list(net: &mut Net, id: Principal) -> Vec<ic::Snapshot> {
    decoded(&net.manage("list_canister_snapshots", &record(id)).unwrap())
}

pub(super) fn load(
    net: &mut Net,
    canister_id: Principal,
    snapshot_id: Vec<u8>,
) -> Result<Vec<u8>, assay_localnet_core::types::Reject> {
    let arg = ic::LoadCanisterSnapshotArgs {
        canister_id,
        snapshot_id,
        sender_canister_version: None,
    };
    net.manage("load_canister_snapshot", &arg)
}

/// A global, a word of heap and a word of stable memory.
pub(super) fn counts(net: &mut Net, id: Principal) -> [u64; 3] {
    let reply = net.query(id, "counts", "").unwrap();
    let word = |at: usize| u64::from_le_bytes(reply[at..at + 8].try_into().unwrap());
    [word(0), word(8), word(16)]
}

#[test]
fn a_snapshot_brings_everything_back() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    net.call(id, "bump", "").unwrap();
    let chunk = ic::UploadChunkArgs {
        canister_id: id,
        chunk: vec![1],
    };
    net.manage("upload_chunk", &chunk).unwrap();
    let hash = net.network.canister(&id).unwrap().module_hash;
    let snapshot = take(&mut net, id, None);
    assert_eq!(snapshot.id, [&[0; 8][..], id.as_slice()].concat());
    assert!(snapshot.total_size > 81 * 65_536 + (1 << 20));
    assert_eq!(list(&mut net, id), std::slice::from_ref(&snapshot));
    let version = net.status_of(id).version;

    net.call(id, "bump", "").unwrap();
    net.call(id, "bump", "").unwrap();
    net.manage("clear_chunk_store", &record(id)).unwrap();
    assert_eq!(counts(&mut net, id), [10, 10, 10]);
    net.manage("uninstall_code", &record(id)).unwrap();
    load(&mut net, id, snapshot.id.clone()).unwrap();
    assert_eq!(counts(&mut net, id), [8, 8, 8]);
    let view = net.network.canister(&id).unwrap();
    assert_eq!(view.certified_data, 8u64.to_le_bytes());
    assert_eq!(view.module_hash, hash);
    let chunks = net.manage("stored_chunks", &record(id)).unwrap();
    assert_eq!(decoded::<Vec<ic::ChunkHash>>(&chunks).len(), 1);
    assert_eq!(net.status_of(id).version, version + 4);
    net.call(id, "bump", "").unwrap();
    assert_eq!(counts(&mut net, id), [9, 9, 9]);
    load(&mut net, id, snapshot.id).unwrap();
    assert_eq!(
        counts(&mut net, id),
        [8, 8, 8],
        "a snapshot can be loaded again"
    );
    net.check_cycles();
}

#[test]
fn memory_of_snapshots_is_accounted() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    let before = net.status_of(id);
    let snapshot = take(&mut net, id, None);
    let after = net.status_of(id);
    assert_eq!(after.memory_metrics.snapshots_size, snapshot.total_size);
    assert_eq!(after.memory_size, before.memory_size + snapshot.total_size);
    assert!(after.idle_cycles_burned_per_day > before.idle_cycles_burned_per_day);
    assert!(
        after.cycles < before.cycles - 2_000_000_000u64,
        "taking one is paid for"
    );
    let arg = ic::DeleteCanisterSnapshotArgs {
        canister_id: id,
        snapshot_id: snapshot.id,
    };
    net.manage("delete_canister_snapshot", &arg).unwrap();
    assert_eq!(net.status_of(id).memory_metrics.snapshots_size, 0u8);
    let reject = net.manage("delete_canister_snapshot", &arg).unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterSnapshotNotFound));
    assert!(
        reject
            .message
            .starts_with("Could not find the snapshot ID 0000000000000000"),
        "{}",
        reject.message
    );
    net.check_cycles();
}

#[test]
fn ten_snapshots_are_kept_and_an_eleventh_replaces_one() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    let ids: Vec<_> = (0..10).map(|_| take(&mut net, id, None).id).collect();
    let mut arg = ic::TakeCanisterSnapshotArgs {
        canister_id: id,
        replace_snapshot: None,
        uninstall_code: None,
        sender_canister_version: None,
    };
    let reject = net.manage("take_canister_snapshot", &arg).unwrap_err();
    assert_eq!(
        (reject.error, plain(&reject)),
        (
            Some(ErrorCode::CanisterRejectedMessage),
            &*format!("Canister {id} has reached the maximum number of snapshots allowed: 10.")
        )
    );
    let eleventh = take(&mut net, id, Some(ids[3].clone()));
    let listed: Vec<_> = list(&mut net, id).into_iter().map(|one| one.id).collect();
    assert_eq!(listed.len(), 10);
    assert!(listed.contains(&eleventh.id) && !listed.contains(&ids[3]));
    arg.replace_snapshot = Some(ids[3].clone());
    assert_eq!(
        code_of(net.manage("take_canister_snapshot", &arg)),
        Some(ErrorCode::CanisterSnapshotNotFound)
    );
    net.check_cycles();
}

#[test]
fn a_snapshot_may_take_the_place_of_the_code() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    net.call(id, "bump", "").unwrap();
    let arg = ic::TakeCanisterSnapshotArgs {
        canister_id: id,
        replace_snapshot: None,
        uninstall_code: Some(true),
        sender_canister_version: None,
    };
    let snapshot: ic::Snapshot = decoded(&net.manage("take_canister_snapshot", &arg).unwrap());
    assert_eq!(net.status_of(id).module_hash, None);
    let reject = net.manage("take_canister_snapshot", &arg).unwrap_err();
    assert_eq!(
        plain(&reject),
        format!("Failed to create snapshot for empty canister {id}:")
    );
    load(&mut net, id, snapshot.id).unwrap();
    assert_eq!(counts(&mut net, id), [8, 8, 8]);
}

#[test]
fn a_snapshot_is_loaded_into_another_canister_by_who_controls_both() {
    let mut net = Net::new();
    let from = forwarder(&mut net);
    let to = net.create();
    net.call(from, "bump", "").unwrap();
    let snapshot = take(&mut net, from, None);
    load(&mut net, to, snapshot.id.clone()).unwrap();
    assert_eq!(counts(&mut net, to), [8, 8, 8]);
    assert_eq!(list(&mut net, to), []);
    let info = ic::CanisterInfoArgs {
        canister_id: to,
        num_requested_changes: Some(1),
    };
    let told: ic::CanisterInfoResult =
        decoded(&forward(&mut net, from, "canister_info", &info, 0).unwrap());
    let Some(ic::ChangeDetails::LoadSnapshot(change)) = &told.recent_changes[0].details else {
        panic!("{told:?}");
    };
    assert_eq!(change.from_canister_id, Some(from));
    assert_eq!(change.snapshot_id, snapshot.id);
    assert_eq!(change.taken_at_timestamp, snapshot.taken_at_timestamp);
    assert_eq!(
        change.source,
        ic::SnapshotSource::TakenFromCanister(candid::Reserved)
    );

    let replace = ic::TakeCanisterSnapshotArgs {
        canister_id: to,
        replace_snapshot: Some(snapshot.id.clone()),
        uninstall_code: None,
        sender_canister_version: None,
    };
    let reject = net.manage("take_canister_snapshot", &replace).unwrap_err();
    assert!(
        reject
            .message
            .contains(&format!("does not belong to canister {to}"))
    );
    // `from` loses its controllers, and with them whoever could load its snapshots elsewhere.
    let settings = ic::CanisterSettings {
        controllers: Some(vec![]),
        ..Default::default()
    };
    super::set(&mut net, from, settings).unwrap();
    let reject = load(&mut net, to, snapshot.id).unwrap_err();
    assert_eq!(reject.error, Some(ErrorCode::CanisterRejectedMessage));
    assert!(
        reject
            .message
            .starts_with("Only a controller of the canister that snapshot "),
        "{}",
        reject.message
    );
}

#[test]
fn ids_that_are_none_and_canisters_that_are_gone_have_no_snapshots() {
    let mut net = Net::new();
    let id = forwarder(&mut net);
    let other = forwarder(&mut net);
    let snapshot = take(&mut net, other, None).id;
    for bad in [vec![], vec![9; 7], vec![1; 18], vec![0; 100]] {
        assert_eq!(
            code_of(load(&mut net, id, bad)),
            Some(ErrorCode::CanisterSnapshotNotFound)
        );
    }
    net.manage("stop_canister", &record(other)).unwrap();
    net.manage("delete_canister", &record(other)).unwrap();
    assert_eq!(
        code_of(load(&mut net, id, snapshot)),
        Some(ErrorCode::CanisterSnapshotNotFound)
    );
}

#[test]
fn a_canister_takes_a_snapshot_of_another_that_it_controls_while_that_is_stopped() {
    let mut net = Net::new();
    let by = forwarder(&mut net);
    let id = forwarder(&mut net);
    let settings = ic::CanisterSettings {
        controllers: Some(vec![user(), by]),
        ..Default::default()
    };
    super::set(&mut net, id, settings).unwrap();
    forward(&mut net, by, "stop_canister", &record(id), 0).unwrap();
    let arg = ic::TakeCanisterSnapshotArgs {
        canister_id: id,
        replace_snapshot: None,
        uninstall_code: None,
        sender_canister_version: Some(1),
    };
    forward(&mut net, by, "take_canister_snapshot", &arg, 0).unwrap();
    assert_eq!(list(&mut net, id).len(), 1);
    let snapshot_id = list(&mut net, id).remove(0).id;
    load(&mut net, id, snapshot_id).unwrap();
    assert_eq!(net.network.canister(&id).unwrap().state, RunState::Stopped);
}

#[test]
fn who_cannot_pay_for_a_snapshot_takes_none() {
    let mut net = Net::new();
    let id = net.create_with(310_000_000_000);
    net.install_code(
        id,
        ic::CanisterInstallMode::Install,
        forwarder_module(),
        b"",
    )
    .unwrap();
    let left = net.network.balance(&id).unwrap();
    let mut arg = ic::TakeCanisterSnapshotArgs {
        canister_id: id,
        replace_snapshot: None,
        uninstall_code: None,
        sender_canister_version: None,
    };
    let reject = loop {
        match net.manage("take_canister_snapshot", &arg) {
            Ok(reply) => arg.replace_snapshot = Some(decoded::<ic::Snapshot>(&reply).id),
            Err(reject) => break reject,
        }
        net.check_cycles();
    };
    assert!(net.network.balance(&id).unwrap() < left / 2);
    assert_eq!(reject.error, Some(ErrorCode::CanisterOutOfCycles));
    let more = ic::ProvisionalTopUpCanisterArgs {
        canister_id: id,
        amount: 1_000_000_000_000u64.into(),
    };
    net.manage("provisional_top_up_canister", &more).unwrap();
    let kept: Vec<_> = list(&mut net, id).into_iter().map(|one| one.id).collect();
    assert_eq!(Some(kept), arg.replace_snapshot.map(|last| vec![last]));
}
