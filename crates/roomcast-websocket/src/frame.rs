//! One frame as bytes (RFC 6455 §5.2): headers written and read, whole frames appended to a buffer.
//! It never knows which frame may follow which; that is the [`Decoder`](crate::Decoder)'s.

use std::ops::Deref;

use crate::{CloseCode, OpCode, Violation, mask};

/// The longest header: two bytes, a 64-bit length, a mask.
pub const HEADER_BYTES_MAX: usize = 14;

/// The longest payload of a control frame (§5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;

/// Short lengths that mean: the length follows in two, or in eight bytes.
const LEN_16_BITS: u8 = 0x7E;
const LEN_64_BITS: u8 = 0x7F;

/// A frame without its payload.
///
/// An unmasked frame is `header.encode()` followed by the payload, and the same bytes serve every reader:
///
/// ```
/// use roomcast_websocket::{OpCode, frame::Header};
///
/// let payload = b"hello";
/// let frame = [&*Header::new(OpCode::Text, payload.len()).encode(), payload].concat();
/// assert_eq!(frame, b"\x81\x05hello");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub(crate) opcode: OpCode,
    pub(crate) fin: bool,
    pub(crate) rsv1: bool,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) len: u64,
}

impl Header {
    /// A whole, plain, unmasked frame of `len` payload bytes.
    pub const fn new(opcode: OpCode, len: usize) -> Self {
        Self { opcode, fin: true, rsv1: false, mask: None, len: len as u64 }
    }

    /// Whether this is the last (or only) frame of its message.
    #[must_use]
    pub const fn fin(mut self, fin: bool) -> Self {
        self.fin = fin;
        self
    }

    /// Whether the message is compressed; set on its first frame only (RFC 7692 §6).
    #[must_use]
    pub const fn rsv1(mut self, rsv1: bool) -> Self {
        self.rsv1 = rsv1;
        self
    }

    /// Announces a payload masked with `key`, which must be fresh and unpredictable for every frame (§5.3).
    #[must_use]
    pub const fn mask(mut self, key: [u8; 4]) -> Self {
        self.mask = Some(key);
        self
    }

    /// The header's bytes.
    #[inline]
    pub fn encode(&self) -> HeaderBytes {
        let mut out = HeaderBytes { bytes: [0; HEADER_BYTES_MAX], len: 0 };
        let first = if self.fin { FIN } else { 0 } | if self.rsv1 { RSV1 } else { 0 } | self.opcode as u8;
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        match self.len {
            0..=125 => out.extend([first, masked | self.len as u8]),
            126..=0xFFFF => {
                out.extend([first, masked | LEN_16_BITS]);
                out.extend((self.len as u16).to_be_bytes());
            }
            _ => {
                out.extend([first, masked | LEN_64_BITS]);
                out.extend(self.len.to_be_bytes());
            }
        }
        if let Some(key) = self.mask {
            out.extend(key);
        }
        out
    }

    /// Appends the header and `payload`, masked if the header has a mask: a fragment, a compressed message.
    ///
    /// The payload must be as long as the header says, or the peer reads rubbish.
    #[inline]
    pub fn append_with(&self, payload: &[u8], out: &mut Vec<u8>) {
        debug_assert_eq!(self.len, payload.len() as u64, "the header declares another length");
        let header = self.encode();
        out.reserve(header.len() + payload.len());
        out.extend_from_slice(&header);
        let start = out.len();
        out.extend_from_slice(payload);
        if let Some(key) = self.mask {
            mask::apply(&mut out[start..], key);
        }
    }

    /// Reads a header at the start of `bytes`: it and its size, or `None` if more bytes are needed.
    ///
    /// Checks what can be judged from the header alone: RSV2, RSV3, the opcode, a minimal length.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        if first & 0x30 != 0 {
            return Err(Violation::ReservedBits((first & 0x70) >> 4));
        }
        let opcode = OpCode::from_bits(first & 0x0F).ok_or(Violation::ReservedOpCode(first & 0x0F))?;
        let Some((len, rest)) = parse_len(second & 0x7F, rest)? else { return Ok(None) };
        let (mask, rest) = match rest.split_first_chunk() {
            _ if second & MASKED == 0 => (None, rest),
            Some((key, rest)) => (Some(*key), rest),
            None => return Ok(None),
        };
        let header = Self { opcode, fin: first & FIN != 0, rsv1: first & RSV1 != 0, mask, len };
        Ok(Some((header, bytes.len() - rest.len())))
    }
}

/// The payload length that `short` and what follows declare, and what follows it.
#[inline]
fn parse_len(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, Violation> {
    let (len, least, rest) = match short {
        LEN_16_BITS => match rest.split_first_chunk() {
            Some((bytes, rest)) => (u64::from(u16::from_be_bytes(*bytes)), 126, rest),
            None => return Ok(None),
        },
        LEN_64_BITS => match rest.split_first_chunk() {
            Some((bytes, rest)) => (u64::from_be_bytes(*bytes), 0x1_0000, rest),
            None => return Ok(None),
        },
        short => (u64::from(short), 0, rest),
    };
    if len < least { Err(Violation::LengthNotMinimal(len)) } else { Ok(Some((len, rest))) }
}

/// An encoded header, inline; dereferences to its bytes.
#[derive(Clone, Copy, Debug)]
pub struct HeaderBytes {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl HeaderBytes {
    #[inline]
    fn extend<const N: usize>(&mut self, more: [u8; N]) {
        let start = usize::from(self.len);
        self.bytes[start..start + N].copy_from_slice(&more);
        self.len += N as u8;
    }
}

impl Deref for HeaderBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Appends a whole frame as a server writes it.
#[inline]
pub fn append(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    Header::new(opcode, payload.len()).append_with(payload, out);
}

/// Appends a whole frame as a client writes it; `key` must be fresh and unpredictable (§5.3).
#[inline]
pub fn append_masked(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8], key: [u8; 4]) {
    Header::new(opcode, payload.len()).mask(key).append_with(payload, out);
}

/// Appends a server's Close frame; a reason above 123 bytes is cut at a character.
pub fn append_close(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    append(out, OpCode::Close, &close_payload(code, reason));
}

/// Appends a client's Close frame; a reason above 123 bytes is cut at a character.
pub fn append_close_masked(out: &mut Vec<u8>, code: CloseCode, reason: &str, key: [u8; 4]) {
    append_masked(out, OpCode::Close, &close_payload(code, reason), key);
}

fn close_payload(code: CloseCode, reason: &str) -> Vec<u8> {
    let reason = &reason[..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)];
    [&code.0.to_be_bytes(), reason.as_bytes()].concat()
}
