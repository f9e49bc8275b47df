//! What a client sends: one verb per request, read from the bytes as they came and borrowed from them.
//! Checks everything that can be checked without knowing the client or the room.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{
    Code, Limits, Positions,
    json::{Data, because, push_compact},
    name::{check_message_id, check_room, check_type, is_reserved, shown},
};

/// One message from a client.
#[derive(Debug)]
pub struct Request<'a> {
    /// Matches the answer; with the publisher also the idempotency key.
    pub id: Option<Cow<'a, str>>,
    /// The room, checked. Left out where the connection is bound to one, or the verb needs none.
    pub room: Option<Cow<'a, str>>,
    /// What is asked for.
    pub verb: Verb<'a>,
}

/// What a request asks for.
#[derive(Debug)]
pub enum Verb<'a> {
    /// To read a room from now on, or from a position.
    Join(Join),
    /// To read it no longer.
    Leave,
    /// To say something: `text` or an application's type.
    Publish(Publish<'a>),
    /// To show that the user is typing, or no longer.
    Typing(Typing<'a>),
    /// To say "still here", and what the member's state is now.
    Presence {
        /// The new state, a JSON object without white space.
        state: Option<Box<str>>,
    },
    /// To read what was said before.
    History(History),
    /// To go on with another token of the same user.
    Auth {
        /// The token, unverified.
        token: String,
    },
    /// To hear that the server is there.
    Ping,
}

/// How to join.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Join {
    /// Resume here; wins over `last`.
    pub since: Option<Positions>,
    /// Begin with the newest so many.
    pub last: Option<usize>,
    /// Whether to be a member, or just a reader.
    pub member: bool,
    /// The member's state, a JSON object without white space.
    pub state: Option<Box<str>>,
}

/// A message to publish.
#[derive(Debug)]
pub struct Publish<'a> {
    /// `text` or an application's type.
    pub kind: Cow<'a, str>,
    /// The payload.
    pub data: Data<'a>,
    /// At most once, without a place in the log.
    pub volatile: bool,
}

/// A sign of typing.
#[derive(Debug)]
pub struct Typing<'a> {
    /// Typing, or done.
    pub on: bool,
    /// What else is said with it.
    pub data: Data<'a>,
}

/// A page of the log.
#[derive(Debug, Default, PartialEq)]
pub struct History {
    /// The newest below this position.
    pub before: Option<Positions>,
    /// The oldest above this position.
    pub since: Option<Positions>,
    /// So many at most.
    pub limit: Option<usize>,
}

/// Why a request was not even tried: an `error` to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The request's id, where it could be read.
    pub id: Option<String>,
    /// The request's room, where it could be read.
    pub room: Option<String>,
    /// The code.
    pub code: Code,
    /// What happened, the value seen, what to do.
    pub message: String,
}

/// The envelope as a client may send it. What only the server sets is passed over.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    room: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(default)]
    volatile: bool,
}

impl<'a> Envelope<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        // Serde would take a list of the fields' values as well.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(format!("{} is no object", shown(text)));
        }
        serde_json::from_str(text).map_err(|error| because(&error))
    }
}

/// The id of a message that can't be read otherwise, so that whoever waits for the answer gets it.
fn id_of_broken(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Identified {
        id: String,
    }
    let Identified { id } = serde_json::from_str(text).ok()?;
    check_message_id(&id).is_ok().then_some(id)
}

/// `Option<Cow<str>>` never borrows; this does.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Keeps a `null` apart from nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

type Wrong = (Code, String);

impl<'a> Request<'a> {
    /// Reads a message as a client sends it over a socket.
    pub fn parse(text: &'a str, limits: &Limits) -> Result<Self, Refusal> {
        let envelope = Envelope::read(text).map_err(|cause| Refusal {
            id: id_of_broken(text),
            room: None,
            code: Code::BadRequest,
            message: format!("this is not a message: {cause}; send one JSON object with a \"type\""),
        })?;
        let Envelope { kind, id, room, data, volatile } = envelope;
        let (id, room) = (id.map(|text| text.0), room.map(|text| text.0));
        match read(kind, (id.as_deref(), room.as_deref()), (data, volatile), limits) {
            Ok(verb) => Ok(Self { id, room, verb }),
            Err((code, message)) => {
                let id = id.filter(|id| check_message_id(id).is_ok()).map(Cow::into_owned);
                let room = room.filter(|room| check_room(room).is_ok()).map(Cow::into_owned);
                Err(Refusal { id, room, code, message })
            }
        }
    }
}

fn read<'a>(
    kind: Cow<'a, str>,
    (id, room): (Option<&str>, Option<&str>),
    (data, volatile): (Option<&'a RawValue>, bool),
    limits: &Limits,
) -> Result<Verb<'a>, Wrong> {
    if let Some(id) = id {
        check_message_id(id).map_err(|error| (Code::BadRequest, error.to_string()))?;
    }
    if let Some(room) = room {
        check_room(room).map_err(|error| (Code::InvalidRoom, error.to_string()))?;
    }
    let data = match data {
        Some(raw) => Data::read(raw, limits.json_depth_max).map_err(bad)?,
        None => Data::default(),
    };
    match &*kind {
        "join" => Join::read(&data, limits).map(Verb::Join),
        "leave" => Ok(Verb::Leave),
        "typing" => Ok(Verb::Typing(Typing { on: field(&data, "typing")?.unwrap_or(true), data })),
        "presence" => Ok(Verb::Presence { state: state(&data, limits)? }),
        "history" => History::read(&data, limits).map(Verb::History),
        // A token that can't be read is not shown either.
        "auth" => match field(&data, "token") {
            Ok(Some(token)) => Ok(Verb::Auth { token }),
            _ => Err(bad("`auth` needs data.token, a string".into())),
        },
        "ping" => Ok(Verb::Ping),
        _ => Ok(Verb::Publish(Publish { kind: publishable(kind)?, data, volatile })),
    }
}

/// Checks that a client may publish this type.
fn publishable(kind: Cow<'_, str>) -> Result<Cow<'_, str>, Wrong> {
    check_type(&kind).map_err(|error| (Code::UnknownType, error.to_string()))?;
    if is_reserved(&kind) && kind != "text" {
        let message = format!("only the server sends {kind:?}; send \"text\" or a type of your own");
        return Err((Code::UnknownType, message));
    }
    Ok(kind)
}

impl<'a> Publish<'a> {
    /// Checks what a back end or a `POST` publishes.
    pub fn new(kind: Cow<'a, str>, data: Data<'a>, volatile: bool) -> Result<Self, (Code, String)> {
        Ok(Self { kind: publishable(kind)?, data, volatile })
    }
}

impl Join {
    fn read(data: &Data<'_>, limits: &Limits) -> Result<Self, Wrong> {
        Ok(Self {
            since: positions(data, "since", limits)?,
            last: field(data, "last")?.map(|last: usize| last.min(limits.history_page_max)),
            member: field(data, "presence")?.unwrap_or(true),
            state: state(data, limits)?,
        })
    }
}

impl History {
    fn read(data: &Data<'_>, limits: &Limits) -> Result<Self, Wrong> {
        let query = Self {
            before: positions(data, "before", limits)?,
            since: positions(data, "since", limits)?,
            limit: field(data, "limit")?,
        };
        query.checked()
    }

    /// Refuses a query that asks for two directions at once.
    pub fn checked(self) -> Result<Self, (Code, String)> {
        match self {
            Self { before: Some(_), since: Some(_), .. } => {
                Err(bad("`before` and `since` exclude each other; send one of them".into()))
            }
            Self { limit: Some(0), .. } => Err(bad("the limit 0 asks for nothing; send 1 or more".into())),
            query => Ok(query),
        }
    }
}

fn bad(message: String) -> Wrong {
    (Code::BadRequest, message)
}

/// One typed field of `data`; `null` is none.
fn field<'a, T: Deserialize<'a>>(data: &Data<'a>, key: &str) -> Result<Option<T>, Wrong> {
    let Some(raw) = data.get(key) else { return Ok(None) };
    serde_json::from_str(raw.get()).map_err(|error| bad(format!("data.{key}: {}", because(&error))))
}

fn positions(data: &Data<'_>, key: &str, limits: &Limits) -> Result<Option<Positions>, Wrong> {
    match data.get(key) {
        Some(raw) if raw.get().len() > limits.position_bytes_max => Err(bad(format!(
            "data.{key} has {} bytes; a position has {} at most",
            raw.get().len(),
            limits.position_bytes_max
        ))),
        _ => field(data, key),
    }
}

/// The member's state: an object of bounded size, kept without white space.
fn state(data: &Data<'_>, limits: &Limits) -> Result<Option<Box<str>>, Wrong> {
    let Some(raw) = data.get("state").filter(|raw| raw.get() != "null") else { return Ok(None) };
    if !raw.get().starts_with('{') {
        return Err(bad(format!("data.state is not an object but {}", shown(raw.get()))));
    }
    let mut compact = Vec::with_capacity(raw.get().len());
    push_compact(&mut compact, raw.get());
    if compact.len() > limits.presence_state_bytes_max {
        let (bytes, max) = (compact.len(), limits.presence_state_bytes_max);
        return Err((Code::TooLarge, format!("data.state has {bytes} bytes; the most is {max}")));
    }
    Ok(String::from_utf8(compact).ok().map(String::into_boxed_str))
}
