//! The memory engine with its calls bent by a test: later, failing or not answering at all.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use roomcast_hub::{
    Feed, Key, RoomRule,
    engine::{AppendError, Batch, Bounds, Engine, EngineError, Log, Memory, Page, Range, ReadError, Ticket},
};
use roomcast_protocol::{Draft, RoomName, server::Delivered};
use roomcast_session::Now;

pub(crate) type Appended = Ticket<Result<Delivered, AppendError>>;
/// Appends when it is called.
pub(crate) type Append = Box<dyn FnOnce() -> Appended + Send>;

type BeforeWatch = dyn Fn(&RoomName) -> Result<(), EngineError> + Send + Sync;

/// How calls are bent.
#[derive(Clone)]
struct How {
    watch: Arc<BeforeWatch>,
    append: Arc<dyn Fn(Append) -> Appended + Send + Sync>,
    failure: Failure,
    trouble: Trouble,
}

/// For how long the engine says it has been in trouble.
pub(crate) type Trouble = Arc<Mutex<Option<Duration>>>;

/// What every reading of a log fails with, as long as it is set.
#[derive(Clone, Default)]
pub(crate) struct Failure(Arc<Mutex<Option<EngineError>>>);

impl Failure {
    pub(crate) fn set(&self, error: EngineError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    pub(crate) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn get(&self) -> Option<EngineError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The engine.
pub(crate) struct Bent {
    memory: Memory,
    how: How,
}

impl Bent {
    pub(crate) fn new() -> Self {
        let how = How {
            watch: Arc::new(|_| Ok(())),
            append: Arc::new(|append| append()),
            failure: Failure::default(),
            trouble: Trouble::default(),
        };
        Self { memory: Memory::default(), how }
    }

    /// What it does before it watches a room.
    pub(crate) fn watching(
        mut self,
        watch: impl Fn(&RoomName) -> Result<(), EngineError> + Send + Sync + 'static,
    ) -> Self {
        self.how.watch = Arc::new(watch);
        self
    }

    /// How it appends.
    pub(crate) fn appending(mut self, append: impl Fn(Append) -> Appended + Send + Sync + 'static) -> Self {
        self.how.append = Arc::new(append);
        self
    }

    /// What it says of its troubles.
    pub(crate) fn trouble(&self) -> Trouble {
        self.how.trouble.clone()
    }

    /// What makes its logs unreadable.
    pub(crate) fn failure(&self) -> Failure {
        self.how.failure.clone()
    }
}

impl Engine for Bent {
    fn watch(
        &self,
        now: Now,
        room: &RoomName,
        rule: &Arc<RoomRule>,
        make_feed: &mut dyn FnMut(u64) -> Arc<Feed>,
    ) -> Result<Arc<dyn Log>, EngineError> {
        (self.how.watch)(room)?;
        let log = self.memory.watch(now, room, rule, make_feed)?;
        Ok(Arc::new(BentLog { log, how: self.how.clone() }))
    }

    fn unwatch(&self, now: Now, room: &RoomName) {
        self.memory.unwatch(now, room);
    }

    fn tick(&self, now: Now) {
        self.memory.tick(now);
    }

    fn memory_bytes(&self) -> usize {
        self.memory.memory_bytes()
    }

    fn is_full(&self) -> bool {
        self.memory.is_full()
    }

    fn trouble(&self) -> Option<Duration> {
        *self.how.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct BentLog {
    log: Arc<dyn Log>,
    how: How,
}

impl Log for BentLog {
    fn append(&self, now: Now, draft: Draft, key: Option<Key>) -> Appended {
        let log = self.log.clone();
        (self.how.append)(Box::new(move || log.append(now, draft, key)))
    }

    fn bounds(&self) -> Bounds {
        self.log.bounds()
    }

    fn read(&self, range: Range, page: Page) -> Result<Batch, ReadError> {
        match self.how.failure.get() {
            Some(error) => Err(error.into()),
            None => self.log.read(range, page),
        }
    }
}
