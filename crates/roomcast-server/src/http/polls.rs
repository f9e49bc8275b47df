//! `/poll`: rooms by long polling. A poll is one read at a position; nothing of it is left when it is answered, and
//! a lost answer is asked again.

use std::{future::poll_fn, sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use http::Uri;
use hyper::body::Bytes;
use roomcast_hub::{Line, Room, Seat, Stream};
use roomcast_protocol::{
    Code, Object, Positions, Wire, push_list,
    server::{Members, standings},
};
use tokio::time::{Instant, timeout_at};

use super::{Api, json, problem::Problem, subscribing::Asked};
use crate::query::Query;

/// How often polls tell how many there are, where they are too many to be told one by one.
const CROWD_INTERVAL: Duration = Duration::from_secs(1);

/// `GET /poll/{room}`, `GET /poll?room=a&room=b`
pub(super) async fn open(State(api): State<Api>, asked: Asked, uri: Uri) -> Result<Response, Problem> {
    answer(&api, &asked, Query::of(&uri)).await
}

/// Waits until there is something to tell, and tells it.
pub(super) async fn answer(api: &Api, asked: &Asked, query: Query<'_>) -> Result<Response, Problem> {
    let hub = &api.app.hub;
    let limits = hub.limits();
    if let Some(Err(error)) = &asked.since {
        return Err(Problem::bad(format!("since: {error}")));
    }
    asked.check_rights()?;
    if hub.is_draining() {
        let message = "the server is being restarted; ask again";
        return Err(Problem::new(Code::Unavailable, message).after(limits.retry_after_min));
    }
    // Who asks from where is parked, who only asks where to begin is answered at once: that has a rate.
    let patience = if asked.since.is_some() {
        let wanted = query.number("timeout").and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        wanted.unwrap_or(limits.poll_timeout).min(limits.poll_timeout_max)
    } else {
        api.rates.take(hub.now().ms, &asked.caller.identity, limits)?;
        Duration::ZERO
    };
    let known = query.text("v").unwrap_or_default();
    let now = Instant::now();
    let poll = Poll { api, asked, known: &known, begun: now };
    let user = (!asked.caller.is_passing).then_some(&*asked.caller.identity.user);
    Ok(poll.wait(now + patience).await?.write(user))
}

/// One poll on its way.
struct Poll<'a> {
    api: &'a Api,
    asked: &'a Asked,
    /// The versions of the rosters that the client knows: `12` of one room, `a=12,b=7` of several.
    known: &'a str,
    begun: Instant,
}

/// What a poll came to.
struct Polled {
    messages: Vec<Bytes>,
    position: Positions,
    stream: Stream,
    /// Rosters that are not as the client knows them, by the number of their room.
    rosters: Vec<(usize, Members)>,
}

impl Poll<'_> {
    /// Waits until there is something to tell, or the time is over.
    async fn wait(&self, deadline: Instant) -> Result<Polled, Problem> {
        loop {
            let hub = &self.api.app.hub;
            // It ends before its answer is written, which its end must not cut.
            let line = Some(Line::Pipe(None));
            let stream = self.asked.subscribe(hub, (line, Wire::List));
            let stream = stream.map_err(|not| Problem::of_room(not.error, hub.limits()))?;
            // What the log has lost since the position was looked at is told when it is looked at again.
            if let Some(polled) = self.watch(stream, deadline).await? {
                return Ok(polled);
            }
        }
    }

    /// The same on one stream; `None` if it was told to reload meanwhile.
    async fn watch(&self, mut stream: Stream, deadline: Instant) -> Result<Option<Polled>, Problem> {
        let of_room = |error| Problem::of_room(error, self.api.app.hub.limits());
        let is_reset = stream.seats().iter().any(|seat| seat.joined.reset.is_some());
        let mut is_parked = false;
        loop {
            let lease = self.lease(&stream, is_parked);
            is_parked = true;
            let renewal = lease.map_or(deadline, |lease| Instant::now() + lease / 2);
            let mut rosters = self.changed_rosters(&stream);
            let mut look = renewal.min(deadline);
            if self.can_wait(&stream, &rosters) {
                look = look.min(self.crowds_due());
                rosters.clear();
            }
            let Some((messages, position)) = stream.take().map_err(of_room)? else { return Ok(None) };
            let tells = is_reset || !messages.is_empty() || !rosters.is_empty();
            if tells || stream.has_ended() || Instant::now() >= deadline {
                return Ok(Some(Polled { messages, position, stream, rosters }));
            }
            // Late or not, the next look decides.
            let _ = timeout_at(look, poll_fn(|cx| stream.poll_stirred(cx))).await;
        }
    }

    /// Whether there is no news but of crowds, too soon after what was known.
    fn can_wait(&self, stream: &Stream, rosters: &[(usize, Members)]) -> bool {
        let is_crowd = |(room, _): &(usize, Members)| stream.seats()[*room].room.is_crowd();
        let is_news = rosters.is_empty() || self.known.is_empty();
        !is_news && rosters.iter().all(is_crowd) && Instant::now() < self.crowds_due()
    }

    /// When this poll may tell of crowds: each tells once, so that is once a second.
    fn crowds_due(&self) -> Instant {
        self.begun + CROWD_INTERVAL
    }

    /// The session is there, if it says so, for as long as its poll is parked and for a lease after that, unless it
    /// says meanwhile that it goes. Answers the shortest lease.
    fn lease(&self, stream: &Stream, is_parked: bool) -> Option<Duration> {
        let who = &self.asked.caller.identity;
        let lease = |room: &Arc<Room>| if is_parked { room.prolong(who) } else { room.lease(who, None) };
        self.watched(stream).iter().map(|seat| lease(&seat.room)).min()
    }

    /// The rooms where it matters who is there: none, unless the client asks for presence.
    fn watched<'a>(&self, stream: &'a Stream) -> &'a [Seat] {
        if self.asked.presence { stream.seats() } else { &[] }
    }

    /// The rosters that the client must be told.
    fn changed_rosters(&self, stream: &Stream) -> Vec<(usize, Members)> {
        let rosters = self.watched(stream).iter().map(|seat| {
            let name = seat.room.name();
            (seat.room.members(self.asked.rights(name)), self.known_version(name))
        });
        let changed = rosters.enumerate().filter(|(_, (now, known))| now.v.is_some() && now.v != *known);
        changed.map(|(room, (now, _))| (room, now)).collect()
    }

    /// A room's name may hold a `=` itself.
    fn known_version(&self, room: &str) -> Option<u64> {
        let mut each = self.known.split(',').filter_map(|part| part.rsplit_once('='));
        let by_name = || each.find(|(name, _)| *name == room).and_then(|(_, v)| v.parse().ok());
        self.known.parse().ok().or_else(by_name)
    }
}

impl Polled {
    fn write(&self, user: Option<&str>) -> Response {
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
            answer.text_if("user", user);
            standings(&standings_now, &mut answer);
            if !self.rosters.is_empty() {
                answer.with("presence", |out| self.write_rosters(out));
            }
            answer.end();
        })
    }

    /// One room's roster as it is, those of several by name.
    fn write_rosters(&self, out: &mut Vec<u8>) {
        let sync = |members: &Members, out: &mut Vec<u8>| {
            let mut sync = Object::new(out);
            members.fields(sync.text("event", "sync"));
            sync.end();
        };
        if let ([_], [(_, members)]) = (self.stream.seats(), &*self.rosters) {
            return sync(members, out);
        }
        let mut each = Object::new(out);
        for (room, members) in &self.rosters {
            each.with(self.stream.seats()[*room].room.name(), |out| sync(members, out));
        }
        each.end();
    }
}
