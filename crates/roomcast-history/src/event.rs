//! What a recorder writes: one event a line, in the order in which things were observed. Judges nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One line of a history. Fields that are not listed here are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ev", rename_all = "snake_case")]
pub enum Event {
    /// A message is about to be sent, or sent again.
    Pub(Pub),
    /// The publisher was told the message's position.
    Ack(Ack),
    /// A reader was told where it goes on.
    Join(Join),
    /// A reader got a logged message.
    Recv(Recv),
    /// A reader was told to reload.
    Reset(Reset),
    /// A reader stopped by itself, having been given time to reach the head.
    End(End),
    /// Something worth reading later, such as a kill of the server. Judged by nobody.
    Note,
}

impl Event {
    /// Reads one line.
    pub fn from_line(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }
}

/// A place in a room's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The life of the log.
    pub epoch: String,
    /// The number in it.
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// A message is about to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pub {
    /// The publisher.
    pub client: String,
    /// Where to.
    pub room: String,
    /// The message's id, which no other message of the room has.
    pub id: String,
    /// What it says, or a digest of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// A publisher was told a position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The publisher.
    pub client: String,
    /// The room.
    pub room: String,
    /// The message's id.
    pub id: String,
    /// Where it stands.
    #[serde(flatten)]
    pub at: Position,
    /// What the room promises about what was acked.
    #[serde(default)]
    pub durability: Durability,
}

/// What an acked message survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Nothing: it is in the memory of one process.
    #[default]
    Memory,
    /// An orderly stop.
    None,
    /// An orderly stop.
    Interval,
    /// The end of the process and a loss of power.
    Synced,
    /// The end of the process: a shared engine has it.
    Engine,
    /// The end of the process: several machines have it.
    Replicated,
}

impl Durability {
    /// Whether what was acked must be there after a crash, in the same epoch.
    pub fn outlives_a_crash(self) -> bool {
        matches!(self, Self::Synced | Self::Engine | Self::Replicated)
    }
}

/// A reader was told where it goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// The reader.
    pub client: String,
    /// The room.
    pub room: String,
    /// The head of the room's log.
    #[serde(flatten)]
    pub head: Position,
    /// The seq before the first message that it will get, in the head's epoch.
    pub from: u64,
    /// The position that it presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Position>,
    /// Whether that position was honoured.
    #[serde(default)]
    pub recovered: bool,
}

/// A reader got a logged message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recv {
    /// The reader.
    pub client: String,
    /// The room.
    pub room: String,
    /// The message's id.
    pub id: String,
    /// Where it stands.
    #[serde(flatten)]
    pub at: Position,
    /// The seq of the message before it, where that is not one less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<u64>,
    /// What it says, in the form in which `pub` recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

impl Recv {
    /// The seq of the message before it.
    pub(crate) fn before(&self) -> u64 {
        self.prev.unwrap_or(self.at.seq.saturating_sub(1))
    }
}

/// A reader was told to reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    /// The reader.
    pub client: String,
    /// The room.
    pub room: String,
    /// The head that it goes on from.
    #[serde(flatten)]
    pub head: Position,
}

/// A reader stopped by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The reader.
    pub client: String,
    /// The room.
    pub room: String,
    /// The head of the room's log, asked for after the last ack.
    #[serde(flatten)]
    pub head: Position,
}
