//! The seam between rooms and what orders and keeps their messages.
//!
//! An engine is the only authority on a room's order. It is handed a [`Feed`] for each room that somebody
//! reads, and delivers through it: every message, in the order of the log, after the durability the room asks
//! for, on the publisher's own node too. [`conformance`] holds every engine to this.

pub mod conformance;
mod give_way;
mod memory;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

pub(crate) use give_way::lock;
pub use give_way::{MOMENT, give_way};
pub use memory::Memory;
use roomcast_protocol::{Draft, Epoch, Frame, Position, Reset, RoomName, server::Delivered};
use roomcast_session::Now;

use crate::{Feed, Key, RoomRule};

/// What an engine answers: at once, or later and in the order of the calls.
pub enum Ticket<T> {
    /// At once.
    Now(T),
    /// Later. Who waits has a deadline of its own; the engine goes on with it all the same.
    Later(Pin<Box<dyn Future<Output = T> + Send>>),
}

impl<T> Ticket<T> {
    /// Waits for the answer.
    pub async fn wait(self) -> T {
        match self {
            Self::Now(answer) => answer,
            Self::Later(answer) => answer.await,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Ticket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(answer) => f.debug_tuple("Now").field(answer).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// Why a message was not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendError {
    /// The id was used for another message within the window.
    Conflict,
    /// The log can't take it now, and nothing was kept. What is wrong, for the sender.
    Unavailable(String),
    /// Whether it was kept isn't known. The position is the message's, or for ever nobody's.
    NotDurable(Position),
}

/// Why an engine can't look into a log. What is wrong, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineError {
    /// Not now; it may be asked again.
    Unavailable(String),
    /// What is kept is damaged. Damaged messages are never handed out.
    Corrupt(String),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unavailable(message) | Self::Corrupt(message)) = self;
        f.write_str(message)
    }
}

impl std::error::Error for EngineError {}

/// Why a stretch of a log was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The log no longer holds it.
    Reset(Reset),
    /// The engine can't.
    Failed(EngineError),
}

impl From<Reset> for ReadError {
    fn from(reset: Reset) -> Self {
        Self::Reset(reset)
    }
}

impl From<EngineError> for ReadError {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

/// The bounds of a room's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// This life of the log.
    pub epoch: Epoch,
    /// Everything up to here is gone; a position at or above it can be resumed.
    pub floor: u64,
    /// The last message.
    pub head: u64,
}

impl Bounds {
    /// Whether a reader at `position` can go on without a hole.
    pub fn check(&self, position: &Position) -> Result<(), Reset> {
        match position {
            _ if position.epoch != self.epoch => Err(Reset::Epoch),
            _ if position.seq > self.head => Err(Reset::Future),
            _ if position.seq < self.floor => Err(Reset::TooOld),
            _ => Ok(()),
        }
    }
}

/// A stretch of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// The oldest messages above a seq.
    After(u64),
    /// The newest messages below a seq; `u64::MAX` for the newest of all.
    Before(u64),
}

/// How much is read at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Messages, at most.
    pub messages_max: usize,
    /// Bytes of JSON, at most; one message is always read.
    pub bytes_max: usize,
}

/// Messages of the log, in ascending order.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The messages.
    pub frames: Vec<Arc<Frame>>,
    /// Whether nothing more is kept in the direction asked for.
    pub complete: bool,
}

/// An ordered, kept log of messages for each room.
pub trait Engine: Send + Sync + 'static {
    /// Takes interest in a room: from the returned log's head on, everything appended is delivered to `feed`.
    ///
    /// `make_feed` is called with that head, once, unless the engine fails. A room is watched once at a time by
    /// one hub.
    fn watch(
        &self,
        now: Now,
        room: &RoomName,
        rule: &Arc<RoomRule>,
        make_feed: &mut dyn FnMut(u64) -> Arc<Feed>,
    ) -> Result<Arc<dyn Log>, EngineError>;

    /// Gives the interest up. A log that holds nothing is forgotten with it.
    fn unwatch(&self, now: Now, room: &RoomName);

    /// Called about once a second: what age takes from the logs goes now, bounded per call.
    fn tick(&self, now: Now);

    /// Bytes of messages, keys and rooms in memory.
    fn memory_bytes(&self) -> usize;

    /// Whether that is as much as may be, so that idle rooms had better be given up.
    fn is_full(&self) -> bool;

    /// For how long it has not been able to do what it is asked, if it is not. What takes a moment is no trouble
    /// yet: how long is too long is for the caller to say.
    fn trouble(&self) -> Option<Duration> {
        None
    }

    /// How often it has failed to write what it was to keep.
    fn failures(&self) -> u64 {
        0
    }
}

/// The log of one watched room.
pub trait Log: Send + Sync + 'static {
    /// Appends a message and delivers it. *The order of calls is the order of the log.*
    ///
    /// With a key, the append and the key's remembering are one step: a repeat gets the first position and
    /// nothing is delivered again. An error other than [`AppendError::NotDurable`] means that nothing was kept.
    fn append(&self, now: Now, draft: Draft, key: Option<Key>) -> Ticket<Result<Delivered, AppendError>>;

    /// What the log holds.
    fn bounds(&self) -> Bounds;

    /// Reads a stretch. `TooOld` if what comes right after [`Range::After`] is gone. Nothing is ever left out.
    fn read(&self, range: Range, page: Page) -> Result<Batch, ReadError>;
}
