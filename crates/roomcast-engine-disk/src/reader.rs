//! A stretch of a log from the disk. What is read is checked to be what was written, and to be all of it.

use std::sync::Arc;

use roomcast_hub::engine::{Batch, EngineError, Page, Range};
use roomcast_protocol::Frame;
use rusqlite::{Connection, params};

use crate::{ledger::Ledger, readers::Readers, rows};

/// What was read, before the bounds are looked at again.
#[derive(Debug)]
pub(crate) struct Stretch {
    frames: Vec<Arc<Frame>>,
    exhausted: bool,
    /// The seq of a row that is not what was written.
    damaged: Option<i64>,
    /// Of a stretch backwards: what the message after it says comes before that.
    prev_above: Option<u64>,
}

const AFTER: &str =
    "SELECT seq, ts, crc, body FROM msg WHERE room = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq";
const BEFORE: &str =
    "SELECT seq, ts, crc, body FROM msg WHERE room = ?1 AND seq > ?2 AND seq < ?3 ORDER BY seq DESC";
const ABOVE: &str = "SELECT seq, ts, crc, body FROM msg WHERE room = ?1 AND seq >= ?2 ORDER BY seq LIMIT 1";

/// Reads within the bounds of a ledger; copies, and holds nothing.
pub(crate) fn read(
    readers: &Readers,
    ledger: &Ledger,
    range: Range,
    page: Page,
) -> Result<Stretch, EngineError> {
    let clip = |seq: u64| seq.min(i64::MAX as u64).cast_signed();
    let (sql, low, high) = match range {
        Range::After(seq) => (AFTER, clip(seq), clip(ledger.head)),
        Range::Before(seq) => (BEFORE, clip(ledger.floor), clip(seq.min(ledger.head + 1))),
    };
    let (room, head) = (ledger.id.unwrap_or_default(), clip(ledger.head));
    readers.with(move |connection| {
        let mut stretch = stretch(connection, sql, (room, low, high), page)?;
        if let Range::Before(_) = range {
            stretch.frames.reverse();
            stretch.prev_above = if high <= head { prev_above(connection, (room, high))? } else { None };
        }
        Ok(stretch)
    })
}

/// Up to where the disk says that everything is gone.
pub(crate) fn floor(readers: &Readers, ledger: &Ledger) -> Result<u64, EngineError> {
    let room = ledger.id.unwrap_or_default();
    readers.with(move |connection| rows::floor(connection, room))
}

fn prev_above(connection: &Connection, (room, high): (i64, i64)) -> rusqlite::Result<Option<u64>> {
    let mut select = connection.prepare_cached(ABOVE)?;
    let mut rows = select.query([room, high])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(rows::message(room, row)?.ok().map(|frame| rows::prev(&frame)))
}

fn stretch(
    connection: &Connection,
    sql: &str,
    (room, low, high): (i64, i64, i64),
    page: Page,
) -> rusqlite::Result<Stretch> {
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params![room, low, high])?;
    let mut stretch = Stretch { frames: Vec::new(), exhausted: false, damaged: None, prev_above: None };
    let mut bytes = 0;
    while stretch.frames.len() < page.messages_max {
        let Some(row) = rows.next()? else {
            stretch.exhausted = true;
            break;
        };
        match rows::message(room, row)? {
            Ok(frame) if bytes > 0 && bytes + frame.json().len() > page.bytes_max => break,
            Ok(frame) => {
                bytes += frame.json().len();
                stretch.frames.push(frame);
            }
            Err(seq) => {
                stretch.damaged = Some(seq);
                break;
            }
        }
    }
    Ok(stretch)
}

impl Stretch {
    /// Whether the messages are all there between floor and head. The floor is what it was after the reading:
    /// retention may have taken rows meanwhile.
    pub(crate) fn check(&self, floor: u64, ledger: &Ledger, range: Range) -> Result<(), EngineError> {
        if self.frames.is_empty()
            && let Some(seq) = self.damaged
        {
            return Err(EngineError::Corrupt(format!("message {seq} is not what was written")));
        }
        let oldest_known = match range {
            Range::After(seq) => Some(seq.max(floor)),
            Range::Before(_) => self.exhausted.then_some(floor),
        };
        let newest_known = match range {
            Range::After(_) => self.exhausted.then_some(ledger.head),
            Range::Before(seq) if seq > ledger.head => Some(ledger.head),
            // If the message after it is missing, only the very next one is sure to have nothing between.
            Range::Before(seq) => Some(self.prev_above.map_or(seq - 1, |prev| prev.min(seq - 1))),
        };
        self.check_chain(floor, oldest_known, newest_known)
    }

    /// The messages, after they were checked with the same.
    pub(crate) fn into_batch(mut self, floor: u64, ledger: &Ledger, range: Range) -> Batch {
        let complete = match range {
            Range::After(seq) => self.frames.last().map_or(seq, |frame| frame.seq()) >= ledger.head,
            Range::Before(_) => self.exhausted,
        };
        self.frames.retain(|frame| frame.seq() > floor);
        Batch { frames: self.frames, complete: complete && self.damaged.is_none() }
    }

    fn check_chain(&self, floor: u64, oldest: Option<u64>, newest: Option<u64>) -> Result<(), EngineError> {
        let missing = |after: u64| {
            Err(EngineError::Corrupt(format!("the message after {after} is missing, and nothing says why")))
        };
        let mut last = oldest;
        for frame in self.frames.iter().filter(|frame| frame.seq() > floor) {
            match last {
                Some(last) if rows::prev(frame) > last => return missing(last),
                _ => last = Some(frame.seq()),
            }
        }
        match (last, newest) {
            (Some(last), Some(newest)) if last < newest => missing(last),
            _ => Ok(()),
        }
    }
}
