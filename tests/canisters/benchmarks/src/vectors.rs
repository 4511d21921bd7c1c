//! Vectors in stable memory.

use canbench_rs::{BenchResult, bench, bench_fn};
use ic_stable_structures::{
    DefaultMemoryImpl, Memory, StableVec, Storable,
    memory_manager::{MemoryId, MemoryManager},
    storable::Blob,
};

use crate::{
    COUNT,
    random::{Random, many},
};

fn insert<T: Storable + Random>() -> BenchResult {
    let vector: StableVec<T, _> = StableVec::new(DefaultMemoryImpl::default());
    let items: Vec<T> = many(COUNT);
    bench_fn(|| {
        for item in &items {
            vector.push(item);
        }
    })
}

fn get<T: Storable + Random>(memory: impl Memory) -> BenchResult {
    let vector: StableVec<T, _> = StableVec::new(memory);
    for item in many::<T>(COUNT) {
        vector.push(&item);
    }
    bench_fn(|| {
        for number in 0..COUNT as u64 {
            vector.get(number).expect("it was pushed");
        }
    })
}

#[bench(raw)]
fn vec_insert_u64() -> BenchResult {
    insert::<u64>()
}

#[bench(raw)]
fn vec_insert_blob_64() -> BenchResult {
    insert::<Blob<64>>()
}

#[bench(raw)]
fn vec_get_u64() -> BenchResult {
    get::<u64>(DefaultMemoryImpl::default())
}

#[bench(raw)]
fn vec_get_blob_64() -> BenchResult {
    get::<Blob<64>>(DefaultMemoryImpl::default())
}

#[bench(raw)]
fn vec_get_blob_64_mem_manager() -> BenchResult {
    let manager = MemoryManager::init(DefaultMemoryImpl::default());
    get::<Blob<64>>(manager.get(MemoryId::new(42)))
}
