//! What is known of one room's log without its messages: where it begins and ends, and what its row says. Pure
//! numbers; the writer works on a copy and puts it in place once its commit is done.

use roomcast_hub::{Durability, RoomRule};

/// Rows that are let be below the floor, at least, before they leave the disk.
const SLACK_MIN: u64 = 16;
/// Rows that leave the disk in one commit beyond twice those that came, at most.
const TRIM_ROWS_MAX: u64 = 2_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// The room's row, once it has one.
    pub(crate) id: Option<i64>,
    /// The last message.
    pub(crate) head: u64,
    /// Everything up to here counts as gone.
    pub(crate) floor: u64,
    /// Everything up to here is gone from the disk.
    pub(crate) stored_floor: u64,
    /// The last position told to be a message that may not exist; it is never given again.
    pub(crate) burned: u64,
    /// Bytes of all messages up to the head, and up to the floor when that was looked up last.
    pub(crate) total: u64,
    pub(crate) total_at_floor: u64,
    /// What the row says.
    pub(crate) row: Row,
}

/// What a room's row says of how it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its messages are acked before they are synced: a crash begins a new epoch.
    pub(crate) loose: bool,
    /// Age at which its messages go, in milliseconds.
    pub(crate) age_ms: u64,
    /// It has lost its last message to age.
    pub(crate) empty: bool,
}

impl Row {
    /// What a rule wants of a room that has messages.
    pub(crate) fn wanted(rule: &RoomRule) -> Self {
        Self {
            loose: rule.durability != Durability::Synced,
            age_ms: u64::try_from(rule.history.age_max.as_millis()).unwrap_or(u64::MAX).min(i64::MAX as u64),
            empty: false,
        }
    }
}

impl Ledger {
    /// The place of the next message.
    pub(crate) fn next(&self) -> u64 {
        self.head.max(self.burned) + 1
    }

    pub(crate) fn appended(&mut self, seq: u64, bytes: usize) {
        self.head = seq;
        self.total += bytes as u64;
    }

    /// Bytes above the floor, or above where it was when it was looked up last.
    pub(crate) fn bytes(&self) -> u64 {
        self.total.saturating_sub(self.total_at_floor)
    }

    pub(crate) fn raise_floor(&mut self, to: u64) {
        self.floor = self.floor.max(to.min(self.head));
    }

    /// Up to where rows should leave the disk now, if enough have gathered. The head's row always stays: it is
    /// what the next start finds the head by.
    pub(crate) fn trim(&self, appended: u64) -> Option<u64> {
        let kept = self.head - self.floor;
        let over = self.floor.saturating_sub(self.stored_floor);
        (over >= (kept / 4).max(SLACK_MIN)).then(|| self.trim_all(appended)).flatten()
    }

    /// The same without waiting for enough of them.
    pub(crate) fn trim_all(&self, appended: u64) -> Option<u64> {
        let most = self.stored_floor + TRIM_ROWS_MAX + 2 * appended;
        let floor = self.floor.min(most).min(self.head.saturating_sub(1));
        (floor > self.stored_floor).then_some(floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_leave_in_bounded_steps_and_never_the_head() {
        let ledger = |floor, head| Ledger { head, floor, ..Ledger::default() };
        assert_eq!(ledger(10, 1_000).trim(1), None, "not enough has gathered");
        assert_eq!(ledger(300, 1_000).trim(1), Some(300));
        assert_eq!(ledger(9_000, 10_000).trim(10), Some(2_020));
        assert_eq!(ledger(20, 20).trim(1), Some(19));
        assert_eq!((ledger(3, 20).trim_all(0), ledger(0, 0).trim_all(0)), (Some(3), None));
    }

    #[test]
    fn a_burned_position_is_passed_over() {
        assert_eq!(Ledger { head: 4, burned: 6, ..Ledger::default() }.next(), 7);
    }
}
