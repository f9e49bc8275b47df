//! What one reader has got of one room, by seq: in order, late, doubled, missing. Pure; it never sees a socket.

use std::ops::RangeInclusive;

/// How a message stands to those that came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Above all before it. Messages may be missing in between.
    Next,
    /// Missing until now: it came, but out of order.
    Late,
    /// It had come before.
    Doubled,
}

/// A reader's place in a room's log and the holes below it.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    last: u64,
    gaps: Vec<RangeInclusive<u64>>,
}

impl Sequence {
    /// A reader whose first message is the one after `seq`.
    pub(crate) fn after(seq: u64) -> Self {
        Self { last: seq, gaps: Vec::new() }
    }

    /// The highest seq that has come.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Messages below `last` that haven't come.
    ///
    /// Where a log's numbers have holes and a message is missing too, the holes inside that gap count as missing.
    pub(crate) fn missing(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.end() - gap.start() + 1).sum()
    }

    /// Takes the message `seq`, which follows `prev` in the log (`seq - 1` unless the message says otherwise).
    #[inline]
    pub(crate) fn take(&mut self, seq: u64, prev: u64) -> Arrival {
        if seq > self.last {
            if prev > self.last {
                self.gaps.push(self.last + 1..=prev.min(seq - 1));
            }
            self.last = seq;
            Arrival::Next
        } else {
            self.take_late(seq)
        }
    }

    fn take_late(&mut self, seq: u64) -> Arrival {
        let Some(index) = self.gaps.iter().position(|gap| gap.contains(&seq)) else {
            return Arrival::Doubled;
        };
        let (start, end) = self.gaps.swap_remove(index).into_inner();
        let rest = [start..=seq - 1, seq + 1..=end];
        self.gaps.extend(rest.into_iter().filter(|gap| !gap.is_empty()));
        Arrival::Late
    }

    /// Goes on after `seq`, as a `reset` tells a reader to; answers how many messages were stepped over.
    pub(crate) fn reset_to(&mut self, seq: u64) -> u64 {
        let skipped = seq.saturating_sub(self.last);
        self.last = seq;
        skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Arrival::{Doubled, Late, Next};

    #[track_caller]
    fn check(arrivals: &[(u64, Arrival)], missing: u64) {
        let mut sequence = Sequence::after(10);
        for &(seq, expected) in arrivals {
            assert_eq!(sequence.take(seq, seq - 1), expected, "seq {seq} of {arrivals:?}");
        }
        assert_eq!(sequence.missing(), missing, "{arrivals:?}");
    }

    #[test]
    fn every_fault_has_its_name() {
        check(&[(11, Next), (12, Next), (13, Next)], 0);
        check(&[(11, Next), (13, Next)], 1);
        check(&[(14, Next)], 3);
        check(&[(11, Next), (11, Doubled)], 0);
        check(&[(9, Doubled)], 0);
        check(&[(12, Next), (11, Late)], 0);
        check(&[(12, Next), (11, Late), (11, Doubled)], 0);
        check(&[(15, Next), (12, Late), (14, Late), (12, Doubled)], 2);
        check(&[(15, Next), (11, Late), (12, Late), (13, Late), (14, Late)], 0);
    }

    #[test]
    fn prev_tells_a_hole_in_the_numbers_from_a_lost_message() {
        let mut sequence = Sequence::after(10);
        assert_eq!(sequence.take(20, 10), Next);
        assert_eq!(sequence.missing(), 0);
        assert_eq!(sequence.take(40, 30), Next);
        assert_eq!(sequence.missing(), 10);
    }

    #[test]
    fn a_reset_steps_over_what_is_missing() {
        let mut sequence = Sequence::after(10);
        assert_eq!(sequence.reset_to(15), 5);
        assert_eq!(sequence.take(16, 15), Next);
        assert_eq!(sequence.missing(), 0);
        assert_eq!(sequence.reset_to(3), 0, "a new epoch starts lower");
        assert_eq!(sequence.last(), 3);
    }

    #[test]
    fn it_agrees_with_a_set_of_numbers() {
        let mut state = 7_u64;
        let mut sequence = Sequence::after(0);
        let mut seen = std::collections::BTreeSet::<u64>::new();
        for _ in 0..10_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let seq = seen.last().copied().unwrap_or(0).saturating_sub(8) + 1 + (state >> 60);
            let top = seen.last().copied().unwrap_or(0);
            let expected = match seen.contains(&seq) {
                true => Doubled,
                false if seq > top => Next,
                false => Late,
            };
            assert_eq!(sequence.take(seq, seq - 1), expected, "seq {seq}");
            seen.insert(seq);
        }
        assert_eq!(sequence.missing(), seen.last().unwrap() - seen.len() as u64);
    }
}
