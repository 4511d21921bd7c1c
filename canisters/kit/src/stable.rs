//! The cores' tables and logs in stable memory.
//!
//! Stored bytes: a key is its value in CBOR; a record is one version byte, then its value in CBOR.
//! CBOR names every field and variant, so fields with a default and new variants may be added under
//! the same version; anything else takes the next version and keeps this one readable.
//!
//! ```text
//! record  0       1                      len
//!         | 0x01  | CBOR of the value ... |
//! ```

use std::{
    borrow::Cow,
    cell::RefCell,
    cmp::Ordering,
    fmt,
    ops::{Bound as KeyBound, RangeBounds},
};

use assay_protocol::store::{Log, Table};
use ic_stable_structures::{
    Cell, DefaultMemoryImpl, StableBTreeMap, StableLog as Entries, Storable,
    memory_manager::VirtualMemory, storable::Bound,
};
use serde::{Serialize, de::DeserializeOwned};

/// The part of stable memory that one structure lives in.
pub type Memory = VirtualMemory<DefaultMemoryImpl>;

/// The layout of records that this release writes.
const RECORD_VERSION: u8 = 1;

/// A [`Table`] in stable memory.
pub struct StableTable<K: Value + Ord + Clone, V: Value>(StableBTreeMap<Key<K>, Record<V>, Memory>);

impl<K: Value + Ord + Clone, V: Value> StableTable<K, V> {
    /// The table that lies in this memory; an empty one in fresh memory.
    pub fn init(memory: Memory) -> Self {
        Self(StableBTreeMap::init(memory))
    }
}

impl<K: Value + Ord + Clone, V: Value> Table<K, V> for StableTable<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.0.get(&Key(key.clone())).map(|record| record.0)
    }

    fn contains(&self, key: &K) -> bool {
        self.0.contains_key(&Key(key.clone()))
    }

    fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0
            .insert(Key(key), Record(value))
            .map(|record| record.0)
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(&Key(key.clone())).map(|record| record.0)
    }

    fn len(&self) -> u64 {
        self.0.len()
    }

    fn range(&self, keys: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = (K, V)> {
        in_order(&keys)
            .then(|| self.0.range(bounds(&keys)))
            .into_iter()
            .flatten()
            .map(|entry| {
                let (key, record) = entry.into_pair();
                (key.0, record.0)
            })
    }

    fn keys(&self, keys: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = K> {
        in_order(&keys)
            .then(|| self.0.keys_range(bounds(&keys)))
            .into_iter()
            .flatten()
            .map(|key| key.0)
    }
}

/// A [`Log`] in stable memory: one memory for where entries begin, one for the entries.
pub struct StableLog<E: Value>(Entries<Record<E>, Memory, Memory>);

impl<E: Value> StableLog<E> {
    /// The log that lies in these memories; an empty one in fresh memories.
    pub fn init(index: Memory, entries: Memory) -> Self {
        Self(Entries::init(index, entries))
    }
}

impl<E: Value + Clone> Log<E> for StableLog<E> {
    /// Panics when stable memory is full, which rolls the message back.
    fn append(&mut self, entry: &E) -> u64 {
        match self.0.append(&Record(entry.clone())) {
            Ok(index) => index,
            Err(error) => panic!("the event log cannot grow: {error:?}"),
        }
    }

    fn get(&self, index: u64) -> Option<E> {
        self.0.get(index).map(|record| record.0)
    }

    fn len(&self) -> u64 {
        self.0.len()
    }
}

/// One value in stable memory, such as the settings.
pub struct StableValue<V: Value>(RefCell<Cell<Record<V>, Memory>>);

impl<V: Value + Clone> StableValue<V> {
    /// The value that lies in this memory; `fresh` in fresh memory.
    pub fn init(memory: Memory, fresh: V) -> Self {
        Self(RefCell::new(Cell::init(memory, Record(fresh))))
    }

    /// The value.
    pub fn get(&self) -> V {
        self.0.borrow().get().0.clone()
    }

    /// Replaces the value.
    pub fn set(&self, value: V) {
        self.0.borrow_mut().set(Record(value));
    }
}

impl<K: Value + Ord + Clone, V: Value> fmt::Debug for StableTable<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StableTable({} entries)", self.0.len())
    }
}

impl<E: Value> fmt::Debug for StableLog<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StableLog({} entries)", self.0.len())
    }
}

impl<V: Value> fmt::Debug for StableValue<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StableValue")
    }
}

/// What can be stored: anything that serde can write and read back.
pub trait Value: Serialize + DeserializeOwned {}

impl<T: Serialize + DeserializeOwned> Value for T {}

/// A key: compared as a value, stored as CBOR.
#[derive(Clone)]
struct Key<K>(K);

impl<K: PartialEq> PartialEq for Key<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K: Eq> Eq for Key<K> {}

impl<K: Ord> PartialOrd for Key<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord> Ord for Key<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<K: Value> Storable for Key<K> {
    const BOUND: Bound = Bound::Unbounded;

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::new();
        write(&self.0, &mut bytes);
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        Self(read(&bytes))
    }
}

/// A record: a version byte, then CBOR.
struct Record<V>(V);

impl<V: Value> Storable for Record<V> {
    const BOUND: Bound = Bound::Unbounded;

    fn to_bytes(&self) -> Cow<'_, [u8]> {
        let mut bytes = vec![RECORD_VERSION];
        write(&self.0, &mut bytes);
        Cow::Owned(bytes)
    }

    fn into_bytes(self) -> Vec<u8> {
        self.to_bytes().into_owned()
    }

    /// Panics on a layout that this release does not know, which rolls an upgrade back.
    fn from_bytes(bytes: Cow<'_, [u8]>) -> Self {
        match bytes.split_first() {
            Some((&RECORD_VERSION, value)) => Self(read(value)),
            Some((version, _)) => panic!(
                "a stored record has layout v{version}, newer than v{RECORD_VERSION}; install the release that wrote it"
            ),
            None => panic!("BUG: a stored record is empty"),
        }
    }
}

fn write<T: Serialize>(value: &T, bytes: &mut Vec<u8>) {
    ciborium::into_writer(value, bytes)
        .unwrap_or_else(|error| panic!("BUG: a record cannot be written: {error}"));
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> T {
    ciborium::from_reader(bytes)
        .unwrap_or_else(|error| panic!("BUG: a stored record cannot be read: {error}"))
}

fn bounds<K: Clone>(keys: &impl RangeBounds<K>) -> (KeyBound<Key<K>>, KeyBound<Key<K>>) {
    (
        keys.start_bound().map(|key| Key(key.clone())),
        keys.end_bound().map(|key| Key(key.clone())),
    )
}

/// Whether a range can hold anything; the map below is only asked such ranges.
fn in_order<K: Ord>(keys: &impl RangeBounds<K>) -> bool {
    match (keys.start_bound(), keys.end_bound()) {
        (KeyBound::Unbounded, _) | (_, KeyBound::Unbounded) => true,
        (KeyBound::Included(start), KeyBound::Included(end)) => start <= end,
        (
            KeyBound::Included(start) | KeyBound::Excluded(start),
            KeyBound::Included(end) | KeyBound::Excluded(end),
        ) => start < end,
    }
}

#[cfg(test)]
mod tests;
