//! Runs the vectors in `conformance/` through the public API, and keeps what is made from the tables of codes in
//! step with them.

use std::{collections::BTreeMap, fs, path::PathBuf};

use roomcast_protocol::{
    Close, Code, Data, Limits, Pattern, Position, Positions, Refusal, Request, Timestamp, Typing, Verb,
    server::{self, Head},
    tables_markdown,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};

/// The user who sends every frame of the vectors.
const USER: &str = "ada";

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)
}

fn text_of(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn vectors<T: DeserializeOwned>(file: &str) -> T {
    serde_json::from_str(&text_of(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A text, or the parts that it is joined from.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Whole(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Once(String),
    Repeated { repeat: String, times: usize },
}

impl Text {
    fn joined(self) -> String {
        let parts = match self {
            Self::Whole(text) => return text,
            Self::Parts(parts) => parts,
        };
        let part = |part| match part {
            Part::Once(text) => text,
            Part::Repeated { repeat, times } => repeat.repeat(times),
        };
        parts.into_iter().map(part).collect()
    }
}

#[derive(Deserialize)]
struct Frames {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    about: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    send: Text,
    read: Option<BTreeMap<String, Value>>,
    error: Option<Value>,
}

#[test]
fn frames() {
    let limits = Limits::default();
    let mut names = Vec::new();
    for group in vectors::<Frames>("conformance/frames.json").groups {
        for Case { name, send, read, error } in group.cases {
            let sent = send.joined();
            let (expected, found) = match (read, error) {
                (Some(read), None) => (json!({"read": whole(read)}), outcome(&sent, &limits)),
                (None, Some(error)) => (json!({"error": error}), outcome(&sent, &limits)),
                _ => panic!("{name}: a case has either a reading or an error"),
            };
            assert_eq!(found, expected, "{}: {name}", group.about);
            assert!(!names.contains(&name), "two cases are named {name:?}");
            names.push(name);
        }
    }
    assert!(!names.is_empty());
}

/// The expected reading, with every text joined.
fn whole(read: BTreeMap<String, Value>) -> Value {
    let text = |value: Value| match value {
        Value::Array(_) => serde_json::from_value::<Text>(value).expect("parts of a text").joined().into(),
        value => value,
    };
    read.into_iter().map(|(key, value)| (key, text(value))).collect()
}

fn outcome(sent: &str, limits: &Limits) -> Value {
    match Request::parse(sent, limits) {
        Ok(request) => json!({"read": without_nulls(reading(&request))}),
        Err(refusal) => {
            assert_is_fit_to_tell(&refusal);
            let Refusal { id, room, code, .. } = refusal;
            json!({"error": without_nulls(json!({"code": code.name(), "id": id, "room": room}))})
        }
    }
}

fn assert_is_fit_to_tell(refusal: &Refusal) {
    assert!(!refusal.message.is_empty() && refusal.message.len() < 512, "{refusal:?}");
    assert!(!refusal.message.contains('\n'), "{refusal:?}");
}

fn reading(request: &Request<'_>) -> Value {
    let mut read = match &request.verb {
        Verb::Join(join) => json!({
            "verb": "join", "since": shown(join.since.as_ref()), "last": join.last, "member": join.member,
            "state": join.state,
        }),
        Verb::Leave => json!({"verb": "leave"}),
        Verb::Publish(publish) => json!({
            "verb": "publish", "type": publish.kind, "data": authored(&publish.data),
            "volatile": publish.volatile.then_some(true),
        }),
        Verb::Typing(typing) => json!({"verb": "typing", "on": typing.on, "data": told(typing)}),
        Verb::Presence { state } => json!({"verb": "presence", "state": state}),
        Verb::History(history) => json!({
            "verb": "history", "before": shown(history.before.as_ref()),
            "since": shown(history.since.as_ref()), "limit": history.limit,
        }),
        Verb::Auth { token } => json!({"verb": "auth", "token": token}),
        Verb::Ping => json!({"verb": "ping"}),
    };
    read["id"] = json!(request.id);
    read["room"] = json!(request.room);
    read
}

fn shown(positions: Option<&Positions>) -> Option<String> {
    positions.map(Positions::to_string)
}

fn authored(data: &Data<'_>) -> String {
    let mut out = Vec::new();
    data.write_authored(USER, &mut out);
    String::from_utf8(out).expect("what was read is text")
}

/// What others are told of somebody typing.
fn told(typing: &Typing<'_>) -> String {
    #[derive(Deserialize)]
    struct Told {
        data: Box<RawValue>,
    }
    let mut out = Vec::new();
    server::typing(Head::at(Timestamp(0)), USER, typing.on, Some(&typing.data), &mut out);
    serde_json::from_slice::<Told>(&out).expect("a message").data.get().to_owned()
}

fn without_nulls(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    fields.into_iter().filter(|(_, value)| !value.is_null()).collect()
}

#[derive(Deserialize)]
struct PositionVectors {
    valid: Vec<PositionCase>,
    invalid: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PositionCase {
    text: String,
    one: Option<Place>,
    each: Option<BTreeMap<String, Place>>,
    written: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Place {
    epoch: String,
    seq: u64,
}

impl From<&Position> for Place {
    fn from(position: &Position) -> Self {
        Self { epoch: position.epoch.as_str().to_owned(), seq: position.seq }
    }
}

#[test]
fn positions() {
    let bytes_max = Limits::default().position_bytes_max;
    let PositionVectors { valid, invalid } = vectors("conformance/positions.json");
    for PositionCase { text, one, each, written } in valid {
        let positions = Positions::parse(&text, bytes_max).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(positions.to_string(), written.unwrap_or_else(|| text.clone()));
        let found = match positions {
            Positions::One(position) => (Some(Place::from(&position)), None),
            Positions::Each(each) => {
                let each = each.iter().map(|(room, position)| (room.to_string(), Place::from(position)));
                (None, Some(each.collect()))
            }
        };
        assert_eq!(found, (one, each), "{text}");
    }
    for text in invalid {
        assert!(Positions::parse(&text, bytes_max).is_err(), "{text:?} was read");
    }
}

#[derive(Deserialize)]
struct PatternVectors {
    valid: Vec<PatternCase>,
    invalid: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatternCase {
    pattern: String,
    matches: Vec<String>,
    not: Vec<String>,
}

#[test]
fn patterns() {
    let PatternVectors { valid, invalid } = vectors("conformance/patterns.json");
    for PatternCase { pattern: text, matches, not } in valid {
        let pattern = Pattern::new(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(pattern.to_string(), text);
        for (rooms, expected) in [(matches, true), (not, false)] {
            for room in rooms {
                assert_eq!(pattern.matches(&room), expected, "{text} {room}");
            }
        }
    }
    for text in invalid {
        assert!(Pattern::new(&text).is_err(), "{text:?} is a pattern");
    }
}

/// Compares a file that is made from the code with what it must be, or writes it when asked to.
fn assert_current(file: &str, expected: &str) {
    if std::env::var_os("ROOMCAST_WRITE").is_some() {
        fs::write(path(file), expected).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    assert!(
        text_of(file) == expected,
        "{file} is stale; write it anew with ROOMCAST_WRITE=1 cargo test -p roomcast-protocol --test conformance"
    );
}

#[test]
fn codes_are_current() {
    let line = |value: Value| format!("    {value}");
    let codes = Code::ALL.iter().map(|code| {
        line(json!({
            "code": code.name(), "status": code.status(), "retryable": code.retryable(),
            "meaning": code.meaning(),
        }))
    });
    let closes = Close::ALL.iter().map(|close| {
        line(json!({
            "close": close.number(), "reason": close.reason(), "reconnect": close.reconnect(),
            "meaning": close.meaning(),
        }))
    });
    let expected = format!(
        "{{\n  \"errors\": [\n{}\n  ],\n  \"closes\": [\n{}\n  ]\n}}\n",
        codes.collect::<Vec<_>>().join(",\n"),
        closes.collect::<Vec<_>>().join(",\n")
    );
    assert_current("conformance/codes.json", &expected);
}

#[test]
fn the_tables_of_the_documentation_are_current() {
    const BEGIN: &str = "<!-- codes: made from the code, see conformance/README.md -->\n";
    const END: &str = "<!-- end of codes -->";
    let page = text_of("docs/protocol.md");
    let (before, rest) =
        page.split_once(BEGIN).expect("docs/protocol.md has the mark where the tables begin");
    let (_, after) = rest.split_once(END).expect("docs/protocol.md has the mark where the tables end");
    assert_current("docs/protocol.md", &format!("{before}{BEGIN}{}{END}{after}", tables_markdown()));
}
