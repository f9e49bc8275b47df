//! Idempotency keys of all rooms: in memory by room, on disk one row per commit, written with the messages they
//! are of.

use std::collections::HashMap;

use roomcast_hub::{Key, KeyLimits, Keys, Seen};
use roomcast_protocol::Timestamp;
use roomcast_session::Now;
use rusqlite::{Connection, params};

/// Commits whose keys leave the disk in one go.
const CHUNK: u32 = 2_000;
/// Room, key, seq, timestamp.
const ENTRY_BYTES: usize = 8 + 32 + 8 + 8;
const CRC_BYTES: usize = 4;

/// A key found at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restored {
    room: i64,
    key: Key,
    at: (u64, Timestamp),
    /// When it was used, by the store's clock.
    used_ms: u64,
}

/// The keys of all rooms.
///
/// They are as old as the store has been open since their use: its clock goes on with each run where the last key of
/// the run before was used, so that no clock on a wall has to be believed.
#[derive(Debug)]
pub(crate) struct Keyring {
    limits: KeyLimits,
    /// Of all rooms.
    keys_max: usize,
    /// What the store's clock said when this run began.
    begin_ms: u64,
    rooms: HashMap<i64, Keys>,
    /// What the next commit remembers.
    entries: Vec<u8>,
    /// Rooms whose keys are in it.
    fresh: Vec<i64>,
    count: usize,
}

impl Keyring {
    /// The keys of the runs before, oldest first.
    pub(crate) fn new((limits, keys_max): (KeyLimits, usize), restored: Vec<Restored>) -> Self {
        let mut ring = Self {
            limits,
            keys_max,
            begin_ms: restored.iter().map(|key| key.used_ms).max().unwrap_or(0),
            rooms: HashMap::new(),
            entries: Vec::new(),
            fresh: Vec::new(),
            count: 0,
        };
        let old_ms = ring.old_ms(ring.begin_ms);
        for Restored { room, key, at, used_ms } in restored {
            // Not those that are over the window: since then their ids may have been used again.
            if used_ms.cast_signed() > old_ms {
                ring.rooms.entry(room).or_default().remember(used_ms, key, at, limits);
            }
        }
        ring.count = ring.rooms.values().map(Keys::len).sum();
        ring
    }

    fn clock_ms(&self, now: Now) -> u64 {
        self.begin_ms.saturating_add(now.ms)
    }

    /// What was used then or before is over the window.
    fn old_ms(&self, now_ms: u64) -> i64 {
        now_ms.cast_signed().saturating_sub_unsigned(self.limits.window.as_millis() as u64)
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
        let now_ms = self.clock_ms(now);
        let Some(keys) = self.rooms.get_mut(&room) else { return Seen::Never };
        let before = keys.len();
        let seen = keys.look(now_ms, key, self.limits);
        self.count -= before - keys.len();
        seen
    }

    /// Remembers a key with the commit that is under way.
    pub(crate) fn remember(&mut self, now: Now, room: i64, key: Key, at: (u64, Timestamp)) {
        let used_ms = self.clock_ms(now);
        let keys = self.rooms.entry(room).or_default();
        let before = keys.len();
        keys.remember(used_ms, key, at, self.limits);
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
        insert.execute(params![commit, self.clock_ms(now).cast_signed(), self.entries]).map(drop)
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

    /// Forgets what is over the window in memory.
    pub(crate) fn forget(&mut self, now: Now) {
        let now_ms = self.clock_ms(now);
        self.rooms.retain(|_, keys| {
            keys.forget(now_ms, self.limits);
            !keys.is_empty()
        });
        self.count = self.rooms.values().map(Keys::len).sum();
    }

    /// Takes what is over the window off the disk, in a bounded step. Answers whether there may be more.
    pub(crate) fn sweep(&self, connection: &Connection, now: Now) -> rusqlite::Result<bool> {
        let sql = "DELETE FROM idem WHERE ts <= ?1 AND c IN (SELECT c FROM idem ORDER BY c LIMIT ?2)";
        let old_ms = self.old_ms(self.clock_ms(now));
        Ok(connection.prepare_cached(sql)?.execute(params![old_ms, CHUNK])? == CHUNK as usize)
    }

    /// Reads all keys, oldest first.
    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Vec<Restored>> {
        let mut select = connection.prepare("SELECT ts, keys FROM idem ORDER BY c")?;
        let mut rows = select.query([])?;
        let mut restored = Vec::new();
        while let Some(row) = rows.next()? {
            let used_ms = row.get::<_, i64>(0)?.max(0).cast_unsigned();
            let Some(entries) = checked(row.get_ref(1)?.as_blob()?) else {
                tracing::error!(
                    "idempotency keys of one commit are damaged: their messages could be taken twice"
                );
                continue;
            };
            restored.extend(entries.as_chunks().0.iter().map(|entry| restore(entry, used_ms)));
        }
        Ok(restored)
    }
}

/// The entries of a row, if its checksum is right.
fn checked(blob: &[u8]) -> Option<&[u8]> {
    let (entries, crc) = blob.split_last_chunk::<CRC_BYTES>()?;
    (crc32fast::hash(entries).to_le_bytes() == *crc).then_some(entries)
}

fn restore(entry: &[u8; ENTRY_BYTES], used_ms: u64) -> Restored {
    fn part<const N: usize>(entry: &[u8], at: usize) -> [u8; N] {
        let mut part = [0; N];
        part.copy_from_slice(&entry[at..at + N]);
        part
    }
    Restored {
        room: i64::from_le_bytes(part(entry, 0)),
        key: Key::from_bytes(part(entry, 8)),
        at: (u64::from_le_bytes(part(entry, 40)), Timestamp(u64::from_le_bytes(part(entry, 48)))),
        used_ms,
    }
}
