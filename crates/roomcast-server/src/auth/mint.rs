//! Making tokens: for `roomcast token mint`, for tests, and for back ends written in Rust.

use std::fmt;

use jsonwebtoken::{EncodingKey, Header, encode};
use serde::Serialize;

use super::{
    error::SetupError,
    keys::{Algorithm, Key},
};

/// A key that signs tokens.
#[derive(Clone)]
pub struct Signer {
    algorithm: Algorithm,
    id: Option<String>,
    material: EncodingKey,
}

impl Signer {
    /// Signs with a shared secret, under the conditions of [`Key::secret`].
    pub fn secret(algorithm: Algorithm, secret: &str) -> Result<Self, SetupError> {
        Key::secret(algorithm, secret)?;
        Ok(Self { algorithm, id: None, material: EncodingKey::from_secret(secret.as_bytes()) })
    }

    /// Signs with a private key as PEM: `PRIVATE KEY` (PKCS#8), for RS256 also `RSA PRIVATE KEY`.
    pub fn private(algorithm: Algorithm, pem: &str) -> Result<Self, SetupError> {
        let material = match algorithm {
            Algorithm::Rs256 => EncodingKey::from_rsa_pem(pem.as_bytes()).ok(),
            Algorithm::Es256 => EncodingKey::from_ec_pem(pem.as_bytes()).ok(),
            Algorithm::EdDsa => EncodingKey::from_ed_pem(pem.as_bytes()).ok(),
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => None,
        };
        match material {
            Some(material) => Ok(Self { algorithm, id: None, material }),
            None => Err(SetupError(format!(
                "this is no private key for {} in PEM (PKCS#8: `openssl pkcs8 -topk8 -nocrypt`)",
                algorithm.name()
            ))),
        }
    }

    /// The same key with a name, which tokens carry as their `kid`.
    #[must_use]
    pub fn named(self, id: &str) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// Signs claims: an object with `sub`, and what else the token is to say.
    pub fn mint(&self, claims: &impl Serialize) -> Result<String, SetupError> {
        let header = Header { kid: self.id.clone(), ..Header::new(self.algorithm.signature()) };
        encode(&header, claims, &self.material)
            .map_err(|error| SetupError(format!("the token could not be signed: {error}")))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} {})", self.algorithm.name(), self.id.as_deref().unwrap_or("without a name"))
    }
}
