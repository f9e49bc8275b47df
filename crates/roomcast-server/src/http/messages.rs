//! `/rooms/{room}/messages`: publishing, one or many, and history.

use std::{borrow::Cow, sync::Arc};

use axum::{extract::State, response::Response};
use http::{HeaderMap, Uri};
use roomcast_hub::{Publication, Publisher, Room};
use roomcast_protocol::{
    Code, History, Limits, Object, Positions, Publish, Request as Message, Rights, RoomName, Verb,
    check_message_id, push_list, server::Delivered,
};
use serde_json::value::RawValue;

use super::{
    Api, IDEMPOTENCY_KEY,
    body::{Text, too_large},
    caller::Caller,
    json,
    path::RoomPath,
    problem::Problem,
};
use crate::query::Query;

/// `POST /rooms/{room}/messages`
pub(super) async fn publish(
    State(api): State<Api>,
    caller: Caller,
    RoomPath(room): RoomPath,
    headers: HeaderMap,
    Text(body): Text,
) -> Result<Response, Problem> {
    caller.need(&room, Rights::SEND)?;
    let key = idempotency_key(&headers)?;
    if body.trim_ascii_start().starts_with('[') {
        return publish_all(&api, &caller, &room, (&body, key)).await;
    }
    let delivered = deliver(&api, &caller, &room, (&body, key.as_deref())).await?;
    Ok(json(|out| delivered.write(&room, out)))
}

/// An array: each is answered in its place.
async fn publish_all(
    api: &Api,
    caller: &Caller,
    room: &RoomName,
    (body, key): (&str, Option<String>),
) -> Result<Response, Problem> {
    if key.is_some() {
        return Err(Problem::bad("Idempotency-Key names one message; in an array give each its own \"id\""));
    }
    let messages: Vec<&RawValue> = serde_json::from_str(body)
        .map_err(|error| Problem::bad(format!("the body is no array of messages: {error}")))?;
    check_batch(messages.len(), "messages", api.app.hub.limits())?;
    let mut answers = Vec::with_capacity(messages.len());
    let mut stopped = None;
    for message in messages {
        // What comes after a message that is to be sent again must come after it then, too.
        let outcome = match &stopped {
            Some(problem) => Err(Problem::clone(problem)),
            None => deliver(api, caller, room, (message.get(), None)).await,
        };
        if let Err(problem) = &outcome
            && problem.code.retryable()
        {
            stopped.get_or_insert_with(|| problem.clone());
        }
        answers.push((room, outcome));
    }
    Ok(answered(&answers))
}

/// Refuses more than a request may hold.
pub(super) fn check_batch(count: usize, what: &str, limits: &Limits) -> Result<(), Problem> {
    let batch_max = limits.batch_max;
    if count <= batch_max {
        return Ok(());
    }
    let message = format!("there are {count} {what}, and {batch_max} are the most; split the request");
    Err(Problem::new(Code::TooLarge, message))
}

/// An array of answers, in the order of what was asked.
pub(super) fn answered(answers: &[(&RoomName, Result<Delivered, Problem>)]) -> Response {
    json(|out| {
        push_list(out, answers, |out, (room, outcome)| match outcome {
            Ok(delivered) => delivered.write(room, out),
            Err(problem) => problem.write_element(out),
        });
    })
}

/// Reads one envelope and publishes it.
pub(super) async fn deliver(
    api: &Api,
    caller: &Caller,
    room: &RoomName,
    (text, key): (&str, Option<&str>),
) -> Result<Delivered, Problem> {
    let limits = api.app.hub.limits();
    let (id, publish) = read(text, room, limits)?;
    let id = match (id, key) {
        (Some(id), Some(key)) if id != key => {
            let message = format!("the id is {id:?} and Idempotency-Key {key:?}; send one of them");
            return Err(Problem::bad(message));
        }
        (id, key) => id.or_else(|| key.map(Cow::Borrowed)),
    };
    api.rates.take(api.app.hub.now().ms, &caller.identity, limits)?;
    let room = used(api, room)?;
    let publication =
        Publication { id: id.as_deref(), publish: &publish, publisher: Publisher::of(&caller.identity) };
    room.publish(&publication).await.map_err(|error| Problem::of_room(error, limits))
}

/// Reads an envelope as a socket would, and takes only what is to be published in this room.
fn read<'a>(
    text: &'a str,
    path: &RoomName,
    limits: &Limits,
) -> Result<(Option<Cow<'a, str>>, Publish<'a>), Problem> {
    if text.len() > limits.message_bytes_max {
        return Err(too_large(text.len(), limits));
    }
    let Message { id, room, verb } = Message::parse(text, limits)?;
    if let Some(room) = room
        && room != **path
    {
        let message = format!("the message is for {room:?} and the path for {path:?}; leave \"room\" out");
        return Err(Problem::bad(message));
    }
    match verb {
        Verb::Publish(publish) => Ok((id, publish)),
        _ => Err(Problem::new(
            Code::UnknownType,
            "only \"text\" and types of your own are published here; typing and presence have paths of their own",
        )),
    }
}

/// The id that a header gives a message. A quoted one (RFC 9651) is the same without its quotes.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let quoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let key = quoted.unwrap_or(&text);
    check_message_id(key).map_err(|error| Problem::bad(format!("Idempotency-Key: {error}")))?;
    Ok(Some(key.to_owned()))
}

/// `GET /rooms/{room}/messages`
pub(super) async fn history(
    State(api): State<Api>,
    caller: Caller,
    RoomPath(room): RoomPath,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.need(&room, Rights::HISTORY)?;
    let limits = api.app.hub.limits();
    let query = asked(Query::of(&uri), limits)?;
    api.rates.take(api.app.hub.now().ms, &caller.identity, limits)?;
    let page = used(&api, &room)?.history(&query, limits).map_err(|error| Problem::of_room(error, limits))?;
    Ok(page.with(|page| {
        json(|out| {
            let mut answer = Object::new(out);
            page.fields(answer.text("status", "history"));
            answer.end();
        })
    }))
}

fn asked(query: Query<'_>, limits: &Limits) -> Result<History, Problem> {
    let position = |key: &str| {
        let text = query.text(key).filter(|text| !text.is_empty());
        text.map(|text| Positions::parse(&text, limits.position_bytes_max))
            .transpose()
            .map_err(|error| Problem::bad(format!("{key}: {error}")))
    };
    let number = |text: Cow<'_, str>| {
        text.parse().map_err(|_| Problem::bad(format!("the limit {text:?} is not a whole number ≥ 1")))
    };
    let limit = query.text("limit").map(number).transpose()?;
    let asked = History { before: position("before")?, since: position("since")?, limit };
    asked.checked().map_err(|(code, message)| Problem::new(code, message))
}

/// A room that is used now; it begins to exist with that.
pub(super) fn used(api: &Api, room: &RoomName) -> Result<Arc<Room>, Problem> {
    let hub = &api.app.hub;
    hub.room(room).map_err(|error| Problem::of_room(error, hub.limits()))
}
