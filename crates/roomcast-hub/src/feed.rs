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

use crate::{
    connection::ConnectionId,
    cursor::{Cursor, Gone, Next, Place},
};

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

/// What a feed has for a reader.
pub(crate) enum Due {
    /// Entries, from an index on.
    Entries(u64, Entries),
    /// What it gets next is in the log alone.
    InLog,
}

/// Some entries in order.
pub(crate) type Entries = SmallVec<[Entry; 4]>;

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

    fn gone(&self) -> Gone {
        Gone { before: self.base, floor: self.floor }
    }

    /// The index of the first entry above a seq.
    fn first_above(&self, seq: u64) -> u64 {
        let above = self.entries.iter().position(|entry| entry.frame.seq() > seq);
        self.base + above.unwrap_or(self.entries.len()) as u64
    }

    /// Entries from an index on, up to about `bytes_max`.
    fn entries(&self, from: u64, bytes_max: usize) -> Entries {
        let (mut entries, mut bytes) = (Entries::new(), 0);
        for entry in self.entries.range((from - self.base) as usize..) {
            if bytes >= bytes_max {
                break;
            }
            bytes += entry.frame.json().len();
            entries.push(entry.clone());
        }
        entries
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
        // The newest stays: it is on its way.
        while tail.entries.len() > 1 && (tail.entries.len() > TAIL_FRAMES_MAX || tail.bytes > TAIL_BYTES_MAX)
        {
            tail.drop_first();
        }
        self.tip.store(tail.tip(), Ordering::Release);
    }

    /// The tip's index: what a reader that has everything stands at.
    pub(crate) fn tip(&self) -> u64 {
        self.tip.load(Ordering::Acquire)
    }

    /// The place of a reader that wants only what comes from now on.
    pub(crate) fn end(&self) -> Place {
        let tail = self.tail.lock();
        Place { index: tail.tip(), seq: tail.head }
    }

    /// What is no longer here.
    pub(crate) fn gone(&self) -> Gone {
        self.tail.lock().gone()
    }

    /// What comes next for a reader, up to about `bytes_max`.
    pub(crate) fn due(&self, cursor: &Cursor, bytes_max: usize) -> Due {
        let tail = self.tail.lock();
        match cursor.next(tail.gone(), |seq| tail.first_above(seq)) {
            Next::Live(from) => Due::Entries(from, tail.entries(from, bytes_max)),
            Next::Replay => Due::InLog,
        }
    }

    /// The entries from an index on, up to about `bytes_max`, and where they begin: at the tip, if that index is no
    /// longer here.
    pub(crate) fn run(&self, from: u64, bytes_max: usize) -> (u64, Entries) {
        let tail = self.tail.lock();
        let from = if from < tail.base { tail.tip() } else { from };
        (from, tail.entries(from, bytes_max))
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

    fn seqs(feed: &Feed, cursor: Cursor) -> Option<Vec<u64>> {
        match feed.due(&cursor, usize::MAX) {
            Due::Entries(_, entries) => Some(entries.iter().map(|entry| entry.frame.seq()).collect()),
            Due::InLog => None,
        }
    }

    #[test]
    fn cursors_find_their_place() {
        let feed = Feed::new(10);
        let early = Cursor::live(feed.end());
        (11..=14).for_each(|seq| feed.push(logged(seq), Audience::All));
        let resumed = |seq| Cursor::resumed(seq, feed.end());
        assert_eq!(seqs(&feed, early), Some(vec![11, 12, 13, 14]));
        assert_eq!(seqs(&feed, resumed(12)), Some(vec![13, 14]));
        assert_eq!(seqs(&feed, resumed(9)), None, "the log has 10");
        feed.forget_before(3);
        assert_eq!(seqs(&feed, early), None);
        assert_eq!(seqs(&feed, resumed(12)), Some(vec![13, 14]));
        assert_eq!(seqs(&feed, Cursor::live(feed.end())), Some(vec![]));
        assert_eq!(feed.end(), Place { index: 5, seq: 14 });
        assert_eq!(feed.run(4, usize::MAX).1.len(), 1);
        assert_eq!(
            feed.run(1, usize::MAX).0,
            5,
            "who stands before what is kept is served from its own cursor"
        );
    }

    #[test]
    fn the_tail_is_bounded() {
        let feed = Feed::new(0);
        (1..=TAIL_FRAMES_MAX as u64 + 5).for_each(|seq| feed.push(logged(seq), Audience::All));
        let resumed = |seq| Cursor::resumed(seq, feed.end());
        assert_eq!(seqs(&feed, resumed(4)), None);
        assert_eq!(seqs(&feed, resumed(5)).map(|seqs| seqs.len()), Some(TAIL_FRAMES_MAX));
    }
}
