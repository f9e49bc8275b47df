//! A server's half: is this request a WebSocket upgrade, and what does it ask for?
//! It never judges origins, tokens or paths.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use http::header::{
    ALLOW, CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};

use super::{accept_key, list, names};
use crate::Deflate;

/// Some clients draw all 22 characters of the key at random, so that its last one has bits without meaning.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A valid request for a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The value of `Sec-WebSocket-Accept`; empty over HTTP/2, which has none.
    pub accept: String,
    /// The sub-protocols that the client offers, the favourite first.
    pub protocols: Vec<String>,
    /// The client's `Sec-WebSocket-Extensions`, for [`Upgrade::deflate`].
    pub extensions: String,
}

impl Upgrade {
    /// `permessage-deflate` as the client offers it, and the `Sec-WebSocket-Extensions` that accepts it.
    pub fn deflate(&self) -> Option<(Deflate, String)> {
        Deflate::negotiate(&self.extensions)
    }

    /// The response that opens it: 101, over HTTP/2 200. A sub-protocol and extensions are the caller's to add.
    pub fn response(&self) -> Response<()> {
        let mut response = Response::new(());
        if self.accept.is_empty() {
            return response;
        }
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        response
    }
}

/// Why a request can't become a WebSocket; its text tells a developer what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 405: the method isn't GET.
    Method(Method),
    /// 400: HTTP/1.0, or a version that upgrades otherwise.
    HttpVersion(Version),
    /// 426: no `Upgrade: websocket` with `Connection: Upgrade`; most likely not a WebSocket client.
    NotAnUpgrade,
    /// 426: `Sec-WebSocket-Version` isn't 13.
    Version(String),
    /// 400: `Sec-WebSocket-Key` is missing, repeated, or not 16 bytes in base64.
    Key(String),
}

impl Refusal {
    /// The status that tells it.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAnUpgrade | Self::Version(_) => StatusCode::UPGRADE_REQUIRED,
            Self::HttpVersion(_) | Self::Key(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// The whole response: status, the headers that it calls for, and the reason as plain text.
    pub fn response(&self) -> Response<String> {
        let mut response = Response::new(format!("{self}\n"));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match self.status() {
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            _ => {}
        }
        response
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(method) => write!(f, "a WebSocket is opened with GET, not {method}"),
            Self::HttpVersion(version) => write!(
                f,
                "a WebSocket is opened by an upgrade of HTTP/1.1, or over HTTP/2 by CONNECT (RFC 8441); this is neither, over {version:?}"
            ),
            Self::NotAnUpgrade => write!(
                f,
                "this address speaks WebSocket: the request lacks `Upgrade: websocket` and `Connection: Upgrade`; \
                 use a WebSocket client, and if there is a proxy between, let it pass both headers on"
            ),
            Self::Version(version) => {
                write!(f, "Sec-WebSocket-Version is {version:?}: only 13 is spoken here")
            }
            Self::Key(key) => {
                write!(f, "Sec-WebSocket-Key is {key:?}: it must be 16 random bytes in base64, once")
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// Reads a request's upgrade headers (§4.2.1).
pub fn check_request<B>(request: &Request<B>) -> Result<Upgrade, Refusal> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(Refusal::Method(request.method().clone()));
    }
    if request.version() != Version::HTTP_11 {
        return Err(Refusal::HttpVersion(request.version()));
    }
    if !names(headers, &UPGRADE, "websocket") || !names(headers, &CONNECTION, "upgrade") {
        return Err(Refusal::NotAnUpgrade);
    }
    check_version(headers)?;
    let key = joined(headers, &SEC_WEBSOCKET_KEY);
    if !LENIENT.decode(&key).is_ok_and(|bytes| bytes.len() == 16) {
        return Err(Refusal::Key(key));
    }
    Ok(offered(accept_key(&key), headers))
}

/// Reads an extended CONNECT whose `:protocol` is `websocket` (RFC 8441, section 5).
pub fn check_connect<B>(request: &Request<B>) -> Result<Upgrade, Refusal> {
    if request.method() != Method::CONNECT {
        return Err(Refusal::Method(request.method().clone()));
    }
    check_version(request.headers())?;
    Ok(offered(String::new(), request.headers()))
}

fn check_version(headers: &HeaderMap) -> Result<(), Refusal> {
    let version = joined(headers, &SEC_WEBSOCKET_VERSION);
    if version == "13" { Ok(()) } else { Err(Refusal::Version(version)) }
}

fn offered(accept: String, headers: &HeaderMap) -> Upgrade {
    Upgrade {
        accept,
        protocols: list(headers, &SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect(),
        extensions: joined(headers, &SEC_WEBSOCKET_EXTENSIONS),
    }
}

/// All lines of a header as one; what isn't ASCII doesn't count.
fn joined(headers: &HeaderMap, name: &http::HeaderName) -> String {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.map(str::trim).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    type Headers = &'static [(&'static str, &'static str)];

    const VALID: Headers = &[
        ("host", "example.com"),
        ("upgrade", "websocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ];

    /// The valid request with some headers replaced; an empty value takes the header out.
    fn request(changes: &[(&str, &str)]) -> Request<()> {
        let kept = VALID.iter().filter(|(name, _)| !changes.iter().any(|(other, _)| other == name));
        let added = changes.iter().filter(|(_, value)| !value.is_empty());
        let builder = Request::builder().uri("/ws");
        let builder = kept.chain(added).fold(builder, |builder, (name, value)| builder.header(*name, *value));
        builder.body(()).expect("a valid request")
    }

    #[test]
    fn a_valid_request_says_what_it_asks_for() {
        let request = request(&[
            ("upgrade", "h2c, WebSocket"),
            ("connection", "UPGRADE"),
            ("sec-websocket-protocol", "roomcast.v1, chat"),
            ("sec-websocket-protocol", "superchat"),
            ("sec-websocket-extensions", "foo"),
            ("sec-websocket-extensions", "permessage-deflate; server_max_window_bits=11"),
        ]);
        let upgrade = check_request(&request).expect("a valid request");
        assert_eq!(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(upgrade.protocols, ["roomcast.v1", "chat", "superchat"]);
        assert_eq!(upgrade.deflate().map(|(deflate, _)| deflate.window_bits()), Some(11));

        let response = upgrade.response();
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()["sec-websocket-accept"], upgrade.accept);
        assert_eq!(response.headers()["upgrade"], "websocket");
        assert_eq!(response.headers()["connection"], "Upgrade");
    }

    #[test]
    fn a_key_of_any_22_characters_is_taken() {
        assert!(check_request(&request(&[("sec-websocket-key", "abcdefghijklmnopqrstuv==")])).is_ok());
    }

    #[test]
    fn refusals_say_what_was_seen() {
        let key = |seen: &str| Refusal::Key(seen.to_owned());
        let version = |seen: &str| Refusal::Version(seen.to_owned());
        let table: [(Headers, Refusal, u16); 11] = [
            (&[("upgrade", "")], Refusal::NotAnUpgrade, 426),
            (&[("upgrade", "h2c")], Refusal::NotAnUpgrade, 426),
            (&[("connection", "")], Refusal::NotAnUpgrade, 426),
            (&[("connection", "close")], Refusal::NotAnUpgrade, 426),
            (&[("sec-websocket-version", "")], version(""), 426),
            (&[("sec-websocket-version", "8")], version("8"), 426),
            (&[("sec-websocket-version", "13, 8")], version("13, 8"), 426),
            (&[("sec-websocket-key", "")], key(""), 400),
            (&[("sec-websocket-key", "c2hvcnQ=")], key("c2hvcnQ="), 400),
            (&[("sec-websocket-key", "not base64 at all!!!!!==")], key("not base64 at all!!!!!=="), 400),
            (
                &[("sec-websocket-key", KEY), ("sec-websocket-key", KEY)],
                key("dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="),
                400,
            ),
        ];
        for (changes, expected, status) in table {
            assert_eq!(check_request(&request(changes)), Err(expected.clone()), "{changes:?}");
            let response = expected.response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().contains_key(SEC_WEBSOCKET_VERSION), status == 426);
            assert_eq!(response.into_body(), format!("{expected}\n"));
        }
    }

    #[test]
    fn only_get_over_http_1_1_upgrades() {
        let mut post = request(&[]);
        *post.method_mut() = Method::POST;
        let refusal = check_request(&post).expect_err("POST");
        assert_eq!(refusal.response().headers()[ALLOW], "GET");
        assert_eq!(refusal.status(), 405);

        let mut old = request(&[]);
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(check_request(&old).map_err(|refusal| refusal.status().as_u16()), Err(400));
    }
}
