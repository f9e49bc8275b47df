//! The engine with a disk: the logs of all rooms in one SQLite database, which survives kill -9 and power cuts.
//!
//! One thread writes, and commits what has gathered meanwhile in one go; two read, with connections of their own.
//! A message is acked and delivered once its commit is as durable as its room asks for. Epochs, heads, idempotency
//! keys and retention live with the messages.
//!
//! It never knows clients or sockets, holds no read transaction over anything that waits, and hands nothing out
//! that it can't prove to be what was written.

mod acked;
mod batch;
mod error;
mod health;
mod inbox;
mod keyring;
mod ledger;
mod log;
mod logs;
mod reader;
mod readers;
mod rows;
mod store;
mod sweep;
mod tails;
mod writer;

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use roomcast_hub::{
    Feed, KeyLimits, Retention, RoomRule,
    engine::{Engine, EngineError, Log},
};
use roomcast_protocol::RoomName;
use roomcast_session::Now;

pub use error::OpenError;

use logs::Logs;
use writer::Writer;

const MIB: usize = 1024 * 1024;
/// How long a store that is dropped without being closed waits for its disk.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the engine may take, and how long it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Idempotency keys of one room.
    pub keys: KeyLimits,
    /// Idempotency keys of all rooms. Over it a message with an id is answered `unavailable`.
    pub keys_max: usize,
    /// Bytes of recent messages of all rooms that are kept in memory, so that a short way back needs no disk.
    pub tail_bytes_max: usize,
    /// Bytes of messages that wait for the disk. Over it: `unavailable`.
    pub waiting_bytes_max: usize,
    /// Bytes of the database, if it is to stay below what the disk holds. Over it: `unavailable`.
    pub disk_bytes_max: Option<u64>,
    /// How long epoch and head of a room outlive its messages.
    pub epoch_kept: Duration,
    /// How long the disk may take to answer a read. Over it: `unavailable`.
    pub read_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keys: KeyLimits::default(),
            keys_max: 10_000_000,
            tail_bytes_max: 64 * MIB,
            waiting_bytes_max: 64 * MIB,
            disk_bytes_max: None,
            epoch_kept: Duration::from_secs(7 * 24 * 3600),
            read_timeout: Duration::from_secs(2),
        }
    }
}

/// What a room keeps on disk unless its rule says otherwise.
pub const fn retention() -> Retention {
    Retention { messages_max: 100_000, bytes_max: 64 * MIB, age_max: Duration::from_secs(30 * 24 * 3600) }
}

/// Logs on disk. Cheap to clone; the last one to go closes the store.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Open>);

#[derive(Debug)]
struct Open {
    logs: Arc<Logs>,
    thread: Mutex<Option<Thread>>,
}

/// The thread that writes, and what tells that it has ended.
#[derive(Debug)]
struct Thread {
    handle: thread::JoinHandle<()>,
    ended: mpsc::Receiver<()>,
}

impl Disk {
    /// Opens the store in a directory, or makes one there. It belongs to this process until it is closed.
    pub fn open(directory: &Path, settings: Settings) -> Result<Self, OpenError> {
        let (store, found) = store::Store::open(directory, &settings)?;
        let logs = Arc::new(Logs::new(store.readers(), settings));
        let writer = Writer::new(store, logs.clone(), found);
        let (running, ended) = mpsc::channel();
        let run = move || {
            let _running = running;
            writer.run();
        };
        let handle = thread::Builder::new()
            .name("roomcast-disk".into())
            .spawn(run)
            .map_err(|error| OpenError::Io { what: "start the thread that writes", error })?;
        Ok(Self(Arc::new(Open { logs, thread: Mutex::new(Some(Thread { handle, ended })) })))
    }

    /// Commits what waits, marks the stop as a clean one and gives the directory up. What comes later is refused.
    /// Waits for the disk, but not longer than it may: one that doesn't answer keeps the directory until the process
    /// ends. Answers whether all is done.
    pub fn close(&self, patience: Duration) -> bool {
        self.0.close(patience)
    }
}

impl Open {
    fn close(&self, patience: Duration) -> bool {
        // Held until the end: who closes it meanwhile waits, too.
        let mut thread = self.thread.lock();
        let Some(Thread { handle, ended }) = thread.take() else { return true };
        self.logs.inbox().close();
        if ended.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::error!(
                ?patience,
                "the disk doesn't answer: what was acked is kept, of the rest nobody knows"
            );
            return false;
        }
        let whole = handle.join().is_ok();
        if !whole {
            tracing::error!("the thread that writes to disk has failed; what was acked is kept");
        }
        whole
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close(CLOSE_TIMEOUT);
    }
}

impl Engine for Disk {
    fn watch(
        &self,
        now: Now,
        room: &RoomName,
        rule: &Arc<RoomRule>,
        make_feed: &mut dyn FnMut(u64) -> Arc<Feed>,
    ) -> Result<Arc<dyn Log>, EngineError> {
        self.0.logs.watch(now, (room, rule), make_feed)
    }

    fn unwatch(&self, _: Now, room: &RoomName) {
        self.0.logs.unwatch(room);
    }

    fn tick(&self, now: Now) {
        self.0.logs.retire_left();
        self.0.logs.inbox().tick(now);
    }

    fn memory_bytes(&self) -> usize {
        self.0.logs.memory_bytes()
    }

    fn is_full(&self) -> bool {
        false
    }

    fn trouble(&self) -> Option<Duration> {
        self.0.logs.trouble()
    }

    fn failures(&self) -> u64 {
        self.0.logs.health.failures()
    }
}
