//! What a back end alone may do, with its API key: see rooms, publish to many, end a user's connections.

use axum::{extract::State, response::Response};
use futures_util::future::join_all;
use http::Uri;
use roomcast_hub::RoomSummary;
use roomcast_protocol::{Object, RoomName, push_list};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Api,
    body::Text,
    caller::Caller,
    json,
    messages::{answered, check_batch, deliver, used},
    path::{RoomPath, UserPath},
    problem::Problem,
};
use crate::query::Query;

/// Rooms of a page where none are asked for, and at most.
const ROOMS_DEFAULT: usize = 100;
const ROOMS_MAX: usize = 1_000;

/// The body of `POST /publish`.
#[derive(Deserialize)]
struct ToMany<'a> {
    rooms: Vec<String>,
    #[serde(borrow)]
    message: &'a RawValue,
}

/// `POST /publish`
pub(super) async fn publish(
    State(api): State<Api>,
    caller: Caller,
    Text(body): Text,
) -> Result<Response, Problem> {
    let ToMany { rooms, message } = serde_json::from_str(&body).map_err(|error| {
        Problem::bad(format!("the body is not {{\"rooms\":[…],\"message\":{{…}}}}: {error}"))
    })?;
    check_batch(rooms.len(), "rooms", api.app.hub.limits())?;
    let rooms: Vec<RoomName> = rooms
        .iter()
        .map(|room| RoomName::new(room).map_err(|error| Problem::invalid_room(&error)))
        .collect::<Result<_, _>>()?;
    // All at once: one commit serves them, and an engine that doesn't answer makes nobody wait a hundred times.
    let delivering = rooms.iter().map(|room| deliver(&api, &caller, room, (message.get(), None)));
    let answers: Vec<_> = rooms.iter().zip(join_all(delivering).await).collect();
    Ok(answered(&answers))
}

/// `GET /rooms`
pub(super) async fn rooms(State(api): State<Api>, uri: Uri) -> Result<Response, Problem> {
    let query = Query::of(&uri);
    let limit = match query.text("limit") {
        None => ROOMS_DEFAULT,
        Some(text) => {
            text.parse().map_err(|_| Problem::bad(format!("the limit {text:?} is not a whole number")))?
        }
    };
    let limit = limit.clamp(1, ROOMS_MAX);
    let page = api.app.hub.rooms(&query.text("after").unwrap_or_default(), limit);
    let next = page.last().filter(|_| page.len() == limit).map(|last| &*last.room);
    Ok(json(|out| {
        let mut answer = Object::new(out);
        answer.with("rooms", |out| push_list(out, &page, write));
        answer.text_if("next", next).end();
    }))
}

/// `GET /rooms/{room}`
pub(super) async fn room(State(api): State<Api>, RoomPath(room): RoomPath) -> Result<Response, Problem> {
    let summary = used(&api, &room)?.summary();
    Ok(json(|out| write(out, &summary)))
}

fn write(out: &mut Vec<u8>, summary: &RoomSummary) {
    Object::new(out)
        .text("room", &summary.room)
        .text("epoch", summary.head.epoch.as_str())
        .number("seq", summary.head.seq)
        .number("readers", summary.readers as u64)
        .number("members", summary.members)
        .end();
}

/// `DELETE /users/{user}/connections`
pub(super) async fn disconnect(State(api): State<Api>, UserPath(user): UserPath) -> Response {
    let ended = api.app.hub.disconnect_user(&user);
    json(|out| Object::new(out).text("status", "ok").number("connections", ended as u64).end())
}
