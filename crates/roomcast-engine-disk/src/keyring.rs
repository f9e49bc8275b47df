//! Idempotency keys of all rooms: in memory by room, on disk one row per commit, written with the messages they
//! are of.

use std::collections::HashMap;

use roomcast_hub::{Key, KeyLimits, Keys, Seen};
use roomcast_protocol::Timestamp;
use roomcast_session::Now;
use rusqlite::{Connection, params};

/// A run's clock begins here, in milliseconds: well above zero, so that keys from before have a place below.
const BEGIN_MS: u64 = 2 * 24 * 3600 * 1000;
/// Room, key, seq, timestamp.
const ENTRY_BYTES: usize = 8 + 32 + 8 + 8;
const CRC_BYTES: usize = 4;

/// A key found at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restored {
    room: i64,
    key: Key,
    at: (u64, Timestamp),
    /// How long before the last key of the run before.
    age_ms: u64,
}

/// The keys of all rooms.
#[derive(Debug)]
pub(crate) struct Keyring {
    limits: KeyLimits,
    /// Of all rooms.
    keys_max: usize,
    rooms: HashMap<i64, Keys>,
    /// What the next commit remembers.
    entries: Vec<u8>,
    /// Rooms whose keys are in it.
    fresh: Vec<i64>,
    count: usize,
}

impl Keyring {
    /// The keys of the run before. The time between the runs doesn't count: no clock is trusted to tell it.
    pub(crate) fn new((limits, keys_max): (KeyLimits, usize), restored: Vec<Restored>) -> Self {
        let mut ring = Self {
            limits,
            keys_max,
            rooms: HashMap::new(),
            entries: Vec::new(),
            fresh: Vec::new(),
            count: 0,
        };
        for Restored { room, key, at, age_ms } in restored {
            let keys = ring.rooms.entry(room).or_default();
            keys.remember(BEGIN_MS.saturating_sub(age_ms), key, at, limits);
        }
        ring.count = ring.rooms.values().map(Keys::len).sum();
        ring
    }

    /// Keys in memory.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Whether no further key can be remembered now.
    pub(crate) fn is_full(&self) -> bool {
        self.count >= self.keys_max
    }

    pub(crate) fn look(&mut self, now: Now, room: i64, key: Key) -> Seen {
        let Some(keys) = self.rooms.get_mut(&room) else { return Seen::Never };
        let before = keys.len();
        let seen = keys.look(BEGIN_MS + now.ms, key, self.limits);
        self.count -= before - keys.len();
        seen
    }

    /// Remembers a key with the commit that is under way.
    pub(crate) fn remember(&mut self, now: Now, room: i64, key: Key, at: (u64, Timestamp)) {
        let keys = self.rooms.entry(room).or_default();
        let before = keys.len();
        keys.remember(BEGIN_MS + now.ms, key, at, self.limits);
        self.count = self.count + keys.len() - before;
        self.fresh.push(room);
        self.entries.extend_from_slice(&room.to_le_bytes());
        self.entries.extend_from_slice(&key.to_bytes());
        self.entries.extend_from_slice(&at.0.to_le_bytes());
        self.entries.extend_from_slice(&at.1.0.to_le_bytes());
    }

    /// Writes what this commit remembers.
    pub(crate) fn write(&mut self, connection: &Connection, commit: i64, now: Now) -> rusqlite::Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.entries.extend_from_slice(&crc32fast::hash(&self.entries).to_le_bytes());
        let mut insert = connection.prepare_cached("INSERT INTO idem (c, ts, keys) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![commit, now.wall.0.cast_signed(), self.entries]).map(drop)
    }

    /// The commit is done.
    pub(crate) fn keep(&mut self) {
        self.entries.clear();
        self.fresh.clear();
    }

    /// The commit was none: its keys were never used.
    pub(crate) fn take_back(&mut self) {
        for room in self.fresh.drain(..).rev() {
            if let Some(keys) = self.rooms.get_mut(&room) {
                let before = keys.len();
                keys.forget_newest();
                self.count -= before - keys.len();
            }
        }
        self.entries.clear();
    }

    /// Forgets what is over the window, in memory and, in a bounded step, on disk.
    pub(crate) fn sweep(&mut self, connection: &Connection, now: Now) -> rusqlite::Result<()> {
        self.rooms.retain(|_, keys| {
            keys.forget(BEGIN_MS + now.ms, self.limits);
            !keys.is_empty()
        });
        self.count = self.rooms.values().map(Keys::len).sum();
        let old = now.wall.0.saturating_sub(self.limits.window.as_millis() as u64);
        let sql = "DELETE FROM idem WHERE ts < ?1 AND c IN (SELECT c FROM idem ORDER BY c LIMIT 20000)";
        connection.prepare_cached(sql)?.execute([old.cast_signed()]).map(drop)
    }

    /// Reads all keys, oldest first.
    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Vec<Restored>> {
        let newest: Option<i64> = connection.query_row("SELECT max(ts) FROM idem", [], |row| row.get(0))?;
        let mut select = connection.prepare("SELECT ts, keys FROM idem ORDER BY c")?;
        let mut rows = select.query([])?;
        let mut restored = Vec::new();
        while let Some(row) = rows.next()? {
            let age_ms = newest.unwrap_or(0).saturating_sub(row.get(0)?).max(0).cast_unsigned();
            let Some(entries) = checked(row.get_ref(1)?.as_blob()?) else {
                tracing::error!(
                    "idempotency keys of one commit are damaged: their messages could be taken twice"
                );
                continue;
            };
            restored.extend(entries.as_chunks().0.iter().map(|entry| restore(entry, age_ms)));
        }
        Ok(restored)
    }
}

/// The entries of a row, if its checksum is right.
fn checked(blob: &[u8]) -> Option<&[u8]> {
    let (entries, crc) = blob.split_last_chunk::<CRC_BYTES>()?;
    (crc32fast::hash(entries).to_le_bytes() == *crc).then_some(entries)
}

fn restore(entry: &[u8; ENTRY_BYTES], age_ms: u64) -> Restored {
    fn part<const N: usize>(entry: &[u8], at: usize) -> [u8; N] {
        let mut part = [0; N];
        part.copy_from_slice(&entry[at..at + N]);
        part
    }
    Restored {
        room: i64::from_le_bytes(part(entry, 0)),
        key: Key::from_bytes(part(entry, 8)),
        at: (u64::from_le_bytes(part(entry, 40)), Timestamp(u64::from_le_bytes(part(entry, 48)))),
        age_ms,
    }
}
