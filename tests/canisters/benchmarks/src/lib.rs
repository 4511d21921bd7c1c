//! Work whose instructions others have published: what some of the benchmarks of stable-structures describe, under their
//! names. `cargo xtask bench canbench` has canbench measure it, and compares.
//!
//! What lies outside of `bench_fn` prepares, and is not measured. Keys and values are random, and the same every time.

mod maps;
mod memory;
mod random;
mod vectors;

/// How often most benchmarks do what they measure.
const COUNT: usize = 10_000;
