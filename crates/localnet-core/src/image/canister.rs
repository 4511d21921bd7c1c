//! Canisters and their snapshots in images.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    io,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    BlobId, Blobs, RestoreError,
    memory::{HeapImage, StableImage},
};
use crate::{
    canister::{
        CallContext, Callback, Canister, CanisterId, CanisterLog, Changes, Code, Consumed,
        GlobalValue, Input, LowMemory, ModuleBytes, QueryCounts, Settings, Snapshot, Snapshots,
        Source, StopWaiter, Timer,
    },
    network::{Home, RunState},
    types::Time,
    wasm::Compiler,
};

/// Chunks of modules, by hash.
type Chunks = Vec<BlobId>;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CanisterImage<'a> {
    id: CanisterId,
    home: usize,
    settings: Cow<'a, Settings>,
    balance: u128,
    reserved: u128,
    charged: Time,
    state: RunState,
    stop_waiters: Cow<'a, [StopWaiter]>,
    version: u64,
    created: Time,
    installed: Option<Time>,
    code: Option<CodeImage<'a>>,
    stable: StableImage,
    #[serde(with = "serde_bytes")]
    certified_data: Vec<u8>,
    timer: Option<Time>,
    low_memory: LowMemory,
    contexts: Cow<'a, BTreeMap<u64, CallContext>>,
    callbacks: Cow<'a, BTreeMap<u64, Callback>>,
    next_number: u64,
    open_calls: Cow<'a, BTreeMap<CanisterId, usize>>,
    inbox: Cow<'a, VecDeque<Input>>,
    log: Cow<'a, CanisterLog>,
    chunks: Chunks,
    changes: Cow<'a, Changes>,
    snapshots: SnapshotsImage<'a>,
    queries: QueryCounts,
    consumed: Consumed,
}

/// An installed module, as it was sent, and the state that belongs to it.
#[derive(Debug, Serialize, Deserialize)]
struct CodeImage<'a> {
    module: BlobId,
    heap: HeapImage,
    globals: Cow<'a, [GlobalValue]>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SnapshotsImage<'a> {
    next: u64,
    all: Vec<(u64, SnapshotImage<'a>)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SnapshotImage<'a> {
    source: Source,
    taken: Time,
    version: u64,
    module: BlobId,
    heap: HeapImage,
    globals: Cow<'a, [GlobalValue]>,
    stable: StableImage,
    #[serde(with = "serde_bytes")]
    certified_data: Vec<u8>,
    chunks: Chunks,
    timer: Option<Timer>,
    low_memory: Option<LowMemory>,
}

impl<'a> CanisterImage<'a> {
    pub(super) fn of(canister: &'a Canister, blobs: &mut dyn Blobs) -> io::Result<Self> {
        // Every field is named here, so that a new one cannot be forgotten.
        let Canister {
            id,
            home,
            settings,
            balance,
            reserved,
            charged,
            state,
            stop_waiters,
            version,
            created,
            installed,
            code,
            module,
            stable,
            certified_data,
            timer,
            low_memory,
            contexts,
            callbacks,
            next_number,
            open_calls,
            inbox,
            log,
            chunks,
            changes,
            snapshots,
            queries,
            consumed,
        } = canister;
        let code = match code {
            Some(code) => Some(CodeImage {
                module: blobs.put(&module.0)?,
                heap: HeapImage::of(&code.heap, blobs)?,
                globals: Cow::Borrowed(&code.globals),
            }),
            None => None,
        };
        Ok(Self {
            id: *id,
            home: home.index,
            settings: Cow::Borrowed(settings),
            balance: *balance,
            reserved: *reserved,
            charged: *charged,
            state: *state,
            stop_waiters: Cow::Borrowed(stop_waiters),
            version: *version,
            created: *created,
            installed: *installed,
            code,
            stable: StableImage::of(stable, blobs)?,
            certified_data: certified_data.clone(),
            timer: *timer,
            low_memory: *low_memory,
            contexts: Cow::Borrowed(contexts),
            callbacks: Cow::Borrowed(callbacks),
            next_number: *next_number,
            open_calls: Cow::Borrowed(open_calls),
            inbox: Cow::Borrowed(inbox),
            log: Cow::Borrowed(log),
            chunks: put_chunks(chunks, blobs)?,
            changes: Cow::Borrowed(changes),
            snapshots: SnapshotsImage {
                next: snapshots.next,
                all: snapshots
                    .all
                    .iter()
                    .map(|(number, snapshot)| Ok((*number, SnapshotImage::of(snapshot, blobs)?)))
                    .collect::<io::Result<_>>()?,
            },
            queries: *queries,
            consumed: *consumed,
        })
    }

    pub(super) fn restore(
        self,
        homes: &[Home],
        compiler: &mut Compiler,
        blobs: &mut dyn Blobs,
    ) -> Result<Canister, RestoreError> {
        let Self {
            id,
            home,
            settings,
            balance,
            reserved,
            charged,
            state,
            stop_waiters,
            version,
            created,
            installed,
            code,
            stable,
            certified_data,
            timer,
            low_memory,
            contexts,
            callbacks,
            next_number,
            open_calls,
            inbox,
            log,
            chunks,
            changes,
            snapshots,
            queries,
            consumed,
        } = self;
        let home = homes.get(home).ok_or(RestoreError::Topology)?;
        let (code, module) = match code {
            Some(code) => {
                let module = blobs.get(code.module)?;
                let compiled =
                    compiler
                        .compile(&module)
                        .map_err(|reason| RestoreError::Module {
                            canister: id,
                            reason,
                        })?;
                let code = Code {
                    module: compiled,
                    heap: code.heap.restore(blobs)?,
                    globals: code.globals.into_owned(),
                };
                (Some(code), ModuleBytes(Arc::new(module)))
            }
            None => (None, ModuleBytes::default()),
        };
        let mut all = BTreeMap::new();
        for (number, snapshot) in snapshots.all {
            all.insert(number, snapshot.restore(blobs)?);
        }
        Ok(Canister {
            id,
            home: Arc::clone(&home.facts),
            settings: Arc::new(settings.into_owned()),
            balance,
            reserved,
            charged,
            state,
            stop_waiters: stop_waiters.into_owned(),
            version,
            created,
            installed,
            code,
            module,
            stable: stable.restore(blobs)?,
            certified_data,
            timer,
            low_memory,
            contexts: contexts.into_owned(),
            callbacks: callbacks.into_owned(),
            next_number,
            open_calls: open_calls.into_owned(),
            inbox: inbox.into_owned(),
            log: log.into_owned(),
            chunks: get_chunks(chunks, blobs)?,
            changes: changes.into_owned(),
            snapshots: Snapshots {
                next: snapshots.next,
                all,
            },
            queries,
            consumed,
        })
    }
}

impl<'a> SnapshotImage<'a> {
    fn of(snapshot: &'a Snapshot, blobs: &mut dyn Blobs) -> io::Result<Self> {
        let Snapshot {
            source,
            taken,
            version,
            module,
            heap,
            globals,
            stable,
            certified_data,
            chunks,
            timer,
            low_memory,
        } = snapshot;
        Ok(Self {
            source: *source,
            taken: *taken,
            version: *version,
            module: blobs.put(&module.0)?,
            heap: HeapImage::of(heap, blobs)?,
            globals: Cow::Borrowed(globals),
            stable: StableImage::of(stable, blobs)?,
            certified_data: certified_data.clone(),
            chunks: put_chunks(chunks, blobs)?,
            timer: *timer,
            low_memory: *low_memory,
        })
    }

    fn restore(self, blobs: &mut dyn Blobs) -> io::Result<Snapshot> {
        Ok(Snapshot {
            source: self.source,
            taken: self.taken,
            version: self.version,
            module: ModuleBytes(Arc::new(blobs.get(self.module)?)),
            heap: self.heap.restore(blobs)?,
            globals: self.globals.into_owned(),
            stable: self.stable.restore(blobs)?,
            certified_data: self.certified_data,
            chunks: get_chunks(self.chunks, blobs)?,
            timer: self.timer,
            low_memory: self.low_memory,
        })
    }
}

fn put_chunks(chunks: &BTreeMap<[u8; 32], Vec<u8>>, blobs: &mut dyn Blobs) -> io::Result<Chunks> {
    chunks.values().map(|chunk| blobs.put(chunk)).collect()
}

/// A chunk's hash is its name as a blob too.
fn get_chunks(chunks: Chunks, blobs: &mut dyn Blobs) -> io::Result<BTreeMap<[u8; 32], Vec<u8>>> {
    chunks
        .into_iter()
        .map(|id| Ok((id.0, blobs.get(id)?)))
        .collect()
}
