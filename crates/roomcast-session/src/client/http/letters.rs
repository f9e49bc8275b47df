//! Messages of one room that wait for their `POST`. One is on its way at a time, so that order holds.

use std::collections::VecDeque;

/// What the server takes in one body.
const BATCH_MAX: usize = 100;
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Messages of one room.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// Their ids and texts, oldest first.
    waiting: VecDeque<(String, String)>,
    pub(super) is_posting: bool,
}

impl Letters {
    pub(super) fn push(&mut self, id: String, text: String) {
        self.waiting.push_back((id, text));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && !self.is_posting
    }

    /// Takes back what has not been posted.
    pub(super) fn give_back(&mut self) -> impl Iterator<Item = (String, String)> {
        std::mem::take(&mut self.waiting).into_iter()
    }

    /// The ids of the messages that go next, if any may go now, and the body that has them.
    pub(super) fn next_batch(&mut self) -> Option<(Vec<String>, String)> {
        if self.is_posting || self.waiting.is_empty() {
            return None;
        }
        let (mut ids, mut body) = (Vec::new(), String::from("["));
        while let Some((_, text)) = self.waiting.front()
            && ids.len() < BATCH_MAX
            && (ids.is_empty() || body.len() + text.len() + 2 <= BATCH_BYTES_MAX)
            && let Some((id, text)) = self.waiting.pop_front()
        {
            if !ids.is_empty() {
                body.push(',');
            }
            body.push_str(&text);
            ids.push(id);
        }
        body.push(']');
        self.is_posting = true;
        Some((ids, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_batch_at_a_time_and_none_too_large() {
        let mut letters = Letters::default();
        (0..150).for_each(|n| letters.push(n.to_string(), "{}".into()));
        let (ids, body) = letters.next_batch().unwrap();
        assert_eq!((ids.len(), body.len()), (BATCH_MAX, 3 * BATCH_MAX + 1));
        assert!(letters.next_batch().is_none(), "the first is on its way");
        letters.is_posting = false;
        letters.push("large".into(), "x".repeat(BATCH_BYTES_MAX - 100));
        letters.push("last".into(), "{}".into());
        assert_eq!(letters.next_batch().unwrap().0.len(), 50);
        letters.is_posting = false;
        assert_eq!(letters.next_batch().unwrap().0, ["large", "last"]);
        letters.is_posting = false;
        assert!(letters.is_empty());
    }
}
