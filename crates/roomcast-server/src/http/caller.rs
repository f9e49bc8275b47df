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

/// Lets a request through with its [`Caller`], and tells the session that was minted for it. A foreign page's
/// request is refused, not just its answer hidden: the deed would be done.
pub(super) async fn admit(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let (headers, uri) = (request.headers(), request.uri());
    let identified = api.app.origins.check_host(headers, uri).and_then(|()| api.app.identify(headers, uri));
    let (identity, minted) = match identified {
        Ok(identified) => identified,
        Err(error) => {
            let client = request.extensions().get::<Client>().map(tracing::field::display);
            tracing::info!(client, code = error.code().name(), reason = error.message(), "refused a request");
            return Problem::from(error).into_response();
        }
    };
    let session = minted.then(|| identity.session.clone());
    request.extensions_mut().insert(Caller { identity: Arc::new(identity), is_passing: minted });
    let mut response = next.run(request).await;
    if let Some(value) = session.and_then(|session| HeaderValue::from_str(&session).ok()) {
        response.headers_mut().insert(SESSION_HEADER, value);
    }
    response
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
