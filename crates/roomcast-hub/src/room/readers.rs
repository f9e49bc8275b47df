//! The readers of a room: how a connection becomes one, where it begins, and how it goes.

use std::sync::Arc;

use roomcast_protocol::{
    Join, Queue, Rights,
    server::{Joined, Members},
};
use roomcast_session::{Identity, Now};
use smallvec::SmallVec;

use super::{Room, position};
use crate::{
    connection::{Connection, ConnectionId, Departure},
    cursor::{Cursor, Place},
    drain::{LANE_MEMBERS_MAX, Member},
    presence::Hold,
};

/// Readers in lanes of bounded size; a pass clones a lane's `Arc` and then holds no lock of the room.
#[derive(Debug, Default)]
pub(super) struct Readers {
    pub(super) lanes: SmallVec<[Arc<Vec<Member>>; 1]>,
    pub(super) count: usize,
    /// When the last reader left, or the room was used without one.
    pub(super) idle_since_ms: u64,
    /// Whether the room stands in the hub's queue of idle rooms.
    pub(super) queued: bool,
}

impl Readers {
    /// Adds a member where there is place. Answers the lane.
    fn add(&mut self, member: Member) -> u32 {
        self.count += 1;
        let open = self.lanes.iter().rposition(|lane| lane.len() < LANE_MEMBERS_MAX);
        let lane = open.unwrap_or_else(|| {
            self.lanes.push(Arc::default());
            self.lanes.len() - 1
        });
        Arc::make_mut(&mut self.lanes[lane]).push(member);
        lane as u32
    }

    fn remove(&mut self, lane: u32, id: ConnectionId) {
        let Some(lane) = self.lanes.get_mut(lane as usize) else { return };
        let Some(at) = lane.iter().position(|member| member.connection.id() == id) else { return };
        let members = Arc::make_mut(lane);
        members.swap_remove(at);
        if members.len() < members.capacity() / 4 {
            members.shrink_to_fit();
        }
        self.count -= 1;
        while self.lanes.last().is_some_and(|lane| lane.is_empty()) {
            self.lanes.pop();
        }
    }
}

/// A slot in a connection's outbox; where it reads already, if it does.
struct Slot {
    number: usize,
    reads_from: Option<Cursor>,
}

impl Room {
    /// Makes a connection a reader, its reading held until the ack is written. The caller drains.
    pub(crate) fn join(
        self: &Arc<Self>,
        now: Now,
        (connection, who): (&Arc<Connection>, &Identity),
        (join, rights): (&Join, Rights),
    ) -> (Joined, Members) {
        let slot = self.sit(connection);
        let mut people = self.people.lock();
        let told = if join.member {
            people.roster.enter(now.ms, who, Hold::Connection(connection.id()), join.state.clone())
        } else {
            people.roster.leave(now.ms, who, Some(connection.id()))
        };
        self.tell(now, told, &people.roster);
        let reads_roster = rights.allow(Rights::PRESENCE);
        let members = self.seen(&people.roster, reads_roster);
        // The tip is taken under the roster's lock: the members are those of just this place in the feed.
        let end = self.feed.end();
        self.schedule(&mut people);
        drop(people);
        let (joined, cursor) = self.place(join, slot.reads_from, end);
        connection.place(slot.number, cursor, reads_roster);
        if joined.reset.is_some() {
            self.shared.counters.resets_total.add(1);
        }
        (joined, members)
    }

    /// What a session reads this room with. The caller holds no lock.
    pub(super) fn reader_of(&self, who: &Identity) -> Option<ConnectionId> {
        let lanes = self.readers.lock().lanes.clone();
        let is_theirs = |connection: &Connection| {
            let owner = connection.identity();
            owner.session == who.session && owner.user == who.user
        };
        let mut readers = lanes.iter().flat_map(|lane| lane.iter());
        readers.find(|reader| is_theirs(&reader.connection)).map(|reader| reader.connection.id())
    }

    /// Finds or makes the connection's slot and its place in a lane.
    fn sit(self: &Arc<Self>, connection: &Arc<Connection>) -> Slot {
        let mut readers = self.readers.lock();
        if let Some((number, cursor)) = connection.hold(self) {
            return Slot { number, reads_from: Some(cursor) };
        }
        let number = connection.open(self);
        let member = Member { connection: connection.clone(), slot: number as u32 };
        let lane = readers.add(member);
        connection.set_lane(number, lane);
        Slot { number, reads_from: None }
    }

    /// Where a reader begins, and what its ack says.
    fn place(&self, join: &Join, reads_from: Option<Cursor>, end: Place) -> (Joined, Cursor) {
        let bounds = self.log.bounds();
        let presented = position(join.since.as_ref(), &self.name);
        let checked = presented.map(|position| bounds.check(position).map(|()| position.seq));
        let (from, reset) = match (checked, join.last) {
            (Some(Ok(seq)), _) => (seq, None),
            (Some(Err(reset)), _) => (end.seq, Some(reset)),
            (None, Some(last)) => (end.seq.saturating_sub(last as u64).max(bounds.floor), None),
            (None, None) => (reads_from.map_or(end.seq, |cursor| cursor.seq()), None),
        };
        let recovered = matches!(checked, Some(Ok(_)));
        let joined = Joined { epoch: bounds.epoch, seq: end.seq.max(from), from, recovered, reset };
        let cursor = match reads_from {
            Some(cursor) if presented.is_none() && join.last.is_none() => cursor.rejoined(end),
            _ => Cursor::resumed(from, end),
        };
        (joined, cursor)
    }

    /// The rights of a reader have changed; its reading is held until the answers are written. Who may read the
    /// roster now gets it.
    pub(crate) fn review(self: &Arc<Self>, connection: &Connection, rights: Rights, answers: &mut Queue) {
        let Some((slot, cursor)) = connection.hold(self) else { return };
        let reads_roster = rights.allow(Rights::PRESENCE);
        let cursor = if reads_roster { cursor.rejoined(self.sync(answers)) } else { cursor };
        connection.place(slot, cursor, reads_roster);
    }

    /// A connection reads no longer. The caller drains.
    pub(crate) fn leave(
        self: &Arc<Self>,
        now: Now,
        (id, who): (ConnectionId, &Identity),
        lane: u32,
        departure: Departure,
    ) {
        let mut readers = self.readers.lock();
        readers.remove(lane, id);
        readers.idle_since_ms = now.ms;
        if readers.count == 0 && !readers.queued {
            readers.queued = true;
            self.shared.idle.push(now.ms, &self.name);
        }
        drop(readers);
        let mut people = self.people.lock();
        match departure {
            Departure::Clean => {
                let told = people.roster.leave(now.ms, who, Some(id));
                self.tell(now, told, &people.roster);
            }
            Departure::Lost => people.roster.lose(now.ms, who, id),
        }
        self.schedule(&mut people);
    }
}
