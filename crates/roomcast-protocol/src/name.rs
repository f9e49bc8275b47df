//! Names that travel on the wire: rooms, users, sessions, message ids and types. Each is checked once, here,
//! and a value of one of these types is known to be good.

use std::{borrow::Borrow, fmt, ops::Deref, sync::Arc};

/// Longest room name, in bytes.
const ROOM_BYTES_MAX: usize = 128;
/// Longest message id, in bytes.
pub(crate) const ID_BYTES_MAX: usize = 64;
/// Longest type name, in bytes.
pub(crate) const TYPE_BYTES_MAX: usize = 64;

/// Types with a meaning of their own, in the order of the protocol's text.
const RESERVED: [&str; 13] = [
    "text", "presence", "typing", "system", "error", "ack", "join", "leave", "history", "auth", "ping",
    "message", "open",
];

/// What is wrong with a name, in words for the person who sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidName(String);

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidName {}

/// At most 40 characters of what a peer sent, escaped, for an error text.
pub(crate) fn shown(value: &str) -> String {
    let cut: String = value.chars().take(40).collect();
    let dots = if cut.len() < value.len() { "…" } else { "" };
    format!("{cut:?}{dots}")
}

/// Checks a room name: 1-128 bytes of `[A-Za-z0-9_.:@~=+-]`.
pub fn check_room(name: &str) -> Result<(), InvalidName> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"_.:@~=+-".contains(&b);
    match name.bytes().position(|b| !good(b)) {
        _ if name.is_empty() => Err(InvalidName("a room name is empty; it takes 1-128 characters".into())),
        _ if name.len() > ROOM_BYTES_MAX => Err(InvalidName(format!(
            "the room name {} has {} bytes; the most is {ROOM_BYTES_MAX}",
            shown(name),
            name.len()
        ))),
        Some(at) => Err(InvalidName(format!(
            "the room name {} has a character at byte {at} that is not one of A-Z a-z 0-9 _ . : @ ~ = + -",
            shown(name)
        ))),
        None => Ok(()),
    }
}

/// Checks a message id: 1-64 printable ASCII bytes.
pub fn check_message_id(id: &str) -> Result<(), InvalidName> {
    let printable = id.bytes().all(|b| (b' '..=b'~').contains(&b));
    if printable && (1..=ID_BYTES_MAX).contains(&id.len()) {
        return Ok(());
    }
    Err(InvalidName(format!(
        "the id {} is not 1-{ID_BYTES_MAX} printable ASCII characters ({} bytes were sent)",
        shown(id),
        id.len()
    )))
}

/// Checks a message type: `[a-z][a-z0-9_.-]{0,63}`.
pub fn check_type(name: &str) -> Result<(), InvalidName> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b);
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    if starts && name.len() <= TYPE_BYTES_MAX && name.bytes().all(good) {
        return Ok(());
    }
    Err(InvalidName(format!(
        "the type {} is not a lower-case letter followed by at most 63 of a-z 0-9 _ . -",
        shown(name)
    )))
}

/// Whether `name` is a type with a meaning of its own.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A checked room name. Cheap to clone.
    RoomName
}
name! {
    /// Who a person or a service is, as the token, the configuration or the guest rule says.
    UserId
}
name! {
    /// A checked message id.
    MessageId
}
name! {
    /// A session: 22 characters of base64url, 128 random bits, a secret. Never shown to others, never logged.
    SessionId
}

impl RoomName {
    /// Checks and keeps a room name.
    pub fn new(name: &str) -> Result<Self, InvalidName> {
        check_room(name).map(|()| Self(name.into()))
    }
}

impl MessageId {
    /// Checks and keeps a message id.
    pub fn new(id: &str) -> Result<Self, InvalidName> {
        check_message_id(id).map(|()| Self(id.into()))
    }
}

impl UserId {
    /// Longest user id, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// Checks and keeps a user id: 1-256 bytes without control characters.
    pub fn new(user: &str) -> Result<Self, InvalidName> {
        if (1..=Self::BYTES_MAX).contains(&user.len()) && !user.chars().any(char::is_control) {
            return Ok(Self(user.into()));
        }
        Err(InvalidName(format!(
            "the user id {} is not 1-{} bytes without control characters",
            shown(user),
            Self::BYTES_MAX
        )))
    }
}

impl SessionId {
    /// Checks and keeps a session as a client presents it.
    pub fn new(session: &str) -> Result<Self, InvalidName> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if session.len() == 22 && session.bytes().all(good) {
            return Ok(Self(session.into()));
        }
        Err(InvalidName(format!(
            "the session is not 22 characters of base64url (128 random bits); {} bytes were sent",
            session.len()
        )))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

macro_rules! shown_in_debug {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&**self, f)
            }
        }
    )*};
}
shown_in_debug!(RoomName, UserId, MessageId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms() {
        for good in ["a", "chat:42", "A.b_c:@~=+-9", &"x".repeat(128)] {
            assert_eq!(check_room(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a/b", "ä", "a\0", "*", "a\r\n", &"x".repeat(129)] {
            assert!(check_room(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn types_and_ids() {
        for good in ["text", "a", "cursor.move_2-x"] {
            assert_eq!(check_type(good), Ok(()), "{good}");
        }
        for bad in ["", "Text", "1a", "a b", &"a".repeat(65)] {
            assert!(check_type(bad).is_err(), "{bad}");
        }
        assert!(check_message_id("m 1~").is_ok());
        for bad in ["", "é", "a\n", &"i".repeat(65)] {
            assert!(check_message_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sessions_are_never_shown() {
        let session = SessionId::new("abcdefghijklmnopqrstuv").unwrap();
        assert_eq!(format!("{session:?}"), "SessionId(…)");
        assert!(!SessionId::new("secret").unwrap_err().to_string().contains("secret"));
    }
}
