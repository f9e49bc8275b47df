//! The passes of a room: who runs them, and from where. What one pass hands out is in `drain`.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::Room;
use crate::drain::{Member, Run};

impl Room {
    /// Brings the readers to the tip, from here if they are few.
    pub(crate) fn drain(self: &Arc<Self>) {
        if !self.wake.begin(self.feed.tip()) {
            return;
        }
        let wait = self.spacing();
        let lanes = self.readers.lock().lanes.clone();
        if wait.is_zero() && lanes.len() <= 1 {
            self.pass(&lanes);
            if self.wake.finish(self.feed.tip()) {
                return;
            }
        }
        self.shared.runtime.spawn(self.clone().go_on(wait));
    }

    /// Brings the readers to the tip from a task of its own.
    pub(crate) fn drain_apart(self: &Arc<Self>) {
        if self.wake.begin(self.feed.tip()) {
            self.shared.runtime.spawn(self.clone().go_on(self.spacing()));
        }
    }

    /// How long the readers wait so that messages leave together.
    fn spacing(&self) -> Duration {
        if self.rule.coalesce.is_zero() {
            return Duration::ZERO;
        }
        let since = self.shared.now().ms.saturating_sub(self.passed_ms.load(Ordering::Relaxed));
        self.rule.coalesce.saturating_sub(Duration::from_millis(since))
    }

    /// Walks the lanes until the tip is reached, and lets others run before each: a large room must not make
    /// small ones wait.
    async fn go_on(self: Arc<Self>, wait: Duration) {
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        loop {
            let lanes = self.readers.lock().lanes.clone();
            let mut run = self.run();
            for lane in &lanes {
                tokio::task::yield_now().await;
                run.serve(lane);
            }
            self.passed(&run);
            if self.wake.finish(self.feed.tip()) {
                return;
            }
            let spacing = self.rule.coalesce;
            if spacing.is_zero() {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(spacing).await;
            }
        }
    }

    fn pass(self: &Arc<Self>, lanes: &[Arc<Vec<Member>>]) {
        let mut run = self.run();
        for lane in lanes {
            run.serve(lane);
        }
        self.passed(&run);
    }

    fn run(self: &Arc<Self>) -> Run<'_> {
        Run::from(self, self.wake.drained())
    }

    fn passed(&self, run: &Run<'_>) {
        self.shared.counters.deliveries_total.add(run.delivered());
        self.wake.passed(run.end().index);
        self.feed.forget_before(run.end().index);
        if !self.rule.coalesce.is_zero() {
            self.passed_ms.store(self.shared.now().ms, Ordering::Relaxed);
        }
    }
}
