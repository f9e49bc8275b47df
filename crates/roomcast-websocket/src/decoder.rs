//! The read side: bytes of a connection in, [`Event`]s out, every rule of framing checked on the way.
//!
//! It owns which frame may follow which, and what is unfinished between two reads. It never answers: pongs,
//! Close frames and what to do about a [`Violation`] are the caller's.

use std::ops::Range;

use crate::frame::{CONTROL_BYTES_MAX, HEADER_BYTES_MAX, Header};
use crate::message::{Message, valid_len};
use crate::{CloseCode, Deflate, OpCode, Role, Violation, mask};

/// What a peer may make a [`Decoder`] keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecoderLimits {
    /// The largest message, in bytes after inflating and joining its fragments.
    pub message_bytes_max: u32,
    /// The most frames in one message.
    pub fragments_max: u32,
}

impl DecoderLimits {
    /// The largest message as it may arrive: a compressed one gets 1/16 on top, for the headers of the
    /// small stored blocks that a frugal encoder makes of incompressible data.
    fn arriving_bytes_max(self, compressed: bool) -> u64 {
        let plain = u64::from(self.message_bytes_max);
        if compressed { plain + plain / 16 + 64 } else { plain }
    }
}

/// Something whole that a peer has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message of text.
    Text(&'a str),
    /// A message of bytes.
    Binary(&'a [u8]),
    /// To be answered by a pong with the same payload.
    Ping(&'a [u8]),
    /// An answer to a ping, or a sign of life.
    Pong(&'a [u8]),
    /// The peer's last word, to be answered by a Close frame. Without a code: the peer gave none (1005).
    Close(Option<(CloseCode, &'a str)>),
}

impl<'a> Event<'a> {
    /// The event of one whole frame with this payload.
    #[inline]
    fn of_frame(opcode: OpCode, payload: &'a [u8]) -> Result<Self, Violation> {
        Ok(match opcode {
            OpCode::Text => Self::Text(utf8(payload)?),
            // A continuation is never an event of its own.
            OpCode::Binary | OpCode::Continuation => Self::Binary(payload),
            OpCode::Ping => Self::Ping(payload),
            OpCode::Pong => Self::Pong(payload),
            OpCode::Close => Self::Close(close_payload(payload)?),
        })
    }
}

#[inline]
fn utf8(bytes: &[u8]) -> Result<&str, Violation> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| Violation::InvalidUtf8 { offset: valid_len(bytes) })
}

fn close_payload(payload: &[u8]) -> Result<Option<(CloseCode, &str)>, Violation> {
    match payload.split_first_chunk() {
        Some((code, reason)) => {
            let code = CloseCode(u16::from_be_bytes(*code));
            if !code.is_allowed_on_wire() {
                return Err(Violation::InvalidCloseCode(code));
            }
            Ok(Some((code, utf8(reason)?)))
        }
        None if payload.is_empty() => Ok(None),
        None => Err(Violation::TruncatedCloseCode),
    }
}

/// The reading half of a connection; 40 bytes, and nothing on the heap between whole messages.
///
/// The caller reads into a buffer that it may share among all connections of a thread, then takes events
/// until there are no more; only then are the buffer's bytes used up, and it is free for the next read.
#[derive(Debug)]
pub struct Decoder {
    unfinished: Option<Box<Unfinished>>,
    end: End,
    limits: DecoderLimits,
    role: Role,
    deflate: bool,
}

/// Whether the peer may still say something.
#[derive(Clone, Copy, Debug)]
enum End {
    Open,
    /// A Close frame has been read: whatever follows is ignored (§5.5.1).
    Closed,
    Failed(Violation),
}

/// What has arrived of things that aren't whole yet, and the thing made whole last, which an event borrows.
#[derive(Debug, Default)]
struct Unfinished {
    /// The start of a header.
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    /// The frame whose payload is arriving.
    frame: Option<Frame>,
    /// The payload of a control frame, which may come between the fragments of a message.
    control: Vec<u8>,
    message: Option<Message>,
    /// What the last event was made of, to be dropped at the next call.
    handed_out: Option<Whole>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    header: Header,
    arrived: u64,
}

/// Where the bytes of an event lie.
#[derive(Clone, Debug)]
enum Whole {
    /// In the caller's buffer: the payload of one frame.
    Frame(OpCode, Range<usize>),
    /// In [`Unfinished::control`].
    Control(OpCode),
    /// In [`Unfinished::message`].
    Message,
}

impl Decoder {
    /// Reads what a peer of `role` sends: a server's decoder reads masked frames.
    ///
    /// `deflate` is what the handshake agreed on; without it a compressed frame is a violation.
    pub fn new(role: Role, limits: DecoderLimits, deflate: Option<Deflate>) -> Self {
        Self { unfinished: None, end: End::Open, limits, role, deflate: deflate.is_some() }
    }

    /// The next event of `input`, read from `*at` on, or `None` when the input is used up.
    ///
    /// Payloads are unmasked in place, and an event borrows from `input` where a whole message lies in it.
    /// What is unfinished is kept until the next call. After a Close frame the rest is ignored.
    ///
    /// # Errors
    ///
    /// The peer broke a rule or a limit. The connection is to be closed with [`Violation::close_code`];
    /// every later call returns the same violation.
    #[inline]
    pub fn next<'a>(
        &'a mut self,
        input: &'a mut [u8],
        at: &mut usize,
    ) -> Result<Option<Event<'a>>, Violation> {
        if self.unfinished.is_some() {
            self.release();
        }
        let whole = match self.end {
            End::Open => self.advance(input, at),
            End::Closed => {
                *at = input.len();
                Ok(None)
            }
            End::Failed(violation) => Err(violation),
        };
        let Self { unfinished, end, .. } = self;
        let (opcode, payload) = match (whole, unfinished) {
            (Ok(Some(Whole::Frame(opcode, range))), _) => (opcode, &input[range]),
            (Ok(Some(Whole::Control(opcode))), Some(kept)) => (opcode, &kept.control[..]),
            (Ok(Some(Whole::Message)), Some(kept)) => return Ok(kept.message.as_ref().map(Message::event)),
            (Ok(_), _) => return Ok(None),
            (Err(violation), unfinished) => {
                *unfinished = None;
                *end = End::Failed(violation);
                return Err(violation);
            }
        };
        let event = Event::of_frame(opcode, payload);
        match event {
            Ok(Event::Close(_)) => *end = End::Closed,
            Err(violation) => *end = End::Failed(violation),
            Ok(_) => {}
        }
        event.map(Some)
    }

    /// Bytes of heap that unfinished frames and messages hold: 0 between whole messages.
    pub fn bytes_held(&self) -> usize {
        self.unfinished.as_ref().map_or(0, |kept| kept.bytes_held())
    }

    /// Drops what the last event was made of, and everything once nothing more can come.
    fn release(&mut self) {
        let Some(kept) = &mut self.unfinished else { return };
        match kept.handed_out.take() {
            Some(Whole::Message) => kept.message = None,
            Some(Whole::Control(_)) => kept.control = Vec::new(),
            _ => {}
        }
        if kept.is_empty() || !matches!(self.end, End::Open) {
            self.unfinished = None;
        }
    }

    /// Consumes input until something is whole.
    #[inline]
    fn advance(&mut self, input: &mut [u8], at: &mut usize) -> Result<Option<Whole>, Violation> {
        while *at < input.len() {
            let Some(frame) = self.open_frame(input, at)? else { return Ok(None) };
            let start = *at;
            let (piece, complete) = frame.take(&mut input[start..]);
            *at += piece.len();
            if complete && frame.stands_alone() {
                return Ok(Some(Whole::Frame(frame.header.opcode, start..*at)));
            }
            if let Some(whole) = self.keep(frame, piece, complete)? {
                return Ok(Some(whole));
            }
        }
        Ok(None)
    }

    /// The frame that the next bytes belong to: the one begun before, or a new one behind its header.
    #[inline]
    fn open_frame(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Frame>, Violation> {
        let header = match &mut self.unfinished {
            Some(kept) => {
                if let Some(frame) = kept.frame.take() {
                    return Ok(Some(frame));
                }
                kept.complete_header(input, at)?
            }
            None => Header::parse(&input[*at..])?.map(|(header, size)| {
                *at += size;
                header
            }),
        };
        let Some(header) = header else {
            self.kept().keep_header(&input[*at..]);
            *at = input.len();
            return Ok(None);
        };
        self.admit(&header)?;
        Ok(Some(Frame { header, arrived: 0 }))
    }

    /// Checks a header against the role, the extensions, the limits and the frames before it.
    #[inline]
    fn admit(&mut self, header: &Header) -> Result<(), Violation> {
        match (self.role, header.mask) {
            (Role::Server, None) => return Err(Violation::Unmasked),
            (Role::Client, Some(_)) => return Err(Violation::Masked),
            _ => {}
        }
        let may_be_compressed = self.deflate && matches!(header.opcode, OpCode::Text | OpCode::Binary);
        if header.rsv1 && !may_be_compressed {
            return Err(Violation::ReservedBits(0b100));
        }
        if header.opcode.is_control() { admit_control(header) } else { self.admit_data(header) }
    }

    #[inline]
    fn admit_data(&mut self, header: &Header) -> Result<(), Violation> {
        let limits = self.limits;
        let message = self.unfinished.as_mut().and_then(|kept| kept.message.as_mut());
        let (received, compressed) = match (header.opcode, message) {
            (OpCode::Continuation, None) => return Err(Violation::StrayContinuation),
            (OpCode::Continuation, Some(message)) => {
                if message.fragments >= limits.fragments_max {
                    return Err(Violation::TooManyFragments { max: limits.fragments_max });
                }
                message.fragments += 1;
                (message.received() as u64, message.is_compressed())
            }
            (opcode, Some(_)) => return Err(Violation::MissingContinuation(opcode)),
            (_, None) => (0, header.rsv1),
        };
        let bytes = header.len.saturating_add(received);
        if bytes > limits.arriving_bytes_max(compressed) {
            return Err(Violation::MessageTooLarge { bytes, max: limits.message_bytes_max });
        }
        Ok(())
    }

    /// Keeps a piece of a frame that doesn't stand alone in the input, and says what became whole by it.
    fn keep(&mut self, mut frame: Frame, piece: &[u8], complete: bool) -> Result<Option<Whole>, Violation> {
        let bytes_max = self.limits.message_bytes_max;
        let kept = self.kept();
        if piece.is_empty() && !complete {
            // Only the header is here: the payload may still come in one piece and stand alone.
            kept.frame = Some(frame);
            return Ok(None);
        }
        let Header { opcode, fin, rsv1, .. } = frame.header;
        if opcode.is_control() {
            kept.control.extend_from_slice(piece);
            kept.handed_out = complete.then_some(Whole::Control(opcode));
        } else {
            let message = kept.message.get_or_insert_with(|| Message::new(opcode, rsv1));
            let last = fin && complete;
            if last { message.finish(piece, bytes_max) } else { message.push(piece) }?;
            kept.handed_out = last.then_some(Whole::Message);
        }
        frame.arrived += piece.len() as u64;
        kept.frame = (!complete).then_some(frame);
        Ok(kept.handed_out.clone())
    }

    fn kept(&mut self) -> &mut Unfinished {
        self.unfinished.get_or_insert_default()
    }
}

fn admit_control(header: &Header) -> Result<(), Violation> {
    if !header.fin {
        return Err(Violation::FragmentedControl(header.opcode));
    }
    if header.len > CONTROL_BYTES_MAX as u64 {
        return Err(Violation::OversizedControl(header.opcode, header.len));
    }
    Ok(())
}

impl Frame {
    /// The frame's share of `available`, unmasked, and whether it ends the frame.
    #[inline]
    fn take<'a>(&self, available: &'a mut [u8]) -> (&'a mut [u8], bool) {
        let missing = self.header.len - self.arrived;
        let len = missing.min(available.len() as u64);
        let piece = &mut available[..len as usize];
        if let Some(key) = self.header.mask {
            mask::apply(piece, mask::rotated(key, self.arrived));
        }
        (piece, len == missing)
    }

    /// Whether the payload, if it lies in one piece, is an event as it is.
    #[inline]
    fn stands_alone(&self) -> bool {
        let Header { opcode, fin, rsv1, .. } = self.header;
        self.arrived == 0 && fin && !rsv1 && opcode != OpCode::Continuation
    }
}

impl Unfinished {
    fn is_empty(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.control.is_empty() && self.message.is_none()
    }

    fn bytes_held(&self) -> usize {
        size_of::<Self>() + self.control.capacity() + self.message.as_ref().map_or(0, Message::bytes_held)
    }

    /// The header that starts with the bytes kept before, or starts here.
    fn complete_header(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Header>, Violation> {
        let before = self.header_len;
        self.keep_header(&input[*at..]);
        let parsed = Header::parse(&self.header[..self.header_len])?;
        self.header_len = if parsed.is_some() { 0 } else { before };
        Ok(parsed.map(|(header, size)| {
            *at += size - before;
            header
        }))
    }

    fn keep_header(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(HEADER_BYTES_MAX - self.header_len);
        self.header[self.header_len..][..len].copy_from_slice(&bytes[..len]);
        self.header_len += len;
    }
}
