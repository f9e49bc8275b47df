//! The handle of a room: a stream of what happens there, and a voice to say something.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use roomcast_protocol::{MessageId, Position, RoomName};
use roomcast_session::client::{Ack, Error, Event, Page, Publication, Query, Range};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::oneshot;

use crate::{client::Line, driver::Command, inbox::Outlet, random};

/// A room that is joined: a [`Stream`] of its events. Dropping it leaves the room.
///
/// Whoever doesn't take events holds up nothing: beyond a thousand of them the room is read again from where the
/// reader is, once it has taken what waits.
#[derive(Debug)]
pub struct Room {
    voice: Voice,
    outlet: Outlet,
    position: Option<Position>,
}

impl Room {
    pub(crate) fn new(voice: Voice, outlet: Outlet) -> Self {
        Self { voice, outlet, position: None }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.voice.room
    }

    /// A position after the last event that was taken: what a later [`Join::since`](crate::Join::since) goes on
    /// from. `None` before the first `Joined`.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// The next event; `None` after `Left` or `Denied`.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let next = self.outlet.poll_next(cx);
        if let Poll::Ready(Some(event)) = &next
            && let Some(position) = event.position(self.position.as_ref())
        {
            self.position = Some(position);
        }
        next
    }

    /// A voice of its own, for another task.
    pub fn voice(&self) -> Voice {
        self.voice.clone()
    }

    /// See [`Voice::send`].
    pub async fn send(&self, kind: &str, data: &impl Serialize) -> Result<Ack, Error> {
        self.voice.send(kind, data).await
    }

    /// See [`Voice::send_volatile`].
    pub async fn send_volatile(&self, kind: &str, data: &impl Serialize) -> Result<Ack, Error> {
        self.voice.send_volatile(kind, data).await
    }

    /// See [`Voice::typing`].
    pub async fn typing(&self, typing: bool) -> Result<(), Error> {
        self.voice.typing(typing).await
    }

    /// See [`Voice::set_state`].
    pub async fn set_state(&self, state: &impl Serialize) -> Result<(), Error> {
        self.voice.set_state(state).await
    }

    /// See [`Voice::history`].
    pub async fn history(&self, range: Range, limit: Option<u32>) -> Result<Page, Error> {
        self.voice.history(range, limit).await
    }

    /// Leaves the room. Messages that have not been sent are given up. The stream ends with `Left`.
    pub async fn leave(&self) -> Result<(), Error> {
        self.voice.leave().await
    }
}

impl Stream for Room {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(cx)
    }
}

/// What is said in a room goes through this. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Voice {
    line: Line,
    room: RoomName,
}

/// A message on its way.
#[derive(Debug)]
#[must_use = "whether the message arrived is not known before `ack`"]
pub struct Receipt {
    id: MessageId,
    line: Line,
    answer: oneshot::Receiver<Result<Box<str>, Error>>,
}

impl Receipt {
    /// The message's id.
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// Waits until the server has taken the message, over as many connections as it takes.
    pub async fn ack(self) -> Result<Ack, Error> {
        let answer = self.answer.await.unwrap_or_else(|_| Err(self.line.ended()))?;
        Ack::read(self.id, &answer)
    }
}

impl Voice {
    pub(crate) fn new(line: Line, room: RoomName) -> Self {
        Self { line, room }
    }

    /// Sends a message of a type (`text`, or one of your own such as `cursor.move`) with a payload, an object,
    /// and waits until the server has taken it: at once, or after the next reconnects. It arrives once.
    pub async fn send(&self, kind: &str, data: &impl Serialize) -> Result<Ack, Error> {
        self.post(kind, data).await?.ack().await
    }

    /// Puts a message in line without waiting for its ack. What one task posts arrives in that order.
    pub async fn post(&self, kind: &str, data: &impl Serialize) -> Result<Receipt, Error> {
        self.post_as(random::message_id(), kind, data).await
    }

    /// Puts a message in line under an id of your own, which must be unique per user for five minutes. A message
    /// that was sent under it before, by another process even, is not sent again: the ack says `duplicate`.
    pub async fn post_as(&self, id: MessageId, kind: &str, data: &impl Serialize) -> Result<Receipt, Error> {
        let publication = Publication { id: id.clone(), kind: kind.into(), data: raw(data)? };
        let command = |reply| Command::Publish(self.room.clone(), publication, reply);
        let answer = self.line.order(command).await?;
        Ok(Receipt { id, line: self.line.clone(), answer })
    }

    /// Passes a message on to those who are there now: at most once, and not kept.
    ///
    /// # Errors
    ///
    /// [`Error::Offline`] without a connection, [`Error::Unanswered`] if it was lost meanwhile.
    pub async fn send_volatile(&self, kind: &str, data: &impl Serialize) -> Result<Ack, Error> {
        let id = random::message_id();
        let publication = Publication { id: id.clone(), kind: kind.into(), data: raw(data)? };
        let answer = self.ask(Query::Volatile(publication)).await?;
        Ack::read(id, &answer)
    }

    /// Shows that this user types, or no longer. Say it again every few seconds: others forget it after five.
    ///
    /// # Errors
    ///
    /// Those of [`Self::send_volatile`].
    pub async fn typing(&self, typing: bool) -> Result<(), Error> {
        self.ask(Query::Typing(typing)).await.map(drop)
    }

    /// Sets what others see of this member, an object; now, and after each reconnect.
    pub async fn set_state(&self, state: &impl Serialize) -> Result<(), Error> {
        self.ask(Query::Presence(raw(state)?)).await.map(drop)
    }

    /// Reads a page of what was said before: so many messages at most, or as many as the server likes.
    pub async fn history(&self, range: Range, limit: Option<u32>) -> Result<Page, Error> {
        Page::read(&self.ask(Query::History(range, limit)).await?)
    }

    /// See [`Room::leave`].
    pub async fn leave(&self) -> Result<(), Error> {
        self.line.ask(|reply| Command::Leave(self.room.clone(), reply)).await.map(drop)
    }

    async fn ask(&self, query: Query) -> Result<Box<str>, Error> {
        self.line.ask(|reply| Command::Ask(self.room.clone(), query, reply)).await
    }
}

/// Writes a payload as JSON.
pub(crate) fn raw(data: &impl Serialize) -> Result<Box<RawValue>, Error> {
    to_raw_value(data)
        .map_err(|error| Error::BadRequest(format!("the payload can't be written as JSON: {error}")))
}
