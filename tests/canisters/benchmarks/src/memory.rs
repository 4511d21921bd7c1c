//! Stable memory by itself, and divided by a memory manager.

use canbench_rs::{BenchResult, bench, bench_fn};
use ic_stable_structures::{
    DefaultMemoryImpl, Memory,
    memory_manager::{MemoryId, MemoryManager},
};

const MIB: usize = 1 << 20;
const PAGE: usize = 1 << 16;
/// Bytes that are written at a time, or in pieces.
const BUFFER: usize = 100 * MIB;
/// How many times, one after the other.
const BUFFERS: u8 = 5;
/// Pages that are asked for one at a time.
const GROWTH: u32 = 32_000;

/// Writes a buffer several times, and reads everything.
#[bench(raw)]
fn memory_manager_baseline() -> BenchResult {
    let memory = DefaultMemoryImpl::default();
    let mut buffer = vec![0; BUFFER];
    bench_fn(|| {
        for number in 0..u64::from(BUFFERS) {
            memory.grow((BUFFER / PAGE) as u64);
            memory.write(number * BUFFER as u64, &buffer);
        }
        for number in 0..u64::from(BUFFERS) {
            memory.read(number * BUFFER as u64, &mut buffer);
        }
    })
}

/// The same with a memory for each buffer, which is written MiB by MiB.
#[bench(raw)]
fn memory_manager_overhead() -> BenchResult {
    let manager = MemoryManager::init(DefaultMemoryImpl::default());
    let mut buffer = vec![0; BUFFER];
    bench_fn(|| {
        for number in 0..BUFFERS {
            let memory = manager.get(MemoryId::new(number));
            for piece in 0..BUFFER / MIB {
                memory.grow((MIB / PAGE) as u64);
                let at = piece * MIB;
                memory.write(at as u64, &buffer[at..at + MIB]);
            }
        }
        for number in 0..BUFFERS {
            manager.get(MemoryId::new(number)).read(0, &mut buffer);
        }
    })
}

/// Grows a memory page by page, where each is a bucket of its own.
#[bench(raw)]
fn memory_manager_grow() -> BenchResult {
    let manager = MemoryManager::init_with_bucket_size(DefaultMemoryImpl::default(), 1);
    let memory = manager.get(MemoryId::new(0));
    bench_fn(|| {
        for _ in 0..GROWTH {
            memory.grow(1);
        }
    })
}

/// Writes a buffer's worth in pieces of one size.
fn write(memory: u8, pieces: usize) -> BenchResult {
    let memory = managed(memory);
    let size = BUFFER / pieces;
    let data: Vec<Vec<u8>> = (0..pieces).map(|_| vec![37; size]).collect();
    bench_fn(|| {
        let pages = BUFFER.div_ceil(PAGE) as u64;
        let missing = pages.saturating_sub(memory.size());
        if missing > 0 {
            memory.grow(missing);
        }
        for (number, piece) in data.iter().enumerate() {
            memory.write((number * size) as u64, piece);
        }
    })
}

/// Reads what was written so.
fn read(memory: u8, pieces: usize) -> BenchResult {
    write(memory, pieces);
    let memory = managed(memory);
    let size = BUFFER / pieces;
    let mut buffer = vec![0; size];
    bench_fn(|| {
        for number in 0..pieces {
            memory.read((number * size) as u64, &mut buffer);
        }
    })
}

fn managed(memory: u8) -> impl Memory {
    MemoryManager::init(DefaultMemoryImpl::default()).get(MemoryId::new(memory))
}

#[bench(raw)]
fn write_chunks_stable_1() -> BenchResult {
    write(10, 1)
}

#[bench(raw)]
fn write_chunks_stable_1k() -> BenchResult {
    write(11, 1_000)
}

#[bench(raw)]
fn write_chunks_stable_1m() -> BenchResult {
    write(12, 1_000_000)
}

#[bench(raw)]
fn read_chunks_stable_1() -> BenchResult {
    read(20, 1)
}

#[bench(raw)]
fn read_chunks_stable_1k() -> BenchResult {
    read(21, 1_000)
}

#[bench(raw)]
fn read_chunks_stable_1m() -> BenchResult {
    read(22, 1_000_000)
}
