//! One client, over all its connections.
//!
//! | phase | time | a message | connection lost | `close` |
//! |---|---|---|---|---|
//! | `Waiting` | connects, or first fetches a token | | | `Ended` |
//! | `Fetching` | a try may take so long | | `Waiting` | `Ended` |
//! | `Connecting` | a try may take so long | `welcome`: `Open` | `Waiting` or `Ended` | `Ended` |
//! | `Open` | pings; gives up a silent server | handled | `Waiting` or `Ended` | says so, `Closing` |
//! | `Closing` | the server may take so long | handled: answers still come | `Ended` | |
//! | `HangingUp` | | passed over | `Waiting` or `Ended` | `Ended` |
//! | `Ended` | | | | |
//!
//! Calls only change what is known; [`Client::tick`] then does whatever has become due. What a room is to its
//! reader is `reading.rs`, what waits for acks is `outbox.rs`.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use roomcast_protocol::{Code, Position, RoomName};

use super::{
    answer::{Error, Refused},
    asks::Asks,
    backoff::Backoff,
    comeback::{Comeback, Loss},
    event::Event,
    incoming::{Envelope, Incoming, Joined},
    outbox::Outbox,
    output::{Ended, Output, Status},
    reading::{Fill, Inbox, Reading, Seat},
    request::{self, Publication, Query, Start},
    route::Route,
    secret::Secret,
    settings::{Settings, Token, Why},
};
use crate::{Heart, heart::Beat};

/// An ack's `data` that says no more than that it was done.
const NOTHING: &str = "{}";

/// The shortest that a server can be set to. One that says less would be pinged as fast as it answers.
const PING_INTERVAL_MIN: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting { until_ms: u64 },
    Fetching { until_ms: u64 },
    Connecting { until_ms: u64 },
    Open,
    Closing { until_ms: u64 },
    HangingUp,
    Ended,
}

/// The ids of requests other than messages.
#[derive(Debug)]
struct Ids {
    nonce: u32,
    last: u64,
}

impl Ids {
    fn next(&mut self) -> String {
        self.last += 1;
        format!("{:08x}.{}", self.nonce, self.last)
    }
}

/// One client. `I` is what an application takes a room's events from, `T` what it waits for an answer with.
#[derive(Debug)]
pub struct Client<I, T> {
    settings: Settings,
    phase: Phase,
    attempt: u32,
    route: Route,
    /// There is a try, and no `welcome` yet.
    is_opening: bool,
    backoff: Backoff,
    heart: Heart,
    ping_interval: Duration,
    /// How long to wait after the server's close, if it said so.
    comeback: Option<Duration>,
    token: Option<Secret>,
    /// Why the next token is fetched.
    why: Why,
    /// The server has refused a fresh token, and one more is being tried.
    second_token: bool,
    /// Until then no message is sent, since the server refused one for its rate.
    held_until_ms: u64,
    rooms: BTreeMap<RoomName, Reading<I, T>>,
    asks: Asks<T>,
    ids: Ids,
    outputs: VecDeque<Output<T>>,
}

/// A room that is to be read, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// The room.
    pub room: &'a RoomName,
    /// How it is joined.
    pub start: &'a Start,
    /// Where the reader is, if it has been anywhere.
    pub position: Option<&'a Position>,
}

impl<I: Inbox, T> Client<I, T> {
    /// A client that connects at the first [`Self::tick`].
    pub fn new(settings: Settings) -> Self {
        Self {
            phase: Phase::Waiting { until_ms: 0 },
            attempt: 0,
            route: Route::new(settings.transports.clone()),
            is_opening: false,
            backoff: settings.backoff.clone(),
            heart: Heart::Heard(0),
            ping_interval: Duration::ZERO,
            comeback: None,
            token: match &settings.token {
                Token::Fixed(token) => Some(token.clone()),
                Token::None | Token::Fetched => None,
            },
            why: Why::Connect,
            second_token: false,
            held_until_ms: 0,
            rooms: BTreeMap::new(),
            asks: Asks::default(),
            ids: Ids { nonce: settings.nonce, last: 0 },
            outputs: VecDeque::new(),
            settings,
        }
    }

    /// What the driver must do next.
    pub fn poll_output(&mut self) -> Option<Output<T>> {
        self.outputs.pop_front()
    }

    /// The rooms that are to be read now.
    pub fn readers(&self) -> impl Iterator<Item = Reader<'_>> {
        let staying = self.rooms.iter().filter(|(_, reading)| !reading.is_leaving());
        staying.map(|(room, reading)| Reader { room, start: &reading.start, position: reading.position() })
    }

    /// What the application takes a room's events from.
    pub fn inbox(&self, room: &RoomName) -> Option<&I> {
        self.rooms.get(room).map(|reading| &reading.inbox)
    }

    // What the application asks.

    /// Joins a room, now and after each reconnect. The rest is told through the inbox. One that is being left may
    /// be joined again: what is still under way for it may be acked.
    pub fn join(&mut self, room: RoomName, start: Start, inbox: I) -> Result<(), Error> {
        if self.phase == Phase::Ended {
            return Err(Error::Ended("it was closed".into()));
        }
        self.leave_abandoned();
        if self.rooms.get(&room).is_some_and(|reading| !reading.is_leaving()) {
            return Err(Error::AlreadyJoined);
        }
        let mut reading = Reading::new(start, inbox);
        reading.outbox = self.vacate(&room, left()).unwrap_or_default();
        self.rooms.insert(room, reading);
        Ok(())
    }

    /// Leaves a room. Messages that have not been sent are given up.
    pub fn leave(&mut self, room: &RoomName, reply: Option<T>) {
        let Some(reading) = self.rooms.get_mut(room).filter(|reading| !reading.is_leaving()) else {
            return self.outputs.extend(reply.map(|reply| Output::Answer(reply, Ok(NOTHING.into()))));
        };
        if self.phase != Phase::Open {
            reading.seat = Seat::Leaving(String::new(), reply);
            return self.finish(room, left());
        }
        let id = self.ids.next();
        self.outputs.push_back(Output::Send(request::leave(&id, room).into()));
        self.outputs
            .extend(reading.outbox.give_up_waiting().map(|reply| Output::Answer(reply, Err(Error::Left))));
        reading.seat = Seat::Leaving(id, reply);
    }

    /// Sends a message: now, or when there is a connection; again under the same id until there is an answer.
    pub fn publish(&mut self, room: &RoomName, publication: &Publication, reply: T) {
        let text = publication.text(room, false);
        match self.reading_for(room, &text) {
            Ok(reading) => reading.outbox.put(&publication.id, text, reply),
            Err(error) => self.refuse(reply, error),
        }
    }

    /// Asks something of a room.
    pub fn ask(&mut self, now_ms: u64, room: &RoomName, query: &Query, reply: T) {
        let id = match query {
            Query::Volatile(publication) => publication.id.to_string(),
            _ => self.ids.next(),
        };
        let (text, open) = (query.text(&id, room), self.phase == Phase::Open);
        match self.reading_for(room, &text) {
            Err(error) => self.refuse(reply, error),
            Ok(reading) if query.is_once() && !(open && reading.is_seated()) => {
                self.refuse(reply, Error::Offline);
            }
            Ok(reading) => {
                match query {
                    Query::Presence(state) => reading.start.state = Some(state.clone()),
                    Query::Typing(on) if !reading.typing_is_news(now_ms, *on) => {
                        return self.outputs.push_back(Output::Answer(reply, Ok(NOTHING.into())));
                    }
                    _ => {}
                }
                self.asks.put(query, room, (id, text), reply);
            }
        }
    }

    /// Ends the client: politely, if it is connected.
    pub fn close(&mut self, now_ms: u64) {
        match self.phase {
            Phase::Open => {
                self.phase = Phase::Closing { until_ms: now_ms + millis(self.settings.close_timeout) };
                self.outputs.push_back(Output::Close);
            }
            Phase::Closing { .. } | Phase::Ended => {}
            _ => self.end(closed()),
        }
    }

    /// The room that one more request of this size may be asked of.
    fn reading_for(&mut self, room: &RoomName, text: &str) -> Result<&mut Reading<I, T>, Error> {
        let (bytes, max) = (text.len(), self.settings.message_bytes_max);
        if bytes > max {
            return Err(Error::TooLarge { bytes, max });
        }
        let messages: usize = self.rooms.values().map(|reading| reading.outbox.len()).sum();
        let max = self.settings.requests_max;
        if messages + self.asks.len() >= max {
            return Err(Error::QueueFull { max });
        }
        self.rooms.get_mut(room).filter(|reading| !reading.is_leaving()).ok_or(Error::Left)
    }

    fn refuse(&mut self, reply: T, error: Error) {
        self.outputs.push_back(Output::Answer(reply, Err(error)));
    }

    // What time does.

    /// Does what is due, after whatever else was called. Answers when to call it again, in milliseconds.
    pub fn tick(&mut self, now_ms: u64) -> Option<u64> {
        self.look_at_inboxes();
        match self.phase {
            Phase::Waiting { until_ms } if now_ms >= until_ms => {
                self.try_again(now_ms);
                self.tick(now_ms)
            }
            Phase::Fetching { until_ms } if now_ms >= until_ms => self.hang_up("no token came in time"),
            Phase::Connecting { until_ms } if now_ms >= until_ms => {
                self.hang_up("the server did not answer in time")
            }
            Phase::Closing { until_ms } if now_ms >= until_ms => {
                self.hang_up("the server did not answer the close in time")
            }
            Phase::Waiting { until_ms }
            | Phase::Fetching { until_ms }
            | Phase::Connecting { until_ms }
            | Phase::Closing { until_ms } => Some(until_ms),
            Phase::Open => self.beat(now_ms),
            Phase::HangingUp | Phase::Ended => None,
        }
    }

    /// Readers that have caught up go on; rooms that nobody reads any more are left.
    fn look_at_inboxes(&mut self) {
        self.rooms.values_mut().for_each(Reading::catch_up);
        self.leave_abandoned();
    }

    fn leave_abandoned(&mut self) {
        let abandoned =
            |reading: &Reading<I, T>| reading.inbox.fill() == Fill::Abandoned && !reading.is_leaving();
        while let Some((room, _)) = self.rooms.iter().find(|(_, reading)| abandoned(reading)) {
            self.leave(&room.clone(), None);
        }
    }

    fn try_again(&mut self, now_ms: u64) {
        self.attempt += 1;
        self.tell(Status::Connecting { attempt: self.attempt });
        let until_ms = now_ms + millis(self.settings.connect_timeout);
        if self.settings.token == Token::Fetched {
            self.phase = Phase::Fetching { until_ms };
            self.outputs.push_back(Output::FetchToken(self.why));
        } else {
            self.connect(until_ms);
        }
    }

    fn connect(&mut self, until_ms: u64) {
        self.phase = Phase::Connecting { until_ms };
        self.is_opening = true;
        let (attempt, token, transport) = (self.attempt, self.token.clone(), self.route.transport());
        self.outputs.push_back(Output::Connect { attempt, token, transport });
    }

    fn hang_up(&mut self, cause: impl Into<String>) -> Option<u64> {
        if !matches!(self.phase, Phase::Closing { .. }) {
            self.phase = Phase::HangingUp;
        }
        self.outputs.push_back(Output::HangUp(cause.into()));
        None
    }

    /// Notices a server that is gone, else sends what may be sent.
    fn beat(&mut self, now_ms: u64) -> Option<u64> {
        let next_ms = match self.heart.beat(now_ms, self.ping_interval, self.settings.pong_timeout) {
            Beat::Gone => return self.hang_up("the server answered no ping"),
            Beat::Wait(next_ms) => next_ms,
            Beat::Ping(next_ms) => {
                self.outputs.push_back(Output::Ping);
                next_ms
            }
        };
        self.send_due(now_ms);
        let held = self.rooms.values().map(|reading| self.held_until_ms.max(reading.held_until_ms));
        held.filter(|held_ms| *held_ms > now_ms).chain([next_ms]).min()
    }

    /// Sends joins, messages and requests that may be sent now.
    fn send_due(&mut self, now_ms: u64) {
        for (room, reading) in &mut self.rooms {
            let held_ms = reading.held_until_ms;
            if matches!(reading.seat, Seat::Out) && now_ms >= held_ms {
                let join = reading.join(self.ids.next(), room);
                self.outputs.push_back(Output::Send(join.into()));
            }
            if reading.is_seated() && now_ms >= held_ms.max(self.held_until_ms) {
                let outbox = &mut reading.outbox;
                let forgotten = std::iter::from_fn(|| outbox.forgotten(now_ms));
                self.outputs.extend(forgotten.map(|reply| Output::Answer(reply, Err(Error::Unanswered))));
                self.outputs.extend(std::iter::from_fn(|| outbox.next(now_ms)).map(Output::Send));
            }
        }
        let is_seated = |room: &RoomName| self.rooms.get(room).is_some_and(Reading::is_seated);
        self.outputs.extend(self.asks.due(is_seated).map(Output::Send));
    }

    // What the driver saw.

    /// The computer was asleep for so long, and the clock that times are taken from stood still. The server's did
    /// not: it may have forgotten what was sent before.
    pub fn slept(&mut self, slept_ms: u64) {
        self.rooms.values_mut().for_each(|reading| reading.outbox.slept(slept_ms));
    }

    /// A token came, or none for a guest, or why it failed. `random` is uniform over all `u32`.
    pub fn fetched(&mut self, now_ms: u64, token: Result<Option<Secret>, String>, random: u32) {
        match (self.phase, token) {
            (Phase::Fetching { until_ms }, Ok(token)) => {
                self.token = token;
                self.connect(until_ms);
            }
            (Phase::Fetching { .. }, Err(cause)) => {
                self.lost(now_ms, Loss::Broken(format!("no token: {cause}")), random);
            }
            (Phase::Open, Ok(Some(token))) => {
                // The answer needs no waiting for: a token that is refused is noticed when the old one ends.
                self.outputs.push_back(Output::Send(request::auth(&self.ids.next(), &token).into()));
                self.token = Some(token);
            }
            _ => {}
        }
    }

    /// Bytes came.
    pub fn heard(&mut self, now_ms: u64) {
        self.heart.heard(now_ms);
    }

    /// A text frame came.
    pub fn message(&mut self, now_ms: u64, text: &str) {
        if !matches!(self.phase, Phase::Connecting { .. } | Phase::Open | Phase::Closing { .. }) {
            return;
        }
        let read = Envelope::read(text).and_then(|envelope| {
            let room = envelope.room().map(str::to_owned);
            self.handle(now_ms, room.as_deref(), envelope.open()?)
        });
        if let Err(why) = read {
            self.hang_up(format!("the server sent what can't be read: {why}"));
        }
    }

    fn handle(&mut self, now_ms: u64, room: Option<&str>, incoming: Incoming<'_>) -> Result<(), String> {
        match (incoming, self.reading(room)) {
            (Incoming::Welcome { user, ping_interval }, _) => self.welcomed(now_ms, user, ping_interval),
            (Incoming::Ack(id, data), Some(reading)) if reading.is_joining(&id) => {
                reading.joined(Joined::read(data)?);
            }
            (Incoming::Ack(id, data), _) => self.answered(room, &id, Ok(data.get().into())),
            (Incoming::Error(id, refused), _) => self.refused(now_ms, room, &id, refused),
            (Incoming::Draining(reconnect_in), _) => self.comeback = Some(reconnect_in),
            (Incoming::Expiring, _) => self.expiring(),
            (Incoming::Kicked(reason), Some(_)) => self.finish_named(room, Event::Left { reason }),
            (Incoming::Reset { reason, position }, Some(reading)) => reading.reset(reason, position),
            (Incoming::Message(message, prev), Some(reading)) => reading.message(message, prev),
            (Incoming::Presence(presence), Some(reading)) => {
                reading.tell(Event::Presence(presence));
            }
            (Incoming::Typing(typing), Some(reading)) => {
                reading.tell(Event::Typing(typing));
            }
            _ => {}
        }
        Ok(())
    }

    fn expiring(&mut self) {
        if self.settings.token == Token::Fetched {
            self.outputs.push_back(Output::FetchToken(Why::Expiring));
        }
    }

    fn reading(&mut self, room: Option<&str>) -> Option<&mut Reading<I, T>> {
        self.rooms.get_mut(room?)
    }

    fn welcomed(&mut self, now_ms: u64, user: Option<String>, ping_interval: Duration) {
        let transport = self.route.transport();
        match self.phase {
            Phase::Connecting { .. } => {}
            // Without a socket, who the client is may be told later.
            Phase::Open => return self.tell(Status::Connected { user, transport }),
            _ => return,
        }
        self.phase = Phase::Open;
        self.heart = Heart::Heard(now_ms);
        self.ping_interval = ping_interval.max(PING_INTERVAL_MIN);
        self.is_opening = false;
        self.route.worked();
        self.backoff.reset();
        (self.comeback, self.second_token, self.held_until_ms) = (None, false, 0);
        self.why = Why::Connect;
        self.tell(Status::Connected { user, transport });
    }

    /// An answer came for a message, a leave or another request; or for what was given up meanwhile.
    fn answered(&mut self, room: Option<&str>, id: &str, answer: Result<Box<str>, Error>) {
        let Some(reading) = self.reading(room) else { return };
        if let Some(letter) = reading.outbox.answered(id) {
            return self.outputs.push_back(Output::Answer(letter.reply, answer));
        }
        if reading.is_leaving_by(id) {
            return self.finish_named(room, left());
        }
        self.outputs.extend(self.asks.answered(id).map(|reply| Output::Answer(reply, answer)));
    }

    fn refused(&mut self, now_ms: u64, room: Option<&str>, id: &str, refused: Refused) {
        let retry_ms = now_ms + millis(refused.retry_after.unwrap_or(Duration::from_secs(1)));
        let is = |code: Code| refused.code == code.name();
        let Some(reading) = self.reading(room) else { return };
        if reading.is_joining(id) {
            // Being in too many rooms doesn't pass by waiting.
            if !refused.retryable || is(Code::TooManyRooms) {
                return self.finish_named(room, Event::Denied(refused));
            }
            reading.held_until_ms = retry_ms;
            reading.seat = Seat::Out;
            return;
        }
        match reading.outbox.answered(id) {
            Some(letter) if refused.retryable => {
                reading.outbox.put_back(letter);
                let hold =
                    if is(Code::RateLimited) { &mut self.held_until_ms } else { &mut reading.held_until_ms };
                *hold = retry_ms.max(*hold);
            }
            Some(letter) => self.refuse(letter.reply, Error::Refused(refused)),
            None => self.answered(room, id, Err(Error::Refused(refused))),
        }
    }

    /// The connection, the try or the fetching is over. `random` is uniform over all `u32`.
    pub fn lost(&mut self, now_ms: u64, loss: Loss, random: u32) {
        match self.phase {
            // It is known already.
            Phase::Waiting { .. } | Phase::Ended => return,
            Phase::Closing { .. } => return self.end(closed()),
            _ => self.forget_connection(),
        }
        let fetched = self.settings.token == Token::Fetched;
        match Comeback::after(&loss) {
            Comeback::Later => {}
            Comeback::WithToken if fetched => self.why = Why::Expired,
            Comeback::OnceWithToken if fetched && !self.second_token => {
                (self.second_token, self.why) = (true, Why::Expired);
            }
            _ => return self.end(Ended { code: loss.code(), reason: loss.to_string() }),
        }
        if std::mem::take(&mut self.is_opening) && matches!(loss, Loss::Broken(_)) && self.route.fall(&loss) {
            self.phase = Phase::Waiting { until_ms: now_ms };
            return;
        }
        let is_last = self.settings.retries_max.is_some_and(|max| self.route.waits() >= max);
        let cause = self.route.wait(loss);
        if is_last {
            return self.end(Ended { code: cause.code(), reason: cause.to_string() });
        }
        let retry_in = self.comeback.take().unwrap_or_else(|| self.backoff.next(random));
        self.phase = Phase::Waiting { until_ms: now_ms + millis(retry_in) };
        self.tell(Status::Waiting { retry_in, cause });
    }

    /// What was asked on the connection goes again, or is answered that nobody knows.
    fn forget_connection(&mut self) {
        let leaving = |reading: &Reading<I, T>| reading.is_leaving();
        while let Some((room, _)) = self.rooms.iter().find(|(_, reading)| leaving(reading)) {
            self.finish(&room.clone(), left());
        }
        self.rooms.values_mut().for_each(Reading::lost);
        for reply in self.asks.lost() {
            self.refuse(reply, Error::Unanswered);
        }
    }

    // Ends.

    fn finish_named(&mut self, room: Option<&str>, event: Event) {
        if let Some(room) = room.and_then(|room| RoomName::new(room).ok()) {
            self.finish(&room, event);
        }
    }

    /// The room is read no longer: tells the last event, and answers whatever is still asked of it.
    fn finish(&mut self, room: &RoomName, event: Event) {
        let error = match &event {
            Event::Denied(refused) => Error::Refused(refused.clone()),
            _ => Error::Left,
        };
        self.remove(room, event, &error);
    }

    fn remove(&mut self, room: &RoomName, event: Event, error: &Error) {
        let Some(outbox) = self.vacate(room, event) else { return };
        let unanswered = outbox.give_up().chain(self.asks.give_up_room(room));
        self.outputs.extend(unanswered.map(|reply| Output::Answer(reply, Err(error.clone()))));
    }

    /// Tells the last event, and who waits for the room to be left. Answers what has no answer yet.
    fn vacate(&mut self, room: &RoomName, event: Event) -> Option<Outbox<T>> {
        let Reading { seat, outbox, inbox, .. } = self.rooms.remove(room)?;
        if let Seat::Leaving(_, Some(reply)) = seat {
            self.outputs.push_back(Output::Answer(reply, Ok(NOTHING.into())));
        }
        inbox.end(event);
        Some(outbox)
    }

    fn end(&mut self, ended: Ended) {
        self.phase = Phase::Ended;
        let Ended { reason, .. } = &ended;
        while let Some(room) = self.rooms.keys().next().cloned() {
            self.remove(&room, Event::Left { reason: reason.clone() }, &Error::Ended(reason.clone()));
        }
        self.tell(Status::Ended(ended));
    }

    fn tell(&mut self, status: Status) {
        self.outputs.push_back(Output::Tell(status));
    }
}

fn left() -> Event {
    Event::Left { reason: "as asked".into() }
}

fn closed() -> Ended {
    Ended { code: None, reason: "closed by the application".into() }
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis() as u64
}
