//! `/poll`: rooms by long polling. A poll is one read at a position; nothing of it is left when it is answered, and
//! a lost answer is asked again.

use std::{future::poll_fn, time::Duration};

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::Extensions;
use hyper::body::Bytes;
use roomcast_hub::Stream;
use roomcast_protocol::{
    Code, Object, Positions, Rights, Wire, push_list,
    server::{Members, standings},
};

use super::{Api, caller::Caller, json, path::RoomPath, problem::Problem, subscribing::Asked};
use crate::query::Query;

/// `GET /poll/{room}`
pub(super) async fn one(
    State(api): State<Api>,
    caller: Caller,
    RoomPath(room): RoomPath,
    request: Request,
) -> Result<Response, Problem> {
    let asked = Asked::read(Some(room), (request.headers(), request.uri()), api.app.hub.limits())?;
    answer(&api, &caller, &asked, request).await
}

/// `GET /poll?room=a&room=b`
pub(super) async fn several(
    State(api): State<Api>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let asked = Asked::read(None, (request.headers(), request.uri()), api.app.hub.limits())?;
    answer(&api, &caller, &asked, request).await
}

async fn answer(api: &Api, caller: &Caller, asked: &Asked, request: Request) -> Result<Response, Problem> {
    let hub = &api.app.hub;
    let limits = hub.limits();
    let query = Query::of(request.uri());
    if let Some(Err(error)) = &asked.since {
        return Err(Problem::bad(format!("since: {error}")));
    }
    let rights = asked.allowed(caller)?;
    if hub.is_draining() {
        let message = "the server is being restarted; ask again";
        return Err(Problem::new(Code::Unavailable, message).after(limits.retry_after_min));
    }
    // Who asks from where is parked, who only asks where to begin is answered at once: that has a rate.
    let patience = if asked.since.is_some() {
        query.number("timeout").map_or(limits.poll_timeout, Duration::from_secs).min(limits.poll_timeout_max)
    } else {
        api.rates.take(hub.now().ms, &caller.0, limits)?;
        Duration::ZERO
    };
    let seen = asked.presence.then(|| Seen::of(query, asked));
    let polled = poll(api, caller, asked, (&rights, seen.as_ref()), (patience, request.extensions())).await?;
    Ok(polled.write(asked.rooms.len()))
}

/// The versions of the rosters that a client knows.
struct Seen(Vec<Option<u64>>);

impl Seen {
    /// `v=12` for one room, `v=a=12,b=7` for several. A room's name may hold a `=` itself.
    fn of(query: Query<'_>, asked: &Asked) -> Self {
        let text = query.text("v").unwrap_or_default();
        let by_name = |room: &str| {
            let mut each = text.split(',').filter_map(|part| part.rsplit_once('='));
            each.find(|(name, _)| *name == room).and_then(|(_, v)| v.parse().ok())
        };
        Self(asked.rooms.iter().map(|room| text.parse().ok().or_else(|| by_name(room))).collect())
    }
}

/// What a poll came to.
struct Polled {
    messages: Vec<Bytes>,
    position: Positions,
    stream: Stream,
    /// Rosters that are not as the client knows them, by the number of their room.
    rosters: Option<Vec<(usize, Members)>>,
}

async fn poll(
    api: &Api,
    caller: &Caller,
    asked: &Asked,
    (rights, seen): (&[Rights], Option<&Seen>),
    (patience, extensions): (Duration, &Extensions),
) -> Result<Polled, Problem> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let mut stream = asked.subscribe(api, caller, (Wire::List, rights), extensions)?;
        if seen.is_some() {
            stream.seats().iter().for_each(|seat| seat.room.lease(&caller.0, None));
        }
        let is_reset = stream.seats().iter().any(|seat| seat.joined.reset.is_some());
        loop {
            let rosters = seen.map(|seen| changed(&stream, rights, seen));
            // What the log has lost since the position was looked at is told when it is looked at again.
            let Some((messages, position)) = stream.take() else { break };
            let stirred = !messages.is_empty()
                || is_reset
                || stream.has_ended()
                || rosters.as_ref().is_some_and(|rosters| !rosters.is_empty());
            let timed_out = tokio::time::Instant::now() >= deadline;
            if stirred || timed_out {
                return Ok(Polled { messages, position, stream, rosters });
            }
            let stirring = poll_fn(|cx| stream.poll_stirred(cx));
            let _ = tokio::time::timeout_at(deadline, stirring).await;
        }
    }
}

/// The rosters that the client must be told.
fn changed(stream: &Stream, rights: &[Rights], Seen(seen): &Seen) -> Vec<(usize, Members)> {
    let rosters = stream.seats().iter().zip(rights).map(|(seat, rights)| seat.room.members(*rights));
    let known = rosters.zip(seen).enumerate();
    known.filter(|(_, (now, v))| now.v.is_some() && now.v != **v).map(|(i, (now, _))| (i, now)).collect()
}

impl Polled {
    fn write(&self, rooms: usize) -> Response {
        let seats = self.stream.seats();
        let resets = || seats.iter().filter_map(|seat| Some((seat, seat.joined.reset?)));
        let standings_now: Vec<_> = seats.iter().map(|seat| (&**seat.room.name(), &seat.joined)).collect();
        json(|out| {
            let mut answer = Object::new(out);
            answer.with("messages", |out| {
                out.push(b'[');
                self.messages.iter().for_each(|messages| out.extend_from_slice(messages));
                out.pop_if(|last| *last == b',');
                out.push(b']');
            });
            answer.text("position", &self.position.to_string()).flag("recovered", resets().next().is_none());
            answer.with("resets", |out| {
                push_list(out, resets(), |out, (seat, reason)| {
                    let mut reset = Object::new(out);
                    reset.text("room", seat.room.name()).text("reason", reason.reason());
                    reset.text("epoch", seat.joined.epoch.as_str()).number("seq", seat.joined.seq).end();
                });
            });
            standings(&standings_now, &mut answer);
            if let Some(rosters) = self.rosters.as_ref().filter(|rosters| !rosters.is_empty()) {
                answer.with("presence", |out| self.write_rosters(rosters, rooms == 1, out));
            }
            answer.end();
        })
    }

    /// One room's roster as it is, those of several by name.
    fn write_rosters(&self, rosters: &[(usize, Members)], is_one: bool, out: &mut Vec<u8>) {
        let sync = |members: &Members, out: &mut Vec<u8>| {
            let mut sync = Object::new(out);
            members.fields(sync.text("event", "sync"));
            sync.end();
        };
        if let ([(_, members)], true) = (rosters, is_one) {
            return sync(members, out);
        }
        let mut each = Object::new(out);
        for (room, members) in rosters {
            each.with(self.stream.seats()[*room].room.name(), |out| sync(members, out));
        }
        each.end();
    }
}
