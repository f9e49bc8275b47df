//! Whether the disk does what it is asked: told by the thread that writes, to be looked at by others.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

#[derive(Debug, Default)]
struct State {
    /// When what is under way began.
    busy_since: Option<Instant>,
    /// When the first failed that no success came after.
    failing_since: Option<Instant>,
    failures: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<State>);

impl Health {
    /// Something is asked of the disk.
    pub(crate) fn begin(&self) {
        self.0.lock().busy_since = Some(Instant::now());
    }

    /// It has answered, one way or the other.
    pub(crate) fn rest(&self) {
        self.0.lock().busy_since = None;
    }

    /// It could not.
    pub(crate) fn failed(&self) {
        let mut state = self.0.lock();
        state.failures += 1;
        state.failing_since.get_or_insert_with(Instant::now);
    }

    /// How often it could not.
    pub(crate) fn failures(&self) -> u64 {
        self.0.lock().failures
    }

    /// It could.
    pub(crate) fn succeeded(&self) {
        self.0.lock().failing_since = None;
    }

    /// Whether what was asked last failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.0.lock().failing_since.is_some()
    }

    /// For how long it has not done what it was asked.
    pub(crate) fn trouble(&self) -> Option<Duration> {
        let State { busy_since, failing_since, .. } = *self.0.lock();
        busy_since.into_iter().chain(failing_since).min().map(|since| since.elapsed())
    }
}
