//! How rooms behave, by pattern: what is kept, who is told, how writes are spaced. Who may do what is no part
//! of it; that is for `Grants`.

use std::{sync::Arc, time::Duration};

use roomcast_protocol::Pattern;

/// What a room keeps: whichever limit is reached first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Messages, at most.
    pub messages_max: usize,
    /// Bytes of messages, at most.
    pub bytes_max: usize,
    /// Age of a message, at most.
    pub age_max: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { messages_max: 10_000, bytes_max: 4 * 1024 * 1024, age_max: Duration::from_secs(24 * 3600) }
    }
}

/// How a room's presence is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceRule {
    /// How long a lost session stays a member, in case it comes back.
    pub grace: Duration,
    /// How long a session without a socket stays a member without a sign of life.
    pub lease: Duration,
    /// Users above which only their number is told, at most once a second.
    pub roster_max: usize,
}

impl Default for PresenceRule {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10), lease: Duration::from_secs(30), roster_max: 100 }
    }
}

/// What an acked message has survived where the engine has a disk; another engine passes it over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk, whatever happens to process or machine.
    #[default]
    Synced,
    /// It is written, and on the disk a fraction of a second later. A crash begins a new epoch.
    Interval,
    /// It is written, and on the disk when the system likes. A crash begins a new epoch.
    None,
}

/// How rooms of a pattern behave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRule {
    /// The rooms that are meant.
    pub pattern: Pattern,
    /// What is kept.
    pub history: Retention,
    /// What an acked message has survived.
    pub durability: Durability,
    /// How presence is told.
    pub presence: PresenceRule,
    /// How long a socket that was just written waits, so that messages leave together; zero is at once.
    pub coalesce: Duration,
}

impl RoomRule {
    /// The defaults, for rooms of a pattern.
    pub fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            history: Retention::default(),
            durability: Durability::default(),
            presence: PresenceRule::default(),
            coalesce: Duration::ZERO,
        }
    }
}

/// Rules in the order of the configuration; the first that matches decides, and there is always one.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<Arc<RoomRule>>,
    otherwise: Arc<RoomRule>,
}

impl Rules {
    pub(crate) fn new(rules: Vec<RoomRule>) -> Self {
        let everything = Pattern::new("*").expect("a star is a pattern");
        Self {
            rules: rules.into_iter().map(Arc::new).collect(),
            otherwise: Arc::new(RoomRule::new(everything)),
        }
    }

    pub(crate) fn of(&self, room: &str) -> &Arc<RoomRule> {
        self.rules.iter().find(|rule| rule.pattern.matches(room)).unwrap_or(&self.otherwise)
    }
}
