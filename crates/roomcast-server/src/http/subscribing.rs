//! What streams and polls ask for in the same words: which rooms, from where on, as a member or not.

use std::sync::Arc;

use http::{Extensions, HeaderMap, Uri};
use roomcast_hub::{Stream, Subscription};
use roomcast_protocol::{
    Code, InvalidName, Join, Limits, Position, PositionError, Positions, Rights, RoomName, Wire,
};

use super::{Api, LAST_EVENT_ID, caller::Caller, problem::Problem};
use crate::{accept::HangUp, query::Query};

/// A request to read.
pub(super) struct Asked {
    pub(super) rooms: Vec<RoomName>,
    pub(super) since: Option<Result<Positions, PositionError>>,
    last: Option<usize>,
    /// Whether the reader wants to be there, and see who else is.
    pub(super) presence: bool,
}

impl Asked {
    /// Reads a request: the room of its path, else those of its query.
    pub(super) fn read(
        room: Option<RoomName>,
        (headers, uri): (&HeaderMap, &Uri),
        limits: &Limits,
    ) -> Result<Self, Problem> {
        let query = Query::of(uri);
        let rooms = match room {
            Some(room) => vec![room],
            None => rooms(query, limits)?,
        };
        let header = headers.get(LAST_EVENT_ID).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let since = header.or_else(|| query.text("since")).filter(|since| !since.is_empty());
        let since = since.map(|text| Positions::parse(&text, limits.position_bytes_max));
        let last = query.number("last").map(|last: usize| last.min(limits.history_page_max));
        let presence = query.text("presence").is_some_and(|presence| presence == "1");
        Ok(Self { rooms, since, last, presence })
    }

    /// Checks that the caller may read all of it. Answers the rights in each room.
    pub(super) fn allowed(&self, caller: &Caller) -> Result<Vec<Rights>, Problem> {
        let wanted = if self.last.is_some() { Rights::JOIN | Rights::HISTORY } else { Rights::JOIN };
        self.rooms
            .iter()
            .map(|room| caller.need(room, wanted).map(|()| caller.0.grants.rights(room)))
            .collect()
    }

    /// Begins to read. A position that can't be read is one of a log that there never was.
    pub(super) fn subscribe(
        &self,
        api: &Api,
        caller: &Caller,
        (wire, rights): (Wire, &[Rights]),
        extensions: &Extensions,
    ) -> Result<Stream, Problem> {
        let since = self.since.as_ref().map(|since| match since {
            Ok(since) => since.clone(),
            Err(_) => Positions::One(Position::none()),
        });
        // A poll's reader is there by a lease, not by a connection.
        let member = self.presence && wire == Wire::Events;
        let join = Join { since, last: self.last, member, state: None };
        let seen = |rights: &Rights| if self.presence { *rights } else { rights.without(Rights::PRESENCE) };
        let rooms = self.rooms.iter().zip(rights);
        let rooms = rooms.map(|(room, rights)| (room.clone(), join.clone(), seen(rights))).collect();
        let hang_up = extensions.get::<HangUp>().map(|HangUp(notify)| notify.clone());
        let hub = &api.app.hub;
        hub.subscribe(Subscription { identity: Arc::clone(&caller.0), wire, rooms, hang_up })
            .map_err(|error| Problem::of_room(error, hub.limits()))
    }
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
