//! What a client asks, written as the text of one message.

use roomcast_protocol::{MessageId, Object, Position, RoomName};
use serde_json::value::RawValue;

/// How to join a room.
#[derive(Clone, Debug)]
pub struct Start {
    /// Go on after this position. Wins over `last`.
    pub since: Option<Position>,
    /// Begin with the newest so many messages.
    pub last: Option<u32>,
    /// Whether to be a member that others see, or just to read.
    pub member: bool,
    /// The member's state, an object.
    pub state: Option<Box<RawValue>>,
}

impl Default for Start {
    /// As a member, with what is said from now on.
    fn default() -> Self {
        Self { since: None, last: None, member: true, state: None }
    }
}

/// A message to send.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Unique per user for five minutes: draw it at random.
    pub id: MessageId,
    /// `text`, or a type of the application's own.
    pub kind: String,
    /// The payload, an object.
    pub data: Box<RawValue>,
}

/// Which page of a room's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    /// The newest messages.
    Newest,
    /// The newest below a position.
    Before(Position),
    /// The oldest above a position.
    Since(Position),
}

/// Something to ask of a room that is no message for its log.
#[derive(Clone, Debug)]
pub enum Query {
    /// To show that the user types, or no longer. At most once.
    Typing(bool),
    /// To pass a message on to those who are there now. At most once.
    Volatile(Publication),
    /// To set the member's state, an object.
    Presence(Box<RawValue>),
    /// To read what was said before: at most so many messages, or as many as the server likes.
    History(Range, Option<u32>),
}

impl Publication {
    pub(super) fn text(&self, room: &RoomName, volatile: bool) -> String {
        envelope(&self.kind, (&self.id, Some(room)), |envelope| {
            envelope.raw("data", self.data.get());
            if volatile {
                envelope.flag("volatile", true);
            }
        })
    }
}

impl Query {
    /// Whether it is for those who are there now: it never waits for a connection and is not sent again.
    pub(super) fn is_once(&self) -> bool {
        matches!(self, Self::Typing(_) | Self::Volatile(_))
    }

    pub(super) fn text(&self, id: &str, room: &RoomName) -> String {
        let head = (id, Some(room));
        match self {
            Self::Typing(on) => with_data("typing", head, |data| {
                data.flag("typing", *on);
            }),
            Self::Volatile(publication) => publication.text(room, true),
            Self::Presence(state) => with_data("presence", head, |data| {
                data.raw("state", state.get());
            }),
            Self::History(range, limit) => with_data("history", head, |data| {
                match range {
                    Range::Newest => {}
                    Range::Before(position) => {
                        data.text("before", &position.to_string());
                    }
                    Range::Since(position) => {
                        data.text("since", &position.to_string());
                    }
                }
                if let Some(limit) = limit {
                    data.number("limit", u64::from(*limit));
                }
            }),
        }
    }
}

/// A `join`, from `since` rather than from where the start says.
pub(super) fn join(id: &str, room: &RoomName, start: &Start, since: Option<&Position>) -> String {
    with_data("join", (id, Some(room)), |data| {
        match (since, start.last) {
            (Some(since), _) => {
                data.text("since", &since.to_string());
            }
            (None, Some(last)) => {
                data.number("last", u64::from(last));
            }
            (None, None) => {}
        }
        data.flag("presence", start.member);
        if let Some(state) = &start.state {
            data.raw("state", state.get());
        }
    })
}

/// A `leave`.
pub(super) fn leave(id: &str, room: &RoomName) -> String {
    envelope("leave", (id, Some(room)), |_| {})
}

/// A new token in place.
pub(super) fn auth(id: &str, token: &str) -> String {
    with_data("auth", (id, None), |data| {
        data.text("token", token);
    })
}

fn with_data(kind: &str, head: (&str, Option<&RoomName>), fields: impl FnOnce(&mut Object<'_>)) -> String {
    envelope(kind, head, |envelope| {
        envelope.with("data", |out| {
            let mut data = Object::new(out);
            fields(&mut data);
            data.end();
        });
    })
}

fn envelope(
    kind: &str,
    (id, room): (&str, Option<&RoomName>),
    fields: impl FnOnce(&mut Object<'_>),
) -> String {
    let mut out = Vec::with_capacity(128);
    let mut envelope = Object::new(&mut out);
    envelope.text("type", kind).text("id", id).text_if("room", room.map(|room| &**room));
    fields(&mut envelope);
    envelope.end();
    String::from_utf8(out).expect("JSON written from text is text")
}

#[cfg(test)]
mod tests {
    use roomcast_protocol::{Limits, Request, Verb};

    use super::*;

    fn room() -> RoomName {
        RoomName::new("chat:1").unwrap()
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.into()).unwrap()
    }

    /// What the server reads.
    fn read(text: &str) -> Verb<'_> {
        let request = Request::parse(text, &Limits::default()).expect(text);
        assert_eq!(request.id.as_deref(), Some("i"));
        request.verb
    }

    #[test]
    fn joins_are_what_the_server_reads() {
        let start =
            Start { last: Some(5), member: false, state: Some(raw(r#"{"x":1}"#)), ..Start::default() };
        let text = join("i", &room(), &start, None);
        let Verb::Join(read_back) = read(&text) else { panic!("{text}") };
        assert_eq!((read_back.last, read_back.member), (Some(5), false));
        assert_eq!(read_back.state.as_deref(), Some(r#"{"x":1}"#));
        let position: Position = "e.7".parse().unwrap();
        let text = join("i", &room(), &start, Some(&position));
        let Verb::Join(read_back) = read(&text) else { panic!("{text}") };
        assert_eq!((read_back.since.unwrap().of("chat:1"), read_back.last), (Some(&position), None));
    }

    #[test]
    fn messages_are_what_the_server_reads() {
        let publication =
            Publication { id: MessageId::new("i").unwrap(), kind: "text".into(), data: raw(r#"{"a":"b"}"#) };
        for volatile in [false, true] {
            let text = publication.text(&room(), volatile);
            let Verb::Publish(publish) = read(&text) else { panic!("{text}") };
            assert_eq!((publish.volatile, publish.data.as_sent()), (volatile, r#"{"a":"b"}"#));
        }
    }

    #[test]
    fn queries_are_what_the_server_reads() {
        let text = |query: Query| query.text("i", &room());
        assert!(matches!(read(&text(Query::Typing(false))), Verb::Typing(typing) if !typing.on));
        assert!(
            matches!(read(&text(Query::Presence(raw("{}")))), Verb::Presence { state: Some(s) } if &*s == "{}")
        );
        let before = Range::Before("e.9".parse().unwrap());
        let page = text(Query::History(before, Some(3)));
        assert!(
            matches!(read(&page), Verb::History(history) if history.before.is_some() && history.limit == Some(3))
        );
        assert!(matches!(read(&leave("i", &room())), Verb::Leave));
        assert!(matches!(read(&auth("i", "to\"ken")), Verb::Auth { token } if token == "to\"ken"));
    }
}
