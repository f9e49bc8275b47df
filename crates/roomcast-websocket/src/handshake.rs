//! The opening handshake's headers, both ends (RFC 6455 §4).
//!
//! A server hands in the request its HTTP library has read; a client gets the bytes of a request and hands
//! in the bytes of the response. Nothing here opens a connection or draws a random number.
//!
//! ```
//! use http::{HeaderValue, Request, header};
//! use roomcast_websocket::handshake;
//!
//! let request = Request::get("/ws")
//!     .header("Upgrade", "websocket")
//!     .header("Connection", "Upgrade")
//!     .header("Sec-WebSocket-Version", "13")
//!     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
//!     .header("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=11")
//!     .body(())?;
//!
//! let upgrade = handshake::check_request(&request)?; // else answer with `Refusal::response`
//! let mut response = upgrade.response();
//! if let Some((deflate, accepted)) = upgrade.deflate() {
//!     response.headers_mut().insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_str(&accepted)?);
//!     assert_eq!(deflate.window_bits(), 11);
//! }
//! assert_eq!(response.headers()["Sec-WebSocket-Accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
mod server;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

pub use client::{Accepted, ResponseError, key, read_response, request};
pub use server::{Refusal, Upgrade, check_connect, check_request};

/// What the key is hashed with (§1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    STANDARD.encode(digest)
}

/// The elements of a comma-separated header, over all its lines.
fn list<'a>(headers: &'a http::HeaderMap, name: &http::HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|element| !element.is_empty())
}

/// Whether a comma-separated header names `token`, in any case.
fn names(headers: &http::HeaderMap, name: &http::HeaderName, token: &str) -> bool {
    list(headers, name).any(|element| element.eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
