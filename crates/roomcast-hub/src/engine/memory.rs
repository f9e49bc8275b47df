//! The engine without a disk: each room's log is a ring of frames in this process. Epochs are minted with the
//! log and forgotten with it.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use roomcast_protocol::{Draft, Epoch, Frame, Reset, RoomName, server::Delivered};
use roomcast_session::Now;

use super::{AppendError, Batch, Bounds, Engine, EngineError, Log, Page, Range, ReadError, Ticket};
use crate::{Audience, Feed, Key, KeyLimits, Keys, RoomRule, Seen};

/// What a room costs beside its messages, in bytes: its log, and its part in the hub.
const LOG_BYTES: usize = 1_280;
/// Logs looked at for age in one tick.
const LOGS_PER_TICK: usize = 4_096;
/// Logs given up to make room for one message, at most.
const EVICTIONS_MAX: usize = 64;

/// Logs in memory, bounded together.
#[derive(Debug)]
pub struct Memory(Arc<Logs>);

#[derive(Debug)]
struct Logs {
    rooms: Mutex<HashMap<RoomName, Arc<MemoryLog>>>,
    /// Unwatched logs, by when they were left; the front goes first.
    idle: Mutex<VecDeque<(u64, RoomName)>>,
    budget: Arc<Budget>,
    /// Names this process in the epochs it mints.
    nonce: u64,
    epochs: AtomicU64,
}

/// What all logs together hold, and what each may remember.
#[derive(Debug)]
struct Budget {
    bytes: AtomicUsize,
    bytes_max: usize,
    keys: KeyLimits,
}

impl Budget {
    fn take(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn is_spent(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.bytes_max
    }
}

impl Default for Memory {
    /// 512 MiB in all.
    fn default() -> Self {
        Self::new(512 * 1024 * 1024, KeyLimits::default())
    }
}

impl Memory {
    /// An engine whose logs hold `bytes_max` together, at most, and each remembers keys within limits.
    pub fn new(bytes_max: usize, keys: KeyLimits) -> Self {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).expect("the system has randomness");
        Self(Arc::new(Logs {
            rooms: Mutex::default(),
            idle: Mutex::default(),
            budget: Arc::new(Budget { bytes: AtomicUsize::new(0), bytes_max, keys }),
            nonce: u64::from_le_bytes(nonce),
            epochs: AtomicU64::new(0),
        }))
    }
}

impl Logs {
    fn open(self: &Arc<Self>, room: &RoomName, rule: &Arc<RoomRule>) -> Arc<MemoryLog> {
        let mut logs = self.rooms.lock();
        let vacant = match logs.entry(room.clone()) {
            Entry::Occupied(entry) => return entry.get().clone(),
            Entry::Vacant(vacant) => vacant,
        };
        self.budget.take(LOG_BYTES);
        let count = self.epochs.fetch_add(1, Ordering::Relaxed);
        let epoch =
            Epoch::new(&format!("{:016x}-{count:x}", self.nonce)).expect("hexadecimal digits make an epoch");
        vacant
            .insert(Arc::new(MemoryLog {
                epoch,
                rule: rule.clone(),
                budget: self.budget.clone(),
                home: Arc::downgrade(self),
                state: Mutex::default(),
            }))
            .clone()
    }

    /// Gives up the longest idle logs until there is room again.
    fn make_room(&self) {
        for _ in 0..EVICTIONS_MAX {
            if !self.budget.is_spent() {
                return;
            }
            let Some((left_ms, room)) = self.idle.lock().pop_front() else { return };
            if self.forget_if(&room, |log| log.left_ms == left_ms) {
                tracing::debug!(%room, "gave up the longest idle log: memory.bytes_max is reached");
            }
        }
    }

    /// Forgets an unwatched log, if it is as the caller thinks.
    fn forget_if(&self, room: &str, goes: impl FnOnce(&mut LogState) -> bool) -> bool {
        let mut logs = self.rooms.lock();
        let Some(log) = logs.get(room).cloned() else { return false };
        let mut state = log.state.lock();
        if state.feed.is_some() || !goes(&mut state) {
            return false;
        }
        self.budget.give(LOG_BYTES + state.bytes + state.keys_counted * Keys::BYTES);
        logs.remove(room);
        if logs.len() < logs.capacity() / 4 {
            logs.shrink_to_fit();
        }
        true
    }
}

impl Engine for Memory {
    fn watch(
        &self,
        now: Now,
        room: &RoomName,
        rule: &Arc<RoomRule>,
        make_feed: &mut dyn FnMut(u64) -> Arc<Feed>,
    ) -> Result<Arc<dyn Log>, EngineError> {
        self.0.make_room();
        loop {
            let log = self.0.open(room, rule);
            let mut state = log.state.lock();
            state.age(now, &log.rule, &log.budget);
            state.feed = Some(make_feed(state.head));
            drop(state);
            // Between the look-up and the lock it may have been forgotten.
            if self.0.rooms.lock().get(room).is_some_and(|known| Arc::ptr_eq(known, &log)) {
                return Ok(log);
            }
        }
    }

    fn unwatch(&self, now: Now, room: &RoomName) {
        let Some(log) = self.0.rooms.lock().get(room).cloned() else { return };
        {
            let mut state = log.state.lock();
            (state.feed, state.left_ms) = (None, now.ms);
        }
        if !self.0.forget_if(room, |log| log.is_empty()) {
            self.0.idle.lock().push_back((now.ms, room.clone()));
        }
    }

    fn tick(&self, now: Now) {
        let rounds = self.0.idle.lock().len().min(LOGS_PER_TICK);
        for _ in 0..rounds {
            let Some((left_ms, room)) = self.0.idle.lock().pop_front() else { return };
            let Some(log) = self.0.rooms.lock().get(&room).cloned() else { continue };
            let idle = {
                let mut state = log.state.lock();
                state.age(now, &log.rule, &log.budget);
                state.feed.is_none() && state.left_ms == left_ms
            };
            if idle && !self.0.forget_if(&room, |log| log.is_empty()) {
                self.0.idle.lock().push_back((left_ms, room));
            }
        }
    }

    fn memory_bytes(&self) -> usize {
        self.0.budget.bytes.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.0.budget.is_spent()
    }
}

/// One room's log.
#[derive(Debug)]
struct MemoryLog {
    epoch: Epoch,
    rule: Arc<RoomRule>,
    budget: Arc<Budget>,
    home: Weak<Logs>,
    state: Mutex<LogState>,
}

#[derive(Debug, Default)]
struct LogState {
    /// Messages `head - len + 1 ..= head`, without a hole.
    entries: VecDeque<Arc<Frame>>,
    bytes: usize,
    head: u64,
    keys: Keys,
    /// Keys that the budget knows of.
    keys_counted: usize,
    /// Where deliveries go while the room is watched.
    feed: Option<Arc<Feed>>,
    /// When the room was watched last, in milliseconds.
    left_ms: u64,
}

impl LogState {
    fn floor(&self) -> u64 {
        self.head - self.entries.len() as u64
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.keys.is_empty()
    }

    /// Appends within what the room, and all rooms together, may keep.
    fn push(&mut self, frame: Arc<Frame>, rule: &RoomRule, budget: &Budget) {
        self.bytes += frame.memory_bytes();
        budget.take(frame.memory_bytes());
        self.entries.push_back(frame);
        while self.entries.len() > rule.history.messages_max || self.bytes > rule.history.bytes_max {
            self.pop(budget);
        }
        if budget.is_spent() {
            self.pop(budget);
        }
    }

    fn pop(&mut self, budget: &Budget) {
        if let Some(frame) = self.entries.pop_front() {
            self.bytes -= frame.memory_bytes();
            budget.give(frame.memory_bytes());
        }
    }

    /// Lets go of what is too old. Ages are of the wall clock, as timestamps are: they bound what is kept,
    /// they order nothing.
    fn age(&mut self, now: Now, rule: &RoomRule, budget: &Budget) {
        let age_max_ms = rule.history.age_max.as_millis() as u64;
        let old = |frame: &Arc<Frame>| frame.timestamp().0.saturating_add(age_max_ms) <= now.wall.0;
        while self.entries.front().is_some_and(old) {
            self.pop(budget);
        }
        self.keys.forget(now.ms, budget.keys);
        self.count_keys(budget);
    }

    fn count_keys(&mut self, budget: &Budget) {
        let counted = std::mem::replace(&mut self.keys_counted, self.keys.len());
        // Once, whichever way it goes: all rooms count here.
        budget.take(self.keys_counted.wrapping_sub(counted).wrapping_mul(Keys::BYTES));
    }
}

impl Log for MemoryLog {
    fn append(&self, now: Now, draft: Draft, key: Option<Key>) -> Ticket<Result<Delivered, AppendError>> {
        if self.budget.is_spent()
            && let Some(home) = self.home.upgrade()
        {
            home.make_room();
        }
        let mut state = self.state.lock();
        let seen = key.map_or(Seen::Never, |key| state.keys.look(now.ms, key, self.budget.keys));
        if seen == Seen::Differently {
            return Ticket::Now(Err(AppendError::Conflict));
        }
        if let Some(delivered) = seen.delivered(&self.epoch) {
            return Ticket::Now(Ok(delivered));
        }
        if self.budget.is_spent() && state.entries.is_empty() {
            let message = "the server's memory for messages is full (memory.bytes_max); try again later";
            return Ticket::Now(Err(AppendError::Unavailable(message.into())));
        }
        let (prev, timestamp) = (state.head, draft.timestamp());
        let seq = prev + 1;
        let frame = draft.seal(seq, prev);
        if let Some(key) = key {
            state.keys.remember(now.ms, key, (seq, timestamp), self.budget.keys);
            state.count_keys(&self.budget);
        }
        state.head = seq;
        state.push(frame.clone(), &self.rule, &self.budget);
        if let Some(feed) = &state.feed {
            feed.push(frame, Audience::All);
        }
        let position = Some((self.epoch.clone(), seq));
        Ticket::Now(Ok(Delivered { position, timestamp, duplicate: false }))
    }

    fn bounds(&self) -> Bounds {
        let state = self.state.lock();
        Bounds { epoch: self.epoch.clone(), floor: state.floor(), head: state.head }
    }

    fn read(&self, range: Range, page: Page) -> Result<Batch, ReadError> {
        let state = self.state.lock();
        let len = state.entries.len();
        let mut bytes = 0;
        let mut fits = |frame: &Arc<Frame>| {
            let first = bytes == 0;
            bytes += frame.json().len();
            first || bytes <= page.bytes_max
        };
        match range {
            Range::After(seq) if seq < state.floor() => Err(Reset::TooOld.into()),
            Range::After(seq) => {
                let first = ((seq - state.floor()) as usize).min(len);
                let newer = state.entries.range(first..).take(page.messages_max);
                let frames: Vec<_> = newer.take_while(|frame| fits(frame)).cloned().collect();
                let complete = first + frames.len() == len;
                Ok(Batch { frames, complete })
            }
            Range::Before(seq) => {
                let end = (seq.saturating_sub(1).saturating_sub(state.floor()) as usize).min(len);
                let older = state.entries.range(..end).rev().take(page.messages_max);
                let mut frames: Vec<_> = older.take_while(|frame| fits(frame)).cloned().collect();
                frames.reverse();
                let complete = frames.len() == end;
                Ok(Batch { frames, complete })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;

    #[test]
    fn conforms() {
        conformance::check(&|| Box::new(Memory::new(64 * 1024 * 1024, KeyLimits::default())));
    }
}
