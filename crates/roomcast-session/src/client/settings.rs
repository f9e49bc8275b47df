//! What a client is made with.

use std::time::Duration;

use super::{backoff::Backoff, secret::Secret};

/// How a client proves who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Token {
    /// Not at all: it is a guest.
    #[default]
    None,
    /// By one token, for as long as that lasts.
    Fixed(Secret),
    /// By tokens that are fetched: before each connection, and when one expires.
    Fetched,
}

/// How messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// Server-Sent Events, and requests.
    Events,
    /// Long polls, and requests: the last resort, where nothing streams.
    Poll,
}

/// Why a token is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// To connect.
    Connect,
    /// The one in use ends within a minute: the next takes its place on the same connection.
    Expiring,
    /// The one in use has ended, or was refused.
    Expired,
}

/// What a client is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How it proves who it is.
    pub token: Token,
    /// How messages may travel, the best first. What doesn't get through is followed by the next; what did is tried
    /// first from then on.
    pub transports: Vec<Transport>,
    /// How long it waits before it comes back.
    pub backoff: Backoff,
    /// How often it comes back in a row without getting through before it gives up; `None`: for ever.
    pub retries_max: Option<u32>,
    /// Requests without an answer, at most. Over it: [`Error::QueueFull`](super::Error::QueueFull).
    pub requests_max: usize,
    /// Bytes of a message that the server takes. Over it: [`Error::TooLarge`](super::Error::TooLarge).
    pub message_bytes_max: usize,
    /// How long a try may take, from the token to `welcome`.
    pub connect_timeout: Duration,
    /// How long the server may take to answer a ping.
    pub pong_timeout: Duration,
    /// How long the server may take to answer a close.
    pub close_timeout: Duration,
    /// A random number that the ids of requests begin with, so that they are not those of messages.
    pub nonce: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            token: Token::None,
            transports: vec![Transport::WebSocket],
            backoff: Backoff::default(),
            retries_max: None,
            requests_max: 1024,
            message_bytes_max: 64 * 1024,
            connect_timeout: Duration::from_secs(10),
            pong_timeout: Duration::from_secs(8),
            close_timeout: Duration::from_secs(5),
            nonce: 0,
        }
    }
}
