//! Taking, loading, listing and deleting snapshots.

use candid::Principal;
use ic_management_canister_types::{
    self as ic, CanisterIdRecord, ChangeDetails, DeleteCanisterSnapshotArgs,
    LoadCanisterSnapshotArgs, LoadSnapshotRecord, TakeCanisterSnapshotArgs,
};

use super::{
    Call, Outcome, charge, check_growth, code::recorded_uninstall, done, existing, history, reply,
    snapshot_data, subnet,
};
use crate::{
    canister::{Canister, CanisterId, Snapshot, SnapshotId, Source, Timer},
    help, limits,
    network::Network,
    types::{ErrorCode, Reject},
};

/// What a snapshot costs, in instructions, before its first byte.
const BASE_INSTRUCTIONS: u64 = 2_000_000_000;

/// What is said where that cannot be paid.
pub(super) fn unpaid(reject: Reject) -> Reject {
    help::SNAPSHOT_UNPAID.reject(
        ErrorCode::CanisterOutOfCycles,
        format!("Canister snapshotting failed with: `{}`", reject.message),
    )
}

pub(super) fn take(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let TakeCanisterSnapshotArgs {
        canister_id,
        replace_snapshot,
        uninstall_code: uninstall,
        sender_canister_version,
    } = call.decode()?;
    let origin = history::origin(network, call, sender_canister_version)?;
    let now = network.time;
    let canister = existing(network, &canister_id)?;
    let snapshot = Snapshot::take(canister, now).ok_or_else(|| {
        Reject::of(
            ErrorCode::CanisterRejectedMessage,
            format!("Failed to create snapshot for empty canister {canister_id}:"),
        )
    })?;
    let (bytes, taken) = (snapshot.bytes(), snapshot.taken);
    let id = keep(
        network,
        canister_id,
        &call.caller,
        replace_snapshot,
        snapshot,
    )?;
    if uninstall == Some(true) {
        recorded_uninstall(network, &canister_id, origin)?;
    }
    Ok(Outcome::Reply(reply(&shown(id, taken.0, bytes))))
}

/// Adds a snapshot in the place of another, or where there is room; the canister pays for it.
pub(super) fn keep(
    network: &mut Network,
    canister_id: CanisterId,
    caller: &Principal,
    replaced: Option<Vec<u8>>,
    snapshot: Snapshot,
) -> Result<SnapshotId, Reject> {
    let bytes = snapshot.bytes();
    let canister = existing(network, &canister_id)?;
    let replaced = replaced
        .map(|id| own(canister, &id).map(|(id, old)| (id, old.bytes())))
        .transpose()?;
    match replaced {
        None if canister.snapshots.is_full() => {
            return Err(help::SNAPSHOTS_TOO_MANY.reject(
                ErrorCode::CanisterRejectedMessage,
                format!(
                    "Canister {canister_id} has reached the maximum number of snapshots allowed: {}.",
                    limits::SNAPSHOTS_MAX
                ),
            ));
        }
        None => check_growth(canister, bytes)?,
        Some((_, freed)) => check_growth(canister, bytes.saturating_sub(freed))?,
    }
    charge(network, &canister_id, BASE_INSTRUCTIONS + bytes, caller).map_err(unpaid)?;
    let canister = existing(network, &canister_id)?;
    if let Some((old, _)) = replaced {
        canister.snapshots.remove(old);
    }
    Ok(canister.snapshots.add(canister_id, snapshot))
}

pub(super) fn load(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let LoadCanisterSnapshotArgs {
        canister_id,
        snapshot_id,
        sender_canister_version,
    } = call.decode()?;
    let origin = history::origin(network, call, sender_canister_version)?;
    let now = network.time;
    existing(network, &canister_id)?;
    let missing = || not_found(&canister_id, &snapshot_id);
    let id = SnapshotId::parse(&snapshot_id).ok_or_else(missing)?;
    let owner = network.canisters.get(&id.canister).ok_or_else(missing)?;
    if !owner.is_controlled_by(&call.caller) {
        return Err(help::SNAPSHOT_NOT_CONTROLLED.reject(
            ErrorCode::CanisterRejectedMessage,
            format!(
                "Only a controller of the canister that snapshot {id} belongs to can load it on canister \
                 {canister_id}. Sender: {}.",
                call.caller
            ),
        ));
    }
    if subnet::home(network, &id.canister)?.id != subnet::home(network, &canister_id)?.id {
        return Err(missing());
    }
    let snapshot = owner.snapshots.get(id).ok_or_else(missing)?.clone();
    let code = snapshot_data::code(network, &canister_id, &snapshot)?;
    let canister = existing(network, &canister_id)?;
    check_growth(
        canister,
        snapshot.bytes().saturating_sub(canister.memory_bytes()),
    )?;
    charge(
        network,
        &canister_id,
        BASE_INSTRUCTIONS + snapshot.bytes(),
        &call.caller,
    )
    .map_err(unpaid)?;
    let canister = existing(network, &canister_id)?;
    let details = ChangeDetails::LoadSnapshot(LoadSnapshotRecord {
        from_canister_id: (id.canister != canister_id).then_some(id.canister),
        snapshot_id,
        canister_version: snapshot.version,
        taken_at_timestamp: snapshot.taken.0,
        source: source(snapshot.source),
    });
    canister.code = Some(code);
    canister.module = snapshot.module;
    canister.stable = snapshot.stable;
    canister.certified_data = snapshot.certified_data;
    canister.chunks = snapshot.chunks;
    match snapshot.timer {
        None => {}
        Some(Timer::Inactive) => canister.timer = None,
        Some(Timer::Active(time)) => canister.timer = Some(time),
    }
    if let Some(low_memory) = snapshot.low_memory {
        canister.low_memory = low_memory;
    }
    canister.version += 1;
    history::record(canister, origin, now, details);
    if canister.watch_memory() {
        network.ready.insert(canister_id);
    }
    network.executor.forget(&canister_id);
    done()
}

pub(super) fn list(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let CanisterIdRecord { canister_id } = call.decode()?;
    let canister = existing(network, &canister_id)?;
    let all: Vec<_> = canister
        .snapshots
        .iter(canister_id)
        .map(|(id, snapshot)| shown(id, snapshot.taken.0, snapshot.bytes()))
        .collect();
    Ok(Outcome::Reply(reply(&all)))
}

pub(super) fn delete(network: &mut Network, call: &mut Call) -> Result<Outcome, Reject> {
    let DeleteCanisterSnapshotArgs {
        canister_id,
        snapshot_id,
    } = call.decode()?;
    let canister = existing(network, &canister_id)?;
    let (id, _) = own(canister, &snapshot_id)?;
    canister.snapshots.remove(id);
    done()
}

/// A snapshot of this canister.
pub(super) fn own<'a>(
    canister: &'a Canister,
    id: &[u8],
) -> Result<(SnapshotId, &'a Snapshot), Reject> {
    let parsed = SnapshotId::parse(id).ok_or_else(|| not_found(&canister.id, id))?;
    if parsed.canister != canister.id {
        return Err(help::SNAPSHOT_OF_ANOTHER.reject(
            ErrorCode::CanisterRejectedMessage,
            format!(
                "The snapshot {parsed} does not belong to canister {}.",
                canister.id
            ),
        ));
    }
    let snapshot = canister
        .snapshots
        .get(parsed)
        .ok_or_else(|| not_found(&canister.id, id))?;
    Ok((parsed, snapshot))
}

pub(super) fn not_found(canister: &CanisterId, id: &[u8]) -> Reject {
    help::SNAPSHOT_NOT_FOUND.reject(
        ErrorCode::CanisterSnapshotNotFound,
        format!(
            "Could not find the snapshot ID {} for canister {canister}.",
            hex::encode(&id[..id.len().min(64)])
        ),
    )
}

pub(super) fn source(source: Source) -> ic::SnapshotSource {
    match source {
        Source::Taken => ic::SnapshotSource::TakenFromCanister(candid::Reserved),
        Source::Uploaded => ic::SnapshotSource::MetadataUpload(candid::Reserved),
    }
}

fn shown(id: SnapshotId, taken_at_timestamp: u64, total_size: u64) -> ic::Snapshot {
    ic::Snapshot {
        id: id.to_bytes(),
        taken_at_timestamp,
        total_size,
    }
}
