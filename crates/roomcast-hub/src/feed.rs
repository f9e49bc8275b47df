//! The tip of a room: what was delivered last and is on its way to readers. A reader is a [`Cursor`] into it.
//!
//! Logged frames pass through on their way from the log to the sockets; ephemeral ones exist nowhere else. The
//! feed never waits for a reader: who falls off its short tail goes on from the log.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use roomcast_protocol::Frame;
use smallvec::SmallVec;

use crate::connection::ConnectionId;

/// Bytes of frames that a feed keeps for readers that lag a little.
const TAIL_BYTES_MAX: usize = 256 * 1024;
/// Frames that a feed keeps for the same.
const TAIL_FRAMES_MAX: usize = 1024;

/// Who gets a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every reader.
    All,
    /// Those who may read the roster.
    Roster,
    /// Every reader but this connection, which sent it.
    AllBut(ConnectionId),
}

/// A frame in the feed.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) frame: Arc<Frame>,
    pub(crate) audience: Audience,
}

impl Entry {
    /// Whether it has a place in the log, and so reaches every reader whatever happens.
    pub(crate) fn is_logged(&self) -> bool {
        self.frame.seq() > 0
    }

    /// Whether it may be lost: it has no place in the log, and no version that would show a hole.
    pub(crate) fn is_ephemeral(&self) -> bool {
        !self.is_logged() && self.audience != Audience::Roster
    }
}

/// A reader's place: the index of the next entry in the feed, and the seq of the last logged message before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) index: u64,
    pub(crate) seq: u64,
}

impl Cursor {
    /// Moves on to a place that may know of no logged message.
    pub(crate) fn advance(&mut self, to: Self) {
        *self = Self { index: to.index, seq: self.seq.max(to.seq) };
    }

    /// A place in the log alone; the feed is found from it.
    pub(crate) const fn after(seq: u64) -> Self {
        Self { index: 0, seq }
    }
}

#[derive(Debug)]
struct Tail {
    entries: VecDeque<Entry>,
    /// Index of the first entry; indexes start at 1.
    base: u64,
    bytes: usize,
    /// Seq of the last logged frame delivered.
    head: u64,
    /// Seq of the last logged frame that is no longer in `entries`.
    floor: u64,
}

impl Tail {
    fn tip(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    fn drop_first(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.base += 1;
            self.bytes -= entry.frame.memory_bytes();
            self.floor = self.floor.max(entry.frame.seq());
        }
    }

    /// Where the entries begin that are due to a cursor, or `None` if some of them are gone. One that comes from
    /// the log is due what is logged above its seq, and what is ephemeral from `live_from` on.
    fn find(&self, cursor: &Cursor, live_from: u64) -> Option<usize> {
        if cursor.index >= self.base {
            return Some((cursor.index - self.base) as usize);
        }
        if cursor.seq < self.floor {
            return None;
        }
        let newer = |entry: &Entry| entry.frame.seq() > cursor.seq;
        let logged = self.entries.iter().position(newer).unwrap_or(self.entries.len());
        Some(logged.min(live_from.saturating_sub(self.base) as usize))
    }
}

/// The tip of one room.
#[derive(Debug)]
pub struct Feed {
    tail: Mutex<Tail>,
    /// The tip's index, to be looked at without the lock.
    tip: AtomicU64,
}

impl Feed {
    /// A feed that goes on from the log's head.
    pub(crate) fn new(head: u64) -> Self {
        let tail = Tail { entries: VecDeque::new(), base: 1, bytes: 0, head, floor: head };
        Self { tail: Mutex::new(tail), tip: AtomicU64::new(1) }
    }

    /// Delivers a frame. An engine calls this in the order of its log, once a message is as durable as its
    /// room asks for; whoever called the engine then drains the room.
    pub fn push(&self, frame: Arc<Frame>, audience: Audience) {
        let mut tail = self.tail.lock();
        tail.bytes += frame.memory_bytes();
        tail.head = tail.head.max(frame.seq());
        tail.entries.push_back(Entry { frame, audience });
        if tail.entries.len() > TAIL_FRAMES_MAX || tail.bytes > TAIL_BYTES_MAX {
            tail.drop_first();
        }
        self.tip.store(tail.tip(), Ordering::Release);
    }

    /// The tip's index: what a reader that has everything stands at.
    pub(crate) fn tip(&self) -> u64 {
        self.tip.load(Ordering::Acquire)
    }

    /// The place of a reader that wants only what comes from now on.
    pub(crate) fn end(&self) -> Cursor {
        let tail = self.tail.lock();
        Cursor { index: tail.tip(), seq: tail.head }
    }

    /// Whether everything from an index on is still here.
    pub(crate) fn reaches(&self, index: u64) -> bool {
        index >= self.tail.lock().base
    }

    /// The entries from a cursor on, up to about `bytes_max`; the cursor's index is put right on the way.
    /// `None`: they are no longer here, the log has them.
    pub(crate) fn since(
        &self,
        cursor: &mut Cursor,
        live_from: u64,
        bytes_max: usize,
    ) -> Option<SmallVec<[Entry; 4]>> {
        let tail = self.tail.lock();
        let first = tail.find(cursor, live_from)?;
        cursor.index = tail.base + first as u64;
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let fits = bytes < bytes_max;
            bytes += entry.frame.json().len();
            fits
        };
        Some(tail.entries.range(first..).take_while(fits).cloned().collect())
    }

    /// Forgets what lies before `index`: every reader that is not behind has it.
    pub(crate) fn forget_before(&self, index: u64) {
        let mut tail = self.tail.lock();
        while tail.base < index && !tail.entries.is_empty() {
            tail.drop_first();
        }
        if tail.entries.is_empty() && tail.entries.capacity() > 64 {
            tail.entries = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use roomcast_protocol::{Draft, Timestamp};

    use super::*;

    fn logged(seq: u64) -> Arc<Frame> {
        Draft::new(("text", None, "r"), Timestamp(0), |out| out.extend_from_slice(b"{}")).seal(seq, seq - 1)
    }

    fn seqs(feed: &Feed, cursor: &mut Cursor) -> Option<Vec<u64>> {
        Some(feed.since(cursor, u64::MAX, usize::MAX)?.iter().map(|entry| entry.frame.seq()).collect())
    }

    #[test]
    fn cursors_find_their_place() {
        let feed = Feed::new(10);
        let mut early = feed.end();
        (11..=14).for_each(|seq| feed.push(logged(seq), Audience::All));
        assert_eq!(seqs(&feed, &mut early), Some(vec![11, 12, 13, 14]));
        assert_eq!(seqs(&feed, &mut Cursor::after(12)), Some(vec![13, 14]));
        assert_eq!(seqs(&feed, &mut Cursor::after(9)), None, "the log has 10");
        feed.forget_before(3);
        assert_eq!(seqs(&feed, &mut early), None);
        let mut resumed = Cursor::after(12);
        assert_eq!(seqs(&feed, &mut resumed), Some(vec![13, 14]));
        assert_eq!(resumed.index, 3);
        assert_eq!(seqs(&feed, &mut feed.end()), Some(vec![]));
        assert_eq!(feed.end(), Cursor { index: 5, seq: 14 });
    }

    #[test]
    fn the_tail_is_bounded() {
        let feed = Feed::new(0);
        (1..=TAIL_FRAMES_MAX as u64 + 5).for_each(|seq| feed.push(logged(seq), Audience::All));
        assert_eq!(seqs(&feed, &mut Cursor::after(4)), None);
        assert_eq!(seqs(&feed, &mut Cursor::after(5)).map(|seqs| seqs.len()), Some(TAIL_FRAMES_MAX));
    }
}
