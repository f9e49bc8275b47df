//! The client's half: when to come back, and what of a room is new. As far as tests, `sub` and `bench` need it.

use std::time::Duration;

use roomcast_protocol::{Epoch, Position};

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

/// What a message of a room is to a reader that has seen some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next one.
    Next,
    /// Seen before.
    Repeat,
    /// There are messages between; ask the server for them.
    Gap,
}

/// A reader's place in a room. Never takes a message twice, never passes over one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where the reader is.
    pub position: Position,
}

impl Place {
    /// The place that a join's ack or a `reset` names.
    pub fn at(epoch: Epoch, from: u64) -> Self {
        Self { position: Position { epoch, seq: from } }
    }

    /// Takes a logged message; `prev` as the message has it.
    pub fn take(&mut self, seq: u64, prev: Option<u64>) -> Arrival {
        if seq <= self.position.seq {
            return Arrival::Repeat;
        }
        if prev.unwrap_or(seq - 1) > self.position.seq {
            return Arrival::Gap;
        }
        self.position.seq = seq;
        Arrival::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_and_stays_below_its_limit() {
        let mut backoff = Backoff::default();
        let limits: Vec<u64> = (0..6).map(|_| backoff.next(u32::MAX).as_secs()).collect();
        assert_eq!(limits, [2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.next(0), Duration::ZERO);
        (0..100).for_each(|_| assert!(backoff.next(u32::MAX) <= Duration::from_secs(30)));
        backoff.reset();
        assert_eq!(backoff.next(u32::MAX / 2).as_millis(), 1000);
    }

    #[test]
    fn arrivals() {
        let mut place = Place::at(Epoch::new("e").unwrap(), 4);
        assert_eq!(place.take(5, None), Arrival::Next);
        assert_eq!(place.take(5, None), Arrival::Repeat);
        assert_eq!(place.take(7, None), Arrival::Gap);
        assert_eq!(place.take(9, Some(5)), Arrival::Next);
        assert_eq!(place.position.seq, 9);
    }
}
