//! What can be broken, and what was. Decides nothing.

use serde::Serialize;

/// A promise that a history can show broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "&'static str")]
pub enum Rule {
    /// (epoch, seq) names one message, for everybody.
    OneMessage,
    /// A message has one position in an epoch.
    OnePosition,
    /// A message says what its publisher said.
    Content,
    /// What is delivered or acked was sent.
    Sent,
    /// A reader misses nothing without being told.
    Gap,
    /// A reader gets nothing twice.
    Twice,
    /// A reader gets messages in the order of the log.
    Order,
    /// A reader is told when a new life of the log begins.
    Epoch,
    /// A position that was presented is honoured exactly, or a reset follows.
    Resume,
    /// A reader reaches the head.
    Head,
    /// What was acked reaches every reader of its epoch.
    Acked,
    /// What was acked as durable outlives every crash, and so does its epoch.
    Durable,
    /// What was acked before another message was sent stands before it.
    RealTime,
    /// What one publisher sends stands in the order sent.
    PublisherOrder,
    /// The record contradicts itself: a mistake of the recorder, not of the server.
    Record,
}

impl Rule {
    /// Every rule there is.
    pub const ALL: [Self; 15] = [
        Self::OneMessage,
        Self::OnePosition,
        Self::Content,
        Self::Sent,
        Self::Gap,
        Self::Twice,
        Self::Order,
        Self::Epoch,
        Self::Resume,
        Self::Head,
        Self::Acked,
        Self::Durable,
        Self::RealTime,
        Self::PublisherOrder,
        Self::Record,
    ];

    /// The name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneMessage => "one_message",
            Self::OnePosition => "one_position",
            Self::Content => "content",
            Self::Sent => "sent",
            Self::Gap => "gap",
            Self::Twice => "twice",
            Self::Order => "order",
            Self::Epoch => "epoch",
            Self::Resume => "resume",
            Self::Head => "head",
            Self::Acked => "acked",
            Self::Durable => "durable",
            Self::RealTime => "real_time",
            Self::PublisherOrder => "publisher_order",
            Self::Record => "record",
        }
    }
}

impl From<Rule> for &'static str {
    fn from(rule: Rule) -> Self {
        rule.name()
    }
}

/// One broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which one.
    pub rule: Rule,
    /// The line at which it shows.
    pub line: usize,
    /// The earlier line that it contradicts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<usize>,
    /// The room.
    pub room: String,
    /// What happened, with the values seen.
    pub message: String,
}
