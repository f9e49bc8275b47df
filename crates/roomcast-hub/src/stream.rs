//! One-way readers: a stream of events, or one poll. They read rooms like a socket does, through the same outbox
//! and cursors; what a client has to say it says in requests of its own, so that they take no session over.

use std::{
    fmt,
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use roomcast_protocol::{
    Close, Join, Position, Positions, Queue, Rights, RoomName, Wire,
    server::{self, Head, Joined, Members},
};
use roomcast_session::{Identity, Session};

use crate::{Connection, Departure, Hub, Line, Room, RoomError, hub::random};

/// Before a client that lost its stream comes back, in milliseconds: drawn between this and twice this.
const RETRY_MS: u64 = 2_000;
/// Bytes that a client may send after its request before it is hung up on.
const SPOKEN_BYTES_MAX: usize = 64 * 1024;

/// What a client wants to read. That it may is decided.
#[derive(Debug)]
pub struct Subscription {
    /// Who.
    pub identity: Arc<Identity>,
    /// What carries it: for [`Wire::List`] a pipe.
    pub line: Line,
    /// The form in which messages are wanted: [`Wire::Events`] or [`Wire::List`].
    pub wire: Wire,
    /// Which rooms, how to join each, and with which rights there; without [`Rights::PRESENCE`] nothing is told of
    /// who is there.
    pub rooms: Vec<(RoomName, Join, Rights)>,
}

/// A stream that can't begin: one of its rooms can't be read. It can still be told so.
#[derive(Debug)]
pub struct NotSubscribed {
    /// Why.
    pub error: RoomError,
    /// The stream, in which nothing was said yet.
    pub stream: Stream,
}

/// A room that a stream reads, as it was when the stream began.
#[derive(Debug)]
pub struct Seat {
    /// The room.
    pub room: Arc<Room>,
    /// Where the reader stands.
    pub joined: Joined,
    members: Members,
}

/// One reader of some rooms. Dropping it is leaving.
pub struct Stream {
    hub: Hub,
    connection: Arc<Connection>,
    seats: Vec<Seat>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.connection.id()).finish()
    }
}

impl Hub {
    /// Begins a stream or poll. An error is an engine's.
    pub fn subscribe(&self, subscription: Subscription) -> Result<Stream, Box<NotSubscribed>> {
        let Subscription { identity, line, wire, rooms } = subscription;
        let shared = self.shared();
        let now = shared.now();
        let session = Session::one_way(now, identity.clone(), shared.limits.clone());
        let start = (session, Queue::of(wire));
        let id = (self.next_id(), 0);
        let connection = Arc::new(Connection::new(id, (line.into(), wire), shared.clone(), start));
        self.sessions().add_stream(&identity, &connection);
        let mut stream = Stream { hub: self.clone(), connection, seats: Vec::with_capacity(rooms.len()) };
        for (room, join, rights) in &rooms {
            let who = (&stream.connection, &*identity);
            let room = match self.use_room(room) {
                Ok(room) => room,
                Err(error) => return Err(Box::new(NotSubscribed { error: error.into(), stream })),
            };
            let (joined, members) = room.join(now, who, (join, *rights));
            stream.seats.push(Seat { room, joined, members });
        }
        stream.greet(wire);
        for seat in &stream.seats {
            seat.room.drain();
        }
        self.tell_if_degraded(&stream.connection);
        shared.schedule_connection(now.ms, &stream.connection);
        Ok(stream)
    }
}

impl Stream {
    /// The rooms, as they were when the stream began.
    pub fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// Says where the reader stands; of each room that it must reload; and who is there, to whom it is told. Then
    /// messages may flow.
    fn greet(&self, wire: Wire) {
        let mut queue = Queue::of(wire);
        if wire.is_events() {
            queue.push_retry(Duration::from_millis(RETRY_MS + random() % RETRY_MS));
            self.welcome(&mut queue);
        }
        self.connection.answer(queue, false);
    }

    fn welcome(&self, queue: &mut Queue) {
        let shared = self.hub.shared();
        let (head, who) = (Head::at(shared.now().wall), self.connection.identity());
        let standings: Vec<_> = self.seats.iter().map(|seat| (&**seat.room.name(), &seat.joined)).collect();
        queue.push_positions(|| self.start(0));
        let named = (&*who.session, &*who.user);
        queue.push(|out| server::welcome(head, named, shared.limits.keep_alive_interval, &standings, out));
        for (i, Seat { room, joined, .. }) in self.seats.iter().enumerate() {
            if let Some(reason) = joined.reset {
                queue.push_positions(|| self.start(i + 1));
                let head = head.in_room(room.name());
                queue.push(|out| server::reset(head, reason, &joined.epoch, joined.seq, out));
            }
        }
        for Seat { room, members, .. } in self.seats.iter().filter(|seat| seat.members.v.is_some()) {
            queue.push(|out| server::sync(head.in_room(room.name()), members, out));
        }
    }

    /// Where the reader stands while only the first `told` rooms have had their resets: in one whose reset is still
    /// to come at no position, so that a cut before it leads to it again.
    fn start(&self, told: usize) -> Positions {
        let position = |(i, Seat { joined, .. }): (usize, &Seat)| match joined.reset {
            Some(_) if i >= told => Position::none(),
            _ => Position { epoch: joined.epoch.clone(), seq: joined.from },
        };
        match &*self.seats {
            [seat] => Positions::One(position((0, seat))),
            seats => {
                let each = seats.iter().enumerate();
                Positions::Each(each.map(|seat| (seat.1.room.name().clone(), position(seat))).collect())
            }
        }
    }

    /// Tells the client something, such as why it gets nothing, and ends the stream.
    pub fn dismiss(&self, write: impl FnOnce(&mut Vec<u8>)) {
        // Rooms that could be joined would go on after the error, with positions that name them alone.
        self.connection.depart(Departure::Lost);
        self.connection.say(|_, queue| queue.push(write));
        self.connection.close(Close::Normal, "", Departure::Lost);
    }

    /// Reads on, on a bare socket, until the client hangs up. It has nothing to say here.
    pub async fn until_hung_up(self) {
        let mut spoken = 0;
        while spoken <= SPOKEN_BYTES_MAX {
            if poll_fn(|cx| self.connection.poll_readable(cx)).await.is_err() {
                return;
            }
            match self.connection.try_read(&mut [0; 512]) {
                Ok(0) => return,
                Ok(bytes) => spoken += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// The next bytes; `None` at the end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.connection.poll_chunk(cx)
    }

    /// Waits until there is something to look at.
    pub fn poll_stirred(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.poll_stirred(cx)
    }

    /// Whether nothing more will come.
    pub fn has_ended(&self) -> bool {
        self.connection.has_ended()
    }

    /// All messages there are now and where the reader stands after them. `None` if the log has lost what was due
    /// meanwhile: who asks again is told so. An error if it can't be read now.
    pub fn take(&mut self) -> Result<Option<(Vec<Bytes>, Positions)>, RoomError> {
        let Some((messages, position)) = self.connection.take_all()? else { return Ok(None) };
        // Who was sent away meanwhile stands nowhere any more: it goes on from where it began.
        let stands_nowhere = matches!(&position, Positions::Each(each) if each.is_empty());
        Ok(Some(if stands_nowhere {
            (Vec::new(), self.start(self.seats.len()))
        } else {
            (messages, position)
        }))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hub.sessions().remove_stream(self.connection.id());
        self.connection.end(Departure::Lost);
    }
}
