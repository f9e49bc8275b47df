//! What a request brings to show who it comes from: a token or API key, a session, in `dev` a name. Only found
//! here, not judged; never shown in a log.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, COOKIE},
};
use roomcast_protocol::SessionId;

use super::error::AuthError;
use crate::query::Query;

/// The header that carries a session, both ways.
pub const SESSION_HEADER: HeaderName = HeaderName::from_static("roomcast-session");

/// Where a token was found. The first of these that a request has counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `Authorization: Bearer …`
    Header,
    /// `?token=…`
    Query,
    /// The cookie that the configuration names. A browser sends it whatever page asks: check the origin.
    Cookie,
}

/// What was found in a request, unverified.
#[derive(Clone, Default)]
pub struct Credentials {
    pub(super) token: Option<(Place, String)>,
    pub(super) name: Option<String>,
}

impl Credentials {
    /// Looks through a request: its headers, its query string, and the cookie of this name.
    pub fn find(headers: &HeaderMap, query: &str, cookie: Option<&str>) -> Self {
        let token = bearer(headers)
            .map(|token| (Place::Header, token))
            .or_else(|| parameter(query, "token").map(|token| (Place::Query, token)))
            .or_else(|| cookie_named(headers, cookie?).map(|token| (Place::Cookie, token)));
        Self { token, name: parameter(query, "user") }
    }

    /// Where the token is from; `None` without one.
    pub fn place(&self) -> Option<Place> {
        self.token.as_ref().map(|(place, _)| *place)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?})", self.place())
    }
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    // What isn't UTF-8 can't be a token, and is refused as one.
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| String::from_utf8_lossy(token.trim_ascii()).into_owned())
}

fn cookie_named(headers: &HeaderMap, name: &str) -> Option<String> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value.trim_matches('"').to_owned())
}

/// The first value of a parameter in a query string.
fn parameter(query: &str, name: &str) -> Option<String> {
    Query::in_text(query).text(name).map(Cow::into_owned)
}

/// The session of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// The session.
    pub id: SessionId,
    /// Whether the client has yet to be told of it.
    pub minted: bool,
}

/// The session that a request presents as `?session=` or in its header, else a fresh one.
pub fn session(headers: &HeaderMap, query: &str) -> Result<Presented, AuthError> {
    let header =
        || headers.get(SESSION_HEADER).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    match parameter(query, "session").or_else(header) {
        None => Ok(Presented { id: minted(), minted: true }),
        Some(text) => SessionId::new(&text)
            .map(|id| Presented { id, minted: false })
            .map_err(|error| AuthError::session(error.to_string())),
    }
}

/// 128 random bits as base64url.
fn minted() -> SessionId {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).expect("the system has random numbers");
    SessionId::new(&URL_SAFE_NO_PAD.encode(random)).expect("16 bytes are 22 characters")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use roomcast_protocol::{Close, Code};

    use super::*;

    fn headers(list: &[(HeaderName, &'static str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_first_place_counts() {
        let check = |list: &[(HeaderName, &'static str)], query: &str, expected: Option<(Place, &str)>| {
            let found = Credentials::find(&headers(list), query, Some("jwt")).token;
            assert_eq!(found, expected.map(|(place, token)| (place, token.to_owned())), "{list:?} {query}");
        };
        let header = (AUTHORIZATION, "Bearer a.b.c");
        let cookie = (COOKIE, "x=1; jwt=\"g.h.i\"; y=2");
        check(&[header.clone(), cookie.clone()], "token=d.e.f", Some((Place::Header, "a.b.c")));
        check(std::slice::from_ref(&cookie), "x=1&token=d%2Ee.f", Some((Place::Query, "d.e.f")));
        check(&[cookie], "", Some((Place::Cookie, "g.h.i")));
        check(&[(AUTHORIZATION, "bearer  t ")], "", Some((Place::Header, "t")));
        check(&[(AUTHORIZATION, "Basic dTpw")], "", None);
        check(&[(AUTHORIZATION, "Bearer")], "token=", Some((Place::Query, "")));
        check(&[(COOKIE, "other=1")], "tokens=1", None);
        assert!(Credentials::find(&headers(&[(COOKIE, "jwt=1")]), "", None).token.is_none());
    }

    #[test]
    fn never_shown() {
        let found = Credentials::find(&HeaderMap::new(), "token=secret&user=secret", None);
        assert_eq!(format!("{found:?}"), "Credentials(Some(Query))");
    }

    #[test]
    fn sessions() {
        let text = "abcdefghijklmnopqrstu-";
        let none = HeaderMap::new();
        let presented = session(&none, &format!("session={text}")).unwrap();
        assert_eq!((&*presented.id, presented.minted), (text, false));
        let header = headers(&[(SESSION_HEADER, "abcdefghijklmnopqrstu_")]);
        assert_eq!(&*session(&header, "").unwrap().id, "abcdefghijklmnopqrstu_");
        assert_eq!(&*session(&header, &format!("session={text}")).unwrap().id, text);
        let (one, other) = (session(&none, "").unwrap(), session(&none, "").unwrap());
        assert!(one.minted && one.id != other.id);
        for bad in ["", "short", "abcdefghijklmnopqrstu%2B"] {
            let error = session(&none, &format!("session={bad}")).unwrap_err();
            assert_eq!((error.code(), error.close()), (Code::BadRequest, Close::Unauthorized), "{bad}");
        }
    }
}
