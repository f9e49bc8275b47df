//! What one connection is owed: its queue of control messages, and a cursor into each room it reads. Everything
//! that is due leaves in one write; what a socket doesn't take stays a cursor, not a buffer.

use std::{cell::RefCell, io, sync::Arc, task::Waker};

use roomcast_protocol::{Frame, Position, Positions, Queue, Reset, Wire, events};
use smallvec::SmallVec;

use crate::{
    connection::ConnectionId,
    counters::Counters,
    cursor::{Cursor, Place},
    drain::Run,
    engine::{EngineError, Page, Range, ReadError},
    feed::{Audience, Due, Entry},
    room::Room,
    sink::Sink,
};

/// Bytes taken from one room before the next has its turn.
const TURN_BYTES: usize = 16 * 1024;
/// Bytes written in one go before others have their turn.
const FLUSH_BYTES_MAX: usize = 1024 * 1024;

/// Whether a connection can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Writes go straight to the socket.
    Open,
    /// The socket is full; a flusher waits for it and goes on.
    Blocked,
    /// Nothing is written any more.
    Ended,
}

/// Whether what was due could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// All of it.
    Read,
    /// The client was told to reload.
    Reset,
    /// The client was told to reload because the log is damaged there, as it still is when the client looks again.
    Damaged,
    /// An engine failed: nothing more is read, so that nothing is left out. Nobody has ended the connection yet.
    Failed,
    /// An engine failed, and somebody ends the connection.
    GivenUp,
}

impl Log {
    fn has_failed(self) -> bool {
        matches!(self, Self::Failed | Self::GivenUp)
    }
}

/// A reader's place in one room.
#[derive(Debug)]
pub(crate) struct Reading {
    /// `None` for a slot that is free.
    room: Option<Arc<Room>>,
    cursor: Cursor,
    /// The lane of the room in which the member stands.
    lane: u32,
    /// The join is not acked yet; nothing may come before the ack.
    held: bool,
    /// Whether presence messages are for this reader.
    roster: bool,
}

/// A point in a write up to which a cursor has moved.
struct Mark {
    end: usize,
    slot: usize,
    cursor: Cursor,
    /// Whether the reader is told to reload what it has.
    log: Log,
}

/// Buffers of one thread for putting writes together.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
    /// The seq up to which each reading has come, for whom each block must say it.
    seqs: Vec<u64>,
    /// The log of a room could not be read.
    failed: bool,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// How the connection takes its bytes, as far as the outbox must know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outlet<'a> {
    pub(crate) id: ConnectionId,
    pub(crate) sink: &'a Sink,
    pub(crate) wire: Wire,
    pub(crate) counters: &'a Counters,
}

/// What one connection is owed.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) queue: Queue,
    pub(crate) flow: Flow,
    /// Whoever waits for the queue to get shorter.
    pub(crate) reader: Option<Waker>,
    pub(crate) log: Log,
    /// The close is in the queue, or was: nothing follows it.
    closed: bool,
    readings: SmallVec<[Reading; 1]>,
}

impl Outbox {
    pub(crate) fn new(queue: Queue) -> Self {
        Self {
            queue,
            flow: Flow::Open,
            reader: None,
            log: Log::Read,
            closed: false,
            readings: SmallVec::new(),
        }
    }

    // Rooms.

    /// Opens a reading that is held until its ack is written. Answers its slot.
    pub(crate) fn open(&mut self, room: &Arc<Room>) -> usize {
        let reading = Reading {
            room: Some(room.clone()),
            cursor: Cursor::live(Place { index: 0, seq: 0 }),
            lane: 0,
            held: true,
            roster: false,
        };
        if let Some(slot) = self.readings.iter().position(|reading| reading.room.is_none()) {
            self.readings[slot] = reading;
            return slot;
        }
        self.readings.push(reading);
        self.readings.len() - 1
    }

    /// Holds the reading of a room again, if there is one. Answers its slot and where it stands.
    pub(crate) fn hold(&mut self, room: &Arc<Room>) -> Option<(usize, Cursor)> {
        let slot = self.readings.iter().position(|reading| reading.reads(room))?;
        self.readings[slot].held = true;
        Some((slot, self.readings[slot].cursor))
    }

    /// Places a reading: where it begins.
    pub(crate) fn place(&mut self, slot: usize, cursor: Cursor, roster: bool) {
        let reading = &mut self.readings[slot];
        (reading.cursor, reading.roster) = (cursor, roster);
    }

    /// Remembers in which lane of its room the member stands.
    pub(crate) fn set_lane(&mut self, slot: usize, lane: u32) {
        self.readings[slot].lane = lane;
    }

    /// Gives the reading of a room up. Answers the lane the member stands in.
    pub(crate) fn shut(&mut self, room: &Arc<Room>) -> Option<u32> {
        let reading = self.readings.iter_mut().find(|reading| reading.reads(room))?;
        reading.room = None;
        Some(reading.lane)
    }

    /// Gives all readings up.
    pub(crate) fn shut_all(&mut self) -> Vec<(Arc<Room>, u32)> {
        let readings = std::mem::take(&mut self.readings);
        readings.into_iter().filter_map(|reading| Some((reading.room?, reading.lane))).collect()
    }

    /// The acks are in the queue: what was held may flow.
    pub(crate) fn release(&mut self) {
        self.readings.iter_mut().for_each(|reading| reading.held = false);
    }

    /// Where the client stands in its rooms.
    pub(crate) fn positions(&self) -> Positions {
        positions(&self.readings, |slot| self.readings[slot].cursor.seq())
    }

    /// Nothing is written any more. Whoever waits for the client to take its answers waits in vain.
    pub(crate) fn end(&mut self) -> Flow {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        std::mem::replace(&mut self.flow, Flow::Ended)
    }

    // Writing.

    /// Has the client told something, which is the last word if it holds the close.
    pub(crate) fn tell(&mut self, said: Queue, holds_close: bool) {
        if !self.closed {
            self.queue.append(said);
            self.closed = holds_close;
        }
    }

    /// Serves one room's run to this reader: with the shared bytes if it stands where the run begins.
    /// Answers whether it is behind now.
    pub(crate) fn deliver(&mut self, slot: usize, run: &mut Run<'_>, outlet: Outlet<'_>) -> bool {
        // An id of several rooms is the reader's own.
        let has_own_ids = outlet.wire.is_events() && self.readings.len() > 1;
        let Some(reading) = self.readings.get_mut(slot).filter(|reading| reading.reads(run.room())) else {
            return false;
        };
        if let (Sink::Pipe(pipe), Wire::List, true) = (outlet.sink, outlet.wire, reading.roster) {
            pipe.ring();
        }
        if self.flow != Flow::Open || reading.held || self.closed || self.log.has_failed() {
            return self.flow == Flow::Blocked;
        }
        if reading.cursor.index() >= run.end().index {
            return false;
        }
        if !run.suits(&reading.cursor) || has_own_ids || !self.queue.is_empty() || run.is_not_for(outlet.id) {
            return !self.flush(outlet);
        }
        if let (Sink::Pipe(pipe), Wire::Counted) = (outlet.sink, outlet.wire) {
            pipe.put_datagrams(run.datagrams());
        }
        let bytes = run.bytes(outlet.wire, reading.roster);
        if bytes.is_empty() {
            reading.cursor.advance(run.end());
            return false;
        }
        let due = bytes.len();
        let written = match outlet.sink {
            Sink::Socket(_) => outlet.sink.try_write(bytes),
            Sink::Pipe(pipe) => pipe.put(|| run.shared(outlet.wire, reading.roster)),
        };
        match written {
            Ok(n) if n == due => {
                reading.cursor.advance(run.end());
                run.count_delivery();
                false
            }
            Ok(n) => {
                let (place, frame_end) = run.place_of(n, outlet.wire, reading.roster);
                reading.cursor.advance(place);
                self.queue.extend(&run.bytes(outlet.wire, reading.roster)[n..frame_end]);
                self.block(outlet);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.block(outlet);
                true
            }
            Err(_) => {
                self.end();
                false
            }
        }
    }

    /// Writes what is due until nothing is, or the socket is full. Answers whether nothing is due.
    pub(crate) fn flush(&mut self, outlet: Outlet<'_>) -> bool {
        if self.flow == Flow::Ended {
            return true;
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut written = 0;
            while written < FLUSH_BYTES_MAX {
                self.gather(outlet, scratch);
                if scratch.failed {
                    self.log = Log::Failed;
                }
                if scratch.bytes.is_empty() {
                    if self.settle(scratch, 0, outlet) {
                        // It went past what is not for it; something may lie beyond.
                        continue;
                    }
                    self.caught_up();
                    return true;
                }
                match outlet.sink.try_write(&scratch.bytes) {
                    Ok(n) => {
                        self.settle(scratch, n, outlet);
                        written += n;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => {
                        self.end();
                        return true;
                    }
                }
            }
            self.block(outlet);
            false
        })
    }

    /// Nothing is due: every reader of this connection is at its tip.
    fn caught_up(&mut self) {
        self.flow = Flow::Open;
        self.readings.iter_mut().for_each(|reading| reading.cursor.caught_up());
    }

    /// The socket is full: from here on every reader of this connection lags.
    fn block(&mut self, outlet: Outlet<'_>) {
        self.flow = Flow::Blocked;
        outlet.counters.blocked_total.add(1);
        self.readings.iter_mut().for_each(|reading| reading.cursor.lag());
    }

    /// Puts together what is due: the queue, then of each room what follows its cursor.
    fn gather(&self, outlet: Outlet<'_>, scratch: &mut Scratch) {
        scratch.bytes.clear();
        scratch.marks.clear();
        scratch.seqs.clear();
        scratch.failed = false;
        scratch.bytes.extend_from_slice(self.queue.bytes());
        if self.closed || self.log.has_failed() {
            return;
        }
        if outlet.wire.is_events() {
            scratch.seqs.extend(self.readings.iter().map(|reading| reading.cursor.seq()));
        }
        for (slot, reading) in self.readings.iter().enumerate() {
            if let Some(room) = &reading.room
                && !reading.held
                && reading.cursor.index() != room.feed().tip()
            {
                reading.gather((slot, &self.readings), room, outlet, scratch);
            }
        }
    }

    /// Moves queue and cursors by what the socket took; the rest of a frame in two goes to the queue. Answers
    /// whether a cursor moved.
    fn settle(&mut self, scratch: &Scratch, written: usize, outlet: Outlet<'_>) -> bool {
        let mut moved = false;
        let queued = self.queue.bytes().len();
        self.queue.advance(written.min(queued));
        let (mut start, mut frames) = (queued, 0);
        for mark in &scratch.marks {
            if start >= written && mark.end > written {
                break;
            }
            let reading = &mut self.readings[mark.slot];
            moved |= reading.cursor != mark.cursor;
            reading.cursor = mark.cursor;
            if mark.log != Log::Read && !self.log.has_failed() {
                self.log = mark.log;
            }
            if mark.end > written {
                self.queue.extend(&scratch.bytes[written..mark.end]);
            }
            frames += u64::from(mark.end > start);
            start = mark.end;
        }
        outlet.counters.deliveries_total.add(frames);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        moved
    }
}

/// Where a client stands that has come so far in each of its readings: in one room, or by name.
fn positions(readings: &[Reading], seq: impl Fn(usize) -> u64) -> Positions {
    let open = readings.iter().enumerate().filter_map(|(slot, reading)| Some((slot, reading.room.as_ref()?)));
    let mut each: Vec<_> = open
        .map(|(slot, room)| {
            (room.name().clone(), Position { epoch: room.log().bounds().epoch, seq: seq(slot) })
        })
        .collect();
    match each.pop() {
        Some((_, position)) if each.is_empty() => Positions::One(position),
        last => {
            each.extend(last);
            Positions::Each(each)
        }
    }
}

impl Reading {
    fn reads(&self, room: &Arc<Room>) -> bool {
        self.room.as_ref().is_some_and(|reads| Arc::ptr_eq(reads, room))
    }

    /// Appends what of its room is due to this reader, at most about one turn's worth.
    fn gather(
        &self,
        (slot, readings): (usize, &[Self]),
        room: &Room,
        outlet: Outlet<'_>,
        scratch: &mut Scratch,
    ) {
        let mut cursor = self.cursor;
        // Who stands where the feed no longer reaches has missed what is ephemeral, however that came about.
        if let Some(seen) = cursor.missed(room.feed().gone()) {
            let mut queue = Queue::after(outlet.wire, std::mem::take(&mut scratch.bytes));
            cursor.mend(room.catch_up(self.roster, seen, &mut queue));
            scratch.bytes = queue.into_bytes();
            scratch.mark(slot, cursor);
        }
        let (from, entries) = match room.feed().due(&cursor, TURN_BYTES) {
            Due::Entries(from, entries) => (from, entries),
            Due::InLog => return self.recall((slot, readings), room, cursor, outlet, scratch),
        };
        // Its place in the feed is known from here on, even if nothing is due.
        cursor.stand(from);
        scratch.mark(slot, cursor);
        for (index, entry) in (from..).zip(entries) {
            if cursor.pass(index, entry.frame.seq()) && self.wants(&entry, outlet.id) {
                scratch.push((slot, readings), &entry.frame, outlet.wire);
            }
            scratch.mark(slot, cursor);
        }
    }

    /// Appends what the feed no longer has from the log, or tells the reader to reload.
    fn recall(
        &self,
        (slot, readings): (usize, &[Self]),
        room: &Room,
        mut cursor: Cursor,
        outlet: Outlet<'_>,
        scratch: &mut Scratch,
    ) {
        match Recalled::of(room, cursor) {
            Recalled::Frames(frames) => {
                for frame in frames {
                    scratch.push((slot, readings), &frame, outlet.wire);
                    cursor.replayed(frame.seq());
                    scratch.mark(slot, cursor);
                }
            }
            Recalled::Reset(reason, log) => {
                let mut queue = Queue::after(outlet.wire, std::mem::take(&mut scratch.bytes));
                let standing =
                    |seq| positions(readings, |of| if of == slot { seq } else { scratch.seqs[of] });
                let end = room.reset(reason, self.roster, standing, &mut queue);
                scratch.bytes = queue.into_bytes();
                scratch.came_to(slot, end.seq);
                cursor.reset(end);
                scratch.mark_reset(slot, cursor, log);
            }
            Recalled::Failed => scratch.failed = true,
        }
    }

    fn wants(&self, entry: &Entry, id: ConnectionId) -> bool {
        match entry.audience {
            Audience::All => true,
            Audience::Roster => self.roster,
            Audience::AllBut(sender) => sender != id,
        }
    }
}

/// What the log has for a reader.
enum Recalled {
    Frames(Vec<Arc<Frame>>),
    /// Not what it needs: why, and what that says of the log.
    Reset(Reset, Log),
    /// Nobody knows.
    Failed,
}

impl Recalled {
    fn of(room: &Room, cursor: Cursor) -> Self {
        let page = Page { messages_max: usize::MAX, bytes_max: TURN_BYTES };
        match room.log().read(Range::After(cursor.seq()), page) {
            Ok(batch) if !batch.frames.is_empty() => Self::Frames(batch.frames),
            Ok(_) => Self::Reset(Reset::TooOld, Log::Reset),
            Err(ReadError::Reset(reason)) => Self::Reset(reason, Log::Reset),
            Err(ReadError::Failed(EngineError::Corrupt(found))) => {
                // It will not be there later either: the log has lost it.
                tracing::error!(room = &**room.name(), found, "a log is damaged; its reader must reload");
                Self::Reset(Reset::TooOld, Log::Damaged)
            }
            Err(ReadError::Failed(EngineError::Unavailable(error))) => {
                tracing::error!(
                    room = &**room.name(),
                    error,
                    "a log can't be read; its reader must come back"
                );
                Self::Failed
            }
        }
    }
}

impl Scratch {
    fn mark(&mut self, slot: usize, cursor: Cursor) {
        self.marks.push(Mark { end: self.bytes.len(), slot, cursor, log: Log::Read });
    }

    fn mark_reset(&mut self, slot: usize, cursor: Cursor, log: Log) {
        self.marks.push(Mark { end: self.bytes.len(), slot, cursor, log });
    }

    /// Remembers how far a reading has come, if each block must say it.
    fn came_to(&mut self, slot: usize, seq: u64) {
        if let Some(known) = self.seqs.get_mut(slot) {
            *known = seq;
        }
    }

    /// Appends a frame, after the reader's position if it has one and the wire a place for it.
    fn push(&mut self, (slot, readings): (usize, &[Reading]), frame: &Frame, wire: Wire) {
        let has_id = wire.is_events() && frame.seq() > 0;
        if has_id {
            self.came_to(slot, frame.seq());
        }
        let standing = has_id.then(|| positions(readings, |slot| self.seqs[slot]));
        wire.enclose(&mut self.bytes, |out| {
            if let Some(standing) = standing {
                events::push_positions(&standing, out);
            }
            frame.write(wire, out);
        });
    }
}
