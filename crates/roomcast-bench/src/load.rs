//! What a worker publishes, and what it makes of the answers: rooms, turns, checks and counts.
//! It knows what must come back, and nothing of sockets being ready.

use crate::connection::{Connection, Stage};
use crate::inflight::InFlight;
use crate::plan::{Group, Pace, Until};
use crate::sequence::{Arrival, Sequence};
use crate::tally::Tally;
use crate::wire::Wire;

/// A room and what is known to be in its log since the load began.
#[derive(Debug)]
struct Room {
    name: String,
    members: u32,
    /// Members that read.
    readers: u32,
    /// Every seq that was acked or delivered, ascending.
    known: Vec<u64>,
}

impl Room {
    #[inline]
    fn note(&mut self, seq: u64) {
        match self.known.last() {
            Some(&last) if last == seq => {}
            Some(&last) if last > seq => {
                if let Err(at) = self.known.binary_search(&seq) {
                    self.known.insert(at, seq);
                }
            }
            _ => self.known.push(seq),
        }
    }

    fn known_after(&self, seq: u64) -> u64 {
        (self.known.len() - self.known.partition_point(|known| *known <= seq)) as u64
    }
}

/// The load of one worker: whole rooms, so that nothing is shared with other workers.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) wire: Wire,
    pub(crate) flight: InFlight,
    pub(crate) tally: Tally,
    rooms: Vec<Room>,
    publishers: u32,
    /// Publishers asked so far; the next is the next member of the next room.
    turn: u32,
    payload: Vec<u8>,
}

impl Load {
    pub(crate) fn new(group: &Group, wire: Wire, room_prefix: &str) -> Self {
        let room = |number: u32| {
            let members =
                group.connections / group.rooms + u32::from(number < group.connections % group.rooms);
            let name = format!("{room_prefix}:{}:{number:04}", wire.nonce());
            Room { name, members, readers: 0, known: Vec::new() }
        };
        Self {
            rooms: (0..group.rooms).map(room).collect(),
            flight: InFlight::new(group.pace.map_or(Until::Ack, Pace::until)),
            tally: Tally::new(),
            publishers: group.publishers,
            turn: 0,
            payload: Vec::new(),
            wire,
        }
    }

    pub(crate) fn rooms(&self) -> usize {
        self.rooms.len()
    }

    pub(crate) fn room_name(&self, room: u32) -> &str {
        &self.rooms[room as usize].name
    }

    /// One more reader has joined, or one fewer reads.
    pub(crate) fn count_reader(&mut self, room: u32, reads: bool) {
        let readers = &mut self.rooms[room as usize].readers;
        *readers = if reads { *readers + 1 } else { readers.saturating_sub(1) };
    }

    /// The connection whose turn it is to publish: rooms in turn, and in each room its publishers in turn.
    pub(crate) fn next_publisher(&mut self, connections: &[Connection]) -> Option<usize> {
        let rooms = self.rooms.len() as u32;
        for _ in connections {
            let (lap, room) = (self.turn / rooms, self.turn % rooms);
            self.turn = self.turn.wrapping_add(1);
            let publishers = self.publishers.min(self.rooms[room as usize].members);
            let index = (room + lap % publishers * rooms) as usize;
            if connections[index].is_reading() {
                return Some(index);
            }
        }
        None
    }

    /// Publishes the message that was due at `due`.
    pub(crate) fn publish(&mut self, connection: &mut Connection, due: u64) {
        let room = &self.rooms[connection.room as usize];
        self.wire.write_publish(&mut self.payload, self.flight.next_number(), &room.name);
        self.flight.publish(due, room.readers);
        self.tally.published += 1;
        connection.queue_text(&self.payload);
    }

    /// Message `number` came to this reader as `seq`, behind `prev`.
    #[inline]
    pub(crate) fn deliver(
        &mut self,
        connection: &mut Connection,
        (number, seq, prev): (u32, u64, u64),
        now: u64,
    ) {
        match connection.sequence.take(seq, prev) {
            Arrival::Next => {}
            Arrival::Late => self.tally.out_of_order += 1,
            Arrival::Doubled => {
                self.tally.doubled += 1;
                return;
            }
        }
        self.rooms[connection.room as usize].note(seq);
        self.tally.delivered += 1;
        if let Some(due) = self.flight.deliver(number) {
            self.tally.delivery_took(now.saturating_sub(due));
        }
    }

    /// Message `number` is in the log of this connection's room as `seq`.
    pub(crate) fn ack(&mut self, room: u32, (number, seq): (u32, u64), now: u64) {
        if let Some(due) = self.flight.ack(number) {
            self.rooms[room as usize].note(seq);
            self.tally.acked += 1;
            self.tally.ack_took(now.saturating_sub(due));
        }
    }

    /// A publish, or something else, was refused.
    pub(crate) fn refuse(&mut self, number: Option<u32>, code: String, message: String) {
        if let Some(number) = number {
            self.flight.refuse(number);
        }
        self.tally.fault(code, message);
    }

    /// A reader was told to go on after `seq`.
    pub(crate) fn reset(&mut self, connection: &mut Connection, seq: u64, reason: &str) {
        self.tally.cut_off += connection.sequence.reset_to(seq);
        self.tally.fault(format!("reset {reason}"), format!("goes on after seq {seq}"));
    }

    /// Ends the load: what hasn't come is lost, or cut off where the reader was told. The next load starts clean.
    pub(crate) fn finish(&mut self, connections: &mut [Connection]) -> Tally {
        let mut tally = std::mem::replace(&mut self.tally, Tally::new());
        tally.unanswered = self.flight.abandon();
        for connection in connections.iter_mut().filter(|connection| connection.stage != Stage::Stalled) {
            let room = &self.rooms[connection.room as usize];
            let last = connection.sequence.last();
            let missing = connection.sequence.missing() + room.known_after(last);
            tally.expected += room.known.len() as u64;
            match connection.stage {
                Stage::Closed => tally.cut_off += missing,
                _ => tally.lost += missing,
            }
            connection.sequence = Sequence::after(last.max(room.known.last().copied().unwrap_or(0)));
        }
        for room in &mut self.rooms {
            room.known.clear();
        }
        tally
    }
}
