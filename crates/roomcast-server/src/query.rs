//! The query string of a request, read where a value is asked for.

use std::{borrow::Cow, str::FromStr};

use http::Uri;

/// A query string.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(crate) fn of(uri: &'a Uri) -> Self {
        Self(uri.query().unwrap_or_default())
    }

    /// The first value of a key.
    pub(crate) fn text(self, key: &str) -> Option<Cow<'a, str>> {
        form_urlencoded::parse(self.0.as_bytes()).find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Every value of a key.
    pub(crate) fn all(self, key: &'static str) -> impl Iterator<Item = Cow<'a, str>> {
        let pairs = form_urlencoded::parse(self.0.as_bytes());
        pairs.filter(move |(name, _)| name == key).map(|(_, value)| value)
    }

    /// The first value of a key, if it is a number.
    pub(crate) fn number<T: FromStr>(self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }
}
