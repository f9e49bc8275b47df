//! The small vocabulary of RFC 6455: opcodes, close codes, and which end of the connection one is.
//! It never looks at a payload.

use std::fmt;

/// Which end of the connection the codec stands for. Clients mask what they send, servers never do (§5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepts connections, reads masked frames, writes plain ones.
    Server,
    /// Opens connections, reads plain frames, writes masked ones.
    Client,
}

/// What a frame carries (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OpCode {
    /// The next fragment of a message.
    Continuation = 0x0,
    /// A message of UTF-8 text, or its first fragment.
    Text = 0x1,
    /// A message of bytes, or its first fragment.
    Binary = 0x2,
    /// The end of the connection, with a code and a reason.
    Close = 0x8,
    /// Asks for a pong with the same payload.
    Ping = 0x9,
    /// Answers a ping, or says unasked that the sender is alive.
    Pong = 0xA,
}

impl OpCode {
    /// The opcode with these four bits, `None` for a reserved one.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    /// Whether this is a control frame: at most 125 bytes, never fragmented, allowed between fragments (§5.5).
    pub const fn is_control(self) -> bool {
        self as u8 >= 0x8
    }
}

/// A close code (RFC 6455 §7.4), in two bytes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server shuts down, or the page was left.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the framing rules.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of message that this end can't take.
    pub const UNSUPPORTED: Self = Self(1003);
    /// Bytes that don't fit their kind, such as text that isn't UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The peer broke a rule of the application.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// A message above the limit.
    pub const TOO_BIG: Self = Self(1009);
    /// The client misses an extension that it needs.
    pub const EXTENSION_REQUIRED: Self = Self(1010);
    /// The server failed.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The server restarts: come back.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// The server is overloaded: come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// A gateway got a bad answer from behind.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Whether the code may stand in a Close frame: 1000-1003, 1007-1014 (the IANA registry), 3000-4999.
    /// 1005, 1006 and 1015 are for reporting only; the rest is unassigned.
    pub const fn is_allowed_on_wire(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
