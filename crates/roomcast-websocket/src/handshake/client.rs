//! A client's half: the request's bytes, and the check of the response (§4.1, §4.2.2).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, StatusCode};

use super::{accept_key, list, names};

/// Headers of a response that are looked at; one with more is refused.
const RESPONSE_HEADERS_MAX: usize = 64;

/// Bytes that a response's head may take.
const RESPONSE_HEAD_BYTES_MAX: usize = 16 * 1024;

/// The `Sec-WebSocket-Key` for 16 bytes drawn at random for this handshake.
pub fn key(random: [u8; 16]) -> String {
    STANDARD.encode(random)
}

/// The bytes of an upgrade request.
///
/// `headers` come on top: `Origin`, `Authorization`, `Sec-WebSocket-Protocol`, `Sec-WebSocket-Extensions`.
/// The typed arguments can't smuggle a line break into the request.
pub fn request(host: &Authority, path: &PathAndQuery, headers: &HeaderMap, key: &str) -> Vec<u8> {
    let mut out = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
    )
    .into_bytes();
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// What a server agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The sub-protocol; a client that offered none, or not this one, must fail the connection.
    pub protocol: Option<String>,
    /// `Sec-WebSocket-Extensions`, for [`Deflate::accept`](crate::Deflate::accept); a client that offered
    /// none must fail the connection if there are any.
    pub extensions: Option<String>,
    /// How many bytes of the input the response took; what follows are frames.
    pub head_bytes: usize,
}

/// Why the server's answer doesn't open a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// Not HTTP/1.1, or more than 64 headers or 16 KiB of them.
    Malformed(String),
    /// Another status than 101.
    Status(StatusCode),
    /// 101 without `Upgrade: websocket` and `Connection: Upgrade`.
    NotAnUpgrade,
    /// `Sec-WebSocket-Accept` doesn't match the key: the server didn't read it, or a cache answered.
    Accept {
        /// What the server sent.
        seen: String,
        /// What the key asks for.
        expected: String,
    },
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "the server's answer is not an HTTP/1.1 response: {why}"),
            Self::Status(status) => {
                write!(f, "the server answered {status} instead of 101 Switching Protocols")
            }
            Self::NotAnUpgrade => write!(f, "the server answered 101 without `Upgrade: websocket`"),
            Self::Accept { seen, expected } => {
                write!(
                    f,
                    "Sec-WebSocket-Accept is {seen:?}, expected {expected:?}: not the answer to this request"
                )
            }
        }
    }
}

impl std::error::Error for ResponseError {}

/// Reads the response to a [`request`] with this `key`, or `None` if `input` doesn't hold all of it yet.
pub fn read_response(input: &[u8], key: &str) -> Result<Option<Accepted>, ResponseError> {
    let mut headers = [httparse::EMPTY_HEADER; RESPONSE_HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(input).map_err(|error| ResponseError::Malformed(error.to_string()))?;
    let httparse::Status::Complete(head_bytes) = parsed else {
        if input.len() > RESPONSE_HEAD_BYTES_MAX {
            return Err(ResponseError::Malformed(format!("no end after {} bytes", input.len())));
        }
        return Ok(None);
    };
    let status = StatusCode::from_u16(response.code.unwrap_or_default());
    let status = status.map_err(|error| ResponseError::Malformed(error.to_string()))?;
    check_response(status, &header_map(response.headers)?, key)
        .map(|accepted| Some(Accepted { head_bytes, ..accepted }))
}

fn header_map(headers: &[httparse::Header<'_>]) -> Result<HeaderMap, ResponseError> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for header in headers {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let name = name.map_err(|error| ResponseError::Malformed(error.to_string()))?;
        let value = HeaderValue::from_bytes(header.value);
        map.append(name, value.map_err(|error| ResponseError::Malformed(error.to_string()))?);
    }
    Ok(map)
}

fn check_response(status: StatusCode, headers: &HeaderMap, key: &str) -> Result<Accepted, ResponseError> {
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(ResponseError::Status(status));
    }
    if !names(headers, &UPGRADE, "websocket") || !names(headers, &CONNECTION, "upgrade") {
        return Err(ResponseError::NotAnUpgrade);
    }
    let joined = |name| {
        let elements: Vec<&str> = list(headers, name).collect();
        (!elements.is_empty()).then(|| elements.join(", "))
    };
    let (seen, expected) = (joined(&SEC_WEBSOCKET_ACCEPT).unwrap_or_default(), accept_key(key));
    if seen != expected {
        return Err(ResponseError::Accept { seen, expected });
    }
    Ok(Accepted {
        protocol: joined(&SEC_WEBSOCKET_PROTOCOL),
        extensions: joined(&SEC_WEBSOCKET_EXTENSIONS),
        head_bytes: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: roomcast.v1\r\n\r\n";

    #[test]
    fn a_request_is_what_a_server_takes() {
        assert_eq!(key(*b"the sample nonce"), KEY);
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("roomcast.v1"));
        let host = Authority::from_static("example.com:8000");
        let bytes = request(&host, &PathAndQuery::from_static("/ws?session=x"), &headers, KEY);
        assert_eq!(
            String::from_utf8_lossy(&bytes),
            "GET /ws?session=x HTTP/1.1\r\nHost: example.com:8000\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: roomcast.v1\r\n\r\n"
        );
    }

    #[test]
    fn a_response_is_read_once_it_is_whole_and_no_further() {
        let input = [ACCEPTED.as_bytes(), b"\x81\x02hi"].concat();
        for len in 0..ACCEPTED.len() {
            assert_eq!(read_response(&input[..len], KEY), Ok(None), "after {len} bytes");
        }
        let protocol = Some("roomcast.v1".to_owned());
        let expected = Accepted { protocol, extensions: None, head_bytes: ACCEPTED.len() };
        assert_eq!(read_response(&input, KEY), Ok(Some(expected)));
    }

    #[test]
    fn another_answer_is_an_error_that_says_what_was_seen() {
        let changed = |from: &str, to: &str| read_response(ACCEPTED.replace(from, to).as_bytes(), KEY);
        let refused = changed("101 Switching Protocols", "403 Forbidden");
        assert_eq!(refused, Err(ResponseError::Status(StatusCode::FORBIDDEN)));
        assert_eq!(changed("Upgrade: WebSocket\r\n", ""), Err(ResponseError::NotAnUpgrade));
        assert_eq!(changed("upgrade", "close"), Err(ResponseError::NotAnUpgrade));
        let wrong = changed("s3pP", "AAAA").expect_err("the answer to another key");
        assert!(wrong.to_string().contains("AAAALMBiTxaQ9kYGzzhZRbK+xOo="), "{wrong}");
        for input in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 999999 No\r\n\r\n"] {
            let error = read_response(input.as_bytes(), KEY);
            assert!(matches!(error, Err(ResponseError::Malformed(_))), "{input}: {error:?}");
        }
    }

    #[test]
    fn a_head_without_end_is_given_up() {
        let endless = format!("HTTP/1.1 101 OK\r\nX: {}", "x".repeat(RESPONSE_HEAD_BYTES_MAX));
        assert!(matches!(read_response(endless.as_bytes(), KEY), Err(ResponseError::Malformed(_))));
        let many = format!("HTTP/1.1 101 OK\r\n{}", "X: y\r\n".repeat(RESPONSE_HEADERS_MAX + 1));
        assert!(matches!(read_response(many.as_bytes(), KEY), Err(ResponseError::Malformed(_))));
    }
}
