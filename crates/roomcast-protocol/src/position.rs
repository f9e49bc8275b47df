//! Positions: where a reader is in a room's log, and their text form. A position from one transport is good
//! on every other.

use std::{fmt, fmt::Write as _, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::name::{RoomName, shown};

/// One unbroken life of a room's log: 1-32 of `[A-Za-z0-9_-]`. Opaque; [`Epoch::NONE`] names none.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// Longest epoch, in bytes.
    pub const BYTES_MAX: usize = 32;
    /// The text that no epoch ever has: the epoch of a position that is due a reset.
    pub const NONE: &'static str = "0";

    /// Checks and keeps an epoch.
    pub fn new(text: &str) -> Result<Self, PositionError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (1..=Self::BYTES_MAX).contains(&text.len()) && text.bytes().all(good) {
            return Ok(Self(text.into()));
        }
        Err(PositionError(format!("the epoch {} is not 1-32 of A-Z a-z 0-9 _ -", shown(text))))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A place in a room's log: just after message `seq` of `epoch`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The life of the log that `seq` counts in.
    pub epoch: Epoch,
    /// The last message that has been seen; 0 before the first.
    pub seq: u64,
}

/// Why a position could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionError(String);

impl fmt::Display for PositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PositionError {}

impl Position {
    /// A position of no log at all: who presents it is told to reload.
    pub fn none() -> Self {
        Self { epoch: Epoch(Epoch::NONE.into()), seq: 0 }
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let Some((epoch, seq)) = text.split_once('.') else {
            return Err(PositionError(format!("the position {} is not epoch.seq", shown(text))));
        };
        let digits = !seq.is_empty() && seq.bytes().all(|b| b.is_ascii_digit());
        match seq.parse() {
            Ok(seq) if digits => Ok(Self { epoch: Epoch::new(epoch)?, seq }),
            _ => Err(PositionError(format!("the seq {} of a position is not a whole number", shown(seq)))),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// What a client presents: one position for whatever room is meant, or one for each of several rooms.
///
/// In JSON it is `{"epoch":…,"seq":…}` or either text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Positions {
    /// `epoch.seq`
    One(Position),
    /// `room=epoch.seq,…`, each name percent-encoded.
    Each(Vec<(RoomName, Position)>),
}

impl Positions {
    /// Reads either text form. Rooms that can't exist are passed over, as unknown rooms are.
    pub fn parse(text: &str, bytes_max: usize) -> Result<Self, PositionError> {
        if text.len() > bytes_max {
            return Err(PositionError(format!(
                "the position has {} bytes; the most is {bytes_max}",
                text.len()
            )));
        }
        if !text.contains('=') {
            return text.parse().map(Self::One);
        }
        let mut each = Vec::new();
        for part in text.split(',') {
            let Some((room, position)) = part.split_once('=') else {
                return Err(PositionError(format!("{} is not room=epoch.seq", shown(part))));
            };
            let position = position.parse()?;
            if let Ok(room) = RoomName::new(&percent_decoded(room)) {
                each.push((room, position));
            }
        }
        Ok(Self::Each(each))
    }

    /// The position that is meant for `room`, if any.
    pub fn of(&self, room: &str) -> Option<&Position> {
        match self {
            Self::One(position) => Some(position),
            Self::Each(each) => each.iter().find(|(name, _)| **name == *room).map(|(_, position)| position),
        }
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = match self {
            Self::One(position) => return write!(f, "{position}"),
            Self::Each(each) => each,
        };
        for (i, (room, position)) in each.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}={position}", percent_encoded(room))?;
        }
        Ok(())
    }
}

/// What a position looks like in JSON.
const JSON_FORMS: &str =
    "a position is {\"epoch\":\"…\",\"seq\":n} or the text \"epoch.seq\", with n a whole number ≥ 0";

impl<'de> Deserialize<'de> for Positions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A list would do for a derived struct, so the two forms are told apart by hand.
        let form = match Value::deserialize(deserializer)? {
            // The size of the whole message bounds the text here.
            Value::String(text) => return Self::parse(&text, usize::MAX).map_err(de::Error::custom),
            Value::Object(form) => form,
            _ => return Err(de::Error::custom(JSON_FORMS)),
        };
        match (form.get("epoch").and_then(Value::as_str), form.get("seq").and_then(Value::as_u64)) {
            (Some(epoch), Some(seq)) => {
                Epoch::new(epoch).map(|epoch| Self::One(Position { epoch, seq })).map_err(de::Error::custom)
            }
            _ => Err(de::Error::custom(JSON_FORMS)),
        }
    }
}

/// Percent-encodes what room names may hold beyond the unreserved characters of RFC 3986.
fn percent_encoded(room: &str) -> String {
    let mut out = String::with_capacity(room.len());
    for b in room.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            write!(out, "%{b:02X}").expect("writing to a string");
        }
    }
    out
}

/// Undoes percent-encoding; what is no valid escape stays as it is and then names no room.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = (*first == b'%').then(|| tail.get(..2)).flatten();
        let byte = escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Why a reader can't go on from where it was and must reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The position is from another life of the log.
    Epoch,
    /// The log no longer holds what came after the position.
    TooOld,
    /// The position is above the head.
    Future,
}

impl Reset {
    /// The reason as the wire says it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::TooOld => "too_old",
            Self::Future => "future",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Positions, PositionError> {
        Positions::parse(text, 16 * 1024)
    }

    #[test]
    fn text_forms() {
        assert_eq!(parse("e-1.42").unwrap().to_string(), "e-1.42");
        let several = parse("chat%3A42=a.1,news=b_.20").unwrap();
        assert_eq!(several.of("chat:42").unwrap().to_string(), "a.1");
        assert_eq!(several.of("news").unwrap().seq, 20);
        assert_eq!(several.of("other"), None);
        assert_eq!(several.to_string(), "chat%3A42=a.1,news=b_.20");
        assert_eq!(parse("a b=x.1").unwrap(), Positions::Each(vec![]));
    }

    #[test]
    fn unreadable() {
        let long = format!("{}.1", "e".repeat(33));
        for bad in
            ["", ".", "e.", ".1", "e.x", "e.-1", "e.+1", "e f.1", "r=e", "e.99999999999999999999", &long]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(Positions::parse("e.1", 2).is_err());
    }

    #[test]
    fn json_forms() {
        let read = |json: &str| serde_json::from_str::<Positions>(json);
        assert_eq!(read(r#"{"epoch":"e","seq":3}"#).unwrap(), read(r#""e.3""#).unwrap());
        for bad in [
            "3",
            r#"["e",3]"#,
            r#"{"epoch":"e"}"#,
            r#"{"epoch":"e","seq":3.5}"#,
            r#"{"epoch":"e","seq":-1}"#,
            r#""nonsense""#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
