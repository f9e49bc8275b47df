//! One life of a room's log, as the history shows it: which message stands where, and what was acked. Judges
//! positions and the order of acks; knows no reader.

use std::collections::{BTreeMap, HashMap};

use crate::{Ack, Position, Recv, Rule, history::Found};

/// What is known of an epoch of a room.
#[derive(Debug, Default)]
pub(crate) struct Log {
    messages: HashMap<u64, Named>,
    positions: HashMap<String, Place>,
    acked: BTreeMap<u64, String>,
    /// The highest seq acked, each time it rose.
    heights: Vec<Place>,
    /// For each publisher, where each of its messages stands, by the line at which it was first sent.
    orders: HashMap<String, BTreeMap<usize, Place>>,
    durable: Option<Durable>,
}

/// The message at a seq.
#[derive(Debug)]
struct Named {
    id: String,
    before: Option<u64>,
    line: usize,
}

/// A seq, and the line that told it.
#[derive(Debug, Clone, Copy)]
struct Place {
    seq: u64,
    line: usize,
}

/// The highest message acked as durable.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) id: String,
    pub(crate) seq: u64,
    pub(crate) line: usize,
}

impl Log {
    /// `id` was told to stand at `at`.
    pub(crate) fn names(&mut self, id: &str, at: &Position, found: &mut Found<'_>) {
        let line = found.line;
        let named =
            self.messages.entry(at.seq).or_insert_with(|| Named { id: id.into(), before: None, line });
        if named.id != id {
            let message = format!("{at} is {}, and here it is {id}", named.id);
            found.broken(Rule::OneMessage, Some(named.line), message);
        }
        let place = *self.positions.entry(id.into()).or_insert(Place { seq: at.seq, line });
        if place.seq != at.seq {
            let message = format!("{id} stands at {}.{}, and here at {at}", at.epoch, place.seq);
            found.broken(Rule::OnePosition, Some(place.line), message);
        }
    }

    /// What comes before a message is the same for every reader.
    pub(crate) fn follows(&mut self, recv: &Recv, found: &mut Found<'_>) {
        let Some(named) = self.messages.get_mut(&recv.at.seq) else { return };
        let before = *named.before.get_or_insert(recv.before());
        if before != recv.before() {
            let message = format!("{} follows {before}, and here it follows {}", recv.at, recv.before());
            found.broken(Rule::OneMessage, Some(named.line), message);
        }
    }

    /// What was acked before the message was first sent stands before it.
    pub(crate) fn judge_real_time(&self, ack: &Ack, sent: usize, found: &mut Found<'_>) {
        let rises = self.heights.partition_point(|height| height.line < sent);
        let Some(height) = rises.checked_sub(1).and_then(|last| self.heights.get(last)) else { return };
        if ack.at.seq <= height.seq {
            let message = format!(
                "{} stands at {}, but it was first sent (line {sent}) after {} had been acked",
                ack.id, ack.at, height.seq
            );
            found.broken(Rule::RealTime, Some(height.line), message);
        }
    }

    /// A publisher's messages stand in the order in which it first sent them.
    pub(crate) fn judge_publisher_order(&mut self, ack: &Ack, sent: usize, found: &mut Found<'_>) {
        let order = self.orders.entry(ack.client.clone()).or_default();
        let (seq, line) = (ack.at.seq, found.line);
        if order.insert(sent, Place { seq, line }).is_some() {
            return; // acked again; that it stands where it stood is judged elsewhere
        }
        let earlier = order.range(..sent).next_back().filter(|(_, earlier)| earlier.seq >= seq);
        let later = order.range(sent + 1..).next().filter(|(_, later)| later.seq <= seq);
        for (of, place) in earlier.into_iter().chain(later) {
            let (client, id, at) = (&ack.client, &ack.id, &ack.at);
            let message = format!(
                "{client} sent {id} (line {sent}) {} what stands at {} (line {of}), but {id} stands at {at}",
                if *of < sent { "after" } else { "before" },
                place.seq
            );
            found.broken(Rule::PublisherOrder, Some(place.line), message);
        }
    }

    /// The message counts as acked from this line on.
    pub(crate) fn acked(&mut self, ack: &Ack, line: usize) {
        let seq = ack.at.seq;
        self.acked.insert(seq, ack.id.clone());
        if self.heights.last().is_none_or(|highest| highest.seq < seq) {
            self.heights.push(Place { seq, line });
        }
        if ack.durability.outlives_a_crash() && self.durable.as_ref().is_none_or(|last| last.seq < seq) {
            self.durable = Some(Durable { id: ack.id.clone(), seq, line });
        }
    }

    /// What was acked above `seq`: seq and id.
    pub(crate) fn acked_above(&self, seq: u64) -> impl Iterator<Item = (u64, &str)> {
        self.acked.range(seq.saturating_add(1)..).map(|(seq, id)| (*seq, id.as_str()))
    }

    /// The highest message acked as durable, if the log has lost it by now: `head` says how far it goes, if it is
    /// still the room's. Tells it once.
    pub(crate) fn lost_durable(&mut self, head: Option<u64>) -> Option<Durable> {
        self.durable.take_if(|last| head.is_none_or(|head| last.seq > head))
    }
}
