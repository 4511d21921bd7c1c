//! Where the core keeps its records: tables, two cells and a log, whose medium it refuses to know.
//!
//! Logged tables change only by applying events, so the log alone rebuilds them. Payloads
//! (requests, claims, openings) and hints (announced slots, heartbeats, provisional text) lie beside
//! the log: the log binds payloads by salted hash or commitment, and a hint matters only through
//! the event it leads to.

use std::fmt::{self, Debug};

use assay_protocol::{
    Hash32, JobId, LeaseId, ModelId, Timestamp, TransferId,
    canary::Canary,
    lease::Claim,
    receipt::SaltedRequest,
    store::{Log, MemoryLog, MemoryTable, Table},
};
use candid::Principal;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    apply::set_wanted,
    event::Entry,
    record::{
        Account, Ask, CanaryEntry, Chunk, Due, Job, Key, KeyHolder, Lease, Live, Meta, ModelEntry,
        Opened, Presence, Pulse, Sponsored, StreamHead, Transfer, Trust, TrustKey, Vitals,
        WorkerEntry,
    },
};

/// What may be a key of a table.
pub trait TableKey: Ord + Clone + Debug + Serialize + DeserializeOwned + 'static {}

impl<T: Ord + Clone + Debug + Serialize + DeserializeOwned + 'static> TableKey for T {}

/// What may be kept in a table or a cell.
pub trait Record: Clone + Debug + PartialEq + Serialize + DeserializeOwned + 'static {}

impl<T: Clone + Debug + PartialEq + Serialize + DeserializeOwned + 'static> Record for T {}

/// One value.
pub trait Cell<V> {
    /// The value.
    fn get(&self) -> V;

    /// Replaces the value.
    fn set(&mut self, value: V);
}

/// A medium: the heap, or a canister's stable memory.
pub trait Backend: 'static {
    /// A map ordered by its keys.
    type Table<K: TableKey, V: Record>: Table<K, V>;
    /// One value.
    type Cell<V: Record + Default>: Cell<V>;
    /// The event log.
    type Log: Log<Entry>;
}

/// All that the core keeps. A medium that survives upgrades must keep every field.
pub struct Store<B: Backend> {
    /// Events, oldest first.
    pub log: B::Log,

    /// Logged: configuration, counters and the sums of all money.
    pub meta: B::Cell<Meta>,
    /// Logged: balances, by owner.
    pub accounts: B::Table<Principal, Account>,
    /// Logged: every job ever accepted.
    pub jobs: B::Table<JobId, Job>,
    /// Logged: every lease ever granted.
    pub leases: B::Table<LeaseId, Lease>,
    /// Logged: idempotency keys, by requester and key.
    pub keys: B::Table<Key, KeyHolder>,
    /// Logged: jobs that want workers, by model and in the order of submission.
    pub wanted: B::Table<(ModelId, JobId), ()>,
    /// Logged: how many jobs of a model want workers; no entry where none does.
    pub demand: B::Table<ModelId, u64>,
    /// Logged: jobs whose audit is to be drawn, and the log's length when their answers were committed.
    pub audits: B::Table<JobId, u64>,
    /// Logged: live leases by worker.
    pub held: B::Table<(Principal, LeaseId), ()>,
    /// Logged: jobs by requester, newest first (the number is `u64::MAX` less the job's).
    pub by_requester: B::Table<(Principal, u64), ()>,
    /// Logged: models, by version.
    pub models: B::Table<ModelId, ModelEntry>,
    /// Logged: model versions, by name.
    pub names: B::Table<String, ModelId>,
    /// Logged: payout accounts, by provider.
    pub payouts: B::Table<Principal, Principal>,
    /// Logged: workers, by operator.
    pub workers: B::Table<Principal, WorkerEntry>,
    /// Logged: offers of active workers, by model and operator.
    pub asks: B::Table<(ModelId, Principal), Ask>,
    /// Logged: what is known of a worker in a determinism class.
    pub trust: B::Table<TrustKey, Trust>,
    /// Logged: the certified hash of each ended job's receipt.
    pub receipts: B::Table<JobId, Hash32>,

    /// Logged: every transfer ever begun.
    pub transfers: B::Table<TransferId, Transfer>,
    /// Logged: transfers by account, newest first (the number is `u64::MAX` less the transfer's).
    pub transfers_by_account: B::Table<(Principal, u64), ()>,
    /// Logged: transfers without an end, by the time of their next try; quarantined ones have none, and come last.
    pub transfers_due: B::Table<(Timestamp, TransferId), ()>,

    /// Logged: what the sponsor pool has paid, by caller.
    pub sponsored: B::Table<Principal, Sponsored>,
    /// Logged: canaries, by number.
    pub canaries: B::Table<u64, CanaryEntry>,
    /// Logged: those that were not asked yet.
    pub canary_queue: B::Table<u64, ()>,
    /// Logged: canaries by their accounts.
    pub decoys: B::Table<Principal, u64>,

    /// Payload: what canaries ask and what they must be answered, until they have ended.
    pub canary_texts: B::Table<u64, Canary>,
    /// Payload: what was asked, and its salt.
    pub requests: B::Table<JobId, SaltedRequest>,
    /// Payload: final tokens of generators, by lease.
    pub claims: B::Table<LeaseId, Claim>,
    /// Payload: opened commitments, by lease; not shown before the round's verdict.
    pub openings: B::Table<LeaseId, Opened>,

    /// Hint: the last time seen, and the secret behind salts.
    pub vitals: B::Cell<Vitals>,
    /// Hint: announced slots and signs of life, by operator.
    pub presence: B::Table<Principal, Presence>,
    /// Hint: until when each live lease lives.
    pub pulses: B::Table<LeaseId, Pulse>,
    /// Hint: what is due next; one entry per live lease, open job and running wait.
    pub due: B::Table<(Live, Due), ()>,
    /// Hint: how much provisional output a lease has sent.
    pub streams: B::Table<LeaseId, StreamHead>,
    /// Hint: provisional output, by lease and chunk from 0.
    pub chunks: B::Table<(LeaseId, u32), Chunk>,
}

impl<B: Backend> Store<B> {
    /// Puts jobs that want workers back into the queue, where a medium kept it in another form.
    pub fn queue_again(&mut self, jobs: impl IntoIterator<Item = (ModelId, JobId)>) {
        for (model, job) in jobs {
            set_wanted(self, model, job, true);
        }
    }
}

impl<B: Backend> Debug for Store<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("events", &self.log.len())
            .field("jobs", &self.jobs.len())
            .finish_non_exhaustive()
    }
}

/// The heap.
#[derive(Clone, Copy, Debug)]
pub struct Memory;

/// A [`Cell`] on the heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryCell<V>(V);

impl<V: Clone> Cell<V> for MemoryCell<V> {
    fn get(&self) -> V {
        self.0.clone()
    }

    fn set(&mut self, value: V) {
        self.0 = value;
    }
}

impl Backend for Memory {
    type Table<K: TableKey, V: Record> = MemoryTable<K, V>;
    type Cell<V: Record + Default> = MemoryCell<V>;
    type Log = MemoryLog<Entry>;
}

impl Default for Store<Memory> {
    fn default() -> Self {
        Self {
            log: MemoryLog::default(),
            meta: MemoryCell::default(),
            accounts: MemoryTable::default(),
            jobs: MemoryTable::default(),
            leases: MemoryTable::default(),
            keys: MemoryTable::default(),
            wanted: MemoryTable::default(),
            demand: MemoryTable::default(),
            audits: MemoryTable::default(),
            held: MemoryTable::default(),
            by_requester: MemoryTable::default(),
            models: MemoryTable::default(),
            names: MemoryTable::default(),
            payouts: MemoryTable::default(),
            workers: MemoryTable::default(),
            asks: MemoryTable::default(),
            trust: MemoryTable::default(),
            receipts: MemoryTable::default(),
            transfers: MemoryTable::default(),
            transfers_by_account: MemoryTable::default(),
            transfers_due: MemoryTable::default(),
            sponsored: MemoryTable::default(),
            canaries: MemoryTable::default(),
            canary_queue: MemoryTable::default(),
            decoys: MemoryTable::default(),
            canary_texts: MemoryTable::default(),
            requests: MemoryTable::default(),
            claims: MemoryTable::default(),
            openings: MemoryTable::default(),
            vitals: MemoryCell::default(),
            presence: MemoryTable::default(),
            pulses: MemoryTable::default(),
            due: MemoryTable::default(),
            streams: MemoryTable::default(),
            chunks: MemoryTable::default(),
        }
    }
}
