//! Requests other than messages for a log that have no answer yet: typing, presence, history, volatile messages.

use std::sync::Arc;

use roomcast_protocol::RoomName;

use super::request::Query;

/// A request that has no answer yet.
#[derive(Debug)]
struct Ask<T> {
    id: String,
    room: RoomName,
    text: Arc<str>,
    /// Whether it is for those who are there now, and not sent again.
    once: bool,
    needs_seat: bool,
    sent: bool,
    reply: T,
}

/// Requests that have no answer yet, oldest first.
#[derive(Debug)]
pub(super) struct Asks<T>(Vec<Ask<T>>);

impl<T> Default for Asks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Asks<T> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes a request, written as `text` with this id.
    pub(super) fn put(&mut self, query: &Query, room: &RoomName, (id, text): (String, String), reply: T) {
        let (room, text) = (room.clone(), text.into());
        let needs_seat = !matches!(query, Query::History(..));
        self.0.push(Ask { id, room, text, once: query.is_once(), needs_seat, sent: false, reply });
    }

    /// What may go out now, told who is seated in which room.
    pub(super) fn due(&mut self, is_seated: impl Fn(&RoomName) -> bool) -> impl Iterator<Item = Arc<str>> {
        let due = self.0.iter_mut().filter(move |ask| !ask.sent && (!ask.needs_seat || is_seated(&ask.room)));
        due.map(|ask| {
            ask.sent = true;
            ask.text.clone()
        })
    }

    /// The request that an answer is for, which is done with.
    pub(super) fn answered(&mut self, id: &str) -> Option<T> {
        let at = self.0.iter().position(|ask| ask.id == id)?;
        Some(self.0.remove(at).reply)
    }

    /// The connection is lost: gives up what is not sent again, and sends the rest again.
    pub(super) fn lost(&mut self) -> Vec<T> {
        self.0.iter_mut().for_each(|ask| ask.sent = false);
        self.give_up(|ask| ask.once)
    }

    /// Gives up everything that was asked of a room.
    pub(super) fn give_up_room(&mut self, room: &RoomName) -> Vec<T> {
        self.give_up(|ask| ask.room == *room)
    }

    fn give_up(&mut self, which: impl Fn(&Ask<T>) -> bool) -> Vec<T> {
        self.0.extract_if(.., |ask| which(ask)).map(|ask| ask.reply).collect()
    }
}
