//! What the server answers, read; and what a socket would have said, written.

use std::collections::BTreeMap;

use roomcast_protocol::{Object, RoomName};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::requests::Reply;
use crate::client::comeback::Loss;

/// Close codes by which a client comes back later, and by which a word decides.
const INTERNAL: u16 = 1011;
const OVERLOADED: u16 = 1013;
const REFUSED: u16 = 1008;

/// Bytes of what can't be read that are shown.
const SHOWN_BYTES_MAX: usize = 200;

/// Where a reader of a room stands.
#[derive(Debug, Deserialize)]
pub(super) struct Standing {
    pub(super) epoch: String,
    pub(super) from: u64,
}

/// What a poll answers.
#[derive(Deserialize)]
pub(super) struct Polled<'a> {
    #[serde(borrow)]
    pub(super) messages: Vec<&'a RawValue>,
    pub(super) position: String,
    #[serde(borrow)]
    pub(super) resets: Vec<&'a RawValue>,
    pub(super) user: Option<String>,
    pub(super) rooms: BTreeMap<String, Standing>,
    #[serde(borrow)]
    pub(super) presence: Option<&'a RawValue>,
}

/// A refusal.
#[derive(Deserialize)]
pub(super) struct Problem {
    pub(super) code: String,
    /// In problem details it is `detail`, in an `error` `message`.
    #[serde(alias = "detail")]
    message: String,
    #[serde(default)]
    pub(super) retryable: bool,
    retry_after: Option<f64>,
    pub(super) room: Option<String>,
}

impl Problem {
    /// Whatever else answers in this server's place says no problem that can be read.
    pub(super) fn read(Reply { status, body }: &Reply) -> Result<Self, String> {
        serde_json::from_str(body)
            .map_err(|_| format!("the server answered {status}, and not as Roomcast does"))
    }

    /// What happened.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// What it means to the connection as a whole: the close that a socket would have got.
    pub(super) fn as_loss(&self) -> Loss {
        let code = match &*self.code {
            "internal" => INTERNAL,
            _ if self.retryable => OVERLOADED,
            _ => REFUSED,
        };
        Loss::Closed(code, format!("{}: {}", self.code, self.message))
    }

    /// The `data` of an `error`.
    pub(super) fn as_error(&self) -> String {
        written(|data| {
            data.text("code", &self.code).text("message", &self.message).flag("retryable", self.retryable);
            if let Some(seconds) = self.retry_after {
                data.raw("retry_after", &seconds.to_string());
            }
        })
    }
}

/// As much of an answer as a person may want to see.
pub(super) fn beginning(body: &str) -> &str {
    &body[..body.floor_char_boundary(SHOWN_BYTES_MAX)]
}

/// An `ack` with this `data`.
pub(super) fn ack(room: &RoomName, id: &str, data: &str) -> String {
    answer("ack", (room, id), data)
}

/// An `error` with this `data`.
pub(super) fn error(room: &RoomName, id: &str, data: &str) -> String {
    answer("error", (room, id), data)
}

/// One of several answers, which says itself what it is.
pub(super) fn element(room: &RoomName, id: &str, data: &RawValue) -> String {
    #[derive(Deserialize)]
    struct Status {
        status: String,
    }
    let is_error =
        serde_json::from_str::<Status>(data.get()).is_ok_and(|Status { status }| status == "error");
    answer(if is_error { "error" } else { "ack" }, (room, id), data.get())
}

/// Whether one of several answers is a refusal that may pass.
pub(super) fn is_for_now(data: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(default)]
        retryable: bool,
    }
    serde_json::from_str(data.get()).is_ok_and(|Refusal { retryable }| retryable)
}

fn answer(kind: &str, (room, id): (&RoomName, &str), data: &str) -> String {
    written(|answer| {
        answer.text("type", kind).text("id", id).text("room", room).raw("data", data);
    })
}

/// The `data` of a join's ack.
pub(super) fn joined(Standing { epoch, from }: &Standing, since: Option<&str>) -> String {
    let recovered = since.is_some_and(|since| since == format!("{epoch}.{from}"));
    written(|data| {
        data.text("epoch", epoch).number("from", *from).flag("recovered", recovered);
        if since.is_some() && !recovered {
            // It follows, and says why.
            data.text("reset", "");
        }
    })
}

/// A `system` event with these fields.
pub(super) fn system(event: &str, room: Option<&str>, fields: impl FnOnce(&mut Object<'_>)) -> String {
    let data = written(|data| {
        data.text("event", event);
        fields(data);
    });
    about("system", room, &data)
}

/// A message of a type, about a room.
pub(super) fn about(kind: &str, room: Option<&str>, data: &str) -> String {
    written(|message| {
        message.text("type", kind).text_if("room", room).raw("data", data);
    })
}

fn written(fields: impl FnOnce(&mut Object<'_>)) -> String {
    let mut out = Vec::with_capacity(128);
    let mut object = Object::new(&mut out);
    fields(&mut object);
    object.end();
    String::from_utf8(out).expect("JSON written from text is text")
}
