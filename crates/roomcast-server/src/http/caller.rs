//! Who asks: identified once, before any handler, and carried along with the request.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Request, State},
    http::request::Parts,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::HeaderValue;
use roomcast_protocol::{Code, Rights, RoomName};
use roomcast_session::{Identity, Principal};

use super::{Api, problem::Problem};
use crate::{auth::SESSION_HEADER, proxies::Client};

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) identity: Arc<Identity>,
    /// Whether its session was minted for this request: a guest that is nobody the next time.
    pub(super) is_passing: bool,
}

impl Caller {
    /// Who a request is from. A foreign page's request is refused, not just its answer hidden: the deed would be done.
    pub(super) fn of(api: &Api, parts: &Parts) -> Result<Self, Problem> {
        let headers = &parts.headers;
        let identified = api
            .app
            .origins
            .check_host(headers, &parts.uri)
            .and_then(|()| api.app.identify(headers, &parts.uri));
        let (identity, is_passing) = identified.inspect_err(|error| {
            let client = parts.extensions.get::<Client>().map(tracing::field::display);
            tracing::info!(client, code = error.code().name(), reason = error.message(), "refused a request");
        })?;
        Ok(Self { identity: Arc::new(identity), is_passing })
    }

    /// Tells the session that was minted for the request.
    pub(super) fn told(&self, mut answer: Response) -> Response {
        if self.is_passing
            && let Ok(value) = HeaderValue::from_str(&self.identity.session)
        {
            answer.headers_mut().insert(SESSION_HEADER, value);
        }
        answer
    }

    /// Checks that the caller has a right in a room.
    pub(super) fn need(&self, room: &RoomName, wanted: Rights) -> Result<(), Problem> {
        let rights = self.identity.grants.rights(room);
        if rights.allow(wanted) {
            return Ok(());
        }
        let user = &self.identity.user;
        Err(Problem::new(
            Code::Forbidden,
            format!(
                "{user} has {rights:?} in {room:?} and needs {wanted:?}; the token's \"rooms\" or the server's \
                 [[rooms]] rules give rights"
            ),
        )
        .about(room))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let unasked = || Problem::new(Code::Internal, "nobody asked who this is from");
        parts.extensions.get::<Self>().cloned().ok_or_else(unasked)
    }
}

/// Lets a request through with its [`Caller`].
pub(super) async fn admit(State(api): State<Api>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = Caller::of(&api, &parts)?;
    parts.extensions.insert(caller.clone());
    Ok(caller.told(next.run(Request::from_parts(parts, body)).await))
}

/// Lets nobody through but back ends.
pub(super) async fn backend_only(caller: Caller, request: Request, next: Next) -> Response {
    match caller.identity.principal {
        Principal::Backend => next.run(request).await,
        Principal::User => {
            let message = "this is for back ends alone; send a key of auth.api_keys as \"Authorization: Bearer rk_…\" \
                           (dev has none: try it with serve)";
            Problem::new(Code::Forbidden, message).into_response()
        }
    }
}
