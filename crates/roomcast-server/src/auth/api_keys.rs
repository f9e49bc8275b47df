//! The keys of back ends. Only their SHA-256 is kept, and comparing takes the same time whether and where they
//! differ.

use std::fmt;

use roomcast_protocol::UserId;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::{SetupError, shown};

/// What every API key begins with.
pub(super) const PREFIX: &str = "rk_";
/// Random characters of an API key, at least: 128 bits in base64url.
const RANDOM_MIN: usize = 22;

/// The API keys that are taken.
#[derive(Clone, Default)]
pub struct ApiKeys(Vec<(UserId, [u8; 32])>);

impl ApiKeys {
    /// Adds a key under the name that logs and idempotency know it by.
    pub fn add(&mut self, id: &str, key: &str) -> Result<(), SetupError> {
        let name = UserId::new(id).map_err(|error| SetupError(error.to_string()))?;
        let random = key.strip_prefix(PREFIX).unwrap_or_default();
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if random.len() < RANDOM_MIN || !random.bytes().all(good) {
            return Err(SetupError(format!(
                "the API key {} is not {PREFIX} and at least {RANDOM_MIN} random characters of A-Z a-z 0-9 _ -",
                shown(id)
            )));
        }
        if self.0.iter().any(|(other, _)| *other == name) || self.find(key).is_some() {
            return Err(SetupError(format!("the API key {} stands there twice", shown(id))));
        }
        self.0.push((name, digest(key)));
        Ok(())
    }

    /// The name of this key, if it is one of them.
    pub(super) fn find(&self, key: &str) -> Option<&UserId> {
        let presented = digest(key);
        let mut found = None;
        for (name, known) in &self.0 {
            if bool::from(known.ct_eq(&presented)) {
                found = Some(name);
            }
        }
        found
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}
