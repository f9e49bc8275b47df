//! Where a reader is in a room's log, and what of the room is new to it.

use roomcast_protocol::{Epoch, Position};

/// What a message of a room is to a reader that has seen some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next one.
    Next,
    /// Seen before.
    Repeat,
    /// There are messages between; ask the server for them.
    Gap,
}

/// A reader's place in a room. Never takes a message twice, never passes over one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where the reader is.
    pub position: Position,
}

impl Place {
    /// The place that a join's ack or a `reset` names.
    pub fn at(epoch: Epoch, from: u64) -> Self {
        Self { position: Position { epoch, seq: from } }
    }

    /// Takes a logged message; `prev` as the message has it.
    pub fn take(&mut self, seq: u64, prev: Option<u64>) -> Arrival {
        if seq <= self.position.seq {
            return Arrival::Repeat;
        }
        if prev.unwrap_or(seq - 1) > self.position.seq {
            return Arrival::Gap;
        }
        self.position.seq = seq;
        Arrival::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals() {
        let mut place = Place::at(Epoch::new("e").unwrap(), 4);
        assert_eq!(place.take(5, None), Arrival::Next);
        assert_eq!(place.take(5, None), Arrival::Repeat);
        assert_eq!(place.take(7, None), Arrival::Gap);
        assert_eq!(place.take(9, Some(5)), Arrival::Next);
        assert_eq!(place.position.seq, 9);
    }
}
