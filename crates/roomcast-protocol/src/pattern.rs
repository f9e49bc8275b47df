//! Patterns over room names: `*` matches any run of characters, everything else itself.

use std::fmt;

use crate::name::{InvalidName, check_room};

/// A pattern such as `chat:*`, split once at its stars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The literal runs around the stars: `a*b` is `["a", "b"]`; without a star there is one.
    literals: Box<[Box<str>]>,
}

impl Pattern {
    /// Checks and compiles a pattern: at most 128 bytes of what room names are made of, and `*`.
    pub fn new(pattern: &str) -> Result<Self, InvalidName> {
        check_room(&pattern.replace('*', "x"))?;
        Ok(Self { literals: pattern.split('*').map(Box::from).collect() })
    }

    /// Whether the whole of `room` matches. Time is bounded by the product of the lengths.
    pub fn matches(&self, room: &str) -> bool {
        let [first, middle @ .., last] = &*self.literals else {
            return *self.literals[0] == *room;
        };
        let Some(rest) = room.strip_prefix(&**first) else { return false };
        let Some(mut rest) = rest.strip_suffix(&**last) else { return false };
        // The leftmost place for each literal leaves the most for those after it.
        for literal in middle {
            match rest.find(&**literal) {
                Some(at) => rest = &rest[at + literal.len()..],
                None => return false,
            }
        }
        true
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.literals.join("*"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching() {
        let check = |pattern: &str, room: &str, expected: bool| {
            assert_eq!(Pattern::new(pattern).unwrap().matches(room), expected, "{pattern} {room}");
        };
        check("*", "anything", true);
        check("chat:*", "chat:42", true);
        check("chat:*", "chat:", true);
        check("chat:*", "chats:42", false);
        check("a", "a", true);
        check("a", "ab", false);
        check("a*a", "a", false);
        check("a*a", "aa", true);
        check("*:admin", "x:admin", true);
        check("a*b*c", "a1b2b3c", true);
        check("a*b*c", "a1c2b3", false);
        check("**", "x", true);
    }

    #[test]
    fn bad_patterns() {
        for bad in ["", "a b", "a?", "[a]", &"*".repeat(129), &format!("{}ä", "a".repeat(128))] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
        assert_eq!(Pattern::new("a*b*").unwrap().to_string(), "a*b*");
    }
}
