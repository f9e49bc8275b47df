//! Publishes that are on their way: who still owes an answer, and when each was due. Pure bookkeeping.

use std::collections::VecDeque;

use crate::plan::Until;

#[derive(Debug)]
struct Publish {
    /// When it was due, in µs of the worker's clock. Latency counts from here, so that a late client or a
    /// server that holds up the publisher can't hide its delay (no coordinated omission).
    due: u64,
    /// Readers that haven't got it yet.
    owed: u32,
    answered: bool,
}

impl Publish {
    fn is_done(&self, until: Until) -> bool {
        self.answered && (until == Until::Ack || self.owed == 0)
    }
}

/// The publishes of one worker, numbered in the order sent, from the oldest that isn't settled.
#[derive(Debug)]
pub(crate) struct InFlight {
    first: u32,
    publishes: VecDeque<Publish>,
    open: u32,
    until: Until,
}

impl InFlight {
    /// A publish holds its place in a closed loop `until` then.
    pub(crate) fn new(until: Until) -> Self {
        Self { first: 0, publishes: VecDeque::new(), open: 0, until }
    }

    /// The number of the next publish.
    pub(crate) fn next_number(&self) -> u32 {
        self.first.wrapping_add(self.publishes.len() as u32)
    }

    /// Publishes that hold a place in the closed loop.
    pub(crate) fn open(&self) -> u32 {
        self.open
    }

    /// Whether every publish is answered and has reached every reader.
    pub(crate) fn is_settled(&self) -> bool {
        self.publishes.is_empty()
    }

    /// Sends one more: it was due at `due` and is to reach `readers`.
    pub(crate) fn publish(&mut self, due: u64, readers: u32) {
        self.publishes.push_back(Publish { due, owed: readers, answered: false });
        self.open += 1;
    }

    /// The ack of `number` has come; answers when it was due, unless this is old news.
    pub(crate) fn ack(&mut self, number: u32) -> Option<u64> {
        self.settle(number, |publish| publish.answered = true)
    }

    /// One reader has got `number`; answers when it was due.
    #[inline]
    pub(crate) fn deliver(&mut self, number: u32) -> Option<u64> {
        self.settle(number, |publish| publish.owed = publish.owed.saturating_sub(1))
    }

    /// `number` was refused: nobody will get it.
    pub(crate) fn refuse(&mut self, number: u32) {
        self.settle(number, |publish| (publish.answered, publish.owed) = (true, 0));
    }

    /// Gives up on all that is open; answers how many never got an ack or an error.
    pub(crate) fn abandon(&mut self) -> u64 {
        let unanswered = self.publishes.iter().filter(|publish| !publish.answered).count() as u64;
        self.first = self.next_number();
        self.publishes.clear();
        self.open = 0;
        unanswered
    }

    #[inline]
    fn settle(&mut self, number: u32, change: impl FnOnce(&mut Publish)) -> Option<u64> {
        let index = number.wrapping_sub(self.first) as usize;
        let publish = self.publishes.get_mut(index)?;
        let was_open = !publish.is_done(self.until);
        change(publish);
        let due = publish.due;
        if was_open && publish.is_done(self.until) {
            self.open -= 1;
        }
        while self.publishes.front().is_some_and(|publish| publish.is_done(Until::Delivered)) {
            self.publishes.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_two_readers(until: Until) -> InFlight {
        let mut flight = InFlight::new(until);
        flight.publish(100, 2);
        flight.publish(200, 2);
        flight
    }

    #[test]
    fn a_place_is_free_at_the_ack_or_at_the_last_delivery() {
        let mut by_ack = of_two_readers(Until::Ack);
        assert_eq!((by_ack.ack(1), by_ack.open()), (Some(200), 1));
        assert_eq!((by_ack.deliver(1), by_ack.open()), (Some(200), 1));

        let mut by_delivery = of_two_readers(Until::Delivered);
        assert_eq!((by_delivery.ack(0), by_delivery.open()), (Some(100), 2));
        assert_eq!((by_delivery.deliver(0), by_delivery.open()), (Some(100), 2));
        assert_eq!((by_delivery.deliver(0), by_delivery.open()), (Some(100), 1));
    }

    #[test]
    fn it_is_settled_when_all_is_answered_and_delivered() {
        let mut flight = of_two_readers(Until::Ack);
        for number in [1, 0] {
            flight.ack(number);
            flight.deliver(number);
            assert!(!flight.is_settled());
            flight.deliver(number);
        }
        assert!(flight.is_settled());
        assert_eq!(flight.deliver(0), None, "a doubled message is old news");
        assert_eq!(flight.next_number(), 2);
    }

    #[test]
    fn a_refusal_owes_nothing_and_what_is_abandoned_is_counted() {
        let mut flight = of_two_readers(Until::Delivered);
        flight.refuse(0);
        assert_eq!(flight.open(), 1);
        assert_eq!(flight.abandon(), 1);
        assert!(flight.is_settled());
        flight.publish(300, 1);
        assert_eq!(flight.ack(2), Some(300));
    }
}
