//! The handle of a room: a stream of what happens there, and a voice to say something.

use std::{
    fmt,
    future::poll_fn,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::Stream;
use roomcast_protocol::{MessageId, Position};
use roomcast_session::client::{Ack, Error, Publication, Query, Range};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

use crate::{
    client::Line,
    driver::{Command, Place},
    event::{Event, Page, Raw, raw},
    inbox::Outlet,
    random,
};

/// A room that is joined, whose messages are `M`: a [`Stream`] of its events. Dropping it leaves the room.
///
/// Whoever doesn't take events holds up nothing: beyond a thousand of them the room is read again from where the
/// reader is, once it has taken what waits.
#[derive(Debug)]
pub struct Room<M> {
    voice: Voice<M>,
    outlet: Outlet,
    position: Option<Position>,
}

impl<M> Room<M> {
    pub(crate) fn new(voice: Voice<M>, outlet: Outlet) -> Self {
        Self { voice, outlet, position: None }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.voice.place.0
    }

    /// A position after the last event that was taken: what a later [`Join::since`](crate::Join::since) goes on
    /// from. `None` before the first `Joined`.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// A voice of its own, for another task.
    pub fn voice(&self) -> Voice<M> {
        self.voice.clone()
    }

    /// See [`Voice::typing`].
    pub async fn typing(&self, typing: bool) -> Result<(), Error> {
        self.voice.typing(typing).await
    }

    /// See [`Voice::set_state`].
    pub async fn set_state(&self, state: &impl Serialize) -> Result<(), Error> {
        self.voice.set_state(state).await
    }

    /// Leaves the room. Messages that have not been sent are given up. The stream ends with `Left`. It can be joined
    /// again at once.
    pub async fn leave(&self) -> Result<(), Error> {
        self.voice.leave().await
    }
}

impl<M: Serialize> Room<M> {
    /// See [`Voice::send`].
    pub async fn send(&self, message: &M) -> Result<Ack, Error> {
        self.voice.send(message).await
    }

    /// See [`Voice::send_volatile`].
    pub async fn send_volatile(&self, message: &M) -> Result<Ack, Error> {
        self.voice.send_volatile(message).await
    }
}

impl<M: DeserializeOwned> Room<M> {
    /// The next event; `None` after `Left` or `Denied`. Cancel-safe: an event that was not answered comes next time.
    pub async fn next(&mut self) -> Option<Event<M>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event<M>>> {
        let next = ready!(self.outlet.poll_next(cx)).map(Event::from);
        if let Some(position) = next.as_ref().and_then(|event| event.position(self.position.as_ref())) {
            self.position = Some(position);
        }
        Poll::Ready(next)
    }

    /// See [`Voice::history`].
    pub async fn history(&self, range: Range, limit: Option<u32>) -> Result<Page<M>, Error> {
        self.voice.history(range, limit).await
    }
}

impl<M: DeserializeOwned> Stream for Room<M> {
    type Item = Event<M>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<M>>> {
        self.poll_event(cx)
    }
}

/// What is said in a room goes through this. Cheap to clone. It ends with the room's being left, and says nothing in
/// one that is joined again.
pub struct Voice<M> {
    line: Line,
    place: Place,
    /// It takes messages, and holds none.
    messages: PhantomData<fn(M)>,
}

impl<M> Clone for Voice<M> {
    fn clone(&self) -> Self {
        Self::new(self.line.clone(), self.place.clone())
    }
}

impl<M> fmt::Debug for Voice<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Voice").field(&self.place.0).finish()
    }
}

/// A message on its way. Dropping this doesn't take it back.
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

impl<M> Voice<M> {
    pub(crate) fn new(line: Line, place: Place) -> Self {
        Self { line, place, messages: PhantomData }
    }

    /// Shows that this user types, or no longer. Say it as often as there is a key: it is sent once a second at
    /// most, and others forget it after five seconds.
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

    /// See [`Room::leave`].
    pub async fn leave(&self) -> Result<(), Error> {
        self.line.ask(|reply| Command::Leave(self.place.clone(), reply)).await.map(drop)
    }

    async fn ask(&self, query: Query) -> Result<Box<str>, Error> {
        self.line.ask(|reply| Command::Ask(self.place.clone(), query, reply)).await
    }
}

impl<M: DeserializeOwned> Voice<M> {
    /// Reads a page of what was said before: so many messages at most, or as many as the server likes.
    pub async fn history(&self, range: Range, limit: Option<u32>) -> Result<Page<M>, Error> {
        Page::read(&self.ask(Query::History(range, limit)).await?)
    }
}

impl<M: Serialize> Voice<M> {
    /// Sends a message, and waits until the server has taken it: at once, or after the next reconnects. It arrives
    /// once. Who stops waiting doesn't take it back.
    pub async fn send(&self, message: &M) -> Result<Ack, Error> {
        self.post(message).await?.ack().await
    }

    /// Puts a message in line without waiting for its ack. What one task posts arrives in that order.
    pub async fn post(&self, message: &M) -> Result<Receipt, Error> {
        self.post_as(random::message_id(), message).await
    }

    /// Puts a message in line under an id of your own, which must be unique per user for five minutes. A message
    /// that was sent under it before, by another process even, is not sent again: the ack says `duplicate`.
    pub async fn post_as(&self, id: MessageId, message: &M) -> Result<Receipt, Error> {
        let publication = publication(id.clone(), message)?;
        let command = |reply| Command::Publish(self.place.clone(), publication, reply);
        let answer = self.line.order(command).await?;
        Ok(Receipt { id, line: self.line.clone(), answer })
    }

    /// Passes a message on to those who are there now: at most once, and not kept.
    ///
    /// # Errors
    ///
    /// [`Error::Offline`] without a connection, [`Error::Unanswered`] if it was lost meanwhile.
    pub async fn send_volatile(&self, message: &M) -> Result<Ack, Error> {
        let id = random::message_id();
        let answer = self.ask(Query::Volatile(publication(id.clone(), message)?)).await?;
        Ack::read(id, &answer)
    }
}

fn publication(id: MessageId, message: &impl Serialize) -> Result<Publication, Error> {
    let Raw { kind, data } = Raw::of(message)?;
    Ok(Publication { id, kind, data })
}
