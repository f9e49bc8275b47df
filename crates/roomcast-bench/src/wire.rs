//! What a bench client says and how it reads the answers: envelopes of `roomcast.v1` as text, no sockets.
//!
//! The load generator shares its cores with the server it measures, so deliveries and acks are read by
//! looking for three fields; everything rarer is parsed as JSON.

use memchr::memmem::Finder;
use serde_json::Value;

use crate::error::Error;

/// Bytes of a message's id: 8 hex digits that name the worker, 8 that count its messages.
pub(crate) const ID_BYTES: usize = 16;

/// What stands before the id in everything that is published; the floor server counts on it.
pub(crate) const BEFORE_ID: &str = r#"{"type":"text","id":""#;

/// The id of a join, and of nothing else.
const JOIN_ID: &str = "join";

/// The smallest `data` object: `{"text":""}`.
pub(crate) const DATA_BYTES_MIN: usize = r#"{"text":""}"#.len();

/// The ids of one worker's messages: a random half, so that no two runs share one, and a counter.
#[derive(Debug)]
pub(crate) struct Ids {
    nonce: [u8; 8],
}

impl Ids {
    pub(crate) fn new() -> Result<Self, Error> {
        let nonce = getrandom::u32().map_err(Error::Random)?;
        let mut hex = [0; 8];
        write_hex(&mut hex, nonce);
        Ok(Self { nonce: hex })
    }

    /// The random half, to name rooms by.
    pub(crate) fn nonce(&self) -> &str {
        str::from_utf8(&self.nonce).unwrap_or_default()
    }

    fn id(&self, number: u32) -> [u8; ID_BYTES] {
        let mut id = [0; ID_BYTES];
        let (nonce, counter) = id.split_at_mut(8);
        nonce.copy_from_slice(&self.nonce);
        write_hex(counter, number);
        id
    }

    /// The number in an id that stands at the start of `text`, if it is one of these.
    fn number(&self, text: &[u8]) -> Option<u32> {
        let counter = text.strip_prefix(&self.nonce)?.first_chunk::<8>()?;
        counter.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
    }
}

fn write_hex(out: &mut [u8], number: u32) {
    for (digit, shift) in out.iter_mut().zip((0..8).rev()) {
        *digit = b"0123456789abcdef"[(number >> (4 * shift) & 0xF) as usize];
    }
}

/// The `data` of every message: an object of exactly `bytes` bytes.
pub(crate) fn data(bytes: usize) -> String {
    format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes.saturating_sub(DATA_BYTES_MIN)))
}

/// How many bytes a server writes to each reader for one message, without the WebSocket header:
/// for the floor, whose frames are to be as large.
pub(crate) fn delivery_bytes(data_bytes: usize, room: &str) -> usize {
    let envelope = r#"{"type":"text","id":"","room":"","seq":12345,"data":,"timestamp":1711000000.123}"#;
    let author = r#","author":"guest_abcdefghij""#;
    envelope.len() + ID_BYTES + room.len() + data_bytes + author.len()
}

/// A `join`.
pub(crate) fn join(room: &str, presence: bool) -> String {
    format!(r#"{{"type":"join","id":"{JOIN_ID}","room":"{room}","data":{{"presence":{presence}}}}}"#)
}

/// Reads what a server sends, and writes what is published, for one worker.
#[derive(Debug)]
pub(crate) struct Wire {
    ids: Ids,
    data: String,
    kind: Finder<'static>,
    id: Finder<'static>,
    seq: Finder<'static>,
    prev: Finder<'static>,
}

/// What a server's envelope means to the bench.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// Message `number` of this worker, as every reader gets it.
    Delivery { number: u32, seq: u64, prev: u64 },
    /// Message `number` is in the log.
    Ack { number: u32, seq: u64 },
    /// The first word on a connection.
    Welcome,
    /// In the room: `head` is the log's end, `from` the seq before this reader's first message.
    Joined { from: u64 },
    /// A request was refused. `number` is missing where it wasn't a publish of ours.
    Refused { number: Option<u32>, code: String, message: String },
    /// The reader is told to reload and goes on after `seq`.
    Reset { seq: u64, reason: String },
    /// `draining`, `kicked`, `degraded` and so on: a run that sees one isn't a clean measurement.
    Notice(String),
    /// Presence, typing and everything a later version may add.
    Other,
}

impl Wire {
    /// For messages with `data_bytes` of `data`.
    pub(crate) fn new(data_bytes: usize) -> Result<Self, Error> {
        Ok(Self {
            ids: Ids::new()?,
            data: data(data_bytes),
            kind: Finder::new(r#""type":""#),
            id: Finder::new(r#""id":""#),
            seq: Finder::new(r#""seq":"#),
            prev: Finder::new(r#""prev":"#),
        })
    }

    /// What this worker's rooms are told from others' by.
    pub(crate) fn nonce(&self) -> &str {
        self.ids.nonce()
    }

    /// Writes the envelope of message `number` to `out`, which is cleared before.
    pub(crate) fn write_publish(&self, out: &mut Vec<u8>, number: u32, room: &str) {
        out.clear();
        out.extend_from_slice(BEFORE_ID.as_bytes());
        out.extend_from_slice(&self.ids.id(number));
        for part in [r#"","room":""#, room, r#"","data":"#, &self.data, "}"] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// What `text` means.
    #[inline]
    pub(crate) fn read(&self, text: &str) -> Envelope {
        self.read_hot(text.as_bytes()).unwrap_or_else(|| self.read_rare(text))
    }

    /// A delivery or an ack of this worker's own messages.
    #[inline]
    fn read_hot(&self, text: &[u8]) -> Option<Envelope> {
        let kind = after(&self.kind, text)?;
        let number = self.ids.number(after(&self.id, text)?)?;
        let seq = leading_number(after(&self.seq, text)?)?;
        if kind.starts_with(b"text\"") {
            let prev = after(&self.prev, text).and_then(leading_number);
            Some(Envelope::Delivery { number, seq, prev: prev.unwrap_or(seq.saturating_sub(1)) })
        } else if kind.starts_with(b"ack\"") {
            Some(Envelope::Ack { number, seq })
        } else {
            None
        }
    }

    fn read_rare(&self, text: &str) -> Envelope {
        let Ok(envelope) = serde_json::from_str::<Value>(text) else {
            return Envelope::Notice("sent text that isn't JSON".into());
        };
        let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (data, id) = (&envelope["data"], string(&envelope["id"]));
        match envelope["type"].as_str().unwrap_or_default() {
            "error" => Envelope::Refused {
                number: self.ids.number(id.as_bytes()),
                code: string(&data["code"]),
                message: string(&data["message"]),
            },
            "ack" if id == JOIN_ID => joined(data),
            "system" => system(data),
            _ => Envelope::Other,
        }
    }
}

fn joined(data: &Value) -> Envelope {
    match data["from"].as_u64().or(data["seq"].as_u64()) {
        Some(from) => Envelope::Joined { from },
        None => Envelope::Notice("acked a join without `from` or `seq`".into()),
    }
}

fn system(data: &Value) -> Envelope {
    match data["event"].as_str().unwrap_or_default() {
        "welcome" => Envelope::Welcome,
        "reset" => Envelope::Reset {
            seq: data["seq"].as_u64().unwrap_or_default(),
            reason: data["reason"].as_str().unwrap_or_default().to_owned(),
        },
        event => Envelope::Notice(format!("system {event}")),
    }
}

/// What follows the first occurrence of a field.
#[inline]
fn after<'a>(field: &Finder<'_>, text: &'a [u8]) -> Option<&'a [u8]> {
    field.find(text).map(|at| &text[at + field.needle().len()..])
}

/// The whole number that `text` starts with.
#[inline]
fn leading_number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count().min(19);
    let value = |number, digit: &u8| number * 10 + u64::from(digit - b'0');
    (digits > 0).then(|| text[..digits].iter().fold(0, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> Wire {
        Wire { ids: Ids { nonce: *b"0badcafe" }, ..Wire::new(32).unwrap() }
    }

    #[track_caller]
    fn check(text: &str, expected: &Envelope) {
        assert_eq!(&wire().read(text), expected, "{text}");
    }

    #[test]
    fn a_published_message_is_valid_json_of_the_size_asked_for() {
        let mut out = Vec::new();
        wire().write_publish(&mut out, 0xBEEF, "bench:1:2");
        let envelope: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(envelope["id"], "0badcafe0000beef");
        assert_eq!(envelope["room"], "bench:1:2");
        assert_eq!(envelope["data"].to_string().len(), 32);
        assert!(out.starts_with(BEFORE_ID.as_bytes()));
        assert_eq!(&out[BEFORE_ID.len()..][..ID_BYTES], b"0badcafe0000beef");
    }

    #[test]
    fn deliveries_and_acks_are_read_in_any_order_of_fields() {
        let delivery = |prev| Envelope::Delivery { number: 10, seq: 42, prev };
        check(r#"{"type":"text","id":"0badcafe0000000a","room":"r","seq":42,"data":{}}"#, &delivery(41));
        check(r#"{"seq":42,"prev":40,"data":{},"id":"0badcafe0000000a","type":"text"}"#, &delivery(40));
        let ack = Envelope::Ack { number: 10, seq: 42 };
        check(
            r#"{"type":"ack","id":"0badcafe0000000a","data":{"status":"delivered","room":"r","seq":42}}"#,
            &ack,
        );
    }

    #[test]
    fn everything_else_has_a_meaning_too() {
        check(r#"{"type":"system","data":{"event":"welcome","session":"s"}}"#, &Envelope::Welcome);
        let joined = r#"{"type":"ack","id":"join","data":{"status":"joined","seq":9,"from":7,"members":[]}}"#;
        check(joined, &Envelope::Joined { from: 7 });
        let refused =
            |number| Envelope::Refused { number, code: "rate_limited".into(), message: "slow down".into() };
        check(
            r#"{"type":"error","id":"0badcafe00000001","data":{"code":"rate_limited","message":"slow down"}}"#,
            &refused(Some(1)),
        );
        check(r#"{"type":"error","data":{"code":"rate_limited","message":"slow down"}}"#, &refused(None));
        check(
            r#"{"type":"system","room":"r","data":{"event":"reset","reason":"too_old","epoch":"e","seq":5}}"#,
            &Envelope::Reset { seq: 5, reason: "too_old".into() },
        );
        check(
            r#"{"type":"system","data":{"event":"draining"}}"#,
            &Envelope::Notice("system draining".into()),
        );
        check(r#"{"type":"presence","data":{"event":"join","v":3}}"#, &Envelope::Other);
        check(
            r#"{"type":"text","id":"0badcafe00000001""#,
            &Envelope::Notice("sent text that isn't JSON".into()),
        );
    }

    #[test]
    fn the_delivery_size_is_that_of_a_real_envelope() {
        let data = r#"{"text":"hi","author":"guest_abcdefghij"}"#;
        let real = format!(
            r#"{{"type":"text","id":"0badcafe00000001","room":"bench:x","seq":12345,"data":{data},"timestamp":1711000000.123}}"#
        );
        assert_eq!(delivery_bytes(r#"{"text":"hi"}"#.len(), "bench:x"), real.len());
    }
}
