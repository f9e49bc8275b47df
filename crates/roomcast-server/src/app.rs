//! What every door of the server needs, and the router over all of them.

use std::sync::Arc;

use ::http::{HeaderMap, Uri};
use axum::{Router, routing::any};
use roomcast_hub::{Authorizer, Hub};
use roomcast_protocol::{Code, SessionId, Timestamp};
use roomcast_session::Identity;

use crate::{
    auth::{AuthError, Authenticator, Credentials, Origins, Place, session},
    http::{self, Api, Dressed, Straight},
    playground, sdk,
    tls::Pin,
    websocket,
};

/// The server's parts, made once.
#[derive(Debug)]
pub struct App {
    /// The rooms.
    pub hub: Hub,
    /// Who judges credentials.
    pub authenticator: Arc<Authenticator>,
    /// Which pages may connect.
    pub origins: Origins,
    /// The cookie that may hold a token.
    pub cookie: Option<String>,
    /// Whether the playground is served at `/`; for `dev`.
    pub playground: bool,
    /// What clients of WebTransport are told of its certificate, if nobody vouches for it; for `dev`.
    pub pin: Option<Pin>,
}

impl App {
    /// Who a request is from, and whether its session was minted for it. The one judgement of every door: the
    /// page's origin, then the session, then the token.
    pub(crate) fn identify(&self, headers: &HeaderMap, uri: &Uri) -> Result<(Identity, bool), AuthError> {
        self.origins.check(headers, uri)?;
        let query = uri.query().unwrap_or_default();
        let session = session(headers, query)?;
        let credentials = Credentials::find(headers, query, self.cookie.as_deref());
        if credentials.place() == Some(Place::Cookie) {
            self.origins.check_cookie()?;
        }
        let identity = self.authenticator.identify(&credentials, &session.id, self.hub.now().wall)?;
        Ok((identity, session.minted))
    }
}

/// All doors as a router, to be nested in somebody's own.
pub fn router(app: Arc<App>) -> Router {
    routes(Api::new(app))
}

fn routes(api: Api) -> Router {
    let app = api.app.clone();
    let mut routes =
        Router::new().route("/ws", any(websocket::open)).route("/ws/{room}", any(websocket::open_bound));
    if app.playground {
        routes = routes.merge(playground::routes());
    }
    routes.merge(sdk::routes()).with_state(app).merge(http::routes(api))
}

/// What answers requests on the server's own sockets.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) polls: Dressed<Straight>,
    /// All else, and polls too.
    pub(crate) router: Router,
}

impl Front {
    pub(crate) fn new(app: Arc<App>) -> Self {
        let api = Api::new(app);
        Self { polls: Straight::dressed(api.clone()), router: routes(api) }
    }
}

impl Authorizer for Authenticator {
    fn authenticate(
        &self,
        token: &str,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Identity, (Code, String)> {
        self.reauthenticate(token, session, now).map_err(|error| (error.code(), error.message().to_owned()))
    }
}
