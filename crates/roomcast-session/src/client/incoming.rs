//! What a server sends, read from the text of one message. What a later version may add is passed over, and so is a
//! sign of who is there or types from which something is missing. Where a reader's place or an answer depends on it,
//! what should be there and isn't makes the message unreadable.

use std::{borrow::Cow, time::Duration};

use roomcast_protocol::{Epoch, Position, Timestamp};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{
    answer::Refused,
    event::{Change, Message, Presence, Typing},
};

/// A server that names a longer time is taken to mean this: with more a clock in milliseconds would overflow.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// One message of a server.
#[derive(Debug)]
pub(super) enum Incoming<'a> {
    /// A request was done. Holds the answer's `data`.
    Ack(Cow<'a, str>, &'a RawValue),
    /// A request was refused.
    Error(Cow<'a, str>, Refused),
    /// The first word on a connection.
    Welcome { user: Option<String>, ping_interval: Duration },
    /// The token ends soon.
    Expiring,
    /// The server ends, and when to come back.
    Draining(Duration),
    /// The user is no longer welcome, in a room or at all.
    Kicked(String),
    /// The reader goes on from the head.
    Reset { reason: String, position: Position },
    /// Somebody sent something. With the seq of the logged message before it, where that isn't seq - 1.
    Message(Message, Option<u64>),
    /// A change of who is there.
    Presence(Presence),
    /// Somebody types.
    Typing(Typing),
    /// Nothing that this version knows or needs.
    Other,
}

/// An envelope with its payload unread.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    room: Option<Text<'a>>,
    seq: Option<u64>,
    prev: Option<u64>,
    timestamp: Option<f64>,
    #[serde(borrow, default = "null")]
    data: &'a RawValue,
    #[serde(skip)]
    text: &'a str,
}

/// `Option<Cow<str>>` never borrows; this does.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The `data` of a join's ack, as far as a reader needs it.
#[derive(Deserialize)]
pub(super) struct Joined {
    #[serde(deserialize_with = "epoch")]
    pub(super) epoch: Epoch,
    pub(super) from: u64,
    pub(super) recovered: bool,
    pub(super) reset: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum System {
    Welcome {
        user: Option<String>,
        ping_interval: f64,
    },
    Expiring,
    Draining {
        reconnect_in: f64,
    },
    Kicked {
        #[serde(default)]
        reason: String,
    },
    Reset {
        reason: String,
        #[serde(deserialize_with = "epoch")]
        epoch: Epoch,
        seq: u64,
    },
    #[serde(other)]
    Other,
}

impl<'a> Envelope<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, String> {
        let envelope: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(Self { text, ..envelope })
    }

    /// The room that it is about.
    pub(super) fn room(&self) -> Option<&str> {
        self.room.as_ref().map(|room| &*room.0)
    }

    /// What it says.
    pub(super) fn open(self) -> Result<Incoming<'a>, String> {
        match &*self.kind {
            "ack" | "error" => self.answer(),
            "system" => self.system(),
            "presence" => Ok(self.presence().map_or(Incoming::Other, Incoming::Presence)),
            "typing" => Ok(self.typing().map_or(Incoming::Other, Incoming::Typing)),
            _ if self.room.is_none() => Ok(Incoming::Other),
            _ => self.message().map(|message| Incoming::Message(message, self.prev)),
        }
    }

    /// An answer without an id answers what was sent without one, and this client sends nothing without one.
    fn answer(self) -> Result<Incoming<'a>, String> {
        match self.id {
            None => Ok(Incoming::Other),
            Some(Text(id)) if self.kind == "ack" => Ok(Incoming::Ack(id, self.data)),
            Some(Text(id)) => payload(self.data).map(|refused| Incoming::Error(id, refused)),
        }
    }

    fn system(&self) -> Result<Incoming<'a>, String> {
        Ok(match self.payload()? {
            System::Welcome { user, ping_interval } => {
                Incoming::Welcome { user, ping_interval: duration(ping_interval)? }
            }
            System::Expiring => Incoming::Expiring,
            System::Draining { reconnect_in } => Incoming::Draining(duration(reconnect_in)?),
            System::Kicked { reason } => Incoming::Kicked(reason),
            System::Reset { reason, epoch, seq } => {
                Incoming::Reset { reason, position: Position { epoch, seq } }
            }
            System::Other => Incoming::Other,
        })
    }

    fn presence(&self) -> Result<Presence, String> {
        #[derive(Deserialize)]
        struct Roster {
            v: u64,
            count: u64,
        }
        let Roster { v, count } = self.payload()?;
        Ok(Presence { v, count, change: self.payload::<Change>()?, envelope: self.text.into() })
    }

    fn typing(&self) -> Result<Typing, String> {
        #[derive(Deserialize)]
        struct Typist {
            author: String,
            typing: bool,
        }
        let Typist { author, typing } = self.payload()?;
        Ok(Typing { author, typing, envelope: self.text.into() })
    }

    /// The message that somebody sent.
    pub(super) fn message(&self) -> Result<Message, String> {
        #[derive(Deserialize)]
        struct Authored<'a> {
            #[serde(borrow)]
            author: Option<Text<'a>>,
        }
        // A back end may have put anything there.
        let author = self.payload::<Authored<'_>>().ok().and_then(|data| data.author);
        Ok(Message {
            kind: self.kind.clone().into_owned(),
            id: self.id.as_ref().map(|id| id.0.clone().into_owned()),
            room: self.room().ok_or("a message names no room")?.to_owned(),
            author: author.map(|author| author.0.into_owned()),
            seq: self.seq,
            timestamp: timestamp(self.timestamp.unwrap_or_default()),
            envelope: self.text.into(),
        })
    }

    fn payload<T: Deserialize<'a>>(&self) -> Result<T, String> {
        payload(self.data)
    }
}

fn null<'a>() -> &'a RawValue {
    RawValue::NULL
}

impl Joined {
    pub(super) fn read(data: &RawValue) -> Result<Self, String> {
        payload(data)
    }
}

fn payload<'a, T: Deserialize<'a>>(data: &'a RawValue) -> Result<T, String> {
    serde_json::from_str(data.get()).map_err(|error| error.to_string())
}

fn epoch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Epoch, D::Error> {
    let text = Cow::<'_, str>::deserialize(deserializer)?;
    Epoch::new(&text).map_err(serde::de::Error::custom)
}

/// Seconds as the wire has them.
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let seconds = Option::<f64>::deserialize(deserializer)?;
    seconds.map(duration).transpose().map_err(serde::de::Error::custom)
}

fn duration(seconds: f64) -> Result<Duration, String> {
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| format!("{seconds} s: {error}"))?;
    Ok(duration.min(DURATION_MAX))
}

/// Unix seconds as the wire has them, to the nearest millisecond. Informative only: nonsense is 0.
pub(super) fn timestamp(seconds: f64) -> Timestamp {
    let rounded = Duration::try_from_secs_f64(seconds + 0.0005);
    Timestamp(rounded.unwrap_or_default().as_millis() as u64)
}
