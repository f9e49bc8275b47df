//! What an application hears of its rooms.

use roomcast_protocol::{Position, Timestamp};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};

use super::{answer::Refused, incoming};

/// Something that happened in a room.
#[derive(Debug)]
pub enum Event {
    /// The room is joined: for the first time, or again after the connection was lost.
    Joined {
        /// Where reading goes on from: the next message is the one after it.
        position: Position,
        /// Whether it goes on from where it was, so that nothing is missing.
        recovered: bool,
    },
    /// Somebody said something; the client itself, too.
    Message(Message),
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

/// A message that somebody sent: `text`, or of an application's own type.
#[derive(Clone, Debug)]
pub struct Message {
    /// The type.
    pub kind: String,
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

impl Message {
    /// Reads the payload as a type of the application's. The author stands in it as `author`.
    ///
    /// # Errors
    ///
    /// The payload is not of this type; the text says where.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        data_of(&self.envelope)
    }

    /// Reads a message out of a page of history.
    pub(super) fn of_history(envelope: &RawValue) -> Result<Self, String> {
        incoming::Envelope::read(envelope.get())?.message()
    }
}

fn data_of<T: DeserializeOwned>(envelope: &str) -> Result<T, serde_json::Error> {
    #[derive(Deserialize)]
    struct Envelope<T> {
        data: T,
    }
    serde_json::from_str::<Envelope<T>>(envelope).map(|envelope| envelope.data)
}

/// A change of who is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Presence {
    /// The roster's version after the change; a hole in it means that a change was missed.
    pub v: u64,
    /// Users in the room.
    pub count: u64,
    /// What changed.
    pub change: Change,
    /// The whole message as it was received, one JSON object.
    pub envelope: Box<str>,
}

/// What changed in a roster.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// A user's first session came.
    Join(Member),
    /// A user's last session went.
    Leave(Member),
    /// A user's state or number of connections changed.
    Update(Member),
    /// These are all members, whatever was known before; in a large room only the first of them.
    Sync {
        /// The longest present first.
        members: Vec<Member>,
    },
    /// Only the number of users is told.
    Count,
    /// Something that this version doesn't know.
    #[serde(other)]
    Other,
}

/// A user in a room, as others see it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Member {
    /// Who.
    pub user: String,
    /// Sessions of the user in the room.
    pub connections: u32,
    /// What the user's client said of itself last.
    #[serde(default)]
    pub state: Map<String, Value>,
    /// What the user's token says.
    #[serde(default)]
    pub info: Map<String, Value>,
}

/// A sign of typing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typing {
    /// Who.
    pub author: String,
    /// Typing, or done.
    pub typing: bool,
    /// The whole message as it was received, one JSON object.
    pub envelope: Box<str>,
}

impl Member {
    /// Reads the state as a type of the application's.
    ///
    /// # Errors
    ///
    /// The state is not of this type; the text says where.
    pub fn state_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(Value::Object(self.state.clone()))
    }
}

impl Typing {
    /// Reads what was said with it as a type of the application's; `author` and `typing` stand in it too.
    ///
    /// # Errors
    ///
    /// The payload is not of this type; the text says where.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        data_of(&self.envelope)
    }
}
