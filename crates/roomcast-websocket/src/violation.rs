//! What a peer did wrong, with the close code that answers it. It never decides what to do about it.

use std::fmt;

use crate::{CloseCode, OpCode};

/// A breach of RFC 6455, RFC 7692 or a limit: the connection must end with [`Violation::close_code`].
///
/// Its text says what was seen and what was expected, in at most 123 bytes, so it fits a Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A client's frame without a mask (§5.1).
    Unmasked,
    /// A server's frame with a mask (§5.1).
    Masked,
    /// Reserved bits that no negotiated extension gives a meaning (§5.2); RSV1 is 4, RSV2 2, RSV3 1.
    ReservedBits(u8),
    /// An opcode without a meaning (§5.2).
    ReservedOpCode(u8),
    /// A payload length in more bytes than it needs (§5.2).
    LengthNotMinimal(u64),
    /// A control frame without FIN (§5.5).
    FragmentedControl(OpCode),
    /// A control frame above 125 bytes (§5.5).
    OversizedControl(OpCode, u64),
    /// A continuation frame outside a message (§5.4).
    StrayContinuation,
    /// A new message inside an unfinished one (§5.4).
    MissingContinuation(OpCode),
    /// A message whose frames declare more bytes than the limit.
    MessageTooLarge {
        /// What the frames so far declare in all.
        bytes: u64,
        /// The limit.
        max: u32,
    },
    /// A compressed message that inflates beyond the limit.
    InflatedTooLarge {
        /// The limit.
        max: u32,
    },
    /// A message in more frames than the limit.
    TooManyFragments {
        /// The limit.
        max: u32,
    },
    /// Text, or the reason of a Close frame, that isn't UTF-8 (§8.1).
    InvalidUtf8 {
        /// Where in the message the first bad sequence starts.
        offset: usize,
    },
    /// Compressed data that isn't DEFLATE, or ends inside a block (RFC 7692 §7.2.2).
    CorruptDeflate,
    /// A Close frame of one byte (§5.5.1).
    TruncatedCloseCode,
    /// A close code that may not stand on the wire (§7.4).
    InvalidCloseCode(CloseCode),
}

impl Violation {
    /// The code of the Close frame that answers this: 1002, 1007 or 1009.
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::MessageTooLarge { .. } | Self::InflatedTooLarge { .. } | Self::TooManyFragments { .. } => {
                CloseCode::TOO_BIG
            }
            Self::InvalidUtf8 { .. } | Self::CorruptDeflate => CloseCode::INVALID_PAYLOAD,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unmasked => write!(f, "frame without a mask: a client must mask every frame"),
            Self::Masked => write!(f, "masked frame: a server must not mask"),
            Self::ReservedBits(bits) => {
                write!(f, "reserved bits {bits:#05b} are set: no negotiated extension uses them here")
            }
            Self::ReservedOpCode(bits) => write!(f, "reserved opcode {bits:#x}: use 0, 1, 2, 8, 9 or 0xa"),
            Self::LengthNotMinimal(len) => write!(f, "payload length {len} in more bytes than it needs"),
            Self::FragmentedControl(opcode) => {
                write!(f, "{opcode:?} frame without FIN: control frames are whole")
            }
            Self::OversizedControl(opcode, len) => {
                write!(f, "{opcode:?} frame of {len} bytes: a control frame has at most 125")
            }
            Self::StrayContinuation => write!(f, "continuation frame without a message to continue"),
            Self::MissingContinuation(opcode) => {
                write!(f, "{opcode:?} frame inside an unfinished message: a continuation was expected")
            }
            Self::MessageTooLarge { bytes, max } => {
                write!(f, "message of {bytes} bytes or more: at most {max} are taken")
            }
            Self::InflatedTooLarge { max } => {
                write!(f, "compressed message inflates beyond {max} bytes: at most that is taken")
            }
            Self::TooManyFragments { max } => {
                write!(f, "message in more than {max} fragments: send fewer, larger ones")
            }
            Self::InvalidUtf8 { offset } => write!(f, "text is not UTF-8 at byte {offset}"),
            Self::CorruptDeflate => write!(f, "compressed message is not valid DEFLATE (RFC 7692)"),
            Self::TruncatedCloseCode => write!(f, "Close frame of 1 byte: a close code has 2"),
            Self::InvalidCloseCode(code) => {
                write!(f, "close code {code} may not be sent: use 1000-1003, 1007-1014 or 3000-4999")
            }
        }
    }
}

impl std::error::Error for Violation {}
