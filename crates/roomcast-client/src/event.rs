//! What an application hears of a room, in its own types: reads what the state machine tells, decides nothing.

use std::{borrow::Cow, fmt};

use roomcast_protocol::{Position, Timestamp};
use roomcast_session::client::{self, Error, Page as RawPage, Presence, Refused, Typing};
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::value::{RawValue, to_raw_value};

/// Something that happened in a room whose messages are `M`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<M> {
    /// The room is joined: for the first time, or again after the connection was lost.
    Joined {
        /// Where reading goes on from: the next message is the one after it.
        position: Position,
        /// Whether it goes on from where it was, so that nothing is missing.
        recovered: bool,
    },
    /// Somebody said something; the client itself, too.
    Message(Message<M>),
    /// Somebody said something that is no `M`: a type or a payload that this version of the application doesn't
    /// know. The room goes on.
    Unread(Unread),
    /// Somebody came, went, or changed.
    Presence(Presence),
    /// Somebody types, or no longer does.
    Typing(Typing),
    /// Messages are missing before what comes next: what was built from the room must be loaded anew.
    Gap {
        /// `epoch`, `too_old` or `future`, as the protocol has them; `hole` if the server passed over messages
        /// even when it was asked for them.
        reason: String,
        /// Where reading goes on from.
        position: Position,
    },
    /// The last event: the room is left, and why.
    Left {
        /// In words for a person.
        reason: String,
    },
    /// The last event: the room can't be joined, or no longer.
    Denied(Refused),
}

impl<M: DeserializeOwned> From<client::Event> for Event<M> {
    fn from(event: client::Event) -> Self {
        match event {
            client::Event::Joined { position, recovered } => Self::Joined { position, recovered },
            client::Event::Message(message) => read(message).map_or_else(Self::Unread, Self::Message),
            client::Event::Presence(presence) => Self::Presence(presence),
            client::Event::Typing(typing) => Self::Typing(typing),
            client::Event::Gap { reason, position } => Self::Gap { reason, position },
            client::Event::Left { reason } => Self::Left { reason },
            client::Event::Denied(refused) => Self::Denied(refused),
        }
    }
}

impl<M> Event<M> {
    /// Where a reader is that has handled this event, if the event says so; `before` is where it was.
    pub fn position(&self, before: Option<&Position>) -> Option<Position> {
        let seq = match self {
            Self::Joined { position, .. } | Self::Gap { position, .. } => return Some(position.clone()),
            Self::Message(message) => message.seq?,
            Self::Unread(unread) => unread.message.seq?,
            _ => return None,
        };
        Some(Position { epoch: before?.epoch.clone(), seq })
    }
}

/// A message that somebody sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<M> {
    /// What was said.
    pub body: M,
    /// The sender's id for it.
    pub id: Option<String>,
    /// The room.
    pub room: String,
    /// The user who sent it; a back end may name none.
    pub author: Option<String>,
    /// Where it stands in the room's log; `None` if it is volatile.
    pub seq: Option<u64>,
    /// When the server took it.
    pub timestamp: Timestamp,
    /// The whole message as it was received, one JSON object.
    pub envelope: Box<str>,
}

/// A message that can't be read as the application's type.
#[derive(Clone, Debug)]
pub struct Unread {
    /// The message, with its payload unread.
    pub message: Box<Message<Raw>>,
    /// Why not, in words for a developer.
    pub reason: String,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { body: Raw { kind, .. }, room, .. } = &*self.message;
        write!(f, "a message {kind:?} in {room:?} can't be read: {}", self.reason)
    }
}

impl std::error::Error for Unread {}

/// A page of a room's log.
#[derive(Clone, Debug)]
pub struct Page<M> {
    /// The messages, ascending.
    pub messages: Vec<Result<Message<M>, Unread>>,
    /// Whether nothing more is kept in the direction asked for.
    pub complete: bool,
    /// Why there are no messages, if the position was not of this log: `epoch`, `too_old` or `future`.
    pub reset: Option<String>,
}

impl<M: DeserializeOwned> Page<M> {
    pub(crate) fn read(data: &str) -> Result<Self, Error> {
        let RawPage { messages, complete, reset } = RawPage::read(data)?;
        Ok(Self { messages: messages.into_iter().map(read).collect(), complete, reset })
    }
}

/// A message of any type, for whoever has no types of their own: `client.join::<Raw>(…)`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Raw {
    /// The type: `text`, or an application's own, such as `cursor.move`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The payload, a JSON object. In what comes, the author stands in it as `author`.
    pub data: Box<RawValue>,
}

impl Raw {
    /// A message of a type, with a payload that is written as a JSON object.
    ///
    /// # Errors
    ///
    /// The payload can't be written as JSON.
    pub fn new(kind: &str, data: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        Ok(Self { kind: kind.into(), data: raw(data)? })
    }

    /// Reads the payload as a type of the application's.
    ///
    /// # Errors
    ///
    /// The payload is not of this type; the text says where.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.data.get())
    }

    /// What an application's message is on the wire: its type and its payload.
    pub(crate) fn of(message: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Written<'a> {
            #[serde(borrow, rename = "type")]
            kind: Cow<'a, str>,
            #[serde(default)]
            data: Option<Box<RawValue>>,
        }
        let written = raw(message)?;
        let Written { kind, data } = serde_json::from_str(written.get()).map_err(|error| {
            Error::BadRequest(format!(
                "a message is written as {{\"type\":…,\"data\":{{…}}}}, and this one as {written} ({error}); \
                 its enum needs #[serde(tag = \"type\", content = \"data\")]"
            ))
        })?;
        let data = data.map_or_else(|| Self::new("", &serde_json::Map::new()).map(|empty| empty.data), Ok)?;
        Ok(Self { kind: kind.into_owned(), data })
    }
}

/// Writes a payload as JSON.
pub(crate) fn raw(data: &(impl Serialize + ?Sized)) -> Result<Box<RawValue>, Error> {
    to_raw_value(data)
        .map_err(|error| Error::BadRequest(format!("the payload can't be written as JSON: {error}")))
}

fn read<M: DeserializeOwned>(message: client::Message) -> Result<Message<M>, Unread> {
    match body(&message) {
        Ok(body) => Ok(with(body, message)),
        Err(error) => {
            let data = message.data().unwrap_or_else(|_| RawValue::NULL.to_owned());
            let raw = Raw { kind: message.kind.clone(), data };
            Err(Unread { message: Box::new(with(raw, message)), reason: error.to_string() })
        }
    }
}

fn with<M>(body: M, message: client::Message) -> Message<M> {
    let client::Message { id, room, author, seq, timestamp, envelope, .. } = message;
    Message { body, id, room, author, seq, timestamp, envelope }
}

/// A variant without a payload is sent without `data`; the server gives it one with the author in it, which serde
/// takes for a payload that shouldn't be there.
fn body<M: DeserializeOwned>(message: &client::Message) -> Result<M, serde_json::Error> {
    serde_json::from_str(&message.envelope).or_else(|error| {
        let is_empty = message.data::<Empty>().is_ok();
        let bare = serde_json::json!({ "type": message.kind });
        if is_empty { M::deserialize(bare).map_err(|_| error) } else { Err(error) }
    })
}

/// A payload of nothing but who sent it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {
    #[serde(default, rename = "author")]
    _author: Option<IgnoredAny>,
}
