//! What goes with time, in bounded steps: old messages, rooms that were forgotten long enough, old keys, and the
//! pages that are free then.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use roomcast_protocol::RoomName;
use roomcast_session::Now;
use rusqlite::{Connection, params};

use crate::{keyring::Keyring, logs::Logs, rows};

/// Rows that are looked at in one transaction.
const CHUNK: u32 = 2_000;
/// Transactions of one step, at most; one if messages wait.
const CHUNKS_PER_STEP: usize = 16;
/// How long after all was looked at it is again, in milliseconds.
const PAUSE_MS: u64 = 60_000;
/// Pages given back in one go.
const VACUUM_PAGES: u32 = 256;
/// Free pages that are let be: they will be written again.
const FREE_PAGES_MIN: i64 = 1_024;

/// Goes round and round: messages, then keys, then rooms, then a pause.
#[derive(Debug)]
pub(crate) struct Sweep {
    epoch_kept: Duration,
    stage: Stage,
    /// Of the rooms with each age, in milliseconds: the message up to which all that was old is gone.
    done: BTreeMap<i64, i64>,
    /// Messages that were appended since the last step.
    appended: u64,
}

#[derive(Debug)]
enum Stage {
    /// Nothing to do until then, in milliseconds.
    Pause(u64),
    /// The ages that are still to be looked at.
    Messages(Vec<i64>),
    Keys,
    Rooms,
}

/// What old messages a look has found.
#[derive(Debug, Default)]
struct Old {
    /// Up to where, for each room.
    floors: HashMap<i64, u64>,
    /// The last message that was looked at and doesn't stop those behind it.
    last: Option<i64>,
    /// Whether there may be more.
    more: bool,
}

impl Sweep {
    pub(crate) fn new(epoch_kept: Duration) -> Self {
        Self { epoch_kept, stage: Stage::Pause(0), done: BTreeMap::new(), appended: 0 }
    }

    /// Some rooms have another age from now on: what was looked at for it may have been theirs.
    pub(crate) fn ages_changed(&mut self) {
        self.done.clear();
    }

    /// Messages are appended. Answers whether it is time for a step between them: what goes has to keep up with what
    /// comes, however busy the disk is.
    pub(crate) fn appended(&mut self, count: u64) -> bool {
        self.appended += count;
        self.appended >= u64::from(CHUNK / 2)
    }

    /// Takes what is due now.
    pub(crate) fn step(
        &mut self,
        (connection, keyring): (&Connection, &mut Keyring),
        logs: &Logs,
        now: Now,
    ) -> rusqlite::Result<()> {
        self.appended = 0;
        for _ in 0..CHUNKS_PER_STEP {
            if !self.chunk((connection, &mut *keyring), logs, now)? || logs.inbox().is_busy() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// One transaction's worth of it. Answers whether there is more to do.
    fn chunk(
        &mut self,
        (connection, keyring): (&Connection, &mut Keyring),
        logs: &Logs,
        now: Now,
    ) -> rusqlite::Result<bool> {
        self.stage = match &mut self.stage {
            Stage::Pause(until_ms) if now.ms < *until_ms => return Ok(false),
            Stage::Pause(_) => Stage::Messages(ages(connection)?),
            Stage::Messages(ages) => match ages.last().copied() {
                None => Stage::Keys,
                Some(age_ms) => {
                    if !take_old(connection, logs, (self.done.entry(age_ms).or_default(), age_ms), now)? {
                        ages.pop();
                    }
                    return Ok(true);
                }
            },
            Stage::Keys => {
                keyring.forget(now);
                if keyring.sweep(connection, now)? { Stage::Keys } else { Stage::Rooms }
            }
            Stage::Rooms => {
                let empty_since_ms = now.wall.0.saturating_sub(self.epoch_kept.as_millis() as u64);
                let more = forget_rooms(connection, logs, empty_since_ms)?;
                if more { Stage::Rooms } else { Stage::Pause(now.ms + PAUSE_MS) }
            }
        };
        Ok(true)
    }
}

/// The ages at which messages of some room go, in milliseconds.
fn ages(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let mut select = connection.prepare_cached("SELECT DISTINCT age_ms FROM room")?;
    select.query_map([], |row| row.get(0))?.collect()
}

/// Takes some old messages of the rooms with an age. Answers whether there may be more.
fn take_old(
    connection: &Connection,
    logs: &Logs,
    (done, age_ms): (&mut i64, i64),
    now: Now,
) -> rusqlite::Result<bool> {
    let wall = now.wall.0.cast_signed();
    let old = look(connection, (*done, age_ms), wall)?;
    if !old.floors.is_empty() {
        take(connection, logs, &old.floors, wall)?;
    }
    *done = old.last.unwrap_or(*done);
    Ok(old.more)
}

fn look(connection: &Connection, (after, age_ms): (i64, i64), wall: i64) -> rusqlite::Result<Old> {
    // The last message of all stays: the next start compares it with what was acked.
    let sql = "SELECT msg.id, msg.room, msg.seq, msg.ts, room.age_ms FROM msg JOIN room ON room.id = msg.room \
               WHERE msg.id > ?1 AND msg.id < (SELECT max(id) FROM msg) ORDER BY msg.id LIMIT ?2";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params![after, CHUNK])?;
    let (mut old, mut count) = (Old::default(), 0);
    while let Some(row) = rows.next()? {
        let age = wall.saturating_sub(row.get(3)?);
        // What is younger than nothing was written by a clock that was ahead: it stops nothing, and goes with what
        // comes after it in its room.
        if (0..age_ms).contains(&age) {
            return Ok(old);
        }
        if age >= age_ms && row.get::<_, i64>(4)? == age_ms {
            old.floors.insert(row.get(1)?, row.get::<_, i64>(2)?.cast_unsigned());
        }
        (old.last, count) = (Some(row.get(0)?), count + 1);
    }
    old.more = count == CHUNK;
    Ok(old)
}

/// Forgets rooms that have been empty since a moment or longer. Answers whether there may be more.
fn forget_rooms(connection: &Connection, logs: &Logs, empty_since_ms: u64) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM room WHERE id IN (SELECT id FROM room WHERE touched < ?1 LIMIT ?2) RETURNING name";
    let mut delete = connection.prepare_cached(sql)?;
    let names =
        delete.query_map(params![empty_since_ms.cast_signed(), CHUNK], |row| row.get::<_, String>(0))?;
    let names: Vec<_> = names.collect::<Result<_, _>>()?;
    for name in &names {
        if let Some(log) = logs.get(name) {
            log.state.lock().ledger.id = None;
        }
    }
    Ok(names.len() == CHUNK as usize)
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
pub(crate) fn give_back(connection: &Connection, logs: &Logs) -> rusqlite::Result<()> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    for _ in 0..CHUNKS_PER_STEP {
        let free = number("freelist_count")?;
        if free < FREE_PAGES_MIN || free * 4 < number("page_count")? {
            return Ok(());
        }
        // One page goes with each step of the statement.
        let mut vacuum = connection.prepare_cached(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
        if logs.inbox().is_busy() {
            return Ok(());
        }
    }
    Ok(())
}
