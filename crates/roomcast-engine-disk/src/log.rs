//! One watched room's log: its bounds and its newest messages in memory, the rest on disk.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use roomcast_hub::{
    Audience, Feed, Key, RoomRule,
    engine::{AppendError, Batch, Bounds, EngineError, Log, Page, Range, ReadError, Ticket},
};
use roomcast_protocol::{Draft, Epoch, Frame, Reset, RoomName, server::Delivered};
use roomcast_session::Now;
use tokio::sync::oneshot;

use crate::{
    inbox::{Inbox, Job},
    ledger::{Ledger, Row},
    reader,
    readers::Readers,
    rows,
};

/// A log, as long as its room is watched or something is on its way.
#[derive(Debug)]
pub(crate) struct DiskLog {
    pub(crate) name: RoomName,
    pub(crate) rule: Arc<RoomRule>,
    pub(crate) state: Mutex<State>,
    inbox: Arc<Inbox>,
    readers: Arc<Readers>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) epoch: Epoch,
    pub(crate) ledger: Ledger,
    /// The newest messages; the seq before the first of them.
    tail: VecDeque<Arc<Frame>>,
    tail_base: u64,
    pub(crate) feed: Option<Arc<Feed>>,
    /// Appends that are not answered yet.
    pending: usize,
    /// Another log may stand for the room now.
    retired: bool,
}

impl State {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            ledger: Ledger::default(),
            tail: VecDeque::new(),
            tail_base: 0,
            feed: None,
            pending: 0,
            retired: false,
        }
    }

    pub(crate) fn found(&mut self, epoch: Epoch, ledger: Ledger) {
        (self.epoch, self.tail_base, self.ledger) = (epoch, ledger.head, ledger);
    }

    /// Gives the log up, if nobody watches it and nothing is on its way.
    pub(crate) fn retire(&mut self) -> bool {
        if self.feed.is_some() || self.pending > 0 {
            return false;
        }
        self.retired = true;
        self.tail = VecDeque::new();
        true
    }

    /// Messages are kept: puts the writer's numbers in place, and shows them to whoever watches.
    pub(crate) fn publish(&mut self, frames: &[Arc<Frame>], ledger: Ledger) {
        let floor = self.ledger.floor.max(ledger.floor);
        self.ledger = Ledger { floor, ..ledger };
        for frame in frames {
            self.tail.push_back(frame.clone());
            if let Some(feed) = &self.feed {
                feed.push(frame.clone(), Audience::All);
            }
        }
    }

    pub(crate) fn answered(&mut self) {
        self.pending -= 1;
    }

    /// Lets go of the oldest message in memory.
    pub(crate) fn shorten_tail(&mut self) {
        if let Some(frame) = self.tail.pop_front() {
            self.tail_base = frame.seq();
        }
    }

    /// A stretch from memory, if all of it is there.
    fn recent(&self, range: Range, page: Page) -> Option<Batch> {
        let mut bytes = 0;
        let mut fits = |frame: &&Arc<Frame>| {
            let first = bytes == 0;
            bytes += frame.json().len();
            first || bytes <= page.bytes_max
        };
        let place = |seq: u64| self.tail.partition_point(|frame| frame.seq() <= seq);
        match range {
            Range::After(seq) if seq < self.tail_base => None,
            Range::After(seq) => {
                let newer = self.tail.range(place(seq)..).take(page.messages_max);
                let frames: Vec<_> = newer.take_while(&mut fits).cloned().collect();
                let complete = frames.last().map_or(seq, |frame| frame.seq()) >= self.ledger.head;
                Some(Batch { frames, complete })
            }
            Range::Before(seq) => {
                let end = place(seq.saturating_sub(1));
                let kept = self.tail.range(..end).rev().take_while(|frame| frame.seq() > self.ledger.floor);
                let mut frames: Vec<_> =
                    kept.take(page.messages_max).take_while(&mut fits).cloned().collect();
                frames.reverse();
                let first = frames.first()?;
                let at = place(first.seq() - 1);
                let is_oldest = rows::prev(first) <= self.ledger.floor;
                (at > 0 || is_oldest || frames.len() == page.messages_max)
                    .then_some(Batch { frames, complete: is_oldest })
            }
        }
    }
}

impl DiskLog {
    pub(crate) fn new(
        (name, rule): (RoomName, Arc<RoomRule>),
        epoch: Epoch,
        (inbox, readers): (Arc<Inbox>, Arc<Readers>),
    ) -> Self {
        Self { name, rule, state: Mutex::new(State::new(epoch)), inbox, readers }
    }

    /// Looks at what age has taken.
    pub(crate) fn age(&self, now: Now, state: &mut State) -> Result<(), EngineError> {
        if state.ledger.id.is_none() {
            return Ok(());
        }
        let (mut ledger, old_ms) = (state.ledger, self.old_ms(now));
        state.ledger = self.readers.with(move |connection| {
            rows::age(connection, old_ms, &mut ledger)?;
            Ok(ledger)
        })?;
        Ok(())
    }

    /// Messages of then and before are too old.
    pub(crate) fn old_ms(&self, now: Now) -> u64 {
        now.wall.0.saturating_sub(Row::wanted(&self.rule).age_ms)
    }

    fn queue(self: &Arc<Self>, job: Job) -> Result<(), AppendError> {
        {
            let mut state = self.state.lock();
            if state.retired {
                let message = "the room was being put away; send it again";
                return Err(AppendError::Unavailable(message.into()));
            }
            state.pending += 1;
        }
        self.inbox.push(job).inspect_err(|_| self.state.lock().answered())
    }
}

/// What the hub holds of a log.
#[derive(Debug)]
pub(crate) struct Handle(pub(crate) Arc<DiskLog>);

impl Log for Handle {
    fn append(&self, now: Now, draft: Draft, key: Option<Key>) -> Ticket<Result<Delivered, AppendError>> {
        let (answer, answered) = oneshot::channel();
        let job = Job { log: self.0.clone(), now, draft, key, answer };
        match self.0.queue(job) {
            Ok(()) => Ticket::Later(Box::pin(async {
                answered.await.unwrap_or_else(|_| {
                    Err(AppendError::Unavailable("the disk's writer has ended; restart the server".into()))
                })
            })),
            Err(refusal) => Ticket::Now(Err(refusal)),
        }
    }

    fn bounds(&self) -> Bounds {
        let state = self.0.state.lock();
        Bounds { epoch: state.epoch.clone(), floor: state.ledger.floor, head: state.ledger.head }
    }

    fn read(&self, range: Range, page: Page) -> Result<Batch, ReadError> {
        let ledger = {
            let state = self.0.state.lock();
            let ledger = state.ledger;
            match range {
                Range::After(seq) if seq < ledger.floor => return Err(Reset::TooOld.into()),
                Range::After(seq) if seq >= ledger.head => {
                    return Ok(Batch { frames: Vec::new(), complete: true });
                }
                Range::Before(seq) if seq <= ledger.floor + 1 || ledger.floor == ledger.head => {
                    return Ok(Batch { frames: Vec::new(), complete: true });
                }
                _ => {}
            }
            if let Some(batch) = state.recent(range, page) {
                return Ok(batch);
            }
            ledger
        };
        let stretch = reader::read(&self.0.readers, &ledger, range, page)?;
        let mut floor = self.0.state.lock().ledger.floor;
        let mut checked = stretch.check(floor, &ledger, range);
        if checked.is_err() {
            // A sweep may have taken it, and told nobody yet who has looked the room up meanwhile.
            floor = floor.max(reader::floor(&self.0.readers, &ledger)?);
            checked = stretch.check(floor, &ledger, range);
        }
        match range {
            Range::After(seq) if seq < floor => Err(Reset::TooOld.into()),
            _ => Ok(checked.map(|()| stretch.into_batch(floor, &ledger, range))?),
        }
    }
}
