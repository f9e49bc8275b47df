//! Waiting for what is no task, such as a disk, without holding up the tasks that the thread would serve meanwhile.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    runtime::{Handle, RuntimeFlavor, worker_index},
    task::block_in_place,
};

/// What is over within this is waited for in place: to give way costs more.
pub const MOMENT: Duration = Duration::from_millis(2);

/// Threads that give way at once, at most. Each is one more in the process, and one more question to a disk that may only
/// be slow.
const AWAY_MAX: usize = 32;

static AWAY: AtomicUsize = AtomicUsize::new(0);

/// Waits. Another thread serves this one's tasks meanwhile, if it is one of several that do, and not too many wait so.
pub fn give_way<T>(wait: impl FnOnce() -> T) -> T {
    let Some(_place) = is_worker().then(Place::take).flatten() else { return wait() };
    block_in_place(wait)
}

/// Locks what others may hold while they wait for a disk.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.try_lock_for(MOMENT).unwrap_or_else(|| give_way(|| mutex.lock()))
}

/// Whether this thread serves tasks that another one could.
fn is_worker() -> bool {
    let has_others =
        Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    has_others && worker_index().is_some()
}

struct Place;

impl Place {
    fn take() -> Option<Self> {
        let place = |away| (away < AWAY_MAX).then_some(away + 1);
        AWAY.fetch_update(Ordering::Relaxed, Ordering::Relaxed, place).is_ok().then_some(Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        AWAY.fetch_sub(1, Ordering::Relaxed);
    }
}
