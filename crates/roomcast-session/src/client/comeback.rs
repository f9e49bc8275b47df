//! How connections end, and whether a client comes back after that (section 3 of the protocol).

use std::fmt;

use roomcast_protocol::Close;

/// How a connection ended, as its driver saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// It could not be opened, or ended without a Close frame (what a browser calls 1006), and why.
    Broken(String),
    /// The server closed it, with a code (1005 where it gave none) and a reason.
    Closed(u16, String),
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(cause) => f.write_str(cause),
            Self::Closed(code, reason) if reason.is_empty() => {
                write!(f, "the server closed the connection with {code}")
            }
            Self::Closed(code, reason) => {
                write!(f, "the server closed the connection with {code} ({reason})")
            }
        }
    }
}

impl Loss {
    /// The close code, if there was one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Broken(_) => None,
            Self::Closed(code, _) => Some(*code),
        }
    }
}

/// Whether, and how, to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comeback {
    /// After the backoff, or when the server said.
    Later,
    /// With a fresh token.
    WithToken,
    /// With a fresh token, but only once.
    OnceWithToken,
    /// Not by itself.
    Never,
}

impl Comeback {
    /// What a loss means.
    pub fn after(loss: &Loss) -> Self {
        match loss {
            Loss::Broken(_) => Self::Later,
            Loss::Closed(code, reason) => named(*code, reason).map_or(Self::Never, Self::after_close),
        }
    }

    fn after_close(close: Close) -> Self {
        match close {
            Close::Away
            | Close::Internal
            | Close::Restart
            | Close::Overloaded
            | Close::TooSlow
            | Close::RateLimited => Self::Later,
            Close::TokenExpired => Self::WithToken,
            Close::Unauthorized => Self::OnceWithToken,
            Close::Normal
            | Close::Protocol
            | Close::Binary
            | Close::Utf8
            | Close::Forbidden
            | Close::Origin
            | Close::Kicked
            | Close::InvalidRoom
            | Close::TooLarge
            | Close::TakenOver => Self::Never,
        }
    }
}

/// The close that a code means; several share 1008 and are told apart by the word their reason starts with.
fn named(code: u16, reason: &str) -> Option<Close> {
    let word = reason.split(':').next().unwrap_or_default();
    let mut closes = Close::ALL.iter().copied().filter(|close| close.number() == code);
    if code == Close::Forbidden.number() {
        return closes.find(|close| close.reason() == word);
    }
    closes.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: u16, reason: &str, expected: Comeback) {
        assert_eq!(Comeback::after(&Loss::Closed(code, reason.into())), expected, "{code} {reason}");
    }

    #[test]
    fn as_the_protocol_says() {
        assert_eq!(Comeback::after(&Loss::Broken("reset".into())), Comeback::Later);
        for code in [1001, 1011, 1012, 1013, 4008] {
            check(code, "", Comeback::Later);
        }
        check(1008, "rate_limited: slow down", Comeback::Later);
        check(1008, "token_expired: fetch another", Comeback::WithToken);
        check(1008, "unauthorized: no token", Comeback::OnceWithToken);
        for reason in ["forbidden: no", "origin: no", "kicked: bye", "invalid_room: a b", "", "new: thing"] {
            check(1008, reason, Comeback::Never);
        }
        for code in [1000, 1002, 1003, 1005, 1007, 1009, 4009, 4999] {
            check(code, "", Comeback::Never);
        }
    }
}
