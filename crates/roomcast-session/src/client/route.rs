//! Which transport to try: what doesn't get through is followed by the next, what did is tried first.

use super::{comeback::Loss, settings::Transport};

/// A transport that has worked is left after so many waits in vain.
const FAITH: u32 = 3;

/// The transports, and how far they were tried.
#[derive(Debug)]
pub(super) struct Route {
    transports: Vec<Transport>,
    now: usize,
    /// What this round began with; once one has worked, that one.
    first: usize,
    has_worked: bool,
    waits: u32,
    /// Why the first of this round didn't get through.
    cause: Option<Loss>,
}

impl Route {
    /// Where none is given, by WebSocket.
    pub(super) fn new(mut transports: Vec<Transport>) -> Self {
        if transports.is_empty() {
            transports.push(Transport::WebSocket);
        }
        Self { transports, now: 0, first: 0, has_worked: false, waits: 0, cause: None }
    }

    /// What to try now.
    pub(super) fn transport(&self) -> Transport {
        self.transports[self.now]
    }

    /// It got through.
    pub(super) fn worked(&mut self) {
        (self.first, self.has_worked, self.waits, self.cause) = (self.now, true, 0, None);
    }

    /// It didn't get through. Answers whether the next one has not failed in this round.
    pub(super) fn fall(&mut self, cause: &Loss) -> bool {
        self.cause.get_or_insert_with(|| cause.clone());
        if !self.has_worked || self.waits >= FAITH {
            self.now = (self.now + 1) % self.transports.len();
        }
        self.now != self.first
    }

    /// Waits since it got through last.
    pub(super) fn waits(&self) -> u32 {
        self.waits
    }

    /// There is a wait before the next try. Answers what to tell of its cause: in a round in which nothing got
    /// through, what the favourite said.
    pub(super) fn wait(&mut self, last: Loss) -> Loss {
        self.waits = self.waits.saturating_add(1);
        self.cause.take().unwrap_or(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(why: &str) -> Loss {
        Loss::Broken(why.into())
    }

    #[test]
    fn each_is_tried_once_in_a_round() {
        let mut route = Route::new(vec![Transport::WebSocket, Transport::Events, Transport::Poll]);
        assert_eq!(route.transport(), Transport::WebSocket);
        assert!(route.fall(&broken("no upgrade")));
        assert_eq!(route.transport(), Transport::Events);
        assert!(route.fall(&broken("no stream")));
        assert_eq!(route.transport(), Transport::Poll);
        assert!(!route.fall(&broken("no answer")), "the round is over");
        assert_eq!(route.wait(broken("no answer")), broken("no upgrade"));
        assert_eq!(route.transport(), Transport::WebSocket);
        assert_eq!(route.wait(broken("cut")), broken("cut"));
    }

    #[test]
    fn what_has_worked_is_tried_first_and_not_left_at_once() {
        let mut route = Route::new(vec![Transport::WebSocket, Transport::Events]);
        assert!(route.fall(&broken("")));
        route.worked();
        for _ in 0..FAITH {
            assert!(!route.fall(&broken("")));
            assert_eq!(route.transport(), Transport::Events);
            route.wait(broken(""));
        }
        assert!(route.fall(&broken("")));
        assert_eq!(route.transport(), Transport::WebSocket);
        assert!(!route.fall(&broken("")), "back at what has worked");
        assert_eq!(route.transport(), Transport::Events);
    }
}
