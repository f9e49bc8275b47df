//! The server's half, asked as a client would ask it.

use roomcast_protocol::{Epoch, Grants, Pattern, SessionId, Timestamp, UserId};

use super::*;

#[derive(Clone, Debug, PartialEq)]
struct Room(RoomName);

impl Target for Room {
    fn name(&self) -> &RoomName {
        &self.0
    }
}

/// A session, its clock, and what it has said.
struct Pair {
    session: Session<Room>,
    now: Now,
}

fn identity(user: &str, rights: &[(&str, Rights)], expires_at: Option<u64>) -> Arc<Identity> {
    let grants = rights.iter().map(|(pattern, rights)| (Pattern::new(pattern).unwrap(), *rights)).collect();
    Arc::new(Identity {
        user: UserId::new(user).unwrap(),
        principal: Principal::User,
        session: SessionId::new("abcdefghijklmnopqrstuv").unwrap(),
        grants: Arc::new(Grants::Claims(grants)),
        info: None,
        expires_at: expires_at.map(Timestamp),
    })
}

impl Pair {
    fn new(rights: &[(&str, Rights)], expires_at: Option<u64>) -> Self {
        Self::with(Limits::default(), rights, expires_at)
    }

    fn with(limits: Limits, rights: &[(&str, Rights)], expires_at: Option<u64>) -> Self {
        let now = Now { ms: 1_000, wall: Timestamp(1_000_000) };
        let mut queue = Queue::default();
        let session = Session::open(now, identity("ada", rights, expires_at), Arc::new(limits), &mut queue);
        assert_eq!(said(&queue)[0]["data"]["event"], "welcome");
        Self { session, now }
    }

    /// What the driver is asked to do, as its name, and what is answered.
    fn ask(&mut self, text: &str) -> (&'static str, Vec<serde_json::Value>) {
        let mut queue = Queue::default();
        let action = match self.session.handle(self.now, text, &mut queue) {
            None => "none",
            Some(Action::Join { id, room, rights, .. }) => {
                let epoch = Epoch::new("e").unwrap();
                let joined = Joined { epoch, seq: 5, from: 5, recovered: false, reset: None };
                let outcome = (&joined, &Members::default());
                self.session.joined((self.now, id), (Room(room), rights), outcome, &mut queue);
                "join"
            }
            Some(Action::Leave { id, room }) => {
                self.session.left((self.now, id), room.name(), &mut queue);
                "leave"
            }
            Some(Action::Publish { .. }) => "publish",
            Some(Action::Typing { .. }) => "typing",
            Some(Action::Presence { .. }) => "presence",
            Some(Action::History { .. }) => "history",
            Some(Action::Authenticate { .. }) => "auth",
        };
        (action, said(&queue))
    }

    fn error(&mut self, text: &str) -> String {
        let (action, said) = self.ask(text);
        assert_eq!(action, "none", "{text}");
        said[0]["data"]["code"].as_str().unwrap_or_default().to_owned()
    }

    fn wait(&mut self, ms: u64) {
        self.now.ms += ms;
        self.now.wall.0 += ms;
    }
}

/// The messages of a queue; pings and closes are left out.
fn said(queue: &Queue) -> Vec<serde_json::Value> {
    let (mut bytes, mut messages) = (queue.bytes(), Vec::new());
    while let [first, second, rest @ ..] = bytes {
        let (len, rest) = match second {
            126 => (usize::from(rest[0]) << 8 | usize::from(rest[1]), &rest[2..]),
            len => (usize::from(*len), rest),
        };
        if *first == 0x81 {
            messages.push(serde_json::from_slice(&rest[..len]).unwrap());
        }
        bytes = &rest[len..];
    }
    messages
}

#[test]
fn a_join_opens_the_room() {
    let mut pair = Pair::new(&[("*", Rights::ALL)], None);
    assert_eq!(pair.error(r#"{"type":"text","room":"r"}"#), "not_joined");
    let (action, said) = pair.ask(r#"{"type":"join","room":"r","id":"1"}"#);
    assert_eq!(
        (action, said[0]["id"].as_str(), said[0]["data"]["status"].as_str()),
        ("join", Some("1"), Some("joined"))
    );
    for verb in ["text", "typing", "presence"] {
        let (action, said) = pair.ask(&format!(r#"{{"type":"{verb}","room":"r"}}"#));
        assert_eq!(action, if verb == "text" { "publish" } else { verb });
        assert!(said.is_empty());
    }
    assert_eq!(pair.ask(r#"{"type":"leave","room":"r"}"#).0, "leave");
    assert_eq!(pair.error(r#"{"type":"text","room":"r"}"#), "not_joined");
    assert_eq!(pair.ask(r#"{"type":"leave","room":"r"}"#).1[0]["data"]["status"], "left");
}

#[test]
fn rights_are_asked_at_every_door() {
    let mut pair = Pair::new(&[("read", Rights::JOIN), ("log", Rights::HISTORY)], None);
    let forbidden = [
        r#"{"type":"join","room":"other"}"#,
        r#"{"type":"join","room":"read","data":{"last":5}}"#,
        r#"{"type":"history","room":"read","id":"1"}"#,
    ];
    for text in forbidden {
        assert_eq!(pair.error(text), "forbidden", "{text}");
    }
    assert_eq!(pair.ask(r#"{"type":"join","room":"read"}"#).0, "join");
    assert_eq!(pair.error(r#"{"type":"text","room":"read"}"#), "forbidden");
    assert_eq!(pair.error(r#"{"type":"typing","room":"read"}"#), "forbidden");
    assert_eq!(pair.ask(r#"{"type":"history","room":"log","id":"1"}"#).0, "history");
    let bound = pair.session.bind(RoomName::new("other").unwrap(), Join::default());
    assert_eq!(bound.unwrap_err(), Close::Forbidden);
}

#[test]
fn a_bound_connection_may_leave_the_room_out() {
    let mut pair = Pair::new(&[("*", Rights::ALL)], None);
    assert_eq!(pair.error(r#"{"type":"text","data":{}}"#), "bad_request");
    assert!(pair.session.bind(RoomName::new("r").unwrap(), Join::default()).is_ok());
    assert_eq!(pair.ask(r#"{"type":"join"}"#).0, "join");
    assert_eq!(pair.ask(r#"{"type":"text","data":{}}"#).0, "publish");
}

#[test]
fn over_the_rate_every_send_is_refused_until_retry_after() {
    let limits = Limits { sends_per_second: 10, sends_burst: 3, ..Limits::default() };
    let mut pair = Pair::with(limits, &[("*", Rights::ALL)], None);
    pair.ask(r#"{"type":"join","room":"r"}"#);
    for _ in 0..3 {
        assert_eq!(pair.ask(r#"{"type":"text","room":"r"}"#).0, "publish", "a join is no send");
    }
    let (_, said) = pair.ask(r#"{"type":"text","room":"r","id":"9"}"#);
    assert_eq!(
        (said[0]["data"]["code"].as_str(), said[0]["data"]["retry_after"].as_f64()),
        (Some("rate_limited"), Some(1.0))
    );
    pair.wait(500);
    assert_eq!(pair.error(r#"{"type":"text","room":"r"}"#), "rate_limited");
    pair.wait(500);
    assert_eq!(pair.ask(r#"{"type":"text","room":"r"}"#).0, "publish");
}

#[test]
fn after_unavailable_the_room_is_held() {
    let mut pair = Pair::new(&[("*", Rights::ALL)], None);
    for room in ["r", "s"] {
        pair.ask(&format!(r#"{{"type":"join","room":"{room}"}}"#));
    }
    let mut queue = Queue::default();
    pair.session.refuse((pair.now, None), Some("r"), (Code::Unavailable, "the log is away"), &mut queue);
    assert_eq!(pair.error(r#"{"type":"text","room":"r"}"#), "unavailable");
    assert_eq!(pair.ask(r#"{"type":"text","room":"s"}"#).0, "publish");
    pair.wait(1_000);
    assert_eq!(pair.ask(r#"{"type":"text","room":"r"}"#).0, "publish");
}

#[test]
fn rooms_are_bounded() {
    let limits = Limits { rooms_per_connection_max: 1, ..Limits::default() };
    let mut pair = Pair::with(limits, &[("*", Rights::ALL)], None);
    assert_eq!(pair.ask(r#"{"type":"join","room":"r"}"#).0, "join");
    assert_eq!(pair.ask(r#"{"type":"join","room":"r"}"#).0, "join");
    assert_eq!(pair.error(r#"{"type":"join","room":"s"}"#), "too_many_rooms");
}

#[test]
fn silence_and_the_end_of_the_token() {
    let mut pair = Pair::new(&[("*", Rights::ALL)], Some(1_000_000 + 61_000));
    let mut queue = Queue::default();
    assert_eq!(pair.session.tick(pair.now, &mut queue), Tick::Again(2_000));
    pair.wait(1_000);
    pair.session.tick(pair.now, &mut queue);
    assert_eq!(said(&queue)[0]["data"]["event"], "expiring");
    pair.wait(19_000);
    assert_eq!(pair.session.tick(pair.now, &mut queue), Tick::Again(29_000));
    assert!(queue.bytes().ends_with(&[0x89, 0]));
    pair.session.heard(pair.now);
    pair.wait(41_000);
    pair.session.heard(pair.now);
    assert!(matches!(pair.session.tick(pair.now, &mut queue), Tick::End(Close::TokenExpired, _)));
}

#[test]
fn a_new_token_may_take_rooms_away() {
    let mut pair = Pair::new(&[("*", Rights::ALL)], None);
    for room in ["a", "b"] {
        pair.ask(&format!(r#"{{"type":"join","room":"{room}"}}"#));
    }
    let mut queue = Queue::default();
    let stranger = identity("eve", &[("*", Rights::ALL)], None);
    assert!(pair.session.authenticated((pair.now, None), stranger, &mut queue).is_empty());
    assert_eq!(said(&queue)[0]["data"]["code"], "forbidden");
    let narrower = identity("ada", &[("a", Rights::JOIN)], None);
    let changed = pair.session.authenticated((pair.now, Some("i".into())), narrower, &mut queue);
    let room = |name| Room(RoomName::new(name).unwrap());
    assert_eq!(changed, [(room("a"), Rights::JOIN), (room("b"), Rights::NONE)]);
    assert_eq!(said(&queue)[1]["data"]["status"], "authenticated");
    assert_eq!(
        (&said(&queue)[2]["data"]["event"], &said(&queue)[2]["room"]),
        (&"kicked".into(), &"b".into())
    );
    assert_eq!(pair.error(r#"{"type":"text","room":"a"}"#), "forbidden");
}

#[test]
fn after_the_close_nothing_is_said() {
    let mut pair = Pair::new(&[("*", Rights::ALL)], None);
    let mut queue = Queue::default();
    pair.session.close(pair.now, Close::TakenOver, "this session connected elsewhere", &mut queue);
    let bytes = queue.bytes().len();
    pair.session.close(pair.now, Close::Normal, "", &mut queue);
    assert_eq!(queue.bytes().len(), bytes);
    assert_eq!(pair.ask(r#"{"type":"ping"}"#), ("none", vec![]));
}

#[test]
fn control_frames_are_rated() {
    let mut pair = Pair::new(&[], None);
    assert!((0..20).all(|_| pair.session.control_frame(pair.now).is_ok()));
    assert_eq!(pair.session.control_frame(pair.now), Err(Close::RateLimited));
}
