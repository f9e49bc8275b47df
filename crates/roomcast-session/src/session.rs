//! The server's half of one connection.
//!
//! | state | a message | a look at the clock | `close` |
//! |---|---|---|---|
//! | `Open` | read, checked, answered or made an [`Action`] | ping after silence, `expiring`, or a close | said once, then `Closed` |
//! | `Closed` | passed over | nothing | passed over |
//!
//! Within `Open` a room is either not joined, or has a *seat* with the rights it was joined with. Two smaller
//! machines stand beside: [`Heart`] (heard, pinged, gone) and [`Credential`] (valid, announced, ended).
//!
//! It decides what may be asked and writes every answer. It never touches a room: the driver carries out each
//! [`Action`] and comes back with the outcome (`joined`, `delivered`, …, or `refuse`).

use std::{borrow::Cow, sync::Arc, time::Duration};

use roomcast_protocol::{
    Close, Code, History, Join, Limits, Position, Publish, Queue, Refusal, Request, Rights, RoomName, Typing,
    Verb,
    server::{self, Delivered, Head, Joined, Members, Page},
};
use smallvec::SmallVec;

use crate::{
    Bucket, Credential, Heart, Identity, Now,
    heart::Beat,
    identity::{Due, Principal},
};

/// What a request is answered by, if it has one.
pub type Id<'t> = Option<Cow<'t, str>>;

/// The driver's own handle of a room, kept with the seat and given back with each action.
pub trait Target {
    /// The room's name.
    fn name(&self) -> &RoomName;
}

impl<T: Target> Target for Arc<T> {
    fn name(&self) -> &RoomName {
        (**self).name()
    }
}

/// What the driver must do, and then answer.
#[derive(Debug)]
pub enum Action<'t, R> {
    /// Make the connection a reader. Answer with [`Session::joined`].
    Join {
        /// The request's id.
        id: Id<'t>,
        /// The room.
        room: RoomName,
        /// How.
        join: Join,
        /// What the user may do there.
        rights: Rights,
    },
    /// The seat is given up; stop reading. Answer with [`Session::left`].
    Leave {
        /// The request's id.
        id: Id<'t>,
        /// The room.
        room: R,
    },
    /// Append or pass on a message. Answer with [`Session::delivered`].
    Publish {
        /// The request's id.
        id: Id<'t>,
        /// The room.
        room: R,
        /// The message.
        publish: Publish<'t>,
    },
    /// Tell the others. Answer with [`Session::done`].
    Typing {
        /// The request's id.
        id: Id<'t>,
        /// The room.
        room: R,
        /// What.
        typing: Typing<'t>,
    },
    /// Renew the member and set its state. Answer with [`Session::done`].
    Presence {
        /// The request's id.
        id: Id<'t>,
        /// The room.
        room: R,
        /// The new state, if there is one.
        state: Option<Box<str>>,
    },
    /// Read a page. Answer with [`Session::history`].
    History {
        /// The request's id.
        id: Id<'t>,
        /// The room.
        room: RoomName,
        /// Which page.
        query: History,
    },
    /// Verify a token. Answer with [`Session::authenticated`].
    Authenticate {
        /// The request's id.
        id: Id<'t>,
        /// The token, unverified.
        token: String,
    },
}

/// What a look at the clock came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Look again at this time, in milliseconds.
    Again(u64),
    /// The connection must end; say so with [`Session::close`].
    End(Close, &'static str),
}

/// Why something is not done.
struct No {
    code: Code,
    message: String,
    retry_after: Option<Duration>,
}

impl No {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    fn later(code: Code, retry_after: Duration, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: Some(retry_after) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Closed(Box<Farewell>),
}

/// How a connection was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// Why.
    pub close: Close,
    /// What there is to say of it.
    pub text: Box<str>,
    /// When, on the clock of `Now::ms`.
    pub ms: u64,
}

/// A room that the connection has joined.
#[derive(Debug)]
struct Seat<R> {
    room: R,
    rights: Rights,
    /// After `unavailable` all sends to the room are refused until then, so that order holds.
    held_until_ms: u64,
}

/// One connection, as its server sees it.
#[derive(Debug)]
pub struct Session<R> {
    limits: Arc<Limits>,
    identity: Arc<Identity>,
    phase: Phase,
    heart: Heart,
    credential: Credential,
    sends: Bucket,
    /// Joins, pages of history and new tokens, which have the same rate of their own.
    asks: Bucket,
    controls: Bucket,
    /// After `rate_limited` all sends are refused until then, so that order holds.
    held_until_ms: u64,
    /// The room that messages without one mean.
    bound: Option<RoomName>,
    seats: SmallVec<[Seat<R>; 1]>,
    /// Errors told since somebody asked.
    refused: u32,
}

impl<R: Target + Clone> Session<R> {
    /// A connection that has just been let in. Says `welcome`.
    pub fn open(now: Now, identity: Arc<Identity>, limits: Arc<Limits>, queue: &mut Queue) -> Self {
        let Identity { session, user, .. } = &*identity;
        let who = (&**session, &**user);
        queue.push(|out| server::welcome(Head::at(now.wall), who, limits.ping_interval, &[], out));
        let heart = if queue.wire().is_websocket() { Heart::Heard(now.ms) } else { Heart::Unasked(now.ms) };
        Self::with_heart(heart, identity, limits)
    }

    /// A stream that has just been let in: its client asks for nothing more, and the driver says `welcome`.
    pub fn one_way(now: Now, identity: Arc<Identity>, limits: Arc<Limits>) -> Self {
        Self::with_heart(Heart::Unasked(now.ms), identity, limits)
    }

    fn with_heart(heart: Heart, identity: Arc<Identity>, limits: Arc<Limits>) -> Self {
        Self {
            credential: Credential::until(identity.expires_at),
            identity,
            limits,
            phase: Phase::Open,
            heart,
            sends: Bucket::default(),
            asks: Bucket::default(),
            controls: Bucket::default(),
            held_until_ms: 0,
            bound: None,
            seats: SmallVec::new(),
            refused: 0,
        }
    }

    // What is known.

    /// Who is at the other end.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Whether the close has been said.
    pub fn is_closed(&self) -> bool {
        self.farewell().is_some()
    }

    /// How it was closed, if it was.
    pub fn farewell(&self) -> Option<&Farewell> {
        match &self.phase {
            Phase::Open => None,
            Phase::Closed(farewell) => Some(farewell),
        }
    }

    /// The rooms that are joined.
    pub fn rooms(&self) -> impl Iterator<Item = &R> {
        self.seats.iter().map(|seat| &seat.room)
    }

    /// How many errors were told since this was asked last.
    pub fn take_refused(&mut self) -> u32 {
        std::mem::take(&mut self.refused)
    }

    // What the peer does.

    /// Bytes came.
    pub fn heard(&mut self, now: Now) {
        self.heart.heard(now.ms);
    }

    /// A ping or pong came: one more than the limit allows ends the connection.
    pub fn control_frame(&mut self, now: Now) -> Result<(), Close> {
        let limit = self.limits.control_frames_per_second;
        self.controls.take(now.ms, limit, limit).map_err(|_| Close::RateLimited)
    }

    /// A message came: what the driver must do, if anything. Everything else has been answered.
    pub fn handle<'t>(&mut self, now: Now, text: &'t str, queue: &mut Queue) -> Option<Action<'t, R>> {
        if self.is_closed() {
            return None;
        }
        let (id, room, verb) = match Request::parse(text, &self.limits) {
            Ok(Request { id, room, verb }) => (id, room, verb),
            Err(Refusal { id, room, code, message }) => {
                let head = Head { id: id.as_deref(), room: room.as_deref(), now: now.wall };
                self.refused += 1;
                queue.push(|out| server::error(head, code, &message, None, out));
                return None;
            }
        };
        // A message names its room, or means the one its connection is bound to.
        let bound = self.bound.clone();
        let room = room.as_deref().or(bound.as_deref());
        match self.decide(now, (&id, room), verb, queue) {
            Ok(action) => action,
            Err(no) => {
                let head = Head { id: id.as_deref(), room, now: now.wall };
                self.refused += 1;
                queue.push(|out| server::error(head, no.code, &no.message, no.retry_after, out));
                None
            }
        }
    }

    /// Joins the room of the connection's path. A refusal ends the connection.
    pub fn bind(&mut self, room: RoomName, join: Join) -> Result<Action<'static, R>, Close> {
        let rights = self.may_join(&room, &join).map_err(|_| Close::Forbidden)?;
        self.bound = Some(room.clone());
        Ok(Action::Join { id: None, room, join, rights })
    }

    fn decide<'t>(
        &mut self,
        now: Now,
        (id, room): (&Id<'t>, Option<&str>),
        verb: Verb<'t>,
        queue: &mut Queue,
    ) -> Result<Option<Action<'t, R>>, No> {
        let head = Head { id: id.as_deref(), room, now: now.wall };
        let named = || room.ok_or_else(|| No::new(Code::BadRequest, "which room? Send it as \"room\""));
        let id = id.clone();
        Ok(Some(match verb {
            Verb::Ping => {
                queue.push(|out| server::done(head, "pong", out));
                return Ok(None);
            }
            Verb::Auth { token } => {
                self.ask(now)?;
                Action::Authenticate { id, token }
            }
            Verb::Join(join) => {
                self.ask(now)?;
                let room =
                    RoomName::new(named()?).map_err(|no| No::new(Code::InvalidRoom, no.to_string()))?;
                let rights = self.may_join(&room, &join)?;
                Action::Join { id, room, join, rights }
            }
            Verb::Leave => {
                let Some(room) = self.take_seat(named()?) else {
                    queue.push(|out| server::done(head, "left", out));
                    return Ok(None);
                };
                Action::Leave { id, room }
            }
            Verb::Publish(publish) => {
                Action::Publish { id, room: self.send(now, named()?, Rights::SEND)?, publish }
            }
            Verb::Typing(typing) => {
                Action::Typing { id, room: self.send(now, named()?, Rights::SEND)?, typing }
            }
            Verb::Presence { state } => {
                Action::Presence { id, room: self.send(now, named()?, Rights::NONE)?, state }
            }
            Verb::History(query) => {
                self.ask(now)?;
                let room =
                    RoomName::new(named()?).map_err(|no| No::new(Code::InvalidRoom, no.to_string()))?;
                self.need(self.identity.grants.rights(&room), Rights::HISTORY, &room)?;
                Action::History { id, room, query }
            }
        }))
    }

    /// Checks a join's rights and the number of rooms.
    fn may_join(&self, room: &RoomName, join: &Join) -> Result<Rights, No> {
        let rights = self.identity.grants.rights(room);
        let wanted = if join.last.is_some() { Rights::JOIN | Rights::HISTORY } else { Rights::JOIN };
        self.need(rights, wanted, room)?;
        let max = self.limits.rooms_per_connection_max;
        if self.seats.len() >= max && self.seat(room).is_none() {
            let message =
                format!("this connection is in {max} rooms, the most it may be in; leave one first");
            return Err(No::later(Code::TooManyRooms, self.limits.retry_after_min, message));
        }
        Ok(rights)
    }

    fn need(&self, rights: Rights, wanted: Rights, room: &str) -> Result<(), No> {
        if rights.allow(wanted) {
            return Ok(());
        }
        let user = &self.identity.user;
        let message = format!(
            "{user} has {rights:?} in {room:?} and needs {wanted:?}; the token's \"rooms\" or the server's [[rooms]] rules give rights"
        );
        Err(No::new(Code::Forbidden, message))
    }

    /// Whether the connection may send to a room now, and the driver's handle of it.
    fn send(&mut self, now: Now, room: &str, wanted: Rights) -> Result<R, No> {
        let Some(seat) = self.seat(room) else {
            return Err(No::new(Code::NotJoined, format!("join {room:?} on this connection first")));
        };
        let (handle, rights, room_held_until) = (seat.room.clone(), seat.rights, seat.held_until_ms);
        self.need(rights, wanted, room)?;
        if now.ms < room_held_until {
            let wait = Duration::from_millis(room_held_until - now.ms);
            return Err(No::later(
                Code::Unavailable,
                wait,
                "the room can't take messages yet; go on oldest first",
            ));
        }
        if now.ms < self.held_until_ms {
            let wait = Duration::from_millis(self.held_until_ms - now.ms);
            return Err(No::later(
                Code::RateLimited,
                wait,
                "refused since a send before it was; go on oldest first",
            ));
        }
        self.rate(now).inspect_err(|no| {
            self.held_until_ms = now.ms + no.retry_after.unwrap_or_default().as_millis() as u64;
        })?;
        Ok(handle)
    }

    /// Takes one from the rate of sends.
    fn rate(&mut self, now: Now) -> Result<(), No> {
        take(&mut self.sends, now, &self.identity, &self.limits)
    }

    /// Takes one from the rate of everything else that costs something.
    fn ask(&mut self, now: Now) -> Result<(), No> {
        take(&mut self.asks, now, &self.identity, &self.limits)
    }

    fn seat(&self, room: &str) -> Option<&Seat<R>> {
        self.seats.iter().find(|seat| **seat.room.name() == *room)
    }

    fn take_seat(&mut self, room: &str) -> Option<R> {
        let at = self.seats.iter().position(|seat| **seat.room.name() == *room)?;
        Some(self.seats.swap_remove(at).room)
    }

    // What the driver has done.

    /// The connection reads the room now: takes the seat and tells, in this order, the ack, a reset if there
    /// is one, and the roster to those who may read it.
    pub fn joined(
        &mut self,
        (now, id): (Now, Id<'_>),
        (room, rights): (R, Rights),
        (joined, members): (&Joined, &Members),
        queue: &mut Queue,
    ) {
        let head = Head::at(now.wall).in_room(room.name());
        queue.push(|out| server::joined(head.to(id.as_deref()), joined, members, out));
        if let Some(reason) = joined.reset {
            queue.push(|out| server::reset(head, reason, &joined.epoch, joined.seq, out));
        }
        if members.v.is_some() {
            queue.push(|out| server::sync(head, members, out));
        }
        match self.seats.iter_mut().find(|seat| seat.room.name() == room.name()) {
            Some(seat) => (seat.room, seat.rights) = (room, rights),
            None => self.seats.push(Seat { room, rights, held_until_ms: 0 }),
        }
    }

    /// The connection no longer reads the room.
    pub fn left(&self, (now, id): (Now, Id<'_>), room: &str, queue: &mut Queue) {
        let head = Head::at(now.wall).in_room(room).to(id.as_deref());
        queue.push(|out| server::done(head, "left", out));
    }

    /// The message was taken.
    pub fn delivered(&self, (now, id): (Now, Id<'_>), room: &str, outcome: &Delivered, queue: &mut Queue) {
        let head = Head::at(now.wall).in_room(room).to(id.as_deref());
        if head.asked() {
            queue.push(|out| server::delivered(head, outcome, out));
        }
    }

    /// A presence or typing message was taken.
    pub fn done(&self, (now, id): (Now, Id<'_>), room: &str, queue: &mut Queue) {
        let head = Head::at(now.wall).in_room(room).to(id.as_deref());
        if head.asked() {
            queue.push(|out| server::done(head, "ok", out));
        }
    }

    /// A page was read.
    pub fn history(&self, (now, id): (Now, Id<'_>), room: &str, page: &Page<'_>, queue: &mut Queue) {
        let head = Head::at(now.wall).in_room(room).to(id.as_deref());
        queue.push(|out| server::history(head, page, out));
    }

    /// What was asked for is not done. After `unavailable` the room's later sends are refused too.
    pub fn refuse(
        &mut self,
        (now, id): (Now, Id<'_>),
        room: Option<&str>,
        (code, message): (Code, &str),
        queue: &mut Queue,
    ) {
        let retry_after = code.retryable().then_some(self.limits.retry_after_min);
        if code == Code::Unavailable {
            let held_until_ms = now.ms + self.limits.retry_after_min.as_millis() as u64;
            if let Some(seat) = self.seats.iter_mut().find(|seat| room == Some(&**seat.room.name())) {
                seat.held_until_ms = held_until_ms;
            }
        }
        let head = Head { id: id.as_deref(), room, now: now.wall };
        self.refused += 1;
        queue.push(|out| server::error(head, code, message, retry_after, out));
    }

    /// The message has a position, but may not be there after a crash.
    pub fn not_durable(
        &mut self,
        (now, id): (Now, Id<'_>),
        room: &str,
        (message, position): (&str, &Position),
        queue: &mut Queue,
    ) {
        let head = Head { id: id.as_deref(), room: Some(room), now: now.wall };
        let retry_after = self.limits.retry_after_min;
        self.refused += 1;
        queue.push(|out| server::not_durable(head, message, position, retry_after, out));
    }

    /// A new token of the same user is good: goes on with it, and gives back the rooms in which it gives other rights
    /// than before. Those that it no longer opens are given up.
    pub fn authenticated(
        &mut self,
        (now, id): (Now, Id<'_>),
        identity: Arc<Identity>,
        queue: &mut Queue,
    ) -> Vec<(R, Rights)> {
        if identity.user != self.identity.user {
            let message = format!("the token is another user's; this connection is {}'s", self.identity.user);
            self.refuse((now, id), None, (Code::Forbidden, &message), queue);
            return Vec::new();
        }
        let head = Head::at(now.wall).to(id.as_deref());
        let expires_at = identity.expires_at.map(|end| end.0 / 1000);
        if head.asked() {
            queue.push(|out| server::authenticated(head, &identity.user, expires_at, out));
        }
        self.credential = Credential::until(identity.expires_at);
        self.identity = identity;
        self.review(now, queue)
    }

    /// Looks at each seat with the rights of now; gives up those that are no longer allowed.
    fn review(&mut self, now: Now, queue: &mut Queue) -> Vec<(R, Rights)> {
        let mut changed = Vec::new();
        let grants = self.identity.grants.clone();
        self.seats.retain(|seat| {
            let rights = grants.rights(seat.room.name());
            if seat.rights != rights {
                seat.rights = rights;
                changed.push((seat.room.clone(), rights));
            }
            let stays = seat.rights.allow(Rights::JOIN);
            if !stays {
                let head = Head::at(now.wall).in_room(seat.room.name());
                queue.push(|out| server::kicked(head, "the new token does not give the right to join", out));
            }
            stays
        });
        changed
    }

    // What time and the server do.

    /// Looks at the clock.
    pub fn tick(&mut self, now: Now, queue: &mut Queue) -> Tick {
        let Limits { ping_interval, pong_timeout, token_expiring_notice, .. } = *self.limits;
        let interval = match self.heart {
            Heart::Unasked(_) => self.limits.keep_alive_interval,
            _ => ping_interval,
        };
        let next = match self.heart.beat(now.ms, interval, pong_timeout) {
            Beat::Wait(next) => next,
            Beat::Ping(next) => {
                queue.push_ping();
                next
            }
            Beat::Gone => return Tick::End(Close::TooSlow, "no answer to a ping; reconnect and resume"),
        };
        match self.credential.look(now.wall, token_expiring_notice) {
            Due::Wait(None) => Tick::Again(next),
            Due::Wait(Some(wait)) => Tick::Again(next.min(now.ms + wait.as_millis() as u64)),
            Due::Announce(left) => {
                queue.push(|out| server::expiring(Head::at(now.wall), left, out));
                Tick::Again(next.min(now.ms + left.as_millis() as u64))
            }
            Due::Ended => Tick::End(Close::TokenExpired, "the token has ended; fetch another and reconnect"),
        }
    }

    /// The server is about to restart.
    pub fn drain(&self, now: Now, reconnect_in: Duration, queue: &mut Queue) {
        queue.push(|out| server::draining(Head::at(now.wall), reconnect_in, out));
    }

    /// Ends the connection; the close is said once.
    pub fn close(&mut self, now: Now, close: Close, text: &str, queue: &mut Queue) {
        if self.phase == Phase::Open {
            self.phase = Phase::Closed(Box::new(Farewell { close, text: text.into(), ms: now.ms }));
            queue.push_close(now.wall, close, text);
        }
    }
}

/// Takes one from a rate of this connection. A back end knows no rate.
fn take(bucket: &mut Bucket, now: Now, identity: &Identity, limits: &Limits) -> Result<(), No> {
    if identity.principal == Principal::Backend {
        return Ok(());
    }
    let Limits { sends_per_second, sends_burst, retry_after_min, .. } = *limits;
    bucket.take(now.ms, sends_per_second, sends_burst).map_err(|wait| {
        let message = format!(
            "more than {sends_per_second} a second (burst {sends_burst}) on this connection; go on oldest first"
        );
        No::later(Code::RateLimited, wait.max(retry_after_min), message)
    })
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
