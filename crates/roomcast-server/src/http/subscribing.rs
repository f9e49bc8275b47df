//! What streams and polls ask for in the same words: which rooms, from where on, as a member or not.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::{Method, Version, request::Parts};
use roomcast_hub::{Hub, Line, NotSubscribed, Stream, Subscription};
use roomcast_protocol::{
    Code, InvalidName, Join, Limits, Position, PositionError, Positions, Rights, RoomName, Wire,
};

use super::{Api, LAST_EVENT_ID, caller::Caller, path::RoomPath, problem::Problem};
use crate::{accept::HangUp, query::Query, takeover::Takeover};

/// A request to read.
pub(super) struct Asked {
    pub(super) caller: Caller,
    /// The room of the path, else those of the query.
    rooms: Vec<RoomName>,
    pub(super) since: Option<Result<Positions, PositionError>>,
    last: Option<usize>,
    /// Whether the reader wants to be there, and see who else is.
    pub(super) presence: bool,
    hang_up: Option<HangUp>,
    /// How to have the socket, where the answer may: it is chunked, and there is nothing between.
    pub(super) takeover: Option<Takeover>,
}

impl FromRequestParts<Api> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, api).await?;
        let room = <RoomPath as OptionalFromRequestParts<Api>>::from_request_parts(parts, api).await?;
        Self::of(parts, (caller, room), api.app.hub.limits())
    }
}

impl Asked {
    /// What a request asks for; `room` is the one its path names.
    pub(super) fn of(
        parts: &Parts,
        (caller, room): (Caller, Option<RoomPath>),
        limits: &Limits,
    ) -> Result<Self, Problem> {
        let query = Query::of(&parts.uri);
        let rooms = match room {
            Some(RoomPath(room)) => vec![room],
            None => rooms(query, limits)?,
        };
        let header = parts.headers.get(LAST_EVENT_ID).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let since = header.or_else(|| query.text("since")).filter(|since| !since.is_empty());
        Ok(Self {
            caller,
            rooms,
            since: since.map(|text| Positions::parse(&text, limits.position_bytes_max)),
            last: query.number("last").map(|last: usize| last.min(limits.history_page_max)),
            presence: query.text("presence").is_some_and(|presence| presence == "1"),
            hang_up: parts.extensions.get().cloned(),
            takeover: parts.extensions.get().cloned().filter(|_| is_chunked(parts)),
        })
    }

    /// Checks that the caller may read all of it.
    pub(super) fn check_rights(&self) -> Result<(), Problem> {
        let wanted = if self.last.is_some() { Rights::JOIN | Rights::HISTORY } else { Rights::JOIN };
        self.rooms.iter().try_for_each(|room| self.caller.need(room, wanted))
    }

    /// Begins to read on this line, or a pipe of its own. A position that can't be read is one of a log that there
    /// never was.
    pub(super) fn subscribe(
        &self,
        hub: &Hub,
        (line, wire): (Option<Line>, Wire),
    ) -> Result<Stream, Box<NotSubscribed>> {
        let since = self.since.as_ref().map(|since| match since {
            Ok(since) => since.clone(),
            Err(_) => Positions::One(Position::none()),
        });
        // A poll's reader is there by a lease, not by a connection.
        let member = self.presence && wire.is_events();
        let join = Join { since, last: self.last, member, state: None };
        let rooms = self.rooms.iter().map(|room| (room.clone(), join.clone(), self.rights(room))).collect();
        let pipe = || Line::Pipe(self.hang_up.clone().map(|HangUp(notify)| notify));
        let line = line.unwrap_or_else(pipe);
        hub.subscribe(Subscription { identity: Arc::clone(&self.caller.identity), line, wire, rooms })
    }

    /// What the reader may see of a room: who is there only if it asks.
    pub(super) fn rights(&self, room: &RoomName) -> Rights {
        let rights = self.caller.identity.grants.rights(room);
        if self.presence { rights } else { rights.without(Rights::PRESENCE) }
    }
}

/// Whether the body of an answer of unknown length is written in chunks.
fn is_chunked(parts: &Parts) -> bool {
    parts.method == Method::GET && parts.version == Version::HTTP_11
}

fn rooms(query: Query<'_>, limits: &Limits) -> Result<Vec<RoomName>, Problem> {
    let mut rooms: Vec<RoomName> = Vec::new();
    for name in query.all("room") {
        let room = RoomName::new(&name).map_err(|error: InvalidName| Problem::invalid_room(&error))?;
        if !rooms.contains(&room) {
            rooms.push(room);
        }
        let max = limits.rooms_per_stream_max;
        if rooms.len() > max {
            let message = format!("more than {max} rooms in one request; spread them over several");
            return Err(Problem::new(Code::TooManyRooms, message).after(limits.retry_after_min));
        }
    }
    if rooms.is_empty() {
        return Err(Problem::bad("which room? Name it in the path, or some of them as ?room=a&room=b"));
    }
    Ok(rooms)
}
