//! What a user may do in which room. Decided from a token's claims or the configured rules, compiled once,
//! and asked at every door. Never fetches or verifies anything.

use std::{fmt, ops::BitOr};

use crate::Pattern;

/// A set of rights in a room.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    /// No right at all.
    pub const NONE: Self = Self(0);
    /// To read the room as it goes on, and to resume.
    pub const JOIN: Self = Self(1);
    /// To publish and to show typing.
    pub const SEND: Self = Self(2);
    /// To read what was said before.
    pub const HISTORY: Self = Self(4);
    /// To read who is there.
    pub const PRESENCE: Self = Self(8);
    /// Every right, written `*`.
    pub const ALL: Self = Self(15);

    const NAMES: [(&'static str, Self); 5] = [
        ("join", Self::JOIN),
        ("send", Self::SEND),
        ("history", Self::HISTORY),
        ("presence", Self::PRESENCE),
        ("*", Self::ALL),
    ];

    /// The right of this name, as tokens and the configuration write it.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, rights)| *rights)
    }

    /// The rights that are not in `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether every right of `wanted` is in this set.
    pub const fn allow(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }
}

impl BitOr for Rights {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let single = Self::NAMES[..4].iter().filter(|(_, right)| self.allow(*right));
        f.debug_set().entries(single.map(|(name, _)| name)).finish()
    }
}

/// Rights per room pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grants {
    /// A token's `rooms` claim: every pattern that matches adds its rights.
    Claims(Vec<(Pattern, Rights)>),
    /// The configuration's rules: the first pattern that matches decides.
    Rules(Vec<(Pattern, Rights)>),
}

impl Grants {
    /// Everything in every room.
    pub fn all() -> Self {
        Self::Rules(vec![(Pattern::new("*").expect("a star is a pattern"), Rights::ALL)])
    }

    /// What may be done in `room`.
    pub fn rights(&self, room: &str) -> Rights {
        match self {
            Self::Claims(grants) => grants
                .iter()
                .filter(|(pattern, _)| pattern.matches(room))
                .fold(Rights::NONE, |sum, (_, rights)| sum | *rights),
            Self::Rules(grants) => grants
                .iter()
                .find(|(pattern, _)| pattern.matches(room))
                .map_or(Rights::NONE, |(_, rights)| *rights),
        }
    }

    /// Whether there is any right in any room.
    pub fn any(&self) -> bool {
        let (Self::Claims(grants) | Self::Rules(grants)) = self;
        grants.iter().any(|(_, rights)| *rights != Rights::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_add_up_and_rules_stop_at_the_first() {
        let list = || {
            vec![
                (Pattern::new("chat:*").unwrap(), Rights::JOIN),
                (Pattern::new("*:1").unwrap(), Rights::SEND),
            ]
        };
        assert_eq!(Grants::Claims(list()).rights("chat:1"), Rights::JOIN | Rights::SEND);
        assert_eq!(Grants::Rules(list()).rights("chat:1"), Rights::JOIN);
        assert_eq!(Grants::Claims(list()).rights("news"), Rights::NONE);
        assert!(Grants::all().rights("news").allow(Rights::ALL));
    }

    #[test]
    fn names() {
        assert_eq!(Rights::named("history"), Some(Rights::HISTORY));
        assert_eq!(Rights::named("write"), None);
        assert!(!Rights::JOIN.allow(Rights::JOIN | Rights::SEND));
    }
}
