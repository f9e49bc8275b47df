//! What reads the rooms: a stream of events, or polls one after the other.

use std::{collections::BTreeMap, time::Duration};

use roomcast_protocol::{Positions, RoomName};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    HttpLink, Phase, Seat, Step, Told,
    answers::{Polled, Problem, Standing, about, ack, joined, system},
    blocks::Blocks,
    requests::{Fetch, Reply, Ticket, Wanted},
};
use crate::client::{comeback::Loss, machine::Reader, settings::Transport};

/// How long the server is asked to hold a poll that has nothing to tell.
const PARKED: Duration = Duration::from_secs(25);
/// When a server has been silent for too long.
const SILENCE: Duration = Duration::from_secs(30);

/// Reads a set of rooms.
#[derive(Debug)]
pub(super) struct Reading {
    rooms: Vec<RoomName>,
    /// From where each was asked to be read, if from anywhere.
    places: BTreeMap<String, String>,
    /// The request that is on its way; a poll may have none.
    pub(super) ticket: Option<Ticket>,
    seen: bool,
    blocks: Blocks,
    /// Where the next poll goes on from.
    position: String,
    /// The rosters that are known, by their versions.
    rosters: BTreeMap<String, u64>,
}

/// A message of the server, as far as it matters here.
#[derive(Deserialize)]
struct Heard<'a> {
    #[serde(rename = "type")]
    kind: String,
    room: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct System {
    event: String,
    room: Option<String>,
    reason: String,
    user: Option<String>,
    ping_interval: Option<f64>,
    rooms: BTreeMap<String, Standing>,
}

/// A stream takes one `last` for all its rooms: those of another one wait until these have places.
fn together<'a>(readers: Vec<Reader<'a>>) -> Vec<Reader<'a>> {
    let last = readers.iter().find(|reader| reader.position.is_none()).map(|reader| reader.start.last);
    let fits = |reader: &Reader<'a>| reader.position.is_some() || Some(reader.start.last) == last;
    readers.into_iter().filter(fits).collect()
}

fn since(readers: &[Reader<'_>]) -> Option<String> {
    let places = readers.iter().filter_map(|reader| Some((reader.room.clone(), reader.position?.clone())));
    let places: Vec<_> = places.collect();
    (!places.is_empty()).then(|| Positions::Each(places).to_string())
}

impl HttpLink {
    fn tell(&mut self, message: String) {
        self.steps.push_back(Step::Tell(Told::Message(message)));
    }

    /// Reads anew if that is due, and else asks the next poll.
    pub(super) fn read_on<'a>(&mut self, readers: impl Iterator<Item = Reader<'a>>) {
        if self.is_due && self.next.is_none() {
            self.is_due = false;
            self.read_anew(readers.filter(|reader| !self.refused.contains_key(reader.room)).collect());
        }
        if let Some(current) = self.current.take_if(|current| current.ticket.is_none()) {
            let ticket = self.ask_to_read(&current.rooms, current.seen, current.next_poll(), PARKED);
            self.current = Some(Reading { ticket: Some(ticket), ..current });
        }
    }

    fn read_anew(&mut self, readers: Vec<Reader<'_>>) {
        let readers = together(readers);
        let rooms: Vec<_> = readers.iter().map(|reader| reader.room.clone()).collect();
        let place = |reader: &Reader<'_>| Some((reader.room.to_string(), reader.position?.to_string()));
        let places = readers.iter().filter_map(place).collect();
        // It is seen in all of them or in none.
        let seen = readers.iter().any(|reader| reader.start.member);
        let mut query = Vec::new();
        query.extend(since(&readers).map(|since| ("since", since)));
        let last =
            readers.iter().find(|reader| reader.position.is_none()).and_then(|reader| reader.start.last);
        query.extend(last.map(|last| ("last", last.to_string())));
        let ticket = self.ask_to_read(&rooms, seen, query, Duration::ZERO);
        self.next = Some(Reading {
            rooms,
            places,
            ticket: Some(ticket),
            seen,
            blocks: Blocks::default(),
            position: String::new(),
            rosters: BTreeMap::new(),
        });
    }

    /// Without a room, nothing but whether it would be let in.
    fn ask_to_read(
        &mut self,
        rooms: &[RoomName],
        seen: bool,
        mut query: Vec<(&'static str, String)>,
        parked: Duration,
    ) -> Ticket {
        query.extend(rooms.iter().map(|room| ("room", room.to_string())));
        query.extend(seen.then(|| ("presence", "1".into())));
        let is_poll = self.transport == Transport::Poll;
        query.extend(is_poll.then(|| ("timeout", parked.as_secs().to_string())));
        let (path, wanted) = if is_poll { ("/poll", Wanted::Whole) } else { ("/events", Wanted::Parts) };
        let get = self.get(path.into());
        self.fetch(Fetch { query, wanted, timeout: get.timeout + parked, ..get })
    }

    /// Whether this request reads.
    pub(super) fn reads(&self, ticket: Ticket) -> bool {
        [&self.current, &self.next].into_iter().flatten().any(|reading| reading.ticket == Some(ticket))
    }

    fn reading(&mut self, ticket: Ticket) -> Option<&mut Reading> {
        let mut both = [&mut self.current, &mut self.next].into_iter().flatten();
        both.find(|reading| reading.ticket == Some(ticket))
    }

    /// A part of an answer came.
    pub fn chunk(&mut self, ticket: Ticket, bytes: &[u8]) {
        let Some(reading) = self.reading(ticket) else { return };
        let events = reading.blocks.take(bytes);
        self.steps.push_back(Step::Tell(Told::Heard));
        match events {
            Ok(events) => events.into_iter().for_each(|event| self.event(ticket, event)),
            Err(why) => self.lose(Loss::Broken(format!("the stream can't be read: {why}"))),
        }
    }

    /// A request that reads was answered, or has ended.
    pub(super) fn read_answered(&mut self, ticket: Ticket, outcome: Result<Reply, String>) {
        let reply = match outcome {
            Err(why) => return self.lose(Loss::Broken(why)),
            Ok(reply) => reply,
        };
        if reply.is_ok() && self.transport == Transport::Poll {
            return self.polled(ticket, &reply.body);
        }
        match Problem::read(&reply) {
            _ if reply.is_ok() => self.lose(Loss::Broken("the stream ended".into())),
            Err(why) => self.lose(Loss::Broken(why)),
            Ok(problem) => self.not_read(ticket, &problem),
        }
    }

    /// A room that may not be read, or is one too many, is left out.
    fn not_read(&mut self, ticket: Ticket, problem: &Problem) {
        let rooms = self.reading(ticket).map(|reading| reading.rooms.clone()).unwrap_or_default();
        if rooms.is_empty() && problem.code == "bad_request" {
            return self.welcomed(ticket, System::default());
        }
        self.next.take_if(|next| next.ticket == Some(ticket));
        let named = problem.room.as_ref().and_then(|room| rooms.iter().find(|each| ***each == **room));
        let room = match &*problem.code {
            // Whoever is in stays.
            "too_many_rooms" => {
                let is_new = |room: &&RoomName| self.joins.contains_key(*room);
                named.or_else(|| rooms.iter().rfind(is_new)).or(rooms.last()).cloned()
            }
            _ => named.cloned(),
        };
        let Some(room) = room else { return self.lose(problem.as_loss()) };
        self.is_due = true;
        let why = problem.as_error();
        if let Some(join) = self.joins.remove(&room) {
            self.answers.push_back(super::answers::error(&room, &join.id, &why));
            self.refused.insert(room, None);
        } else if self.phase == Phase::Open {
            let kicked = |data: &mut roomcast_protocol::Object<'_>| {
                data.text("reason", problem.message());
            };
            self.tell(system("kicked", Some(&room), kicked));
            self.refused.insert(room, None);
        } else {
            self.refused.insert(room, Some(why));
        }
    }

    fn event(&mut self, ticket: Ticket, text: String) {
        let told = match serde_json::from_str::<Heard<'_>>(&text) {
            Ok(told) => told,
            Err(error) => {
                return self.lose(Loss::Broken(format!("the server sent what can't be read: {error}")));
            }
        };
        let data = told.data.map_or("null", RawValue::get);
        match &*told.kind {
            "error" if told.room.is_none() => match serde_json::from_str::<Problem>(data) {
                Ok(problem) => self.lose(problem.as_loss()),
                Err(error) => self.lose(Loss::Broken(error.to_string())),
            },
            "system" => {
                let data: System = serde_json::from_str(data).unwrap_or_default();
                match &*data.event {
                    "welcome" => self.welcomed(ticket, data),
                    "kicked" if told.room.or(data.room).is_none() => {
                        self.lose(Loss::Closed(1008, format!("kicked: {}", data.reason)));
                    }
                    _ => self.tell(text),
                }
            }
            _ => self.tell(text),
        }
    }

    fn polled(&mut self, ticket: Ticket, body: &str) {
        let Polled { messages, position, resets, user, rooms, presence } = match serde_json::from_str(body) {
            Ok(polled) => polled,
            Err(error) => return self.lose(Loss::Broken(format!("a poll's answer can't be read: {error}"))),
        };
        self.steps.push_back(Step::Tell(Told::Heard));
        if self.next.as_ref().is_some_and(|next| next.ticket == Some(ticket)) {
            self.welcomed(ticket, System { user, rooms, ..System::default() });
        }
        for reset in resets.into_iter().filter_map(reset_told) {
            self.tell(reset);
        }
        for message in messages {
            self.tell(message.get().to_owned());
        }
        let Some(current) = &mut self.current else { return };
        (current.position, current.ticket) = (position, None);
        if let Some(presence) = presence {
            for roster in current.rosters_told(presence) {
                self.tell(roster);
            }
        }
    }

    /// A request that reads is answered, and stands for the one before it.
    fn welcomed(&mut self, ticket: Ticket, System { user, ping_interval, rooms, .. }: System) {
        if self.next.as_ref().is_some_and(|next| next.ticket == Some(ticket)) {
            let before = std::mem::replace(&mut self.current, self.next.take());
            self.steps.extend(before.and_then(|before| before.ticket).map(Step::Drop));
            self.say_goodbyes(Some(ticket));
        }
        self.steps.push_back(Step::Tell(Told::Heard));
        let mut places = self.current.as_ref().map(|current| current.places.clone()).unwrap_or_default();
        let seat = |(room, standing)| {
            let since = places.remove(&room);
            (room, Seat { standing, since })
        };
        self.told = rooms.into_iter().map(seat).collect();
        let was_open = std::mem::replace(&mut self.phase, Phase::Open) == Phase::Open;
        if !was_open || (user.is_some() && !self.knows_user) {
            self.knows_user = user.is_some();
            self.tell(welcome(user.as_deref(), ping_interval));
        }
        if !was_open {
            // Joins follow upon it.
            return;
        }
        for room in self.joins.keys().cloned().collect::<Vec<_>>() {
            self.seat(&room);
        }
        self.told.clear();
        self.is_due |= !self.joins.is_empty();
    }

    /// Answers a join, if the server has told where its reader stands, and was asked to begin where that is.
    pub(super) fn seat(&mut self, room: &RoomName) -> bool {
        let Some(Seat { standing, since }) = self.told.remove(&**room) else { return false };
        let Some(join) = self.joins.remove(room) else { return false };
        if join.since != since {
            self.joins.insert(room.clone(), join);
            return false;
        }
        self.answers.push_back(ack(room, &join.id, &joined(&standing, since.as_deref())));
        if let Some(state) = join.state {
            let body = format!("{{\"state\":{state}}}");
            self.post(room, String::new(), "presence", body);
        }
        true
    }
}

/// A stream tells how often it shows that it is alive; twice that is silence.
fn welcome(user: Option<&str>, ping_interval: Option<f64>) -> String {
    let shown = ping_interval.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let silence = shown.map_or(SILENCE, |shown| shown.saturating_mul(2));
    system("welcome", None, |data| {
        data.text_if("user", user).seconds("ping_interval", silence);
    })
}

/// What a socket would have said of a reset.
fn reset_told(reset: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    struct Reset {
        room: String,
        reason: String,
        epoch: String,
        seq: u64,
    }
    let Reset { room, reason, epoch, seq } = serde_json::from_str(reset.get()).ok()?;
    Some(system("reset", Some(&room), |data| {
        data.text("reason", &reason).text("epoch", &epoch).number("seq", seq);
    }))
}

impl Reading {
    /// What the next poll asks.
    fn next_poll(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("since", self.position.clone())];
        let known: Vec<_> = self.rosters.iter().map(|(room, v)| format!("{room}={v}")).collect();
        query.extend((!known.is_empty()).then(|| ("v", known.join(","))));
        query
    }

    /// What a socket would have said of rosters: one room's comes as it is, those of several by name.
    fn rosters_told(&mut self, presence: &RawValue) -> Vec<String> {
        #[derive(Deserialize)]
        struct Roster {
            v: u64,
        }
        let only = self.rooms.first().filter(|_| self.rooms.len() == 1).map(ToString::to_string);
        let each: BTreeMap<String, &RawValue> = match only {
            Some(room) => BTreeMap::from([(room, presence)]),
            None => serde_json::from_str(presence.get()).unwrap_or_default(),
        };
        let mut told = Vec::new();
        for (room, roster) in each {
            if let Ok(Roster { v }) = serde_json::from_str(roster.get()) {
                told.push(about("presence", Some(&room), roster.get()));
                self.rosters.insert(room, v);
            }
        }
        told
    }
}
