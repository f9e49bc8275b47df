//! Whether the peer is still there: silence, then a ping, then silence again, then the end.

use std::time::Duration;

/// The states of a peer that is not known to be gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heart {
    /// A byte came at this time, in milliseconds.
    Heard(u64),
    /// After too much silence a ping went out at this time.
    Pinged(u64),
    /// A peer that isn't asked was given a sign of life at this time, or gave one. It can't answer, or need not: whether
    /// it is there is for TCP or QUIC to find.
    Unasked(u64),
}

/// What a look at the clock asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing; look again at this time.
    Wait(u64),
    /// Send a ping; look again at this time.
    Ping(u64),
    /// The peer is gone.
    Gone,
}

impl Heart {
    /// A byte came.
    pub fn heard(&mut self, now_ms: u64) {
        *self = match self {
            Self::Heard(_) | Self::Pinged(_) => Self::Heard(now_ms),
            Self::Unasked(_) => Self::Unasked(now_ms),
        };
    }

    /// Looks at the clock.
    pub fn beat(&mut self, now_ms: u64, interval: Duration, timeout: Duration) -> Beat {
        let (interval, timeout) = (interval.as_millis() as u64, timeout.as_millis() as u64);
        match *self {
            Self::Heard(at) if now_ms >= at + interval => {
                *self = Self::Pinged(now_ms);
                Beat::Ping(now_ms + timeout)
            }
            Self::Unasked(at) if now_ms >= at + interval => {
                *self = Self::Unasked(now_ms);
                Beat::Ping(now_ms + interval)
            }
            Self::Heard(at) | Self::Unasked(at) => Beat::Wait(at + interval),
            Self::Pinged(at) if now_ms >= at + timeout => Beat::Gone,
            Self::Pinged(at) => Beat::Wait(at + timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_noticed_within_28_seconds() {
        let mut heart = Heart::Heard(0);
        let mut beat = |now| heart.beat(now, Duration::from_secs(20), Duration::from_secs(8));
        assert_eq!(beat(19_999), Beat::Wait(20_000));
        assert_eq!(beat(20_000), Beat::Ping(28_000));
        assert_eq!(beat(20_001), Beat::Wait(28_000));
        assert_eq!(beat(28_000), Beat::Gone);
        heart.heard(28_001);
        assert_eq!(heart, Heart::Heard(28_001));
    }

    #[test]
    fn who_is_not_asked_is_kept_alive() {
        let mut heart = Heart::Unasked(0);
        let mut beat = |now| heart.beat(now, Duration::from_secs(15), Duration::from_secs(8));
        assert_eq!(beat(14_999), Beat::Wait(15_000));
        assert_eq!(beat(15_000), Beat::Ping(30_000));
        assert_eq!(beat(29_999), Beat::Wait(30_000));
        assert_eq!(beat(40_000), Beat::Ping(55_000));
        heart.heard(41_000);
        assert_eq!(heart, Heart::Unasked(41_000));
    }
}
