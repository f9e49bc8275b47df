//! The way of a room's events from the client's task to whoever reads them: bounded, with a place kept for the
//! mark that something was passed over, and one apart for the last event.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use roomcast_session::client::{self, Event, Fill};
use tokio::sync::{Notify, mpsc, oneshot};

/// Events that wait for a reader, at most; one who takes none catches up from the log later.
const EVENTS_MAX: usize = 1024;
/// Places that must be free for the inbox not to be full, the mark's own counted in.
const FREE_MIN: usize = 3;

/// One joining of a room: tells those who speak in it from those who did before it was left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seat(Arc<()>);

impl PartialEq for Seat {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[derive(Debug)]
enum Item {
    Event(Event),
    /// What came after this was passed over.
    Overflow,
}

/// The task's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) seat: Seat,
    events: mpsc::Sender<Item>,
    last: oneshot::Sender<Event>,
}

/// The reader's end.
#[derive(Debug)]
pub(crate) struct Outlet {
    events: mpsc::Receiver<Item>,
    last: oneshot::Receiver<Event>,
    /// Tells the task to look at its inboxes.
    drained: Arc<Notify>,
}

/// Both ends; the reader's tells `drained` when it has taken everything after an overflow, or goes away.
pub(crate) fn inbox(drained: Arc<Notify>) -> (Inbox, Outlet) {
    let (events, outlet) = mpsc::channel(EVENTS_MAX + 1);
    let (last, told_last) = oneshot::channel();
    let seat = Seat::default();
    (Inbox { seat, events, last }, Outlet { events: outlet, last: told_last, drained })
}

impl client::Inbox for Inbox {
    fn fill(&self) -> Fill {
        match self.events.capacity() {
            _ if self.events.is_closed() => Fill::Abandoned,
            free if free == self.events.max_capacity() => Fill::Empty,
            free if free < FREE_MIN => Fill::Full,
            _ => Fill::Some,
        }
    }

    fn put(&mut self, event: Event) {
        // Only a reader that is gone takes no event: there is place, as the caller has asked.
        let _ = self.events.try_send(Item::Event(event));
    }

    fn overflow(&mut self) {
        // If there is no place, the mark of the last time still waits.
        let _ = self.events.try_send(Item::Overflow);
    }

    fn end(self, event: Event) {
        // A reader that is gone needs no last event.
        let _ = self.last.send(event);
    }
}

impl Outlet {
    /// The next event, or nothing after the last.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            match ready!(self.events.poll_recv(cx)) {
                Some(Item::Event(event)) => return Poll::Ready(Some(event)),
                Some(Item::Overflow) => self.drained.notify_one(),
                None => return Poll::Ready(self.last.try_recv().ok()),
            }
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.events.close();
        self.drained.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use roomcast_session::client::Inbox as _;

    use super::*;

    fn take(outlet: &mut Outlet) -> Poll<Option<Event>> {
        outlet.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    fn event() -> Event {
        Event::Left { reason: String::new() }
    }

    #[test]
    fn the_mark_and_the_last_event_always_have_a_place() {
        let (mut inbox, mut outlet) = inbox(Arc::default());
        assert_eq!(inbox.fill(), Fill::Empty);
        let mut put = 0;
        while inbox.fill() != Fill::Full {
            inbox.put(event());
            put += 1;
        }
        inbox.overflow();
        for _ in 0..put {
            assert!(matches!(take(&mut outlet), Poll::Ready(Some(_))));
        }
        assert_eq!(inbox.fill(), Fill::Some, "the mark has not been seen");
        assert!(take(&mut outlet).is_pending());
        assert_eq!(inbox.fill(), Fill::Empty);
        inbox.end(event());
        assert!(matches!(take(&mut outlet), Poll::Ready(Some(Event::Left { .. }))));
        assert!(matches!(take(&mut outlet), Poll::Ready(None)));
    }

    #[test]
    fn a_reader_that_goes_away_is_noticed() {
        let (inbox, outlet) = inbox(Arc::default());
        drop(outlet);
        assert_eq!(inbox.fill(), Fill::Abandoned);
    }
}
