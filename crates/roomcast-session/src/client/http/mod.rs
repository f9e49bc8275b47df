//! A connection where there is no socket: one request at a time reads all rooms, by a stream of events or by polls,
//! and others do what a socket would do by messages. To [`Client`](super::Client) it is a connection like any other.
//!
//! | what the client says | what becomes of it |
//! |---|---|
//! | `join`, `leave`, a fresh token, a ping | the rooms are read anew, from where everybody is; the old request is dropped when the new one is answered, so that there is no hole between them, and until then there is no third |
//! | messages | one `POST` at a time per room, so that order holds; what gathers meanwhile goes in the next, or back if one before it was refused for now |
//! | `typing`, `presence` | a request each; of those that wait for the same room only the newest goes |
//! | `history` | a request each |
//! | a close | leaves each room it was seen in, waits for all answers, and ends |
//!
//! Beside what reads, six requests are under way at once and no more, one to each path, so that order holds; others
//! wait.
//!
//! No I/O: the driver makes the requests ([`Step::Fetch`]) and tells what came of them.

mod answers;
mod blocks;
mod letters;
mod reading;
mod requests;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use roomcast_protocol::RoomName;
use serde_json::value::RawValue;

pub use self::requests::{Fetch, Method, Reply, Ticket, Wanted};
use self::{answers::Standing, letters::Letters, reading::Reading, requests::Asked};
use super::{comeback::Loss, machine::Reader, secret::Secret, settings::Transport};

/// Requests under way at once beside those that read: as many as browsers have connections to a server.
const REQUESTS_MAX: usize = 6;

/// What the driver must do next.
#[derive(Debug)]
pub enum Step {
    /// Make a request. Come back with what is heard of it, under the same ticket.
    Fetch(Ticket, Fetch),
    /// Drop a request.
    Drop(Ticket),
    /// Tell the client what a socket would have.
    Tell(Told),
}

/// What the client is told.
#[derive(Debug)]
pub enum Told {
    /// Something came, if only a sign of life.
    Heard,
    /// A message came.
    Message(String),
    /// The connection is over.
    Lost(Loss),
}

/// Where the server has put a reader, and from where it was asked to.
#[derive(Debug)]
struct Seat {
    standing: Standing,
    since: Option<String>,
}

/// A join that has no answer yet.
#[derive(Debug)]
struct Join {
    id: String,
    since: Option<String>,
    /// The member's state, to be told once it is in.
    state: Option<Box<RawValue>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has been answered yet.
    Opening,
    Open,
    /// The client has said good-bye, and waits for the last answers.
    Closing,
}

/// A connection over HTTP.
#[derive(Debug)]
pub struct HttpLink {
    /// How rooms are read.
    transport: Transport,
    /// How long an answer may take.
    timeout: Duration,
    token: Option<Secret>,
    last_ticket: Ticket,
    /// Answers to the client, told before anything else: what comes of a room comes after its join's ack.
    answers: VecDeque<String>,
    steps: VecDeque<Step>,
    /// Requests under way, but for those that read, with their paths.
    asked: BTreeMap<Ticket, (Asked, String)>,
    /// Requests that wait for those.
    waiting: Vec<(Asked, Fetch)>,
    letters: BTreeMap<RoomName, Letters>,
    joins: BTreeMap<RoomName, Join>,
    /// The rooms that this client is seen in.
    seen_in: Vec<RoomName>,
    /// Rooms to say good-bye to once nothing reads them, since whoever reads is there; with the last request that may.
    goodbyes: Vec<(RoomName, Ticket)>,
    /// Rooms that may not be read, until they are joined again; with the error, if nobody was told of it yet.
    refused: BTreeMap<RoomName, Option<String>>,
    /// Where readers stood in the first answer, for the joins that follow upon it.
    told: BTreeMap<String, Seat>,
    /// What reads, and what will once it is answered.
    current: Option<Reading>,
    next: Option<Reading>,
    phase: Phase,
    /// The client was told who it is.
    knows_user: bool,
    /// Rooms are to be read anew.
    is_due: bool,
}

impl HttpLink {
    /// A connection that begins to read at the first [`Self::poll`].
    pub fn new(transport: Transport, timeout: Duration, token: Option<Secret>) -> Self {
        Self {
            transport,
            timeout,
            token,
            last_ticket: Ticket(0),
            answers: VecDeque::new(),
            steps: VecDeque::new(),
            asked: BTreeMap::new(),
            waiting: Vec::new(),
            letters: BTreeMap::new(),
            joins: BTreeMap::new(),
            seen_in: Vec::new(),
            goodbyes: Vec::new(),
            refused: BTreeMap::new(),
            told: BTreeMap::new(),
            current: None,
            next: None,
            phase: Phase::Opening,
            knows_user: false,
            is_due: true,
        }
    }

    /// What is to be done next, if anything is. `readers` are the client's. What comes of a step at the client is to
    /// be told before the next is asked for.
    pub fn poll<'a>(&mut self, readers: impl Iterator<Item = Reader<'a>>) -> Option<Step> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(Step::Tell(Told::Message(answer)));
        }
        if let Some(step) = self.steps.pop_front() {
            return Some(step);
        }
        self.told.clear();
        if self.phase != Phase::Closing {
            self.post_letters();
            self.read_on(readers);
        }
        self.ask_on();
        if self.phase == Phase::Closing {
            self.end_if_answered();
        }
        self.steps.pop_front()
    }

    /// Whether there are steps to do before more should be heard: what a reader is told is bounded by that.
    pub fn has_more(&self) -> bool {
        !(self.answers.is_empty() && self.steps.is_empty())
    }

    /// The client asks whether the server is there.
    pub fn ping(&mut self) {
        self.is_due = true;
    }

    /// The client says good-bye.
    pub fn close(&mut self) {
        self.phase = Phase::Closing;
        for reading in [self.current.take(), self.next.take()].into_iter().flatten() {
            self.steps.extend(reading.ticket.map(Step::Drop));
        }
        let seen_in = std::mem::take(&mut self.seen_in);
        self.goodbyes.extend(seen_in.into_iter().map(|room| (room, self.last_ticket)));
        self.say_goodbyes(None);
    }

    /// Says good-bye to rooms that nothing reads, now that this request does, or none.
    fn say_goodbyes(&mut self, reading: Option<Ticket>) {
        let is_unread = |(_, last): &mut (RoomName, Ticket)| reading.is_none_or(|reading| reading > *last);
        for (room, _) in self.goodbyes.extract_if(.., is_unread).collect::<Vec<_>>() {
            let get = self.get(format!("/rooms/{room}/presence"));
            self.ask(Asked::Goodbye, Fetch { method: Method::Delete, ..get });
        }
    }

    fn end_if_answered(&mut self) {
        if self.asked.is_empty() {
            self.lose(Loss::Closed(1000, String::new()));
        }
    }

    fn lose(&mut self, loss: Loss) {
        self.steps.push_back(Step::Tell(Told::Lost(loss)));
    }
}
