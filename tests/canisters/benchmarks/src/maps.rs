//! Maps in stable memory, from numbers to numbers.

use canbench_rs::{BenchResult, bench, bench_fn};
use ic_stable_structures::{
    BTreeMap, DefaultMemoryImpl, Memory,
    memory_manager::{MemoryId, MemoryManager},
};

use crate::{COUNT, random::many};

fn plain() -> impl Memory {
    DefaultMemoryImpl::default()
}

fn managed() -> impl Memory {
    MemoryManager::init(DefaultMemoryImpl::default()).get(MemoryId::new(42))
}

fn insert(memory: impl Memory) -> BenchResult {
    let mut map = BTreeMap::new(memory);
    let items: Vec<(u64, u64)> = many(COUNT);
    bench_fn(|| {
        for (key, value) in items {
            map.insert(key, value);
        }
    })
}

/// A map, and the keys in it.
fn filled<M: Memory>(memory: M) -> (BTreeMap<u64, u64, M>, Vec<u64>) {
    let mut map = BTreeMap::new(memory);
    let items: Vec<(u64, u64)> = many(COUNT);
    for (key, value) in &items {
        map.insert(*key, *value);
    }
    (map, items.into_iter().map(|(key, _)| key).collect())
}

fn get(memory: impl Memory) -> BenchResult {
    let (map, keys) = filled(memory);
    bench_fn(|| {
        for key in keys {
            map.get(&key);
        }
    })
}

fn contains(memory: impl Memory) -> BenchResult {
    let (map, keys) = filled(memory);
    bench_fn(|| {
        for key in keys {
            map.contains_key(&key);
        }
    })
}

fn remove(memory: impl Memory) -> BenchResult {
    let (mut map, keys) = filled(memory);
    bench_fn(|| {
        for key in keys {
            map.remove(&key);
        }
    })
}

#[bench(raw)]
fn btreemap_v2_insert_u64_u64() -> BenchResult {
    insert(plain())
}

#[bench(raw)]
fn btreemap_v2_get_u64_u64() -> BenchResult {
    get(plain())
}

#[bench(raw)]
fn btreemap_v2_contains_u64_u64() -> BenchResult {
    contains(plain())
}

#[bench(raw)]
fn btreemap_v2_remove_u64_u64() -> BenchResult {
    remove(plain())
}

#[bench(raw)]
fn btreemap_v2_mem_manager_insert_u64_u64() -> BenchResult {
    insert(managed())
}

#[bench(raw)]
fn btreemap_v2_mem_manager_get_u64_u64() -> BenchResult {
    get(managed())
}

#[bench(raw)]
fn btreemap_v2_mem_manager_remove_u64_u64() -> BenchResult {
    remove(managed())
}
