//! The connection without a socket, against a server that says what each case needs.

use roomcast_protocol::Position;
use serde_json::{Value, json};

use super::*;
use crate::client::{Client, Event, Fill, Inbox, Settings, Token, request::Start};

#[derive(Debug)]
struct Nobody;

impl Inbox for Nobody {
    fn fill(&self) -> Fill {
        Fill::Abandoned
    }

    fn put(&mut self, _: Event) {}

    fn overflow(&mut self) {}

    fn end(self, _: Event) {}
}

struct Bench {
    link: HttpLink,
    readers: Vec<(RoomName, Start, Option<Position>)>,
}

fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

impl Bench {
    fn new(transport: Transport, rooms: &[&str]) -> Self {
        let link = HttpLink::new(transport, Duration::from_secs(10), Some("token".into()));
        let readers = rooms.iter().map(|name| (room(name), Start::default(), None)).collect();
        Self { link, readers }
    }

    /// A stream that is open, with one room that is joined at `e.5`.
    fn joined() -> (Self, Ticket) {
        let mut bench = Self::new(Transport::Events, &["r"]);
        let (ticket, _) = bench.fetched();
        bench.welcome(ticket, &json!({"r": {"epoch": "e", "seq": 5, "from": 5}}));
        assert!(bench.next().is_some_and(|step| step.contains("welcome")));
        bench.join("r");
        assert!(bench.next().is_some_and(|step| step.contains(r#""id":"join r""#)));
        bench.readers[0].2 = Some("e.5".parse().unwrap());
        assert_eq!(bench.next(), None);
        (bench, ticket)
    }

    fn join(&mut self, name: &str) {
        let since =
            self.readers.iter().find(|(room, ..)| &**room == name).and_then(|(.., place)| place.clone());
        let since = since.map(|place| place.to_string());
        let data = json!({"since": since, "presence": true});
        self.say(&json!({"type": "join", "id": format!("join {name}"), "room": name, "data": data}));
    }

    fn text(&mut self, id: &str) {
        self.say(&json!({"type": "text", "id": id, "room": "r", "data": {}}));
    }

    fn say(&mut self, message: &Value) {
        self.link.send(&message.to_string());
    }

    fn step(&mut self) -> Option<Step> {
        let readers = self.readers.iter();
        let readers =
            readers.map(|(room, start, position)| Reader { room, start, position: position.as_ref() });
        self.link.poll(readers)
    }

    /// The next step but signs of life, as text.
    fn next(&mut self) -> Option<String> {
        loop {
            return Some(match self.step()? {
                Step::Tell(Told::Heard) => continue,
                Step::Tell(Told::Message(text)) => text,
                Step::Tell(Told::Lost(loss)) => format!("lost: {loss}"),
                Step::Drop(Ticket(ticket)) => format!("drop {ticket}"),
                Step::Fetch(Ticket(ticket), fetch) => {
                    format!("{ticket}: {} {}", fetch.method.name(), fetch.path)
                }
            });
        }
    }

    /// The request that is due.
    fn fetched(&mut self) -> (Ticket, Fetch) {
        loop {
            match self.step().expect("a request") {
                Step::Fetch(ticket, fetch) => return (ticket, fetch),
                Step::Tell(Told::Heard) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn welcome(&mut self, ticket: Ticket, rooms: &Value) {
        let data = json!({"event": "welcome", "user": "ada", "ping_interval": 15.0, "rooms": rooms});
        self.event(ticket, &json!({"type": "system", "data": data}));
    }

    fn event(&mut self, ticket: Ticket, message: &Value) {
        self.link.chunk(ticket, format!("data: {message}\n\n").as_bytes());
    }

    fn answer(&mut self, ticket: Ticket, status: u16, body: &Value) {
        self.link.answered(ticket, Ok(Reply { status, body: body.to_string() }));
    }
}

fn value<'a>(query: &'a [(&str, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
}

#[test]
fn a_join_is_acked_before_anything_comes_of_its_room() {
    let mut bench = Bench::new(Transport::Events, &["r"]);
    let (ticket, fetch) = bench.fetched();
    assert_eq!((value(&fetch.query, "room"), value(&fetch.query, "presence")), (Some("r"), Some("1")));
    assert_eq!((fetch.token.as_deref(), fetch.wanted), (Some("token"), Wanted::Parts));
    bench.welcome(ticket, &json!({"r": {"epoch": "e", "seq": 5, "from": 5}}));
    bench.event(ticket, &json!({"type": "text", "room": "r", "seq": 6, "data": {}}));
    let welcome: Value = serde_json::from_str(&bench.next().unwrap()).unwrap();
    assert_eq!((&welcome["data"]["user"], &welcome["data"]["ping_interval"]), (&json!("ada"), &json!(30)));
    bench.join("r");
    let ack: Value = serde_json::from_str(&bench.next().unwrap()).unwrap();
    assert_eq!((&ack["type"], &ack["id"]), (&json!("ack"), &json!("join r")));
    assert_eq!(ack["data"], json!({"epoch": "e", "from": 5, "recovered": false}));
    assert!(bench.next().unwrap().contains(r#""seq":6"#));
    assert_eq!(bench.next(), None, "it is read already");
}

#[test]
fn a_place_that_is_not_honoured_waits_for_its_reset() {
    let mut bench = Bench::new(Transport::Events, &["r"]);
    bench.readers[0].2 = Some("old.9".parse().unwrap());
    let (ticket, fetch) = bench.fetched();
    assert_eq!(value(&fetch.query, "since"), Some("r=old.9"));
    bench.welcome(ticket, &json!({"r": {"epoch": "e", "seq": 5, "from": 5}}));
    bench.next();
    bench.join("r");
    let ack: Value = serde_json::from_str(&bench.next().unwrap()).unwrap();
    assert_eq!(ack["data"]["reset"], "");
}

#[test]
fn what_reads_is_dropped_when_the_next_is_answered() {
    let (mut bench, old) = Bench::joined();
    bench.readers.push((room("s"), Start::default(), None));
    bench.join("s");
    let (new, fetch) = bench.fetched();
    assert_eq!((value(&fetch.query, "since"), bench.next()), (Some("r=e.5"), None), "the old one reads on");
    bench.event(old, &json!({"type": "text", "room": "r", "seq": 6, "data": {}}));
    assert!(bench.next().unwrap().contains(r#""seq":6"#));
    let standing = |seq| json!({"epoch": "e", "seq": seq, "from": seq});
    bench.welcome(new, &json!({"r": standing(5), "s": standing(0)}));
    assert!(bench.next().unwrap().contains(r#""id":"join s""#));
    assert_eq!(bench.next().unwrap(), format!("drop {}", old.0));
    bench.event(old, &json!({"type": "text", "room": "r", "seq": 7, "data": {}}));
    assert_eq!(bench.next(), None, "nobody hears of it any more");
}

#[test]
fn a_place_that_was_passed_meanwhile_is_no_reset() {
    let (mut bench, old) = Bench::joined();
    bench.readers.push((room("s"), Start::default(), None));
    bench.join("s");
    let (second, _) = bench.fetched();
    // While that is on its way, the old one goes on, and the room must be joined again.
    bench.readers[0].2 = Some("e.7".parse().unwrap());
    bench.join("r");
    assert_eq!(bench.next(), None, "there is no third");
    let standing = |seq| json!({"epoch": "e", "seq": seq, "from": seq});
    bench.welcome(second, &json!({"r": standing(5), "s": standing(0)}));
    assert!(bench.next().unwrap().contains(r#""id":"join s""#));
    assert_eq!(bench.next().unwrap(), format!("drop {}", old.0));
    let (third, fetch) = bench.fetched();
    assert_eq!(value(&fetch.query, "since"), Some("r=e.7"));
    bench.welcome(third, &json!({"r": standing(7), "s": standing(0)}));
    let ack: Value = serde_json::from_str(&bench.next().unwrap()).unwrap();
    assert_eq!(ack["data"], json!({"epoch": "e", "from": 7, "recovered": true}));
}

#[test]
fn a_room_is_left_when_nothing_reads_it_any_more() {
    let (mut bench, _) = Bench::joined();
    bench.link.ping();
    let (second, _) = bench.fetched();
    bench.readers.clear();
    bench.say(&json!({"type": "leave", "id": "leave", "room": "r"}));
    assert!(bench.next().unwrap().starts_with(r#"{"type":"ack","id":"leave""#));
    bench.welcome(second, &json!({"r": {"epoch": "e", "seq": 5, "from": 5}}));
    assert!(bench.next().unwrap().starts_with("drop "));
    let (third, fetch) = bench.fetched();
    assert_eq!((fetch.path.as_str(), bench.next()), ("/events", None), "the second still reads it");
    bench.answer(third, 400, &json!({"code": "bad_request", "detail": "which room?"}));
    assert!(bench.next().unwrap().starts_with("drop "));
    assert!(bench.next().unwrap().ends_with(": DELETE /rooms/r/presence"));
}

#[test]
fn one_post_is_under_way_at_a_time_and_each_message_has_its_answer() {
    let (mut bench, _) = Bench::joined();
    bench.text("1");
    let (first, fetch) = bench.fetched();
    let ids = |fetch: &Fetch| -> Vec<String> {
        let messages: Vec<Value> = serde_json::from_str(fetch.body.as_deref().unwrap()).unwrap();
        messages.iter().map(|message| message["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((fetch.path.as_str(), ids(&fetch)), ("/rooms/r/messages", vec!["1".to_owned()]));
    bench.text("2");
    bench.text("3");
    assert_eq!(bench.next(), None);
    bench.answer(first, 200, &json!([{"status": "delivered", "seq": 6}]));
    assert!(bench.next().unwrap().starts_with(r#"{"type":"ack","id":"1","room":"r""#));
    let (second, fetch) = bench.fetched();
    assert_eq!(ids(&fetch), ["2", "3"]);
    let refused = json!({"status": "error", "code": "conflict", "message": "no", "retryable": false});
    bench.answer(second, 200, &json!([refused, {"status": "delivered", "seq": 7}]));
    assert!(bench.next().unwrap().starts_with(r#"{"type":"error","id":"2","room":"r""#));
    assert!(bench.next().unwrap().starts_with(r#"{"type":"ack","id":"3","room":"r""#));
}

#[test]
fn so_many_requests_are_under_way_at_once_and_the_oldest_go_first() {
    let (mut bench, _) = Bench::joined();
    for n in 0..100 {
        bench.say(&json!({"type": "history", "id": n.to_string(), "room": format!("h{n}"), "data": {}}));
    }
    let mut under_way = VecDeque::new();
    for n in 0..100 {
        while let Some(step) = bench.step() {
            if let Step::Fetch(ticket, fetch) = step {
                under_way.push_back((ticket, fetch.path));
            }
        }
        assert_eq!(under_way.len(), REQUESTS_MAX.min(100 - n));
        let (ticket, path) = under_way.pop_front().unwrap();
        assert_eq!(path, format!("/rooms/h{n}/messages"));
        bench.answer(ticket, 200, &json!({"messages": [], "complete": true}));
    }
}

#[test]
fn states_keep_their_order_and_of_those_that_wait_only_the_newest_goes() {
    let (mut bench, _) = Bench::joined();
    let state =
        |n: u64| json!({"type": "presence", "id": n.to_string(), "room": "r", "data": {"state": {"n": n}}});
    bench.say(&state(0));
    let (first, _) = bench.fetched();
    bench.say(&state(1));
    bench.say(&state(2));
    assert!(bench.next().unwrap().contains(r#""id":"1""#), "it is done, as the next one does it");
    assert_eq!(bench.next(), None);
    bench.answer(first, 200, &json!({}));
    assert!(bench.next().unwrap().contains(r#""id":"0""#));
    let (_, second) = bench.fetched();
    assert_eq!(second.body.unwrap(), r#"{"state":{"n":2}}"#);
}

#[test]
fn a_goodbye_that_waits_is_not_said_to_a_room_that_is_joined_again() {
    let (mut bench, _) = Bench::joined();
    for n in 0..REQUESTS_MAX {
        bench.say(&json!({"type": "history", "id": n.to_string(), "room": format!("h{n}"), "data": {}}));
    }
    let busy: Vec<_> = (0..REQUESTS_MAX).map(|_| bench.fetched().0).collect();
    let readers = std::mem::take(&mut bench.readers);
    bench.say(&json!({"type": "leave", "id": "leave", "room": "r"}));
    assert!(bench.next().unwrap().contains("left"));
    let (reading, _) = bench.fetched();
    bench.answer(reading, 400, &json!({"code": "bad_request", "detail": "which room?"}));
    while bench.next().is_some() {}
    bench.readers = readers;
    bench.join("r");
    for ticket in busy {
        bench.answer(ticket, 200, &json!({"messages": [], "complete": true}));
    }
    while let Some(step) = bench.next() {
        assert!(!step.contains("DELETE"), "{step}");
    }
}

#[test]
fn nothing_passes_a_message_that_was_refused_for_now() {
    let later = json!({"code": "unavailable", "detail": "later", "retryable": true});
    let element = json!({"status": "error", "code": "unavailable", "message": "later", "retryable": true});
    for (status, answer) in [(503, later), (200, json!([element]))] {
        let (mut bench, _) = Bench::joined();
        bench.text("1");
        let (ticket, _) = bench.fetched();
        bench.text("2");
        bench.text("3");
        bench.answer(ticket, status, &answer);
        for id in ["1", "2", "3"] {
            let error: Value = serde_json::from_str(&bench.next().expect("an answer")).unwrap();
            assert_eq!((&error["id"], &error["data"]["code"]), (&json!(id), &json!("unavailable")));
        }
        assert_eq!(bench.next(), None, "the client sends them again, oldest first");
    }
}

#[test]
fn of_an_answer_that_cannot_be_read_only_the_beginning_is_told() {
    let (mut bench, _) = Bench::joined();
    bench.text("1");
    let (ticket, _) = bench.fetched();
    bench.answer(ticket, 200, &json!("é".repeat(1_000_000)));
    let told = bench.next().expect("a loss");
    assert!(told.contains("can't be read: \"éé") && told.len() < 1_000, "{} bytes", told.len());
}

#[test]
fn a_refusal_of_all_is_told_to_each() {
    let (mut bench, _) = Bench::joined();
    bench.text("1");
    bench.text("2");
    let (ticket, _) = bench.fetched();
    let problem =
        json!({"code": "rate_limited", "detail": "slow down", "retryable": true, "retry_after": 1.5});
    bench.answer(ticket, 429, &problem);
    for id in ["1", "2"] {
        let error: Value = serde_json::from_str(&bench.next().unwrap()).unwrap();
        assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!(id)));
        let data =
            json!({"code": "rate_limited", "message": "slow down", "retryable": true, "retry_after": 1.5});
        assert_eq!(error["data"], data);
    }
}

#[test]
fn what_is_wrong_with_the_whole_connection_ends_it_as_a_close_would() {
    for (status, code, retryable, expected) in [
        (
            401,
            "token_expired",
            false,
            "lost: the server closed the connection with 1008 (token_expired: why)",
        ),
        (503, "unavailable", true, "lost: the server closed the connection with 1013 (unavailable: why)"),
        (500, "internal", false, "lost: the server closed the connection with 1011 (internal: why)"),
    ] {
        let mut bench = Bench::new(Transport::Poll, &["r"]);
        let (ticket, _) = bench.fetched();
        bench.answer(ticket, status, &json!({"code": code, "detail": "why", "retryable": retryable}));
        assert_eq!(bench.next().as_deref(), Some(expected));
    }
    let mut bench = Bench::new(Transport::Poll, &["r"]);
    let (ticket, _) = bench.fetched();
    bench.link.answered(ticket, Ok(Reply { status: 502, body: "<html>".into() }));
    assert_eq!(bench.next().unwrap(), "lost: the server answered 502, and not as Roomcast does");
    let (mut bench, stream) = Bench::joined();
    let data = json!({"code": "token_expired", "message": "it is over", "retryable": false});
    bench.event(stream, &json!({"type": "error", "data": data}));
    assert!(bench.next().unwrap().contains("1008 (token_expired: it is over)"));
}

#[test]
fn a_room_that_may_not_be_read_is_left_out() {
    let mut bench = Bench::new(Transport::Events, &["open", "closed"]);
    let (ticket, _) = bench.fetched();
    bench.answer(ticket, 403, &json!({"code": "forbidden", "detail": "no", "room": "closed"}));
    let (ticket, fetch) = loop {
        if let Some(Step::Fetch(ticket, fetch)) = bench.step() {
            break (ticket, fetch);
        }
    };
    let rooms: Vec<_> = fetch.query.iter().filter(|(name, _)| *name == "room").collect();
    assert_eq!(rooms, [&("room", "open".to_owned())]);
    bench.welcome(ticket, &json!({"open": {"epoch": "e", "seq": 0, "from": 0}}));
    while bench.next().is_some_and(|step| !step.contains("welcome")) {}
    bench.join("closed");
    let error: Value = serde_json::from_str(&bench.next().unwrap()).unwrap();
    assert_eq!((&error["id"], &error["data"]["code"]), (&json!("join closed"), &json!("forbidden")));
}

#[test]
fn of_too_many_rooms_those_that_are_read_stay() {
    let (mut bench, _) = Bench::joined();
    bench.readers.insert(0, (room("a"), Start::default(), None));
    bench.join("a");
    let (ticket, _) = bench.fetched();
    bench.answer(ticket, 429, &json!({"code": "too_many_rooms", "detail": "no", "retryable": true}));
    let error: Value = serde_json::from_str(&bench.next().unwrap()).unwrap();
    assert_eq!((&error["id"], &error["data"]["code"]), (&json!("join a"), &json!("too_many_rooms")));
    let (_, fetch) = bench.fetched();
    assert_eq!(value(&fetch.query, "room"), Some("r"));
}

#[test]
fn a_ping_is_answered_by_reading_anew() {
    let (mut bench, _) = Bench::joined();
    bench.link.ping();
    let (ticket, _) = bench.fetched();
    bench.welcome(ticket, &json!({"r": {"epoch": "e", "seq": 5, "from": 5}}));
    let mut heard = false;
    while let Some(step) = bench.step() {
        heard |= matches!(step, Step::Tell(Told::Heard));
    }
    assert!(heard);
}

#[test]
fn a_token_is_not_shown() {
    let bench = Bench::new(Transport::Poll, &["r"]);
    let settings = Settings { token: Token::Fixed("token in use".into()), ..Settings::default() };
    let mut client = Client::<Nobody, ()>::new(settings);
    client.tick(0);
    let shown = format!("{:?} {client:?}", bench.link);
    assert!(shown.contains("Secret(…)") && !shown.contains("\"token"), "{shown}");
}

#[test]
fn polls_follow_each_other_by_position() {
    let mut bench = Bench::new(Transport::Poll, &["r"]);
    let (ticket, fetch) = bench.fetched();
    assert_eq!((value(&fetch.query, "timeout"), value(&fetch.query, "since")), (Some("0"), None));
    let answer = |position: &str, v: u64| {
        json!({
            "messages": [{"type": "text", "room": "r", "seq": 6, "data": {}}], "position": position, "resets": [],
            "rooms": {"r": {"epoch": "e", "seq": 5, "from": 5}},
            "presence": {"event": "sync", "v": v, "members": [], "count": 0},
        })
    };
    bench.answer(ticket, 200, &answer("e.6", 7));
    assert!(bench.next().unwrap().contains("welcome"));
    bench.join("r");
    assert!(bench.next().unwrap().contains(r#""id":"join r""#));
    assert!(bench.next().unwrap().contains(r#""seq":6"#));
    assert!(bench.next().unwrap().starts_with(r#"{"type":"presence","room":"r""#));
    let (ticket, fetch) = bench.fetched();
    assert_eq!((value(&fetch.query, "since"), value(&fetch.query, "v")), (Some("e.6"), Some("r=7")));
    assert_eq!((value(&fetch.query, "timeout"), fetch.timeout.as_secs()), (Some("25"), 35));
    assert_eq!(bench.next(), None, "one at a time");
    bench.link.answered(ticket, Err("the cable was pulled".into()));
    assert_eq!(bench.next().unwrap(), "lost: the cable was pulled");
}

#[test]
fn a_close_says_goodbye_when_nothing_reads_any_more_and_waits_for_answers() {
    let (mut bench, stream) = Bench::joined();
    bench.text("1");
    let (post, _) = bench.fetched();
    bench.link.close();
    assert_eq!(bench.next().unwrap(), format!("drop {}", stream.0));
    let (goodbye, fetch) = bench.fetched();
    assert_eq!((fetch.method, fetch.path.as_str()), (Method::Delete, "/rooms/r/presence"));
    bench.answer(goodbye, 200, &json!({"status": "ok"}));
    assert_eq!(bench.next(), None, "a message has no answer yet");
    bench.answer(post, 200, &json!([{"status": "delivered", "seq": 6}]));
    assert!(bench.next().unwrap().starts_with(r#"{"type":"ack","id":"1""#));
    assert_eq!(bench.next().unwrap(), "lost: the server closed the connection with 1000");
}

#[test]
fn without_a_room_it_is_asked_whether_there_would_be_one() {
    let mut bench = Bench::new(Transport::Events, &[]);
    let (ticket, fetch) = bench.fetched();
    assert_eq!(fetch.path, "/events");
    bench.answer(ticket, 400, &json!({"code": "bad_request", "detail": "which room?"}));
    assert!(bench.next().unwrap().contains("welcome"));
}

#[test]
fn what_makes_no_sense_is_told_and_panics_nowhere() {
    for body in ["", "[]", "{}", "null", r#"{"messages":{}}"#] {
        let mut bench = Bench::new(Transport::Poll, &["r"]);
        let (ticket, _) = bench.fetched();
        bench.link.answered(ticket, Ok(Reply { status: 200, body: body.into() }));
        assert!(bench.next().unwrap().starts_with("lost: a poll's answer can't be read"), "{body}");
    }
    for data in ["", "1", "{}", "[", r#"{"type":"error","data":{}}"#] {
        let (mut bench, stream) = Bench::joined();
        bench.link.chunk(stream, format!("data: {data}\n\n").as_bytes());
        assert!(bench.next().unwrap().starts_with("lost: "), "{data}");
    }
    let (mut bench, stream) = Bench::joined();
    for seconds in ["-1", "1e300", "\"x\""] {
        let data = format!(r#"{{"event":"welcome","ping_interval":{seconds}}}"#);
        bench.link.chunk(stream, format!("data: {{\"type\":\"system\",\"data\":{data}}}\n\n").as_bytes());
    }
    while bench.next().is_some() {}
}
