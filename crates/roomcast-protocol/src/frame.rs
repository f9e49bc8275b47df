//! A message on its way out: its bytes for each wire form, each made at most once and shared by all readers.

use std::sync::{Arc, OnceLock};

use roomcast_websocket::{OpCode, deflate, frame::Header};

use crate::{
    Timestamp, counted, events,
    json::{Object, push_key},
};

/// Room for the longest unmasked WebSocket header.
pub(crate) const HEADER_MAX: usize = 10;
/// Room for `18446744073709551615,"prev":18446744073709551615`.
const SEQ_MAX: usize = 20 + 8 + 20;
/// Messages below this many bytes of JSON go plain: alone they hardly shrink.
const DEFLATE_BYTES_MIN: usize = 256;
/// The window sizes RFC 7692 allows and zlib can do: 9 to 15 bits.
const WINDOW_BITS_MIN: u8 = 9;
const WINDOWS: usize = 7;

/// The form in which a reader's transport takes its frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// A WebSocket text frame.
    #[default]
    Plain,
    /// A WebSocket text frame, deflated where that helps, for a window of this many bits (9-15).
    Deflate(u8),
    /// A block of Server-Sent Events. The `id:` line before it is for whoever knows the reader's position.
    Events {
        /// Whether what is written goes straight to a socket, and so must be a chunk of HTTP/1.1.
        chunked: bool,
    },
    /// Bare JSON and a comma: the inside of a list, in which presence has no place.
    List,
    /// JSON after its length, on a stream of bytes beside which datagrams may travel.
    Counted,
}

impl Wire {
    /// Whether it is made of WebSocket frames.
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::Plain | Self::Deflate(_))
    }

    /// Whether it is made of Server-Sent Events.
    pub const fn is_events(self) -> bool {
        matches!(self, Self::Events { .. })
    }

    /// Appends what `write` appends, enclosed as the wire has it (RFC 9112, section 7.1).
    pub fn enclose(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = out.len();
        write(out);
        if self == (Self::Events { chunked: true }) && out.len() > start {
            let head = format!("{:x}\r\n", out.len() - start);
            out.splice(start..start, head.bytes());
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Whether the other side can answer on it.
    pub const fn is_two_way(self) -> bool {
        self.is_websocket() || matches!(self, Self::Counted)
    }
}

/// One encoded message, immutable and shared.
#[derive(Debug)]
pub struct Frame {
    /// Slack, WebSocket header, JSON.
    buffer: Box<[u8]>,
    header_at: u32,
    json_at: u32,
    seq: u64,
    timestamp: Timestamp,
    deflated: OnceLock<Box<Deflated>>,
}

/// The deflated forms by window size; an empty one says that plain is no longer.
type Deflated = [OnceLock<Box<[u8]>>; WINDOWS];

impl Frame {
    /// A frame without a position: `write` appends one JSON object.
    pub fn new(timestamp: Timestamp, write: impl FnOnce(&mut Vec<u8>)) -> Arc<Self> {
        let mut buffer = Vec::with_capacity(256);
        buffer.resize(HEADER_MAX, 0);
        write(&mut buffer);
        Arc::new(Self::around(buffer, HEADER_MAX, timestamp))
    }

    /// A frame as it was sealed once, from where its JSON was kept.
    pub fn sealed(seq: u64, timestamp: Timestamp, json: &[u8]) -> Arc<Self> {
        let mut buffer = Vec::with_capacity(HEADER_MAX + json.len());
        buffer.resize(HEADER_MAX, 0);
        buffer.extend_from_slice(json);
        Arc::new(Self { seq, ..Self::around(buffer, HEADER_MAX, timestamp) })
    }

    fn around(buffer: Vec<u8>, json_at: usize, timestamp: Timestamp) -> Self {
        let mut frame = Self {
            buffer: buffer.into_boxed_slice(),
            header_at: 0,
            json_at: 0,
            seq: 0,
            timestamp,
            deflated: OnceLock::new(),
        };
        frame.set_header(json_at);
        frame
    }

    fn set_header(&mut self, json_at: usize) {
        let header = Header::new(OpCode::Text, self.buffer.len() - json_at).encode();
        let header_at = json_at - header.len();
        self.buffer[header_at..json_at].copy_from_slice(&header);
        (self.header_at, self.json_at) = (header_at as u32, json_at as u32);
    }

    /// The position in the room's log; 0 if it has none.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// When the server took it.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The bare JSON.
    pub fn json(&self) -> &[u8] {
        &self.buffer[self.json_at as usize..]
    }

    /// Appends the frame in a wire form, not yet enclosed.
    pub fn write(&self, wire: Wire, out: &mut Vec<u8>) {
        match wire {
            Wire::Plain | Wire::Deflate(_) => out.extend_from_slice(self.on(wire)),
            Wire::Events { .. } => events::push(self.json(), out),
            Wire::Counted => counted::push(self.json(), out),
            Wire::List if events::kind(self.json()) == b"presence" => {}
            Wire::List => {
                out.extend_from_slice(self.json());
                out.push(b',');
            }
        }
    }

    /// The whole WebSocket frame, header included.
    pub fn on(&self, wire: Wire) -> &[u8] {
        match wire {
            Wire::Deflate(bits) if self.json().len() >= DEFLATE_BYTES_MIN => match self.deflated(bits) {
                [] => self.plain(),
                deflated => deflated,
            },
            _ => self.plain(),
        }
    }

    /// Bytes this frame holds in memory, deflated forms aside.
    pub fn memory_bytes(&self) -> usize {
        self.buffer.len() + size_of::<Self>() + 2 * size_of::<usize>()
    }

    fn plain(&self) -> &[u8] {
        &self.buffer[self.header_at as usize..]
    }

    fn deflated(&self, bits: u8) -> &[u8] {
        let forms = self.deflated.get_or_init(Box::default);
        let form = usize::from(bits.saturating_sub(WINDOW_BITS_MIN)).min(WINDOWS - 1);
        forms[form].get_or_init(|| {
            let mut body = Vec::with_capacity(self.json().len() / 2);
            deflate::compress(self.json(), bits, &mut body);
            if body.len() >= self.json().len() {
                return Box::default();
            }
            let header = Header::new(OpCode::Text, body.len()).rsv1(true).encode();
            [&header, &*body].concat().into_boxed_slice()
        })
    }
}

/// A message that is encoded but for its place in the log, so that nothing is encoded while the log is locked.
#[derive(Debug)]
pub struct Draft {
    frame: Arc<Frame>,
    /// Where the bytes before the seq end.
    head_end: usize,
}

impl Draft {
    /// Encodes everything but the seq. `data` appends the payload, author included.
    pub fn new(
        (kind, id, room): (&str, Option<&str>, &str),
        timestamp: Timestamp,
        data: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        let mut buffer = Vec::with_capacity(HEADER_MAX + SEQ_MAX + 384);
        buffer.resize(HEADER_MAX, 0);
        Object::new(&mut buffer).text("type", kind).text_if("id", id).text("room", room);
        push_key(&mut buffer, "seq");
        let head_end = buffer.len();
        buffer.resize(head_end + SEQ_MAX, b' ');
        Object::go_on(&mut buffer).with("data", data).timestamp(timestamp).end();
        Self { frame: Arc::new(Frame::around(buffer, HEADER_MAX, timestamp)), head_end }
    }

    /// When the server took it.
    pub fn timestamp(&self) -> Timestamp {
        self.frame.timestamp
    }

    /// Bytes that the message will hold in memory.
    pub fn memory_bytes(&self) -> usize {
        self.frame.memory_bytes()
    }

    /// Gives the message its place. `prev` is the seq before it, told only where that is not `seq - 1`.
    pub fn seal(self, seq: u64, prev: u64) -> Arc<Frame> {
        let Self { frame: mut shared, head_end } = self;
        let frame = Arc::get_mut(&mut shared).expect("a draft has one owner");
        let (mut digits, mut prev_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
        let parts: [&[u8]; 3] = if prev + 1 == seq {
            [digits.format(seq).as_bytes(), b"", b""]
        } else {
            [digits.format(seq).as_bytes(), br#","prev":"#, prev_digits.format(prev).as_bytes()]
        };
        // Right before the tail stand the digits, right before them the head.
        let mut at = head_end + SEQ_MAX;
        for part in parts.iter().rev() {
            at -= part.len();
            frame.buffer[at..at + part.len()].copy_from_slice(part);
        }
        let json_at = HEADER_MAX + at - head_end;
        frame.buffer.copy_within(HEADER_MAX..head_end, json_at);
        frame.seq = seq;
        frame.set_header(json_at);
        shared
    }

    /// The message without a place in the log.
    pub fn volatile(
        (kind, id, room): (&str, Option<&str>, &str),
        timestamp: Timestamp,
        data: impl FnOnce(&mut Vec<u8>),
    ) -> Arc<Frame> {
        Frame::new(timestamp, |out| {
            Object::new(out)
                .text("type", kind)
                .text_if("id", id)
                .text("room", room)
                .with("data", data)
                .timestamp(timestamp)
                .end();
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push_str;

    fn draft() -> Draft {
        Draft::new(("text", Some("m1"), "general"), Timestamp(1_711_000_000_123), |out| {
            push_str(out, "payload");
        })
    }

    #[test]
    fn sealing_writes_the_seq() {
        let frame = draft().seal(42, 41);
        let expected = r#"{"type":"text","id":"m1","room":"general","seq":42,"data":"payload","timestamp":1711000000.123}"#;
        assert_eq!(std::str::from_utf8(frame.json()).unwrap(), expected);
        assert_eq!(frame.on(Wire::Plain)[..2], [0x81, expected.len() as u8]);
        assert_eq!(&frame.on(Wire::Plain)[2..], expected.as_bytes());
        assert_eq!(frame.seq(), 42);
        let again = Frame::sealed(42, frame.timestamp(), frame.json());
        assert_eq!((again.seq(), again.on(Wire::Plain)), (42, frame.on(Wire::Plain)));
    }

    #[test]
    fn a_hole_is_chained() {
        let frame = draft().seal(u64::MAX, 7);
        let json = std::str::from_utf8(frame.json()).unwrap();
        assert!(json.contains(r#","seq":18446744073709551615,"prev":7,"data""#), "{json}");
        assert_eq!(frame.on(Wire::Plain)[..2], [0x81, json.len() as u8]);
    }

    #[test]
    fn deflated_only_where_it_helps() {
        let small = draft().seal(1, 0);
        assert_eq!(small.on(Wire::Deflate(15)), small.on(Wire::Plain));
        let large = Frame::new(Timestamp(0), |out| push_str(out, &"again ".repeat(200)));
        for bits in 9..=15 {
            let deflated = large.on(Wire::Deflate(bits));
            assert_eq!(deflated[0], 0xc1);
            assert!(deflated.len() < 100);
        }
    }
}
