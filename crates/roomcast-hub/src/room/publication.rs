//! What is said in a room: from a publication to a place in the log, or to the readers at the tip.

use std::{borrow::Cow, pin::Pin, sync::Arc};

use roomcast_protocol::{
    Code, Data, Draft, Frame, InvalidName, Position, Publish, Reset, RoomName,
    server::{self, Delivered},
};
use roomcast_session::{Identity, Now, Principal};

use super::Room;
use crate::{
    Audience, Key,
    engine::{AppendError, EngineError, Ticket},
};

/// A message on its way into a room.
#[derive(Debug)]
pub struct Publication<'a, 'd> {
    /// The sender's id for it.
    pub id: Option<&'a str>,
    /// What.
    pub publish: &'a Publish<'d>,
    /// Whose.
    pub publisher: Publisher<'a>,
}

/// Who publishes.
#[derive(Clone, Copy, Debug)]
pub enum Publisher<'a> {
    /// A user, who is the author.
    User(&'a str),
    /// A back end, by the id of its key; it names any author or none.
    Backend(&'a str),
}

impl<'a> Publisher<'a> {
    /// The publisher that an identity is.
    pub fn of(identity: &'a Identity) -> Self {
        match identity.principal {
            Principal::User => Self::User(&identity.user),
            Principal::Backend => Self::Backend(&identity.user),
        }
    }

    /// Whose ids they are. No user has a control character in its name, and so none a back end's.
    fn key(self) -> Cow<'a, str> {
        match self {
            Self::User(user) => user.into(),
            Self::Backend(key) => format!("\0{key}").into(),
        }
    }

    fn write(self, data: &Data<'_>, out: &mut Vec<u8>) {
        match self {
            Self::User(author) => data.write_authored(author, out),
            Self::Backend(_) => data.write(out),
        }
    }
}

/// Why a room doesn't do what it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomError {
    /// The code.
    pub code: Code,
    /// What happened and what to do.
    pub message: String,
    /// Where the message stands that is not as durable as it should be.
    pub position: Option<Position>,
}

impl RoomError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), position: None }
    }

    fn stopping() -> Self {
        Self::new(Code::Unavailable, "the server is being stopped; come back")
    }
}

impl From<AppendError> for RoomError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict => {
                let message =
                    "this id was used for another message within the last 5 minutes; draw ids at random";
                Self::new(Code::Conflict, message)
            }
            AppendError::Unavailable(message) => Self::new(Code::Unavailable, message),
            AppendError::NotDurable(position) => {
                let message = format!(
                    "the log failed while it took the message at {position}; send it again with the same id"
                );
                Self { position: Some(position), ..Self::new(Code::NotDurable, message) }
            }
        }
    }
}

impl From<EngineError> for RoomError {
    /// Clients learn that it is so, the server's log learns why.
    fn from(error: EngineError) -> Self {
        tracing::error!(%error, "a room's log can't be read");
        let (code, message) = match error {
            EngineError::Unavailable(_) => (Code::Unavailable, "the log can't be read now; try again later"),
            EngineError::Corrupt(_) => {
                (Code::Internal, "the room's log is damaged; the server's log says more")
            }
        };
        Self::new(code, message)
    }
}

impl From<InvalidName> for RoomError {
    fn from(error: InvalidName) -> Self {
        Self::new(Code::InvalidRoom, error.to_string())
    }
}

/// A page of a room's log, or why there is none.
#[derive(Clone, Debug)]
pub struct HistoryPage {
    /// The messages, ascending.
    pub messages: Vec<Arc<Frame>>,
    /// Whether nothing more is kept in the direction asked for.
    pub complete: bool,
    /// Set when the position was not of this log.
    pub reset: Option<Reset>,
}

impl HistoryPage {
    /// Writes it with a function that takes the wire's form of a page.
    pub fn with<T>(&self, write: impl FnOnce(&server::Page<'_>) -> T) -> T {
        let messages: Vec<&[u8]> = self.messages.iter().map(|frame| frame.json()).collect();
        write(&server::Page { messages: &messages, complete: self.complete, reset: self.reset })
    }
}

/// What the back-end API tells of a room.
#[derive(Clone, Debug)]
pub struct RoomSummary {
    /// Its name.
    pub room: RoomName,
    /// This life of its log, and the last message.
    pub head: Position,
    /// Connections that read it.
    pub readers: usize,
    /// Users that are members.
    pub members: u64,
}

/// An append whose outcome comes later.
type Later = Pin<Box<dyn Future<Output = Result<Delivered, AppendError>> + Send>>;

impl Room {
    /// Appends a message, or passes a volatile one on. The caller drains.
    pub(crate) fn append(
        self: &Arc<Self>,
        now: Now,
        publication: &Publication<'_, '_>,
    ) -> Ticket<Result<Delivered, RoomError>> {
        let Publication { id, publish, publisher } = publication;
        let head = (&*publish.kind, *id, &*self.name);
        let data = |out: &mut Vec<u8>| publisher.write(&publish.data, out);
        self.shared.counters.messages_total.add(1);
        if publish.volatile {
            self.feed.push(Draft::volatile(head, now.wall, data), Audience::All);
            return Ticket::Now(Ok(Delivered { position: None, timestamp: now.wall, duplicate: false }));
        }
        let content = (&*publish.kind, publish.data.as_sent());
        let key = id.map(|id| Key::new((&publisher.key(), id), content));
        match self.log.append(now, Draft::new(head, now.wall, data), key) {
            Ticket::Now(outcome) => Ticket::Now(outcome.map_err(RoomError::from)),
            Ticket::Later(outcome) => Ticket::Later(Box::pin(self.clone().in_time(outcome))),
        }
    }

    /// Waits for an engine as long as it may take. What it comes to after that is still delivered.
    async fn in_time(self: Arc<Self>, mut outcome: Later) -> Result<Delivered, RoomError> {
        let patience = self.shared.limits.append_timeout;
        if let Ok(outcome) = tokio::time::timeout(patience, &mut outcome).await {
            return outcome.map_err(RoomError::from);
        }
        tracing::debug!(room = &*self.name, ?patience, "the log doesn't answer");
        let room = self.clone();
        self.shared.runtime.spawn(async move {
            let _ = outcome.await;
            room.drain();
        });
        let message = format!(
            "the log has not answered within {} s, and may still take it; send it again with the same id",
            patience.as_secs_f32()
        );
        Err(RoomError::new(Code::Unavailable, message))
    }

    /// Publishes from outside of any connection: a back end, an embedder, a `POST`.
    pub async fn publish(
        self: &Arc<Self>,
        publication: &Publication<'_, '_>,
    ) -> Result<Delivered, RoomError> {
        let outcome = match self.append(self.shared.now(), publication) {
            Ticket::Now(outcome) => {
                self.touch();
                self.drain_apart();
                return outcome;
            }
            Ticket::Later(outcome) => outcome,
        };
        // The readers get it even if whoever published it has given up waiting.
        let room = self.clone();
        let answered = self.shared.runtime.spawn(async move {
            let outcome = outcome.await;
            room.touch();
            room.drain();
            outcome
        });
        answered.await.unwrap_or_else(|_| Err(RoomError::stopping()))
    }
}
