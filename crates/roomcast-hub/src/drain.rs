//! The drain: brings a room's readers to the tip.
//!
//! Whoever moves the tip begins a pass, unless one is under way; then that one goes round again. A pass joins
//! what is between its base and the tip once, and hands those bytes to every reader that stands at the base,
//! one `send` each, from wherever the pass runs: no task is woken and nothing is queued per reader.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use bytes::Bytes;
use roomcast_protocol::{Frame, Wire, events};
use smallvec::SmallVec;

use crate::{
    connection::{Connection, ConnectionId},
    feed::{Audience, Cursor, Entry},
    room::Room,
};

/// Members that are served before a pass lets others run.
pub(crate) const LANE_MEMBERS_MAX: usize = 1024;
/// Bytes that one pass joins.
const RUN_BYTES_MAX: usize = 64 * 1024;

const IDLE: u8 = 0;
const DRAINING: u8 = 1;
const DIRTY: u8 = 2;

/// Idle, draining, or draining and to go round again. A tip moved is a tip served: nobody goes to sleep on it.
#[derive(Debug, Default)]
pub(crate) struct DrainState(AtomicU8);

impl DrainState {
    /// The tip has moved. Whether the caller must drain; if not, somebody does.
    pub(crate) fn begin(&self) -> bool {
        let next = |state| match state {
            IDLE => Some(DRAINING),
            DRAINING => Some(DIRTY),
            _ => None,
        };
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) == Ok(IDLE)
    }

    /// A pass is done. Whether that was the last; if not, the caller goes round again.
    pub(crate) fn finish(&self) -> bool {
        let done = self.0.compare_exchange(DRAINING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !done {
            self.0.store(DRAINING, Ordering::Release);
        }
        done
    }
}

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
    end: Cursor,
    entries: SmallVec<[Entry; 4]>,
    joined: SmallVec<[(Form, Bytes); 1]>,
    datagrams: Option<Box<[Bytes]>>,
    delivered: u64,
}

/// What distinguishes the bytes that two readers at the same cursor get.
type Form = (Wire, bool);

impl<'a> Run<'a> {
    /// The stretch that begins at an index.
    pub(crate) fn from(room: &'a Arc<Room>, base: u64) -> Self {
        let mut start = Cursor { index: base, seq: u64::MAX };
        let entries = room.feed().since(&mut start, u64::MAX, RUN_BYTES_MAX).unwrap_or_default();
        let seq = entries.iter().map(|entry| entry.frame.seq()).max().unwrap_or(0);
        let end = Cursor { index: start.index + entries.len() as u64, seq };
        Self { room, base: start.index, end, entries, joined: SmallVec::new(), datagrams: None, delivered: 0 }
    }

    pub(crate) fn room(&self) -> &Arc<Room> {
        self.room
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Where a reader stands that took it all; its seq is 0 if the run holds no logged frame.
    pub(crate) fn end(&self) -> Cursor {
        self.end
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
            let epoch = (form.0 == Wire::Events).then(|| self.room.log().bounds().epoch);
            for (_, frame) in self.frames(form) {
                if let Some(epoch) = epoch.as_ref().filter(|_| frame.seq() > 0) {
                    events::push_position(epoch, frame.seq(), &mut bytes);
                }
                frame.write(form.0, &mut bytes);
            }
            self.joined.push((form, bytes.into()));
            self.joined.len() - 1
        })
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
    pub(crate) fn place_of(&self, taken: usize, wire: Wire, roster: bool) -> (Cursor, usize) {
        let mut end = 0;
        for (i, frame) in self.frames((wire, roster)) {
            end += frame.on(wire).len();
            if end >= taken {
                let seq = self.entries[..=i].iter().map(|entry| entry.frame.seq()).max().unwrap_or(0);
                return (Cursor { index: self.base + i as u64 + 1, seq }, end);
            }
        }
        (self.end, end)
    }

    pub(crate) fn count_delivery(&mut self) {
        self.delivered += self.entries.len() as u64;
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Hands the run to the members of a lane.
    pub(crate) fn serve(&mut self, lane: &[Member]) {
        for member in lane {
            member.connection.deliver(member.slot as usize, self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tip_moved_while_draining_is_served() {
        let state = DrainState::default();
        assert!(state.begin());
        assert!(!state.begin());
        assert!(!state.begin());
        assert!(!state.finish(), "go round again");
        assert!(state.finish());
        assert!(state.begin());
    }

    /// Where a publisher stands: each step is one atomic act of the real code.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Step {
        /// Moves the tip.
        Push,
        /// Asks whether it must drain.
        Begin,
        /// Serves the readers up to the tip.
        Pass,
        /// Looks whether the tip has moved meanwhile.
        Look,
        /// Ends draining, or goes round again.
        Finish,
        Done,
    }

    #[derive(Debug)]
    struct World {
        state: DrainState,
        tip: u32,
        served: u32,
        publishers: [Step; 3],
    }

    impl World {
        fn copy(&self) -> Self {
            let state = DrainState(AtomicU8::new(self.state.0.load(Ordering::Relaxed)));
            Self { state, ..*self }
        }

        fn step(&mut self, publisher: usize) {
            self.publishers[publisher] = match self.publishers[publisher] {
                Step::Push => {
                    self.tip += 1;
                    Step::Begin
                }
                Step::Begin if self.state.begin() => Step::Pass,
                Step::Pass => {
                    self.served = self.tip;
                    Step::Look
                }
                Step::Look if self.served >= self.tip => Step::Finish,
                Step::Finish if !self.state.finish() => Step::Pass,
                Step::Look => Step::Pass,
                _ => Step::Done,
            };
        }

        /// Lets every publisher go next, in turn, until all are done. Answers how many ways there were.
        fn explore(&self) -> usize {
            if self.publishers == [Step::Done; 3] {
                assert_eq!(self.served, self.tip, "a reader sleeps on a tip that has moved");
                return 1;
            }
            let going = (0..3).filter(|publisher| self.publishers[*publisher] != Step::Done);
            going
                .map(|publisher| {
                    let mut next = self.copy();
                    next.step(publisher);
                    next.explore()
                })
                .sum()
        }
    }

    #[test]
    fn nobody_sleeps_on_a_moved_tip_however_publishers_interleave() {
        let world = World { state: DrainState::default(), tip: 0, served: 0, publishers: [Step::Push; 3] };
        assert!(world.explore() > 1_000);
    }
}
