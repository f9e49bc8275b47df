//! Idempotency: which ids were used for what, for five minutes or the room's last 100,000 keys. Pure; the
//! engine that owns the log owns the keys, and asks within the append.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hasher,
};

use roomcast_protocol::{Timestamp, server};
use siphasher::sip128::{Hasher128, SipHasher13};

/// How long a key is remembered, in milliseconds.
const WINDOW_MS: u64 = 5 * 60 * 1000;
/// Keys remembered for one room, at most.
const KEYS_MAX: usize = 100_000;

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
    entries: HashMap<u128, Entry>,
    /// When each was used, oldest first.
    order: VecDeque<(u64, u128)>,
}

impl Keys {
    /// Bytes that one key takes, for whoever accounts for memory.
    pub const BYTES: usize = 96;

    /// Whether the key was used within the window.
    pub fn look(&mut self, now_ms: u64, key: Key) -> Seen {
        self.forget(now_ms);
        match self.entries.get(&key.name) {
            None => Seen::Never,
            Some(entry) if entry.content == key.content => Seen::At(entry.seq, entry.timestamp),
            Some(_) => Seen::Differently,
        }
    }

    /// Remembers a key that was never seen.
    pub fn remember(&mut self, now_ms: u64, key: Key, at: (u64, Timestamp)) {
        if self.order.len() >= KEYS_MAX {
            self.forget_oldest();
        }
        self.entries.insert(key.name, Entry { content: key.content, seq: at.0, timestamp: at.1 });
        self.order.push_back((now_ms, key.name));
    }

    /// Forgets what is over the window.
    pub fn forget(&mut self, now_ms: u64) {
        while self.order.front().is_some_and(|(used_ms, _)| used_ms + WINDOW_MS <= now_ms) {
            self.forget_oldest();
        }
        if self.order.is_empty() && self.entries.capacity() > 0 {
            *self = Self::default();
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

    #[test]
    fn a_repeat_is_known_for_five_minutes() {
        let mut keys = Keys::default();
        let key = |content| Key::new(("ada", "m1"), ("text", content));
        assert_eq!(keys.look(0, key("{}")), Seen::Never);
        keys.remember(0, key("{}"), (7, Timestamp(1)));
        assert_eq!(keys.look(WINDOW_MS - 1, key("{}")), Seen::At(7, Timestamp(1)));
        assert_eq!(keys.look(WINDOW_MS - 1, key("{ }")), Seen::Differently);
        assert_eq!(keys.look(0, Key::new(("ada", "m2"), ("text", "{}"))), Seen::Never);
        assert_eq!(keys.look(0, Key::new(("adam", "1"), ("text", "{}"))), Seen::Never);
        assert_eq!(keys.look(WINDOW_MS, key("{}")), Seen::Never);
        assert!(keys.is_empty());
    }

    #[test]
    fn bounded() {
        let mut keys = Keys::default();
        for i in 0..=KEYS_MAX {
            keys.remember(0, Key::new(("ada", &i.to_string()), ("text", "")), (i as u64, Timestamp(0)));
        }
        assert_eq!(keys.len(), KEYS_MAX);
        assert_eq!(keys.look(0, Key::new(("ada", "0"), ("text", ""))), Seen::Never);
    }
}
