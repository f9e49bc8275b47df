//! When the next message is due: at a fixed rate, or as soon as an earlier one is done. Time is passed in.

use std::time::Duration;

use crate::plan::Pace;

/// One load from its first message to its last, in µs of the worker's clock.
#[derive(Debug)]
pub(crate) struct Pacer {
    pace: Pace,
    start: u64,
    end: u64,
    sent: u64,
}

impl Pacer {
    pub(crate) fn new(pace: Pace, start: u64, duration: Duration) -> Self {
        Self { pace, start, end: start + duration.as_micros() as u64, sent: 0 }
    }

    /// When the next message is due, if that is by now. `open` are on their way.
    pub(crate) fn due(&mut self, now: u64, open: u32) -> Option<u64> {
        let due = match self.pace {
            Pace::Rate(rate) => {
                self.start + Duration::from_secs_f64(self.sent as f64 / rate).as_micros() as u64
            }
            Pace::InFlight { window, .. } if open >= window => return None,
            Pace::InFlight { .. } => now,
        };
        if due > now || due >= self.end {
            return None;
        }
        self.sent += 1;
        Some(due)
    }

    /// Whether no message will be due any more.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        now >= self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Until;

    #[test]
    fn a_rate_is_kept_however_late_the_client_is() {
        let mut pacer = Pacer::new(Pace::Rate(1000.0), 500, Duration::from_millis(3));
        assert_eq!(pacer.due(499, 0), None);
        assert_eq!(pacer.due(500, 0), Some(500));
        assert_eq!(pacer.due(1_400, 9), None);
        let late: Vec<_> = std::iter::from_fn(|| pacer.due(9_000, 9)).collect();
        assert_eq!(late, [1_500, 2_500], "3 ms at 1,000/s are 3 messages, due when they were due");
        assert!(pacer.is_over(3_500));
    }

    #[test]
    fn a_closed_loop_sends_while_there_is_room() {
        let pace = Pace::InFlight { window: 2, until: Until::Ack };
        let mut pacer = Pacer::new(pace, 0, Duration::from_millis(1));
        assert_eq!(pacer.due(7, 1), Some(7));
        assert_eq!(pacer.due(7, 2), None);
        assert_eq!(pacer.due(1_000, 0), None, "the time is up");
    }
}
