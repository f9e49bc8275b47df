//! How events look: for people a line that says when, who and what, for programs the message as it came. What is
//! missing is told on standard error, so that it never passes for a message.

use anstyle::{AnsiColor, Style};
use roomcast_client::{Change, Event, Message, Presence, Raw, Timestamp, Typing};
use serde_json::{Map, Value};

use crate::{console, failure::Failure};

const NAME: Style = AnsiColor::Cyan.on_default();
const DIM: Style = Style::new().dimmed();

/// What is shown, and how.
pub(super) struct Show {
    /// As JSON.
    pub(super) json: bool,
    /// Presence and typing too.
    pub(super) presence: bool,
    /// With the room's name in front.
    pub(super) named: bool,
}

impl Show {
    /// Prints an event, if it is to be seen.
    pub(super) fn event(&self, room: &str, event: &Event<Raw>) -> Result<(), Failure> {
        if let Event::Gap { reason, position } = event {
            let why = why_missing(reason);
            anstream::eprintln!("{room}: messages are missing before {position}, since {why}; load anew");
        }
        match if self.json { self.as_json(event) } else { self.as_text(event) } {
            Some(line) if self.named && !self.json => {
                console::line(format_args!("{DIM}[{room}]{DIM:#} {line}"))
            }
            Some(line) => console::line(line),
            None => Ok(()),
        }
    }

    fn as_text(&self, event: &Event<Raw>) -> Option<String> {
        match event {
            Event::Message(message) => Some(message_text(message)),
            Event::Presence(presence) if self.presence => presence_text(presence).map(|text| dim(&text)),
            Event::Typing(Typing { author, typing: true, .. }) if self.presence => {
                Some(dim(&format!("{} is typing", printable(author))))
            }
            _ => None,
        }
    }

    fn as_json(&self, event: &Event<Raw>) -> Option<String> {
        match event {
            Event::Message(Message { envelope, .. }) => Some(envelope.to_string()),
            Event::Presence(Presence { envelope, .. }) | Event::Typing(Typing { envelope, .. })
                if self.presence =>
            {
                Some(envelope.to_string())
            }
            _ => None,
        }
    }
}

fn why_missing(reason: &str) -> &str {
    match reason {
        "epoch" => "the room's log began anew",
        "too_old" => "the server no longer keeps them",
        "future" => "the position was above the newest message",
        other => other,
    }
}

fn dim(text: &str) -> String {
    format!("{DIM}{text}{DIM:#}")
}

/// `12:34:56 ada: Hello`, or for other types `12:34:56 ada order.paid {"id":7}`.
fn message_text(message: &Message<Raw>) -> String {
    let author = printable(message.author.as_deref().unwrap_or("(nobody)"));
    let mut data: Map<String, Value> = message.body.read().unwrap_or_default();
    data.remove("author");
    let said = match (message.body.kind.as_str(), data.get("content").and_then(Value::as_str)) {
        ("text", Some(content)) if data.len() == 1 => format!(": {}", printable(content)),
        (kind, _) => printable(&format!(" {kind} {}", Value::Object(data))),
    };
    format!("{} {NAME}{author}{NAME:#}{said}", dim(&time_of_day(message.timestamp)))
}

/// In UTC.
fn time_of_day(timestamp: Timestamp) -> String {
    let seconds = timestamp.0 / 1_000;
    format!("{:02}:{:02}:{:02}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

/// What others say must not steer this terminal.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn presence_text(presence: &Presence) -> Option<String> {
    let count = presence.count;
    match &presence.change {
        Change::Join(member) => Some(format!("{} came, {count} here", member.user)),
        Change::Leave(member) => Some(format!("{} went, {count} here", member.user)),
        Change::Sync { members } if !members.is_empty() => {
            let users: Vec<_> = members.iter().map(|member| member.user.as_str()).collect();
            Some(format!("{count} here: {}", users.join(", ")))
        }
        Change::Sync { .. } | Change::Count => Some(format!("{count} here")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_others_say_steers_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\u{9b}31m\u{7f}"), "a [2Jb  31m ");
    }

    #[test]
    fn times_are_of_the_day() {
        assert_eq!(time_of_day(Timestamp(1_711_000_000_123)), "05:46:40");
    }
}
