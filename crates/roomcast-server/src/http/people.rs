//! `/rooms/{room}/presence` and `/rooms/{room}/typing`: being there without a socket.

use axum::{extract::State, response::Response};
use roomcast_protocol::{Rights, Typing, Verb};

use super::{
    Api,
    body::{Text, with_verb},
    caller::Caller,
    done, json,
    messages::used,
    path::RoomPath,
    problem::Problem,
};

/// `GET /rooms/{room}/presence`
pub(super) async fn members(
    State(api): State<Api>,
    caller: Caller,
    RoomPath(room): RoomPath,
) -> Result<Response, Problem> {
    caller.need(&room, Rights::PRESENCE)?;
    count(&api, &caller)?;
    let members = used(&api, &room)?.members(Rights::PRESENCE);
    Ok(json(|out| members.write(out)))
}

/// `POST /rooms/{room}/presence`
pub(super) async fn present(
    State(api): State<Api>,
    caller: Caller,
    RoomPath(room): RoomPath,
    Text(body): Text,
) -> Result<Response, Problem> {
    caller.need(&room, Rights::JOIN)?;
    let state = with_verb("presence", &body, api.app.hub.limits(), |verb| match verb {
        Verb::Presence { state } => state,
        _ => None,
    })?;
    count(&api, &caller)?;
    used(&api, &room)?.lease(&caller.identity, state);
    Ok(done())
}

/// `DELETE /rooms/{room}/presence`
pub(super) async fn leave(
    State(api): State<Api>,
    caller: Caller,
    RoomPath(room): RoomPath,
) -> Result<Response, Problem> {
    caller.need(&room, Rights::JOIN)?;
    count(&api, &caller)?;
    used(&api, &room)?.unlease(&caller.identity);
    Ok(done())
}

/// `POST /rooms/{room}/typing`
pub(super) async fn typing(
    State(api): State<Api>,
    caller: Caller,
    RoomPath(room): RoomPath,
    Text(body): Text,
) -> Result<Response, Problem> {
    caller.need(&room, Rights::SEND)?;
    count(&api, &caller)?;
    let room = used(&api, &room)?;
    with_verb("typing", &body, api.app.hub.limits(), |verb| {
        if let Verb::Typing(Typing { on, data }) = verb {
            room.show_typing(&caller.identity, on, &data);
        }
    })?;
    Ok(done())
}

fn count(api: &Api, caller: &Caller) -> Result<(), Problem> {
    api.rates.take(api.app.hub.now().ms, &caller.identity, api.app.hub.limits())
}
