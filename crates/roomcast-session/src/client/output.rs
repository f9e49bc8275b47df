//! What a client asks of its driver, and what it tells of itself.

use std::{sync::Arc, time::Duration};

use super::{
    answer::Error,
    comeback::Loss,
    secret::Secret,
    settings::{Transport, Why},
};

/// How a client stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It tries to connect; the first try is 1.
    Connecting {
        /// Which try.
        attempt: u32,
    },
    /// The server has said `welcome`.
    Connected {
        /// Who the client is to the server. A stream of events tells once a room is joined, a poll never.
        user: Option<String>,
        /// What got through.
        transport: Transport,
    },
    /// It waits before the next try.
    Waiting {
        /// For how long.
        retry_in: Duration,
        /// Why the last connection or try ended.
        cause: Loss,
    },
    /// It has ended and doesn't come back.
    Ended(Ended),
}

/// Why a client doesn't come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The server's close code; `None` if the application ended it.
    pub code: Option<u16>,
    /// In words for a person.
    pub reason: String,
}

/// What the driver must do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<T> {
    /// Fetch a token. Come back with [`Client::fetched`](super::Client::fetched).
    FetchToken(Why),
    /// Open a connection. Come back with what is heard on it, and with [`Client::lost`](super::Client::lost).
    Connect {
        /// `?attempt=`
        attempt: u32,
        /// The token to present.
        token: Option<Secret>,
        /// What to try.
        transport: Transport,
    },
    /// Send a text frame.
    Send(Arc<str>),
    /// Send a Ping frame.
    Ping,
    /// Send a Close frame with 1000; read on until the server's.
    Close,
    /// Drop the connection, the try or the fetching. Come back with [`Client::lost`](super::Client::lost) and this cause.
    HangUp(String),
    /// Give an answer: an ack's `data`, or why there is none.
    Answer(T, Result<Box<str>, Error>),
    /// Tell how the client stands. After [`Status::Ended`] there is nothing more.
    Tell(Status),
}
