//! What a request for a two-way connection came to, whatever transport carries it: who asks, and for which room. Says
//! nothing to the client; each transport has its own way to close.

use std::sync::Arc;

use http::{HeaderMap, Uri};
use roomcast_hub::{Connection, Entrance, Hub, Line, NotAdmitted};
use roomcast_protocol::{Close, Join, Limits, Position, Positions, RoomName, Wire};
use roomcast_session::Identity;

use crate::{app::App, proxies::Client, query::Query};

/// Somebody who may come in.
pub(crate) struct Arrival {
    identity: Identity,
    attempt: u32,
    bound: Option<Result<(RoomName, Join), String>>,
}

/// Why somebody may not, to be told as the connection's close.
pub(crate) struct Refusal {
    pub(crate) close: Close,
    pub(crate) message: String,
}

impl Arrival {
    /// Judges a request by its head; `room` is the one its path names. `transport` is for the log.
    pub(crate) fn of(
        app: &App,
        (headers, uri): (&HeaderMap, &Uri),
        room: Option<&str>,
        (client, transport): (Option<Client>, &str),
    ) -> Result<Self, Refusal> {
        let (identity, _) = app.identify(headers, uri).map_err(|error| {
            let client = client.map(tracing::field::display);
            let (code, reason) = (error.code().name(), error.message());
            tracing::info!(client, code, reason, "refused a {transport}");
            Refusal { close: error.close(), message: reason.to_owned() }
        })?;
        let query = Query::of(uri);
        Ok(Self {
            identity,
            attempt: query.number("attempt").unwrap_or(0),
            bound: room.map(|room| bind(room, &query, app.hub.limits())),
        })
    }

    /// Goes in, on a line that takes this wire form. The line comes back with a refusal.
    pub(crate) fn enter(self, hub: &Hub, line: Line, wire: Wire) -> Result<Arc<Connection>, (Line, Refusal)> {
        let Self { identity, attempt, bound } = self;
        let (bound, invalid_room) = match bound {
            Some(Err(message)) => (None, Some(message)),
            bound => (bound.and_then(Result::ok), None),
        };
        let connection = hub.admit(Entrance { line, wire, identity, attempt, bound }).map_err(
            |NotAdmitted { line, close, message }| (line, Refusal { close, message: message.to_owned() }),
        )?;
        if let Some(message) = invalid_room {
            let mut turn = hub.turn(&connection);
            turn.close(Close::InvalidRoom, &message);
            turn.finish();
        }
        Ok(connection)
    }
}

/// What the path and query say of a room. The error is for the close's reason.
fn bind(room: &str, query: &Query<'_>, limits: &Limits) -> Result<(RoomName, Join), String> {
    let room = RoomName::new(room).map_err(|error| error.to_string())?;
    let since = query.text("since").map(|since| {
        // A position that can't be read is one of a log that there never was: the reader is told to reload.
        Positions::parse(&since, limits.position_bytes_max)
            .unwrap_or_else(|_| Positions::One(Position::none()))
    });
    let last = query.number("last").map(|last: usize| last.min(limits.history_page_max));
    Ok((room, Join { since, last, member: query.text("presence").as_deref() != Some("0"), state: None }))
}
