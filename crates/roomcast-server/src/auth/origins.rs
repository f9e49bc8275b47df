//! Which web pages may talk to the server: one list for WebSocket handshakes and for CORS. Requests without an
//! `Origin` come from no page and pass.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr},
};

use http::{
    HeaderMap, Uri,
    header::{HOST, ORIGIN},
};

use super::error::{AuthError, SetupError, shown};

/// The pages that may connect.
#[derive(Clone, Debug)]
pub struct Origins(Allowed);

#[derive(Clone, Debug)]
enum Allowed {
    /// Every page, `null` ones too.
    Any,
    /// Pages that this server's own host serves.
    SameHost,
    /// Pages of this machine.
    Loopback,
    /// Pages of these origins.
    List(Vec<Entry>),
}

#[derive(Clone, Debug)]
enum Entry {
    Exact(Origin),
    /// Every host under the one that is named here.
    Below(Origin),
}

/// An origin (RFC 6454), in lower case and without the default port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origins {
    /// The list of the configuration: `https://example.com`, `https://*.example.com` for every host below it,
    /// or `*`. An empty list allows pages from the server's own host, as the request's `Host` names it.
    pub fn new<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Self, SetupError> {
        let list: Vec<&str> = list.into_iter().collect();
        if list.is_empty() {
            return Ok(Self(Allowed::SameHost));
        }
        if list.contains(&"*") {
            return Ok(Self(Allowed::Any));
        }
        Ok(Self(Allowed::List(list.into_iter().map(Entry::read).collect::<Result<_, _>>()?)))
    }

    /// For `dev`: pages of this machine, on whatever port.
    pub fn loopback() -> Self {
        Self(Allowed::Loopback)
    }

    /// Whether the page that a request comes from may talk to the server.
    pub fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), AuthError> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        let text = String::from_utf8_lossy(origin.as_bytes());
        let host = host(headers, uri).unwrap_or_default();
        if origins.next().is_none() && self.allows(&text, &host) {
            return Ok(());
        }
        let advice = match self.0 {
            Allowed::Loopback => "in dev only pages of this machine may connect",
            _ => "add it to server.origins",
        };
        Err(AuthError::origin(format!("the page's origin {} is not allowed; {advice}", shown(&text))))
    }

    /// In `dev`, whether a request's host is this machine: any other name is that of a page which had it
    /// point here (DNS rebinding), and such a page's own requests carry no `Origin`.
    pub fn check_host(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), AuthError> {
        let (Allowed::Loopback, Some(host)) = (&self.0, host(headers, uri)) else { return Ok(()) };
        match Origin::read(&format!("http://{host}")) {
            Some(named) if is_loopback(&named.host) => Ok(()),
            _ => {
                Err(AuthError::origin(format!("{} is not this machine; in dev use localhost", shown(&host))))
            }
        }
    }

    /// Whether a cookie may count as a token: not where any page could have the browser send it along.
    pub fn check_cookie(&self) -> Result<(), AuthError> {
        match self.0 {
            Allowed::Any => Err(AuthError::unauthorized(
                "the token came in a cookie while server.origins is \"*\"; list the pages that may use it",
            )),
            _ => Ok(()),
        }
    }

    fn allows(&self, origin: &str, host: &str) -> bool {
        let page = Origin::read(origin);
        match (&self.0, page) {
            (Allowed::Any, _) => true,
            (_, None) => false,
            (Allowed::SameHost, Some(page)) => page.is_at(host),
            (Allowed::Loopback, Some(page)) => page.is_web() && is_loopback(&page.host),
            (Allowed::List(entries), Some(page)) => entries.iter().any(|entry| entry.matches(&page)),
        }
    }
}

/// The host that a request names: in its address, as over HTTP/2, else in `Host`.
fn host<'r>(headers: &'r HeaderMap, uri: &'r Uri) -> Option<Cow<'r, str>> {
    let header = headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
    uri.authority().map(|authority| authority.as_str().into()).or(header)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Entry {
    fn read(text: &str) -> Result<Self, SetupError> {
        let starred = text.split_once("://*.");
        let origin = match starred {
            Some((scheme, rest)) => Origin::read(&format!("{scheme}://{rest}")),
            None => Origin::read(text),
        };
        match origin {
            Some(origin) if starred.is_some() => Ok(Self::Below(origin)),
            Some(origin) => Ok(Self::Exact(origin)),
            None => Err(SetupError(format!(
                "{} is no origin; write scheme://host or scheme://host:port without a path, \
                 https://*.example.com, or * for every page",
                shown(text)
            ))),
        }
    }

    fn matches(&self, page: &Origin) -> bool {
        match self {
            Self::Exact(origin) => origin == page,
            Self::Below(parent) => {
                let host = page.host.strip_suffix(&*parent.host).and_then(|rest| rest.strip_suffix('.'));
                host.is_some_and(|host| !host.is_empty())
                    && (&page.scheme, page.port) == (&parent.scheme, parent.port)
            }
        }
    }
}

impl Origin {
    /// Reads `scheme://host[:port]` and nothing more.
    fn read(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let (scheme, authority) = lower.split_once("://")?;
        let scheme_good = |b: u8| b.is_ascii_alphanumeric() || b"+.-".contains(&b);
        if scheme.is_empty() || !scheme.bytes().all(scheme_good) {
            return None;
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !authority.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (authority, None),
        };
        let default = match scheme {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        };
        let port = port.filter(|_| port != default);
        is_host(host).then(|| Self { scheme: scheme.into(), host: host.into(), port })
    }

    fn is_web(&self) -> bool {
        matches!(&*self.scheme, "http" | "https")
    }

    /// Whether this is the origin of pages served at `host`, as a `Host` header names it.
    fn is_at(&self, host: &str) -> bool {
        self.is_web() && Self::read(&format!("{}://{host}", self.scheme)).as_ref() == Some(self)
    }
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use roomcast_protocol::{Close, Code};

    use super::*;

    fn request(origin: &str, host: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
        headers.insert(HOST, HeaderValue::from_static(host));
        headers
    }

    fn allowed(origins: &Origins, origin: &str) -> bool {
        origins.check(&request(origin, "chat.example.com:8000"), &Uri::default()).is_ok()
    }

    #[test]
    fn a_list_allows_what_it_names() {
        let list = ["https://example.com", "http://b.test:8080", "https://*.c.test", "capacitor://localhost"];
        let origins = Origins::new(list).unwrap();
        for good in [
            "https://example.com",
            "https://EXAMPLE.com:443",
            "http://b.test:8080",
            "https://x.y.c.test",
            "capacitor://localhost",
        ] {
            assert!(allowed(&origins, good), "{good}");
        }
        for bad in [
            "null",
            "",
            "https://example.com.evil.test",
            "https://evil.test/?https://example.com",
            "https://evil.test?x.c.test",
            "https://example.com@evil.test",
            "http://example.com",
            "https://example.com:8443",
            "http://b.test",
            "https://c.test",
            "https://evilc.test",
            "https://.c.test",
            "http://x.c.test",
            "http://chat.example.com:8000",
            "http://localhost",
        ] {
            assert!(!allowed(&origins, bad), "{bad}");
        }
    }

    #[test]
    fn without_a_list_the_own_host_is_allowed() {
        let origins = Origins::new([]).unwrap();
        assert!(allowed(&origins, "http://chat.example.com:8000"));
        for bad in ["http://chat.example.com", "http://evil.test:8000", "null", "http://localhost:8000"] {
            assert!(!allowed(&origins, bad), "{bad}");
        }
        assert!(origins.check(&request("https://a.test", "a.test"), &Uri::default()).is_ok());
        assert!(origins.check(&request("https://a.test", "a.test:443"), &Uri::default()).is_ok());
    }

    #[test]
    fn over_http_2_the_address_names_the_host() {
        let mut page = HeaderMap::new();
        page.insert(ORIGIN, HeaderValue::from_static("https://a.test:8443"));
        let to = |address: &'static str| Uri::from_static(address);
        let own = Origins::new([]).unwrap();
        assert!(own.check(&page, &to("https://a.test:8443/rooms")).is_ok());
        assert!(own.check(&page, &to("https://b.test:8443/rooms")).is_err());
        assert!(Origins::loopback().check_host(&HeaderMap::new(), &to("http://evil.test/rooms")).is_err());
        assert!(Origins::loopback().check_host(&HeaderMap::new(), &to("http://localhost:1/rooms")).is_ok());
    }

    #[test]
    fn dev_allows_pages_of_this_machine() {
        let origins = Origins::loopback();
        for good in
            ["http://localhost:5173", "http://127.0.0.1:8000", "http://127.9.9.9", "https://[::1]:3000"]
        {
            assert!(allowed(&origins, good), "{good}");
        }
        // The last one is what a name that was made to point here looks like.
        for bad in ["null", "http://localhost.evil.test", "http://10.0.0.1", "http://chat.example.com:8000"] {
            assert!(!allowed(&origins, bad), "{bad}");
        }
    }

    #[test]
    fn no_origin_passes_and_two_do_not() {
        let origins = Origins::new(["https://example.com"]).unwrap();
        assert!(origins.check(&HeaderMap::new(), &Uri::default()).is_ok());
        let mut twice = request("https://example.com", "a");
        twice.append(ORIGIN, HeaderValue::from_static("https://example.com"));
        assert!(origins.check(&twice, &Uri::default()).is_err());
    }

    #[test]
    fn a_star_allows_every_page() {
        let origins = Origins::new(["*", "https://example.com"]).unwrap();
        assert!(allowed(&origins, "null") && allowed(&origins, "https://anybody.test"));
    }

    #[test]
    fn refused_with_advice() {
        let error =
            Origins::new([]).unwrap().check(&request("https://evil.test", "a"), &Uri::default()).unwrap_err();
        assert_eq!((error.close(), error.code()), (Close::Origin, Code::Forbidden));
        assert_eq!(
            error.reason(),
            r#"origin: the page's origin "https://evil.test" is not allowed; add it to server.origins"#
        );
    }

    #[test]
    fn entries_that_are_no_origin() {
        for bad in
            ["null", "example.com", "https://a.test/", "https://*", "https://a.*.test", "https://a:x", ""]
        {
            assert!(Origins::new([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_of_this_machine() {
        let check = |host: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).unwrap());
            assert_eq!(Origins::loopback().check_host(&headers, &Uri::default()).is_ok(), expected, "{host}");
            assert!(Origins::new([]).unwrap().check_host(&headers, &Uri::default()).is_ok(), "{host}");
        };
        check("localhost:8000", true);
        check("127.0.0.1", true);
        check("[::1]:8000", true);
        check("evil.test:8000", false);
        check("localhost@evil.test", false);
        assert!(Origins::loopback().check_host(&HeaderMap::new(), &Uri::default()).is_ok());
    }
}
