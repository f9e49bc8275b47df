//! What one connection alone is told (acks, errors, system messages, pings, the close), in the wire form of
//! its transport, waiting to be written. Messages of a room never stand here.

use std::{ops::Deref, time::Duration};

use roomcast_websocket::{CloseCode, OpCode, frame};

use crate::{
    Close, Positions, Timestamp, Wire,
    counted::Length,
    events,
    frame::HEADER_MAX,
    server::{self, Head},
};

/// What an ack takes, at least: one allocation in place of a few that grow.
const USUAL_BYTES: usize = 240;

/// Bytes that are due to one connection, in order. Owns nothing while empty.
#[derive(Debug, Default)]
pub struct Queue {
    wire: Wire,
    bytes: Vec<u8>,
}

impl Queue {
    /// An empty queue for a wire form.
    pub fn of(wire: Wire) -> Self {
        Self::after(wire, Vec::new())
    }

    /// A queue that goes on after bytes in wire form.
    pub fn after(wire: Wire, bytes: Vec<u8>) -> Self {
        Self { wire, bytes }
    }

    /// The wire form of what is in it.
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// Appends a message; `write` appends its JSON. A list holds messages of rooms alone: what else there is to
    /// say has a place of its own beside it.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        match self.wire {
            Wire::Plain | Wire::Deflate(_) => self.push_after_header(
                |message_bytes| frame::Header::new(OpCode::Text, message_bytes).encode(),
                write,
            ),
            Wire::Counted => self.push_after_header(Length::of, write),
            Wire::Events { .. } => {
                let mut json = Vec::new();
                write(&mut json);
                self.wire.enclose(&mut self.bytes, |out| events::push(&json, out));
            }
            Wire::List => {}
        }
    }

    /// Appends a message whose header, of at most [`HEADER_MAX`] bytes, says how long it is.
    fn push_after_header<H: Deref<Target = [u8]>>(
        &mut self,
        header: impl FnOnce(usize) -> H,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.bytes.len();
        self.bytes.reserve(HEADER_MAX + USUAL_BYTES);
        self.bytes.resize(start + HEADER_MAX, 0);
        write(&mut self.bytes);
        let bytes = self.bytes.len() - start - HEADER_MAX;
        let header = header(bytes);
        self.bytes[start..start + header.len()].copy_from_slice(&header);
        self.bytes.copy_within(start + HEADER_MAX.., start + header.len());
        self.bytes.truncate(start + header.len() + bytes);
    }

    /// Says where the reader stands after the message that follows, on a wire that has a place for it.
    pub fn push_positions(&mut self, positions: impl FnOnce() -> Positions) {
        if self.wire.is_events() {
            self.wire.enclose(&mut self.bytes, |out| events::push_positions(&positions(), out));
        }
    }

    /// Says how long to wait before coming back, on a wire that has a place for it.
    pub fn push_retry(&mut self, wait: Duration) {
        if self.wire.is_events() {
            let retry = format!("retry: {}\n", wait.as_millis());
            self.wire.enclose(&mut self.bytes, |out| out.extend_from_slice(retry.as_bytes()));
        }
    }

    /// Asks the peer for a sign of life; where it can't give one, gives one.
    pub fn push_ping(&mut self) {
        match self.wire {
            Wire::Plain | Wire::Deflate(_) => frame::append(&mut self.bytes, OpCode::Ping, b""),
            Wire::Events { .. } => {
                self.wire.enclose(&mut self.bytes, |out| out.extend_from_slice(b":\n\n"));
            }
            // QUIC has signs of life of its own.
            Wire::List | Wire::Counted => {}
        }
    }

    /// Gives a sign of life, as asked.
    pub fn push_pong(&mut self, payload: &[u8]) {
        frame::append(&mut self.bytes, OpCode::Pong, payload);
    }

    /// Appends the close, with a reason `word: text` of at most 123 bytes. Where there is none, an error says it, if
    /// there is one of that name; where the transport itself closes, nothing.
    pub fn push_close(&mut self, now: Timestamp, close: Close, text: &str) {
        match self.wire {
            Wire::Plain | Wire::Deflate(_) => {
                let reason = close.full_reason(text);
                frame::append_close(&mut self.bytes, CloseCode(close.number()), &reason);
            }
            Wire::Events { .. } | Wire::List => {
                if let Some(code) = close.code() {
                    self.push(|out| server::error(Head::at(now), code, text, None, out));
                }
                self.push_end();
            }
            Wire::Counted => {}
        }
    }

    /// Appends what says that nothing more follows, where the connection itself doesn't say so.
    pub fn push_end(&mut self) {
        if self.wire == (Wire::Events { chunked: true }) {
            self.bytes.extend_from_slice(b"0\r\n\r\n");
        }
    }

    /// Appends bytes that are in wire form already.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends what another queue of the same wire holds.
    pub fn append(&mut self, other: Self) {
        if self.bytes.is_empty() {
            self.bytes = other.bytes;
        } else {
            self.bytes.extend_from_slice(&other.bytes);
        }
    }

    /// The bytes, oldest first.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets the first `written` bytes, and the allocation once nothing is left.
    pub fn advance(&mut self, written: usize) {
        if written >= self.bytes.len() {
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..written);
        }
    }

    /// The bytes, to be kept.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Position;

    #[test]
    fn framing() {
        let mut queue = Queue::default();
        queue.push(|out| out.extend_from_slice(b"{}"));
        queue.push(|out| out.extend_from_slice(&[b'x'; 200]));
        queue.push_close(Timestamp(0), Close::Forbidden, "no");
        let bytes = queue.bytes();
        assert_eq!(bytes[..4], [0x81, 2, b'{', b'}']);
        assert_eq!(bytes[4..9], [0x81, 126, 0, 200, b'x']);
        assert_eq!(&bytes[208..], b"\x88\x0f\x03\xf0forbidden: no");
        queue.advance(208);
        assert_eq!(queue.bytes().len(), 17);
        queue.advance(17);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_stream_is_told_why_it_ends_where_there_is_a_word_for_it() {
        let told = |close| {
            let mut queue = Queue::of(Wire::Events { chunked: false });
            queue.push_close(Timestamp(0), close, "why");
            String::from_utf8(queue.into_bytes()).unwrap()
        };
        let error = told(Close::TokenExpired);
        assert!(error.starts_with("event: system\ndata: {\"type\":\"error\""), "{error}");
        assert!(error.contains("\"token_expired\"") && error.contains("\"why\""), "{error}");
        assert_eq!(told(Close::Restart), "");
    }

    #[test]
    fn what_goes_straight_to_a_socket_is_made_of_chunks() {
        let mut queue = Queue::of(Wire::Events { chunked: true });
        queue.push_retry(Duration::from_millis(2_500));
        queue.push_positions(|| Positions::One(Position::none()));
        queue.push(|out| out.extend_from_slice(br#"{"type":"text"}"#));
        queue.push_ping();
        queue.push_close(Timestamp(0), Close::Restart, "why");
        let expected = "c\r\nretry: 2500\n\r\n8\r\nid: 0.0\n\r\n17\r\ndata: {\"type\":\"text\"}\n\n\r\n3\r\n:\n\n\r\n0\r\n\r\n";
        assert_eq!(std::str::from_utf8(queue.bytes()), Ok(expected));
    }
}
