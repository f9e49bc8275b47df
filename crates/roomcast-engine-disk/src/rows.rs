//! The statements on one room's rows: what a watch finds, a message in and out with its checksum, where the floor
//! is by bytes and age.

use std::sync::Arc;

use roomcast_hub::Retention;
use roomcast_protocol::{Frame, RoomName, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use crate::ledger::{Ledger, Row};

/// What a room's epoch and ledger are on disk, or nothing.
pub(crate) fn load(connection: &Connection, name: &RoomName) -> rusqlite::Result<Option<(String, Ledger)>> {
    let sql = "SELECT id, epoch, head, floor, loose, age_ms, touched IS NOT NULL FROM room WHERE name = ?1";
    let found = connection.prepare_cached(sql)?.query_row([&**name], |row| {
        let ledger = Ledger {
            id: Some(row.get(0)?),
            burned: unsigned(row, 2)?,
            floor: unsigned(row, 3)?,
            row: Row { loose: row.get(4)?, age_ms: unsigned(row, 5)?, empty: row.get(6)? },
            ..Ledger::default()
        };
        Ok((row.get(1)?, ledger))
    });
    let Some((epoch, mut ledger)) = found.optional()? else { return Ok(None) };
    let room = ledger.id.unwrap_or_default();
    let sql = "SELECT seq, total FROM msg WHERE room = ?1 ORDER BY seq DESC LIMIT 1";
    let last =
        connection.prepare_cached(sql)?.query_row([room], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)));
    // Without a message its head was the last that left; where the row says more, that was given to none.
    (ledger.head, ledger.total) = last.optional()?.unwrap_or((ledger.floor, 0));
    ledger.stored_floor = ledger.floor;
    ledger.total_at_floor = total_up_to(connection, &ledger, ledger.floor)?;
    Ok(Some((epoch, ledger)))
}

/// Up to where everything has left the disk.
pub(crate) fn floor(connection: &Connection, room: i64) -> rusqlite::Result<u64> {
    let mut select = connection.prepare_cached("SELECT floor FROM room WHERE id = ?1")?;
    select.query_row([room], |row| unsigned(row, 0)).optional().map(Option::unwrap_or_default)
}

fn unsigned(row: &SqlRow<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(index)?.cast_unsigned())
}

/// Writes a message.
pub(crate) fn insert(
    connection: &Connection,
    (id, room): (i64, i64),
    frame: &Frame,
    total: u64,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO msg (id, room, seq, ts, total, crc, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let (seq, ts) = (frame.seq().cast_signed(), frame.timestamp().0.cast_signed());
    let crc = crc(room, (seq, ts), frame.json());
    connection
        .prepare_cached(sql)?
        .execute(params![id, room, seq, ts, total.cast_signed(), crc, frame.json()])
        .map(drop)
}

/// Covers where a message stands, too: a row that turns up elsewhere is as wrong as a flipped bit.
fn crc(room: i64, (seq, ts): (i64, i64), body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for number in [room, seq, ts] {
        hasher.update(&number.to_le_bytes());
    }
    hasher.update(body);
    hasher.finalize()
}

/// A message from columns `seq, ts, crc, body`, or the seq of one that is not what was written.
pub(crate) fn message(room: i64, row: &SqlRow<'_>) -> rusqlite::Result<Result<Arc<Frame>, i64>> {
    let (seq, ts, body) = (row.get(0)?, row.get(1)?, row.get_ref(3)?.as_blob()?);
    if row.get::<_, i64>(2)? != i64::from(crc(room, (seq, ts), body)) {
        return Ok(Err(seq));
    }
    Ok(Ok(Frame::sealed(seq.cast_unsigned(), Timestamp(ts.cast_unsigned()), body)))
}

/// The seq before a message, as the message itself says. Its data comes after that, and may say anything.
pub(crate) fn prev(frame: &Frame) -> u64 {
    let seq = format!(",\"seq\":{}", frame.seq());
    let json = frame.json();
    let told = memchr::memmem::find(json, seq.as_bytes())
        .and_then(|at| json[at + seq.len()..].strip_prefix(b",\"prev\":"));
    let Some(told) = told else { return frame.seq().saturating_sub(1) };
    let digits = told.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_u64, |number, digit| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
}

/// Bytes of all messages of a room up to a seq.
fn total_up_to(connection: &Connection, ledger: &Ledger, seq: u64) -> rusqlite::Result<u64> {
    let sql = "SELECT total - length(body) FROM msg WHERE room = ?1 AND seq > ?2 ORDER BY seq LIMIT 1";
    let found = connection
        .prepare_cached(sql)?
        .query_row(params![ledger.id, seq.cast_signed()], |row| unsigned(row, 0))
        .optional()?;
    Ok(found.unwrap_or(ledger.total))
}

fn timestamp_after(connection: &Connection, ledger: &Ledger, seq: u64) -> rusqlite::Result<u64> {
    let sql = "SELECT ts FROM msg WHERE room = ?1 AND seq > ?2 ORDER BY seq LIMIT 1";
    let found = connection
        .prepare_cached(sql)?
        .query_row(params![ledger.id, seq.cast_signed()], |row| unsigned(row, 0))
        .optional()?;
    Ok(found.unwrap_or(u64::MAX))
}

/// Raises the floor by count and bytes. By bytes it goes a bit further than it must, so that it need not be looked
/// for with every message.
pub(crate) fn retain(
    connection: &Connection,
    history: &Retention,
    ledger: &mut Ledger,
) -> rusqlite::Result<()> {
    ledger.raise_floor(ledger.head.saturating_sub(history.messages_max as u64));
    let bytes_max = history.bytes_max as u64;
    if ledger.bytes() <= bytes_max {
        return Ok(());
    }
    ledger.total_at_floor = total_up_to(connection, ledger, ledger.floor)?;
    if ledger.bytes() > bytes_max {
        let goal = ledger.total.saturating_sub(bytes_max - bytes_max / 32);
        let floor = first(ledger, |seq| Ok(total_up_to(connection, ledger, seq)? >= goal))?;
        ledger.raise_floor(floor);
        ledger.total_at_floor = total_up_to(connection, ledger, ledger.floor)?;
    }
    Ok(())
}

/// Raises the floor by age. Ages are of the wall clock, as timestamps are: they bound what is kept, they order
/// nothing.
pub(crate) fn age(connection: &Connection, old_ms: u64, ledger: &mut Ledger) -> rusqlite::Result<()> {
    if ledger.floor < ledger.head && timestamp_after(connection, ledger, ledger.floor)? <= old_ms {
        let floor = first(ledger, |seq| Ok(timestamp_after(connection, ledger, seq)? > old_ms))?;
        ledger.raise_floor(floor);
    }
    Ok(())
}

/// The first seq from the floor on for which something holds, the head if for none before.
fn first(ledger: &Ledger, holds: impl Fn(u64) -> rusqlite::Result<bool>) -> rusqlite::Result<u64> {
    let (mut low, mut high) = (ledger.floor, ledger.head);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

/// Notes positions that are never given again though no message has them.
pub(crate) fn burn(connection: &Connection, room: i64, burned: u64) -> rusqlite::Result<()> {
    let sql = "UPDATE room SET head = max(head, ?2) WHERE id = ?1";
    connection.prepare_cached(sql)?.execute(params![room, burned.cast_signed()]).map(drop)
}

/// Takes a room's messages up to a floor off the disk.
pub(crate) fn delete(connection: &Connection, room: i64, floor: u64) -> rusqlite::Result<()> {
    let floor = floor.cast_signed();
    let sql = "DELETE FROM msg WHERE room = ?1 AND seq <= ?2";
    connection.prepare_cached(sql)?.execute(params![room, floor])?;
    let sql = "UPDATE room SET floor = max(floor, ?2) WHERE id = ?1";
    connection.prepare_cached(sql)?.execute(params![room, floor]).map(drop)
}
