//! The HTTP API: publishing, history, presence and typing without a socket, and what a back end alone may do.
//!
//! | file | owns |
//! |---|---|
//! | `caller` | who asks, and what they may do |
//! | `messages` | publishing and history |
//! | `people` | presence and typing |
//! | `backend` | rooms, publishing to many, ending a user's connections |
//! | `operations` | health, readiness, metrics, the description in `OpenAPI` |
//! | `body`, `path`, `problem`, `rates` | what the others read requests with and refuse them by |
//! | `straight` | the way of a poll past the router |
//! | `events`, `polls` | rooms as a stream of events, or by long polling |
//! | `subscribing` | what both are asked |
//!
//! A body is read by the same code as a message on a socket, and a right is asked for in the same words. Nothing
//! here knows how frames travel.

mod backend;
mod body;
mod caller;
mod events;
mod messages;
mod operations;
mod path;
mod people;
mod polls;
mod problem;
mod rates;
mod straight;
mod subscribing;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use http::{HeaderName, HeaderValue, Method, Version, header};
use roomcast_protocol::Code;
use tower::{Layer, ServiceBuilder};
use tower_http::{
    cors::{AllowCredentials, AllowOrigin, Cors, CorsLayer},
    set_header::{SetResponseHeader, SetResponseHeaderLayer},
};

pub(crate) use self::straight::Straight;
use self::{problem::Problem, rates::Rates};
use crate::{app::App, auth::SESSION_HEADER};

/// The header whose value is the id of a message that has none.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Where a stream of events goes on.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Answers are of the moment.
const UNSTORED: HeaderValue = HeaderValue::from_static("no-store");
/// What they are their header says.
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// What most of them are.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// How long a browser may remember what a preflight said.
const PREFLIGHT_AGE: Duration = Duration::from_secs(3600);

/// What the API's routes share.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) app: Arc<App>,
    rates: Arc<Rates>,
}

impl Api {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self { rates: Arc::default(), app }
    }
}

/// Whether a request says which host it is for, and that once (RFC 9112, section 3.2): who stands before the server may
/// have read another line than it would. The error is the answer.
pub(crate) fn one_host<T>(request: &http::Request<T>) -> Result<(), Box<Response>> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if request.version() != Version::HTTP_11 || hosts == 1 {
        return Ok(());
    }
    let message = format!("{hosts} `Host` headers; a request over HTTP/1.1 has one");
    Err(Box::new(Problem::bad(message).into_response()))
}

/// Every route of the API, and the answer to what is none.
pub(crate) fn routes(api: Api) -> Router {
    let backend = Router::new()
        .route("/publish", post(backend::publish))
        .route("/rooms", get(backend::rooms))
        .route("/rooms/{room}", get(backend::room))
        .route("/users/{user}/connections", delete(backend::disconnect))
        .route_layer(from_fn(caller::backend_only));
    Router::new()
        .route("/rooms/{room}/messages", get(messages::history).post(messages::publish))
        .route("/rooms/{room}/presence", get(people::members).post(people::present).delete(people::leave))
        .route("/rooms/{room}/typing", post(people::typing))
        .route("/events/{room}", get(events::open))
        .route("/events", get(events::open))
        .route("/poll/{room}", get(polls::open))
        .route("/poll", get(polls::open))
        .merge(backend)
        .route_layer(from_fn_with_state(api.clone(), caller::admit))
        .merge(operations::routes())
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_so)
        .layer(dress(&api.app))
        .with_state(api)
}

/// A service whose answers say what every answer does.
pub(crate) type Dressed<S> = Cors<SetResponseHeader<SetResponseHeader<S, HeaderValue>, HeaderValue>>;

/// One layer of them all: a router boxes what each of its own adds.
fn dress<S>(app: &Arc<App>) -> impl Layer<S, Service = Dressed<S>> + Clone + use<S> {
    ServiceBuilder::new()
        .layer(cors(app))
        .layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, UNSTORED))
        .layer(SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF))
}

/// Which pages a browser lets read the answers: those that may open a WebSocket.
fn cors(app: &Arc<App>) -> CorsLayer {
    let pages = app.clone();
    let credentials = app.cookie.is_some() && app.origins.check_cookie().is_ok();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |_, parts| {
            pages.origins.check(&parts.headers, &parts.uri).is_ok()
        }))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            SESSION_HEADER,
            IDEMPOTENCY_KEY,
            LAST_EVENT_ID,
        ])
        .expose_headers([SESSION_HEADER, header::RETRY_AFTER])
        .allow_credentials(AllowCredentials::predicate(move |_, _| credentials))
        .max_age(PREFLIGHT_AGE)
}

async fn nothing_here(request: Request) -> Response {
    let message = format!("there is nothing at {:?}; /openapi.json says what there is", request.uri().path());
    Problem::new(Code::NotFound, message).into_response()
}

async fn not_so(request: Request) -> Response {
    let message = format!("{} is not for {:?}", request.method(), request.uri().path());
    Problem::new(Code::MethodNotAllowed, message).into_response()
}

/// An answer of JSON that `write` appends.
fn json(write: impl FnOnce(&mut Vec<u8>)) -> Response {
    let mut body = Vec::with_capacity(512);
    write(&mut body);
    let mut answer = Response::new(body.into());
    answer.headers_mut().insert(header::CONTENT_TYPE, JSON);
    answer
}

/// The answer to what has nothing to tell.
fn done() -> Response {
    json(|out| out.extend_from_slice(br#"{"status":"ok"}"#))
}
