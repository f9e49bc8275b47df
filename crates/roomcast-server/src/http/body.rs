//! The body of a request: whole, bounded in bytes and time, and text.

use std::time::Duration;

use axum::{
    body::{Body, HttpBody as _},
    extract::{FromRequest, Request},
};
use http_body_util::BodyExt as _;
use roomcast_protocol::{Code, Limits, Request as Message, Verb};
use serde_json::value::RawValue;

use super::{Api, problem::Problem};

/// Bytes beyond the limit which are read and dropped, so that whoever still sends comes to hear the answer.
const DROPPED_MAX: usize = 8 * 1024 * 1024;
/// How long a body may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A body that is text.
pub(super) struct Text(pub(super) String);

impl FromRequest<Api> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        let bytes_max = api.app.hub.limits().body_bytes_max;
        let Ok(bytes) = tokio::time::timeout(TIMEOUT, collect(request.into_body(), bytes_max)).await else {
            let message = format!("the body was not whole within {} s", TIMEOUT.as_secs());
            return Err(Problem::bad(message));
        };
        let text = String::from_utf8(bytes?).map_err(|_| Problem::bad("the body is not UTF-8"))?;
        Ok(Self(text))
    }
}

async fn collect(mut body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let expected = body.size_hint().lower().min(bytes_max as u64) as usize;
    let (mut bytes, mut dropped) = (Vec::with_capacity(expected), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::bad(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if dropped == 0 && bytes.len() + data.len() <= bytes_max {
            bytes.extend_from_slice(&data);
        } else {
            dropped += data.len();
        }
        if dropped > DROPPED_MAX {
            break;
        }
    }
    if dropped == 0 {
        return Ok(bytes);
    }
    Err(Problem::new(Code::TooLarge, format!("the body has more than {bytes_max} bytes, which are the most")))
}

/// Reads a body that is the `data` of a request on a socket, `{}` if it is empty, just as a socket would.
pub(super) fn with_verb<T>(
    kind: &str,
    body: &str,
    limits: &Limits,
    act: impl FnOnce(Verb<'_>) -> T,
) -> Result<T, Problem> {
    if body.len() > limits.message_bytes_max {
        return Err(too_large(body.len(), limits));
    }
    // One whole value and nothing after it: what it is put into can't be left.
    let data: &RawValue = match body.trim_ascii() {
        "" => serde_json::from_str("{}"),
        body => serde_json::from_str(body),
    }
    .map_err(|error| Problem::bad(format!("the body is not JSON: {error}")))?;
    let message = format!(r#"{{"type":"{kind}","data":{}}}"#, data.get());
    Ok(act(Message::parse(&message, limits)?.verb))
}

/// The refusal of a message over the limit.
pub(super) fn too_large(bytes: usize, limits: &Limits) -> Problem {
    let message = format!("the message has {bytes} bytes; {} are the most", limits.message_bytes_max);
    Problem::new(Code::TooLarge, message)
}
