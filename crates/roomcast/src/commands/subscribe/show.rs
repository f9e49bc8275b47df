//! How events look: for people a line that says who and what, for programs the message as it came.

use anstyle::{AnsiColor, Style};
use roomcast_client::{Change, Event, Message, Position, Presence, Typing};
use serde_json::{Map, Value, json};

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
    pub(super) fn event(&self, room: &str, event: &Event) -> Result<(), Failure> {
        let line = if self.json { self.as_json(room, event) } else { self.as_text(event) };
        match line {
            Some(line) if self.named && !self.json => {
                console::line(format_args!("{DIM}[{room}]{DIM:#} {line}"))
            }
            Some(line) => console::line(line),
            None => Ok(()),
        }
    }

    fn as_text(&self, event: &Event) -> Option<String> {
        match event {
            Event::Message(message) => Some(message_text(message)),
            Event::Gap { reason, .. } => {
                Some(dim(&format!("messages are missing here ({reason}): load anew")))
            }
            Event::Presence(presence) if self.presence => presence_text(presence).map(|text| dim(&text)),
            Event::Typing(Typing { author, typing: true, .. }) if self.presence => {
                Some(dim(&format!("{author} is typing")))
            }
            _ => None,
        }
    }

    fn as_json(&self, room: &str, event: &Event) -> Option<String> {
        match event {
            Event::Message(message) => Some(message.envelope.to_string()),
            Event::Gap { reason, position } => Some(gap_json(room, reason, position)),
            Event::Presence(presence) if self.presence => {
                Some(json!({ "type": "presence", "room": room, "data": presence_data(presence) }).to_string())
            }
            Event::Typing(Typing { author, typing, .. }) if self.presence => {
                let data = json!({ "author": author, "typing": typing });
                Some(json!({ "type": "typing", "room": room, "data": data }).to_string())
            }
            _ => None,
        }
    }
}

fn dim(text: &str) -> String {
    format!("{DIM}{text}{DIM:#}")
}

/// `ada: Hello`, or for other types `ada order.paid {"id":7}`.
fn message_text(message: &Message) -> String {
    let author = message.author.as_deref().unwrap_or("(nobody)");
    let mut data: Map<String, Value> = message.data().unwrap_or_default();
    data.remove("author");
    match (message.kind.as_str(), data.get("content").and_then(Value::as_str)) {
        ("text", Some(content)) if data.len() == 1 => {
            format!("{NAME}{author}{NAME:#}: {}", printable(content))
        }
        (kind, _) => format!("{NAME}{author}{NAME:#} {kind} {}", Value::Object(data)),
    }
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
        Change::Update(_) | Change::Other => None,
    }
}

fn gap_json(room: &str, reason: &str, position: &Position) -> String {
    let data = json!({
        "event": "reset", "reason": reason, "epoch": position.epoch.as_str(), "seq": position.seq,
    });
    json!({ "type": "system", "room": room, "data": data }).to_string()
}

fn presence_data(presence: &Presence) -> Value {
    let mut data = match &presence.change {
        Change::Join(member) => json!({ "event": "join", "user": member.user, "state": member.state }),
        Change::Leave(member) => json!({ "event": "leave", "user": member.user }),
        Change::Update(member) => json!({ "event": "update", "user": member.user, "state": member.state }),
        Change::Sync { members } => {
            let users: Vec<_> = members.iter().map(|member| member.user.as_str()).collect();
            json!({ "event": "sync", "users": users })
        }
        Change::Count | Change::Other => json!({ "event": "count" }),
    };
    data["v"] = presence.v.into();
    data["count"] = presence.count.into();
    data
}
