//! What the cores ask of their storage: ordered tables and an append-only log.
//!
//! The canisters answer with stable memory, tests and simulations with the heap. Both must behave
//! alike, so the traits promise only what both can do: values are copied out, and every scan goes
//! in the order of the keys.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    ops::{Bound, RangeBounds},
};

/// A map ordered by its keys.
pub trait Table<K: Ord + Clone, V> {
    /// The value of a key.
    fn get(&self, key: &K) -> Option<V>;

    /// Whether the key has a value.
    fn contains(&self, key: &K) -> bool;

    /// Sets the value of a key; gives the one before.
    fn insert(&mut self, key: K, value: V) -> Option<V>;

    /// Removes a key; gives its value.
    fn remove(&mut self, key: &K) -> Option<V>;

    /// How many keys there are.
    fn len(&self) -> u64;

    /// Whether there is no key.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries whose keys lie in a range, in order. A range that ends before it begins is empty.
    fn range(&self, keys: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = (K, V)>;

    /// The keys that lie in a range, in order; cheaper than [`Table::range`] where values are not needed.
    fn keys(&self, keys: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = K>;

    /// [`Table::get`], borrowed where the table can lend its values.
    fn view<'a>(&'a self, key: &K) -> Option<Cow<'a, V>>
    where
        V: Clone + 'a,
    {
        self.get(key).map(Cow::Owned)
    }

    /// All entries in order, borrowed where the table can lend them.
    fn scan<'a>(&'a self) -> impl Iterator<Item = (Cow<'a, K>, Cow<'a, V>)>
    where
        K: 'a,
        V: Clone + 'a,
    {
        self.range(..)
            .map(|(key, value)| (Cow::Owned(key), Cow::Owned(value)))
    }
}

/// A list that only grows.
pub trait Log<E> {
    /// Adds an entry; gives its index.
    fn append(&mut self, entry: &E) -> u64;

    /// The entry at an index.
    fn get(&self, index: u64) -> Option<E>;

    /// How many entries there are.
    fn len(&self) -> u64;

    /// Whether there is no entry.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A [`Table`] on the heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryTable<K, V>(BTreeMap<K, V>);

impl<K, V> Default for MemoryTable<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> for MemoryTable<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.0.get(key).cloned()
    }

    fn contains(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn range(&self, keys: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = (K, V)> {
        in_order(&keys)
            .then(|| self.0.range(keys))
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()))
    }

    fn keys(&self, keys: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = K> {
        in_order(&keys)
            .then(|| self.0.range(keys))
            .into_iter()
            .flatten()
            .map(|(key, _)| key.clone())
    }

    fn view<'a>(&'a self, key: &K) -> Option<Cow<'a, V>>
    where
        V: 'a,
    {
        self.0.get(key).map(Cow::Borrowed)
    }

    fn scan<'a>(&'a self) -> impl Iterator<Item = (Cow<'a, K>, Cow<'a, V>)>
    where
        K: 'a,
        V: 'a,
    {
        self.0
            .iter()
            .map(|(key, value)| (Cow::Borrowed(key), Cow::Borrowed(value)))
    }
}

/// A [`Log`] on the heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLog<E>(Vec<E>);

impl<E> MemoryLog<E> {
    /// All entries, oldest first.
    pub fn entries(&self) -> &[E] {
        &self.0
    }
}

impl<E> Default for MemoryLog<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E: Clone> Log<E> for MemoryLog<E> {
    fn append(&mut self, entry: &E) -> u64 {
        self.0.push(entry.clone());
        self.0.len() as u64 - 1
    }

    fn get(&self, index: u64) -> Option<E> {
        self.0.get(usize::try_from(index).ok()?).cloned()
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// Whether a range may be asked of a [`BTreeMap`], which panics on one that ends before it begins.
fn in_order<K: Ord>(keys: &impl RangeBounds<K>) -> bool {
    match (keys.start_bound(), keys.end_bound()) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => true,
        (Bound::Excluded(start), Bound::Excluded(end)) => start < end,
        (
            Bound::Included(start) | Bound::Excluded(start),
            Bound::Included(end) | Bound::Excluded(end),
        ) => start <= end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> MemoryTable<u32, &'static str> {
        let mut table = MemoryTable::default();
        for (key, value) in [(3, "c"), (1, "a"), (2, "b")] {
            assert_eq!(table.insert(key, value), None);
        }
        table
    }

    #[test]
    fn scans_go_in_key_order_both_ways() {
        let table = table();
        assert_eq!(
            table.range(..).collect::<Vec<_>>(),
            [(1, "a"), (2, "b"), (3, "c")]
        );
        assert_eq!(table.keys(..=2).rev().collect::<Vec<_>>(), [2, 1]);
        assert_eq!(
            table.keys((Bound::Excluded(1), Bound::Unbounded)).next(),
            Some(2)
        );
    }

    #[test]
    fn what_is_lent_is_what_is_copied() {
        let table = table();
        let scanned = table
            .scan()
            .map(|(key, value)| (key.into_owned(), value.into_owned()));
        assert!(scanned.eq(table.range(..)));
        for key in 0..5 {
            assert_eq!(table.view(&key).map(Cow::into_owned), table.get(&key));
        }
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_empty() {
        let table = table();
        #[allow(clippy::reversed_empty_ranges, reason = "the case under test")]
        let reversed = table.range(3..1).count();
        assert_eq!(reversed, 0);
        assert_eq!(
            table.keys((Bound::Excluded(2), Bound::Excluded(2))).count(),
            0
        );
        assert_eq!(table.keys(2..2).count(), 0);
    }

    #[test]
    fn a_log_counts_from_zero() {
        let mut log = MemoryLog::default();
        assert_eq!((log.append(&'a'), log.append(&'b')), (0, 1));
        assert_eq!((log.get(1), log.get(2)), (Some('b'), None));
    }
}
