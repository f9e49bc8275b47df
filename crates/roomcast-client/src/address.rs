//! Where a server is: what the URL that people write means.

use std::{fmt, str::FromStr};

use http::{
    Uri,
    uri::{Authority, PathAndQuery, Scheme},
};

/// The path below which a server's WebSocket is.
pub(crate) const SOCKET_PATH: &str = "/ws";

/// A server: `https://host` or `wss://host`, `http://host:8000` or `ws://host:8000`, with the path it is nested at
/// if it is (`https://host/realtime`), `/ws` at the end or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    is_secure: bool,
    authority: Authority,
    /// Without a slash at the end; empty at the root.
    path: String,
}

/// Why a URL names no server that this client can talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(url: &str) -> Result<Self, AddressError> {
        let wrong = |why: &str| AddressError(format!("the URL {:?} {why}", shown(url)));
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("can't be read: {error}")))?;
        let is_secure = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => {
                return Err(wrong(
                    "has no scheme; write http://host:port, or https://host where there is TLS",
                ));
            }
        };
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?.clone();
        if authority.as_str().contains('@') {
            return Err(wrong("has a user name in it; a server takes a token instead"));
        }
        let port = authority.as_str()[authority.host().len()..].strip_prefix(':').unwrap_or_default();
        if !port.is_empty() && authority.port_u16().is_none() {
            return Err(wrong("has a port that is no number up to 65535"));
        }
        if uri.query().is_some() {
            return Err(wrong("has a query; give the token and the name by themselves"));
        }
        let path = uri.path().trim_end_matches('/');
        let path = path.strip_suffix(SOCKET_PATH).unwrap_or(path).trim_end_matches('/').to_owned();
        Ok(Self { is_secure, authority, path })
    }
}

/// A URL as it may stand in a log: without the password or the token that somebody has put into it.
pub(crate) fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.rsplit_once('@') {
        None => url.into(),
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://…@{host}")
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority, self.path)
    }
}

impl Address {
    pub(crate) fn scheme(&self) -> Scheme {
        if self.is_secure { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// For the `Host` header.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Whether there is TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The host and the port to connect to.
    pub(crate) fn host_and_port(&self) -> (&str, u16) {
        let default = if self.is_secure { 443 } else { 80 };
        let host = self.authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        (host, self.authority.port_u16().unwrap_or(default))
    }

    /// A path below the server's own, with a query.
    pub(crate) fn path(&self, path: &str, query: &str) -> PathAndQuery {
        let path = format!("{}{path}?{query}", self.path);
        PathAndQuery::from_maybe_shared(path).expect("a path that was read, and an encoded query")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        let check = |url: &str, host: (&str, u16), socket: &str| {
            let address: Address = url.parse().expect(url);
            assert_eq!(address.host_and_port(), host, "{url}");
            assert_eq!(address.path("/ws", "a=1").as_str(), socket, "{url}");
        };
        check("http://127.0.0.1:8000", ("127.0.0.1", 8000), "/ws?a=1");
        check("ws://localhost:8000/ws", ("localhost", 8000), "/ws?a=1");
        check("http://[::1]:8000/", ("::1", 8000), "/ws?a=1");
        check("http://example.com/realtime", ("example.com", 80), "/realtime/ws?a=1");
        check("ws://example.com/realtime/ws/", ("example.com", 80), "/realtime/ws?a=1");
        check("https://example.com", ("example.com", 443), "/ws?a=1");
        check("wss://example.com:8443/ws", ("example.com", 8443), "/ws?a=1");
    }

    #[test]
    fn what_is_wrong_with_others() {
        let check = |url: &str, why: &str| {
            let error = url.parse::<Address>().expect_err(url).to_string();
            assert!(error.contains(why), "{url}: {error}");
        };
        check("localhost:8000", "has no scheme");
        check("ftp://example.com", "has no scheme");
        check("http://ada:secret@example.com", "a user name");
        check("http://example.com/ws?token=t", "has a query");
        check("http://example.com:65536", "a port");
        check("http://example.com:ws", "a port");
        check("http://exa mple.com", "can't be read");
        check("", "can't be read");
    }

    #[test]
    fn no_secret_of_a_url_stands_in_what_is_wrong_with_it() {
        for url in [
            "http://ada:secret@example.com",
            "http://example.com/ws?token=secret",
            "ftp://ada:secret@example.com/?token=secret",
            "http://exa mple.com/ws?token=secret",
            "ada:secret@exa mple.com",
        ] {
            let error = url.parse::<Address>().expect_err(url).to_string();
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }
}
