//! One room as its reader sees it.
//!
//! | seat | join's ack | `reset` | message | inbox emptied | connection lost |
//! |---|---|---|---|---|---|
//! | `Out` | | | passed over | | `Out` |
//! | `Joining` | `In`, or `Resetting` if it says so | | passed over | | `Out` |
//! | `Resetting` | | told, `In` | | | `Out` |
//! | `In` | | told | told; a hole: `Out`; inbox full: `Behind` | | `Out` |
//! | `Behind` | | passed over | passed over | `Out` | `Out` |
//! | `Leaving` | | | passed over | | gone |
//!
//! Whoever is `Out` while connected joins again where it was: a reader that lags keeps no queue, only its place.

use roomcast_protocol::{Position, RoomName};

use super::{
    event::{Event, Message},
    incoming::Joined,
    outbox::Outbox,
    place::{Arrival, Place},
    request::{self, Start},
};

/// How often it is said that the user still types.
const TYPING_EVERY_MS: u64 = 1_000;

/// How full an [`Inbox`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// All that was put has been taken.
    Empty,
    /// There is place for two events at least.
    Some,
    /// There is not.
    Full,
    /// Nobody will take anything any more.
    Abandoned,
}

/// What an application takes a room's events from. Bounded: who doesn't take them catches up from the log later.
pub trait Inbox {
    /// How full it is.
    fn fill(&self) -> Fill;
    /// Takes an event. Asked only if it is not full.
    fn put(&mut self, event: Event);
    /// What comes from now on is passed over, until the inbox is [`Fill::Empty`] and the machine looks again.
    fn overflow(&mut self);
    /// Takes the last event, for which there always is place.
    fn end(self, event: Event);
}

#[derive(Debug)]
pub(super) enum Seat<T> {
    Out,
    /// Waits for the ack of this join.
    Joining(String),
    /// Joined, and about to be told to go on from elsewhere.
    Resetting,
    In,
    /// Joined, but what comes is passed over.
    Behind,
    /// Waits for the ack of this leave.
    Leaving(String, Option<T>),
}

#[derive(Debug)]
pub(super) struct Reading<I, T> {
    pub(super) start: Start,
    pub(super) inbox: I,
    pub(super) seat: Seat<T>,
    pub(super) outbox: Outbox<T>,
    /// Until then nothing is asked of the room, since it refused something for now.
    pub(super) held_until_ms: u64,
    place: Option<Place>,
    /// When it was last said on this connection that the user types, unless the user has stopped.
    typed_ms: Option<u64>,
    /// The room was joined again for a hole, and no message has come since.
    mending: bool,
}

impl<I: Inbox, T> Reading<I, T> {
    pub(super) fn new(start: Start, inbox: I) -> Self {
        let place = start.since.clone().map(|position| Place { position });
        Self {
            start,
            inbox,
            seat: Seat::Out,
            outbox: Outbox::default(),
            held_until_ms: 0,
            place,
            typed_ms: None,
            mending: false,
        }
    }

    /// Whether the server knows this connection as a reader.
    pub(super) fn is_seated(&self) -> bool {
        matches!(self.seat, Seat::In | Seat::Behind | Seat::Resetting)
    }

    /// Where the reader is.
    pub(super) fn position(&self) -> Option<&Position> {
        self.place.as_ref().map(|place| &place.position)
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.seat, Seat::Leaving(..))
    }

    /// Whether this is the id of the join under way.
    pub(super) fn is_joining(&self, id: &str) -> bool {
        matches!(&self.seat, Seat::Joining(join) if join == id)
    }

    /// Whether this is the id of the leave under way.
    pub(super) fn is_leaving_by(&self, id: &str) -> bool {
        matches!(&self.seat, Seat::Leaving(leave, _) if leave == id)
    }

    /// Whether others would hear of it; if so, it is to be said.
    pub(super) fn typing_is_news(&mut self, now_ms: u64, on: bool) -> bool {
        let is_news = match self.typed_ms {
            Some(typed_ms) => !on || now_ms >= typed_ms + TYPING_EVERY_MS,
            None => on,
        };
        if is_news {
            self.typed_ms = on.then_some(now_ms);
        }
        is_news
    }

    /// Begins to join, where the reader is. Answers the request.
    pub(super) fn join(&mut self, id: String, room: &RoomName) -> String {
        let since = self.place.as_ref().map(|place| &place.position);
        let text = request::join(&id, room, &self.start, since);
        self.seat = Seat::Joining(id);
        text
    }

    pub(super) fn joined(&mut self, joined: Joined) {
        if joined.reset.is_some() {
            // The place is kept until the reset is told: nobody may take the head for where they have been.
            self.seat = Seat::Resetting;
            return;
        }
        self.seat = Seat::In;
        let place = Place::at(joined.epoch, joined.from);
        let position = place.position.clone();
        if self.tell(Event::Joined { position, recovered: joined.recovered }) {
            self.place = Some(place);
        }
    }

    pub(super) fn reset(&mut self, reason: String, position: Position) {
        let joining = matches!(self.seat, Seat::Resetting);
        if joining {
            self.seat = Seat::In;
        }
        if !self.tell(Event::Gap { reason, position: position.clone() }) {
            return;
        }
        self.place = Some(Place { position: position.clone() });
        if joining {
            self.tell(Event::Joined { position, recovered: false });
        }
    }

    /// A message came; `prev` is the seq before it, where that isn't seq - 1.
    pub(super) fn message(&mut self, message: Message, prev: Option<u64>) {
        let (Some(seq), Some(mut place)) = (message.seq, self.place.clone()) else {
            self.tell(Event::Message(message));
            return;
        };
        match place.take(seq, prev) {
            Arrival::Repeat => {}
            Arrival::Gap => self.mend(message, seq, prev),
            Arrival::Next => {
                if self.tell(Event::Message(message)) {
                    self.place = Some(place);
                    self.mending = false;
                }
            }
        }
    }

    /// The server passed over messages: asks for them, and if they still don't come, tells that they are lost.
    fn mend(&mut self, message: Message, seq: u64, prev: Option<u64>) {
        if !matches!(self.seat, Seat::In) {
            return;
        }
        if !self.mending {
            self.mending = true;
            self.seat = Seat::Out;
            return;
        }
        let Some(Place { position }) = &self.place else { return };
        let position = Position { epoch: position.epoch.clone(), seq: prev.unwrap_or(seq - 1) };
        if self.tell(Event::Gap { reason: "hole".into(), position: position.clone() }) {
            self.place = Some(Place { position });
            self.mending = false;
            self.message(message, prev);
        }
    }

    /// Puts an event into the inbox of a reader that is in. Answers whether it took it.
    pub(super) fn tell(&mut self, event: Event) -> bool {
        if !matches!(self.seat, Seat::In) {
            return false;
        }
        let full = self.inbox.fill() == Fill::Full;
        if full {
            self.seat = Seat::Behind;
            self.inbox.overflow();
        } else {
            self.inbox.put(event);
        }
        !full
    }

    /// A reader that lagged and has caught up with its inbox goes on.
    pub(super) fn catch_up(&mut self) {
        if matches!(self.seat, Seat::Behind) && self.inbox.fill() == Fill::Empty {
            self.seat = Seat::Out;
        }
    }

    /// The connection is lost.
    pub(super) fn lost(&mut self) {
        self.seat = Seat::Out;
        self.held_until_ms = 0;
        self.mending = false;
        self.typed_ms = None;
        self.outbox.lost();
    }
}
