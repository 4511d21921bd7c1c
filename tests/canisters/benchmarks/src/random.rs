//! Random things that are the same every time.

use ic_stable_structures::storable::{Blob, Bound, Storable as _};

/// A source of random numbers (SplitMix64).
pub(crate) struct Source(u64);

impl Source {
    pub(crate) const fn new() -> Self {
        Self(0)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ word >> 31
    }
}

/// What can be made at random.
pub(crate) trait Random {
    fn random(source: &mut Source) -> Self;
}

impl Random for u64 {
    fn random(source: &mut Source) -> Self {
        source.next()
    }
}

impl<const N: usize> Random for Blob<N> {
    /// Shorter than the longest, all lengths alike.
    fn random(source: &mut Source) -> Self {
        let max = match Self::BOUND {
            Bound::Bounded { max_size, .. } => u64::from(max_size),
            Bound::Unbounded => N as u64,
        };
        let length = source.next() % max;
        let bytes: Vec<u8> = (0..length).map(|_| source.next() as u8).collect();
        Self::try_from(bytes.as_slice()).expect("it is short enough")
    }
}

/// So many of them.
pub(crate) fn many<T: Random>(count: usize) -> Vec<T> {
    let mut source = Source::new();
    (0..count).map(|_| T::random(&mut source)).collect()
}

impl<A: Random, B: Random> Random for (A, B) {
    fn random(source: &mut Source) -> Self {
        (A::random(source), B::random(source))
    }
}
