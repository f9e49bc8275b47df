//! How a request ended: what an ack says, and why there is none.

use std::{fmt, time::Duration};

use roomcast_protocol::{Epoch, MessageId, Position, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    event::Message,
    incoming::{seconds, timestamp},
};

/// The server took a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The message's id.
    pub id: MessageId,
    /// The message's place in the room's log; `None` if it was volatile.
    pub position: Option<Position>,
    /// When the server took it.
    pub timestamp: Timestamp,
    /// Whether it had been taken before under this id, so that nothing was sent out again.
    pub duplicate: bool,
}

impl Ack {
    /// Reads the ack's `data`.
    pub fn read(id: MessageId, data: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Delivered {
            seq: Option<u64>,
            epoch: Option<String>,
            timestamp: f64,
            #[serde(default)]
            duplicate: bool,
        }
        let Delivered { seq, epoch, timestamp: at, duplicate } = read(data)?;
        let position = match (seq, epoch) {
            (Some(seq), Some(epoch)) => {
                Some(Position { epoch: Epoch::new(&epoch).map_err(unreadable)?, seq })
            }
            _ => None,
        };
        Ok(Self { id, position, timestamp: timestamp(at), duplicate })
    }
}

/// A page of a room's log.
#[derive(Clone, Debug)]
pub struct Page {
    /// The messages, ascending.
    pub messages: Vec<Message>,
    /// Whether nothing more is kept in the direction asked for.
    pub complete: bool,
    /// Why there are no messages, if the position was not of this log: `epoch`, `too_old` or `future`.
    pub reset: Option<String>,
}

impl Page {
    /// Reads the ack's `data`.
    pub fn read(data: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct History<'a> {
            #[serde(borrow)]
            messages: Vec<&'a RawValue>,
            complete: bool,
            reset: Option<String>,
        }
        let History { messages, complete, reset } = read(data)?;
        let messages = messages.into_iter().map(Message::of_history).collect::<Result<_, _>>();
        Ok(Self { messages: messages.map_err(Error::Unreadable)?, complete, reset })
    }
}

fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, Error> {
    serde_json::from_str(data).map_err(unreadable)
}

fn unreadable(error: impl fmt::Display) -> Error {
    Error::Unreadable(error.to_string())
}

/// An `error` of the server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Refused {
    /// The code, as the protocol lists them.
    pub code: String,
    /// What happened and what to do.
    pub message: String,
    /// Whether the same request may succeed later.
    #[serde(default)]
    pub retryable: bool,
    /// How long to wait before that.
    #[serde(default, deserialize_with = "seconds")]
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Why something that an application asked for is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The server refused it.
    Refused(Refused),
    /// It can't be asked at all, and why.
    BadRequest(String),
    /// It has more bytes than the server takes. It was not sent, since the server would end the connection.
    TooLarge {
        /// Bytes of the whole envelope.
        bytes: usize,
        /// The most it may have.
        max: usize,
    },
    /// So many requests wait for their answers already. It was not sent.
    QueueFull {
        /// The most that may wait.
        max: usize,
    },
    /// It is for those who are connected now, and the client isn't. It was not sent.
    Offline,
    /// The connection was lost before the answer came: it may have been done or not. For what is sent at most once,
    /// and for a message that had no answer for five minutes, as long as a server knows its id; everything else is
    /// sent again.
    Unanswered,
    /// The room is joined through another handle already.
    AlreadyJoined,
    /// The room was left, or can't be joined, before the answer came.
    Left,
    /// The client has ended, and why.
    Ended(String),
    /// The server's answer makes no sense.
    Unreadable(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::BadRequest(why) => f.write_str(why),
            Self::TooLarge { bytes, max } => {
                write!(
                    f,
                    "the message has {bytes} bytes and the server takes {max}; send less, or a link to it"
                )
            }
            Self::QueueFull { max } => {
                write!(
                    f,
                    "{max} requests wait for their answers already, the most that may; wait for some of them"
                )
            }
            Self::Offline => f.write_str("not connected, and this is sent at once or not at all"),
            Self::Unanswered => {
                f.write_str("the connection was lost before the answer came; it may have been done")
            }
            Self::AlreadyJoined => {
                f.write_str("the room is joined already; use that handle, or leave it first")
            }
            Self::Left => f.write_str("the room was left before the answer came"),
            Self::Ended(why) => write!(f, "the client has ended: {why}"),
            Self::Unreadable(why) => write!(f, "the server's answer can't be read: {why}"),
        }
    }
}

impl std::error::Error for Error {}
