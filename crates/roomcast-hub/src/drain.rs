//! The drain: brings a room's readers to the tip.
//!
//! Whoever moves the tip begins a pass, unless one is under way; then that one goes round again. A pass joins
//! what is between its base and the tip once, and hands those bytes to every reader that stands at the base,
//! one `send` each, from wherever the pass runs: no task is woken and nothing is queued per reader.

use std::sync::Arc;

use bytes::Bytes;
use roomcast_protocol::{Frame, Wire, events};
use smallvec::SmallVec;

use crate::{
    connection::{Connection, ConnectionId},
    cursor::{Cursor, Place},
    feed::{Audience, Entries, Entry},
    room::Room,
};

/// Members that are served before a pass lets others run.
pub(crate) const LANE_MEMBERS_MAX: usize = 1024;
/// Members whose connections are fetched from memory at a time.
const FETCHED_MEMBERS: usize = 16;
/// Bytes that one pass joins.
const RUN_BYTES_MAX: usize = 64 * 1024;

/// A member of a lane: a connection, and the slot of its outbox that reads the room.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) connection: Arc<Connection>,
    pub(crate) slot: u32,
}

/// The stretch of a feed that one pass hands out, joined at most once for each form readers take it in.
pub(crate) struct Run<'a> {
    room: &'a Arc<Room>,
    base: u64,
    end: Place,
    /// The seq of the first logged frame; the highest there is if there is none.
    first_seq: u64,
    entries: Entries,
    joined: SmallVec<[(Form, Bytes); 1]>,
    datagrams: Option<Box<[Bytes]>>,
    delivered: u64,
}

/// What distinguishes the bytes that two readers at the same cursor get.
type Form = (Wire, bool);

impl<'a> Run<'a> {
    /// The stretch that begins at an index.
    pub(crate) fn from(room: &'a Arc<Room>, base: u64) -> Self {
        let (base, entries) = room.feed().run(base, RUN_BYTES_MAX);
        let seqs = || entries.iter().map(|entry| entry.frame.seq());
        let end = Place { index: base + entries.len() as u64, seq: seqs().max().unwrap_or(0) };
        let first_seq = seqs().find(|seq| *seq > 0).unwrap_or(u64::MAX);
        let (joined, datagrams) = (SmallVec::new(), None);
        Self { room, base, end, first_seq, entries, joined, datagrams, delivered: 0 }
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        self.room
    }

    /// Where a reader stands that took it all; its seq is 0 if the run holds no logged frame.
    pub(crate) fn end(&self) -> Place {
        self.end
    }

    /// Whether a reader gets just what the run holds.
    pub(crate) fn suits(&self, cursor: &Cursor) -> bool {
        cursor.shares(self.base, self.first_seq)
    }

    /// Whether an entry leaves this connection out, so that the shared bytes are not for it.
    pub(crate) fn is_not_for(&self, id: ConnectionId) -> bool {
        self.entries.iter().any(|entry| entry.audience == Audience::AllBut(id))
    }

    /// The bytes for a reader: a single frame as it is, several joined.
    pub(crate) fn bytes(&mut self, wire: Wire, roster: bool) -> &[u8] {
        if wire.is_websocket() && self.is_one_for_all() {
            return self.entries[0].frame.on(wire);
        }
        let at = self.join((wire, roster));
        &self.joined[at].1
    }

    /// The same, to be kept.
    pub(crate) fn shared(&mut self, wire: Wire, roster: bool) -> Bytes {
        let at = self.join((wire, roster));
        self.joined[at].1.clone()
    }

    /// What may be lost and travels alone, for a wire on which it does: the rest is in [`Self::bytes`].
    pub(crate) fn datagrams(&mut self) -> &[Bytes] {
        let Self { entries, datagrams, .. } = self;
        datagrams.get_or_insert_with(|| {
            let ephemeral = entries.iter().filter(|entry| entry.is_ephemeral());
            ephemeral.map(|entry| Bytes::copy_from_slice(entry.frame.json())).collect()
        })
    }

    /// Joins the frames of a form, once.
    fn join(&mut self, form: Form) -> usize {
        self.joined.iter().position(|(joined, _)| *joined == form).unwrap_or_else(|| {
            let mut bytes = Vec::new();
            self.write(form, &mut bytes, |_, _| false);
            self.joined.push((form, bytes.into()));
            self.joined.len() - 1
        })
    }

    /// Appends the frames of a form, until `done` says so of an entry's number and where its frame ends.
    fn write(&self, form: Form, out: &mut Vec<u8>, mut done: impl FnMut(usize, usize) -> bool) {
        let epoch = form.0.is_events().then(|| self.room.log().bounds().epoch);
        for (i, frame) in self.frames(form) {
            form.0.enclose(out, |out| {
                if let Some(epoch) = epoch.as_ref().filter(|_| frame.seq() > 0) {
                    events::push_position(epoch, frame.seq(), out);
                }
                frame.write(form.0, out);
            });
            if done(i, out.len()) {
                return;
            }
        }
    }

    fn is_one_for_all(&self) -> bool {
        matches!(&*self.entries, [Entry { audience: Audience::All | Audience::AllBut(_), .. }])
    }

    /// The frames of a form, each with its entry's number.
    fn frames(&self, (wire, roster): Form) -> impl Iterator<Item = (usize, &Frame)> {
        let wanted = move |entry: &Entry| {
            (roster || entry.audience != Audience::Roster) && !(wire == Wire::Counted && entry.is_ephemeral())
        };
        let entries = self.entries.iter().enumerate().filter(move |(_, entry)| wanted(entry));
        entries.map(|(i, entry)| (i, &*entry.frame))
    }

    /// Where the reader of a socket stands that took so many bytes of [`Self::bytes`], and where the frame it is in ends.
    pub(crate) fn place_of(&self, taken: usize, wire: Wire, roster: bool) -> (Place, usize) {
        let mut place = (self.end, 0);
        self.write((wire, roster), &mut Vec::new(), |i, end| {
            let seq = self.entries[..=i].iter().map(|entry| entry.frame.seq()).max().unwrap_or(0);
            place = (Place { index: self.base + i as u64 + 1, seq }, end);
            end >= taken
        });
        place
    }

    pub(crate) fn count_delivery(&mut self) {
        self.delivered += self.entries.len() as u64;
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Hands the run to the members of a lane.
    pub(crate) fn serve(&mut self, lane: &[Member]) {
        for members in lane.chunks(FETCHED_MEMBERS) {
            // One by one each would be waited for: most were touched last when the room spoke before.
            for member in members {
                member.connection.fetch();
            }
            for member in members {
                member.connection.deliver(member.slot as usize, self);
            }
        }
    }
}
