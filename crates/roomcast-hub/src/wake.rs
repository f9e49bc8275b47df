//! Who brings a room's readers to the tip, and how far that has come. A tip moved is a tip served: whoever moves it
//! drains, unless somebody does already, who then goes round again.
//!
//! Two atomics; it knows neither readers nor the feed. `tests/wake.rs` runs it through every interleaving.

use super::atomic::{AtomicU8, AtomicU64, Ordering};

const IDLE: u8 = 0;
const DRAINING: u8 = 1;
const DIRTY: u8 = 2;

/// Idle, draining, or draining and to go round again.
#[derive(Debug)]
pub(crate) struct Wake {
    state: AtomicU8,
    /// Index up to which passes have gone.
    drained: AtomicU64,
}

impl Wake {
    /// Nothing is due before an index.
    pub(crate) fn new(drained: u64) -> Self {
        Self { state: AtomicU8::new(IDLE), drained: AtomicU64::new(drained) }
    }

    /// Index up to which passes have gone.
    pub(crate) fn drained(&self) -> u64 {
        self.drained.load(Ordering::Acquire)
    }

    /// The tip may have moved. Whether the caller must drain; if not, somebody does, or nothing is due: a turn that
    /// only joins moves no tip.
    pub(crate) fn begin(&self, tip: u64) -> bool {
        let next = |state| match state {
            IDLE => Some(DRAINING),
            DRAINING => Some(DIRTY),
            _ => None,
        };
        self.drained() < tip && self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) == Ok(IDLE)
    }

    /// A pass has gone up to an index.
    pub(crate) fn passed(&self, index: u64) {
        self.drained.store(index, Ordering::Release);
    }

    /// Whether the last pass was the last; if not, the caller goes round again.
    pub(crate) fn finish(&self, tip: u64) -> bool {
        if self.drained() < tip {
            return false;
        }
        let done = self.state.compare_exchange(DRAINING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !done {
            self.state.store(DRAINING, Ordering::Release);
        }
        done
    }
}
