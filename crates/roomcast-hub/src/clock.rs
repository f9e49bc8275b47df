//! The one place where the hub looks at clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use roomcast_protocol::Timestamp;
use roomcast_session::Now;

/// Counts monotonic milliseconds from its making, beside the wall clock.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Instant,
}

impl Clock {
    /// A clock that starts well above zero, so that subtracting a timeout never goes below.
    pub(crate) fn start() -> Self {
        Self { began: Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or_else(Instant::now) }
    }

    pub(crate) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { ms: self.began.elapsed().as_millis() as u64, wall: Timestamp(wall.as_millis() as u64) }
    }
}
