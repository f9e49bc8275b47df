//! `/sdk.js`: the TypeScript SDK as one module, for pages without a build. Made from `sdk/js` by `npm run bundle`,
//! and checked in, so that building the server needs no npm.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::LazyLock,
};

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

const SDK: &str = include_str!("../assets/sdk.js");

/// Names this very text, so that a browser asks again and gets it only if it has changed.
static ETAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    SDK.hash(&mut hasher);
    HeaderValue::from_str(&format!("\"{:016x}\"", hasher.finish())).expect("hexadecimal digits")
});

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/sdk.js", get(|headers: HeaderMap| async move { sdk(&headers) }))
}

/// Any page may load it: a module of another origin is nothing without this header.
fn sdk(asked: &HeaderMap) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
        (header::ETAG, ETAG.clone()),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    if asked.get(header::IF_NONE_MATCH) == Some(&ETAG) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, SDK).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sent_once_to_whoever_keeps_it() {
        let first = sdk(&HeaderMap::new());
        assert_eq!(
            (first.status(), &first.headers()["access-control-allow-origin"]),
            (StatusCode::OK, &"*".parse().unwrap())
        );
        let mut again = HeaderMap::new();
        again.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!(sdk(&again).status(), StatusCode::NOT_MODIFIED);
        again.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
        assert_eq!(sdk(&again).status(), StatusCode::OK);
    }
}
