//! `/sdk.js` and `/sdk/webtransport.js`: the TypeScript SDK as modules, for pages without a build. Made from `sdk/js` by
//! `npm run bundle`, and checked in, so that building the server needs no npm.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// What there is, by path.
const MODULES: [(&str, &str); 2] = [
    ("/sdk.js", include_str!("../assets/sdk.js")),
    ("/sdk/webtransport.js", include_str!("../assets/sdk-webtransport.js")),
];

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    MODULES.into_iter().fold(Router::new(), |routes, (path, text)| {
        let etag = etag_of(text);
        routes.route(path, get(move |asked: HeaderMap| async move { module(text, &etag, &asked) }))
    })
}

/// Names this very text, so that a browser asks again and gets it only if it has changed.
fn etag_of(text: &str) -> HeaderValue {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    HeaderValue::from_str(&format!("\"{:016x}\"", hasher.finish())).expect("hexadecimal digits")
}

/// Any page may load it: a module of another origin is nothing without this header.
fn module(text: &'static str, etag: &HeaderValue, asked: &HeaderMap) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
        (header::ETAG, etag.clone()),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    if asked.get(header::IF_NONE_MATCH) == Some(etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sent_once_to_whoever_keeps_it() {
        for (_, text) in MODULES {
            let etag = etag_of(text);
            let status = |asked: &HeaderMap| module(text, &etag, asked).status();
            let first = module(text, &etag, &HeaderMap::new());
            assert_eq!(
                (first.status(), &first.headers()["access-control-allow-origin"]),
                (StatusCode::OK, &"*".parse().unwrap())
            );
            let mut again = HeaderMap::new();
            again.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
            assert_eq!(status(&again), StatusCode::NOT_MODIFIED);
            again.insert(header::IF_NONE_MATCH, HeaderValue::from_static("\"other\""));
            assert_eq!(status(&again), StatusCode::OK);
        }
    }
}
