//! A token, kept out of logs.

use std::{fmt, ops::Deref, sync::Arc};

/// A token. Whoever wants to read it must ask for its text: `{:?}` doesn't show it. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for Secret {
    fn from(token: T) -> Self {
        Self(token.into())
    }
}
