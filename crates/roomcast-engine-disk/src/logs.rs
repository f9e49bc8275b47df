//! The logs that are watched now, by name; every other room is only on disk.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use roomcast_hub::{
    Feed, Keys, RoomRule,
    engine::{EngineError, Log},
};
use roomcast_protocol::{Epoch, RoomName};
use roomcast_session::Now;
use rusqlite::Connection;

use crate::{
    Settings,
    health::Health,
    inbox::Inbox,
    log::{DiskLog, Handle, State},
    readers::Readers,
    rows,
    store::random,
};

/// What a watched room costs beside its messages, in bytes: its log, and its part in the hub.
const LOG_BYTES: usize = 1_280;

#[derive(Debug)]
pub(crate) struct Logs {
    pub(crate) settings: Settings,
    pub(crate) health: Health,
    watched: Mutex<HashMap<RoomName, Arc<DiskLog>>>,
    /// Rooms that were left while something was on its way.
    left: Mutex<Vec<RoomName>>,
    inbox: Arc<Inbox>,
    readers: Arc<Readers>,
    /// Names this run in the epochs it mints.
    nonce: u64,
    epochs: AtomicU64,
    /// Told by the writer.
    pub(crate) tail_bytes: AtomicUsize,
    pub(crate) keys: AtomicUsize,
}

impl Logs {
    pub(crate) fn new(readers: Arc<Readers>, settings: Settings) -> Self {
        Self {
            settings,
            health: Health::default(),
            watched: Mutex::default(),
            left: Mutex::default(),
            inbox: Arc::new(Inbox::new(settings.waiting_bytes_max)),
            readers,
            nonce: random(),
            epochs: AtomicU64::new(0),
            tail_bytes: AtomicUsize::new(0),
            keys: AtomicUsize::new(0),
        }
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// The log of a room, if it is watched.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<DiskLog>> {
        self.watched.lock().get(name).cloned()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.watched.lock().len() * LOG_BYTES
            + self.tail_bytes.load(Ordering::Relaxed)
            + self.keys.load(Ordering::Relaxed) * Keys::BYTES
    }

    /// For how long the disk has not done what it was asked.
    pub(crate) fn trouble(&self) -> Option<Duration> {
        self.health.trouble().max(self.readers.busy())
    }

    fn mint_epoch(&self) -> Epoch {
        let count = self.epochs.fetch_add(1, Ordering::Relaxed);
        Epoch::new(&format!("{:016x}-{count:x}", self.nonce)).expect("hexadecimal digits make an epoch")
    }

    pub(crate) fn watch(
        &self,
        now: Now,
        (name, rule): (&RoomName, &Arc<RoomRule>),
        make_feed: &mut dyn FnMut(u64) -> Arc<Feed>,
    ) -> Result<Arc<dyn Log>, EngineError> {
        let mut watched = self.watched.lock();
        let known = watched.get(name).cloned();
        let is_new = known.is_none();
        let log = known.unwrap_or_else(|| {
            let parts = (self.inbox.clone(), self.readers.clone());
            Arc::new(DiskLog::new((name.clone(), rule.clone()), self.mint_epoch(), parts))
        });
        // Known before it is read: what the writer commits from here on waits for the state, and corrects it.
        let mut state = log.state.lock();
        if is_new {
            watched.insert(name.clone(), log.clone());
        }
        drop(watched);
        let ready = if is_new { self.find(now, &log, &mut state) } else { log.age(now, &mut state) };
        if let Err(error) = ready {
            let retired = state.retire();
            drop(state);
            if retired {
                self.watched.lock().remove(name);
            }
            return Err(error);
        }
        state.feed = Some(make_feed(state.ledger.head));
        drop(state);
        Ok(Arc::new(Handle(log)))
    }

    fn find(&self, now: Now, log: &DiskLog, state: &mut State) -> Result<(), EngineError> {
        let (name, rule, old_ms) = (log.name.clone(), log.rule.clone(), log.old_ms(now));
        let load = move |connection: &Connection| {
            // All of it as of one moment: what is old may be leaving just now.
            let _moment = connection.unchecked_transaction()?;
            let Some((epoch, mut ledger)) = rows::load(connection, &name)? else { return Ok(None) };
            rows::retain(connection, &rule.history, &mut ledger)?;
            rows::age(connection, old_ms, &mut ledger)?;
            Ok(Some((epoch, ledger)))
        };
        let Some((epoch, ledger)) = self.readers.with(load)? else { return Ok(()) };
        let epoch = Epoch::new(&epoch).map_err(|error| EngineError::Corrupt(error.to_string()))?;
        state.found(epoch, ledger);
        Ok(())
    }

    pub(crate) fn unwatch(&self, name: &RoomName) {
        let mut watched = self.watched.lock();
        let Some(log) = watched.get(name).cloned() else { return };
        let mut state = log.state.lock();
        state.feed = None;
        if state.retire() {
            watched.remove(name);
        } else {
            self.left.lock().push(name.clone());
        }
        if watched.len() < watched.capacity() / 4 {
            watched.shrink_to_fit();
        }
    }

    /// Gives up what could not be given up when it was left.
    pub(crate) fn retire_left(&self) {
        let left = std::mem::take(&mut *self.left.lock());
        for name in left {
            let mut watched = self.watched.lock();
            let Some(log) = watched.get(&name).cloned() else { continue };
            // Whoever looks it up anew may be waiting for the disk: that is nothing to wait for with all rooms locked.
            let Some(mut state) = log.state.try_lock() else {
                self.left.lock().push(name);
                continue;
            };
            if state.retire() {
                watched.remove(&name);
            } else if state.feed.is_none() {
                self.left.lock().push(name);
            }
        }
    }
}
