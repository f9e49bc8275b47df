//! How long to wait before the next try. Draws no random number: it is passed in.

use std::time::Duration;

/// Exponential backoff with full jitter: before try n the wait is uniform in 0..=min(max, base · 2ⁿ).
///
/// Reset it on `welcome`, not on open: a server that accepts and closes at once must not be hammered.
/// (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.)
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    tries: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(2), max: Duration::from_secs(30), tries: 0 }
    }
}

impl Backoff {
    /// A backoff of other durations.
    pub fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, tries: 0 }
    }

    /// How long to wait before the next try. `random` is uniform over all `u32`.
    pub fn next(&mut self, random: u32) -> Duration {
        let factor = 1_u32.checked_shl(self.tries).unwrap_or(u32::MAX);
        self.tries = self.tries.saturating_add(1);
        let limit = self.base.saturating_mul(factor).min(self.max);
        limit.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// The server has said `welcome`.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_and_stays_below_its_limit() {
        let mut backoff = Backoff::default();
        let limits: Vec<u64> = (0..6).map(|_| backoff.next(u32::MAX).as_secs()).collect();
        assert_eq!(limits, [2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.next(0), Duration::ZERO);
        (0..100).for_each(|_| assert!(backoff.next(u32::MAX) <= Duration::from_secs(30)));
        backoff.reset();
        assert_eq!(backoff.next(u32::MAX / 2).as_millis(), 1000);
    }
}
