//! A connection that is open, by whatever transport.

use roomcast_session::client::{Client, Loss, http::Told};

use crate::{driver::Reply, http, inbox::Inbox, websocket};

/// A connection.
pub(crate) enum Link {
    Socket(Box<websocket::Link>),
    Http(Box<http::Link>),
}

impl Link {
    pub(crate) fn send(&mut self, text: &str) {
        match self {
            Self::Socket(link) => link.push_text(text),
            Self::Http(link) => link.send(text),
        }
    }

    pub(crate) fn ping(&mut self) {
        match self {
            Self::Socket(link) => link.push_ping(),
            Self::Http(link) => link.ping(),
        }
    }

    /// Says good-bye.
    pub(crate) fn close(&mut self) {
        match self {
            Self::Socket(link) => link.say_goodbye(),
            Self::Http(link) => link.close(),
        }
    }

    /// Moves bytes until something has come. Cancel-safe.
    pub(crate) async fn ready(&mut self) -> Result<(), Loss> {
        match self {
            Self::Socket(link) => link.ready().await,
            Self::Http(link) => {
                link.ready().await;
                Ok(())
            }
        }
    }

    /// Tells the client what has come, or keeps it for [`Self::step`].
    pub(crate) fn hear(&mut self, client: &mut Client<Inbox, Reply>, now_ms: u64) -> Result<(), Loss> {
        match self {
            Self::Socket(link) => {
                client.heard(now_ms);
                link.read(|text| client.message(now_ms, text))
            }
            Self::Http(link) => {
                link.hear();
                Ok(())
            }
        }
    }

    /// Does what is due. Answers what the client is to be told; what comes of that is due before the next step.
    pub(crate) fn step(&mut self, client: &Client<Inbox, Reply>) -> Option<Told> {
        match self {
            Self::Socket(_) => None,
            Self::Http(link) => link.step(client),
        }
    }
}
