//! `/events`: rooms as Server-Sent Events (HTML Living Standard, section 9.2).
//!
//! An `EventSource` gives up for good on any status but 200. So only what coming back would not mend is refused
//! with another one; the rest is told in the stream, which then ends.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, header};
use hyper::body::{Bytes, Frame};
use roomcast_hub::{Hub, Line, NotSubscribed, Stream};
use roomcast_protocol::{
    Queue, Wire,
    server::{self, Head},
};

use super::{Api, problem::Problem, subscribing::Asked};

/// Tells nginx not to collect what is to be seen at once.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// When to come back to a server that is being restarted.
const RESTART_RETRY: Duration = Duration::from_secs(2);

/// Where chunks are made by whoever writes the answer.
const EVENTS: Wire = Wire::Events { chunked: false };
/// Where they are made by us.
const CHUNKED: Wire = Wire::Events { chunked: true };

/// `GET /events/{room}`, `GET /events?room=a&room=b`
pub(super) async fn open(State(api): State<Api>, asked: Asked) -> Result<Response, Problem> {
    asked.check_rights()?;
    if api.app.hub.is_draining() {
        return Ok(events(come_back(&api.app.hub)));
    }
    Ok(events(match asked.takeover.clone() {
        Some(takeover) => takeover.want(move |socket, open| {
            let stream = begin(&api.app.hub, &asked, (Some(Line::Socket(socket)), CHUNKED));
            tokio::spawn(async move {
                stream.until_hung_up().await;
                drop(open);
            });
        }),
        None => Body::new(Events(begin(&api.app.hub, &asked, (None, EVENTS)))),
    }))
}

/// Begins a stream; if it can't be, one that says why and ends.
fn begin(hub: &Hub, asked: &Asked, line: (Option<Line>, Wire)) -> Stream {
    asked.subscribe(hub, line).unwrap_or_else(|not| {
        let NotSubscribed { error, stream } = *not;
        let problem = Problem::of_room(error, hub.limits());
        stream.dismiss(|out| problem.write_error(Head::at(hub.now().wall), out));
        stream
    })
}

/// What a stream says while the server is being restarted.
fn come_back(hub: &Hub) -> Body {
    let mut farewell = Queue::of(EVENTS);
    farewell.push_retry(RESTART_RETRY);
    farewell.push(|out| server::draining(Head::at(hub.now().wall), RESTART_RETRY, out));
    farewell.into_bytes().into()
}

fn events(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    (headers, body).into_response()
}

/// A stream as the body of an answer. The bytes are those that all readers share.
struct Events(Stream);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_next(cx).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}
