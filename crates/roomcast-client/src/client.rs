//! The handle of a client: rooms are joined through it, and it tells how the connection stands.

use std::sync::Arc;

use roomcast_protocol::{Position, RoomName, SessionId};
use roomcast_session::client::{Ended, Error, Start, Status};
use serde::Serialize;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::{
    builder::{Builder, SetupError},
    driver::{Command, Reply},
    event::raw,
    inbox::inbox,
    room::{Room, Voice},
};

/// A client. Cheap to clone; when the last handle of it and of its rooms is dropped, it says good-bye and ends.
#[derive(Clone, Debug)]
pub struct Client {
    line: Line,
    drained: Arc<Notify>,
    session: SessionId,
}

/// The way to the client's task.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
}

impl Line {
    /// Gives a command, and the way to its answer.
    pub(crate) async fn order(
        &self,
        command: impl FnOnce(Reply) -> Command,
    ) -> Result<oneshot::Receiver<Result<Box<str>, Error>>, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| self.ended())?;
        Ok(answer)
    }

    /// Gives a command and waits for its answer.
    pub(crate) async fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<Box<str>, Error> {
        let answer = self.order(command).await?;
        answer.await.unwrap_or_else(|_| Err(self.ended()))
    }

    /// Why there is no answer any more.
    pub(crate) fn ended(&self) -> Error {
        match &*self.status.borrow() {
            Status::Ended(Ended { reason, .. }) => Error::Ended(reason.clone()),
            _ => Error::Ended("its task was stopped".into()),
        }
    }
}

/// Which room to join, and how. A name alone means: as a member, with what is said from now on.
#[derive(Debug)]
pub struct Join {
    room: Result<RoomName, Error>,
    start: Start,
}

impl From<&str> for Join {
    fn from(room: &str) -> Self {
        Self::new(room)
    }
}

impl Join {
    /// A room, by its name: 1-128 of `A-Z a-z 0-9 _ . : @ ~ = + -`.
    pub fn new(room: &str) -> Self {
        let room = RoomName::new(room).map_err(|error| Error::BadRequest(error.to_string()));
        Self { room, start: Start::default() }
    }

    /// Goes on after a position.
    #[must_use]
    pub fn since(mut self, position: Position) -> Self {
        self.start.since = Some(position);
        self
    }

    /// Begins with the newest so many messages, if there is no position to go on from.
    #[must_use]
    pub fn last(mut self, messages: u32) -> Self {
        self.start.last = Some(messages);
        self
    }

    /// Reads without being a member whom others see.
    #[must_use]
    pub fn unseen(mut self) -> Self {
        self.start.member = false;
        self
    }

    /// What others see of this member, an object. See also [`Voice::set_state`].
    pub fn state(mut self, state: &impl Serialize) -> Result<Self, Error> {
        self.start.state = Some(raw(state)?);
        Ok(self)
    }
}

impl Client {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        drained: Arc<Notify>,
        status: watch::Receiver<Status>,
        session: SessionId,
    ) -> Self {
        Self { line: Line { commands, status }, drained, session }
    }

    /// Begins to make a client of the server at `url`: `https://host` (or `wss:`), or `http://host:port` (or `ws:`)
    /// where there is no TLS; with a path if the server is nested there.
    pub fn builder(url: &str) -> Builder {
        Builder::new(url)
    }

    /// A client without a token.
    pub fn connect(url: &str) -> Result<Self, SetupError> {
        Self::builder(url).connect()
    }

    /// Joins a room, now or as soon as there is a connection, and again after each reconnect. How that went is
    /// told by the room's events: `Joined` or `Denied` is the first, or a `Gap` before it.
    ///
    /// `M` is what is said in the room: an enum with `#[serde(tag = "type", content = "data")]`, or
    /// [`Raw`](crate::Raw). What is no `M` comes as [`Event::Unread`](crate::Event::Unread).
    ///
    /// # Errors
    ///
    /// The room's name is none, the room is joined already, or the client has ended.
    pub async fn join<M>(&self, join: impl Into<Join>) -> Result<Room<M>, Error> {
        let Join { room, start } = join.into();
        let room = room?;
        let (inbox, outlet) = inbox(self.drained.clone());
        let seat = inbox.seat.clone();
        let (reply, joined) = oneshot::channel();
        let command = Command::Join(room.clone(), start, inbox, reply);
        self.line.commands.send(command).await.map_err(|_| self.line.ended())?;
        joined.await.unwrap_or_else(|_| Err(self.line.ended()))?;
        Ok(Room::new(Voice::new(self.line.clone(), (room, seat)), outlet))
    }

    /// The session, a secret; see [`Builder::session`].
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// How the client stands, and what becomes of it.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.line.status.clone()
    }

    /// Waits until the client has ended, by itself or by [`Self::close`]. Answers why.
    pub async fn ended(&self) -> Ended {
        let mut status = self.status();
        let ended = status.wait_for(|status| matches!(status, Status::Ended(_))).await;
        match ended.as_deref() {
            Ok(Status::Ended(ended)) => ended.clone(),
            _ => Ended { code: None, reason: "its task was stopped".into() },
        }
    }

    /// Says good-bye, so that others see this client leave at once, and waits for the server's. What has not been
    /// sent is given up; what has no answer yet may get it still.
    pub async fn close(&self) -> Ended {
        // A task that is gone has closed already.
        let _ = self.line.commands.send(Command::Close).await;
        self.ended().await
    }
}
