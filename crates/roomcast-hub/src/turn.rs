//! One turn of a connection's reading: all the messages of one read, then one write.
//!
//! This is the driver around the sans-IO session. It carries out each action on hub and rooms and hands the
//! outcome back; nothing is decided here.

use std::{borrow::Cow, sync::Arc};

use parking_lot::MutexGuard;
use roomcast_protocol::{
    Close, Code, Data, History, Join, Publish, Queue, Rights, RoomName, Typing, server::Delivered,
};
use roomcast_session::{Action, Id, Now, Session};
use smallvec::SmallVec;

use crate::{
    Connection, Departure, Hub,
    engine::Ticket,
    room::{Publication, Publisher, Room, RoomError},
};

/// Bytes of answers after which they are written before the turn goes on.
const ANSWERS_BYTES_MAX: usize = 16 * 1024;

/// One turn of reading.
pub struct Turn<'c> {
    hub: &'c Hub,
    connection: &'c Arc<Connection>,
    session: MutexGuard<'c, Session<Arc<Room>>>,
    now: Now,
    answers: Queue,
    /// Rooms whose tip this turn has moved.
    moved: SmallVec<[Arc<Room>; 2]>,
    congested: bool,
    /// How the connection ends, should it end in this turn.
    departure: Departure,
}

impl<'c> Turn<'c> {
    pub(crate) fn begin(hub: &'c Hub, connection: &'c Arc<Connection>) -> Self {
        let now = connection.shared().now();
        let mut session = connection.session.lock();
        session.heard(now);
        Self {
            hub,
            connection,
            session,
            now,
            answers: Queue::of(connection.wire()),
            moved: SmallVec::new(),
            congested: false,
            departure: Departure::Lost,
        }
    }

    /// Whether the connection is being closed: what it sends is passed over.
    pub fn is_closed(&self) -> bool {
        self.session.is_closed()
    }

    /// Whether the client doesn't take its answers, so that it must not be read.
    pub fn is_congested(&self) -> bool {
        self.congested
    }

    /// A message came.
    pub fn message(&mut self, text: &str) {
        if let Some(action) = self.session.handle(self.now, text, &mut self.answers) {
            self.act(action);
        }
        if self.answers.bytes().len() > ANSWERS_BYTES_MAX {
            self.write();
        }
    }

    /// A ping came.
    pub fn ping(&mut self, payload: &[u8]) {
        match self.session.control_frame(self.now) {
            Ok(()) => self.answers.push_pong(payload),
            Err(close) => self.close(close, "too many control frames in a second"),
        }
    }

    /// A pong came.
    pub fn pong(&mut self) {
        if let Err(close) = self.session.control_frame(self.now) {
            self.close(close, "too many control frames in a second");
        }
    }

    /// The connection must end.
    pub fn close(&mut self, close: Close, text: &str) {
        self.session.close(self.now, close, text, &mut self.answers);
    }

    /// The client says good-bye.
    pub fn goodbye(&mut self, departure: Departure) {
        self.departure = departure;
        self.close(Close::Normal, "good-bye");
    }

    /// Joins the room of the connection's path. A refusal ends the connection.
    pub fn bind(&mut self, room: RoomName, join: Join) {
        match self.session.bind(room, join) {
            Ok(Action::Join { id, room, join, rights }) => {
                if let Err(RoomError { code, message, .. }) = self.try_join(id, &room, &join, rights) {
                    let close = if code.retryable() { Close::Overloaded } else { Close::Internal };
                    self.close(close, &message);
                }
            }
            Ok(action) => self.act(action),
            Err(close) => {
                self.close(close, "the token or the rules don't give the right to join this room so");
            }
        }
    }

    /// Writes the answers with what is due of the rooms, then brings the others to the tip.
    pub fn finish(mut self) {
        self.write();
        let closed = self.session.is_closed();
        if let refused @ 1.. = self.session.take_refused() {
            self.connection.shared().counters.refused_total.add(u64::from(refused));
        }
        let Self { connection, session, moved, departure, .. } = self;
        drop(session);
        for room in &moved {
            room.drain();
        }
        if closed {
            connection.close(Close::Normal, "", departure);
        }
    }

    fn write(&mut self) {
        let answers = std::mem::replace(&mut self.answers, Queue::of(self.connection.wire()));
        self.congested = self.connection.answer(answers, self.session.is_closed());
    }

    fn act(&mut self, action: Action<'_, Arc<Room>>) {
        match action {
            Action::Join { id, room, join, rights } => self.join(id, &room, &join, rights),
            Action::Leave { id, room } => self.leave(id, &room),
            Action::Publish { id, room, publish } => self.publish(id, room, &publish),
            Action::Typing { id, room, typing } => self.typing(id, &room, typing),
            Action::Presence { id, room, state } => self.presence(id, &room, state),
            Action::History { id, room, query } => self.history(id, &room, &query),
            Action::Authenticate { id, token } => self.authenticate(id, &token),
        }
    }

    fn moved(&mut self, room: Arc<Room>) {
        if !self.moved.iter().any(|moved| Arc::ptr_eq(moved, &room)) {
            self.moved.push(room);
        }
    }

    fn join(&mut self, id: Id<'_>, room: &RoomName, join: &Join, rights: Rights) {
        if let Err(error) = self.try_join(id.clone(), room, join, rights) {
            self.refuse(id, room, error);
        }
    }

    /// Joins, or says why the engine doesn't let it.
    fn try_join(
        &mut self,
        id: Id<'_>,
        room: &RoomName,
        join: &Join,
        rights: Rights,
    ) -> Result<(), RoomError> {
        let who = self.session.identity().clone();
        let room = self.hub.use_room(room)?;
        let (joined, members) = room.join(self.now, (self.connection, &who), (join, rights));
        self.session.joined((self.now, id), (room.clone(), rights), (&joined, &members), &mut self.answers);
        self.moved(room);
        Ok(())
    }

    fn leave(&mut self, id: Id<'_>, room: &Arc<Room>) {
        let who = self.session.identity().clone();
        self.connection.leave(self.now, &who, room, Departure::Clean);
        self.session.left((self.now, id), room.name(), &mut self.answers);
        self.moved(room.clone());
    }

    fn publish(&mut self, id: Id<'_>, room: Arc<Room>, publish: &Publish<'_>) {
        let publisher = Publisher::of(self.session.identity());
        let ticket = room.append(self.now, &Publication { id: id.as_deref(), publish, publisher });
        match ticket {
            Ticket::Now(outcome) => {
                published(&mut self.session, (self.now, id), &room, outcome, &mut self.answers);
                self.moved(room);
            }
            Ticket::Later(outcome) => {
                self.connection.await_ack();
                self.congested = self.connection.is_congested();
                let connection = self.connection.clone();
                let id = id.map(|id| Cow::Owned(id.into_owned()));
                self.connection.shared().runtime.spawn(async move {
                    let outcome = outcome.await;
                    // How long the room takes nothing more counts from when that is told.
                    let now = connection.shared().now();
                    connection.ack_late(|session, answers| {
                        published(session, (now, id), &room, outcome, answers);
                    });
                    room.drain();
                });
            }
        }
    }

    fn typing(&mut self, id: Id<'_>, room: &Arc<Room>, Typing { on, data }: Typing<'_>) {
        let who = self.session.identity().clone();
        let data: &Data<'_> = &data;
        room.type_(self.now, &who, (on, Some(data)), Some(self.connection.id()));
        self.session.done((self.now, id), room.name(), &mut self.answers);
        self.moved(room.clone());
    }

    fn presence(&mut self, id: Id<'_>, room: &Arc<Room>, state: Option<Box<str>>) {
        let who = self.session.identity().clone();
        if room.renew(self.now, &who, state, self.connection.id()) {
            self.session.done((self.now, id), room.name(), &mut self.answers);
        } else {
            let message = "this connection reads the room without being a member; join it with presence:true";
            self.session.refuse(
                (self.now, id),
                Some(room.name()),
                (Code::NotJoined, message),
                &mut self.answers,
            );
        }
        self.moved(room.clone());
    }

    fn history(&mut self, id: Id<'_>, room: &RoomName, query: &History) {
        let limits = &self.connection.shared().limits;
        let used = self.hub.use_room(room).map_err(RoomError::from);
        match used.and_then(|room| room.history(query, limits)) {
            Ok(page) => {
                page.with(|page| self.session.history((self.now, id), room, page, &mut self.answers));
            }
            Err(error) => self.refuse(id, room, error),
        }
    }

    fn refuse(&mut self, id: Id<'_>, room: &RoomName, RoomError { code, message, .. }: RoomError) {
        self.session.refuse((self.now, id), Some(room), (code, &message), &mut self.answers);
    }

    fn authenticate(&mut self, id: Id<'_>, token: &str) {
        let who = self.session.identity().clone();
        match self.hub.authorizer().authenticate(token, &who.session, self.now.wall) {
            Ok(identity) => {
                let at = (self.now, id);
                for (room, rights) in self.session.authenticated(at, Arc::new(identity), &mut self.answers) {
                    if rights.allow(Rights::JOIN) {
                        room.review(self.connection, rights, &mut self.answers);
                    } else {
                        self.connection.leave(self.now, &who, &room, Departure::Clean);
                    }
                    self.moved(room);
                }
                self.connection.shared().schedule_connection(self.now.ms, self.connection);
            }
            Err((code, message)) => {
                self.session.refuse((self.now, id), None, (code, &message), &mut self.answers);
            }
        }
    }
}

/// Answers a publish.
fn published(
    session: &mut Session<Arc<Room>>,
    at: (Now, Id<'_>),
    room: &Arc<Room>,
    outcome: Result<Delivered, RoomError>,
    answers: &mut Queue,
) {
    match outcome {
        Ok(delivered) => session.delivered(at, room.name(), &delivered, answers),
        Err(RoomError { message, position: Some(position), .. }) => {
            session.not_durable(at, room.name(), (&message, &position), answers);
        }
        Err(RoomError { code, message, .. }) => {
            session.refuse(at, Some(room.name()), (code, &message), answers);
        }
    }
}
