//! What the server says: acks, errors, system and presence messages. Each function appends one JSON object
//! without white space; which transport carries it is no concern of this module.

use std::time::Duration;

use crate::{Code, Epoch, Object, Position, Reset, Timestamp, VERSION, push_list};

/// What every message of the server begins and ends with.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The id of the request that is answered.
    pub id: Option<&'a str>,
    /// The room that is meant.
    pub room: Option<&'a str>,
    /// The server's clock.
    pub now: Timestamp,
}

impl<'a> Head<'a> {
    /// A message about no room, in answer to nothing.
    pub const fn at(now: Timestamp) -> Self {
        Self { id: None, room: None, now }
    }

    /// A message about a room.
    #[must_use]
    pub const fn in_room(self, room: &'a str) -> Self {
        Self { room: Some(room), ..self }
    }

    /// An answer.
    #[must_use]
    pub const fn to(self, id: Option<&'a str>) -> Self {
        Self { id, ..self }
    }

    fn write(self, kind: &str, out: &mut Vec<u8>, data: impl FnOnce(&mut Object<'_>)) {
        let mut envelope = Object::new(out);
        envelope.text("type", kind).text_if("id", self.id).text_if("room", self.room);
        envelope.with("data", |out| {
            let mut object = Object::new(out);
            data(&mut object);
            object.end();
        });
        envelope.timestamp(self.now).end();
    }

    /// An `ack`; `more` appends what the status carries.
    fn ack(self, status: &str, out: &mut Vec<u8>, more: impl FnOnce(&mut Object<'_>)) {
        self.write("ack", out, |data| more(data.text("status", status)));
    }

    /// A `system` event; `more` appends what the event carries.
    fn system(self, event: &str, out: &mut Vec<u8>, more: impl FnOnce(&mut Object<'_>)) {
        self.write("system", out, |data| more(data.text("event", event)));
    }

    /// Whether a message is told at all: an ack without an id answers nothing.
    pub const fn asked(&self) -> bool {
        self.id.is_some()
    }
}

/// An ack that says no more than its status: `ok`, `left`, `pong`.
pub fn done(head: Head<'_>, status: &str, out: &mut Vec<u8>) {
    head.ack(status, out, |_| {});
}

/// Where a published message stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The life of the log; `None` for a volatile message, which has no position.
    pub position: Option<(Epoch, u64)>,
    /// When the server took it.
    pub timestamp: Timestamp,
    /// Whether it had been taken before under the same id.
    pub duplicate: bool,
}

impl Delivered {
    /// Appends the fields of the ack's `data`.
    pub fn fields(&self, room: &str, data: &mut Object<'_>) {
        data.text("room", room);
        if let Some((epoch, seq)) = &self.position {
            data.number("seq", *seq).text("epoch", epoch.as_str());
        }
        data.timestamp(self.timestamp);
        if self.duplicate {
            data.flag("duplicate", true);
        }
    }

    /// Appends the ack's `data` alone, as HTTP answers it.
    pub fn write(&self, room: &str, out: &mut Vec<u8>) {
        let mut data = Object::new(out);
        self.fields(room, data.text("status", "delivered"));
        data.end();
    }
}

/// The ack of a publish.
pub fn delivered(head: Head<'_>, delivered: &Delivered, out: &mut Vec<u8>) {
    head.ack("delivered", out, |data| delivered.fields(head.room.unwrap_or_default(), data));
}

/// A member as others see it: user, state, number of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: crate::UserId,
    /// The state that was set last, an object.
    pub state: Box<str>,
    /// What the token says of the user, an object.
    pub info: Option<std::sync::Arc<str>>,
    /// Sessions of this user that are members.
    pub connections: u32,
}

impl Member {
    fn fields(&self, data: &mut Object<'_>) {
        data.text("user", &self.user);
        data.raw("state", if self.state.is_empty() { "{}" } else { &self.state });
        data.number("connections", u64::from(self.connections));
        if let Some(info) = &self.info {
            data.raw("info", info);
        }
    }
}

/// Who is in a room: a version, some of the members, the number of all users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// The roster's version; `None` for those who may not read it.
    pub v: Option<u64>,
    /// Members, the longest present first, as far as they are listed.
    pub members: Vec<Member>,
    /// Users in all.
    pub count: u64,
}

impl Members {
    /// Appends the fields `v`, `members`, `count`.
    pub fn fields(&self, data: &mut Object<'_>) {
        if let Some(v) = self.v {
            data.number("v", v);
        }
        data.with("members", |out| {
            push_list(out, &self.members, |out, member| {
                let mut object = Object::new(out);
                member.fields(&mut object);
                object.end();
            });
        });
        data.number("count", self.count);
    }

    /// Appends the three fields as one object, as HTTP answers it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut data = Object::new(out);
        self.fields(&mut data);
        data.end();
    }
}

/// How a join went.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The life of the log.
    pub epoch: Epoch,
    /// The head.
    pub seq: u64,
    /// The seq before the first message this reader gets.
    pub from: u64,
    /// Whether a position was presented and honoured.
    pub recovered: bool,
    /// Why a position was not honoured.
    pub reset: Option<Reset>,
}

/// The ack of a join.
pub fn joined(head: Head<'_>, joined: &Joined, members: &Members, out: &mut Vec<u8>) {
    head.ack("joined", out, |data| {
        data.text("room", head.room.unwrap_or_default()).text("epoch", joined.epoch.as_str());
        data.number("seq", joined.seq).number("from", joined.from).flag("recovered", joined.recovered);
        data.text_if("reset", joined.reset.map(Reset::reason));
        members.fields(data);
    });
}

/// The answer to a history request: messages in ascending order, or why there are none.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// The JSON of each message.
    pub messages: &'a [&'a [u8]],
    /// Whether nothing more is kept in the direction asked for.
    pub complete: bool,
    /// Set when the position was of another life of the log.
    pub reset: Option<Reset>,
}

impl Page<'_> {
    /// Appends the fields `messages`, `complete`, `reset`.
    pub fn fields(&self, data: &mut Object<'_>) {
        data.with("messages", |out| {
            push_list(out, self.messages, |out, message| out.extend_from_slice(message));
        });
        data.flag("complete", self.complete).text_if("reset", self.reset.map(Reset::reason));
    }
}

/// The ack of a history request.
pub fn history(head: Head<'_>, page: &Page<'_>, out: &mut Vec<u8>) {
    head.ack("history", out, |data| page.fields(data));
}

/// The ack of a new token in place.
pub fn authenticated(head: Head<'_>, user: &str, expires_at: Option<u64>, out: &mut Vec<u8>) {
    head.ack("authenticated", out, |data| {
        data.text("user", user);
        if let Some(expires_at) = expires_at {
            data.number("expires_at", expires_at);
        }
    });
}

/// An `error`. `retry_after` goes with the codes that can be retried.
pub fn error(head: Head<'_>, code: Code, message: &str, retry_after: Option<Duration>, out: &mut Vec<u8>) {
    head.write("error", out, |data| problem_fields(data, code, message, retry_after));
}

/// An `error` for a message that has a position, but not the durability asked for.
pub fn not_durable(
    head: Head<'_>,
    message: &str,
    position: &Position,
    retry_after: Duration,
    out: &mut Vec<u8>,
) {
    head.write("error", out, |data| {
        problem_fields(data, Code::NotDurable, message, Some(retry_after));
        position_fields(data, position);
    });
}

/// Appends `seq` and `epoch`.
pub fn position_fields(data: &mut Object<'_>, position: &Position) {
    data.number("seq", position.seq).text("epoch", position.epoch.as_str());
}

/// Appends the fields of an `error`'s data.
pub fn problem_fields(data: &mut Object<'_>, code: Code, message: &str, retry_after: Option<Duration>) {
    data.text("code", code.name()).text("message", message).flag("retryable", code.retryable());
    if let Some(after) = retry_after {
        data.seconds("retry_after", after);
    }
}

/// The first message on every connection. `rooms` are those that a stream reads from its beginning.
pub fn welcome(
    head: Head<'_>,
    (session, user): (&str, &str),
    ping_interval: Duration,
    rooms: &[(&str, &Joined)],
    out: &mut Vec<u8>,
) {
    head.system("welcome", out, |data| {
        data.text("session", session).text("user", user).number("version", u64::from(VERSION));
        data.seconds("ping_interval", ping_interval);
        if !rooms.is_empty() {
            standings(rooms, data);
        }
    });
}

/// Appends `rooms`: where a reader stands in each.
pub fn standings(rooms: &[(&str, &Joined)], data: &mut Object<'_>) {
    data.with("rooms", |out| {
        let mut each = Object::new(out);
        for (room, joined) in rooms {
            each.with(room, |out| {
                let mut standing = Object::new(out);
                standing.text("epoch", joined.epoch.as_str());
                standing.number("seq", joined.seq).number("from", joined.from).end();
            });
        }
        each.end();
    });
}

/// The reader must reload, and goes on from the head.
pub fn reset(head: Head<'_>, reason: Reset, epoch: &Epoch, seq: u64, out: &mut Vec<u8>) {
    head.system("reset", out, |data| {
        data.text_if("room", head.room).text("reason", reason.reason());
        data.text("epoch", epoch.as_str()).number("seq", seq);
    });
}

/// The token ends soon.
pub fn expiring(head: Head<'_>, expires_in: Duration, out: &mut Vec<u8>) {
    head.system("expiring", out, |data| {
        data.seconds("expires_in", expires_in);
    });
}

/// The server is about to close the connection for a restart.
pub fn draining(head: Head<'_>, reconnect_in: Duration, out: &mut Vec<u8>) {
    head.system("draining", out, |data| {
        data.seconds("reconnect_in", reconnect_in);
    });
}

/// Logs can't be reached.
pub fn degraded(head: Head<'_>, out: &mut Vec<u8>) {
    head.system("degraded", out, |_| {});
}

/// They can be again.
pub fn restored(head: Head<'_>, out: &mut Vec<u8>) {
    head.system("restored", out, |_| {});
}

/// The user is no longer in the room, or on the server.
pub fn kicked(head: Head<'_>, reason: &str, out: &mut Vec<u8>) {
    head.system("kicked", out, |data| {
        data.text_if("room", head.room).text("reason", reason);
    });
}

/// A change of who is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A user's first session came.
    Join(Member),
    /// A user's last session went.
    Leave(Member),
    /// A user's state or number of connections changed.
    Update(Member),
    /// The room is too large for names; just the number.
    Count,
}

impl Change {
    const fn event(&self) -> &'static str {
        match self {
            Self::Join(_) => "join",
            Self::Leave(_) => "leave",
            Self::Update(_) => "update",
            Self::Count => "count",
        }
    }
}

/// A `presence` message about one change. `v` is the roster's version after it, `count` the users then.
pub fn presence(head: Head<'_>, change: &Change, v: u64, count: u64, out: &mut Vec<u8>) {
    head.write("presence", out, |data| {
        data.text("event", change.event()).number("v", v);
        if let Change::Join(member) | Change::Leave(member) | Change::Update(member) = change {
            member.fields(data);
        }
        data.number("count", count);
    });
}

/// A `presence` message that replaces all that was known.
pub fn sync(head: Head<'_>, members: &Members, out: &mut Vec<u8>) {
    head.write("presence", out, |data| members.fields(data.text("event", "sync")));
}

/// A `typing` message. `more` appends what the user said with it, as whole fields.
pub fn typing(head: Head<'_>, author: &str, on: bool, more: Option<&crate::Data<'_>>, out: &mut Vec<u8>) {
    let mut envelope = Object::new(out);
    envelope.text("type", "typing").text_if("room", head.room);
    envelope.with("data", |out| {
        match more {
            Some(data) => data.write_without(&["author", "typing"], out),
            None => out.push(b'{'),
        }
        Object::go_on(out).text("author", author).flag("typing", on).end();
    });
    envelope.timestamp(head.now).end();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(Head<'_>, &mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(Head::at(Timestamp(1_000)).in_room("r").to(Some("i")), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn acks_and_errors() {
        let epoch = Epoch::new("e").unwrap();
        let at =
            Delivered { position: Some((epoch.clone(), 7)), timestamp: Timestamp(1_500), duplicate: true };
        assert_eq!(
            written(|head, out| delivered(head, &at, out)),
            r#"{"type":"ack","id":"i","room":"r","data":{"status":"delivered","room":"r","seq":7,"epoch":"e","timestamp":1.500,"duplicate":true},"timestamp":1.000}"#
        );
        let wait = Some(Duration::from_millis(1250));
        assert_eq!(
            written(|head, out| error(head, Code::RateLimited, "slow \"down\"", wait, out)),
            r#"{"type":"error","id":"i","room":"r","data":{"code":"rate_limited","message":"slow \"down\"","retryable":true,"retry_after":1.25},"timestamp":1.000}"#
        );
        let join = Joined { epoch, seq: 9, from: 3, recovered: true, reset: None };
        assert_eq!(
            written(|head, out| joined(head, &join, &Members::default(), out)),
            r#"{"type":"ack","id":"i","room":"r","data":{"status":"joined","room":"r","epoch":"e","seq":9,"from":3,"recovered":true,"members":[],"count":0},"timestamp":1.000}"#
        );
    }

    #[test]
    fn presence_and_typing() {
        let member = Member {
            user: crate::UserId::new("ada").unwrap(),
            state: "".into(),
            info: Some(r#"{"name":"Ada"}"#.into()),
            connections: 2,
        };
        assert_eq!(
            written(|head, out| presence(head.to(None), &Change::Join(member), 5, 1, out)),
            r#"{"type":"presence","room":"r","data":{"event":"join","v":5,"user":"ada","state":{},"connections":2,"info":{"name":"Ada"},"count":1},"timestamp":1.000}"#
        );
        assert_eq!(
            written(|head, out| typing(head, "ada", true, None, out)),
            r#"{"type":"typing","room":"r","data":{"author":"ada","typing":true},"timestamp":1.000}"#
        );
    }
}
