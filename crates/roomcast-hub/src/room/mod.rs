//! One room: its log behind, its readers before, its people beside. Everything that is said, read or shown in
//! a room goes through here; what a client may do is decided before.
//!
//! `publication` says things, `readers` lets connections in and out, `pass` brings them to the tip, `people` keeps
//! presence and typing.

mod pass;
mod people;
mod publication;
mod readers;

use std::sync::{Arc, atomic::AtomicU64};

use parking_lot::Mutex;
use roomcast_protocol::{
    History, Limits, Position, Positions, Reset, Rights, RoomName,
    server::{Head, Members},
};
use roomcast_session::{Now, Target};

use crate::{
    RoomRule,
    engine::{Batch, Log, Page, Range, ReadError},
    feed::Feed,
    hub::{Shared, random},
    presence::Roster,
    typing::Typists,
    wake::Wake,
    wheel::Alarm,
};
use people::People;
pub use publication::{HistoryPage, Publication, Publisher, RoomError, RoomSummary};
use readers::Readers;

/// Whether a room that stands in the queue of idle rooms is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idleness {
    /// It has readers; it queues again when they have left.
    InUse,
    /// Nobody has used it since then, in milliseconds.
    Since(u64),
}

/// A room.
pub struct Room {
    name: RoomName,
    rule: Arc<RoomRule>,
    shared: Arc<Shared>,
    feed: Arc<Feed>,
    log: Arc<dyn Log>,
    readers: Mutex<Readers>,
    people: Mutex<People>,
    wake: Wake,
    /// When the last pass was, in milliseconds; for rooms that space their writes.
    passed_ms: AtomicU64,
    /// Index after the last presence message in the feed.
    roster_tip: AtomicU64,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Room").field(&self.name).finish()
    }
}

impl Target for Room {
    fn name(&self) -> &RoomName {
        &self.name
    }
}

impl Room {
    pub(crate) fn new(
        name: RoomName,
        rule: Arc<RoomRule>,
        shared: Arc<Shared>,
        (log, feed): (Arc<dyn Log>, Arc<Feed>),
    ) -> Self {
        let now_ms = shared.now().ms;
        shared.idle.push(now_ms, &name);
        let roster = Roster::new(rule.presence.clone(), random());
        Self {
            name,
            rule,
            shared,
            feed,
            log,
            readers: Mutex::new(Readers { idle_since_ms: now_ms, queued: true, ..Readers::default() }),
            people: Mutex::new(People { roster, typists: Typists::default(), alarm: Alarm::default() }),
            wake: Wake::new(1),
            passed_ms: AtomicU64::new(0),
            roster_tip: AtomicU64::new(0),
        }
    }

    // What is known.

    /// The name.
    pub fn name(&self) -> &RoomName {
        &self.name
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }

    pub(crate) fn log(&self) -> &dyn Log {
        &*self.log
    }

    fn head(&self, now: Now) -> Head<'_> {
        Head::at(now.wall).in_room(&self.name)
    }

    /// What the back-end API tells.
    pub fn summary(&self) -> RoomSummary {
        let bounds = self.log.bounds();
        RoomSummary {
            room: self.name.clone(),
            head: Position { epoch: bounds.epoch, seq: bounds.head },
            readers: self.readers.lock().count,
            members: self.people.lock().roster.count(),
        }
    }

    /// Who is here, as far as these rights let it be seen.
    pub fn members(&self, rights: Rights) -> Members {
        self.seen(&self.people.lock().roster, rights.allow(Rights::PRESENCE))
    }

    /// Whether so many are here that only their number is told, and that at most once a second.
    pub fn is_crowd(&self) -> bool {
        self.people.lock().roster.is_crowd()
    }

    fn seen(&self, roster: &Roster, reads_roster: bool) -> Members {
        if reads_roster {
            return roster.members(self.shared.limits.members_listed_max);
        }
        Members { v: None, members: Vec::new(), count: roster.count() }
    }

    /// Reads a page of the log.
    pub fn history(&self, query: &History, limits: &Limits) -> Result<HistoryPage, RoomError> {
        let bounds = self.log.bounds();
        let messages_max = query.limit.unwrap_or(limits.history_page_default).min(limits.history_page_max);
        let page = Page { messages_max, bytes_max: limits.history_page_bytes_max };
        let range =
            match (position(query.before.as_ref(), &self.name), position(query.since.as_ref(), &self.name)) {
                (Some(before), _) if before.epoch != bounds.epoch => Err(Reset::Epoch),
                (Some(before), _) => Ok(Range::Before(before.seq)),
                (None, Some(since)) => bounds.check(since).map(|()| Range::After(since.seq)),
                (None, None) => Ok(Range::Before(u64::MAX)),
            };
        match range.map_err(ReadError::from).and_then(|range| self.log.read(range, page)) {
            Ok(Batch { frames, complete }) => Ok(HistoryPage { messages: frames, complete, reset: None }),
            Err(ReadError::Reset(reset)) => {
                Ok(HistoryPage { messages: Vec::new(), complete: false, reset: Some(reset) })
            }
            Err(ReadError::Failed(error)) => Err(error.into()),
        }
    }

    // Time.

    /// The room is used without a reader.
    pub(crate) fn touch(&self) {
        self.readers.lock().idle_since_ms = self.shared.now().ms;
    }

    /// What the queue of idle rooms finds.
    pub(crate) fn idleness(&self, now: Now) -> Idleness {
        let has_members = self.people.lock().roster.count() > 0;
        let mut readers = self.readers.lock();
        if readers.count > 0 {
            readers.queued = false;
            return Idleness::InUse;
        }
        Idleness::Since(if has_members { now.ms } else { readers.idle_since_ms })
    }

    /// Whether nobody has used it since then.
    pub(crate) fn is_idle_since(&self, since_ms: u64) -> bool {
        let readers = self.readers.lock();
        readers.count == 0 && readers.idle_since_ms == since_ms
    }
}

fn position<'a>(positions: Option<&'a Positions>, room: &str) -> Option<&'a Position> {
    positions.and_then(|positions| positions.of(room))
}
