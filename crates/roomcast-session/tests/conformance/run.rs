//! One client in a trace: does what a step says, and compares what comes of it.

use std::{cell::Cell, collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use roomcast_protocol::{Limits, MessageId, Request, RoomName};
use roomcast_session::client::{
    Ack, Client, Error, Loss, Output, Publication, Query, Secret, Settings, Start, Status, Token, Why,
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::to_raw_value};

use crate::{
    Step,
    pattern::{Variables, matches, substituted},
    shelf::{Shelf, Told},
};

/// What rooms, sends and the client tell; between these there is no order.
const TELLERS: [&[&str]; 3] =
    [&["live", "message", "gap", "over"], &["acked", "rejected"], &["online", "waiting", "closed"]];

/// Whom an answer is for.
#[derive(Debug)]
enum Asked {
    Send(String, MessageId),
    Volatile(String),
    Other,
}

/// How the client of a trace is made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Made {
    #[serde(default)]
    token: Value,
    #[serde(default = "half")]
    random: f64,
    queue: Option<usize>,
    bytes: Option<usize>,
}

fn half() -> f64 {
    0.5
}

impl Made {
    fn settings(&self) -> Settings {
        let token = match &self.token {
            Value::Object(fixed) => Token::Fixed(fixed["fixed"].as_str().expect("a token").into()),
            kind if kind == "fetched" => Token::Fetched,
            _ => Token::None,
        };
        let default = Settings::default();
        Settings {
            token,
            requests_max: self.queue.unwrap_or(default.requests_max),
            message_bytes_max: self.bytes.unwrap_or(default.message_bytes_max),
            ..default
        }
    }

    /// Every random number. Rounded up, so that half of a wait is no less than half.
    fn chance(&self) -> u32 {
        let part = Duration::from_secs(u32::MAX.into()).mul_f64(self.random);
        part.as_millis().div_ceil(1000) as u32
    }
}

pub(crate) struct Run {
    client: Client<Shelf, Asked>,
    now_ms: u64,
    random: u32,
    variables: Variables,
    out: Vec<Value>,
    told: Told,
    shelves: HashMap<String, Shelf>,
    /// Frames by their ids: the same id must always be the same bytes.
    frames: HashMap<String, Arc<str>>,
    sends: u32,
    attempt: u32,
    has_connection: bool,
    is_closed: Rc<Cell<bool>>,
}

impl Run {
    pub(crate) fn new(client: Map<String, Value>, variables: Variables) -> Self {
        let client = substituted(&client.into(), &variables);
        let made: Made = serde_json::from_value(client).expect("how a client is made");
        Self {
            client: Client::new(made.settings()),
            now_ms: 1_000,
            random: made.chance(),
            variables,
            out: Vec::new(),
            told: Told::default(),
            shelves: HashMap::new(),
            frames: HashMap::new(),
            sends: 0,
            attempt: 0,
            has_connection: false,
            is_closed: Rc::default(),
        }
    }

    /// Does what a step says. An error is a client that does something else.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), String> {
        let [(what, details)] = step.input.iter().collect::<Vec<_>>()[..] else {
            panic!("one thing happens")
        };
        let details = substituted(details, &self.variables);
        self.happen(what, &details);
        self.settle();
        let told = self.told.take();
        for kinds in TELLERS {
            let of = |all: &[Value]| all.iter().filter(|each| is_one_of(each, kinds)).cloned().collect();
            let (found, expected): (Vec<_>, Vec<_>) = (of(&told), of(&step.told));
            self.compare(&found, &expected)?;
        }
        assert!(step.told.iter().all(|each| TELLERS.iter().any(|kinds| is_one_of(each, kinds))));
        let out = std::mem::take(&mut self.out);
        self.compare(&out, &step.out)
    }

    fn compare(&mut self, found: &[Value], expected: &[Value]) -> Result<(), String> {
        let variables = &mut self.variables;
        let agree = found.len() == expected.len()
            && found.iter().zip(expected).all(|(found, expected)| matches(found, expected, variables));
        let expected = || substituted(&json!(expected), variables);
        if agree { Ok(()) } else { Err(format!("found {}, expected {}", json!(found), expected())) }
    }

    fn happen(&mut self, what: &str, details: &Value) {
        let text = |key: &str| details[key].as_str().unwrap_or_else(|| panic!("{what} has no {key}"));
        let room = || RoomName::new(text("room")).expect("a room");
        match what {
            "join" => self.join(text("room"), details),
            "leave" => {
                self.shelves[text("room")].is_left.set(true);
                self.client.leave(&room(), Some(Asked::Other));
            }
            "send" => self.send(&room(), details),
            "state" => self.ask(&room(), &Query::Presence(to_raw_value(&details["state"]).expect("JSON"))),
            "typing" => self.ask(&room(), &Query::Typing(details["typing"] == true)),
            "close" => {
                self.is_closed.set(true);
                self.shelves.values().for_each(|shelf| shelf.is_left.set(true));
                self.client.close(self.now_ms);
            }
            "token" => self.fetched(Ok(details.as_str().map(Into::into))),
            "no_token" => self.fetched(Err(details.to_string())),
            "opened" => {}
            "hear" => self.hear(details),
            "pong" => self.client.heard(self.now_ms),
            "closed" => {
                let code = details["code"].as_u64().expect("a code");
                self.lose(Loss::Closed(code as u16, text("reason").into()));
            }
            "cut" => self.lose(Loss::Broken("cut".into())),
            "pass" => self.pass(details.as_u64().expect("milliseconds")),
            _ => panic!("nobody knows how to {what}"),
        }
    }

    // What the application does.

    fn join(&mut self, room: &str, details: &Value) {
        let start = Start {
            since: details["since"].as_str().map(|since| since.parse().expect("a position")),
            last: details["last"].as_u64().map(|last| last as u32),
            member: details["presence"] != false,
            state: details.get("state").map(|state| to_raw_value(state).expect("JSON")),
        };
        let inbox = Shelf::new(room, &self.told);
        self.shelves.insert(room.into(), inbox.clone());
        self.client.join(RoomName::new(room).expect("a room"), start, inbox).expect("joined once");
    }

    fn send(&mut self, room: &RoomName, details: &Value) {
        self.sends += 1;
        let id = MessageId::new(&format!("drawn at random {}", self.sends)).expect("an id");
        let kind = details["type"].as_str().expect("a type").into();
        let data = to_raw_value(&details["data"]).expect("JSON");
        let name = details["as"].as_str().expect("a name").to_owned();
        let publication = Publication { id: id.clone(), kind, data };
        if details["volatile"] == true {
            self.client.ask(self.now_ms, room, &Query::Volatile(publication), Asked::Volatile(name));
        } else {
            self.client.publish(room, &publication, Asked::Send(name, id));
        }
    }

    fn ask(&mut self, room: &RoomName, query: &Query) {
        self.client.ask(self.now_ms, room, query, Asked::Other);
    }

    fn fetched(&mut self, token: Result<Option<Secret>, String>) {
        self.client.fetched(self.now_ms, token, self.random);
    }

    // What the server, the network and time do.

    fn hear(&mut self, what: &Value) {
        let one = [what.clone()];
        for each in what.as_array().map_or(&one[..], Vec::as_slice) {
            let text = each.as_str().map_or_else(|| each.to_string(), str::to_owned);
            self.client.message(self.now_ms, &text);
            self.client.heard(self.now_ms);
            self.settle();
        }
    }

    fn lose(&mut self, loss: Loss) {
        self.has_connection = false;
        self.shelves.values().for_each(|shelf| shelf.is_live.set(false));
        self.client.lost(self.now_ms, loss, self.random);
    }

    fn pass(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        while let Some(due_ms) = self.settle().filter(|due_ms| *due_ms <= until_ms) {
            self.now_ms = due_ms.max(self.now_ms);
        }
        self.now_ms = until_ms;
    }

    /// Carries out what is due now. Answers when something is due again.
    fn settle(&mut self) -> Option<u64> {
        loop {
            let due_ms = self.client.tick(self.now_ms);
            let Some(output) = self.client.poll_output() else { return due_ms };
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output<Asked>) {
        match output {
            Output::FetchToken(why) => self.out.push(json!({"fetch": {"why": word(why)}})),
            Output::Connect { attempt, token, .. } => {
                assert!(attempt > self.attempt, "the attempt rises");
                (self.attempt, self.has_connection) = (attempt, true);
                self.out.push(json!({"connect": {"token": token.as_deref()}}));
            }
            Output::Send(text) => self.sent(&text),
            Output::Ping => self.out.push(json!({"ping": {}})),
            Output::Close => self.out.push(json!({"close": {"code": 1000}})),
            Output::HangUp(cause) => {
                // What is given up may also be the fetching of a token.
                self.out.extend(self.has_connection.then(|| json!({"drop": {}})));
                self.lose(Loss::Broken(cause));
            }
            Output::Answer(asked, answer) => self.answered(asked, answer),
            Output::Tell(status) => self.stands(status),
        }
    }

    fn sent(&mut self, text: &Arc<str>) {
        assert!(self.has_connection, "sent without a connection: {text}");
        Request::parse(text, &Limits::default()).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"));
        let frame: Value = serde_json::from_str(text).expect("JSON");
        let id = frame["id"].as_str().expect("this client sends nothing without an id");
        let before = self.frames.entry(id.into()).or_insert_with(|| text.clone());
        assert_eq!(before, text, "an id that was used before, for other bytes");
        self.out.push(json!({"frame": frame}));
    }

    fn answered(&mut self, asked: Asked, answer: Result<Box<str>, Error>) {
        let told = match (asked, answer) {
            (Asked::Send(name, id), Ok(data)) => {
                let Ack { position, duplicate, .. } = Ack::read(id, &data).expect("an ack");
                let position = position.expect("a place in the log");
                let (epoch, seq) = (position.epoch.as_str(), position.seq);
                json!({"acked": {"as": name, "epoch": epoch, "seq": seq, "duplicate": duplicate}})
            }
            (Asked::Send(name, _), Err(error)) => json!({"rejected": {"as": name, "code": code(error)}}),
            (Asked::Volatile(name), Err(Error::Offline)) => {
                json!({"rejected": {"as": name, "code": "offline"}})
            }
            (Asked::Volatile(_) | Asked::Other, _) => return,
        };
        self.told.borrow_mut().push(told);
    }

    fn stands(&mut self, status: Status) {
        let told = match status {
            Status::Connected { user, .. } => json!({"online": {"user": user}}),
            Status::Waiting { retry_in, .. } => json!({"waiting": {"ms": retry_in.as_millis() as u64}}),
            Status::Ended(_) if !self.is_closed.get() => json!({"closed": {}}),
            _ => return,
        };
        self.told.borrow_mut().push(told);
    }
}

fn is_one_of(each: &Value, kinds: &[&str]) -> bool {
    kinds.iter().any(|kind| each.get(kind).is_some())
}

fn word(why: Why) -> &'static str {
    match why {
        Why::Connect => "connect",
        Why::Expiring => "expiring",
        Why::Expired => "expired",
        _ => panic!("the traces have no word for {why:?}"),
    }
}

/// The name that the traces have for it.
fn code(error: Error) -> String {
    match error {
        Error::Refused(refused) => refused.code,
        Error::TooLarge { .. } => "too_large".into(),
        Error::QueueFull { .. } => "queue_full".into(),
        Error::Offline => "offline".into(),
        Error::Left => "left".into(),
        Error::Unanswered => "unknown".into(),
        other => format!("{other:?}"),
    }
}
