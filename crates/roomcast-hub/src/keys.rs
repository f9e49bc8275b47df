//! Idempotency: which ids were used for what, for as long and as many as [`KeyLimits`] say. Pure; the engine
//! that owns the log owns the keys, and asks within the append.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hasher,
    time::Duration,
};

use foldhash::fast::RandomState;
use roomcast_protocol::{Timestamp, server};
use siphasher::sip128::{Hasher128, SipHasher13};

/// How long, and how many, keys are remembered for one room: whichever is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// How long after its use.
    pub window: Duration,
    /// How many.
    pub keys_max: usize,
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self { window: Duration::from_secs(300), keys_max: 100_000 }
    }
}

/// A publisher's id for a message, and what the message was: 128-bit hashes of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    name: u128,
    content: u128,
}

impl Key {
    /// The key of a message: publisher and id name it, type and `data` as sent are its content.
    pub fn new((publisher, id): (&str, &str), (kind, data): (&str, &str)) -> Self {
        Self { name: hash(publisher, id), content: hash(kind, data) }
    }

    /// The key as an engine keeps it.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.name.to_le_bytes());
        bytes[16..].copy_from_slice(&self.content.to_le_bytes());
        bytes
    }

    /// The key that an engine kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let half = |at: usize| {
            let mut half = [0; 16];
            half.copy_from_slice(&bytes[at..at + 16]);
            u128::from_le_bytes(half)
        };
        Self { name: half(0), content: half(16) }
    }
}

/// Hashes two strings so that no other pair reads the same.
fn hash(first: &str, second: &str) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write_u64(first.len() as u64);
    hasher.write(first.as_bytes());
    hasher.write(second.as_bytes());
    hasher.finish128().as_u128()
}

/// What a key says of a message that wants to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing; append it.
    Never,
    /// It stands there already.
    At(u64, Timestamp),
    /// The id was used for something else.
    Differently,
}

#[derive(Debug)]
struct Entry {
    content: u128,
    seq: u64,
    timestamp: Timestamp,
}

/// The keys of one room.
#[derive(Debug, Default)]
pub struct Keys {
    /// The names are hashes, but of no secret: others can look for some that meet.
    entries: HashMap<u128, Entry, RandomState>,
    /// When each was used, oldest first.
    order: VecDeque<(u64, u128)>,
}

impl Keys {
    /// Bytes that one key takes, for whoever accounts for memory.
    pub const BYTES: usize = 96;

    /// Whether the key was used within the window.
    pub fn look(&mut self, now_ms: u64, key: Key, limits: KeyLimits) -> Seen {
        self.forget(now_ms, limits);
        match self.entries.get(&key.name) {
            None => Seen::Never,
            Some(entry) if entry.content == key.content => Seen::At(entry.seq, entry.timestamp),
            Some(_) => Seen::Differently,
        }
    }

    /// Remembers a key that was never seen.
    pub fn remember(&mut self, now_ms: u64, key: Key, at: (u64, Timestamp), limits: KeyLimits) {
        if self.order.len() >= limits.keys_max.max(1) {
            self.forget_oldest();
        }
        self.entries.insert(key.name, Entry { content: key.content, seq: at.0, timestamp: at.1 });
        self.order.push_back((now_ms, key.name));
    }

    /// Forgets what is over the window.
    pub fn forget(&mut self, now_ms: u64, limits: KeyLimits) {
        let window_ms = limits.window.as_millis() as u64;
        while self.order.front().is_some_and(|(used_ms, _)| used_ms + window_ms <= now_ms) {
            self.forget_oldest();
        }
        if self.order.is_empty() && self.entries.capacity() > 0 {
            *self = Self::default();
        }
    }

    /// Forgets the key remembered last: its message was not kept after all.
    pub fn forget_newest(&mut self) {
        if let Some((_, name)) = self.order.pop_back() {
            self.entries.remove(&name);
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, name)) = self.order.pop_front() {
            self.entries.remove(&name);
        }
    }

    /// Keys remembered now.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

impl Seen {
    /// What a repeat is answered, if it is one.
    pub fn delivered(self, epoch: &roomcast_protocol::Epoch) -> Option<server::Delivered> {
        let Self::At(seq, timestamp) = self else { return None };
        Some(server::Delivered { position: Some((epoch.clone(), seq)), timestamp, duplicate: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, content: &str) -> Key {
        Key::new(("ada", id), ("text", content))
    }

    #[test]
    fn a_repeat_is_known_for_five_minutes() {
        let (mut keys, limits) = (Keys::default(), KeyLimits::default());
        assert_eq!(keys.look(0, key("m1", "{}"), limits), Seen::Never);
        keys.remember(0, key("m1", "{}"), (7, Timestamp(1)), limits);
        assert_eq!(keys.look(299_999, key("m1", "{}"), limits), Seen::At(7, Timestamp(1)));
        assert_eq!(keys.look(299_999, key("m1", "{ }"), limits), Seen::Differently);
        assert_eq!(keys.look(0, key("m2", "{}"), limits), Seen::Never);
        assert_eq!(keys.look(0, Key::new(("adam", "1"), ("text", "{}")), limits), Seen::Never);
        assert_eq!(keys.look(300_000, key("m1", "{}"), limits), Seen::Never);
        assert!(keys.is_empty());
    }

    #[test]
    fn bounded() {
        let (mut keys, limits) = (Keys::default(), KeyLimits { keys_max: 10, ..KeyLimits::default() });
        for i in 0..=10 {
            keys.remember(0, key(&i.to_string(), ""), (i, Timestamp(0)), limits);
        }
        assert_eq!(keys.len(), 10);
        assert_eq!(keys.look(0, key("0", ""), limits), Seen::Never);
        assert_eq!(keys.look(0, key("1", ""), limits), Seen::At(1, Timestamp(0)));
        keys.forget_newest();
        assert_eq!(keys.look(0, key("10", ""), limits), Seen::Never, "it was taken back");
        assert_eq!(Key::from_bytes(key("1", "").to_bytes()), key("1", ""));
    }
}
