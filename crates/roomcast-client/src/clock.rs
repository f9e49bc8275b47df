//! What time it is to a client's task, and whether the computer has slept meanwhile.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The wall clock may be set right by so much without a sleep.
const SET_RIGHT: Duration = Duration::from_secs(1);

/// Counts from when it was made. It may stand still while the computer sleeps; the wall clock doesn't.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    looked: (Instant, SystemTime),
}

impl Clock {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { started: now, looked: (now, SystemTime::now()) }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// When it will be so late.
    pub(crate) fn at(&self, ms: u64) -> Instant {
        self.started + Duration::from_millis(ms)
    }

    /// How long the computer has slept since this was asked last, if it has.
    pub(crate) fn slept_ms(&mut self) -> Option<u64> {
        self.slept_until((Instant::now(), SystemTime::now()))
    }

    fn slept_until(&mut self, now: (Instant, SystemTime)) -> Option<u64> {
        let (at, wall) = std::mem::replace(&mut self.looked, now);
        // A wall clock that was set back tells nothing.
        let wall = now.1.duration_since(wall).unwrap_or_default();
        let slept = wall.saturating_sub(now.0.duration_since(at));
        (slept > SET_RIGHT).then_some(slept.as_millis() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_what_only_the_wall_clock_shows() {
        let mut clock = Clock::new();
        let mut look = |counted: u64, wall: i64| {
            let (at, shown) = clock.looked;
            let by = Duration::from_secs(wall.unsigned_abs());
            let shown = if wall < 0 { shown - by } else { shown + by };
            clock.slept_until((at + Duration::from_secs(counted), shown))
        };
        assert_eq!(look(20, 20), None);
        assert_eq!(look(20, 21), None, "it was set right");
        assert_eq!(look(20, 3_620), Some(3_600_000));
        assert_eq!(look(20, 20), None, "it is told once");
        assert_eq!(look(20, -3_600), None, "it was set back");
    }
}
