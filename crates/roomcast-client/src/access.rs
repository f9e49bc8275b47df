//! Where a client goes and as whom: what stands on each of its requests.

use form_urlencoded::Serializer;
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION, uri::PathAndQuery};
use roomcast_protocol::SessionId;

use crate::dial::Dialer;

/// The header that carries the session, so that it stands in no log of URLs.
const SESSION_HEADER: HeaderName = HeaderName::from_static("roomcast-session");

/// A server, and who comes to it.
pub(crate) struct Access {
    pub(crate) dialer: Dialer,
    pub(crate) session: SessionId,
    /// A name, for a server that lets guests choose one.
    pub(crate) user: Option<String>,
}

impl Access {
    /// A path below the server's own, with a query that names the user.
    pub(crate) fn path(&self, path: &str, query: &[(&str, String)]) -> PathAndQuery {
        let mut written = Serializer::new(String::new());
        written.extend_pairs(query);
        written.extend_pairs(self.user.iter().map(|user| ("user", user)));
        self.dialer.address.path(path, &written.finish())
    }

    /// The session, and the token if there is one.
    pub(crate) fn headers(&self, token: Option<&str>) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        let mut session = HeaderValue::from_str(&self.session).expect("a session is printable");
        session.set_sensitive(true);
        headers.insert(SESSION_HEADER, session);
        if let Some(token) = token {
            let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut bearer = bearer.map_err(|_| "the token has characters that no token has")?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        Ok(headers)
    }
}
