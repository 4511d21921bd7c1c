//! Waiting longer after each failure, with jitter so that many workers do not return at once.

use std::time::Duration;

/// A growing pause.
#[derive(Clone, Debug)]
pub struct Backoff {
    least: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Pauses begin near `least` and never exceed `most`.
    pub const fn new(least: Duration, most: Duration) -> Self {
        Self {
            least,
            most,
            failures: 0,
        }
    }

    /// The usual pauses between calls to the network: 0.2 to 10 seconds.
    pub const fn network() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_secs(10))
    }

    /// The next pause: between half and all of `least · 2^failures`, capped.
    pub fn pause(&mut self) -> Duration {
        let full = self
            .least
            .saturating_mul(1 << self.failures.min(16))
            .min(self.most);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Failures in a row.
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// A call went through.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_stay_within_bounds_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for full in [100, 200, 400, 800, 1000, 1000, 1000] {
            let pause = backoff.pause();
            assert!(
                pause >= Duration::from_millis(full / 2) && pause <= Duration::from_millis(full),
                "{pause:?} of {full} ms"
            );
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(100));
        for _ in 0..100 {
            assert!(
                backoff.pause() <= Duration::from_secs(1),
                "never past the cap, however many failures"
            );
        }
    }
}
