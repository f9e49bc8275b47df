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
use roomcast_hub::Stream;
use roomcast_protocol::{
    Queue, Wire,
    server::{self, Head},
};

use super::{Api, problem::Problem, subscribing::Asked};

/// Tells nginx not to collect what is to be seen at once.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// When to come back to a server that is being restarted.
const RESTART_RETRY: Duration = Duration::from_secs(2);

/// `GET /events/{room}`, `GET /events?room=a&room=b`
pub(super) async fn open(State(api): State<Api>, asked: Asked) -> Result<Response, Problem> {
    asked.check_rights()?;
    let hub = &api.app.hub;
    let mut farewell = Queue::of(Wire::Events);
    let head = Head::at(hub.now().wall);
    if hub.is_draining() {
        farewell.extend(format!("retry: {}\n", RESTART_RETRY.as_millis()).as_bytes());
        farewell.push(|out| server::draining(head, RESTART_RETRY, out));
        return Ok(events(Body::from(farewell.into_bytes())));
    }
    Ok(match asked.subscribe(&api, Wire::Events) {
        Ok(stream) => events(Body::new(Events(stream))),
        Err(problem) => {
            farewell.push(|out| problem.write_error(head, out));
            events(Body::from(farewell.into_bytes()))
        }
    })
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
