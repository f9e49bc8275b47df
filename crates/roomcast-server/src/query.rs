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

    pub(crate) fn in_text(text: &'a str) -> Self {
        Self(text)
    }

    /// The first value of a key.
    pub(crate) fn text(self, key: &str) -> Option<Cow<'a, str>> {
        self.all(key).next()
    }

    /// Every value of a key.
    pub(crate) fn all(self, key: &str) -> impl Iterator<Item = Cow<'a, str>> {
        // A request is asked for many keys that it doesn't have: only what may be one is decoded.
        let may_be = move |pair: &&[u8]| {
            let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
            name == key.as_bytes() || name.contains(&b'%')
        };
        let pairs = self.0.as_bytes().split(|byte| *byte == b'&').filter(may_be);
        let decoded = pairs.filter_map(|pair| form_urlencoded::parse(pair).next());
        decoded.filter(move |(name, _)| name == key).map(|(_, value)| value)
    }

    /// The first value of a key, if it is a number.
    pub(crate) fn number<T: FromStr>(self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_however_it_is_written() {
        let query = Query::in_text("rooms=no&room=a%3Ab&%72oom=c+d&room&last=5&&=x&since=%ff");
        assert_eq!(query.all("room").collect::<Vec<_>>(), ["a:b", "c d", ""]);
        assert_eq!((query.text("roo"), query.number("last")), (None, Some(5)));
        assert_eq!((query.text("since").as_deref(), query.number::<u8>("room")), (Some("\u{fffd}"), None));
    }
}
