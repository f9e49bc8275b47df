//! What goes with time, in bounded steps: old messages, rooms that were forgotten long enough, old keys, and the
//! pages that are free then.

use std::{collections::HashMap, time::Duration};

use roomcast_protocol::RoomName;
use roomcast_session::Now;
use rusqlite::{Connection, params};

use crate::{keyring::Keyring, logs::Logs, rows};

/// Messages that are looked at in one transaction.
const CHUNK: u32 = 2_000;
/// Transactions of one step, at most; fewer if messages wait.
const CHUNKS_PER_STEP: usize = 16;
/// How long after all was looked at it is again, in milliseconds.
const PAUSE_MS: u64 = 60_000;
/// Pages given back in one go.
const VACUUM_PAGES: u32 = 256;
/// Free pages that are let be: they will be written again.
const FREE_PAGES_MIN: i64 = 1_024;

#[derive(Debug)]
pub(crate) struct Sweep {
    epoch_kept: Duration,
    /// The last message that was looked at.
    cursor: i64,
    /// Age below which nothing goes, in milliseconds; of the sweep that is under way.
    age_min_ms: i64,
    next_ms: u64,
}

/// A message that may be old.
struct Seen {
    id: i64,
    room: i64,
    seq: u64,
    ts: i64,
    age_ms: i64,
}

impl Sweep {
    pub(crate) fn new(epoch_kept: Duration) -> Self {
        Self { epoch_kept, cursor: 0, age_min_ms: 0, next_ms: 0 }
    }

    /// Takes what is due now.
    pub(crate) fn step(
        &mut self,
        (connection, keyring): (&Connection, &mut Keyring),
        logs: &Logs,
        (now, last_id): (Now, i64),
    ) -> rusqlite::Result<()> {
        for _ in 0..CHUNKS_PER_STEP {
            if now.ms < self.next_ms || logs.inbox().is_busy() {
                break;
            }
            if !self.chunk(connection, logs, (now, last_id))? {
                keyring.sweep(connection, now)?;
                self.forget_rooms(connection, logs, now)?;
                (self.cursor, self.next_ms) = (0, now.ms + PAUSE_MS);
            }
        }
        give_back(connection, logs)
    }

    /// Looks at some messages. Answers whether there may be more that are old.
    fn chunk(
        &mut self,
        connection: &Connection,
        logs: &Logs,
        (now, last_id): (Now, i64),
    ) -> rusqlite::Result<bool> {
        if self.cursor == 0 {
            let sql = "SELECT min(age_ms) FROM room";
            self.age_min_ms = connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0))?.unwrap_or(0);
        }
        let wall = now.wall.0.cast_signed();
        let seen = look(connection, self.cursor)?;
        let Some(last) = seen.last() else { return Ok(false) };
        self.cursor = last.id;
        let more = last.ts.saturating_add(self.age_min_ms) <= wall;
        let mut floors = HashMap::new();
        // The last message of all stays: the next start compares it with what was acked.
        let old = |seen: &&Seen| seen.ts.saturating_add(seen.age_ms) <= wall && seen.id != last_id;
        for Seen { room, seq, .. } in seen.iter().filter(old) {
            floors.insert(*room, *seq);
        }
        if !floors.is_empty() {
            take(connection, logs, &floors, wall)?;
        }
        Ok(more)
    }

    fn forget_rooms(&self, connection: &Connection, logs: &Logs, now: Now) -> rusqlite::Result<()> {
        let before = now.wall.0.saturating_sub(self.epoch_kept.as_millis() as u64).cast_signed();
        let sql =
            "DELETE FROM room WHERE id IN (SELECT id FROM room WHERE touched < ?1 LIMIT ?2) RETURNING name";
        let mut delete = connection.prepare_cached(sql)?;
        loop {
            let names = delete.query_map(params![before, CHUNK], |row| row.get::<_, String>(0))?;
            let names: Vec<_> = names.collect::<Result<_, _>>()?;
            for name in &names {
                if let Some(log) = logs.get(name) {
                    log.state.lock().ledger.id = None;
                }
            }
            if names.len() < CHUNK as usize {
                return Ok(());
            }
        }
    }
}

fn look(connection: &Connection, after: i64) -> rusqlite::Result<Vec<Seen>> {
    let sql = "SELECT msg.id, msg.room, msg.seq, msg.ts, room.age_ms FROM msg JOIN room ON room.id = msg.room \
               WHERE msg.id > ?1 ORDER BY msg.id LIMIT ?2";
    let mut select = connection.prepare_cached(sql)?;
    let seen = select.query_map(params![after, CHUNK], |row| {
        let seq = row.get::<_, i64>(2)?.cast_unsigned();
        Ok(Seen { id: row.get(0)?, room: row.get(1)?, seq, ts: row.get(3)?, age_ms: row.get(4)? })
    })?;
    seen.collect()
}

/// Takes messages up to these floors, of several rooms at once.
fn take(connection: &Connection, logs: &Logs, floors: &HashMap<i64, u64>, wall: i64) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let mut taken = Vec::with_capacity(floors.len());
    for (room, floor) in floors {
        let (name, empty) = take_from(connection, *room, *floor, wall)?;
        if let Some(log) = logs.get(&name) {
            // Before rows are gone, nobody may believe that they can be read.
            log.state.lock().ledger.raise_floor(*floor);
        }
        taken.push((name, *floor, empty));
    }
    connection.execute_batch("COMMIT")?;
    for (name, floor, empty) in taken {
        // It may have been looked up meanwhile, as it was before.
        let Some(log) = logs.get(&name) else { continue };
        let ledger = &mut log.state.lock().ledger;
        ledger.raise_floor(floor);
        ledger.stored_floor = ledger.stored_floor.max(floor);
        ledger.row.empty |= empty;
    }
    Ok(())
}

/// Answers the room's name and whether it is empty now; then its row keeps the head for a while.
fn take_from(
    connection: &Connection,
    room: i64,
    floor: u64,
    wall: i64,
) -> rusqlite::Result<(RoomName, bool)> {
    let sql = "UPDATE room SET head = max(head, (SELECT max(seq) FROM msg WHERE room = ?1)) WHERE id = ?1 \
               RETURNING name";
    let name: String = connection.prepare_cached(sql)?.query_row([room], |row| row.get(0))?;
    rows::delete(connection, room, floor)?;
    let sql = "UPDATE room SET touched = ?2 WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM msg WHERE room = ?1)";
    let empty = connection.prepare_cached(sql)?.execute(params![room, wall])? > 0;
    let name = RoomName::new(&name).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })?;
    Ok((name, empty))
}

/// Gives pages back to the file system, in steps, if a quarter of the file is free.
fn give_back(connection: &Connection, logs: &Logs) -> rusqlite::Result<()> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    for _ in 0..CHUNKS_PER_STEP {
        let free = number("freelist_count")?;
        if free < FREE_PAGES_MIN || free * 4 < number("page_count")? || logs.inbox().is_busy() {
            return Ok(());
        }
        // One page goes with each step of the statement.
        let mut vacuum = connection.prepare_cached(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
    }
    Ok(())
}
