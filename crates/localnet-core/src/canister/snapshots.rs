//! Copies of a canister that its controllers keep: taken from it, or uploaded piece by piece.
//!
//! A taken snapshot shares its pages with the canister, so taking one costs memory only as the canister changes; it
//! is accounted in full all the same. A taken snapshot never changes; an uploaded one changes until it is deleted.

use std::{collections::BTreeMap, fmt, sync::Arc};

use candid::Principal;
use serde::{Deserialize, Serialize};

use super::{Canister, CanisterId, GlobalValue, LowMemory};
use crate::{
    limits::{self, WASM_PAGE_BYTES},
    mem::{Heap, Stable},
    types::Time,
};

/// Bytes of an id: a number, then the canister's id.
const NUMBER_BYTES: usize = size_of::<u64>();

/// The id of a snapshot: its number, and the canister that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SnapshotId {
    number: u64,
    /// Whose it is.
    pub(crate) canister: CanisterId,
}

impl SnapshotId {
    /// Reads an id as clients send it.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (number, canister) = bytes.split_at_checked(NUMBER_BYTES)?;
        Some(Self {
            number: u64::from_be_bytes(number.try_into().ok()?),
            canister: Principal::try_from_slice(canister).ok()?,
        })
    }

    /// As clients see it.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [&self.number.to_be_bytes()[..], self.canister.as_slice()].concat()
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.to_bytes()))
    }
}

/// Where a snapshot comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Source {
    /// The canister as it was.
    Taken,
    /// An upload.
    Uploaded,
}

/// A global timer, as snapshots keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Timer {
    Inactive,
    Active(Time),
}

/// Bytes of a module as they were sent; shared, and shown by their length only.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct ModuleBytes(pub(crate) Arc<Vec<u8>>);

impl fmt::Debug for ModuleBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModuleBytes({})", self.0.len())
    }
}

/// One snapshot.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) source: Source,
    pub(crate) taken: Time,
    /// The canister's version then.
    pub(crate) version: u64,
    pub(crate) module: ModuleBytes,
    pub(crate) heap: Heap,
    pub(crate) globals: Vec<GlobalValue>,
    pub(crate) stable: Stable,
    pub(crate) certified_data: Vec<u8>,
    pub(crate) chunks: BTreeMap<[u8; 32], Vec<u8>>,
    /// Nothing where an upload did not say.
    pub(crate) timer: Option<Timer>,
    /// Nothing where an upload did not say.
    pub(crate) low_memory: Option<LowMemory>,
}

impl Snapshot {
    /// A copy of a canister; nothing where it has no code.
    pub(crate) fn take(canister: &Canister, now: Time) -> Option<Self> {
        let code = canister.code.as_ref()?;
        Some(Self {
            source: Source::Taken,
            taken: now,
            version: canister.version,
            module: canister.module.clone(),
            heap: code.heap.clone(),
            globals: code.globals.clone(),
            stable: canister.stable.clone(),
            certified_data: canister.certified_data.clone(),
            chunks: canister.chunks.clone(),
            timer: Some(canister.timer.map_or(Timer::Inactive, Timer::Active)),
            low_memory: Some(canister.low_memory),
        })
    }

    /// Bytes that it is accounted with.
    pub(crate) fn bytes(&self) -> u64 {
        let own = self.module.0.len()
            + self.heap.len()
            + self.globals.len() * size_of::<u64>()
            + self.certified_data.len()
            + self.chunks.len() * limits::CHUNK_BYTES_MAX;
        own as u64 + self.stable.wasm_pages() * WASM_PAGE_BYTES as u64
    }
}

/// The snapshots of one canister.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshots {
    pub(crate) next: u64,
    pub(crate) all: BTreeMap<u64, Snapshot>,
}

impl Snapshots {
    /// Keeps a snapshot under a new id.
    pub(crate) fn add(&mut self, canister: CanisterId, snapshot: Snapshot) -> SnapshotId {
        let number = self.next;
        self.next += 1;
        self.all.insert(number, snapshot);
        SnapshotId { number, canister }
    }

    /// Whether there are as many as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.all.len() >= limits::SNAPSHOTS_MAX
    }

    /// The snapshot with this id, which must be of this canister.
    pub(crate) fn get(&self, id: SnapshotId) -> Option<&Snapshot> {
        self.all.get(&id.number)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, id: SnapshotId) -> Option<&mut Snapshot> {
        self.all.get_mut(&id.number)
    }

    /// Drops one.
    pub(crate) fn remove(&mut self, id: SnapshotId) -> Option<Snapshot> {
        self.all.remove(&id.number)
    }

    /// Drops all.
    pub(crate) fn clear(&mut self) {
        self.all.clear();
    }

    /// All of them, oldest first.
    pub(crate) fn iter(
        &self,
        canister: CanisterId,
    ) -> impl Iterator<Item = (SnapshotId, &Snapshot)> {
        self.all
            .iter()
            .map(move |(&number, snapshot)| (SnapshotId { number, canister }, snapshot))
    }

    /// Bytes that they are accounted with.
    pub(crate) fn bytes(&self) -> u64 {
        self.all.values().map(Snapshot::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_and_canisters() {
        let id = SnapshotId {
            number: 258,
            canister: Principal::from_slice(&[7, 8]),
        };
        assert_eq!(id.to_bytes(), [0, 0, 0, 0, 0, 0, 1, 2, 7, 8]);
        assert_eq!(id.to_string(), "00000000000001020708");
        assert_eq!(SnapshotId::parse(&id.to_bytes()), Some(id));
        for bytes in [&[][..], &[1; 7], &[1; 8 + 30]] {
            assert_eq!(SnapshotId::parse(bytes), None);
        }
    }
}
