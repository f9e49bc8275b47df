//! What the client says, made a request; what came of it, made an answer.

use std::{borrow::Cow, time::Duration};

use roomcast_protocol::RoomName;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    HttpLink, Join, REQUESTS_MAX, Step,
    answers::{Problem, ack, beginning, element, error, is_for_now},
};
use crate::client::{comeback::Loss, secret::Secret};

/// Tells requests apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub(super) u64);

/// How a request asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `DELETE`
    Delete,
}

impl Method {
    /// As it stands in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// What of the answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it, by [`HttpLink::answered`].
    Whole,
    /// Its parts as they come, by [`HttpLink::chunk`]; then, when it ends or is refused, [`HttpLink::answered`].
    Parts,
}

/// A request to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// How it asks.
    pub method: Method,
    /// The path, below the server's own.
    pub path: String,
    /// What follows it, not encoded.
    pub query: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Option<String>,
    /// The token to present.
    pub token: Option<Secret>,
    /// What of the answer is wanted.
    pub wanted: Wanted,
    /// How long the answer may take to come; of one in parts, to begin.
    pub timeout: Duration,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Reply {
    pub(super) fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// What was asked by a request.
#[derive(Debug)]
pub(super) enum Asked {
    /// To take messages with these ids.
    Letters(RoomName, Vec<String>),
    /// Something else, by a message with this id.
    Other(RoomName, String),
    /// To leave a room. Nobody waits to hear of it.
    Goodbye,
}

/// A message of the client, as far as it matters here.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    room: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl Said<'_> {
    /// What the client itself has written can be read.
    fn payload<'a, T: Deserialize<'a>>(&'a self) -> Option<T> {
        serde_json::from_str(self.data?.get()).ok()
    }
}

#[derive(Deserialize)]
struct JoinData {
    since: Option<String>,
    presence: bool,
    state: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct HistoryData {
    before: Option<String>,
    since: Option<String>,
    limit: Option<u64>,
}

#[derive(Deserialize)]
struct AuthData<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
}

impl HttpLink {
    /// The client says something.
    pub fn send(&mut self, text: &str) {
        let Ok(said) = serde_json::from_str::<Said<'_>>(text) else { return };
        if said.kind == "auth" {
            self.token = said.payload().map(|AuthData { token }| token.into());
            self.is_due = true;
            return;
        }
        let Some(room) = said.room.as_deref().and_then(|room| RoomName::new(room).ok()) else { return };
        let id = said.id.clone().into_owned();
        match &*said.kind {
            "join" => self.join(&room, id, said.payload()),
            "leave" => self.leave(&room, &id),
            kind @ ("typing" | "presence") => {
                let body = said.data.map_or("{}", RawValue::get).to_owned();
                self.post(&room, id, kind, body);
            }
            "history" => self.history(room, id, said.payload()),
            _ => self.letters.entry(room).or_default().push(id, text.to_owned()),
        }
    }

    fn join(&mut self, room: &RoomName, id: String, data: Option<JoinData>) {
        let Some(JoinData { since, presence, state }) = data else { return };
        if let Some(untold) = self.refused.get_mut(room)
            && let Some(why) = untold.take()
        {
            return self.answers.push_back(error(room, &id, &why));
        }
        self.refused.remove(room);
        self.goodbyes.retain(|(left, _)| left != room);
        let path = format!("/rooms/{room}/presence");
        self.waiting.retain(|(asked, fetch)| !(matches!(asked, Asked::Goodbye) && fetch.path == path));
        if presence && !self.seen_in.contains(room) {
            self.seen_in.push(room.clone());
        }
        self.joins.insert(room.clone(), Join { id, since, state: state.filter(|_| presence) });
        if !self.seat(room) {
            self.is_due = true;
        }
    }

    fn leave(&mut self, room: &RoomName, id: &str) {
        self.joins.remove(room);
        self.refused.remove(room);
        if let Some(at) = self.seen_in.iter().position(|seen_in| seen_in == room) {
            self.goodbyes.push((self.seen_in.remove(at), self.last_ticket));
        }
        self.answers.push_back(ack(room, id, r#"{"status":"left"}"#));
        self.is_due = true;
    }

    /// Says how it is with the client in a room. What is said of the same and waits is out of date.
    pub(super) fn post(&mut self, room: &RoomName, id: String, what: &str, body: String) {
        let get = self.get(format!("/rooms/{room}/{what}"));
        let is_outdated =
            |(asked, fetch): &mut (Asked, Fetch)| matches!(asked, Asked::Other(..)) && fetch.path == get.path;
        for (asked, _) in self.waiting.extract_if(.., is_outdated).collect::<Vec<_>>() {
            self.done(&asked, "{}");
        }
        let fetch = Fetch { method: Method::Post, body: Some(body), ..get };
        self.ask(Asked::Other(room.clone(), id), fetch);
    }

    fn history(&mut self, room: RoomName, id: String, data: Option<HistoryData>) {
        let Some(HistoryData { before, since, limit }) = data else { return };
        let get = self.get(format!("/rooms/{room}/messages"));
        let limit = limit.map(|limit| limit.to_string());
        let named = [("before", before), ("since", since), ("limit", limit)];
        let query = named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        self.ask(Asked::Other(room, id), Fetch { query, ..get });
    }

    pub(super) fn post_letters(&mut self) {
        self.letters.retain(|_, letters| !letters.is_empty());
        let due: Vec<_> = self
            .letters
            .iter_mut()
            .filter_map(|(room, letters)| Some((room.clone(), letters.next_batch()?)))
            .collect();
        for (room, (ids, body)) in due {
            let get = self.get(format!("/rooms/{room}/messages"));
            self.ask(Asked::Letters(room, ids), Fetch { method: Method::Post, body: Some(body), ..get });
        }
    }

    pub(super) fn get(&self, path: String) -> Fetch {
        Fetch {
            method: Method::Get,
            path,
            query: Vec::new(),
            body: None,
            token: self.token.clone(),
            wanted: Wanted::Whole,
            timeout: self.timeout,
        }
    }

    pub(super) fn ask(&mut self, asked: Asked, fetch: Fetch) {
        self.waiting.push((asked, fetch));
    }

    /// Makes the requests that wait and may go now.
    pub(super) fn ask_on(&mut self) {
        while self.asked.len() < REQUESTS_MAX {
            let is_free = |path: &String| self.asked.values().all(|(_, busy)| busy != path);
            let Some(at) = self.waiting.iter().position(|(_, fetch)| is_free(&fetch.path)) else { return };
            let (asked, fetch) = self.waiting.remove(at);
            let path = fetch.path.clone();
            // A fresh token may have come while it waited.
            let ticket = self.fetch(Fetch { token: self.token.clone(), ..fetch });
            self.asked.insert(ticket, (asked, path));
        }
    }

    pub(super) fn fetch(&mut self, fetch: Fetch) -> Ticket {
        self.last_ticket.0 += 1;
        self.steps.push_back(Step::Fetch(self.last_ticket, fetch));
        self.last_ticket
    }

    /// A request was answered, or why not; a stream has ended.
    pub fn answered(&mut self, ticket: Ticket, outcome: Result<Reply, String>) {
        if self.reads(ticket) {
            return self.read_answered(ticket, outcome);
        }
        // What was dropped is of no use any more.
        let Some((asked, _)) = self.asked.remove(&ticket) else { return };
        if let Asked::Letters(room, _) = &asked
            && let Some(letters) = self.letters.get_mut(room)
        {
            letters.is_posting = false;
        }
        match outcome {
            _ if matches!(asked, Asked::Goodbye) => {}
            Err(why) => self.lose(Loss::Broken(why)),
            Ok(reply) if reply.is_ok() => self.done(&asked, &reply.body),
            Ok(reply) => match Problem::read(&reply) {
                Err(why) => self.lose(Loss::Broken(why)),
                // What is wrong with the token is wrong with the whole connection.
                Ok(problem) if reply.status == 401 => self.lose(problem.as_loss()),
                Ok(problem) => self.not_done(&asked, &problem),
            },
        }
    }

    fn done(&mut self, asked: &Asked, body: &str) {
        match asked {
            Asked::Goodbye => {}
            Asked::Other(room, id) => self.answers.push_back(ack(room, id, body)),
            Asked::Letters(room, ids) => match serde_json::from_str::<Vec<&RawValue>>(body) {
                Ok(elements) if elements.len() == ids.len() => {
                    let later = elements.iter().find(|data| is_for_now(data)).map(|data| data.get());
                    let each = ids.iter().zip(&elements);
                    self.answers.extend(each.map(|(id, answer)| element(room, id, answer)));
                    self.hold_back(room, later);
                }
                _ => {
                    let begins = beginning(body);
                    self.lose(Loss::Broken(format!(
                        "the server's answers to messages can't be read: {begins}"
                    )));
                }
            },
        }
    }

    fn not_done(&mut self, asked: &Asked, problem: &Problem) {
        let why = problem.as_error();
        match asked {
            Asked::Goodbye => {}
            Asked::Other(room, id) => self.answers.push_back(error(room, id, &why)),
            Asked::Letters(room, ids) => {
                self.answers.extend(ids.iter().map(|id| error(room, id, &why)));
                self.hold_back(room, problem.retryable.then_some(&*why));
            }
        }
    }

    /// What waits behind a message that was refused for now must not pass it: it is refused as well, as a socket's
    /// server would.
    fn hold_back(&mut self, room: &RoomName, why: Option<&str>) {
        if let (Some(why), Some(letters)) = (why, self.letters.get_mut(room)) {
            self.answers.extend(letters.give_back().map(|(id, _)| error(room, &id, why)));
        }
    }
}
