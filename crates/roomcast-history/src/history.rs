//! The whole history: hands each event to its room, and collects what the rooms find. Knows no rule itself.

use std::collections::HashMap;

use serde::Serialize;

use crate::{Ack, End, Event, Finding, Join, Pub, Recv, Reset, Rule, room::Room};

/// A history as far as it has been observed.
#[derive(Debug, Default)]
pub struct History {
    rooms: HashMap<String, Room>,
    findings: Vec<Finding>,
    counts: Counts,
}

/// How much there was to judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Events, notes left out.
    pub events: usize,
    /// Acks.
    pub acks: usize,
    /// Messages received.
    pub received: usize,
    /// Joins that went on from the position presented.
    pub resumed: usize,
    /// Resets told.
    pub resets: usize,
    /// Readers that were given time to reach the head. Without any, nobody can say that nothing acked was lost.
    pub ended: usize,
}

impl Counts {
    fn count(&mut self, event: &Event) {
        self.events += 1;
        match event {
            Event::Pub(_) => {}
            Event::Ack(_) => self.acks += 1,
            Event::Join(join) => self.resumed += usize::from(join.recovered),
            Event::Recv(_) => self.received += 1,
            Event::Reset(_) => self.resets += 1,
            Event::End(_) => self.ended += 1,
            Event::Note => self.events -= 1,
        }
    }
}

impl History {
    /// Takes the event of a line. Lines come in their order.
    pub fn observe(&mut self, line: usize, event: &Event) {
        self.counts.count(event);
        let room = match event {
            Event::Pub(Pub { room, .. })
            | Event::Ack(Ack { room, .. })
            | Event::Join(Join { room, .. })
            | Event::Recv(Recv { room, .. })
            | Event::Reset(Reset { room, .. })
            | Event::End(End { room, .. }) => room,
            Event::Note => return,
        };
        if !self.rooms.contains_key(room) {
            self.rooms.insert(room.clone(), Room::default());
        }
        let Some(state) = self.rooms.get_mut(room) else { return };
        let mut found = Found { room, line, findings: &mut self.findings };
        state.observe(event, &mut found);
    }

    /// Everything found so far, in the order of the lines; empty if every promise was kept.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How much there was to judge so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// Where the findings of one line go.
pub(crate) struct Found<'a> {
    room: &'a str,
    pub(crate) line: usize,
    findings: &'a mut Vec<Finding>,
}

impl Found<'_> {
    /// This line breaks a rule, given an earlier one.
    pub(crate) fn broken(&mut self, rule: Rule, against: Option<usize>, message: String) {
        self.findings.push(Finding { rule, line: self.line, against, room: self.room.to_owned(), message });
    }
}
