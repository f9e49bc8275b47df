//! A token bucket in eight bytes (GCRA: the one number is when the bucket will be full again).

use std::time::Duration;

/// How much of its rate somebody has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    full_at_us: u64,
}

impl Bucket {
    /// Takes one, or says how long until there is one. A rate of 0 is no limit.
    pub fn take(&mut self, now_ms: u64, per_second: u32, burst: u32) -> Result<(), Duration> {
        if per_second == 0 {
            return Ok(());
        }
        let now = now_ms * 1000;
        let interval = 1_000_000 / u64::from(per_second);
        let full_at = self.full_at_us.max(now);
        let room = interval * u64::from(burst.max(1) - 1);
        if full_at - now > room {
            return Err(Duration::from_micros(full_at - now - room));
        }
        self.full_at_us = full_at + interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate() {
        let mut bucket = Bucket::default();
        for _ in 0..200 {
            assert_eq!(bucket.take(1_000, 100, 200), Ok(()));
        }
        assert_eq!(bucket.take(1_000, 100, 200), Err(Duration::from_millis(10)));
        assert_eq!(bucket.take(1_010, 100, 200), Ok(()));
        assert!(bucket.take(1_010, 100, 200).is_err());
        assert_eq!(bucket.take(9_000, 100, 200), Ok(()));
    }

    #[test]
    fn no_limit() {
        let mut bucket = Bucket::default();
        assert!((0..10_000).all(|_| bucket.take(0, 0, 0).is_ok()));
    }
}
