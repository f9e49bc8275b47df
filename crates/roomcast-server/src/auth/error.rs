//! Why somebody was not let in. Says what to do about it; never holds a token, a key or a part of one.

use std::{error::Error, fmt};

use roomcast_protocol::{Close, Code};

/// Longest reason of a Close frame, in bytes (RFC 6455 section 5.5: 125 less the code).
const REASON_BYTES_MAX: usize = 123;
/// Characters of a value that are shown.
const SHOWN_MAX: usize = 24;

/// Credentials, a session or an origin that were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthError {
    code: Code,
    close: Close,
    message: String,
}

impl AuthError {
    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self { code: Code::Unauthorized, close: Close::Unauthorized, message: message.into() }
    }

    pub(super) fn expired(message: impl Into<String>) -> Self {
        Self { code: Code::TokenExpired, close: Close::TokenExpired, message: message.into() }
    }

    pub(super) fn session(message: impl Into<String>) -> Self {
        Self { code: Code::BadRequest, close: Close::Unauthorized, message: message.into() }
    }

    pub(super) fn origin(message: impl Into<String>) -> Self {
        Self { code: Code::Forbidden, close: Close::Origin, message: message.into() }
    }

    /// The code for HTTP.
    pub fn code(&self) -> Code {
        self.code
    }

    /// How a WebSocket ends.
    pub fn close(&self) -> Close {
        self.close
    }

    /// What happened, the value seen and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The reason of the Close frame: the word and the message, in at most 123 bytes.
    pub fn reason(&self) -> String {
        let mut reason = self.to_string();
        if reason.len() > REASON_BYTES_MAX {
            reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX - '…'.len_utf8()));
            reason.push('…');
        }
        reason
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.close.reason(), self.message)
    }
}

impl Error for AuthError {}

/// A key, an API key or an origin of the configuration that can't be used, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupError(pub(super) String);

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for SetupError {}

/// The first characters of what a peer sent, escaped.
pub(super) fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN_MAX) {
        Some((cut, _)) => format!("{:?}…", &value[..cut]),
        None => format!("{value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_a_close_frame() {
        let error = AuthError::unauthorized("é".repeat(100));
        assert!(error.reason().len() <= REASON_BYTES_MAX);
        assert!(error.reason().starts_with("unauthorized: éé"));
        assert_eq!(AuthError::expired("it ended").reason(), "token_expired: it ended");
    }

    #[test]
    fn what_a_peer_sent_is_cut_and_escaped() {
        assert_eq!(shown("a\r\nb"), r#""a\r\nb""#);
        assert_eq!(shown(&"é".repeat(30)), format!("{:?}…", "é".repeat(24)));
    }
}
