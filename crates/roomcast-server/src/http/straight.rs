//! The way of a poll past the router. One message costs every parked reader a whole request, and a good part of that is
//! what a router does to find out again and again that it is a poll. What a poll is, `polls` says.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::response::{IntoResponse, Response};
use http::{Method, Request, request::Parts};
use tower::{Layer as _, Service};

use super::{
    Api, Dressed, caller::Caller, dress, path::RoomPath, polls, problem::Problem, subscribing::Asked,
};
use crate::query::Query;

/// `GET /poll/{room}` and `GET /poll` as a service of its own.
#[derive(Clone, Debug)]
pub(crate) struct Straight(Api);

impl Straight {
    pub(crate) fn dressed(api: Api) -> Dressed<Self> {
        dress(&api.app).layer(Self(api))
    }

    /// Whether a request may go this way.
    pub(crate) fn takes<T>(request: &Request<T>) -> bool {
        request.method() == Method::GET && room(request.uri().path()).is_some()
    }
}

/// The room that the path of a poll names, as it was sent; empty where it names none. `None` of any other path.
fn room(path: &str) -> Option<&str> {
    match path.strip_prefix("/poll")? {
        "" => Some(""),
        rest => rest.strip_prefix('/').filter(|room| !room.is_empty() && !room.contains('/')),
    }
}

impl Service<Request<()>> for Straight {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let api = self.0.clone();
        Box::pin(async move { Ok(admit(&api, &request.into_parts().0).await.into_response()) })
    }
}

/// As the routes do it: who asks is judged before what is asked.
async fn admit(api: &Api, parts: &Parts) -> Result<Response, Problem> {
    let caller = Caller::of(api, parts)?;
    let answer = answer(api, parts, caller.clone()).await;
    Ok(caller.told(answer.into_response()))
}

async fn answer(api: &Api, parts: &Parts, caller: Caller) -> Result<Response, Problem> {
    let room = room(parts.uri.path()).filter(|room| !room.is_empty());
    let room = room.map(RoomPath::read).transpose()?;
    let asked = Asked::of(parts, (caller, room), api.app.hub.limits())?;
    polls::answer(api, &asked, Query::of(&parts.uri)).await
}
