//! The engine without a disk: each room's log is a ring of frames in this process. Epochs are minted with the
//! log and forgotten with it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque, hash_map::Entry},
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
    /// Unwatched logs, by when they were left: the first goes first.
    idle: Mutex<BTreeSet<(u64, RoomName)>>,
    round: Mutex<Round>,
    budget: Arc<Budget>,
    /// Names this process in the epochs it mints.
    nonce: u64,
    numbers: AtomicU64,
}

/// All logs by their number, and from which on they are looked at for age next.
#[derive(Debug, Default)]
struct Round {
    logs: BTreeMap<u64, RoomName>,
    from: u64,
}

impl Round {
    /// The next of them.
    fn next(&mut self) -> Vec<RoomName> {
        let next: Vec<_> = self.logs.range(self.from..).take(LOGS_PER_TICK).collect();
        let is_over = next.len() < LOGS_PER_TICK;
        self.from = next.last().filter(|_| !is_over).map_or(0, |(number, _)| *number + 1);
        next.into_iter().map(|(_, room)| room.clone()).collect()
    }
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
            round: Mutex::default(),
            budget: Arc::new(Budget { bytes: AtomicUsize::new(0), bytes_max, keys }),
            nonce: u64::from_le_bytes(nonce),
            numbers: AtomicU64::new(0),
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
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let epoch =
            Epoch::new(&format!("{:016x}-{number:x}", self.nonce)).expect("hexadecimal digits make an epoch");
        let log = Arc::new(MemoryLog {
            number,
            epoch,
            rule: rule.clone(),
            budget: self.budget.clone(),
            home: Arc::downgrade(self),
            state: Mutex::default(),
        });
        self.round.lock().logs.insert(number, room.clone());
        vacant.insert(log).clone()
    }

    /// Gives up the longest idle logs until there is room again.
    fn make_room(&self) {
        for _ in 0..EVICTIONS_MAX {
            if !self.budget.is_spent() {
                return;
            }
            let Some((left_ms, room)) = self.idle.lock().pop_first() else { return };
            if self.forget_if(&room, |log| log.left_ms == left_ms) {
                tracing::debug!(%room, "gave up the longest idle log: memory.bytes_max is reached");
            }
        }
    }

    /// Forgets an unwatched log, if it is as the caller thinks.
    fn forget_if(&self, room: &RoomName, goes: impl FnOnce(&mut LogState) -> bool) -> bool {
        let mut logs = self.rooms.lock();
        let Some(log) = logs.get(room).cloned() else { return false };
        let mut state = log.state.lock();
        if state.feed.is_some() || !goes(&mut state) {
            return false;
        }
        self.budget.give(LOG_BYTES + state.bytes + state.keys_counted * Keys::BYTES);
        self.idle.lock().remove(&(state.left_ms, room.clone()));
        self.round.lock().logs.remove(&log.number);
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
            self.0.idle.lock().remove(&(state.left_ms, room.clone()));
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
            self.0.idle.lock().insert((now.ms, room.clone()));
        }
    }

    fn tick(&self, now: Now) {
        let next = self.0.round.lock().next();
        for room in next {
            let Some(log) = self.0.rooms.lock().get(&room).cloned() else { continue };
            log.state.lock().age(now, &log.rule, &log.budget);
            self.0.forget_if(&room, |log| log.is_empty());
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
    /// Which log of this engine.
    number: u64,
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

    /// Appends within what the room, and all rooms together, may keep: when these hold too much, the room gives up as
    /// much of its own as it takes.
    fn push(&mut self, frame: Arc<Frame>, rule: &RoomRule, budget: &Budget) {
        self.bytes += frame.memory_bytes();
        budget.take(frame.memory_bytes());
        self.entries.push_back(frame);
        while self.entries.len() > rule.history.messages_max || self.bytes > rule.history.bytes_max {
            self.pop(budget);
        }
        while budget.is_spent() && self.entries.len() > 1 {
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
    use roomcast_protocol::{Pattern, Timestamp};

    use super::super::conformance::{self, watched};
    use super::*;

    fn at(ms: u64) -> Now {
        Now { ms, wall: Timestamp(ms) }
    }

    /// The log of a room to which a message of so many bytes was said.
    fn said(memory: &Memory, room: &str, bytes: usize) -> Arc<dyn Log> {
        let (room, mut rule) = (RoomName::new(room).unwrap(), RoomRule::new(Pattern::new("*").unwrap()));
        rule.history.bytes_max = usize::MAX;
        let log = watched(memory, &room, rule, at(0)).unwrap();
        say(&*log, bytes);
        log
    }

    fn say(log: &dyn Log, bytes: usize) {
        let draft = Draft::new(("text", None, "r"), at(0).wall, |out| out.resize(out.len() + bytes, b'x'));
        drop(log.append(at(0), draft, None));
    }

    #[test]
    fn the_longest_idle_log_goes_first_however_many_there_are() {
        let rooms = LOGS_PER_TICK + 10;
        let memory = Memory::new(rooms * 8 * 1024, KeyLimits::default());
        for i in 0..rooms {
            let room = format!("r{i}");
            said(&memory, &room, 100);
            memory.unwatch(at(i as u64), &RoomName::new(&room).unwrap());
        }
        memory.tick(at(rooms as u64));
        said(&memory, "large", memory.0.budget.bytes_max - memory.memory_bytes());
        said(&memory, "last", 1);
        let left = |room: &str| memory.0.rooms.lock().contains_key(room);
        assert!(!left("r0") && left(&format!("r{}", rooms - 1)), "the first to be left is the first to go");
    }

    #[test]
    fn age_takes_messages_of_rooms_that_are_read() {
        let memory = Memory::default();
        let log = said(&memory, "r", 100);
        let day_ms = 24 * 3600 * 1000;
        memory.tick(at(day_ms - 1));
        assert_eq!(log.bounds().floor, 0);
        memory.tick(at(day_ms));
        assert_eq!(log.bounds().floor, 1, "its readers stay, its messages don't");
    }

    #[test]
    fn what_is_large_takes_the_place_of_as_much_that_is_small() {
        let memory = Memory::new(64 * 1024, KeyLimits::default());
        let log = said(&memory, "r", 100);
        (0..100).for_each(|_| say(&*log, 100));
        (0..100).for_each(|_| say(&*log, 10_000));
        assert!(memory.memory_bytes() < 80 * 1024, "{} bytes are held", memory.memory_bytes());
    }

    #[test]
    fn conforms() {
        conformance::check(&|| Box::new(Memory::new(64 * 1024 * 1024, KeyLimits::default())));
    }
}
