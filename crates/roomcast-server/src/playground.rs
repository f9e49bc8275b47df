//! The playground's files, as they lie in the binary. For `dev`.

use std::sync::Arc;

use axum::{
    Router,
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::app::App;

/// Only what the page itself brings, and this machine by each of its names, whatever the page was opened by: who tries
/// something in the console writes one of them.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss: http://localhost:* http://127.0.0.1:*; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

macro_rules! files {
    ($($name:literal as $type:literal),* $(,)?) => {
        const FILES: &[(&str, &str, &str)] =
            &[$(($name, $type, include_str!(concat!("../playground/", $name)))),*];
    };
}

files! {
    "index.html" as "text/html; charset=utf-8",
    "playground.css" as "text/css; charset=utf-8",
    "favicon.svg" as "image/svg+xml",
    "cable.js" as "text/javascript; charset=utf-8",
    "code.js" as "text/javascript; charset=utf-8",
    "company.js" as "text/javascript; charset=utf-8",
    "dom.js" as "text/javascript; charset=utf-8",
    "identity.js" as "text/javascript; charset=utf-8",
    "log.js" as "text/javascript; charset=utf-8",
    "main.js" as "text/javascript; charset=utf-8",
    "person.js" as "text/javascript; charset=utf-8",
    "protocol.js" as "text/javascript; charset=utf-8",
    "recipes.js" as "text/javascript; charset=utf-8",
    "sdk-snippets.js" as "text/javascript; charset=utf-8",
    "snippets.js" as "text/javascript; charset=utf-8",
    "syntax.js" as "text/javascript; charset=utf-8",
    "theme.js" as "text/javascript; charset=utf-8",
    "wire.js" as "text/javascript; charset=utf-8",
}

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(|| async { file("index.html") }))
        .route("/playground/{name}", get(|Path(name): Path<String>| async move { file(&name) }))
        .route("/favicon.ico", get(|| async { file("favicon.svg") }))
}

fn file(name: &str) -> Response {
    let Some((_, kind, text)) = FILES.iter().find(|(known, ..)| *known == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, *kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, *text).into_response()
}
