//! The messages of one room that wait for their acks. They go out in the order they came, and again in that
//! order under the same ids, until each has its answer; order holds through refusals and lost connections.

use std::{collections::VecDeque, sync::Arc};

/// Messages of one room that are under way at once. A refusal costs at most so many in vain.
const WINDOW: usize = 64;
/// A server knows an id for five minutes; some of it is for the way.
const KNOWN_MS: u64 = 290_000;

/// A message that has no answer yet.
#[derive(Debug)]
pub(super) struct Letter<T> {
    /// The order in which they came.
    number: u64,
    id: String,
    text: Arc<str>,
    /// Since it was sent first: until when a server surely knows its id.
    known_until_ms: Option<u64>,
    pub(super) reply: T,
}

/// Messages without an answer.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    letters_total: u64,
    /// Not sent on this connection, or refused for now; oldest first.
    waiting: VecDeque<Letter<T>>,
    /// Sent on this connection; oldest first.
    flying: VecDeque<Letter<T>>,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self { letters_total: 0, waiting: VecDeque::new(), flying: VecDeque::new() }
    }
}

impl<T> Outbox<T> {
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.flying.len()
    }

    pub(super) fn put(&mut self, id: &str, text: String, reply: T) {
        self.letters_total += 1;
        let (id, text) = (id.into(), text.into());
        self.waiting.push_back(Letter { number: self.letters_total, id, text, known_until_ms: None, reply });
    }

    /// The next message that the server may have taken and forgotten, which is done with: sent once more, it could
    /// be there twice.
    pub(super) fn forgotten(&mut self, now_ms: u64) -> Option<T> {
        let is_forgotten =
            |letter: &Letter<T>| letter.known_until_ms.is_some_and(|until_ms| now_ms > until_ms);
        // What was tried is older than what wasn't.
        self.waiting.pop_front_if(|letter| is_forgotten(letter)).map(|letter| letter.reply)
    }

    /// The next message that may go out now.
    pub(super) fn next(&mut self, now_ms: u64) -> Option<Arc<str>> {
        let oldest = self.waiting.front()?;
        // After a refusal what was sent behind it is refused as well: it comes back before anything goes.
        let overtaken = self.flying.back().is_some_and(|last| last.number > oldest.number);
        if overtaken || self.flying.len() >= WINDOW {
            return None;
        }
        let mut letter = self.waiting.pop_front()?;
        letter.known_until_ms.get_or_insert(now_ms + KNOWN_MS);
        let text = letter.text.clone();
        self.flying.push_back(letter);
        Some(text)
    }

    /// The message that an answer is for, which is done with.
    pub(super) fn answered(&mut self, id: &str) -> Option<Letter<T>> {
        let at = self.flying.iter().position(|letter| letter.id == id)?;
        self.flying.remove(at)
    }

    /// A message was refused for now: it goes again, in its turn.
    pub(super) fn put_back(&mut self, letter: Letter<T>) {
        let at = self.waiting.partition_point(|other| other.number < letter.number);
        self.waiting.insert(at, letter);
    }

    /// The connection is lost: whatever has no answer goes again.
    pub(super) fn lost(&mut self) {
        while let Some(letter) = self.flying.pop_back() {
            self.put_back(letter);
        }
    }

    /// So much time has passed that no clock has shown.
    pub(super) fn slept(&mut self, slept_ms: u64) {
        for letter in self.waiting.iter_mut().chain(&mut self.flying) {
            letter.known_until_ms = letter.known_until_ms.map(|until_ms| until_ms.saturating_sub(slept_ms));
        }
    }

    /// Gives up what has not been sent.
    pub(super) fn give_up_waiting(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.waiting).into_iter().map(|letter| letter.reply)
    }

    /// Gives up everything.
    pub(super) fn give_up(self) -> impl Iterator<Item = T> {
        self.flying.into_iter().chain(self.waiting).map(|letter| letter.reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(letters: usize) -> Outbox<usize> {
        let mut outbox = Outbox::default();
        (0..letters).for_each(|n| outbox.put(&n.to_string(), n.to_string(), n));
        outbox
    }

    /// Everything that goes out now.
    fn sent(outbox: &mut Outbox<usize>) -> Vec<usize> {
        std::iter::from_fn(|| outbox.next(0)).map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn goes_out_in_order_within_the_window() {
        let mut outbox = outbox(WINDOW + 2);
        assert_eq!(sent(&mut outbox), (0..WINDOW).collect::<Vec<_>>());
        assert_eq!(outbox.answered("0").unwrap().reply, 0);
        assert_eq!(sent(&mut outbox), [WINDOW]);
        assert!(outbox.answered("0").is_none(), "answered twice");
        assert_eq!(outbox.len(), WINDOW + 1);
    }

    #[test]
    fn a_refusal_stops_it_until_all_behind_have_come_back() {
        let mut outbox = outbox(3);
        assert_eq!(sent(&mut outbox), [0, 1, 2]);
        for id in ["0", "1"] {
            let letter = outbox.answered(id).unwrap();
            outbox.put_back(letter);
            assert_eq!(sent(&mut outbox), [0; 0], "2 is still under way");
        }
        let letter = outbox.answered("2").unwrap();
        outbox.put_back(letter);
        assert_eq!(sent(&mut outbox), [0, 1, 2]);
    }

    #[test]
    fn a_lost_connection_puts_everything_back() {
        let mut outbox = outbox(3);
        assert_eq!(sent(&mut outbox), [0, 1, 2]);
        outbox.answered("1");
        outbox.put("3", "3".into(), 3);
        outbox.lost();
        assert_eq!(sent(&mut outbox), [0, 2, 3]);
        assert_eq!(outbox.give_up().collect::<Vec<_>>(), [0, 2, 3]);
    }
}
